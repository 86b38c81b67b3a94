//! Which of the faces in a photograph is meant.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use thiserror::Error;

use crate::DetectedFace;

/// A rule that takes some of the faces that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The face whose box has the largest area.
    Largest,
    /// The face whose box's middle is nearest to the middle of the photograph.
    Central,
    /// Every face, the largest first.
    All,
}

/// A name that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("choice of faces must be largest, central or all: {0}")]
pub struct UnknownChoice(String);

impl Choice {
    /// All rules.
    pub const ALL: [Choice; 3] = [Choice::Largest, Choice::Central, Choice::All];

    /// The faces that the rule takes; none of none.
    pub fn of(self, mut faces: Vec<DetectedFace>, photograph: &RgbImage) -> Vec<DetectedFace> {
        let (x, y) = (f64::from(photograph.width()) / 2.0 - 0.5, f64::from(photograph.height()) / 2.0 - 0.5);
        let distance = |face: &DetectedFace| {
            let centre = face.bounds.centre();
            (centre.x - x).hypot(centre.y - y)
        };
        match self {
            Choice::Largest | Choice::All => {
                faces.sort_by(|one, other| other.bounds.area().total_cmp(&one.bounds.area()));
            }
            Choice::Central => faces.sort_by(|one, other| distance(one).total_cmp(&distance(other))),
        }
        if self != Choice::All {
            faces.truncate(1);
        }
        faces
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Choice::Largest => "largest",
            Choice::Central => "central",
            Choice::All => "all",
        })
    }
}

impl FromStr for Choice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Choice, UnknownChoice> {
        let named = Choice::ALL.into_iter().find(|choice| choice.to_string() == text);
        named.ok_or_else(|| UnknownChoice(text.to_owned()))
    }
}
