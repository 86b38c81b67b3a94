//! Kernels of 3 x 3 with stride 1 at the inner positions of a row: neighbours share what they load.

use super::inner::Inner;
use super::rows::Window;
use crate::gemm::{Lines, Store, Vector};

/// Taps of a line, and lines of a kernel.
pub(super) const TAPS: usize = 3;
/// Positions that share what they load.
const TOGETHER: usize = 4;

/// A row's inner positions, one vector of channels after another.
struct Row {
    /// What the first tap of each line meets from the first position in these channels.
    lines: [*const f32; TAPS],
    channels: usize,
    ahead: [Lines; 2],
}

impl Row {
    fn new<V: Vector>(inner: &Inner, window: &Window<'_>) -> Row {
        let ahead = inner.fetches(window, V::LANES);
        let first = |line: usize| window.source.values[inner.taps[TAPS * line].source..].as_ptr();
        Row { lines: [0, 1, 2].map(first), channels: window.channels, ahead }
    }

    /// Goes on to the next channels.
    fn advance<V: Vector>(&mut self) {
        self.lines = self.lines.map(|line| line.wrapping_add(V::LANES));
    }

    /// Calls `at` with each tap, the place among `N` positions from `x` on that meets a pixel by it, and that pixel; all
    /// places of a pixel after another.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set, and the positions are inner ones.
    #[expect(unsafe_code, reason = "loads whole vectors")]
    #[inline(always)]
    unsafe fn each_product<V: Vector, const N: usize>(
        &mut self,
        x: usize,
        mut at: impl FnMut(usize, usize, V),
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for _ in 0..N {
                self.ahead.iter_mut().for_each(|lines| lines.fetch::<V>());
            }
            for (line, source) in self.lines.iter().enumerate() {
                for pixel in 0..N + TAPS - 1 {
                    let value = V::load(source.add((x + pixel) * self.channels));
                    for place in 0..N {
                        if pixel >= place && pixel < place + TAPS {
                            at(TAPS * line + pixel - place, place, value);
                        }
                    }
                }
            }
        }
    }
}

/// Calls `$body::<V, N>` with each position from which on it takes `N`: some together, those that are left alone.
macro_rules! by_positions {
    ($count:expr, $body:ident::<$vector:ident>($($argument:expr),*)) => {{
        let mut x = 0;
        while x + TOGETHER <= $count {
            $body::<$vector, TOGETHER>(x, $($argument),*);
            x += TOGETHER;
        }
        for x in x..$count {
            $body::<$vector, 1>(x, $($argument),*);
        }
    }};
}

/// A vector of each tap's weights, or of the sums of their gradients, from `channel` on.
///
/// # Safety
/// As [`forward`].
#[expect(unsafe_code, reason = "loads whole vectors")]
#[inline(always)]
unsafe fn each_tap<V: Vector>(inner: &Inner, weights: &[f32], channel: usize) -> [V; TAPS * TAPS] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut vectors = [V::splat(0.0); TAPS * TAPS];
        for (vector, tap) in vectors.iter_mut().zip(&inner.taps) {
            *vector = V::load(weights.as_ptr().add(tap.weights + channel));
        }
        vectors
    }
}

/// As [`super::inner`]'s, for taps in lines.
///
/// # Safety
/// The processor has `V`'s instruction set; the taps of `inner` lie in lines and reach into `window` and `weights`, and
/// `target` has its positions.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
pub(super) unsafe fn forward<V: Vector>(
    inner: &Inner,
    window: &Window<'_>,
    weights: &[f32],
    spacing: usize,
    target: &mut [f32],
    store: Store,
) {
    let spacing = spacing * window.channels;
    let mut row = Row::new::<V>(inner, window);
    for channel in (0..window.channels).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let held = each_tap::<V>(inner, weights, channel);
            let target = target.as_mut_ptr().add(channel);
            by_positions!(inner.xs.len(), sum_positions::<V>(&mut row, &held, target, spacing, store));
            row.advance::<V>();
        }
    }
}

/// # Safety
/// As [`forward`].
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_positions<V: Vector, const N: usize>(
    x: usize,
    row: &mut Row,
    weights: &[V; TAPS * TAPS],
    target: *mut f32,
    spacing: usize,
    store: Store,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let target = target.add(x * spacing);
        let mut sums = [V::splat(0.0); N];
        if store == Store::Add {
            for (place, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(target.add(place * spacing));
            }
        }
        row.each_product::<V, N>(x, |tap, place, value| {
            sums[place] = value.multiply_add(weights[tap], sums[place]);
        });
        for (place, sum) in sums.into_iter().enumerate() {
            sum.store(target.add(place * spacing));
        }
    }
}

/// As [`forward`] for `sums` in place of weights, and `d_target` has the positions.
///
/// # Safety
/// As [`forward`].
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
pub(super) unsafe fn weights<V: Vector>(
    inner: &Inner,
    window: &Window<'_>,
    d_target: &[f32],
    sums: &mut [f32],
) {
    let mut row = Row::new::<V>(inner, window);
    for channel in (0..window.channels).step_by(V::LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut totals = each_tap::<V>(inner, sums, channel);
            let d_target = d_target.as_ptr().add(channel);
            by_positions!(inner.xs.len(), add_positions::<V>(&mut row, d_target, &mut totals));
            for (total, tap) in totals.into_iter().zip(&inner.taps) {
                total.store(sums.as_mut_ptr().add(tap.weights + channel));
            }
            row.advance::<V>();
        }
    }
}

/// # Safety
/// As [`weights`].
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn add_positions<V: Vector, const N: usize>(
    x: usize,
    row: &mut Row,
    d_target: *const f32,
    totals: &mut [V; TAPS * TAPS],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut gradients = [V::splat(0.0); N];
        for (place, gradient) in gradients.iter_mut().enumerate() {
            *gradient = V::load(d_target.add((x + place) * row.channels));
        }
        row.each_product::<V, N>(x, |tap, place, value| {
            totals[tap] = value.multiply_add(gradients[place], totals[tap]);
        });
    }
}
