//! From the bytes of a photograph to an upright RGB image, an aligned face crop and an embedding.
//!
//! - [`decode`], [`decode_file`]: bytes -> upright RGB, within [`Limits`], or an [`ImageError`] naming the file.
//! - [`Size`], [`Template`]: the geometry of aligned crops.
//! - [`Embedding`]: a unit vector, compared by cosine.

mod decode;
mod embedding;
mod format;
mod image_error;
mod jpeg;
mod limits;
mod png;
mod size;
mod template;

pub use decode::{decode, decode_file};
pub use embedding::{Embedding, NotADirection};
pub use image_error::{ImageError, ImageFault};
pub use limits::Limits;
pub use size::Size;
pub use template::{Point, Template};
