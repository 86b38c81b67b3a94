//! From the bytes of a photograph to an upright RGB image, an aligned face crop and an embedding.
//!
//! - [`decode`], [`decode_file`]: bytes -> upright RGB, within [`Limits`], or an [`ImageError`] naming the file.
//! - [`Size`], [`Template`]: the geometry of aligned crops.
//! - [`Affine`], [`warp()`]: from a photograph and five landmarks to the crop.
//! - [`Embedding`]: a unit vector, compared by cosine.

mod affine;
mod decode;
mod embedding;
mod format;
mod image_error;
mod jpeg;
mod limits;
mod png;
mod size;
mod template;
mod warp;

pub use affine::{Affine, DegenerateLandmarks};
pub use decode::{decode, decode_file};
pub use embedding::{Embedding, NotADirection};
pub use image_error::{ImageError, ImageFault};
pub use limits::Limits;
pub use size::Size;
pub use template::{Point, Template};
pub use warp::{Border, warp};
