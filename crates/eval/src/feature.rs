//! How the feature of an image comes from its embedding and that of its mirror image.

use std::fmt;
use std::str::FromStr;

/// Rule by which an image and its mirror image become one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FeatureRule {
    /// The embedding of the image alone.
    Image,
    /// Image and mirror image one after the other, twice as long (CosFace, arXiv:1801.09414, section 4.1).
    #[default]
    Concatenated,
    /// Image plus mirror image (InsightFace).
    Summed,
}

impl FeatureRule {
    /// All rules, by name.
    pub const ALL: [Self; 3] = [Self::Image, Self::Concatenated, Self::Summed];

    /// Name in recipes, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Concatenated => "concatenated",
            Self::Summed => "summed",
        }
    }

    /// The rule in a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Image => "The feature is the embedding of the image alone.",
            Self::Concatenated => {
                "The feature is the embedding of the image followed by that of its mirror image."
            }
            Self::Summed => "The feature is the embedding of the image plus that of its mirror image.",
        }
    }

    /// Whether the mirror image has to be embedded too.
    pub fn needs_mirror(self) -> bool {
        self != Self::Image
    }

    /// The feature of one image. [`FeatureRule::Image`] does not look at `mirrored`.
    ///
    /// # Panics
    /// Where the rule needs the mirror image and its embedding has another length.
    pub fn combine(self, image: &[f32], mirrored: &[f32]) -> Vec<f32> {
        if self.needs_mirror() {
            assert_eq!(image.len(), mirrored.len(), "both embeddings must have one dimension");
        }
        match self {
            Self::Image => image.to_vec(),
            Self::Concatenated => [image, mirrored].concat(),
            Self::Summed => image.iter().zip(mirrored).map(|(image, mirrored)| image + mirrored).collect(),
        }
    }
}

impl fmt::Display for FeatureRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No feature rule has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such feature rule, the known ones are image, concatenated and summed: {name}")]
pub struct UnknownFeatureRule {
    /// The name that was given.
    pub name: String,
}

impl FromStr for FeatureRule {
    type Err = UnknownFeatureRule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let rule = Self::ALL.into_iter().find(|rule| rule.name() == name);
        rule.ok_or_else(|| UnknownFeatureRule { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::FeatureRule;

    #[test]
    fn each_rule_builds_its_own_feature() {
        let combine = |rule: FeatureRule| rule.combine(&[1.0, 2.0], &[10.0, 20.0]);
        assert_eq!(combine(FeatureRule::Image), [1.0, 2.0]);
        assert_eq!(combine(FeatureRule::Concatenated), [1.0, 2.0, 10.0, 20.0]);
        assert_eq!(combine(FeatureRule::Summed), [11.0, 22.0]);
    }

    #[test]
    fn rules_come_back_from_their_names() {
        for rule in FeatureRule::ALL {
            assert_eq!(rule.name().parse(), Ok(rule));
        }
        assert!("concat".parse::<FeatureRule>().is_err());
    }
}
