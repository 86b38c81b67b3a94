//! Photographs of people to a trained, honestly measured, usable face recogniser.
//!
//! The program `cosface` is made of the crates `face`, `data`, `margin`, `net`, `engine`, `train` and `eval`; this
//! library holds what ties them together for an application: [`Embedder`], a model file ready to turn aligned crops
//! into features.

mod embedder;

pub use embedder::{Embedder, EmbedderError, Features};
