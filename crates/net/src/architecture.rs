//! Families of published face networks, described by a few settings.

mod assembly;
mod iresnet;
mod mobilefacenet;
mod sphereface;

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{CHANNELS_AT_MOST, Network, NetworkError};

/// Smallest and largest height or width of an architecture's input, in pixels.
pub const INPUT_SIDES: [usize; 2] = [16, 1024];
/// Smallest and largest multiplier of an architecture's channels.
pub const WIDTHS: [f64; 2] = [0.125, 4.0];

/// A network as a recipe describes it.
///
/// ```
/// # let recipe = r#"
/// family = "sphereface"
/// depth = 20
/// input = [112, 96]     # height, width
/// width = 0.25          # of the published channels; or `channels = [16, 32, 64, 128]`
/// feature = 512
/// batch_norm = true
/// dropout = 0.4
/// # "#;
/// # let architecture: net::Architecture = toml::from_str(recipe).unwrap();
/// # assert_eq!(architecture.build().unwrap().feature_dimension(), 512);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Which family.
    pub family: Family,
    /// Which member of the family, by its number of layers; MobileFaceNet has only one member and takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Height and width of the input; 112 x 96 in the CosFace paper.
    #[serde(default = "paper_input")]
    pub input: [usize; 2],
    /// Multiplier of all published channels, each rounded to the nearest multiple of 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Exact channels in place of `width`: of the four stages of sphereface and iresnet; of the first stages, the
    /// later stages and the last convolution of mobilefacenet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Vec<usize>>,
    /// Length of the feature; 512 in the CosFace paper.
    #[serde(default = "paper_feature")]
    pub feature: usize,
    /// Batch normalisation after every convolution of sphereface and on its feature; it has none as published. The
    /// other families always have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<bool>,
    /// Chance of dropping each input of the layer that makes the feature; 0, the default, adds no dropout.
    #[serde(default)]
    pub dropout: f32,
}

fn paper_input() -> [usize; 2] {
    [112, 96]
}

fn paper_feature() -> usize {
    512
}

/// A family of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Residual networks without batch normalisation (arXiv:1704.08063, table 2), used by the CosFace paper.
    SphereFace,
    /// Residual networks of InsightFace, as in its arcface_torch.
    IResNet,
    /// Small network of depthwise convolutions (arXiv:1804.07573, table 1).
    MobileFaceNet,
}

impl Family {
    /// Depths of the family's members.
    pub fn depths(self) -> &'static [usize] {
        match self {
            Family::SphereFace => &[4, 10, 20, 36, 64],
            Family::IResNet => &[18, 34, 50, 100],
            Family::MobileFaceNet => &[],
        }
    }

    /// The published channels that `width` multiplies and `channels` replaces.
    pub fn channels(self) -> &'static [usize] {
        match self {
            Family::SphereFace | Family::IResNet => &[64, 128, 256, 512],
            Family::MobileFaceNet => &[64, 128, 512],
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Family::SphereFace => "sphereface",
            Family::IResNet => "iresnet",
            Family::MobileFaceNet => "mobilefacenet",
        })
    }
}

