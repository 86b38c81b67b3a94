//! Broadcasts to and sums over the rows of `[rows][channels]`, the latter with a fixed shape of reduction.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::gemm::{Vector, by_vector};
use crate::isa::Isa;
use crate::pool::Pool;

/// Most partial sums of a reduction.
pub(crate) const PARTS: usize = 64;

/// Rows of `[rows][channels]` for one part of a reduction: depends on the shape alone.
pub(crate) fn rows_in_part(rows: usize) -> usize {
    rows.div_ceil(PARTS).max(1)
}

/// Elements for one task of an elementwise pass over `[rows][channels]`: whole rows, about 64 KiB.
pub(crate) fn chunk(channels: usize) -> usize {
    (16 * 1024 / channels).max(1) * channels
}

/// Adds to `sums`, `[width]`, what `part` adds to zeros for each range of rows, in order of the ranges.
///
/// `partials` is scratch of at least `PARTS * width` floats.
pub(crate) fn reduce(
    pool: &Pool,
    rows: usize,
    partials: &mut [f32],
    sums: &mut [f32],
    part: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let parts = reduce_parts(pool, rows, sums.len(), partials, |rows, partial, _| part(rows, partial));
    add_parts(&partials[..parts * sums.len()], sums);
}

/// The first half of [`reduce`]: leaves the sums of each part, `width` floats, in `partials`, and returns the number of
/// parts.
pub(crate) fn reduce_parts(
    pool: &Pool,
    rows: usize,
    width: usize,
    partials: &mut [f32],
    part: impl Fn(Range<usize>, &mut [f32], &mut Buffer) + Sync,
) -> usize {
    let count = rows_in_part(rows);
    let parts = rows.div_ceil(count);
    pool.run_chunks_with_scratch(&mut partials[..parts * width], width, |index, partial, scratch| {
        partial.fill(0.0);
        part(index * count..((index + 1) * count).min(rows), partial, scratch);
    });
    parts
}

/// Adds the sums of all parts, one after another, to `sums`.
pub(crate) fn add_parts(parts: &[f32], sums: &mut [f32]) {
    for part in parts.chunks_exact(sums.len()) {
        for (sum, value) in sums.iter_mut().zip(part) {
            *sum += value;
        }
    }
}

/// Adds to `sums` the sum of the rows of `values`: the gradient of a bias.
///
/// # Shapes
/// `values` `[rows, channels]`, `sums` `[channels]`.
pub(crate) fn add_sums(pool: &Pool, values: &[f32], partials: &mut [f32], sums: &mut [f32]) {
    let channels = sums.len();
    reduce(pool, values.len() / channels, partials, sums, |rows, partial| {
        let values = &values[rows.start * channels..rows.end * channels];
        sum_rows(pool.isa(), Term::Value, values, values, &[], partial);
    });
}

/// What one element adds to the sums of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    /// `x`.
    Value,
    /// `x - mean`, and after the sums of all channels its square.
    Deviation,
    /// `y`, and after the sums of all channels `y (x - mean)`.
    Gradient,
}

/// Adds to `sums` the terms of `x` (and `y`) row by row.
///
/// # Shapes
/// `x` and `y` `[rows, channels]`, `mean` `[channels]` or unused, `sums` `[channels]` for [`Term::Value`] and twice
/// that for the others.
///
/// # Panics
/// When a length does not fit the others.
pub(crate) fn sum_rows(isa: Isa, term: Term, x: &[f32], y: &[f32], mean: &[f32], sums: &mut [f32]) {
    let channels = if term == Term::Value { sums.len() } else { sums.len() / 2 };
    assert!(x.len() == y.len() && x.len().is_multiple_of(channels), "rows of {channels} channels");
    assert!(term == Term::Value || mean.len() == channels, "a mean for each channel");
    #[expect(unsafe_code, reason = "adds whole vectors")]
    // SAFETY: an Isa that reaches a kernel is available, and the lengths were checked.
    unsafe {
        match term {
            Term::Value => by_vector!(isa, sum_values, (x: &[f32], sums: &mut [f32])),
            Term::Deviation => {
                by_vector!(isa, sum_deviations, (x: &[f32], mean: &[f32], sums: &mut [f32]));
            }
            Term::Gradient => {
                by_vector!(isa, sum_gradients, (x: &[f32], y: &[f32], mean: &[f32], sums: &mut [f32]));
            }
        }
    }
}

