//! The positions of a row at which every tap lies inside: one vector of channels at a time walks along the row with
//! its weights, or its sums of their gradients, in registers.

use std::ops::Range;

use super::lines;
use super::rows::Window;
use crate::gemm::{Lines, Store, Vector};

/// The most taps that are kept in registers.
const MOST: usize = 9;

/// Neighbouring grid positions of a row, and what each tap meets there.
pub(super) struct Inner {
    pub(super) xs: Range<usize>,
    pub(super) taps: [Met; MOST],
    count: usize,
}

/// A tap in a row.
#[derive(Clone, Copy, Default)]
pub(super) struct Met {
    /// First float of the pixel that it meets from the first position.
    pub(super) source: usize,
    /// First float of its weights.
    pub(super) weights: usize,
}

/// Calls `$body::<V, K>` for the number of taps; [`Inner::of`] leaves the other numbers to its caller.
macro_rules! by_count {
    ($count:expr, $body:ident :: <$vector:ident> ($($argument:expr),* $(,)?)) => {
        match $count {
            1 => $body::<$vector, 1>($($argument),*),
            2 => $body::<$vector, 2>($($argument),*),
            3 => $body::<$vector, 3>($($argument),*),
            4 => $body::<$vector, 4>($($argument),*),
            6 => $body::<$vector, 6>($($argument),*),
            9 => $body::<$vector, 9>($($argument),*),
            count => unreachable!("{count} taps"),
        }
    };
}

impl Inner {
    /// The inner positions of a row, unless there are none, their taps are not of a number that has a loop of its own,
    /// or channels are no whole number of vectors of `lanes`.
    #[inline(always)]
    pub(super) fn of(window: &Window<'_>, [image, y, positions]: [usize; 3], lanes: usize) -> Option<Inner> {
        if !window.channels.is_multiple_of(lanes) {
            return None;
        }
        let step = window.step as isize;
        let mut inner = Inner { xs: 0..positions, taps: [Met::default(); MOST], count: 0 };
        let rows =
            |down: isize| Some((y * window.step).wrapping_add_signed(down)).filter(|y| *y < window.height);
        for tap in window.taps.iter().filter(|tap| rows(tap.down).is_some()) {
            // The first and the last x with 0 <= x step + right < width.
            let first = (-tap.right).max(0).unsigned_abs().div_ceil(window.step);
            let after = 1 + (window.width as isize - 1 - tap.right).div_euclid(step);
            inner.xs = inner.xs.start.max(first)..inner.xs.end.min(after.max(0).unsigned_abs());
            inner.count += 1;
        }
        if inner.xs.is_empty() || !matches!(inner.count, 1 | 2 | 3 | 4 | 6 | 9) {
            return None;
        }
        let met = window.taps.iter().filter(|tap| rows(tap.down).is_some());
        for (met, &tap) in inner.taps.iter_mut().zip(met) {
            let pixel = window.pixel(image, y, inner.xs.start, tap)?;
            *met = Met { source: pixel * window.channels, weights: tap.index * window.channels };
        }
        // Lines from left to right; those of a gradient come the other way.
        if inner.count == MOST && inner.taps[0].source > inner.taps[1].source {
            inner.taps.chunks_mut(lines::TAPS).for_each(<[Met]>::reverse);
        }
        Some(inner)
    }

    /// `target[x * spacing] (=|+=) sum over taps of weights * source` for the inner positions.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
    #[inline(always)]
    pub(super) unsafe fn forward<V: Vector>(
        &self,
        window: &Window<'_>,
        weights: &[f32],
        spacing: usize,
        target: &mut [f32],
        store: Store,
    ) {
        self.check(window, weights.len());
        let target = &mut target[self.xs.start * spacing * window.channels..];
        assert!(target.len() >= ((self.xs.len() - 1) * spacing + 1) * window.channels, "row of {window:?}");
        // SAFETY: the caller promises the instruction set; the reach of every tap was checked.
        unsafe {
            if self.in_lines(window) {
                return lines::forward::<V>(self, window, weights, spacing, target, store);
            }
            by_count!(self.count, forward::<V>(self, window, weights, spacing, target, store));
        }
    }

