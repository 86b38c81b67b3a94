//! x
mod decode;
mod error;
mod length;
mod tree;
pub use error::RecipeError;
pub use length::{Length, NotALength};
pub use tree::Place;
