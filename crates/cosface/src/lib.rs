//! Photographs of people to a trained, honestly measured, usable face recogniser.
//!
//! The program `cosface` is made of the crates `face`, `detect`, `data`, `margin`, `net`, `engine`, `train` and `eval`; this
//! library holds what ties them together for an application: [`Aligner`], a detector ready to turn photographs into
//! aligned crops, and [`Embedder`], a model file ready to turn those into features.

mod aligner;
mod embedder;

pub use aligner::{AlignError, Aligner, template_of};
pub use embedder::{Embedder, EmbedderError, Features, ReadableFeatures};
