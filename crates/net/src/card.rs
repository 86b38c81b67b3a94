//! The model card: what a network was trained on, and how its input must be made.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Network;

/// What must be known about a model beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The network's name, equal to [`Network::name`].
    pub network: String,
    /// How an image becomes the network's input and its output a feature.
    pub preprocessing: Preprocessing,
    /// Length of the network's output, before any concatenation with the flipped image's.
    pub feature_dimension: usize,
    /// The loss that shaped the feature, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
    /// The training images, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<TrainingData>,
    /// From which cosine on two faces are taken for one person, if somebody measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Terms under which the weights may be used; absent means that nobody stated any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Anything else a user should know.
    #[serde(default)]
    pub notes: String,
    /// Program and version that made the file.
    pub created_by: String,
}

/// How an image becomes the network's input. A model is never applied with another preprocessing than this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Order of the channels that the network takes.
    pub channel_order: ChannelOrder,
    /// Subtracted from each channel's value of 0 to 255, in the network's channel order; 127.5 in the CosFace paper.
    pub mean: [f32; 3],
    /// Divides the difference; 128 in the CosFace paper.
    pub scale: [f32; 3],
    /// Where the face's landmarks lie in the image.
    pub template: LandmarkTemplate,
    /// What the feature of an image is made of.
    pub flip: FlipRule,
}

/// Order of colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// Positions of the five landmarks that the images of a model are aligned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LandmarkTemplate {
    /// The template of 112 rows and 96 columns, scaled to the input's size.
    #[serde(rename = "112x96")]
    Points112x96,
    /// The template of 112 rows and 112 columns, scaled to the input's size.
    #[serde(rename = "112x112")]
    Points112x112,
    /// No landmarks: the images were taken as they were.
    #[serde(rename = "unaligned")]
    Unaligned,
}

impl LandmarkTemplate {
    /// Rows and columns of the template's frame, whose ratio the input must have.
    pub fn frame(self) -> Option<[usize; 2]> {
        match self {
            LandmarkTemplate::Points112x96 => Some([112, 96]),
            LandmarkTemplate::Points112x112 => Some([112, 112]),
            LandmarkTemplate::Unaligned => None,
        }
    }
}

/// What the feature of an image is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlipRule {
    /// The image alone.
    None,
    /// The features of the image and of its mirror image after each other, as in the CosFace paper.
    Concatenated,
    /// The sum of the features of the image and of its mirror image, as in InsightFace.
    Summed,
}

impl FlipRule {
    /// All rules.
    pub const ALL: [FlipRule; 3] = [FlipRule::None, FlipRule::Concatenated, FlipRule::Summed];

    /// Length of the feature that the rule makes from outputs of length `dimension`.
    pub fn feature_dimension(self, dimension: usize) -> usize {
        match self {
            FlipRule::None | FlipRule::Summed => dimension,
            FlipRule::Concatenated => 2 * dimension,
        }
    }
}

/// A name that is no flip rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("flip rule must be none, concatenated or summed: {0}")]
pub struct UnknownFlipRule(String);

impl FromStr for FlipRule {
    type Err = UnknownFlipRule;

    fn from_str(text: &str) -> Result<FlipRule, UnknownFlipRule> {
        FlipRule::ALL
            .into_iter()
            .find(|rule| rule.to_string() == text)
            .ok_or_else(|| UnknownFlipRule(text.to_owned()))
    }
}

impl fmt::Display for FlipRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            FlipRule::None => "none",
            FlipRule::Concatenated => "concatenated",
            FlipRule::Summed => "summed",
        })
    }
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            ChannelOrder::Rgb => "rgb",
            ChannelOrder::Bgr => "bgr",
        })
    }
}

impl fmt::Display for LandmarkTemplate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            LandmarkTemplate::Points112x96 => "112x96",
            LandmarkTemplate::Points112x112 => "112x112",
            LandmarkTemplate::Unaligned => "unaligned",
        })
    }
}

