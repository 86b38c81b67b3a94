//! Mean and variance of a batch in one pass over it, which may be the pass that computes it.
//!
//! The rows are taken in parts. With `c` the first row of a part, sums of `x - c` and of its square give the part's
//! mean and sum of squared deviations; they lose few digits, since `c` is about as far from the mean as any row. The
//! parts are merged in order, in f64 (Chan et al. 1979). So nothing cancels when the mean is large.

use crate::isa::Isa;
use crate::kernels::column::{self, Term};
use crate::kernels::stored::Stored;
use crate::pool::Pool;

/// Statistics of the batch that the backward pass needs, `[channels]` each.
#[derive(Debug)]
pub(crate) struct Moments<'a> {
    pub(crate) mean: &'a mut [f32],
    /// `1 / sqrt(variance + epsilon)`.
    pub(crate) inverse_deviation: &'a mut [f32],
}

/// Follows the batch in the running statistics, weighing it by `momentum`.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    pub(crate) mean: &'a mut [f32],
    pub(crate) variance: &'a mut [f32],
    pub(crate) momentum: f32,
}

/// The rows of each part of which moments were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    rows: [usize; column::PARTS],
    count: usize,
}

impl Parts {
    /// As many in each but the last.
    pub(crate) fn even(rows: usize, each: usize) -> Parts {
        let mut parts = Parts::default();
        (0..rows).step_by(each).for_each(|start| parts.push(each.min(rows - start)));
        parts
    }

    /// One more part, of so many rows.
    ///
    /// # Panics
    /// When there are more than [`column::PARTS`].
    pub(crate) fn push(&mut self, rows: usize) {
        self.rows[self.count] = rows;
        self.count += 1;
    }

    pub(crate) fn rows(&self) -> &[usize] {
        &self.rows[..self.count]
    }
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { rows: [0; column::PARTS], count: 0 }
    }
}

/// The moments of one part while its rows come by.
#[derive(Debug)]
pub(crate) struct PartMoments<'a> {
    /// First row of the part, `[channels]`.
    pub(crate) origin: &'a mut [f32],
    /// Sums of `x - origin`, then of its square, and in the end mean and sum of squared deviations.
    pub(crate) sums: &'a mut [f32],
    /// Rows that came by.
    pub(crate) rows: usize,
}

impl<'a> PartMoments<'a> {
    /// Before the first row.
    ///
    /// # Shapes
    /// `origin` `[channels]`, `sums` `[2, channels]`.
    pub(crate) fn new(origin: &'a mut [f32], sums: &'a mut [f32]) -> PartMoments<'a> {
        sums.fill(0.0);
        PartMoments { origin, sums, rows: 0 }
    }

    /// Takes the next rows.
    pub(crate) fn add(&mut self, isa: Isa, rows: Stored<'_>) {
        let channels = self.origin.len();
        if self.rows == 0 {
            rows.range(0..channels).widen(isa, self.origin);
        }
        self.rows += rows.len() / channels;
        column::sum_rows(isa, Term::Deviation, rows, rows, self.origin, self.sums);
    }

    /// After the last row: leaves `[mean, squared deviations]` in the sums.
    pub(crate) fn finish(self) {
        let count = self.rows as f32;
        let (means, squares) = self.sums.split_at_mut(self.origin.len());
        for ((mean, square), origin) in means.iter_mut().zip(squares).zip(self.origin) {
            *square -= *mean * *mean / count;
            *mean = *origin + *mean / count;
        }
    }
}

/// Measures each part of `source` into `partials`, `[parts, 2, channels]`.
pub(crate) fn measure(pool: &Pool, source: Stored<'_>, channels: usize, partials: &mut [f32]) -> Parts {
    let rows = source.len() / channels;
    let count = rows.div_ceil(column::PARTS);
    let partials = &mut partials[..rows.div_ceil(count) * 2 * channels];
    let partials = crate::pool::Shared::new(partials);
    pool.run(rows.div_ceil(count), |index, scratch| {
        let rows = index * count..((index + 1) * count).min(rows);
        #[expect(unsafe_code, reason = "tasks share a buffer")]
        // SAFETY: this part of the sums is this task's alone.
        let sums = unsafe { partials.range(index * 2 * channels..(index + 1) * 2 * channels) };
        let mut part = PartMoments::new(scratch.at_least(channels), sums);
        part.add(pool.isa(), source.range(rows.start * channels..rows.end * channels));
        part.finish();
    });
    Parts::even(rows, count)
}

/// Mean and variance of each channel, and the running ones moved towards them, from the moments of `parts` of the rows.
///
/// As in PyTorch the running variance is that of a sample (divided by `rows - 1`), the batch's that of a population.
///
/// # Shapes
/// `moments` at least `[parts, 2, channels]`.
///
/// # Panics
/// With fewer than two rows, which have no variance.
pub(crate) fn merge(
    moments: &[f32],
    parts: &Parts,
    epsilon: f32,
    merged: &mut Moments<'_>,
    running: &mut Running<'_>,
) {
    /// Channels whose sums are kept in registers.
    const TOGETHER: usize = 8;
    let rows: usize = parts.rows().iter().sum();
    assert!(rows > 1, "batch statistics of {rows} rows");
    let channels = merged.mean.len();
    let moments = &moments[..parts.rows().len() * 2 * channels];
    let counted =
        || moments.chunks_exact(2 * channels).zip(parts.rows()).map(|(part, rows)| (part, *rows as f64));
    for first in (0..channels).step_by(TOGETHER) {
        let width = TOGETHER.min(channels - first);
        let (mut means, mut squares) = ([0.0f64; TOGETHER], [0.0f64; TOGETHER]);
        for (part, count) in counted() {
            for (mean, value) in means.iter_mut().zip(&part[first..first + width]) {
                *mean += count * f64::from(*value);
            }
        }
        means.iter_mut().for_each(|mean| *mean /= rows as f64);
        for (part, count) in counted() {
            let (part_means, part_squares) = part.split_at(channels);
            for lane in 0..width {
                let deviation = f64::from(part_means[first + lane]) - means[lane];
                squares[lane] += f64::from(part_squares[first + lane]) + count * deviation * deviation;
            }
        }
        for lane in 0..width {
            let (channel, mean) = (first + lane, means[lane] as f32);
            let variance = squares[lane] / rows as f64;
            merged.mean[channel] = mean;
            merged.inverse_deviation[channel] = (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32;
            let sample = (squares[lane] / (rows as f64 - 1.0)) as f32;
            running.mean[channel] += running.momentum * (mean - running.mean[channel]);
            running.variance[channel] += running.momentum * (sample - running.variance[channel]);
        }
    }
}
