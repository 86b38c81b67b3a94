//! What can be set, and in which ranges.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How training images are varied. Each step has its own probability, from 0 (never) to 1 (always).
///
/// By default images are flipped with probability 0.5, as the paper does (arXiv:1801.09414, section 4.1), and
/// nothing else is done; the ranges of the other steps take effect once their probability is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Shift, scale and rotation.
    pub warp: Warp,
    /// Brightness, contrast and saturation.
    pub colour: Colour,
    /// Probability of losing all colour.
    pub grey: f64,
    /// Gaussian blur.
    pub blur: Blur,
    /// Fewer pixels, enlarged again.
    pub low_resolution: LowResolution,
    /// A rectangle hidden.
    pub erase: Erase,
}

/// Shift, scale and rotation about the middle of the image, in one bilinear warp; edges are continued by
/// their nearest pixel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Warp {
    /// Probability.
    pub probability: f64,
    /// Largest shift in each direction, as a fraction of the width and of the height: 0 to 0.5.
    pub shift: f64,
    /// Largest enlargement is `1 + scale`, largest reduction `1 / (1 + scale)`, evenly in the logarithm: 0 to 1.
    pub scale: f64,
    /// Largest rotation either way, in degrees: 0 to 180.
    pub rotate_degrees: f64,
}

/// Brightness, contrast and saturation, each with a factor between `1 - range` and `1 + range`: 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Colour {
    /// Probability.
    pub probability: f64,
    /// Range of the factor of all values.
    pub brightness: f64,
    /// Range of the factor of the distance from the image's mean grey.
    pub contrast: f64,
    /// Range of the factor of the distance from each pixel's own grey.
    pub saturation: f64,
}

/// Gaussian blur.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blur {
    /// Probability.
    pub probability: f64,
    /// Largest standard deviation in pixels of the aligned crop: above 0, to 10. The smallest is a tenth of it.
    pub sigma: f64,
}

/// The image is averaged down to a fraction of its size and enlarged again, as from a small face in a photograph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowResolution {
    /// Probability.
    pub probability: f64,
    /// Smallest fraction of height and width: above 0, to 1.
    pub smallest: f64,
}

/// A rectangle of one random colour over a part of the face, with a ratio of sides from 3:10 to 10:3
/// (random erasing, arXiv:1708.04896, with one colour in place of noise).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Erase {
    /// Probability.
    pub probability: f64,
    /// Smallest part of the image's area: above 0, to 1.
    pub smallest: f64,
    /// Largest part of the image's area: from `smallest` to 1.
    pub largest: f64,
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("augment.{field} must be {range}: {value}")]
pub struct AugmentError {
    /// The setting, with its table.
    pub field: &'static str,
    /// Its range.
    pub range: &'static str,
    /// The value given.
    pub value: f64,
}

impl Augment {
    /// Nothing at all, not even flips.
    pub const NONE: Self = Self {
        flip: 0.0,
        warp: Warp { probability: 0.0, shift: 0.03, scale: 0.05, rotate_degrees: 5.0 },
        colour: Colour { probability: 0.0, brightness: 0.2, contrast: 0.2, saturation: 0.2 },
        grey: 0.0,
        blur: Blur { probability: 0.0, sigma: 1.5 },
        low_resolution: LowResolution { probability: 0.0, smallest: 0.35 },
        erase: Erase { probability: 0.0, smallest: 0.02, largest: 0.2 },
    };

    pub(super) fn check(&self) -> Result<(), AugmentError> {
        let unit = "from 0 to 1";
        let part = "above 0, to 1";
        let from_zero = |most: f64| move |value: f64| (0.0..=most).contains(&value);
        let above_zero = |most: f64| move |value: f64| value > 0.0 && value <= most;
        let check = |field, value: f64, range, holds: &dyn Fn(f64) -> bool| {
            if holds(value) { Ok(()) } else { Err(AugmentError { field, range, value }) }
        };
        check("flip", self.flip, unit, &from_zero(1.0))?;
        check("warp.probability", self.warp.probability, unit, &from_zero(1.0))?;
        check("warp.shift", self.warp.shift, "from 0 to 0.5", &from_zero(0.5))?;
        check("warp.scale", self.warp.scale, unit, &from_zero(1.0))?;
        check("warp.rotate_degrees", self.warp.rotate_degrees, "from 0 to 180", &from_zero(180.0))?;
        check("colour.probability", self.colour.probability, unit, &from_zero(1.0))?;
        check("colour.brightness", self.colour.brightness, unit, &from_zero(1.0))?;
        check("colour.contrast", self.colour.contrast, unit, &from_zero(1.0))?;
        check("colour.saturation", self.colour.saturation, unit, &from_zero(1.0))?;
        check("grey", self.grey, unit, &from_zero(1.0))?;
        check("blur.probability", self.blur.probability, unit, &from_zero(1.0))?;
        check("blur.sigma", self.blur.sigma, "above 0, to 10", &above_zero(10.0))?;
        check("low_resolution.probability", self.low_resolution.probability, unit, &from_zero(1.0))?;
        check("low_resolution.smallest", self.low_resolution.smallest, part, &above_zero(1.0))?;
        check("erase.probability", self.erase.probability, unit, &from_zero(1.0))?;
        check("erase.smallest", self.erase.smallest, part, &above_zero(1.0))?;
        let least = self.erase.smallest;
        let holds = move |value: f64| (least..=1.0).contains(&value);
        check("erase.largest", self.erase.largest, "from erase.smallest to 1", &holds)
    }
}

impl Colour {
    /// No change of colour.
    pub(super) const NONE: Self = Self { probability: 0.0, brightness: 0.0, contrast: 0.0, saturation: 0.0 };
}

impl Default for Augment {
    fn default() -> Self {
        Self { flip: 0.5, ..Self::NONE }
    }
}

impl Default for Warp {
    fn default() -> Self {
        Augment::NONE.warp
    }
}

impl Default for Colour {
    fn default() -> Self {
        Augment::NONE.colour
    }
}

impl Default for Blur {
    fn default() -> Self {
        Augment::NONE.blur
    }
}

impl Default for LowResolution {
    fn default() -> Self {
        Augment::NONE.low_resolution
    }
}

impl Default for Erase {
    fn default() -> Self {
        Augment::NONE.erase
    }
}
