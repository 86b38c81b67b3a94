//! Networks compiled for a batch size: steps over offsets in one arena, so that running a plan allocates nothing.

mod arena;
mod embedding;
mod forward_only;
mod fusion;
mod node;
#[cfg(test)]
mod reference;
mod times;
mod training;

pub use embedding::{EmbeddingPlan, EmbeddingPlanError};
pub use times::StepTime;
pub use training::TrainingPlan;

/// A batch of images as bytes: `[images, height, width, 3]`, and how a byte becomes an activation.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    /// The images one after another, rows of interleaved channels.
    pub bytes: &'a [u8],
    /// Subtracted from every byte of a channel.
    pub mean: [f32; 3],
    /// What the difference is divided by.
    pub scale: [f32; 3],
}

/// Why a network cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A convolution that is neither full nor depthwise.
    #[error(
        "convolution {node} has {groups} groups over {channels} channels, training runs 1 group or one a channel"
    )]
    Groups {
        /// Name of the node.
        node: String,
        /// Its groups.
        groups: usize,
        /// Channels of its input.
        channels: usize,
    },
    /// An operation that is applied but not trained.
    #[error("node {node} is a {op}, which can be applied but not trained")]
    Untrainable {
        /// Name of the node.
        node: String,
        /// Its operation.
        op: &'static str,
    },
    /// Batch statistics of a single value for each channel, which have no variance.
    #[error(
        "batch normalisation {node} sees one value per channel in a batch of {batch}, use a batch of at least 2"
    )]
    BatchOfOne {
        /// Name of the node.
        node: String,
        /// Images in the batch.
        batch: usize,
    },
    /// More memory than a network should need.
    #[error(
        "the activations of a batch of {batch} would take {bytes} bytes, at most {} are given; take a smaller batch or \
         smaller images",
        embedding::ACTIVATION_BYTES_AT_MOST
    )]
    Activations {
        /// Bytes of all activations.
        bytes: usize,
        /// Images in the batch.
        batch: usize,
    },
    /// More weights than a convolution in groups may have once the zeros between them are written out.
    #[error("convolution {node} in groups has {weights} weights without them, more than can be computed")]
    GroupedWeights {
        /// Name of the node.
        node: String,
        /// Weights of the full convolution.
        weights: usize,
    },
    /// No image at all.
    #[error("a plan needs at least one image in a batch")]
    EmptyBatch,
}
