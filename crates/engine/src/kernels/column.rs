//! Broadcasts to and sums over the rows of `[rows][channels]`, the latter with a fixed shape of reduction.

use std::ops::Range;

use super::stored::Stored;
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
pub(crate) fn add_sums(pool: &Pool, values: Stored<'_>, partials: &mut [f32], sums: &mut [f32]) {
    let channels = sums.len();
    reduce(pool, values.len() / channels, partials, sums, |rows, partial| {
        let values = values.range(rows.start * channels..rows.end * channels);
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
pub(crate) fn sum_rows(isa: Isa, term: Term, x: Stored<'_>, y: Stored<'_>, mean: &[f32], sums: &mut [f32]) {
    let channels = if term == Term::Value { sums.len() } else { sums.len() / 2 };
    assert!(x.len() == y.len() && x.len().is_multiple_of(channels), "rows of {channels} channels");
    assert!(term == Term::Value || mean.len() == channels, "a mean for each channel");
    #[expect(unsafe_code, reason = "adds whole vectors")]
    // SAFETY: an Isa that reaches a kernel is available, and the lengths were checked.
    unsafe {
        match term {
            Term::Value => by_vector!(isa, sum_values, (x: Stored<'_>, sums: &mut [f32])),
            Term::Deviation => {
                by_vector!(isa, sum_deviations, (x: Stored<'_>, mean: &[f32], sums: &mut [f32]));
            }
            Term::Gradient => {
                by_vector!(isa, sum_gradients, (x: Stored<'_>, y: Stored<'_>, mean: &[f32], sums: &mut [f32]));
            }
        }
    }
}

/// Rows whose sums are kept in registers before they are added to memory.
pub(crate) const ROWS: usize = 16;

/// Vectors of channels that an elementwise pass computes side by side, so that what is decided for them is decided once.
pub(crate) const SIDE_BY_SIDE: usize = 4;

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

/// The place of a vector of channels in each of some rows of `[rows, channels]`.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) channel: usize,
    /// Channels of the vector: all lanes, or those that are left.
    width: usize,
    channels: usize,
}

impl Column {
    /// That of the vector of `lanes` from `channel` on.
    pub(crate) fn new(channel: usize, channels: usize, lanes: usize) -> Column {
        Column { channel, width: lanes.min(channels - channel), channels }
    }

    pub(crate) fn columns(&self) -> Range<usize> {
        self.channel..self.channel + self.width
    }

    /// The place in `row`.
    pub(crate) fn place(&self, row: usize) -> Range<usize> {
        let start = row * self.channels + self.channel;
        start..start + self.width
    }

    /// The vector of `row`, and fetches the same place of the next block of rows: no processor foresees a walk down the
    /// columns.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set, the row lies in `values`, and the column has all lanes if it is `WHOLE`.
    #[expect(unsafe_code, reason = "loads a whole vector")]
    #[inline(always)]
    pub(crate) unsafe fn read<V: Vector, const WHOLE: bool>(&self, values: Stored<'_>, row: usize) -> V {
        let start = row * self.channels + self.channel;
        // SAFETY: the caller's promise; a prefetch may name any address.
        unsafe {
            values.prefetch::<V>(start + ROWS * self.channels);
            if WHOLE {
                let [vector] = values.load(start);
                vector
            } else {
                values.at(start..start + self.width)
            }
        }
    }
}

/// Calls `$body::<V, WHOLE>` with a [`Column`] and a block of rows, for all of `$rows` rows of `$channels` channels.
macro_rules! by_columns {
    ($vector:ident, $rows:expr, $channels:expr, $body:ident($($argument:expr),* $(,)?)) => {{
        let (rows, channels) = ($rows, $channels);
        for first in (0..rows).step_by($crate::kernels::column::ROWS) {
            let block = first..(first + $crate::kernels::column::ROWS).min(rows);
            for channel in (0..channels).step_by($vector::LANES) {
                let column = $crate::kernels::column::Column::new(channel, channels, $vector::LANES);
                if channel + $vector::LANES <= channels {
                    $body::<$vector, true>(column, block.clone(), $($argument),*);
                } else {
                    $body::<$vector, false>(column, block.clone(), $($argument),*);
                }
            }
        }
    }};
}
pub(crate) use by_columns;

#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_values<V: Vector>(x: Stored<'_>, sums: &mut [f32]) {
    let channels = sums.len();
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe { by_columns!(V, x.len() / channels, channels, add_values(x, sums)) }
}

/// # Safety
/// As [`Column::read`].
#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn add_values<V: Vector, const WHOLE: bool>(
    column: Column,
    rows: Range<usize>,
    x: Stored<'_>,
    sums: &mut [f32],
) {
    let sums = &mut sums[column.columns()];
    // SAFETY: the caller's promise.
    unsafe {
        let mut sum = V::load_some(sums);
        for row in rows {
            sum = sum.add(column.read::<V, WHOLE>(x, row));
        }
        sum.store_some(sums);
    }
}

#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_deviations<V: Vector>(x: Stored<'_>, mean: &[f32], sums: &mut [f32]) {
    let channels = mean.len();
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe { by_columns!(V, x.len() / channels, channels, add_deviations(x, mean, sums)) }
}

/// # Safety
/// As [`Column::read`].
#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn add_deviations<V: Vector, const WHOLE: bool>(
    column: Column,
    rows: Range<usize>,
    x: Stored<'_>,
    mean: &[f32],
    sums: &mut [f32],
) {
    let (sums, squares) = sums.split_at_mut(mean.len());
    let [sums, squares] = [sums, squares].map(|sums| &mut sums[column.columns()]);
    // SAFETY: the caller's promise.
    unsafe {
        let mean = V::load_some(&mean[column.columns()]);
        let (mut sum, mut square) = (V::load_some(sums), V::load_some(squares));
        for row in rows {
            let deviation = column.read::<V, WHOLE>(x, row).subtract(mean);
            sum = sum.add(deviation);
            square = deviation.multiply_add(deviation, square);
        }
        sum.store_some(sums);
        square.store_some(squares);
    }
}

#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn sum_gradients<V: Vector>(x: Stored<'_>, y: Stored<'_>, mean: &[f32], sums: &mut [f32]) {
    let channels = mean.len();
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe { by_columns!(V, x.len() / channels, channels, add_gradients([x, y], mean, sums)) }
}

/// # Safety
/// As [`Column::read`].
#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn add_gradients<V: Vector, const WHOLE: bool>(
    column: Column,
    rows: Range<usize>,
    [x, y]: [Stored<'_>; 2],
    mean: &[f32],
    sums: &mut [f32],
) {
    let (sums, products) = sums.split_at_mut(mean.len());
    let [sums, products] = [sums, products].map(|sums| &mut sums[column.columns()]);
    // SAFETY: the caller's promise.
    unsafe {
        let mean = V::load_some(&mean[column.columns()]);
        let (mut sum, mut product) = (V::load_some(sums), V::load_some(products));
        for row in rows {
            let (x, y) = (column.read::<V, WHOLE>(x, row), column.read::<V, WHOLE>(y, row));
            sum = sum.add(y);
            product = y.multiply_add(x.subtract(mean), product);
        }
        sum.store_some(sums);
        product.store_some(products);
    }
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
            add_sums(&pool, (&values).into(), &mut [f32::NAN; PARTS * 3], &mut sums);
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
                    sum_rows(isa, term, x[..].into(), y[..].into(), &mean, &mut sums);
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
