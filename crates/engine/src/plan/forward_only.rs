//! Operations of networks that others trained, which are applied but not trained here.

use net::{Network, Op, Role, Shape, Slice, Tap};

use super::arena::{Arena, Value};
use super::node;
use crate::kernels::epilogue::After;
use crate::kernels::pooling::{self, Windows};
use crate::kernels::{arrangement, elementwise, epilogue};
use crate::parameters::Parameters;
use crate::pool::Pool;

/// Whether a node can be applied but not trained.
pub(super) fn is_forward_only(op: &Op) -> bool {
    !matches!(
        op,
        Op::Convolution(_) | Op::BatchNorm(_) | Op::PRelu(_) | Op::Add | Op::Dropout(_) | Op::Linear(_)
    )
}

#[derive(Debug)]
pub(super) enum Operation {
    Clip {
        low: f32,
        high: f32,
    },
    Sigmoid,
    Softmax {
        channels: usize,
    },
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    Multiply,
    MultiplyChannels {
        channels: usize,
    },
    /// Each input's width, in an output of the sum of them.
    Columns {
        widths: Vec<usize>,
    },
    ChannelsFirst {
        shape: Shape,
    },
    Pool(Windows),
    GlobalAverage {
        channels: usize,
    },
    Upsample {
        shape: Shape,
        factor: usize,
    },
    Resample {
        shape: Shape,
        rows: Vec<Tap>,
        columns: Vec<Tap>,
    },
    Slice {
        shape: Shape,
        slice: Slice,
    },
}

impl Operation {
    /// What node `index` does, if it is of this kind.
    pub(super) fn of(
        network: &Network,
        shapes: &[Shape],
        parameters: &Parameters,
        index: usize,
    ) -> Option<Operation> {
        let node = &network.nodes[index];
        let inputs: Vec<Shape> = node.inputs.iter().map(|source| network.shape_of(*source, shapes)).collect();
        let shape = inputs[0];
        let required =
            |role| node::required(parameters.entries(), parameters.trained(), index, role).to_vec();
        Some(match &node.op {
            Op::Relu => Operation::Clip { low: 0.0, high: f32::INFINITY },
            Op::Clip(clip) => Operation::Clip {
                low: clip.low.unwrap_or(f32::NEG_INFINITY),
                high: clip.high.unwrap_or(f32::INFINITY),
            },
            Op::Sigmoid => Operation::Sigmoid,
            Op::Softmax => Operation::Softmax { channels: shape.channels },
            Op::Affine => Operation::Affine { scale: required(Role::Gamma), shift: required(Role::Beta) },
            Op::Multiply if inputs[1] == shape => Operation::Multiply,
            Op::Multiply => Operation::MultiplyChannels { channels: shape.channels },
            Op::Concat => Operation::Columns { widths: inputs.iter().map(|input| input.channels).collect() },
            Op::Join => Operation::Columns { widths: inputs.iter().map(Shape::elements).collect() },
            Op::Flatten => Operation::ChannelsFirst { shape },
            Op::Pool(settings) => {
                Operation::Pool(Windows { source: shape, target: shapes[index], settings: *settings })
            }
            Op::GlobalAverage => Operation::GlobalAverage { channels: shape.channels },
            Op::Upsample(upsample) => Operation::Upsample { shape, factor: upsample.factor },
            Op::Resample(resample) => Operation::Resample {
                shape,
                rows: resample.taps(0, shape.height),
                columns: resample.taps(1, shape.width),
            },
            Op::Slice(slice) => Operation::Slice { shape, slice: *slice },
            Op::Convolution(_)
            | Op::BatchNorm(_)
            | Op::PRelu(_)
            | Op::Add
            | Op::Dropout(_)
            | Op::Linear(_) => {
                return None;
            }
        })
    }

    /// Computes `output` for the first `images` of the `batch` images that the values have room for.
    pub(super) fn run(
        &self,
        pool: &Pool,
        arena: &mut Arena,
        sources: &[Value],
        output: Value,
        [images, batch]: [usize; 2],
    ) {
        let part = |whole: &[f32]| whole.len() / batch * images;
        match self {
            Operation::Multiply | Operation::MultiplyChannels { .. } => {
                let ([first, second], output) = arena.read_write([sources[0], sources[1]], output);
                let (first, second, len) = (&first[..part(first)], &second[..part(second)], part(output));
                let output = &mut output[..len];
                if let Operation::MultiplyChannels { channels } = self {
                    elementwise::multiply_channels(pool, first, second, *channels, output);
                } else {
                    elementwise::multiply(pool, first, second, output);
                }
            }
            Operation::Columns { widths } => {
                let (total, mut start) = (widths.iter().sum(), 0);
                for (source, width) in sources.iter().zip(widths) {
                    let ([source], output) = arena.read_write([*source], output);
                    let len = part(output);
                    arrangement::columns(&source[..part(source)], *width, start, total, &mut output[..len]);
                    start += width;
                }
            }
            single => {
                let ([source], output) = arena.read_write([sources[0]], output);
                let len = part(output);
                single.run_single(pool, &source[..part(source)], &mut output[..len]);
            }
        }
    }

    fn run_single(&self, pool: &Pool, source: &[f32], output: &mut [f32]) {
        match self {
            Operation::Clip { low, high } => elementwise::clip(pool, source, *low, *high, output),
            Operation::Sigmoid => elementwise::sigmoid(pool, source, output),
            Operation::Softmax { channels } => elementwise::softmax(pool, source, *channels, output),
            Operation::Affine { scale, shift } => {
                let affine = Some([&scale[..], &shift[..]]);
                epilogue::map(pool, source.into(), scale.len(), affine, After::default(), output.into());
            }
            Operation::ChannelsFirst { shape } => arrangement::channels_first(pool, source, *shape, output),
            Operation::Pool(windows) => pooling::windows(pool, windows, source, output),
            Operation::GlobalAverage { channels } => pooling::global_average(pool, source, *channels, output),
            Operation::Upsample { shape, factor } => {
                arrangement::upsample(pool, source, *shape, *factor, output);
            }
            Operation::Resample { shape, rows, columns } => {
                arrangement::resample(pool, source, *shape, [rows, columns], output);
            }
            Operation::Slice { shape, slice } => arrangement::slice(pool, source, *shape, slice, output),
            Operation::Multiply | Operation::MultiplyChannels { .. } | Operation::Columns { .. } => {
                unreachable!("operations of several inputs are handled by their caller")
            }
        }
    }
}

/// Weights of a grouped convolution as those of a full one, with zeros between channels of different groups.
///
/// # Shapes
/// `weights` `[taps, inputs / groups, outputs]`; the result `[taps, inputs, outputs]`.
pub(super) fn without_groups(weights: &[f32], groups: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let (own, made) = (inputs / groups, outputs / groups);
    let mut full = vec![0.0; weights.len() * groups];
    for (row, values) in weights.chunks_exact(outputs).enumerate() {
        let (tap, input) = (row / own, row % own);
        for group in 0..groups {
            let columns = group * made..(group + 1) * made;
            let start = (tap * inputs + group * own + input) * outputs;
            full[start + columns.start..start + columns.end].copy_from_slice(&values[columns]);
        }
    }
    full
}
