//! A stretch of training, in epochs or in steps.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stretch of training as a recipe writes it: `"30 epochs"`, `"0.5 epochs"`, `"16000 steps"`.
///
/// A step is one update of the weights; an epoch is one pass over the data.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Length {
    /// Passes over the data; not negative, fractions allowed.
    Epochs(f64),
    /// Updates of the weights.
    Steps(u64),
}

impl Length {
    /// Number of steps over `images` images in batches of `batch`, rounded to the nearest.
    ///
    /// An epoch need not be a whole number of steps, because a batch may reach into the next one.
    ///
    /// # Panics
    /// When `batch` is 0.
    #[must_use]
    pub fn steps(self, images: u64, batch: u64) -> u64 {
        assert!(batch > 0, "a batch without images");
        match self {
            Self::Epochs(epochs) => (epochs * images as f64 / batch as f64).round() as u64,
            Self::Steps(steps) => steps,
        }
    }

    /// Whether it is no length at all.
    #[must_use]
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Steps(0)) || self == Self::Epochs(0.0)
    }
}

/// Text that is not a length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a length as \"30 epochs\" or \"16000 steps\", not: {0:?}")]
pub struct NotALength(String);

impl FromStr for Length {
    type Err = NotALength;

    fn from_str(text: &str) -> Result<Self, NotALength> {
        let refuse = || NotALength(text.to_owned());
        let (number, unit) = text.trim().split_once(char::is_whitespace).ok_or_else(refuse)?;
        match unit.trim() {
            "epoch" | "epochs" => number
                .parse::<f64>()
                .ok()
                .filter(|epochs| epochs.is_finite() && *epochs >= 0.0)
                .map(Self::Epochs)
                .ok_or_else(refuse),
            "step" | "steps" => number.parse().map(Self::Steps).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for Length {
    type Error = NotALength;

    fn try_from(text: String) -> Result<Self, NotALength> {
        text.parse()
    }
}

impl fmt::Display for Length {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(epochs) => {
                write!(out, "{epochs} {}", if *epochs == 1.0 { "epoch" } else { "epochs" })
            }
            Self::Steps(steps) => write!(out, "{steps} {}", if *steps == 1 { "step" } else { "steps" }),
        }
    }
}

impl From<Length> for String {
    fn from(length: Length) -> Self {
        length.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Length;

    #[test]
    fn lengths_are_read_as_people_write_them_and_come_back_the_same() {
        for (text, length) in [
            ("30 epochs", Length::Epochs(30.0)),
            ("1 epoch", Length::Epochs(1.0)),
            ("0.5 epochs", Length::Epochs(0.5)),
            ("16000 steps", Length::Steps(16_000)),
            ("1 step", Length::Steps(1)),
        ] {
            assert_eq!(text.parse(), Ok(length));
            assert_eq!(length.to_string(), text);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_because_its_unit_would_be_a_guess() {
        for text in ["30", "epochs", "-1 epochs", "1.5 steps", "nan epochs", "inf epochs", "3 minutes", ""] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }

    #[test]
    fn epochs_become_steps_by_rounding_to_the_nearest() {
        assert_eq!(Length::Epochs(1.5).steps(70, 10), 11); // 10.5 rounds away from zero
        assert_eq!(Length::Epochs(2.0).steps(75, 10), 15);
        assert_eq!(Length::Steps(3).steps(75, 10), 3);
    }
}
