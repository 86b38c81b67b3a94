//! Each operation as plain loops over its definition: what the fast kernels are tested against.

use super::Geometry;

/// Calls `visit(source pixel, tap, target pixel)` for every pair that a convolution connects.
fn each_pair(geometry: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (source, target) = (geometry.source, geometry.target);
    for image in 0..geometry.images {
        for y in 0..target.height {
            for x in 0..target.width {
                for row in 0..geometry.kernel[0] {
                    for column in 0..geometry.kernel[1] {
                        let from_y = (y * geometry.stride + row).wrapping_sub(geometry.padding);
                        let from_x = (x * geometry.stride + column).wrapping_sub(geometry.padding);
                        if from_y < source.height && from_x < source.width {
                            visit(
                                (image * source.height + from_y) * source.width + from_x,
                                row * geometry.kernel[1] + column,
                                (image * target.height + y) * target.width + x,
                            );
                        }
                    }
                }
            }
        }
    }
}

pub(crate) fn convolution(geometry: &Geometry, source: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    let mut target: Vec<f64> =
        (0..geometry.target_len()).map(|index| f64::from(bias[index % outputs])).collect();
    each_pair(geometry, |from, tap, to| {
        for input in 0..inputs {
            for output in 0..outputs {
                target[to * outputs + output] += f64::from(source[from * inputs + input])
                    * f64::from(weights[(tap * inputs + input) * outputs + output]);
            }
        }
    });
    target.into_iter().map(|value| value as f32).collect()
}

pub(crate) fn convolution_gradients(
    geometry: &Geometry,
    source: &[f32],
    weights: &[f32],
    d_target: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    let (mut d_source, mut d_weights) = (vec![0.0f64; source.len()], vec![0.0f64; weights.len()]);
    each_pair(geometry, |from, tap, to| {
        for input in 0..inputs {
            for output in 0..outputs {
                let weight = (tap * inputs + input) * outputs + output;
                let gradient = f64::from(d_target[to * outputs + output]);
                d_source[from * inputs + input] += gradient * f64::from(weights[weight]);
                d_weights[weight] += gradient * f64::from(source[from * inputs + input]);
            }
        }
    });
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    (narrow(d_source), narrow(d_weights))
}

/// A depthwise convolution as the full one whose weights are zero between different channels.
pub(crate) fn full_weights(channels: usize, taps: usize, depthwise: &[f32]) -> Vec<f32> {
    let mut weights = vec![0.0; taps * channels * channels];
    for tap in 0..taps {
        for channel in 0..channels {
            weights[(tap * channels + channel) * channels + channel] = depthwise[tap * channels + channel];
        }
    }
    weights
}
