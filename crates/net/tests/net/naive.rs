//! What a network computes, written down from the definitions: one image, channel by channel, in f64.

use net::{Network, Op, PoolKind, Shape, Source, Weights};

/// Values of one activation in channel, height, width order.
#[derive(Clone)]
struct Map {
    shape: Shape,
    values: Vec<f64>,
}

impl Map {
    /// The value at a position, which is 0 in the padding.
    fn at(&self, channel: usize, row: isize, column: isize) -> f64 {
        let inside =
            |position: isize, size: usize| usize::try_from(position).ok().filter(|place| *place < size);
        match (inside(row, self.shape.height), inside(column, self.shape.width)) {
            (Some(row), Some(column)) => {
                self.values[(channel * self.shape.height + row) * self.shape.width + column]
            }
            _ => 0.0,
        }
    }
}

/// The feature of an image given in channel, height, width order.
pub(crate) fn feature(network: &Network, weights: &Weights, image: &[f64]) -> Vec<f64> {
    let shapes = network.shapes();
    let image = Map { shape: network.image_shape(), values: image.to_vec() };
    let mut maps: Vec<Map> = Vec::new();
    for (node, shape) in network.nodes.iter().zip(&shapes) {
        let input = |index: usize| match node.inputs[index] {
            Source::Image => &image,
            Source::Node(node) => &maps[node],
        };
        let parameter = |suffix: &str| -> Vec<f64> {
            let tensor = weights.get(&format!("{}.{suffix}", node.name)).unwrap();
            tensor.values.iter().map(|value| f64::from(*value)).collect()
        };
        let x = input(0);
        let each = |value: &dyn Fn(usize, usize, usize) -> f64| -> Vec<f64> {
            let mut values = Vec::new();
            for channel in 0..shape.channels {
                for row in 0..shape.height {
                    for column in 0..shape.width {
                        values.push(value(channel, row, column));
                    }
                }
            }
            values
        };
        let same = |channel: usize, row: usize, column: usize| {
            x.values[(channel * shape.height + row) * shape.width + column]
        };
        let values = match &node.op {
            Op::Convolution(convolution) => {
                let weight = parameter("weight");
                let bias = if convolution.bias { parameter("bias") } else { vec![0.0; shape.channels] };
                let [height, width] = convolution.kernel;
                let inputs = x.shape.channels / convolution.groups;
                let outputs = shape.channels / convolution.groups;
                each(&|out, row, column| {
                    let mut sum = bias[out];
                    for i in 0..inputs {
                        for u in 0..height {
                            for v in 0..width {
                                let place = |start: usize, step: usize| {
                                    (start * convolution.stride + step) as isize
                                        - convolution.padding as isize
                                };
                                let from = out / outputs * inputs + i;
                                sum += weight[((out * inputs + i) * height + u) * width + v]
                                    * x.at(from, place(row, u), place(column, v));
                            }
                        }
                    }
                    sum
                })
            }
            Op::BatchNorm(norm) => {
                let (gamma, beta) = (parameter("weight"), parameter("bias"));
                let (mean, variance) = (parameter("running_mean"), parameter("running_var"));
                each(&|channel, row, column| {
                    let centred = same(channel, row, column) - mean[channel];
                    gamma[channel] * centred / (variance[channel] + f64::from(norm.epsilon)).sqrt()
                        + beta[channel]
                })
            }
            Op::PRelu(_) => {
                let slope = parameter("weight");
                each(&|channel, row, column| {
                    let value = same(channel, row, column);
                    if value > 0.0 { value } else { slope[channel] * value }
                })
            }
            Op::Add => x.values.iter().zip(&input(1).values).map(|(left, right)| left + right).collect(),
            Op::Dropout(_) => x.values.clone(),
            Op::Linear(linear) => {
                let weight = parameter("weight");
                let bias = if linear.bias { parameter("bias") } else { vec![0.0; shape.channels] };
                let row = |out: usize| &weight[out * x.values.len()..(out + 1) * x.values.len()];
                let product = |out: usize| row(out).iter().zip(&x.values).map(|(w, x)| w * x).sum::<f64>();
                (0..shape.channels).map(|out| bias[out] + product(out)).collect()
            }
            Op::Relu => x.values.iter().map(|value| value.max(0.0)).collect(),
            Op::Clip(clip) => {
                let low = clip.low.map_or(f64::NEG_INFINITY, f64::from);
                let high = clip.high.map_or(f64::INFINITY, f64::from);
                x.values.iter().map(|value| value.clamp(low, high)).collect()
            }
            Op::Sigmoid => x.values.iter().map(|value| 1.0 / (1.0 + (-value).exp())).collect(),
            Op::Softmax => each(&|channel, row, column| {
                let all = (0..shape.channels).map(|other| same(other, row, column).exp());
                same(channel, row, column).exp() / all.sum::<f64>()
            }),
            Op::Affine => {
                let (weight, bias) = (parameter("weight"), parameter("bias"));
                each(&|channel, row, column| weight[channel] * same(channel, row, column) + bias[channel])
            }
            Op::Multiply => {
                let other = input(1);
                each(&|channel, row, column| {
                    let spread = other.shape.positions() == 1;
                    let place = |at: usize| if spread { 0 } else { at as isize };
                    same(channel, row, column) * other.at(channel, place(row), place(column))
                })
            }
            Op::Concat => (0..node.inputs.len()).flat_map(|index| input(index).values.clone()).collect(),
            Op::Join => {
                let mut values = Vec::new();
                for part in (0..node.inputs.len()).map(input) {
                    for row in 0..part.shape.height as isize {
                        for column in 0..part.shape.width as isize {
                            values.extend(
                                (0..part.shape.channels).map(|channel| part.at(channel, row, column)),
                            );
                        }
                    }
                }
                values
            }
            Op::Flatten => x.values.clone(),
            Op::Pool(pool) => each(&|channel, row, column| {
                let rows = window(row, pool.kernel[0], pool.stride, pool.padding, x.shape.height);
                let values: Vec<f64> = rows
                    .flat_map(|row| {
                        window(column, pool.kernel[1], pool.stride, pool.padding, x.shape.width)
                            .map(move |column| x.at(channel, row, column))
                    })
                    .collect();
                match pool.kind {
                    PoolKind::Largest => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                    PoolKind::Average => values.iter().sum::<f64>() / values.len() as f64,
                }
            }),
            Op::GlobalAverage => {
                let positions = x.shape.positions();
                x.values.chunks(positions).map(|plane| plane.iter().sum::<f64>() / positions as f64).collect()
            }
            Op::Upsample(upsample) => each(&|channel, row, column| {
                x.at(channel, (row / upsample.factor) as isize, (column / upsample.factor) as isize)
            }),
            // Places are tested by hand where they are made; here the values between them.
            Op::Resample(resample) => {
                let rows = resample.taps(0, x.shape.height);
                let columns = resample.taps(1, x.shape.width);
                each(&|channel, row, column| {
                    let (row, column) = (rows[row], columns[column]);
                    let across = |y: usize| {
                        let share = f64::from(column.share);
                        (1.0 - share) * x.at(channel, y as isize, column.low as isize)
                            + share * x.at(channel, y as isize, column.high as isize)
                    };
                    let share = f64::from(row.share);
                    (1.0 - share) * across(row.low) + share * across(row.high)
                })
            }
            Op::Slice(slice) => each(&|channel, row, column| {
                let place = |span: net::Span, index: usize| (span.start + index * span.step) as isize;
                let channel = place(slice.channels, channel) as usize;
                x.at(channel, place(slice.rows, row), place(slice.columns, column))
            }),
        };
        maps.push(Map { shape: *shape, values });
    }
    maps.pop().unwrap().values
}

/// The positions of a window that lie inside.
fn window(
    index: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    size: usize,
) -> impl Iterator<Item = isize> {
    let start = (index * stride) as isize - padding as isize;
    (start..start + kernel as isize).filter(move |place| (0..size as isize).contains(place))
}
