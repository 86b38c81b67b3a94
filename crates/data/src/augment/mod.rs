//! Variation of training images.

mod blur;
mod colour;
mod erase;
mod flip;
mod low_resolution;
mod settings;
mod warp;

use face::Size;
use rand::{Rng, RngExt};

pub use flip::flip_horizontally;
pub use settings::{Augment, AugmentError, Blur, Colour, Erase, LowResolution, Warp};

/// Checked settings, ready to be applied.
///
/// An image goes through these steps, each taken with its own probability: flip, warp, low resolution, blur,
/// colour and grey, erasing. What is done to it depends on the random numbers alone. With every probability at
/// zero the image stays as it is, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmenter(Augment);

/// Memory that the steps work in, kept between images.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
    small: Vec<u8>,
    floats: Vec<f32>,
    line: Vec<f32>,
}

impl Augmenter {
    /// # Errors
    /// A value outside its range; the ranges stand with [`Augment`]'s fields.
    pub fn new(settings: Augment) -> Result<Self, AugmentError> {
        settings.check()?;
        Ok(Self(settings))
    }

    /// The settings.
    pub fn settings(&self) -> &Augment {
        &self.0
    }

    /// Varies one image in place. `pixels` is `size.height x size.width x 3`.
    ///
    /// # Panics
    /// Where `pixels` has another length.
    pub fn apply(&self, pixels: &mut [u8], size: Size, random: &mut impl Rng, scratch: &mut Scratch) {
        assert_eq!(pixels.len(), size.rgb_bytes(), "the image is not {size}");
        let settings = &self.0;
        if chance(settings.flip, random) {
            flip_horizontally(pixels, size);
        }
        if chance(settings.warp.probability, random) {
            settings.warp.apply(pixels, size, random, scratch);
        }
        if chance(settings.low_resolution.probability, random) {
            settings.low_resolution.apply(pixels, size, random, scratch);
        }
        if chance(settings.blur.probability, random) {
            settings.blur.apply(pixels, size, random, scratch);
        }
        let jitter = chance(settings.colour.probability, random);
        let grey = chance(settings.grey, random);
        if jitter || grey {
            let unvaried = Colour::NONE;
            let colour = if jitter { &settings.colour } else { &unvaried };
            colour.apply(pixels, if grey { colour::Hue::Removed } else { colour::Hue::Kept }, random);
        }
        if chance(settings.erase.probability, random) {
            settings.erase.apply(pixels, size, random);
        }
    }
}

/// True with `probability`; always takes one number, so that a setting does not shift the numbers of another.
fn chance(probability: f64, random: &mut impl Rng) -> bool {
    random.random::<f64>() < probability
}

/// A number between `-most` and `most`.
fn symmetric(most: f64, random: &mut impl Rng) -> f64 {
    random.random_range(-most..=most)
}
