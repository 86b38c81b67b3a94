//! What the adaptive losses carry from batch to batch: it belongs in a checkpoint.

use std::error::Error;
use std::fmt;

use super::{Loss, NormStatistics};

impl Loss {
    /// The loss after it has seen a batch; to be called with each batch before its loss is taken, as the authors'
    /// codes do.
    ///
    /// CurricularFace: `t' = rate mean(c_y) + (1 - rate) t` (arXiv:2004.00288, eq. 7). AdaFace: mean and deviation of
    /// the norms in the same way (arXiv:2204.00964, section 3.3). No gradient passes through either. Other losses, and
    /// an empty batch, change nothing.
    ///
    /// # Shapes
    /// `cosines` and `norms` are `[samples]`: each sample's cosine to its own centre, and its feature's norm.
    #[must_use]
    pub fn observe(self, cosines: &[f64], norms: &[f64]) -> Self {
        if cosines.is_empty() || norms.is_empty() {
            return self;
        }
        match self {
            Self::CurricularFace { s, m, rate, t } => {
                let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
                Self::CurricularFace { s, m, rate, t: rate * mean + (1.0 - rate) * t }
            }
            Self::AdaFace { s, m, h, rate, norms: seen } => {
                Self::AdaFace { s, m, h, rate, norms: seen.after(norms, rate) }
            }
            other => other,
        }
    }

    /// Names and values of what the loss has seen, in a fixed order; empty for a loss that carries nothing.
    pub fn state(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Self::CurricularFace { t, .. } => vec![("t", t)],
            Self::AdaFace { norms, .. } => {
                vec![("norm_mean", norms.mean), ("norm_deviation", norms.deviation)]
            }
            _ => Vec::new(),
        }
    }

    /// The loss with the values that [`Loss::state`] gave, looked up by name.
    ///
    /// # Errors
    /// A value that is missing or that the loss cannot have seen.
    pub fn with_state(self, lookup: impl Fn(&str) -> Option<f64>) -> Result<Self, StateError> {
        let value = |name: &'static str, holds: fn(f64) -> bool| {
            let value = lookup(name).ok_or(StateError::Missing { loss: self.name(), name })?;
            if holds(value) {
                Ok(value)
            } else {
                Err(StateError::Impossible { loss: self.name(), name, value })
            }
        };
        match self {
            Self::CurricularFace { s, m, rate, .. } => {
                Ok(Self::CurricularFace { s, m, rate, t: value("t", |t| (-1.0..=1.0).contains(&t))? })
            }
            Self::AdaFace { s, m, h, rate, .. } => {
                let norm = |value: f64| value >= 0.0 && value.is_finite();
                let norms = NormStatistics {
                    mean: value("norm_mean", norm)?,
                    deviation: value("norm_deviation", norm)?,
                };
                Ok(Self::AdaFace { s, m, h, rate, norms })
            }
            other => Ok(other),
        }
    }
}

/// Why values are not the state of a loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StateError {
    /// A value is not there.
    Missing {
        /// Name of the loss.
        loss: &'static str,
        /// Name of the value.
        name: &'static str,
    },
    /// No batches lead to this value.
    Impossible {
        /// Name of the loss.
        loss: &'static str,
        /// Name of the value.
        name: &'static str,
        /// The value.
        value: f64,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { loss, name } => {
                write!(formatter, "the state of loss {loss} lacks a value: {name}")
            }
            Self::Impossible { loss, name, value } => {
                write!(formatter, "the state of loss {loss} has an impossible {name}: {value}")
            }
        }
    }
}

impl Error for StateError {}
