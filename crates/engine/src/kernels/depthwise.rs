//! Depthwise convolutions: every channel has a kernel of its own, `[taps][channels]`.

use super::column;
use super::geometry::{Geometry, Tap};
use crate::gemm::Store;
use crate::isa::by_isa;
use crate::pool::Pool;

/// Rows of grid positions that read neighbouring positions of `source`.
#[derive(Clone, Copy)]
struct Window<'a> {
    source: &'a [f32],
    height: usize,
    width: usize,
    channels: usize,
    step: usize,
    taps: &'a [Tap],
}

impl<'a> Window<'a> {
    /// What the target positions of a convolution read.
    fn of_targets(geometry: &Geometry, source: &'a [f32], taps: &'a [Tap]) -> Window<'a> {
        Window {
            source,
            height: geometry.source.height,
            width: geometry.source.width,
            channels: geometry.source.channels,
            step: geometry.stride,
            taps,
        }
    }

    /// The channels that `tap` meets from grid position `(y, x)` of `image`, unless it reaches outside.
    #[inline(always)]
    fn meet(&self, image: usize, y: usize, x: usize, tap: Tap) -> Option<&'a [f32]> {
        let source_y = (y * self.step).wrapping_add_signed(tap.down);
        let source_x = (x * self.step).wrapping_add_signed(tap.right);
        (source_y < self.height && source_x < self.width).then(|| {
            let pixel = (image * self.height + source_y) * self.width + source_x;
            &self.source[pixel * self.channels..][..self.channels]
        })
    }
}

/// `target[x * spacing] (=|+=) sum over taps of weights[tap] * source` along grid row `y` of `image`.
#[inline(always)]
fn forward_row(
    window: Window<'_>,
    weights: &[f32],
    [image, y, positions, spacing]: [usize; 4],
    target: &mut [f32],
    store: Store,
) {
    let channels = window.channels;
    for x in 0..positions {
        let target = &mut target[x * spacing * channels..][..channels];
        if store == Store::Replace {
            target.fill(0.0);
        }
        for &tap in window.taps {
            if let Some(source) = window.meet(image, y, x, tap) {
                let weights = &weights[tap.index * channels..][..channels];
                for ((target, source), weight) in target.iter_mut().zip(source).zip(weights) {
                    *target += source * weight;
                }
            }
        }
    }
}

