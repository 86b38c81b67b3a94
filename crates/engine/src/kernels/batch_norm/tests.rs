//! Statistics, output and gradients against the definition in f64.

use super::{
    Moments, ParameterGradients, PartMoments, Rectified, Running, Saved, backward, coefficients, measure,
    merge,
};
use crate::gemm::Store;
use crate::isa::Isa;
use crate::kernels::column;
use crate::kernels::epilogue::{self, After};
use crate::pool::Pool;
use crate::testing::Numbers;

/// Four vectors, which are computed side by side, one more and a part of one.
const CHANNELS: usize = 85;
const EPSILON: f32 = 1e-5;

/// Slopes of a rectifier that lets everything pass.
const PASS: [f64; CHANNELS] = [1.0; CHANNELS];

/// Normalises and rectifies in f64 from the definition.
fn definition(source: &[f64], gamma: &[f64], beta: &[f64], slopes: &[f64]) -> Vec<f64> {
    let rows = source.len() / CHANNELS;
    let mut target = vec![0.0; source.len()];
    for channel in 0..CHANNELS {
        let column: Vec<f64> = (0..rows).map(|row| source[row * CHANNELS + channel]).collect();
        let mean = column.iter().sum::<f64>() / rows as f64;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
        for row in 0..rows {
            let deviation = (variance + f64::from(EPSILON)).sqrt();
            let value = gamma[channel] * (column[row] - mean) / deviation + beta[channel];
            target[row * CHANNELS + channel] = if value > 0.0 { value } else { slopes[channel] * value };
        }
    }
    target
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

struct Case {
    source: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    mean: Vec<f32>,
    inverse: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    running: [Vec<f32>; 2],
}

impl Case {
    fn new(pool: &Pool, rows: usize, offset: f32) -> Case {
        let mut numbers = Numbers::new(rows as u64);
        let source: Vec<f32> = numbers.vector(rows * CHANNELS).iter().map(|x| x + offset).collect();
        let zeros = || vec![0.0; CHANNELS];
        let mut case = Case {
            source,
            gamma: numbers.vector(CHANNELS),
            beta: numbers.vector(CHANNELS),
            mean: zeros(),
            inverse: zeros(),
            scale: zeros(),
            shift: zeros(),
            running: [zeros(), vec![1.0; CHANNELS]],
        };
        let mut partials = vec![f32::NAN; (column::PARTS + 2) * 3 * CHANNELS];
        let parts = measure(pool, (&case.source).into(), CHANNELS, &mut partials);
        let [mean, variance] = &mut case.running;
        merge(
            &partials,
            &parts,
            EPSILON,
            &mut Moments { mean: &mut case.mean, inverse_deviation: &mut case.inverse },
            &mut Running { mean, variance, momentum: 0.1 },
        );
        coefficients(&case.gamma, &case.beta, &case.mean, &case.inverse, &mut case.scale, &mut case.shift);
        case
    }
}

#[test]
fn the_output_is_the_definition_also_when_the_mean_dwarfs_the_deviation() {
    let pool = Pool::new(2).unwrap();
    for (rows, offset, tolerance) in [(2, 0.0, 1e-5), (333, 0.0, 1e-5), (5000, 300.0, 1e-3)] {
        let case = Case::new(&pool, rows, offset);
        let mut target = vec![f32::NAN; case.source.len()];
        let affine = Some([&case.scale[..], &case.shift[..]]);
        epilogue::map(&pool, (&case.source).into(), CHANNELS, affine, After::default(), (&mut target).into());
        let expected = definition(&wide(&case.source), &wide(&case.gamma), &wide(&case.beta), &PASS);
        for (actual, expected) in target.iter().zip(expected) {
            assert!((f64::from(*actual) - expected).abs() < tolerance, "{rows} rows: {actual}, {expected}");
        }
    }
}

#[test]
fn moments_of_a_part_do_not_depend_on_how_its_rows_come() {
    let mut numbers = Numbers::new(3);
    let rows: Vec<f32> = numbers.vector(100 * CHANNELS).iter().map(|x| 50.0 + x).collect();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let run = |each: usize| {
            let (mut origin, mut sums) = (vec![f32::NAN; CHANNELS], vec![f32::NAN; 2 * CHANNELS]);
            let mut part = PartMoments::new(&mut origin, &mut sums);
            rows.chunks(each * CHANNELS).for_each(|rows| part.add(isa, rows.into()));
            part.finish();
            sums
        };
        let (whole, pieces) = (run(100), run(7));
        for channel in 0..CHANNELS {
            let column = || rows.iter().skip(channel).step_by(CHANNELS).map(|x| f64::from(*x));
            let mean = column().sum::<f64>() / 100.0;
            let squares = column().map(|x| (x - mean).powi(2)).sum::<f64>();
            for sums in [&whole, &pieces] {
                // One unit in the last place of 50 is 4e-6.
                assert!((f64::from(sums[channel]) - mean).abs() < 8e-6, "{isa}");
                let actual = f64::from(sums[CHANNELS + channel]);
                assert!((actual - squares).abs() < 1e-4 * squares, "{isa}: {actual}, {squares}");
            }
        }
    }
}

