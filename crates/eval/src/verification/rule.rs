//! The scoring rules, by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the threshold of a fold is chosen, and on which score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Cosine; the threshold that is best on the other folds, searched among all thresholds.
    ///
    /// Between two neighbouring scores every threshold decides alike; the middle of that interval is taken. Where
    /// several intervals are equally good, the middle one of them (the lower of two) is taken. The CosFace paper says
    /// no more than that LFW's ten folds are used, so this is also its rule; it answers to the name `paper`.
    #[default]
    OtherFolds,
    /// InsightFace's `verification.py`: squared distance of unit vectors; the first best of the thresholds 0, 0.01 ..
    /// 3.99 on the other folds; a pair is accepted where its distance is below.
    #[serde(rename = "insightface")]
    InsightFace,
    /// SphereFace's evaluation code: vectors minus the mean over the other folds, then cosine; the mean of the best of
    /// the thresholds -1, -0.9999 .. 1 on the other folds; a pair on the threshold counts as wrong.
    #[serde(rename = "sphereface")]
    SphereFace,
    /// Cosine; one threshold, the best on the very pairs that are reported. Optimistic: it has seen the answers.
    BestOnTest,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 4] = [Self::OtherFolds, Self::InsightFace, Self::SphereFace, Self::BestOnTest];

    /// Name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::OtherFolds => "other-folds",
            Self::InsightFace => "insightface",
            Self::SphereFace => "sphereface",
            Self::BestOnTest => "best-on-test",
        }
    }

    /// The rule in a sentence or two.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::OtherFolds => {
                "A pair is accepted where its cosine is at least a threshold. The threshold of a fold is the one that \
                 is best on the other folds; of equally good ones, the middle."
            }
            Self::InsightFace => {
                "A pair is accepted where the squared distance of its unit vectors is below a threshold. The threshold \
                 of a fold is the first best of 0, 0.01 .. 3.99 on the other folds."
            }
            Self::SphereFace => {
                "The mean vector of the other folds is subtracted, then a pair is accepted where its cosine is above a \
                 threshold. The threshold of a fold is the mean of the best of -1, -0.9999 .. 1 on the other folds; a \
                 pair exactly on it counts as wrong."
            }
            Self::BestOnTest => {
                "A pair is accepted where its cosine is at least a threshold, the best one on these very pairs. This \
                 is optimistic: the threshold has seen the answers."
            }
        }
    }

    /// Whether the number comes out better than the model is.
    pub fn is_optimistic(self) -> bool {
        self == Self::BestOnTest
    }

    /// What the thresholds of this rule measure.
    pub fn threshold_unit(self) -> &'static str {
        match self {
            Self::OtherFolds | Self::BestOnTest => "cosine",
            Self::InsightFace => "squared distance of unit vectors",
            Self::SphereFace => "cosine after the mean was subtracted",
        }
    }

    /// A threshold as a cosine of the vectors as they are; `None` for the rule that moves them first.
    pub fn as_cosine(self, threshold: f64) -> Option<f64> {
        match self {
            Self::OtherFolds | Self::BestOnTest => Some(threshold),
            Self::InsightFace => Some(1.0 - threshold / 2.0),
            Self::SphereFace => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No rule has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such rule, the known ones are other-folds (also called paper), insightface, sphereface and best-on-test: {name}"
)]
pub struct UnknownRule {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name == "paper" {
            return Ok(Self::OtherFolds);
        }
        let rule = Self::ALL.into_iter().find(|rule| rule.name() == name);
        rule.ok_or_else(|| UnknownRule { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn rules_come_back_from_their_names_in_text_and_in_json() {
        for rule in Rule::ALL {
            assert_eq!(rule.name().parse(), Ok(rule));
            assert_eq!(serde_json::to_string(&rule).expect("json"), format!("\"{}\"", rule.name()));
        }
        assert_eq!("paper".parse(), Ok(Rule::OtherFolds));
        assert!("best".parse::<Rule>().is_err());
    }
}
