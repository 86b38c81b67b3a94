//! One row of a depthwise convolution.

use std::ops::Range;

use super::band::View;
use super::inner::Inner;
use crate::gemm::{Lines, Store, Vector};
use crate::kernels::geometry::{Geometry, Tap};

/// Rows of grid positions that read neighbouring positions of `source`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    pub(super) source: View<'a>,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) step: usize,
    pub(super) taps: &'a [Tap],
    /// What is read from memory for the next row, fetched on the way.
    pub(super) ahead: [&'a [u8]; 2],
}

impl<'a> Window<'a> {
    /// What the target positions of a convolution read.
    pub(super) fn of_targets(geometry: &Geometry, source: View<'a>, taps: &'a [Tap]) -> Window<'a> {
        Window {
            source,
            height: geometry.source.height,
            width: geometry.source.width,
            channels: geometry.source.channels,
            step: geometry.stride,
            taps,
            ahead: [&[]; 2],
        }
    }

    /// What is fetched ahead, in `count` steps.
    #[inline(always)]
    pub(super) fn fetches(&self, count: usize) -> [Lines; 2] {
        self.ahead.map(|bytes| Lines::over(bytes, count, self.source.values))
    }

    /// Where the pixel lies that `tap` meets from grid position `(y, x)` of `image`, unless it reaches outside.
    #[inline(always)]
    pub(super) fn pixel(&self, image: usize, y: usize, x: usize, tap: Tap) -> Option<usize> {
        let source_y = (y * self.step).wrapping_add_signed(tap.down);
        let source_x = (x * self.step).wrapping_add_signed(tap.right);
        (source_y < self.height && source_x < self.width)
            .then(|| self.source.place(image * self.height + source_y) * self.width + source_x)
    }

    /// The channels of that pixel.
    #[inline(always)]
    fn meet(&self, image: usize, y: usize, x: usize, tap: Tap) -> Option<&'a [f32]> {
        let pixel = self.pixel(image, y, x, tap)?;
        Some(&self.source.values[pixel * self.channels..][..self.channels])
    }
}

/// Taps that are summed in a register before the sum is written.
const TAPS: usize = 16;

/// `target[x * spacing] (=|+=) sum over taps of weights[tap] * source` along grid row `y` of `image`.
///
/// # Safety
/// The processor has `V`'s instruction set.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
pub(super) unsafe fn forward_row<V: Vector>(
    window: Window<'_>,
    weights: &[f32],
    [image, y, positions, spacing]: [usize; 4],
    target: &mut [f32],
    store: Store,
) {
    let inner = Inner::of(&window, [image, y, positions], V::LANES);
    let xs = inner.as_ref().map_or(0..0, |inner| inner.xs.clone());
    // SAFETY: the caller promises the instruction set.
    unsafe {
        edge_row::<V>(window, weights, [image, y, spacing], 0..xs.start, target, store);
        edge_row::<V>(window, weights, [image, y, spacing], xs.end..positions, target, store);
        if let Some(inner) = inner {
            inner.forward::<V>(&window, weights, spacing, target, store);
        }
    }
}

/// As [`forward_row`] for some positions, asking for each which taps lie inside.
///
/// # Safety
/// As [`forward_row`].
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn edge_row<V: Vector>(
    window: Window<'_>,
    weights: &[f32],
    [image, y, spacing]: [usize; 3],
    xs: Range<usize>,
    target: &mut [f32],
    store: Store,
) {
    let channels = window.channels;
    for x in xs {
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

/// `sums[tap] += sum of source * d_target` along grid row `y` of `image`, at `place` `[image, y, positions]`.
///
/// # Safety
/// The processor has `V`'s instruction set.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
pub(super) unsafe fn weight_row<V: Vector>(
    window: Window<'_>,
    place: [usize; 3],
    d_target: &[f32],
    sums: &mut [f32],
) {
    let [image, y, positions] = place;
    let inner = Inner::of(&window, place, V::LANES);
    let xs = inner.as_ref().map_or(0..0, |inner| inner.xs.clone());
    // SAFETY: the caller promises the instruction set.
    unsafe {
        edge_weights::<V>(window, [image, y], 0..xs.start, d_target, sums);
        if let Some(inner) = inner {
            inner.weights::<V>(&window, d_target, sums);
        }
        edge_weights::<V>(window, [image, y], xs.end..positions, d_target, sums);
    }
}

/// As [`weight_row`] for some positions, asking for each which taps lie inside.
///
/// # Safety
/// As [`weight_row`].
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn edge_weights<V: Vector>(
    window: Window<'_>,
    [image, y]: [usize; 2],
    xs: Range<usize>,
    d_target: &[f32],
    sums: &mut [f32],
) {
    let channels = window.channels;
    for &tap in window.taps {
        let sums = &mut sums[tap.index * channels..][..channels];
        // The positions whose tap lies inside are neighbours.
        let inside = |x: usize| window.pixel(image, y, x, tap).is_some();
        let Some(first) = xs.clone().find(|&x| inside(x)) else { continue };
        let after = (first..xs.end).find(|&x| !inside(x)).unwrap_or(xs.end);
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
                    let source = window.source.values[pixel + channel..][..width].as_ptr();
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
                    let source = V::load_some(&window.source.values[pixel + channel..pixel + end]);
                    let gradient = V::load_some(&d_target[x * channels + channel..x * channels + end]);
                    sum = source.multiply_add(gradient, sum);
                }
                sum.store_some(&mut sums[channel..end]);
                channel = end;
            }
        }
    }
}