/// `target = source * weights (+ bias)`, channel by channel.
///
/// # Shapes
/// `weights` `[taps, channels]`, `bias` `[channels]`; activations as `geometry` says, with equal channels.
pub(crate) fn forward(
    pool: &Pool,
    geometry: &Geometry,
    source: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    assert_eq!(source.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(target.len(), geometry.target_len(), "output of {geometry:?}");
    let taps = geometry.taps();
    let window = Window::of_targets(geometry, source, &taps);
    let store = match bias {
        None => Store::Replace,
        Some(bias) => {
            column::broadcast(pool, bias, target);
            Store::Add
        }
    };
    let (height, width) = (geometry.target.height, geometry.target.width);
    pool.run_chunks(target, width * window.channels, |row, target| {
        let place = [row / height, row % height, width, 1];
        by_isa!(
            pool.isa(),
            forward_row,
            (window: Window<'_>, weights: &[f32], place: [usize; 4], target: &mut [f32], store: Store)
        );
    });
}

/// `d_source (=|+=) d_target * weights`, each target position handing its gradient back through its taps.
///
/// # Shapes
/// As [`forward`].
pub(crate) fn input_gradient(
    pool: &Pool,
    geometry: &Geometry,
    d_target: &[f32],
    weights: &[f32],
    d_source: &mut [f32],
    store: Store,
) {
    assert_eq!(d_target.len(), geometry.target_len(), "output gradient of {geometry:?}");
    assert_eq!(d_source.len(), geometry.source_len(), "input gradient of {geometry:?}");
    let phases = geometry.phases();
    let (channels, height, width) = (geometry.source.channels, geometry.source.height, geometry.source.width);
    pool.run_chunks(d_source, width * channels, |row, d_source| {
        let (image, y) = (row / height, row % height);
        for phase in phases.iter().filter(|phase| y % geometry.stride == phase.top) {
            let window = Window {
                source: d_target,
                height: geometry.target.height,
                width: geometry.target.width,
                channels,
                step: 1,
                taps: &phase.taps,
            };
            let place = [image, y / geometry.stride, phase.width, geometry.stride];
            let target = &mut d_source[phase.left * channels..];
            by_isa!(
                pool.isa(),
                forward_row,
                (window: Window<'_>, weights: &[f32], place: [usize; 4], target: &mut [f32], store: Store)
            );
        }
    });
}

/// `d_weights += sum over positions of source * d_target`.
///
/// # Shapes
/// As [`forward`]; `partials` is scratch of `PARTS * taps * channels` floats.
pub(crate) fn weight_gradient(
    pool: &Pool,
    geometry: &Geometry,
    source: &[f32],
    d_target: &[f32],
    partials: &mut [f32],
    d_weights: &mut [f32],
) {
    assert_eq!(source.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(d_target.len(), geometry.target_len(), "output gradient of {geometry:?}");
    let taps = geometry.taps();
    let window = Window::of_targets(geometry, source, &taps);
    let (height, width) = (geometry.target.height, geometry.target.width);
    column::reduce(pool, geometry.images * height, partials, d_weights, |rows, partial| {
        for row in rows {
            let place = [row / height, row % height, width];
            let d_target = &d_target[row * width * window.channels..][..width * window.channels];
            by_isa!(
                pool.isa(),
                weight_row,
                (window: Window<'_>, place: [usize; 3], d_target: &[f32], partial: &mut [f32])
            );
        }
    });
}

#[inline(always)]
fn weight_row(window: Window<'_>, [image, y, positions]: [usize; 3], d_target: &[f32], sums: &mut [f32]) {
    let channels = window.channels;
    for &tap in window.taps {
        let sums = &mut sums[tap.index * channels..][..channels];
        for x in 0..positions {
            if let Some(source) = window.meet(image, y, x, tap) {
                let d_target = &d_target[x * channels..][..channels];
                for ((sum, source), gradient) in sums.iter_mut().zip(source).zip(d_target) {
                    *sum += source * gradient;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::kernels::reference;
    use crate::testing::{Numbers, assert_close};
    use net::Shape;

    #[test]
    fn every_instruction_set_agrees_with_the_plain_loops_in_all_three_directions() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            for (images, height, width, channels, kernel, stride, padding) in [
                (2, 7, 6, 5, [3, 3], 1, 1),
                (3, 8, 5, 33, [3, 3], 2, 1),
                (1, 7, 9, 64, [3, 3], 2, 1),
                (5, 4, 3, 17, [4, 3], 1, 0),
            ] {
                let size = |side: usize, kernel: usize| (side + 2 * padding - kernel) / stride + 1;
                let geometry = Geometry {
                    images,
                    source: Shape { height, width, channels },
                    target: Shape {
                        height: size(height, kernel[0]),
                        width: size(width, kernel[1]),
                        channels,
                    },
                    kernel,
                    stride,
                    padding,
                };
                let taps = kernel[0] * kernel[1];
                let mut numbers = Numbers::new(5);
                let source = numbers.vector(geometry.source_len());
                let weights = numbers.vector(taps * channels);
                let bias = numbers.vector(channels);
                let d_target = numbers.vector(geometry.target_len());
                let full = reference::full_weights(channels, taps, &weights);

                let mut target = vec![f32::NAN; geometry.target_len()];
                forward(&pool, &geometry, &source, &weights, Some(&bias), &mut target);
                assert_close(&target, &reference::convolution(&geometry, &source, &full, &bias), taps);

                let (expected, d_full) =
                    reference::convolution_gradients(&geometry, &source, &full, &d_target);
                let mut d_source = vec![f32::NAN; geometry.source_len()];
                input_gradient(&pool, &geometry, &d_target, &weights, &mut d_source, Store::Replace);
                assert_close(&d_source, &expected, taps);

                let mut d_weights = vec![0.5; weights.len()];
                let mut partials = vec![f32::NAN; column::PARTS * weights.len()];
                weight_gradient(&pool, &geometry, &source, &d_target, &mut partials, &mut d_weights);
                let expected: Vec<f32> = (0..taps * channels)
                    .map(|index| {
                        let (tap, channel) = (index / channels, index % channels);
                        0.5 + d_full[(tap * channels + channel) * channels + channel]
                    })
                    .collect();
                assert_close(&d_weights, &expected, images * geometry.target.positions());
            }
        }
    }
}
