//! Batch normalisation over the rows of `[rows][channels]` (arXiv:1502.03167, algorithm 1).

use super::column::{self, Term};
use crate::gemm::Store;
use crate::isa::{Isa, by_isa};
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

/// Mean and variance of each channel, and the running ones moved towards them.
///
/// The rows are taken in parts; each has its mean and sum of squared deviations, and the parts are merged in
/// order, in f64 (Chan et al. 1979), which does not cancel when the mean is large. As in PyTorch the running
/// variance is that of a sample (divided by `rows - 1`), the batch's that of a population.
///
/// # Panics
/// With fewer than two rows, which have no variance.
pub(crate) fn moments(
    pool: &Pool,
    source: &[f32],
    epsilon: f32,
    partials: &mut [f32],
    moments: &mut Moments<'_>,
    running: &mut Running<'_>,
) {
    let channels = moments.mean.len();
    let rows = source.len() / channels;
    assert!(rows > 1, "batch statistics of {rows} rows");
    let count = rows.div_ceil(column::PARTS);
    let parts = rows.div_ceil(count);
    let partials = &mut partials[..parts * 2 * channels];
    pool.run_chunks(partials, 2 * channels, |index, partial| {
        let rows = index * count..((index + 1) * count).min(rows);
        let source = &source[rows.start * channels..rows.end * channels];
        part_moments(pool.isa(), source, partial);
    });
    for channel in 0..channels {
        let (mut total, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
        for (index, partial) in partials.chunks_exact(2 * channels).enumerate() {
            let here = ((index + 1) * count).min(rows) as f64 - (index * count) as f64;
            let delta = f64::from(partial[channel]) - mean;
            mean += delta * here / (total + here);
            squares += f64::from(partial[channels + channel]) + delta * delta * total * here / (total + here);
            total += here;
        }
        let variance = squares / total;
        moments.mean[channel] = mean as f32;
        moments.inverse_deviation[channel] = (1.0 / (variance + f64::from(epsilon)).sqrt()) as f32;
        let momentum = running.momentum;
        running.mean[channel] += momentum * (mean as f32 - running.mean[channel]);
        running.variance[channel] +=
            momentum * ((squares / (total - 1.0)) as f32 - running.variance[channel]);
    }
}

/// Mean and sum of squared deviations of each channel of `source`, into `[mean..., squares...]`.
fn part_moments(isa: Isa, source: &[f32], partial: &mut [f32]) {
    let channels = partial.len() / 2;
    let (mean, squares) = partial.split_at_mut(channels);
    mean.fill(0.0);
    squares.fill(0.0);
    column::sum_rows(isa, Term::Value, source, source, &[], mean);
    let count = (source.len() / channels) as f32;
    mean.iter_mut().for_each(|mean| *mean /= count);
    column::sum_rows(isa, Term::SquaredDeviation, source, source, mean, squares);
}

/// `target = source * scale + shift` for each channel.
///
/// # Shapes
/// `source` and `target` `[rows, channels]`, `scale` and `shift` `[channels]`.
pub(crate) fn affine(pool: &Pool, source: &[f32], scale: &[f32], shift: &[f32], target: &mut [f32]) {
    assert_eq!(source.len(), target.len(), "batch norm input and output");
    let chunk = column::chunk(scale.len());
    pool.run_chunks(target, chunk, |index, target| {
        let source = &source[index * chunk..][..target.len()];
        by_isa!(
            pool.isa(),
            affine_rows,
            (source: &[f32], scale: &[f32], shift: &[f32], target: &mut [f32])
        );
    });
}

#[inline(always)]
fn affine_rows(source: &[f32], scale: &[f32], shift: &[f32], target: &mut [f32]) {
    let channels = scale.len();
    for (source, target) in source.chunks_exact(channels).zip(target.chunks_exact_mut(channels)) {
        for (((target, source), scale), shift) in target.iter_mut().zip(source).zip(scale).zip(shift) {
            *target = source * scale + shift;
        }
    }
}

/// The affine map of a normalisation by `mean` and `inverse_deviation`: `scale` and `shift` of [`affine`].
pub(crate) fn coefficients(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    inverse_deviation: &[f32],
    scale: &mut [f32],
    shift: &mut [f32],
) {
    for channel in 0..gamma.len() {
        scale[channel] = gamma[channel] * inverse_deviation[channel];
        shift[channel] = beta[channel] - mean[channel] * scale[channel];
    }
}

/// What the backward pass reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved<'a> {
    pub(crate) source: &'a [f32],
    pub(crate) gamma: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) inverse_deviation: &'a [f32],
}

