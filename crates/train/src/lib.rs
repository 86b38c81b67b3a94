//! Recipe to run: schedules, the training loop, checkpoints and journals.

pub mod checkpoint;
mod crc32c;
pub mod diagnosis;
mod fingerprint;
pub mod journal;
pub mod progress;
pub mod recipe;
pub mod run;
pub mod schedule;
pub mod tensorboard;
