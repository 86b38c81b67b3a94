//! Depthwise convolutions: every channel has a kernel of its own, `[taps][channels]`.

use super::batch_norm::PartMoments;
use super::column;
use super::epilogue::Epilogue;
use super::geometry::{Geometry, Tap};
use crate::gemm::{Store, Vector, by_vector};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};

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

    /// The pixel that `tap` meets from grid position `(y, x)` of `image`, unless it reaches outside.
    #[inline(always)]
    fn pixel(&self, image: usize, y: usize, x: usize, tap: Tap) -> Option<usize> {
        let source_y = (y * self.step).wrapping_add_signed(tap.down);
        let source_x = (x * self.step).wrapping_add_signed(tap.right);
        (source_y < self.height && source_x < self.width)
            .then(|| (image * self.height + source_y) * self.width + source_x)
    }

    /// The channels of that pixel.
    #[inline(always)]
    fn meet(&self, image: usize, y: usize, x: usize, tap: Tap) -> Option<&'a [f32]> {
        let pixel = self.pixel(image, y, x, tap)?;
        Some(&self.source[pixel * self.channels..][..self.channels])
    }
}

/// Taps that are summed in a register before the sum is written.
const TAPS: usize = 16;

/// `target[x * spacing] (=|+=) sum over taps of weights[tap] * source` along grid row `y` of `image`.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn forward_row<V: Vector>(
    window: Window<'_>,
    weights: &[f32],
    place: [usize; 4],
    target: &mut [f32],
    store: Store,
) {
    let ([image, y, positions, spacing], channels) = (place, window.channels);
    for x in 0..positions {
        let target = &mut target[x * spacing * channels..][..channels];
        let mut store = store;
        if window.taps.is_empty() && store == Store::Replace {
            target.fill(0.0);
        }
        for taps in window.taps.chunks(TAPS) {
            let mut met: [(&[f32], &[f32]); TAPS] = [(&[], &[]); TAPS];
            let mut count = 0;
            for &tap in taps {
                if let Some(source) = window.meet(image, y, x, tap) {
                    met[count] = (source, &weights[tap.index * channels..][..channels]);
                    count += 1;
                }
            }
            let met = &met[..count];
            let mut channel = 0;
            // SAFETY: the caller promises the instruction set; every slice has all channels.
            unsafe {
                while channel + VECTORS * V::LANES <= channels {
                    sum_taps::<V>(met, channel, &mut target[channel..][..VECTORS * V::LANES], store);
                    channel += VECTORS * V::LANES;
                }
                while channel < channels {
                    let end = (channel + V::LANES).min(channels);
                    let target = &mut target[channel..end];
                    let mut sum = match store {
                        Store::Replace => V::splat(0.0),
                        Store::Add => V::load_some(target),
                    };
                    for (source, weights) in met {
                        let weight = V::load_some(&weights[channel..end]);
                        sum = V::load_some(&source[channel..end]).multiply_add(weight, sum);
                    }
                    sum.store_some(target);
                    channel = end;
                }
            }
            store = Store::Add;
        }
    }
}

/// Vectors of channels that are summed side by side, so that no sum waits for the one before.
const VECTORS: usize = 4;

/// `target (=|+=) sum of source * weights` for [`VECTORS`] vectors from `channel` on.
///
/// # Safety
/// The processor has `V`'s instruction set; `target` and, from `channel` on, each slice have as many floats.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_taps<V: Vector>(met: &[(&[f32], &[f32])], channel: usize, target: &mut [f32], store: Store) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [V::splat(0.0); VECTORS];
        if store == Store::Add {
            for (index, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(target.as_ptr().add(index * V::LANES));
            }
        }
        for (source, weights) in met {
            let (source, weights) = (source.as_ptr().add(channel), weights.as_ptr().add(channel));
            for (index, sum) in sums.iter_mut().enumerate() {
                let weight = V::load(weights.add(index * V::LANES));
                *sum = V::load(source.add(index * V::LANES)).multiply_add(weight, *sum);
            }
        }
        for (index, sum) in sums.into_iter().enumerate() {
            sum.store(target.as_mut_ptr().add(index * V::LANES));
        }
    }
}

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

#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn weight_row<V: Vector>(
    window: Window<'_>,
    [image, y, positions]: [usize; 3],
    d_target: &[f32],
    sums: &mut [f32],
) {
    let channels = window.channels;
    for &tap in window.taps {
        let sums = &mut sums[tap.index * channels..][..channels];
        // The positions whose tap lies inside are neighbours.
        let inside = |x: usize| window.pixel(image, y, x, tap).is_some();
        let Some(first) = (0..positions).find(|&x| inside(x)) else { continue };
        let after = (first..positions).find(|&x| !inside(x)).unwrap_or(positions);
        let Some(start) = window.pixel(image, y, first, tap) else { continue };
        let mut channel = 0;
        // SAFETY: the caller promises the instruction set; whole vectors are loaded from checked slices.
        unsafe {
            while channel + VECTORS * V::LANES <= channels {
                let width = VECTORS * V::LANES;
                let kept = &mut sums[channel..][..width];
                let mut totals = [V::splat(0.0); VECTORS];
                for x in first..after {
                    let pixel = (start + (x - first) * window.step) * channels;
                    let source = window.source[pixel + channel..][..width].as_ptr();
                    let gradient = d_target[x * channels + channel..][..width].as_ptr();
                    for (index, total) in totals.iter_mut().enumerate() {
                        let gradient = V::load(gradient.add(index * V::LANES));
                        *total = V::load(source.add(index * V::LANES)).multiply_add(gradient, *total);
                    }
                }
                for (total, kept) in totals.into_iter().zip(kept.chunks_exact_mut(V::LANES)) {
                    V::load_some(kept).add(total).store_some(kept);
                }
                channel += width;
            }
            while channel < channels {
                let end = (channel + V::LANES).min(channels);
                let mut sum = V::load_some(&sums[channel..end]);
                for x in first..after {
                    let pixel = (start + (x - first) * window.step) * channels;
                    let source = V::load_some(&window.source[pixel + channel..pixel + end]);
                    let gradient = V::load_some(&d_target[x * channels + channel..x * channels + end]);
                    sum = source.multiply_add(gradient, sum);
                }
                sum.store_some(&mut sums[channel..end]);
                channel = end;
            }
        }
    }
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
