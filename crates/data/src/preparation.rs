//! How an image file becomes pixels of one size.

use std::path::{Path, PathBuf};

use face::{ImageError, Limits, Size, decode_file};
use image::RgbImage;
use image::imageops;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::resample::Resampling;

/// What to do with an image that has not the size of the aligned crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// It is an error: faces of another size were aligned in another way.
    #[default]
    Exact,
    /// Resample height and width each to the crop's, whatever that does to proportions.
    Stretch,
    /// Resample with proportions kept until the crop is just covered, and cut from the middle.
    Crop,
}

/// How an image file becomes pixels of one size: decoded, brought to the size of the aligned crop, then
/// averaged down to the input of the network.
#[derive(Clone, Debug)]
pub struct Preparation {
    crop: Size,
    input: Size,
    fit: Fit,
    limits: Limits,
    reduction: Resampling,
}

/// Settings that no image can be prepared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PreparationError {
    /// A height or width of zero.
    #[error("an image size without pixels: {0}")]
    Empty(Size),
    /// A network input larger than the crop would be made up of pixels that are not there.
    #[error("the network's input, {input}, is larger than the aligned crop: {crop}")]
    InputLargerThanCrop {
        /// Size of the network's input.
        input: Size,
        /// Size of the aligned crop.
        crop: Size,
    },
}

/// An image file that cannot be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// It cannot be decoded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It has another size than the aligned crop, and [`Fit::Exact`] holds.
    #[error(
        "the image is {found}, and the aligned crop is {expected}: {}; align the images, or allow resize = \
         \"stretch\" or \"crop\"",
        path.display()
    )]
    WrongSize {
        /// The image.
        path: PathBuf,
        /// Its size.
        found: Size,
        /// Size of the crop.
        expected: Size,
    },
}

impl ReadError {
    /// The image.
    pub fn path(&self) -> &Path {
        match self {
            Self::Image(error) => &error.path,
            Self::WrongSize { path, .. } => path,
        }
    }
}

impl Preparation {
    /// `crop` is the size of the aligned images in the files, `input` that of the network's input.
    ///
    /// # Errors
    /// A size without pixels; an input larger than the crop in either direction.
    pub fn new(crop: Size, input: Size, fit: Fit, limits: Limits) -> Result<Self, PreparationError> {
        for size in [crop, input] {
            if size.pixels() == 0 {
                return Err(PreparationError::Empty(size));
            }
        }
        if input.height > crop.height || input.width > crop.width {
            return Err(PreparationError::InputLargerThanCrop { input, crop });
        }
        Ok(Self { crop, input, fit, limits, reduction: Resampling::area_mean(crop, input) })
    }

    /// Size of the aligned crop.
    pub fn crop(&self) -> Size {
        self.crop
    }

    /// Size of the network's input.
    pub fn input(&self) -> Size {
        self.input
    }

    /// The image file at `path` as a crop: `crop.height x crop.width x 3` bytes.
    ///
    /// # Errors
    /// Where it cannot be decoded or has the wrong size.
    pub fn read_crop(&self, path: &Path) -> Result<Vec<u8>, ReadError> {
        let image = decode_file(path, &self.limits)?;
        let found = Size::of(&image);
        if found == self.crop {
            return Ok(image.into_raw());
        }
        match self.fit {
            Fit::Exact => Err(ReadError::WrongSize { path: path.to_owned(), found, expected: self.crop }),
            Fit::Stretch => Ok(resampled(&image, self.crop)),
            Fit::Crop => Ok(covering(&image, self.crop)),
        }
    }

    /// Averages a crop down to the network's input.
    ///
    /// # Panics
    /// Where `crop` or `input` is not of this preparation's sizes.
    pub fn reduce(&self, crop: &[u8], input: &mut [u8]) {
        self.reduction.apply(crop, input);
    }
}

fn resampled(image: &RgbImage, size: Size) -> Vec<u8> {
    let mut pixels = vec![0; size.rgb_bytes()];
    Resampling::linear(Size::of(image), size).apply(image.as_raw(), &mut pixels);
    pixels
}

fn covering(image: &RgbImage, size: Size) -> Vec<u8> {
    let found = Size::of(image);
    // The largest middle part with the crop's proportions, in whole pixels.
    let product = |one: u32, other: u32| u64::from(one) * u64::from(other);
    let (tall, wide) = (product(found.height, size.width), product(found.width, size.height));
    let part = if tall > wide {
        Size { height: rounded_ratio(wide, size.width).clamp(1, found.height), width: found.width }
    } else {
        Size { height: found.height, width: rounded_ratio(tall, size.height).clamp(1, found.width) }
    };
    let (left, top) = ((found.width - part.width) / 2, (found.height - part.height) / 2);
    let part = imageops::crop_imm(image, left, top, part.width, part.height).to_image();
    resampled(&part, size)
}

fn rounded_ratio(product: u64, divisor: u32) -> u32 {
    let divisor = u64::from(divisor);
    u32::try_from((product + divisor / 2) / divisor).unwrap_or(u32::MAX)
}
