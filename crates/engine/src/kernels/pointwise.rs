//! Sums of activations, and pixels to activations.

use crate::isa::{Isa, by_isa};
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

/// `target = 0`.
pub(crate) fn clear(pool: &Pool, target: &mut [f32]) {
    pool.run_chunks(target, CHUNK, |_, target| target.fill(0.0));
}

/// `target += addend`, by the calling thread alone.
pub(crate) fn accumulate_elements(isa: Isa, addend: &[f32], target: &mut [f32]) {
    assert_eq!(addend.len(), target.len(), "summand and sum");
    by_isa!(isa, add_to, (addend: &[f32], target: &mut [f32]));
}

#[inline(always)]
fn add_to(addend: &[f32], target: &mut [f32]) {
    for (target, addend) in target.iter_mut().zip(addend) {
        *target += addend;
    }
}

/// `target = (pixel - mean) / scale` for interleaved channels.
pub(crate) fn normalise(pool: &Pool, pixels: &[u8], mean: [f32; 3], scale: [f32; 3], target: &mut [f32]) {
    /// Whole pixels in a task.
    const CHUNK: usize = 3 * 4096;
    assert_eq!(pixels.len(), target.len(), "pixels and activations");
    let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
        std::array::from_fn(|byte| (byte as f32 - mean[channel]) / scale[channel])
    });
    pool.run_chunks(target, CHUNK, |index, target| {
        let pixels = pixels[index * CHUNK..].chunks_exact(3);
        for (target, pixel) in target.chunks_exact_mut(3).zip(pixels) {
            for ((target, byte), table) in target.iter_mut().zip(pixel).zip(&tables) {
                *target = table[usize::from(*byte)];
            }
        }
    });
}
