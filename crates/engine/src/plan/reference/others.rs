//! Operations that are applied but not trained, from their definitions.

use net::{Coordinates, Extent, Interpolation, Op, PoolKind, Shape, Span};

use super::each_output;

/// The output of an operation for a batch, NHWC.
pub(super) fn output(
    op: &Op,
    inputs: &[(&[f64], Shape)],
    to: Shape,
    batch: usize,
    tensor: &dyn Fn(&str) -> Option<Vec<f64>>,
) -> Vec<f64> {
    let (values, from) = inputs[0];
    let value = |(values, shape): (&[f64], Shape), [image, y, x, channel]: [usize; 4]| {
        values[((image * shape.height + y) * shape.width + x) * shape.channels + channel]
    };
    let at = |image, y, x, channel| value((values, from), [image, y, x, channel]);
    let single = |function: &dyn Fn(f64) -> f64| values.iter().map(|value| function(*value)).collect();
    match op {
        Op::Relu => single(&|value| value.max(0.0)),
        Op::Clip(clip) => single(&|value| {
            let raised = clip.low.map_or(value, |low| value.max(f64::from(low)));
            clip.high.map_or(raised, |high| raised.min(f64::from(high)))
        }),
        Op::Sigmoid => single(&|value| 1.0 / (1.0 + (-value).exp())),
        Op::Softmax => each_output(batch, to, |image, y, x, channel| {
            let sum: f64 = (0..to.channels).map(|other| at(image, y, x, other).exp()).sum();
            at(image, y, x, channel).exp() / sum
        }),
        Op::Affine => {
            let (weight, bias) = (tensor("weight").unwrap(), tensor("bias").unwrap());
            each_output(batch, to, |image, y, x, channel| {
                weight[channel] * at(image, y, x, channel) + bias[channel]
            })
        }
        Op::Multiply => each_output(batch, to, |image, y, x, channel| {
            let place = if inputs[1].1.positions() == 1 { [0, 0] } else { [y, x] };
            at(image, y, x, channel) * value(inputs[1], [image, place[0], place[1], channel])
        }),
        Op::Concat => each_output(batch, to, |image, y, x, channel| {
            let mut channel = channel;
            for input in inputs {
                if channel < input.1.channels {
                    return value(*input, [image, y, x, channel]);
                }
                channel -= input.1.channels;
            }
            unreachable!("channels of a concatenation")
        }),
        Op::Join => (0..batch)
            .flat_map(|image| {
                inputs.iter().flat_map(move |(values, shape)| {
                    values[image * shape.elements()..(image + 1) * shape.elements()].to_vec()
                })
            })
            .collect(),
        Op::Flatten => each_output(batch, to, |image, _, _, index| {
            let (channel, position) = (index / from.positions(), index % from.positions());
            at(image, position / from.width, position % from.width, channel)
        }),
        Op::Pool(pool) => each_output(batch, to, |image, y, x, channel| {
            let mut seen = Vec::new();
            for row in 0..pool.kernel[0] {
                for column in 0..pool.kernel[1] {
                    let from_y = (y * pool.stride + row).wrapping_sub(pool.padding);
                    let from_x = (x * pool.stride + column).wrapping_sub(pool.padding);
                    if from_y < from.height && from_x < from.width {
                        seen.push(at(image, from_y, from_x, channel));
                    }
                }
            }
            match pool.kind {
                PoolKind::Largest => seen.into_iter().reduce(f64::max).unwrap(),
                PoolKind::Average => seen.iter().sum::<f64>() / seen.len() as f64,
            }
        }),
        Op::GlobalAverage => each_output(batch, to, |image, _, _, channel| {
            let places = (0..from.height).flat_map(|y| (0..from.width).map(move |x| (y, x)));
            places.map(|(y, x)| at(image, y, x, channel)).sum::<f64>() / from.positions() as f64
        }),
        Op::Upsample(upsample) => each_output(batch, to, |image, y, x, channel| {
            at(image, y / upsample.factor, x / upsample.factor, channel)
        }),
        Op::Resample(resample) => {
            let place = |axis: usize, index: usize, from: usize, to: usize| {
                let factor = match resample.extent {
                    Extent::Factors(factors) => f64::from(factors[axis]),
                    Extent::Size(_) => to as f64 / from as f64,
                };
                let (index, last) = (index as f64, (from - 1) as f64);
                let place = match resample.coordinates {
                    Coordinates::HalfPixel => (index + 0.5) / factor - 0.5,
                    Coordinates::Asymmetric => index / factor,
                    Coordinates::AlignCorners => index * last / (to - 1) as f64,
                    other => unreachable!("{other:?} differs for sides of 1 alone, tested in `net`"),
                };
                match resample.interpolation {
                    Interpolation::Linear => place.clamp(0.0, last),
                    Interpolation::Floor => place.floor().clamp(0.0, last),
                    other => unreachable!("{other:?} is a matter of places, tested in `net`"),
                }
            };
            each_output(batch, to, |image, y, x, channel| {
                let (y, x) = (place(0, y, from.height, to.height), place(1, x, from.width, to.width));
                // Every pixel has the weight of a tent over its place.
                let mut sum = 0.0;
                for row in 0..from.height {
                    for column in 0..from.width {
                        let tent = |place: f64, pixel: usize| (1.0 - (place - pixel as f64).abs()).max(0.0);
                        sum += tent(y, row) * tent(x, column) * at(image, row, column, channel);
                    }
                }
                sum
            })
        }
        Op::Slice(slice) => {
            let place = |span: Span, index: usize| span.start + index * span.step;
            each_output(batch, to, |image, y, x, channel| {
                at(image, place(slice.rows, y), place(slice.columns, x), place(slice.channels, channel))
            })
        }
        other => unreachable!("{} has its definition elsewhere", other.name()),
    }
}