/// The loss a model was trained with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// Its name, for example `cosface`.
    pub loss: String,
    /// Its parameters by the paper's letters, for example `s` and `m`.
    pub parameters: BTreeMap<String, f64>,
}

/// A threshold, and how often it is wrong about two people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Cosine from which on two features are one person's, from -1 to 1.
    pub threshold: f64,
    /// Share of pairs of two people that reach it, from 0 to 1.
    pub false_accept_rate: f64,
    /// The images it was measured on.
    pub images: String,
}

/// The images a model was trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingData {
    /// Fingerprint of the catalogue of images.
    pub fingerprint: String,
    /// Number of people.
    pub identities: u64,
    /// Number of images.
    pub images: u64,
}

/// Why a card does not describe its network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CardError {
    /// The card names another network.
    #[error("card is of network {card} but the network is: {network}")]
    Network {
        /// Name in the card.
        card: String,
        /// The network's name.
        network: String,
    },
    /// The card states another input size than the network's.
    #[error("card states an input of {}x{} but the network takes: {}x{}", card[0], card[1], network[0], network[1])]
    InputSize {
        /// Height and width in the card.
        card: [usize; 2],
        /// Height and width of the network's input.
        network: [usize; 2],
    },
    /// The card states another feature dimension than the network's.
    #[error("card states a feature dimension of {card} but the network makes: {network}")]
    FeatureDimension {
        /// Dimension in the card.
        card: usize,
        /// The network's.
        network: usize,
    },
    /// The landmark template has another aspect ratio than the input.
    #[error("card's landmark template {template} does not have the ratio of the input: {height}x{width}")]
    Ratio {
        /// The template.
        template: LandmarkTemplate,
        /// Rows of the input.
        height: usize,
        /// Columns of the input.
        width: usize,
    },
    /// A number is not finite or outside its range.
    #[error(
        "card needs a finite value, above 0 for scale and in range for a calibration, in {field}: {value}"
    )]
    Number {
        /// The field.
        field: String,
        /// Its value.
        value: f64,
    },
}

impl Card {
    /// Checks the card by itself and against its network.
    ///
    /// # Errors
    /// The first field that is impossible or contradicts the network.
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn check(&self, network: &Network) -> Result<(), CardError> {
        if self.network != network.name {
            return Err(CardError::Network { card: self.network.clone(), network: network.name.clone() });
        }
        let Preprocessing { height, width, template, mean, scale, .. } = self.preprocessing;
        let taken = [network.input.height, network.input.width];
        if [height, width] != taken {
            return Err(CardError::InputSize { card: [height, width], network: taken });
        }
        let dimension = network.feature_dimension();
        if self.feature_dimension != dimension {
            return Err(CardError::FeatureDimension { card: self.feature_dimension, network: dimension });
        }
        if let Some([rows, columns]) = template.frame()
            && height * columns != width * rows
        {
            return Err(CardError::Ratio { template, height, width });
        }
        let number = |field: &str, value: f64, holds: bool| {
            if holds { Ok(()) } else { Err(CardError::Number { field: field.to_owned(), value }) }
        };
        for value in mean {
            number("mean", f64::from(value), value.is_finite())?;
        }
        for value in scale {
            number("scale", f64::from(value), value.is_finite() && value > 0.0)?;
        }
        if let Some(Calibration { threshold, false_accept_rate, .. }) = &self.calibration {
            number("calibration.threshold", *threshold, (-1.0..=1.0).contains(threshold))?;
            let rate = *false_accept_rate;
            number("calibration.false_accept_rate", rate, (0.0..=1.0).contains(&rate))?;
        }
        for (name, value) in self.margin.iter().flat_map(|margin| &margin.parameters) {
            number(&format!("margin.parameters.{name}"), *value, value.is_finite())?;
        }
        Ok(())
    }
}
