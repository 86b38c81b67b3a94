//! The size of an image.

use std::fmt;

use image::RgbImage;

/// Height and width in pixels. Shapes in this project are height first; [`image`] counts width first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
}

impl Size {
    /// The size of `image`.
    pub fn of(image: &RgbImage) -> Self {
        Self { height: image.height(), width: image.width() }
    }

    /// Number of pixels.
    pub fn pixels(self) -> u64 {
        u64::from(self.height) * u64::from(self.width)
    }

    /// Bytes of one RGB image of this size: `height * width * 3`.
    ///
    /// # Panics
    /// Where the product does not fit a `usize`.
    pub fn rgb_bytes(self) -> usize {
        usize::try_from(self.pixels() * 3).expect("an image of this size does not fit the address space")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} high x {} wide", self.height, self.width)
    }
}
