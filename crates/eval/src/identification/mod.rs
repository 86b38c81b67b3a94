//! Who is it: probes searched in a gallery of people.
//!
//! - [`Identification`]: closed-set CMC and open-set DET from the scores of [`search`].
//! - [`Distractors`]: MegaFace's protocol, a gallery that grows.
//! - [`search`]: all probes against all of a gallery, in tiles, without storing the scores.
//! - [`lists`]: what IJB and MegaFace publish beside their images.
//! - [`template`]: images and media of IJB-B and IJB-C to one vector.

mod distractors;
mod figures;
pub mod lists;
mod scan;
pub mod template;

pub use distractors::{Distractors, DistractorsError, DistractorsPoint};
pub use figures::{DetPoint, FnirAtFpir, Identification, IdentificationError, RankFigure};
pub use scan::{ProbeScores, Scan, ScanError, search};