/// With `h = (x - mean) * inverse_deviation` and sums over the rows: `d_beta += sum dy`, `d_gamma += sum dy h`,
/// `dx (=|+=) gamma * inverse_deviation * (dy - (sum dy + h sum(dy h)) / rows)`.
///
/// # Shapes
/// `d_target` and `d_source` as `saved.source`, `[rows, channels]`; `partials` is scratch of
/// `(PARTS + 2) * 2 * channels` floats.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn backward(
    pool: &Pool,
    saved: Saved<'_>,
    d_target: &[f32],
    d_source: &mut [f32],
    store: Store,
    partials: &mut [f32],
    d_gamma: &mut [f32],
    d_beta: &mut [f32],
) {
    let channels = saved.gamma.len();
    let rows = saved.source.len() / channels;
    assert_eq!(saved.source.len(), d_target.len(), "batch norm input and output gradient");
    assert_eq!(saved.source.len(), d_source.len(), "batch norm input and its gradient");
    let (sums, partials) = partials.split_at_mut(4 * channels);
    let (sums, coefficients) = sums.split_at_mut(2 * channels);
    sums.fill(0.0);
    column::reduce(pool, rows, partials, sums, |rows, partial| {
        let range = rows.start * channels..rows.end * channels;
        let (source, d_target) = (&saved.source[range.clone()], &d_target[range]);
        column::sum_rows(pool.isa(), Term::Gradient, source, d_target, saved.mean, partial);
    });
    // d_source = dy * a + x * b + c, with the sums folded into a, b and c for each channel.
    let (slope, shift) = coefficients.split_at_mut(channels);
    for channel in 0..channels {
        let inverse = saved.inverse_deviation[channel];
        let (sum, product) = (sums[channel], sums[channels + channel] * inverse);
        d_beta[channel] += sum;
        d_gamma[channel] += product;
        let factor = saved.gamma[channel] * inverse / rows as f32;
        slope[channel] = -factor * product * inverse;
        shift[channel] = -factor * sum - saved.mean[channel] * slope[channel];
        sums[channel] = saved.gamma[channel] * inverse;
    }
    let (slope, shift, gain) = (&*slope, &*shift, &sums[..channels]);
    let chunk = column::chunk(channels);
    pool.run_chunks(d_source, chunk, |index, d_source| {
        let range = index * chunk..index * chunk + d_source.len();
        let (source, d_target) = (&saved.source[range.clone()], &d_target[range]);
        let coefficients = [gain, slope, shift];
        by_isa!(
            pool.isa(),
            backward_rows,
            (source: &[f32], d_target: &[f32], coefficients: [&[f32]; 3], d_source: &mut [f32], store: Store)
        );
    });
}