    /// `sums[tap] += sum of source * d_target` over the inner positions.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
    #[inline(always)]
    pub(super) unsafe fn weights<V: Vector>(&self, window: &Window<'_>, d_target: &[f32], sums: &mut [f32]) {
        self.check(window, sums.len());
        let d_target = &d_target[self.xs.start * window.channels..self.xs.end * window.channels];
        // SAFETY: the caller promises the instruction set; the reach of every tap was checked.
        unsafe {
            if self.in_lines(window) {
                return lines::weights::<V>(self, window, d_target, sums);
            }
            by_count!(self.count, weights::<V>(self, window, d_target, sums));
        }
    }

    /// Whether the taps are three times three neighbours in a row, as those of neighbouring positions are then too: with a
    /// stride less is shared than it costs.
    #[inline(always)]
    fn in_lines(&self, window: &Window<'_>) -> bool {
        let follow =
            |taps: &[Met]| taps.windows(2).all(|pair| pair[1].source == pair[0].source + window.channels);
        self.count == MOST && window.step == 1 && self.taps.chunks(lines::TAPS).all(follow)
    }

    /// What the row fetches ahead, a step for each vector of `lanes` of each inner position.
    #[inline(always)]
    pub(super) fn fetches(&self, window: &Window<'_>, lanes: usize) -> [Lines; 2] {
        window.fetches(self.xs.len() * window.channels / lanes)
    }

    /// # Panics
    /// When a tap reaches past the activations, or its weights past `weights` floats.
    fn check(&self, window: &Window<'_>, weights: usize) {
        let reach = (self.xs.len() - 1) * window.step * window.channels + window.channels;
        for tap in &self.taps[..self.count] {
            assert!(
                tap.source + reach <= window.source.values.len(),
                "tap past the activations of {window:?}"
            );
            assert!(tap.weights + window.channels <= weights, "tap past {weights} weights");
        }
    }
}

/// # Safety
/// The processor has `V`'s instruction set; the `K` taps of `inner` reach into `window` and `weights`, and `target` has
/// its positions.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn forward<V: Vector, const K: usize>(
    inner: &Inner,
    window: &Window<'_>,
    weights: &[f32],
    spacing: usize,
    target: &mut [f32],
    store: Store,
) {
    let channels = window.channels;
    let mut ahead = inner.fetches(window, V::LANES);
    for channel in (0..channels).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let held: [V; K] =
                std::array::from_fn(|tap| V::load(weights.as_ptr().add(inner.taps[tap].weights + channel)));
            let sources: [*const f32; K] = std::array::from_fn(|tap| {
                window.source.values.as_ptr().add(inner.taps[tap].source + channel)
            });
            for x in 0..inner.xs.len() {
                let offset = x * window.step * channels;
                let target = target.as_mut_ptr().add(x * spacing * channels + channel);
                ahead.iter_mut().for_each(|lines| lines.fetch::<V>());
                let mut sum = match store {
                    Store::Replace => V::splat(0.0),
                    Store::Add => V::load(target),
                };
                for (source, weight) in sources.iter().zip(held) {
                    sum = V::load(source.add(offset)).multiply_add(weight, sum);
                }
                sum.store(target);
            }
        }
    }
}

/// # Safety
/// As [`forward`], for `sums` in place of weights, and `d_target` has the positions.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn weights<V: Vector, const K: usize>(
    inner: &Inner,
    window: &Window<'_>,
    d_target: &[f32],
    sums: &mut [f32],
) {
    let channels = window.channels;
    let mut ahead = inner.fetches(window, V::LANES);
    for channel in (0..channels).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let places: [*mut f32; K] =
                std::array::from_fn(|tap| sums.as_mut_ptr().add(inner.taps[tap].weights + channel));
            let sources: [*const f32; K] = std::array::from_fn(|tap| {
                window.source.values.as_ptr().add(inner.taps[tap].source + channel)
            });
            let mut totals: [V; K] = std::array::from_fn(|tap| V::load(places[tap]));
            for x in 0..inner.xs.len() {
                let offset = x * window.step * channels;
                ahead.iter_mut().for_each(|lines| lines.fetch::<V>());
                let gradient = V::load(d_target.as_ptr().add(x * channels + channel));
                for (total, source) in totals.iter_mut().zip(sources) {
                    *total = V::load(source.add(offset)).multiply_add(gradient, *total);
                }
            }
            for (total, place) in totals.into_iter().zip(places) {
                total.store(place);
            }
        }
    }
}
