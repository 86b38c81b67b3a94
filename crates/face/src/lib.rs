//! From the bytes of a photograph to an upright RGB image, an aligned face crop and an embedding.
//!
//! - [`decode`], [`decode_file`]: bytes -> upright RGB, within [`Limits`], or an [`ImageError`] naming the file;
//!   [`decode_photograph`], [`decode_photograph_file`]: the same for photographs as they come, 16 bits and CMYK included.
//! - [`Size`], [`Template`]: the geometry of aligned crops.
//! - [`align()`]: from a photograph and five landmarks to the crop; its parts are [`Affine`], [`resize()`], [`warp()`].
//! - [`Embedding`]: a unit vector, compared by cosine.

mod affine;
mod align;
mod decode;
mod embedding;
mod format;
mod image_error;
mod jpeg;
mod limits;
mod png;
mod resize;
mod size;
mod template;
mod warp;

pub use affine::{Affine, DegenerateLandmarks};
pub use align::align;
pub use decode::{decode, decode_file, decode_photograph, decode_photograph_file};
pub use embedding::{Embedding, NotADirection};
pub use image_error::{ImageError, ImageFault};
pub use limits::Limits;
pub use resize::resize;
pub use size::Size;
pub use template::{Point, Template};
pub use warp::{Border, warp};
