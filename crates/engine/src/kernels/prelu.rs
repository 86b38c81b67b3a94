//! Rectifier with a learned slope for each channel: `y = x` where `x > 0`, else `slope * x` (arXiv:1502.01852).

use super::column;
use crate::gemm::Store;
use crate::isa::by_isa;
use crate::pool::Pool;

/// # Shapes
/// `source` and `target` `[rows, channels]`, `slopes` `[channels]`.
pub(crate) fn forward(pool: &Pool, source: &[f32], slopes: &[f32], target: &mut [f32]) {
    assert_eq!(source.len(), target.len(), "prelu input and output");
    let chunk = column::chunk(slopes.len());
    pool.run_chunks(target, chunk, |index, target| {
        let source = &source[index * chunk..][..target.len()];
        by_isa!(pool.isa(), forward_rows, (source: &[f32], slopes: &[f32], target: &mut [f32]));
    });
}

#[inline(always)]
fn forward_rows(source: &[f32], slopes: &[f32], target: &mut [f32]) {
    let channels = slopes.len();
    for (source, target) in source.chunks_exact(channels).zip(target.chunks_exact_mut(channels)) {
        for ((target, source), slope) in target.iter_mut().zip(source).zip(slopes) {
            *target = if *source > 0.0 { *source } else { slope * source };
        }
    }
}

/// `d_source (=|+=) d_target * (source > 0 ? 1 : slope)` and `d_slopes += sum of d_target * min(source, 0)`.
///
/// # Shapes
/// As [`forward`]; `partials` is scratch of `PARTS * channels` floats.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn backward(
    pool: &Pool,
    source: &[f32],
    slopes: &[f32],
    d_target: &[f32],
    d_source: &mut [f32],
    store: Store,
    partials: &mut [f32],
    d_slopes: &mut [f32],
) {
    assert_eq!(source.len(), d_target.len(), "prelu input and output gradient");
    assert_eq!(source.len(), d_source.len(), "prelu input and its gradient");
    let channels = slopes.len();
    let chunk = column::chunk(channels);
    pool.run_chunks(d_source, chunk, |index, d_source| {
        let range = index * chunk..index * chunk + d_source.len();
        let (source, d_target) = (&source[range.clone()], &d_target[range]);
        by_isa!(
            pool.isa(),
            backward_rows,
            (source: &[f32], slopes: &[f32], d_target: &[f32], d_source: &mut [f32], store: Store)
        );
    });
    column::reduce(pool, source.len() / channels, partials, d_slopes, |rows, partial| {
        let range = rows.start * channels..rows.end * channels;
        let (source, d_target) = (&source[range.clone()], &d_target[range]);
        by_isa!(pool.isa(), slope_rows, (source: &[f32], d_target: &[f32], partial: &mut [f32]));
    });
}

#[inline(always)]
fn backward_rows(source: &[f32], slopes: &[f32], d_target: &[f32], d_source: &mut [f32], store: Store) {
    let channels = slopes.len();
    let rows = source.chunks_exact(channels).zip(d_target.chunks_exact(channels));
    for ((source, d_target), d_source) in rows.zip(d_source.chunks_exact_mut(channels)) {
        let elements = d_source.iter_mut().zip(source).zip(d_target).zip(slopes);
        match store {
            Store::Replace => elements.for_each(|(((d_source, source), d_target), slope)| {
                *d_source = if *source > 0.0 { *d_target } else { slope * d_target };
            }),
            Store::Add => elements.for_each(|(((d_source, source), d_target), slope)| {
                *d_source += if *source > 0.0 { *d_target } else { slope * d_target };
            }),
        }
    }
}

#[inline(always)]
fn slope_rows(source: &[f32], d_target: &[f32], sums: &mut [f32]) {
    let channels = sums.len();
    for (source, d_target) in source.chunks_exact(channels).zip(d_target.chunks_exact(channels)) {
        for ((sum, source), d_target) in sums.iter_mut().zip(source).zip(d_target) {
            *sum += if *source > 0.0 { 0.0 } else { source * d_target };
        }
    }
}