/// Rows whose sums are kept in registers before they are added to memory.
pub(crate) const ROWS: usize = 16;

/// The vector of `values` in `place`, at most as many floats as it has lanes.
///
/// # Safety
/// The processor has `V`'s instruction set; `place` lies in `values`.
#[expect(unsafe_code, reason = "loads a whole vector")]
#[inline(always)]
pub(crate) unsafe fn load_at<V: Vector>(values: &[f32], place: Range<usize>) -> V {
    debug_assert!(place.len() <= V::LANES && place.end <= values.len(), "{place:?} of {}", values.len());
    // SAFETY: the caller's promise.
    unsafe {
        if place.len() == V::LANES {
            V::load(values.as_ptr().add(place.start))
        } else {
            V::load_some(&values[place])
        }
    }
}

/// Writes the vector to `place`, at most as many floats as it has lanes.
///
/// # Safety
/// As [`load_at`].
#[expect(unsafe_code, reason = "stores a whole vector")]
#[inline(always)]
pub(crate) unsafe fn store_at<V: Vector>(vector: V, values: &mut [f32], place: Range<usize>) {
    debug_assert!(place.len() <= V::LANES && place.end <= values.len(), "{place:?} of {}", values.len());
    // SAFETY: the caller's promise.
    unsafe {
        if place.len() == V::LANES {
            vector.store(values.as_mut_ptr().add(place.start));
        } else {
            vector.store_some(&mut values[place]);
        }
    }
}

/// As [`store_at`], past the caches if it `streams`.
///
/// # Safety
/// As [`load_at`].
#[expect(unsafe_code, reason = "stores a whole vector")]
#[inline(always)]
pub(crate) unsafe fn write_at<V: Vector>(vector: V, values: &mut [f32], place: Range<usize>, streams: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        if streams && place.len() == V::LANES {
            debug_assert!(place.end <= values.len(), "{place:?} of {}", values.len());
            vector.stream(values.as_mut_ptr().add(place.start));
        } else {
            store_at(vector, values, place);
        }
    }
}

/// As [`load_at`] for `values` `[rows, channels]`, and fetches the same place of the next block of rows: no processor
/// foresees a walk down the columns.
///
/// # Safety
/// As [`load_at`].
#[expect(unsafe_code, reason = "loads a whole vector")]
#[inline(always)]
pub(crate) unsafe fn load_ahead<V: Vector>(values: &[f32], place: Range<usize>, channels: usize) -> V {
    // SAFETY: the caller's promise; a prefetch may name any address.
    unsafe {
        V::prefetch(values.as_ptr().wrapping_add(place.start + ROWS * channels));
        load_at(values, place)
    }
}

/// Runs `$body` for each block of rows and, in it, for the first channel of each vector.
macro_rules! by_columns {
    ($rows:expr, $channels:expr, $lanes:expr, |$channel:ident, $block:ident| $body:block) => {
        for first in (0..$rows).step_by($crate::kernels::column::ROWS) {
            for $channel in (0..$channels).step_by($lanes) {
                let $block = first..(first + $crate::kernels::column::ROWS).min($rows);
                $body
            }
        }
    };
}
pub(crate) use by_columns;

#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_values<V: Vector>(x: &[f32], sums: &mut [f32]) {
    let channels = sums.len();
    by_columns!(x.len() / channels, channels, V::LANES, |channel, block| {
        let end = (channel + V::LANES).min(channels);
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let mut sum = V::load_some(&sums[channel..end]);
            for row in block {
                sum = sum.add(load_ahead::<V>(x, row * channels + channel..row * channels + end, channels));
            }
            sum.store_some(&mut sums[channel..end]);
        }
    });
}