/// Why an architecture's settings make no network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ArchitectureError {
    /// The family has several depths and none is given.
    #[error("network family {family} needs a depth, one of {known:?}")]
    DepthMissing {
        /// The family.
        family: Family,
        /// Its depths.
        known: &'static [usize],
    },
    /// The family has no member of this depth.
    #[error("network family {family} has the depths {known:?}: {depth}")]
    DepthUnknown {
        /// The family.
        family: Family,
        /// Its depths.
        known: &'static [usize],
        /// The depth asked for.
        depth: usize,
    },
    /// The family does not have this setting.
    #[error("network family {family} does not take this setting, remove it: {setting}")]
    NotASetting {
        /// The family.
        family: Family,
        /// The setting's key.
        setting: &'static str,
    },
    /// Both a multiplier and exact channels are given.
    #[error("network has both `width` and `channels`, remove one")]
    WidthAndChannels,
    /// The wrong number of channels is given.
    #[error("network family {family} takes {expected} values in `channels`: {found}")]
    ChannelCount {
        /// The family.
        family: Family,
        /// Values it takes.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A setting is outside its range.
    #[error("network setting {setting} must be {range}: {value}")]
    Range {
        /// The setting's key.
        setting: &'static str,
        /// What it must be.
        range: String,
        /// What it is.
        value: String,
    },
    /// The settings are in range but together make a network that is too large.
    #[error("network cannot be built from these settings")]
    Network(#[from] NetworkError),
}

/// Settings in the form the families build from: all present and in range.
struct Settings {
    input: [usize; 2],
    channels: Vec<usize>,
    feature: usize,
    dropout: f32,
}

impl Architecture {
    /// The published member of a family with an input of 112 x 96 and a feature of 512 values.
    pub fn new(family: Family, depth: Option<usize>) -> Architecture {
        Architecture {
            family,
            depth,
            input: paper_input(),
            width: None,
            channels: None,
            feature: paper_feature(),
            batch_norm: None,
            dropout: 0.0,
        }
    }

    /// Builds the network.
    ///
    /// # Errors
    /// The first setting that is missing, not the family's or out of range.
    pub fn build(&self) -> Result<Network, ArchitectureError> {
        let depth = self.checked_depth()?;
        let settings = self.checked_settings()?;
        let network = match self.family {
            Family::SphereFace => {
                let normalisation = match self.batch_norm {
                    Some(true) => sphereface::Normalisation::Batch,
                    Some(false) | None => sphereface::Normalisation::Without,
                };
                sphereface::network(depth, normalisation, &settings)
            }
            Family::IResNet => iresnet::network(depth, &settings),
            Family::MobileFaceNet => mobilefacenet::network(&settings),
        };
        network.check()?;
        Ok(network)
    }

    fn checked_depth(&self) -> Result<usize, ArchitectureError> {
        let (family, known) = (self.family, self.family.depths());
        match self.depth {
            Some(_) if known.is_empty() => Err(ArchitectureError::NotASetting { family, setting: "depth" }),
            Some(depth) if known.contains(&depth) => Ok(depth),
            Some(depth) => Err(ArchitectureError::DepthUnknown { family, known, depth }),
            None if known.is_empty() => Ok(0),
            None => Err(ArchitectureError::DepthMissing { family, known }),
        }
    }

    fn checked_settings(&self) -> Result<Settings, ArchitectureError> {
        let family = self.family;
        if self.batch_norm.is_some() && family != Family::SphereFace {
            return Err(ArchitectureError::NotASetting { family, setting: "batch_norm" });
        }
        for side in self.input {
            let [least, most] = INPUT_SIDES;
            let range = || format!("two sides between {least} and {most}");
            require("input", &side, (least..=most).contains(&side), range)?;
        }
        let channels = match (self.width, &self.channels) {
            (Some(_), Some(_)) => return Err(ArchitectureError::WidthAndChannels),
            (None, Some(channels)) => self.checked_channels(channels)?,
            (width, None) => {
                let width = width.unwrap_or(1.0);
                let [least, most] = WIDTHS;
                let range = || format!("between {least} and {most}");
                require("width", &width, (least..=most).contains(&width), range)?;
                family.channels().iter().map(|published| scaled(*published, width)).collect()
            }
        };
        let within = 1..=CHANNELS_AT_MOST;
        require("feature", &self.feature, within.contains(&self.feature), || {
            format!("between 1 and {CHANNELS_AT_MOST}")
        })?;
        require("dropout", &self.dropout, (0.0..1.0).contains(&self.dropout), || {
            "at least 0 and below 1".to_owned()
        })?;
        Ok(Settings { input: self.input, channels, feature: self.feature, dropout: self.dropout })
    }

    fn checked_channels(&self, channels: &[usize]) -> Result<Vec<usize>, ArchitectureError> {
        let (family, expected) = (self.family, self.family.channels().len());
        if channels.len() != expected {
            return Err(ArchitectureError::ChannelCount { family, expected, found: channels.len() });
        }
        for count in channels {
            require("channels", count, (1..=CHANNELS_AT_MOST).contains(count), || {
                format!("between 1 and {CHANNELS_AT_MOST}")
            })?;
        }
        Ok(channels.to_vec())
    }
}

/// The nearest multiple of 8, which the widths allowed keep at 8 or more.
fn scaled(published: usize, width: f64) -> usize {
    (published as f64 * width / 8.0).round() as usize * 8
}

fn require(
    setting: &'static str,
    value: &impl ToString,
    holds: bool,
    range: impl FnOnce() -> String,
) -> Result<(), ArchitectureError> {
    if holds {
        return Ok(());
    }
    Err(ArchitectureError::Range { setting, range: range(), value: value.to_string() })
}
