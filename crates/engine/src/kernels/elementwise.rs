//! Functions of single values, and products of activations.

use super::column;
use crate::isa::by_isa;
use crate::pool::Pool;

/// Elements for one task.
const CHUNK: usize = 16 * 1024;

/// `target = min(max(source, low), high)`.
pub(crate) fn clip(pool: &Pool, source: &[f32], low: f32, high: f32, target: &mut [f32]) {
    assert_eq!(source.len(), target.len(), "clip input and output");
    pool.run_chunks(target, CHUNK, |index, target| {
        let source = &source[index * CHUNK..][..target.len()];
        by_isa!(pool.isa(), clip_elements, (source: &[f32], low: f32, high: f32, target: &mut [f32]));
    });
}

#[inline(always)]
fn clip_elements(source: &[f32], low: f32, high: f32, target: &mut [f32]) {
    for (target, source) in target.iter_mut().zip(source) {
        let raised = if *source > low { *source } else { low };
        *target = if raised < high { raised } else { high };
    }
}

/// `target = 1 / (1 + exp(-source))`.
pub(crate) fn sigmoid(pool: &Pool, source: &[f32], target: &mut [f32]) {
    assert_eq!(source.len(), target.len(), "sigmoid input and output");
    pool.run_chunks(target, CHUNK, |index, target| {
        let source = &source[index * CHUNK..][..target.len()];
        for (target, source) in target.iter_mut().zip(source) {
            *target = 1.0 / (1.0 + (-source).exp());
        }
    });
}

/// `target = first * second`, element by element.
pub(crate) fn multiply(pool: &Pool, first: &[f32], second: &[f32], target: &mut [f32]) {
    assert_eq!([first.len(), second.len()], [target.len(); 2], "factors and product");
    pool.run_chunks(target, CHUNK, |index, target| {
        let range = index * CHUNK..index * CHUNK + target.len();
        let (first, second) = (&first[range.clone()], &second[range]);
        by_isa!(pool.isa(), multiply_elements, (first: &[f32], second: &[f32], target: &mut [f32]));
    });
}

#[inline(always)]
fn multiply_elements(first: &[f32], second: &[f32], target: &mut [f32]) {
    for ((target, first), second) in target.iter_mut().zip(first).zip(second) {
        *target = first * second;
    }
}

/// As [`multiply`], with one factor for each image and channel.
///
/// # Shapes
/// `maps` and `target` `[images, positions, channels]`, `factors` `[images, channels]`.
pub(crate) fn multiply_channels(
    pool: &Pool,
    maps: &[f32],
    factors: &[f32],
    channels: usize,
    target: &mut [f32],
) {
    assert_eq!(maps.len(), target.len(), "factors and product");
    let images = factors.len() / channels;
    pool.run_chunks(target, maps.len() / images, |image, target| {
        let maps = &maps[image * target.len()..][..target.len()];
        let factors = &factors[image * channels..][..channels];
        for (target, maps) in target.chunks_exact_mut(channels).zip(maps.chunks_exact(channels)) {
            multiply_elements(maps, factors, target);
        }
    });
}

/// `target_c = exp(source_c) / sum of exp(source_k)` over the channels of each row.
///
/// # Shapes
/// `source` and `target` `[rows, channels]`.
pub(crate) fn softmax(pool: &Pool, source: &[f32], channels: usize, target: &mut [f32]) {
    assert_eq!(source.len(), target.len(), "softmax input and output");
    let chunk = column::chunk(channels);
    pool.run_chunks(target, chunk, |index, target| {
        let source = &source[index * chunk..][..target.len()];
        for (source, target) in source.chunks_exact(channels).zip(target.chunks_exact_mut(channels)) {
            let largest = source.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            target.iter_mut().zip(source).for_each(|(target, source)| *target = (source - largest).exp());
            let sum: f32 = target.iter().sum();
            target.iter_mut().for_each(|target| *target /= sum);
        }
    });
}