#[inline(always)]
fn backward_rows(
    source: &[f32],
    d_target: &[f32],
    [gain, slope, shift]: [&[f32]; 3],
    d_source: &mut [f32],
    store: Store,
) {
    let channels = gain.len();
    let rows = source.chunks_exact(channels).zip(d_target.chunks_exact(channels));
    for ((source, d_target), d_source) in rows.zip(d_source.chunks_exact_mut(channels)) {
        for channel in 0..channels {
            let value = d_target[channel] * gain[channel] + source[channel] * slope[channel] + shift[channel];
            match store {
                Store::Replace => d_source[channel] = value,
                Store::Add => d_source[channel] += value,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    const CHANNELS: usize = 5;

    /// Normalises in f64 from the definition.
    fn definition(source: &[f64], gamma: &[f32], beta: &[f32], epsilon: f64) -> Vec<f64> {
        let rows = source.len() / CHANNELS;
        let mut target = vec![0.0; source.len()];
        for channel in 0..CHANNELS {
            let column: Vec<f64> = (0..rows).map(|row| source[row * CHANNELS + channel]).collect();
            let mean = column.iter().sum::<f64>() / rows as f64;
            let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
            for row in 0..rows {
                target[row * CHANNELS + channel] = f64::from(gamma[channel]) * (column[row] - mean)
                    / (variance + epsilon).sqrt()
                    + f64::from(beta[channel]);
            }
        }
        target
    }

    struct Case {
        source: Vec<f32>,
        gamma: Vec<f32>,
        beta: Vec<f32>,
        mean: Vec<f32>,
        inverse: Vec<f32>,
        running: [Vec<f32>; 2],
        target: Vec<f32>,
    }

    fn case(pool: &Pool, rows: usize, offset: f32) -> Case {
        let mut numbers = Numbers::new(rows as u64);
        let source: Vec<f32> = numbers.vector(rows * CHANNELS).iter().map(|x| x + offset).collect();
        let (gamma, beta) = (numbers.vector(CHANNELS), numbers.vector(CHANNELS));
        let mut case = Case {
            target: vec![f32::NAN; source.len()],
            source,
            gamma,
            beta,
            mean: vec![0.0; CHANNELS],
            inverse: vec![0.0; CHANNELS],
            running: [vec![0.0; CHANNELS], vec![1.0; CHANNELS]],
        };
        let mut partials = vec![f32::NAN; (column::PARTS + 2) * 2 * CHANNELS];
        let [mean, variance] = &mut case.running;
        moments(
            pool,
            &case.source,
            1e-5,
            &mut partials,
            &mut Moments { mean: &mut case.mean, inverse_deviation: &mut case.inverse },
            &mut Running { mean, variance, momentum: 0.1 },
        );
        let (mut scale, mut shift) = (vec![0.0; CHANNELS], vec![0.0; CHANNELS]);
        coefficients(&case.gamma, &case.beta, &case.mean, &case.inverse, &mut scale, &mut shift);
        affine(pool, &case.source, &scale, &shift, &mut case.target);
        case
    }

    #[test]
    fn the_output_is_the_definition_also_when_the_mean_dwarfs_the_deviation() {
        let pool = Pool::new(2).unwrap();
        for (rows, offset, tolerance) in [(2, 0.0, 1e-5), (333, 0.0, 1e-5), (5000, 300.0, 1e-3)] {
            let case = case(&pool, rows, offset);
            let wide: Vec<f64> = case.source.iter().map(|x| f64::from(*x)).collect();
            let expected = definition(&wide, &case.gamma, &case.beta, 1e-5);
            for (actual, expected) in case.target.iter().zip(expected) {
                assert!(
                    (f64::from(*actual) - expected).abs() < tolerance,
                    "{rows} rows: {actual}, {expected}"
                );
            }
        }
    }

    #[test]
    fn running_statistics_move_by_the_momentum_towards_mean_and_sample_variance() {
        let pool = Pool::new(1).unwrap();
        let case = case(&pool, 40, 2.0);
        for channel in 0..CHANNELS {
            let column: Vec<f64> =
                (0..40).map(|row| f64::from(case.source[row * CHANNELS + channel])).collect();
            let mean = column.iter().sum::<f64>() / 40.0;
            let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 39.0;
            assert!((f64::from(case.running[0][channel]) - 0.1 * mean).abs() < 1e-6);
            assert!((f64::from(case.running[1][channel]) - (0.9 + 0.1 * variance)).abs() < 1e-6);
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_definition() {
        let pool = Pool::new(2).unwrap();
        let case = case(&pool, 70, 0.5);
        let mut numbers = Numbers::new(9);
        let d_target = numbers.vector(case.source.len());
        let mut partials = vec![f32::NAN; (column::PARTS + 2) * 2 * CHANNELS];
        let (mut d_gamma, mut d_beta) = (vec![1.0; CHANNELS], vec![2.0; CHANNELS]);
        let saved = Saved {
            source: &case.source,
            gamma: &case.gamma,
            mean: &case.mean,
            inverse_deviation: &case.inverse,
        };
        let mut d_source = vec![3.0; case.source.len()];
        backward(
            &pool,
            saved,
            &d_target,
            &mut d_source,
            Store::Add,
            &mut partials,
            &mut d_gamma,
            &mut d_beta,
        );
        let objective = |source: &[f64], gamma: &[f32], beta: &[f32]| -> f64 {
            let target = definition(source, gamma, beta, 1e-5);
            target.iter().zip(&d_target).map(|(y, d)| y * f64::from(*d)).sum()
        };
        let wide: Vec<f64> = case.source.iter().map(|x| f64::from(*x)).collect();
        let step = 1e-4;
        for index in (0..case.source.len()).step_by(13) {
            let (mut up, mut down) = (wide.clone(), wide.clone());
            up[index] += step;
            down[index] -= step;
            let slope = (objective(&up, &case.gamma, &case.beta) - objective(&down, &case.gamma, &case.beta))
                / (2.0 * step);
            assert!((f64::from(d_source[index]) - 3.0 - slope).abs() < 1e-4, "{index}: {slope}");
        }
        for channel in 0..CHANNELS {
            let shifted = |values: &[f32], by: f32| {
                let mut values = values.to_vec();
                values[channel] += by;
                values
            };
            let slope = (objective(&wide, &shifted(&case.gamma, 0.25), &case.beta)
                - objective(&wide, &shifted(&case.gamma, -0.25), &case.beta))
                / 0.5;
            assert!((f64::from(d_gamma[channel]) - 1.0 - slope).abs() < 1e-4);
            let slope = (objective(&wide, &case.gamma, &shifted(&case.beta, 0.25))
                - objective(&wide, &case.gamma, &shifted(&case.beta, -0.25)))
                / 0.5;
            assert!((f64::from(d_beta[channel]) - 2.0 - slope).abs() < 1e-4);
        }
    }
}
