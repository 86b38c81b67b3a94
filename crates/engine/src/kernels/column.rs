//! Broadcasts to and sums over the rows of `[rows][channels]`, the latter with a fixed shape of reduction.

use std::ops::Range;

use crate::pool::Pool;

/// Most partial sums of a reduction.
pub(crate) const PARTS: usize = 64;

/// Rows of `[rows][channels]` for one part of a reduction: depends on the shape alone.
fn rows_in_part(rows: usize) -> usize {
    rows.div_ceil(PARTS).max(1)
}

/// Elements for one task of an elementwise pass over `[rows][channels]`: whole rows, about 64 KiB.
pub(crate) fn chunk(channels: usize) -> usize {
    (16 * 1024 / channels).max(1) * channels
}

/// Copies `values` to every row of `target`.
///
/// # Shapes
/// `values` `[channels]`, `target` `[rows, channels]`.
pub(crate) fn broadcast(pool: &Pool, values: &[f32], target: &mut [f32]) {
    pool.run_chunks(target, chunk(values.len()), |_, target| {
        target.chunks_exact_mut(values.len()).for_each(|row| row.copy_from_slice(values));
    });
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
    let (count, width) = (rows_in_part(rows), sums.len());
    let parts = rows.div_ceil(count);
    let partials = &mut partials[..parts * width];
    pool.run_chunks(partials, width, |index, partial| {
        partial.fill(0.0);
        part(index * count..((index + 1) * count).min(rows), partial);
    });
    for partial in partials.chunks_exact(width) {
        for (sum, value) in sums.iter_mut().zip(partial) {
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
        for row in values[rows.start * channels..rows.end * channels].chunks_exact(channels) {
            for (sum, value) in partial.iter_mut().zip(row) {
                *sum += value;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
