//! Values moved to other places.

use net::{Shape, Slice, Tap};

use crate::pool::Pool;

/// Copies rows of `width` values into the columns from `start` on of a wider target.
///
/// # Shapes
/// `source` `[rows, width]`, `target` `[rows, target_width]`.
pub(crate) fn columns(source: &[f32], width: usize, start: usize, target_width: usize, target: &mut [f32]) {
    assert_eq!(source.len() / width, target.len() / target_width, "rows to copy");
    for (source, target) in source.chunks_exact(width).zip(target.chunks_exact_mut(target_width)) {
        target[start..start + width].copy_from_slice(source);
    }
}

/// Height, width, channel to channel, height, width.
///
/// # Shapes
/// `source` `[images, positions, channels]`, `target` `[images, channels, positions]`.
pub(crate) fn channels_first(pool: &Pool, source: &[f32], shape: Shape, target: &mut [f32]) {
    let (positions, channels) = (shape.positions(), shape.channels);
    pool.run_chunks(target, positions, |plane, target| {
        let (image, channel) = (plane / channels, plane % channels);
        let source = &source[image * shape.elements()..][..shape.elements()];
        for (target, row) in target.iter_mut().zip(source.chunks_exact(channels)) {
            *target = row[channel];
        }
    });
}

/// Every position repeated `factor` times down and to the right.
///
/// # Shapes
/// `source` `[images, height, width, channels]`, `target` `[images, factor height, factor width, channels]`.
pub(crate) fn upsample(pool: &Pool, source: &[f32], shape: Shape, factor: usize, target: &mut [f32]) {
    let width = shape.width * shape.channels;
    pool.run_chunks(target, factor * width, |row, target| {
        let source = &source[row / factor * width..][..width];
        let repeated = target.chunks_exact_mut(factor * shape.channels);
        for (target, source) in repeated.zip(source.chunks_exact(shape.channels)) {
            target.chunks_exact_mut(shape.channels).for_each(|target| target.copy_from_slice(source));
        }
    });
}

/// Values between positions, rows and columns each by their taps.
///
/// # Shapes
/// `source` `[images, height, width, channels]`, `target` `[images, rows, columns, channels]`.
pub(crate) fn resample(pool: &Pool, source: &[f32], shape: Shape, taps: [&[Tap]; 2], target: &mut [f32]) {
    let ([rows, columns], channels) = (taps, shape.channels);
    pool.run_chunks(target, columns.len() * channels, |row, target| {
        let (image, row) = (row / rows.len(), rows[row % rows.len()]);
        let line = |y: usize| {
            &source[(image * shape.height + y) * shape.width * channels..][..shape.width * channels]
        };
        let (above, below) = (line(row.low), line(row.high));
        for (target, column) in target.chunks_exact_mut(channels).zip(columns) {
            let (left, right) = (column.low * channels, column.high * channels);
            for (channel, target) in target.iter_mut().enumerate() {
                let across = |line: &[f32]| {
                    (1.0 - column.share) * line[left + channel] + column.share * line[right + channel]
                };
                *target = (1.0 - row.share) * across(above) + row.share * across(below);
            }
        }
    });
}

/// Some rows, columns and channels.
///
/// # Shapes
/// `source` `[images, height, width, channels]`; `target` has the counts of the slice's spans.
pub(crate) fn slice(pool: &Pool, source: &[f32], shape: Shape, slice: &Slice, target: &mut [f32]) {
    let (rows, columns, channels) = (slice.rows, slice.columns, slice.channels);
    pool.run_chunks(target, columns.count() * channels.count(), |row, target| {
        let (image, row) = (row / rows.count(), rows.start + row % rows.count() * rows.step);
        let line = &source[(image * shape.height + row) * shape.width * shape.channels..];
        for (column, target) in target.chunks_exact_mut(channels.count()).enumerate() {
            let pixel = &line[(columns.start + column * columns.step) * shape.channels..][..shape.channels];
            let picked = pixel[channels.start..channels.end].iter().step_by(channels.step);
            target.iter_mut().zip(picked).for_each(|(target, value)| *target = *value);
        }
    });
}
