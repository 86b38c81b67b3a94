//! Sums of activations, and pixels to activations.

use crate::isa::by_isa;
use crate::pool::Pool;

/// Elements for one task.
const CHUNK: usize = 16 * 1024;

/// `target = first + second`.
pub(crate) fn add(pool: &Pool, first: &[f32], second: &[f32], target: &mut [f32]) {
    assert_eq!([first.len(), second.len()], [target.len(); 2], "summands and sum");
    pool.run_chunks(target, CHUNK, |index, target| {
        let range = index * CHUNK..index * CHUNK + target.len();
        let (first, second) = (&first[range.clone()], &second[range]);
        by_isa!(pool.isa(), add_elements, (first: &[f32], second: &[f32], target: &mut [f32]));
    });
}

#[inline(always)]
fn add_elements(first: &[f32], second: &[f32], target: &mut [f32]) {
    for ((target, first), second) in target.iter_mut().zip(first).zip(second) {
        *target = first + second;
    }
}

/// `target += addend`.
pub(crate) fn accumulate(pool: &Pool, addend: &[f32], target: &mut [f32]) {
    assert_eq!(addend.len(), target.len(), "summand and sum");
    pool.run_chunks(target, CHUNK, |index, target| {
        let addend = &addend[index * CHUNK..][..target.len()];
        by_isa!(pool.isa(), accumulate_elements, (addend: &[f32], target: &mut [f32]));
    });
}

#[inline(always)]
fn accumulate_elements(addend: &[f32], target: &mut [f32]) {
    for (target, addend) in target.iter_mut().zip(addend) {
        *target += addend;
    }
}

/// `target = (pixel - mean) / scale`.
pub(crate) fn normalise(pool: &Pool, pixels: &[u8], mean: f32, scale: f32, target: &mut [f32]) {
    assert_eq!(pixels.len(), target.len(), "pixels and activations");
    let table: [f32; 256] = std::array::from_fn(|pixel| (pixel as f32 - mean) / scale);
    pool.run_chunks(target, CHUNK, |index, target| {
        for (target, pixel) in target.iter_mut().zip(&pixels[index * CHUNK..]) {
            *target = table[usize::from(*pixel)];
        }
    });
}
