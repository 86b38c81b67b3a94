//! The operations a node can perform, with their settings.

use serde::{Deserialize, Serialize};

use crate::Init;

/// What a node computes from its inputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Discrete cross-correlation over height and width.
    Convolution(Convolution),
    /// Normalisation of every channel over batch, height and width.
    BatchNorm(BatchNorm),
    /// Rectifier whose negative slope is learned.
    #[serde(rename = "prelu")]
    PRelu(PRelu),
    /// Element-wise sum of two inputs of equal shape.
    Add,
    /// Random zeroing while training, the identity otherwise.
    Dropout(Dropout),
    /// Fully connected layer over the flattened input.
    Linear(Linear),
}

impl Op {
    /// The number of inputs the operation takes.
    pub fn arity(&self) -> usize {
        match self {
            Op::Add => 2,
            _ => 1,
        }
    }

    /// The operation's name as it is written in a network's JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Convolution(_) => "convolution",
            Op::BatchNorm(_) => "batch_norm",
            Op::PRelu(_) => "prelu",
            Op::Add => "add",
            Op::Dropout(_) => "dropout",
            Op::Linear(_) => "linear",
        }
    }
}

/// Cross-correlation with zero padding: `y[o] = bias[o] + sum over i, u, v of w[o, i, u, v] x[i, ..]`, as every
/// deep learning library defines its convolution.
///
/// # Shapes
/// Height and width become `(size + 2 padding - kernel) / stride + 1`, rounded down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Channels of the output.
    pub out_channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Step between two outputs, in both directions.
    pub stride: usize,
    /// Zeros added on each of the four sides.
    pub padding: usize,
    /// Groups of channels that do not see each other; equal to the input channels for a depthwise convolution.
    pub groups: usize,
    /// Whether a bias per output channel is added.
    pub bias: bool,
    /// How the weight starts. A bias starts at 0.
    pub init: Init,
}

/// Batch normalisation: `y = gamma (x - mean) / sqrt(variance + epsilon) + beta` for each channel
/// (arXiv:1502.03167, algorithm 1). Mean and variance are those of the batch while training and the running ones
/// otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Added to the variance; 1e-5 in PyTorch and in every published network here.
    pub epsilon: f32,
    /// Weight of the new batch in the running statistics: `running = (1 - momentum) running + momentum batch`.
    pub momentum: f32,
}

/// Rectifier with a learned slope for each channel: `y = x` if `x > 0`, else `slope x` (arXiv:1502.01852, eq. 1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PRelu {
    /// Where every slope starts; 0.25 in the paper.
    pub init: f32,
}

/// Dropout: while training each element is 0 with `probability`, and the others are divided by `1 - probability`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Chance of an element to be dropped, at least 0 and below 1.
    pub probability: f32,
}

/// Fully connected layer: `y = W x + bias` over the input flattened in channel, height, width order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Length of the output vector.
    pub out_features: usize,
    /// Whether a bias per output is added.
    pub bias: bool,
    /// How the weight starts. A bias starts at 0.
    pub init: Init,
}
