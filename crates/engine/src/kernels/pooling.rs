//! Largest values and means of windows.

use net::{PoolKind, Shape};

use crate::isa::by_isa;
use crate::pool::Pool;

/// The sizes of a pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) source: Shape,
    pub(crate) target: Shape,
    pub(crate) settings: net::Pool,
}

/// `target` = largest value or mean of each window's positions inside the source.
///
/// # Shapes
/// `source` `[images, height, width, channels]`, `target` `[images, height', width', channels]`.
pub(crate) fn windows(pool: &Pool, windows: &Windows, source: &[f32], target: &mut [f32]) {
    let (from, to) = (windows.source, windows.target);
    assert_eq!(source.len() / from.elements(), target.len() / to.elements(), "images of a pooling");
    pool.run_chunks(target, to.width * to.channels, |row, target| {
        let (image, row) = (row / to.height, row % to.height);
        let source = &source[image * from.elements()..][..from.elements()];
        by_isa!(pool.isa(), pool_row, (windows: &Windows, row: usize, source: &[f32], target: &mut [f32]));
    });
}

#[inline(always)]
fn pool_row(windows: &Windows, row: usize, source: &[f32], target: &mut [f32]) {
    let (shape, settings) = (windows.source, windows.settings);
    let (channels, [height, width]) = (shape.channels, settings.kernel);
    let (from, to) = inside(row, height, &settings, shape.height);
    for (column, target) in target.chunks_exact_mut(channels).enumerate() {
        let (left, right) = inside(column, width, &settings, shape.width);
        let start = if settings.kind == PoolKind::Largest { f32::NEG_INFINITY } else { 0.0 };
        target.fill(start);
        for y in from..to {
            for x in left..right {
                let values = &source[(y * shape.width + x) * channels..][..channels];
                match settings.kind {
                    PoolKind::Largest => {
                        for (target, value) in target.iter_mut().zip(values) {
                            *target = if *value > *target { *value } else { *target };
                        }
                    }
                    PoolKind::Average => {
                        target.iter_mut().zip(values).for_each(|(target, value)| *target += value);
                    }
                }
            }
        }
        if settings.kind == PoolKind::Average {
            let count = ((to - from) * (right - left)) as f32;
            target.iter_mut().for_each(|target| *target /= count);
        }
    }
}

/// The positions of window `index` that lie inside a side of `size`.
#[inline(always)]
fn inside(index: usize, kernel: usize, settings: &net::Pool, size: usize) -> (usize, usize) {
    let start = index * settings.stride;
    (start.saturating_sub(settings.padding), (start + kernel - settings.padding).min(size))
}

/// `target` = mean over all positions of each channel.
///
/// # Shapes
/// `source` `[images, positions, channels]`, `target` `[images, channels]`.
pub(crate) fn global_average(pool: &Pool, source: &[f32], channels: usize, target: &mut [f32]) {
    let each = source.len() * channels / target.len();
    pool.run_chunks(target, channels, |image, target| {
        let source = &source[image * each..][..each];
        by_isa!(pool.isa(), mean_of_rows, (source: &[f32], target: &mut [f32]));
    });
}

#[inline(always)]
fn mean_of_rows(source: &[f32], target: &mut [f32]) {
    let channels = target.len();
    target.fill(0.0);
    for row in source.chunks_exact(channels) {
        target.iter_mut().zip(row).for_each(|(target, value)| *target += value);
    }
    let count = (source.len() / channels) as f32;
    target.iter_mut().for_each(|target| *target /= count);
}
