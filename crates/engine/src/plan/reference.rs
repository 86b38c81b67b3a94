//! A network's forward pass in f64, straight from the definitions and the file layout of the weights.

mod others;

use net::{Network, Op, Shape, Source, Weights};

use crate::gemm::Store;
use crate::kernels::dropout;
use crate::pool::Pool;

/// Features of a batch while training: batch statistics, and the engine's own choice of dropped elements.
pub(super) fn features(
    network: &Network,
    weights: &Weights,
    bytes: &[u8],
    batch: usize,
    seed: u64,
) -> Vec<f64> {
    run(network, weights, bytes, batch, Some(seed))
}

/// Features of a batch while embedding: running statistics, nothing dropped.
pub(super) fn embedding(network: &Network, weights: &Weights, bytes: &[u8], batch: usize) -> Vec<f64> {
    run(network, weights, bytes, batch, None)
}

fn run(network: &Network, weights: &Weights, bytes: &[u8], batch: usize, training: Option<u64>) -> Vec<f64> {
    let shapes = network.shapes();
    let image: Vec<f64> = bytes.iter().map(|byte| (f64::from(*byte) - 127.5) / 128.0).collect();
    let mut outputs: Vec<Vec<f64>> = Vec::new();
    for (index, node) in network.nodes.iter().enumerate() {
        let input = |which: usize| match node.inputs[which] {
            Source::Image => &image,
            Source::Node(node) => &outputs[node],
        };
        let source = input(0);
        let shape = network.shape_of(node.inputs[0], &shapes);
        let tensor = |suffix: &str| {
            let tensor = weights.get(&format!("{}.{suffix}", node.name));
            tensor.map(|tensor| tensor.values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>())
        };
        let channels = shapes[index].channels;
        let output = match &node.op {
            Op::Convolution(settings) => {
                let (kernel, stride, padding) = (settings.kernel, settings.stride, settings.padding);
                let weight = tensor("weight").unwrap();
                let bias = tensor("bias").unwrap_or(vec![0.0; channels]);
                let outputs_of_group = settings.out_channels / settings.groups;
                let inputs_of_group = shape.channels / settings.groups;
                each_output(batch, shapes[index], |image, y, x, output| {
                    let group = output / outputs_of_group;
                    let mut sum = bias[output];
                    for input in 0..inputs_of_group {
                        for row in 0..kernel[0] {
                            for column in 0..kernel[1] {
                                let from_y = (y * stride + row).wrapping_sub(padding);
                                let from_x = (x * stride + column).wrapping_sub(padding);
                                if from_y < shape.height && from_x < shape.width {
                                    let pixel = (image * shape.height + from_y) * shape.width + from_x;
                                    let value =
                                        source[pixel * shape.channels + group * inputs_of_group + input];
                                    let at = ((output * inputs_of_group + input) * kernel[0] + row)
                                        * kernel[1]
                                        + column;
                                    sum += weight[at] * value;
                                }
                            }
                        }
                    }
                    sum
                })
            }
            Op::Linear(_) => {
                let weight = tensor("weight").unwrap();
                let bias = tensor("bias").unwrap_or(vec![0.0; channels]);
                each_output(batch, shapes[index], |image, _, _, output| {
                    let mut sum = bias[output];
                    for channel in 0..shape.channels {
                        for position in 0..shape.positions() {
                            let value =
                                source[(image * shape.positions() + position) * shape.channels + channel];
                            sum += weight[output * shape.elements() + channel * shape.positions() + position]
                                * value;
                        }
                    }
                    sum
                })
            }
            Op::BatchNorm(settings) => {
                let (gamma, beta) = (tensor("weight").unwrap(), tensor("bias").unwrap());
                let rows = source.len() / channels;
                let column = |channel: usize| (0..rows).map(move |row| source[row * channels + channel]);
                let (mean, variance): (Vec<f64>, Vec<f64>) = match training {
                    Some(_) => (0..channels)
                        .map(|channel| {
                            let mean = column(channel).sum::<f64>() / rows as f64;
                            (mean, column(channel).map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64)
                        })
                        .unzip(),
                    None => (tensor("running_mean").unwrap(), tensor("running_var").unwrap()),
                };
                let normalise = |(index, value): (usize, &f64)| {
                    let channel = index % channels;
                    let deviation = (variance[channel] + f64::from(settings.epsilon)).sqrt();
                    gamma[channel] * (value - mean[channel]) / deviation + beta[channel]
                };
                source.iter().enumerate().map(normalise).collect()
            }
            Op::PRelu(_) => {
                let slopes = tensor("weight").unwrap();
                let rectify = |(index, value): (usize, &f64)| {
                    if *value > 0.0 { *value } else { slopes[index % channels] * value }
                };
                source.iter().enumerate().map(rectify).collect()
            }
            Op::Add => source.iter().zip(input(1)).map(|(a, b)| a + b).collect(),
            Op::Dropout(settings) => match training {
                None => source.clone(),
                Some(seed) => {
                    let seed = seed ^ (index as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
                    let pool = Pool::new(1).unwrap();
                    let mut factors = vec![0.0f32; source.len()];
                    let ones = vec![1.0f32; source.len()];
                    dropout::apply(&pool, settings.probability, seed, &ones, &mut factors, Store::Replace);
                    source.iter().zip(factors).map(|(value, factor)| value * f64::from(factor)).collect()
                }
            },
            other => {
                let inputs: Vec<(&[f64], Shape)> = (0..node.inputs.len())
                    .map(|which| (input(which).as_slice(), network.shape_of(node.inputs[which], &shapes)))
                    .collect();
                others::output(other, &inputs, shapes[index], batch, &tensor)
            }
        };
        outputs.push(output);
    }
    outputs.pop().unwrap()
}

/// One value for each image, position and channel, NHWC.
fn each_output(batch: usize, shape: Shape, value: impl Fn(usize, usize, usize, usize) -> f64) -> Vec<f64> {
    (0..batch * shape.elements())
        .map(|index| {
            let (pixel, channel) = (index / shape.channels, index % shape.channels);
            let (position, image) = (pixel % shape.positions(), pixel / shape.positions());
            value(image, position / shape.width, position % shape.width, channel)
        })
        .collect()
}
