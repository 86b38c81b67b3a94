//! The operations a node can perform, with their settings.

use serde::{Deserialize, Serialize};

use crate::{Init, Resample};

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
    /// Negative values become 0: `y = max(x, 0)`.
    Relu,
    /// Values kept between two bounds.
    Clip(Clip),
    /// `y = 1 / (1 + exp(-x))`.
    Sigmoid,
    /// `y_c = exp(x_c) / sum over channels k of exp(x_k)` at every position.
    Softmax,
    /// Scale and shift of every channel, `y = weight x + bias`.
    Affine,
    /// Element-wise product; the second input may be 1 x 1 and is then spread over all positions of the first.
    Multiply,
    /// The channels of all inputs after each other; heights and widths are equal.
    Concat,
    /// All inputs as one vector: each in height, width, channel order, after each other.
    ///
    /// A network with several outputs, such as a detector, ends in it.
    Join,
    /// A vector in channel, height, width order.
    Flatten,
    /// Largest value or mean of a moving window.
    Pool(Pool),
    /// Mean over all positions of a channel.
    GlobalAverage,
    /// Every position repeated.
    Upsample(Upsample),
    /// Another height and width by interpolation.
    Resample(Resample),
    /// Every so many-th row, column and channel between two bounds.
    Slice(Slice),
}

impl Op {
    /// The number of inputs the operation takes; `None` for any number above 0.
    pub fn arity(&self) -> Option<usize> {
        match self {
            Op::Add | Op::Multiply => Some(2),
            Op::Concat | Op::Join => None,
            _ => Some(1),
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
            Op::Relu => "relu",
            Op::Clip(_) => "clip",
            Op::Sigmoid => "sigmoid",
            Op::Softmax => "softmax",
            Op::Affine => "affine",
            Op::Multiply => "multiply",
            Op::Concat => "concat",
            Op::Join => "join",
            Op::Flatten => "flatten",
            Op::Pool(_) => "pool",
            Op::GlobalAverage => "global_average",
            Op::Upsample(_) => "upsample",
            Op::Resample(_) => "resample",
            Op::Slice(_) => "slice",
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

/// `y = min(max(x, low), high)`; a bound that is absent does not bind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The lower bound.
    pub low: Option<f32>,
    /// The upper bound.
    pub high: Option<f32>,
}

/// Pooling over height and width. Padding takes no part in a largest value, nor in a mean or its divisor.
///
/// # Shapes
/// Height and width become `(size + 2 padding - kernel) / stride + 1`, rounded as `rounding` says; a last window that
/// would begin beyond the input and its padding before it is left out, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step between two windows, in both directions.
    pub stride: usize,
    /// Positions added on each of the four sides, below the shorter side of the window.
    pub padding: usize,
    /// What becomes of a window that the input fills in part.
    pub rounding: Rounding,
}

/// What a pooling takes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest value.
    Largest,
    /// The mean.
    Average,
}

/// How the number of windows is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// Whole windows only.
    Down,
    /// Also windows that reach over the far edge.
    Up,
}

impl Pool {
    /// Windows along a side of `size` positions with a kernel of `kernel`; `None` where not one fits.
    pub fn windows(&self, size: usize, kernel: usize) -> Option<usize> {
        let room = (size + 2 * self.padding).checked_sub(kernel)?;
        Some(match self.rounding {
            Rounding::Down => room / self.stride + 1,
            Rounding::Up => {
                let windows = room.div_ceil(self.stride) + 1;
                windows - usize::from((windows - 1) * self.stride >= size + self.padding)
            }
        })
    }
}

/// Nearest-neighbour enlargement: `y[i, j] = x[i / factor, j / factor]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upsample {
    /// How often a position is repeated in each direction.
    pub factor: usize,
}

/// A part of the input, along each of its three sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The rows.
    pub rows: Span,
    /// The columns.
    pub columns: Span,
    /// The channels.
    pub channels: Span,
}

/// Positions `start`, `start + step`, and so on below `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The first position.
    pub start: usize,
    /// The position after the last one that may be taken.
    pub end: usize,
    /// From one to the next.
    pub step: usize,
}

impl Span {
    /// The whole of a side.
    pub fn whole(size: usize) -> Span {
        Span { start: 0, end: size, step: 1 }
    }

    /// Number of positions.
    pub fn count(&self) -> usize {
        self.end.saturating_sub(self.start).div_ceil(self.step)
    }
}
