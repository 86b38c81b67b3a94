//! Class centres as the left-hand side of both products.

use super::SHORTEST;
use super::layout::{Layout, TILE, depth_blocks};
use crate::gemm::word_tile::ROW_STRIDE;
use crate::gemm::{Format, Vector, across, along, by_format};
use crate::isa::Isa;

/// `1 / |W|` of each centre; 0 for one shorter than [`SHORTEST`].
#[inline(always)]
pub(super) fn inverse_norms(dimension: usize, weights: &[f32], inverse_norms: &mut [f32]) {
    for (weight, inverse) in weights.chunks_exact(dimension).zip(inverse_norms) {
        let norm = dot(weight, weight).sqrt();
        *inverse = if norm < SHORTEST { 0.0 } else { 1.0 / norm };
    }
}

/// Writes the directions of a tile as rows of words, `[blocks of depth][TILE][ROW_STRIDE]`.
pub(super) fn pack_rows(isa: Isa, layout: Layout, weights: &[f32], inverse_norms: &[f32], words: &mut [u32]) {
    #[expect(unsafe_code, reason = "calls a function of an instruction set")]
    // SAFETY: an Isa that reaches a kernel is available.
    unsafe {
        by_format!(
            isa,
            layout.precision,
            rows_of,
            (layout: Layout, weights: &[f32], inverse_norms: &[f32], words: &mut [u32])
        );
    }
}

/// # Safety
/// The processor has the instruction set of `V` and of `F`.
#[expect(unsafe_code, reason = "packs whole vectors")]
#[inline(always)]
unsafe fn rows_of<V: Vector, F: Format<V>>(
    layout: Layout,
    weights: &[f32],
    inverse_norms: &[f32],
    words: &mut [u32],
) {
    let (dimension, precision) = (layout.dimension, layout.precision);
    for (class, (weight, inverse)) in weights.chunks_exact(dimension).zip(inverse_norms).enumerate() {
        for (index, block) in depth_blocks(layout.direction_words()).enumerate() {
            let target = &mut words[(index * TILE + class) * ROW_STRIDE..][..block.len()];
            let elements =
                precision.per_word() * block.start..(precision.per_word() * block.end).min(dimension);
            // SAFETY: the caller's promise.
            unsafe { along::<V, F>(&weight[elements], *inverse, target) };
        }
    }
}

/// Writes the directions of a tile as words across its classes, `[class words][across stride]`.
pub(super) fn pack_across(
    isa: Isa,
    layout: Layout,
    weights: &[f32],
    inverse_norms: &[f32],
    words: &mut [u32],
) {
    #[expect(unsafe_code, reason = "calls a function of an instruction set")]
    // SAFETY: an Isa that reaches a kernel is available.
    unsafe {
        by_format!(
            isa,
            layout.precision,
            across_of,
            (layout: Layout, weights: &[f32], inverse_norms: &[f32], words: &mut [u32])
        );
    }
}

/// # Safety
/// The processor has the instruction set of `V` and of `F`.
#[expect(unsafe_code, reason = "packs whole vectors")]
#[inline(always)]
unsafe fn across_of<V: Vector, F: Format<V>>(
    layout: Layout,
    weights: &[f32],
    inverse_norms: &[f32],
    words: &mut [u32],
) {
    let precision = layout.precision;
    let classes = weights.chunks_exact(layout.dimension).zip(inverse_norms);
    let mut classes = classes.map(|(weight, inverse)| (weight, *inverse));
    for words in words.chunks_exact_mut(layout.across_stride()).take(layout.class_words(inverse_norms.len()))
    {
        let Some(first) = classes.next() else { break };
        let second = match precision.per_word() {
            1 => None,
            _ => classes.next(),
        };
        // SAFETY: the caller's promise.
        unsafe { across::<V, F>(first, second.unwrap_or((&[], 0.0)), words) };
    }
}

/// Writes the directions of a tile as rows of their elements across its classes, `[dimension][ROW_STRIDE]` in words of two
/// classes, with zeros to a whole number of registers.
///
/// # Panics
/// When the words are fewer, or no processor of this kind has AMX.
pub(super) fn pack_turned(layout: Layout, weights: &[f32], inverse_norms: &[f32], words: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "calls a function of an instruction set")]
    // SAFETY: a processor with AMX has AVX-512 with BF16.
    unsafe {
        turned_of(layout, weights, inverse_norms, words);
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!(
        "{layout:?} of {} weights, {} norms, {} words",
        weights.len(),
        inverse_norms.len(),
        words.len()
    );
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn turned_of(layout: Layout, weights: &[f32], inverse_norms: &[f32], words: &mut [u32]) {
    use crate::amx::{BLOCK, TILE};
    use crate::gemm::squares;
    let dimension = layout.dimension;
    let rows = dimension.next_multiple_of(TILE);
    assert!(words.len() >= rows * ROW_STRIDE, "{} words for {rows} rows", words.len());
    assert!(inverse_norms.len().next_multiple_of(BLOCK) / 2 <= ROW_STRIDE, "{} classes", inverse_norms.len());
    let classes = weights.chunks(BLOCK * dimension).zip(inverse_norms.chunks(BLOCK));
    for (index, (weights, inverse)) in classes.enumerate() {
        let mut factors = [0.0; BLOCK];
        factors[..inverse.len()].copy_from_slice(inverse);
        for first in (0..rows).step_by(TILE) {
            let mut values: [&[f32]; BLOCK] = [&[]; BLOCK];
            for (values, weight) in values.iter_mut().zip(weights.chunks_exact(dimension)) {
                *values = &weight[first..(first + TILE).min(dimension)];
            }
            let square = squares::channels_of_scaled_rows(&values, &factors);
            #[expect(unsafe_code, reason = "writes rows of a wider matrix")]
            // SAFETY: the assertions hold sixteen rows from the first on, and sixteen words in each.
            unsafe {
                let target = words.as_mut_ptr().add(first * ROW_STRIDE + index * TILE);
                squares::store(&square, target, ROW_STRIDE * size_of::<u32>());
            }
        }
    }
}

/// A sum over sixteen lanes, whatever the instruction set.
#[inline(always)]
pub(super) fn dot(first: &[f32], second: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (first_chunks, second_chunks) = (first.chunks_exact(16), second.chunks_exact(16));
    let rest: f32 = first_chunks.remainder().iter().zip(second_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (first, second) in first_chunks.zip(second_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(first).zip(second) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}
