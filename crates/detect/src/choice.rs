//! Which of the faces in a photograph is meant.

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use thiserror::Error;

use crate::DetectedFace;

/// A rule that takes some of the faces that were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The face with the largest `area - 2 distance^2`, the distance from the middle of its box to the middle of the
    /// photograph: large and near the middle. This is the rule of facenet's `align_dataset_mtcnn.py` and of
    /// InsightFace's `FaceAnalysis`; the default.
    #[default]
    Prominent,
    /// The face whose box has the largest area.
    Largest,
    /// The face whose box's middle is nearest to the middle of the photograph.
    Central,
    /// Every face, the largest first.
    All,
}

/// A name that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("choice of faces must be prominent, largest, central or all: {0}")]
pub struct UnknownChoice(String);

impl Choice {
    /// All rules.
    pub const ALL: [Choice; 4] = [Choice::Prominent, Choice::Largest, Choice::Central, Choice::All];

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
            Choice::Prominent => {
                let weight = |face: &DetectedFace| face.bounds.area() - 2.0 * distance(face).powi(2);
                faces.sort_by(|one, other| weight(other).total_cmp(&weight(one)));
            }
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
            Choice::Prominent => "prominent",
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

#[cfg(test)]
mod tests {
    use face::Point;

    use super::*;
    use crate::Rectangle;

    /// A square face of a side around a place in a photograph of 200 x 100, its score telling which it is.
    fn face(score: f32, side: f64, x: f64, y: f64) -> DetectedFace {
        let half = side / 2.0;
        DetectedFace {
            bounds: Rectangle { left: x - half, top: y - half, right: x + half, bottom: y + half },
            score,
            landmarks: [Point { x, y }; 5],
        }
    }

    fn chosen(choice: Choice, faces: &[DetectedFace]) -> Vec<f32> {
        let photograph = RgbImage::new(200, 100);
        choice.of(faces.to_vec(), &photograph).iter().map(|face| face.score).collect()
    }

    #[test]
    fn each_rule_takes_the_face_that_its_name_says() {
        // Small in the middle; middling and a little aside; the largest, at the edge.
        let faces = [face(0.1, 12.0, 99.5, 49.5), face(0.2, 40.0, 105.5, 57.5), face(0.3, 44.0, 170.0, 49.5)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let faces = order.map(|index: usize| faces[index].clone());
            assert_eq!(chosen(Choice::Central, &faces), [0.1]);
            assert_eq!(chosen(Choice::Largest, &faces), [0.3]);
            // 144 - 0; 1600 - 2 (36 + 64); 1936 - 2 * 70.5^2.
            assert_eq!(chosen(Choice::Prominent, &faces), [0.2]);
            assert_eq!(chosen(Choice::All, &faces), [0.3, 0.2, 0.1]);
        }
        assert!(Choice::ALL.iter().all(|choice| chosen(*choice, &[]).is_empty()));
    }

    #[test]
    fn a_slightly_smaller_face_in_the_middle_outweighs_a_larger_one_far_off() {
        let faces = [face(0.1, 40.0, 99.5, 49.5), face(0.2, 50.0, 125.0, 49.5)];
        // 1600 against 2500 - 2 * 25.5^2 = 1199.5; with half the weight of the distance it would be 1849.75.
        assert_eq!(chosen(Choice::Prominent, &faces), [0.1]);
    }

    #[test]
    fn every_rule_is_known_by_its_name() {
        for choice in Choice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!(
            "nearest"
                .parse::<Choice>()
                .unwrap_err()
                .to_string()
                .contains("prominent, largest, central or all")
        );
    }
}
