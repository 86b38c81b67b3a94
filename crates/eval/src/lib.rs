//! Embeddings to evidence: protocols, verification curves and reports.
//!
//! The way through: a [`Protocol`] says which images are compared, the caller brings one row of [`Vectors`] for each
//! of its images, and an [`Evaluation`] holds every figure with the rule that made it and its interval. No picture is
//! ever read here.
//!
//! - [`embeddings`]: files of named vectors, so that pictures need not move.
//! - [`protocol`]: pair files, folds, missing images.
//! - [`verification`]: accuracy over folds, thresholds by a named [`Rule`].
//! - [`scores`] and [`roc`]: curves, area, equal error rate, TAR at FAR by the conservative rule.
//! - [`interval`]: bootstrap over people.
//! - [`operating`], [`calibration`] and [`groups`]: thresholds to work with, probabilities, groups of people.
//! - [`identification`]: searches in a gallery, CMC, DET, growing distractors, templates.
//! - [`scored`] and [`comparison`]: two models on the same pairs.
//! - [`evaluation`]: the figures as `evaluation.json`.
//! - [`report`]: the figures as a page, with room for sections of others.

mod aside;
pub mod calibration;
pub mod comparison;
pub mod embeddings;
pub mod evaluation;
mod feature;
pub mod groups;
mod histogram;
pub mod identification;
pub mod interval;
pub mod operating;
pub mod protocol;
mod replicates;
pub mod report;
pub mod roc;
pub mod scored;
pub mod scores;
mod vectors;
pub mod verification;

pub use comparison::Comparison;
pub use embeddings::{Embeddings, SetRule};
pub use evaluation::{Evaluation, ModelIdentity, Settings};
pub use feature::{FeatureRule, UnknownFeatureRule};
pub use histogram::Histogram;
pub use protocol::Protocol;
pub use scored::ScoredPairs;
pub use vectors::{Vectors, VectorsError};
pub use verification::{Rule, Verifier};