#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_deviations<V: Vector>(x: &[f32], mean: &[f32], sums: &mut [f32]) {
    let channels = mean.len();
    let (sums, squares) = sums.split_at_mut(channels);
    by_columns!(x.len() / channels, channels, V::LANES, |channel, block| {
        let end = (channel + V::LANES).min(channels);
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (mut sum, mean) = (V::load_some(&sums[channel..end]), V::load_some(&mean[channel..end]));
            let mut square = V::load_some(&squares[channel..end]);
            for row in block {
                let x = load_ahead::<V>(x, row * channels + channel..row * channels + end, channels);
                let deviation = x.subtract(mean);
                sum = sum.add(deviation);
                square = deviation.multiply_add(deviation, square);
            }
            sum.store_some(&mut sums[channel..end]);
            square.store_some(&mut squares[channel..end]);
        }
    });
}

#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_gradients<V: Vector>(x: &[f32], y: &[f32], mean: &[f32], sums: &mut [f32]) {
    let channels = mean.len();
    let (sums, products) = sums.split_at_mut(channels);
    by_columns!(x.len() / channels, channels, V::LANES, |channel, block| {
        let end = (channel + V::LANES).min(channels);
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (mut sum, mean) = (V::load_some(&sums[channel..end]), V::load_some(&mean[channel..end]));
            let mut product = V::load_some(&products[channel..end]);
            for row in block {
                let x = load_ahead::<V>(x, row * channels + channel..row * channels + end, channels);
                let y = load_ahead::<V>(y, row * channels + channel..row * channels + end, channels);
                sum = sum.add(y);
                product = y.multiply_add(x.subtract(mean), product);
            }
            sum.store_some(&mut sums[channel..end]);
            product.store_some(&mut products[channel..end]);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, assert_close};

    #[test]
    fn sums_add_every_row_once_and_keep_what_was_there() {
        let pool = Pool::new(2).unwrap();
        for rows in [1, 63, 64, 65, 1000] {
            let values: Vec<f32> = (0..rows * 3).map(|index| (index % 7) as f32).collect();
            let mut sums = vec![100.0, 0.0, 0.0];
            add_sums(&pool, &values, &mut [f32::NAN; PARTS * 3], &mut sums);
            for (channel, sum) in sums.iter().enumerate() {
                let expected: f32 = values.iter().skip(channel).step_by(3).sum();
                assert_eq!(*sum, expected + if channel == 0 { 100.0 } else { 0.0 }, "{rows} rows");
            }
        }
    }

    #[test]
    fn every_instruction_set_adds_the_terms_of_plain_loops() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (rows, channels) in [(1, 1), (16, 5), (37, 17), (33, 33), (100, 64)] {
                let mut numbers = Numbers::new(3);
                let (x, y) = (numbers.vector(rows * channels), numbers.vector(rows * channels));
                let (mean, start) = (numbers.vector(channels), numbers.vector(2 * channels));
                let expected = |first: usize, term: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f32> {
                    let sum = |channel: usize| {
                        let terms = (channel..x.len())
                            .step_by(channels)
                            .map(|index| term(x[index].into(), y[index].into(), mean[channel].into()));
                        (f64::from(start[first + channel]) + terms.sum::<f64>()) as f32
                    };
                    (0..channels).map(sum).collect()
                };
                let run = |term, len: usize| {
                    let mut sums = start[..len].to_vec();
                    sum_rows(isa, term, &x, &y, &mean, &mut sums);
                    sums
                };
                // Squares are below four.
                let terms = 4 * rows;
                assert_close(&run(Term::Value, channels), &expected(0, &|x, _, _| x), terms);
                let both = run(Term::Deviation, 2 * channels);
                assert_close(&both[..channels], &expected(0, &|x, _, mean| x - mean), terms);
                let squares = expected(channels, &|x, _, mean| (x - mean).powi(2));
                assert_close(&both[channels..], &squares, terms);
                let both = run(Term::Gradient, 2 * channels);
                assert_close(&both[..channels], &expected(0, &|_, y, _| y), terms);
                let products = expected(channels, &|x, y, mean| y * (x - mean));
                assert_close(&both[channels..], &products, terms);
            }
        }
    }
}
