//! Everything that can end a run before its time.

use std::io;

use crate::checkpoint::CheckpointError;
use crate::diagnosis::Diagnosis;
use crate::fit::HookError;
use crate::journal::JournalError;
use crate::learner::LearnerError;
use crate::recipe::{Length, RecipeError};

/// Why weights cannot be started from.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model file cannot be read.
    #[error(transparent)]
    Model(#[from] net::ModelFileError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The directory has no checkpoint.
    #[error("a run directory with a checkpoint, or a model file, was expected")]
    NoCheckpoint,
    /// The weights are of another network.
    #[error("its weights are of another network than the recipe's")]
    Weights(#[from] LearnerError),
}

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The loss does not suit the number of people.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The schedule is shorter than one step.
    #[error("schedule.length is less than one step over {images} images in batches of {batch}: {length}")]
    NoStep {
        /// The schedule's length.
        length: Length,
        /// Images in an epoch.
        images: u64,
        /// Images in a step.
        batch: u64,
    },
    /// The warm-up leaves no step for the rest of the schedule.
    #[error("schedule.warm_up must be shorter than the {steps} steps of the run: {warm_up} steps")]
    WarmUp {
        /// Steps of the warm-up.
        warm_up: u64,
        /// Steps of the run.
        steps: u64,
    },
    /// A loss over pairs or triplets without people who have several images.
    #[error(
        "loss.features {loss} needs at least two people with two images or more, {several} of the {people} people have them"
    )]
    NoPairs {
        /// The loss.
        loss: &'static str,
        /// People with two images or more.
        several: usize,
        /// All people.
        people: usize,
    },
    /// The weights of another training cannot be started from.
    #[error("`run.start` cannot be used: {}", path.display())]
    Start {
        /// The model file or run directory.
        path: std::path::PathBuf,
        /// What is wrong with it.
        source: Box<StartError>,
    },
    /// Network, weights and card make no model, for example where the landmark template does not fit the input.
    #[error("the recipe makes no valid model")]
    Model(#[from] net::InvalidModel),
    /// The model card contradicts the network.
    #[error("the recipe makes no valid model")]
    Card(#[from] net::CardError),
    /// Backbone or head cannot be made or restored.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The journal cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another file of the run directory cannot be written; the message names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An image that is not kept in memory cannot be read.
    #[error(transparent)]
    Image(#[from] data::ReadError),
    /// The caller's measurement failed.
    #[error("validation failed after step {step}")]
    Validation {
        /// Updates done.
        step: u64,
        /// What the caller says.
        source: HookError,
    },
    /// A value stopped being finite.
    #[error("training diverged: {0}")]
    Diverged(Box<Diagnosis>),
}
