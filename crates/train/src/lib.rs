//! Recipe to run: schedules, the training loop, checkpoints and journals.
//!
//! - [`recipe`]: `recipe.toml`, as written and as checked.
//! - [`images`]: the images that a recipe names, opened for training.
//! - [`run`]: the directory of a run, and the lock on it.
//! - [`fit`]: the training loop.
//! - [`schedule`]: learning rate and loss as functions of the step.
//! - [`checkpoint`], [`journal`], [`tensorboard`]: what a run leaves behind.
//! - [`diagnosis`]: why a run stopped being finite. [`progress`]: what to show meanwhile.

mod beside;
pub mod checkpoint;
mod crc32c;
pub mod diagnosis;
mod fingerprint;
pub mod fit;
pub mod images;
pub mod journal;
mod learner;
pub mod progress;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod tensorboard;

pub use learner::LearnerError;
