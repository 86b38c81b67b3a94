//! Depthwise convolutions: every channel has a kernel of its own, `[taps][channels]`.

mod inner;
mod rows;

use rows::{Window, forward_row, weight_row};

use super::batch_norm::PartMoments;
use super::column;
use super::epilogue::Epilogue;
use super::geometry::Geometry;
use crate::gemm::{Store, by_vector};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};

/// As [`forward_row`], by the vectors of `isa`.
fn run_row(
    isa: Isa,
    window: Window<'_>,
    weights: &[f32],
    place: [usize; 4],
    target: &mut [f32],
    store: Store,
) {
    #[expect(unsafe_code, reason = "computes whole vectors")]
    // SAFETY: the function checks every access but asks for the instruction set.
    unsafe {
        by_vector!(
            isa,
            forward_row,
            (window: Window<'_>, weights: &[f32], place: [usize; 4], target: &mut [f32], store: Store)
        );
    }
}

/// `target = epilogue(source * weights)`, channel by channel; returns the rows in a part where `moments` are asked
/// for.
///
/// # Shapes
/// `weights` `[taps, channels]`; activations as `geometry` says, with equal channels. `moments` at least
/// `[PARTS, 2, channels]`, of which the moments of parts of the rows are written as
/// [`batch_norm::measure`](super::batch_norm::measure) does.
pub(crate) fn forward(
    pool: &Pool,
    geometry: &Geometry,
    source: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    moments: Option<&mut [f32]>,
    target: &mut [f32],
) -> Option<usize> {
    assert_eq!(source.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(target.len(), geometry.target_len(), "output of {geometry:?}");
    let taps = geometry.taps();
    let window = Window::of_targets(geometry, source, &taps);
    let (height, width, channels) = (geometry.target.height, geometry.target.width, window.channels);
    let count = geometry.images * height;
    let shared = Shared::new(target);
    let finish = |row: usize| {
        let place = [row / height, row % height, width, 1];
        #[expect(unsafe_code, reason = "tasks share a tensor")]
        // SAFETY: this row belongs to this task alone.
        let target = unsafe { shared.range(row * width * channels..(row + 1) * width * channels) };
        run_row(pool.isa(), window, weights, place, &mut *target, Store::Replace);
        #[expect(unsafe_code, reason = "tasks share a tensor")]
        // SAFETY: as above; `target` is not used meanwhile.
        unsafe {
            epilogue.apply(pool.isa(), shared, channels, row * width..(row + 1) * width, 0..channels);
        }
    };
    let Some(moments) = moments else {
        pool.run(count, |row, _| finish(row));
        return None;
    };
    let each = count.div_ceil(column::PARTS);
    let moments = Shared::new(moments);
    pool.run(count.div_ceil(each), |index, scratch| {
        #[expect(unsafe_code, reason = "tasks share a buffer")]
        // SAFETY: this part's moments belong to this task alone.
        let sums = unsafe { moments.range(index * 2 * channels..(index + 1) * 2 * channels) };
        let mut part = PartMoments::new(scratch.at_least(channels), sums);
        for row in index * each..((index + 1) * each).min(count) {
            finish(row);
            #[expect(unsafe_code, reason = "tasks share a tensor")]
            // SAFETY: this row belongs to this task alone.
            let row = unsafe { shared.range(row * width * channels..(row + 1) * width * channels) };
            part.add(pool.isa(), row);
        }
        part.finish();
    });
    Some(each * width)
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
            run_row(pool.isa(), window, weights, place, target, store);
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
            #[expect(unsafe_code, reason = "computes whole vectors")]
            // SAFETY: the function checks every access but asks for the instruction set.
            unsafe {
                by_vector!(
                    pool.isa(),
                    weight_row,
                    (window: Window<'_>, place: [usize; 3], d_target: &[f32], partial: &mut [f32])
                );
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
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
                (2, 9, 8, 48, [3, 3], 1, 1),
                (2, 2, 5, 32, [3, 3], 1, 1),
                (1, 5, 2, 16, [3, 3], 1, 1),
                (1, 8, 12, 32, [3, 3], 2, 1),
                (1, 5, 6, 64, [2, 2], 1, 0),
                (2, 6, 6, 70, [6, 5], 1, 0),
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
                let mut moments = vec![f32::NAN; column::PARTS * 2 * channels];
                let epilogue = Epilogue::bias(Some(&bias));
                let part =
                    forward(&pool, &geometry, &source, &weights, epilogue, Some(&mut moments), &mut target);
                let mut again = vec![f32::NAN; moments.len()];
                for (index, rows) in target.chunks(part.unwrap() * channels).enumerate() {
                    let (_, moments) = moments.split_at(index * 2 * channels);
                    // One part holds all rows.
                    let mut origin = vec![0.0; channels];
                    let mut whole = PartMoments::new(&mut origin, &mut again[..2 * channels]);
                    whole.add(Isa::Portable, rows);
                    whole.finish();
                    assert_close(&moments[..2 * channels], &again[..2 * channels], 100);
                }
                let mut unmeasured = vec![f32::NAN; geometry.target_len()];
                forward(&pool, &geometry, &source, &weights, epilogue, None, &mut unmeasured);
                assert_eq!(target, unmeasured);
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
