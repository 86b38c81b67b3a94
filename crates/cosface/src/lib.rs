//! Photographs of people to a trained, honestly measured, usable face recogniser.
//!
//! The program `cosface` is made of the crates `face`, `detect`, `data`, `margin`, `net`, `engine`, `train` and `eval`; this
//! library holds what ties them together for an application: [`Aligner`], a detector ready to turn photographs into
//! aligned crops, and [`Embedder`], a model file ready to turn those into features.
//!
//! ```no_run
//! use cosface::Embedder;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut embedder = Embedder::open("model.safetensors".as_ref(), 0)?;
//! let flip = embedder.model().card().preprocessing.flip;
//! let crops = vec!["one.png".into(), "other.png".into()];
//! let features = embedder.features(crops, data::Fit::Exact, flip, &mut |_| {})?;
//! let cosine = features[0].embedding(flip)?.cosine(&features[1].embedding(flip)?);
//! # Ok(())
//! # }
//! ```

mod aligner;
mod embedder;

pub use aligner::{AlignError, Aligner, template_of};
pub use embedder::{Embedder, EmbedderError, Features, ReadableFeatures, rule_of};