#[test]
fn running_statistics_move_by_the_momentum_towards_mean_and_sample_variance() {
    let pool = Pool::new(1).unwrap();
    let case = Case::new(&pool, 40, 2.0);
    for channel in 0..CHANNELS {
        let column: Vec<f64> = (0..40).map(|row| f64::from(case.source[row * CHANNELS + channel])).collect();
        let mean = column.iter().sum::<f64>() / 40.0;
        let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 39.0;
        assert!((f64::from(case.running[0][channel]) - 0.1 * mean).abs() < 1e-6);
        assert!((f64::from(case.running[1][channel]) - (0.9 + 0.1 * variance)).abs() < 1e-6);
    }
}

#[test]
fn gradients_are_the_slopes_of_the_definition_with_and_without_a_rectifier() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let pool = Pool::with_isa(2, isa).unwrap();
        let slopes = Numbers::new(31).vector(CHANNELS);
        check_gradients(&pool, None);
        check_gradients(&pool, Some(&slopes));
    }
}

fn check_gradients(pool: &Pool, slopes: Option<&[f32]>) {
    let case = Case::new(pool, 70, 0.5);
    let mut numbers = Numbers::new(9);
    let d_target = numbers.vector(case.source.len());
    let rectified = slopes.map(|slopes| Rectified { scale: &case.scale, shift: &case.shift, slopes });
    let saved = Saved {
        source: (&case.source).into(),
        gamma: &case.gamma,
        mean: &case.mean,
        inverse_deviation: &case.inverse,
        rectified,
    };
    let run = |given: Option<&Vec<f32>>, d_source: &mut Vec<f32>, store| {
        let mut partials = vec![f32::NAN; (column::PARTS + 2) * 3 * CHANNELS];
        let mut gradients = [vec![1.0; CHANNELS], vec![2.0; CHANNELS], vec![3.0; CHANNELS]];
        let [d_gamma, d_beta, d_slopes] = &mut gradients;
        let d_slopes = slopes.is_some().then_some(&mut d_slopes[..]);
        let into = ParameterGradients { d_gamma, d_beta, d_slopes };
        backward(pool, saved, given.map(Into::into), d_source.into(), store, None, &mut partials, into);
        gradients
    };
    let mut d_source = vec![3.0; case.source.len()];
    let [d_gamma, d_beta, d_slopes] = run(Some(&d_target), &mut d_source, Store::Add);

    // Where the gradient is overwritten, the same values.
    let mut in_place = d_target.clone();
    assert_eq!(run(None, &mut in_place, Store::Replace), [d_gamma.clone(), d_beta.clone(), d_slopes.clone()]);
    for (sum, value) in d_source.iter().zip(&in_place) {
        assert!((sum - 3.0 - value).abs() < 1e-6);
    }

    let all = slopes.map_or(PASS.to_vec(), wide);
    // The input, gamma, beta and slopes, of which one value moves.
    let operands = [wide(&case.source), wide(&case.gamma), wide(&case.beta), all];
    // Small against the distance of the values from the kink of the rectifier.
    let step = 1e-6;
    let slope = |which: usize, index: usize| {
        let at = |by: f64| -> f64 {
            let mut operands = operands.clone();
            operands[which][index] += by;
            let target = definition(&operands[0], &operands[1], &operands[2], &operands[3]);
            target.iter().zip(&d_target).map(|(y, d)| y * f64::from(*d)).sum()
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    for index in (0..case.source.len()).step_by(13) {
        let (actual, slope) = (f64::from(d_source[index]) - 3.0, slope(0, index));
        assert!((actual - slope).abs() < 1e-4, "{index}: {actual}, {slope}");
    }
    for channel in 0..CHANNELS {
        let parameters = [(&d_gamma, 1.0), (&d_beta, 2.0), (&d_slopes, 3.0)];
        for (which, (gradient, start)) in (1..).zip(parameters).take(if slopes.is_some() { 3 } else { 2 }) {
            let (actual, slope) = (f64::from(gradient[channel]) - start, slope(which, channel));
            assert!((actual - slope).abs() < 1e-4, "{which}, channel {channel}: {actual}, {slope}");
        }
    }
}
