//! The head against the f64 definition in `margin`.

use margin::{ArcFaceSlope, Loss, Problem, evaluate};

use super::*;
use crate::isa::Isa;
use crate::testing::Numbers;

/// In f32, relative to the largest gradient: a cosine carries a few units in the last place, 6e-8 each, and a scale
/// of 64 turns that into 64 times as much in an exponential.
const TOLERANCE: f64 = 1e-4;

/// The largest relative error of a number rounded to bf16.
const ROUNDING: f64 = 1.0 / 256.0;

struct Case {
    features: Vec<f32>,
    weights: Vec<f32>,
    labels: Vec<u32>,
    dimension: usize,
    /// Bytes of exponentials that are kept at least, where not as many as usual.
    least_kept: Option<usize>,
}

impl Case {
    fn new(samples: usize, classes: usize, dimension: usize) -> Case {
        let mut numbers = Numbers::new((samples * 31 + classes * 7 + dimension) as u64);
        let labels = (0..samples).map(|sample| (sample * 7919 % classes) as u32).collect();
        Case {
            features: numbers.vector(samples * dimension).iter().map(|x| x * 3.0).collect(),
            weights: numbers.vector(classes * dimension).iter().map(|x| x * 0.05).collect(),
            labels,
            dimension,
            least_kept: None,
        }
    }

    /// Moves the features close to (or, with a negative `share`, away from) their own centres.
    fn towards_centres(mut self, share: f32) -> Case {
        for (sample, label) in self.labels.iter().enumerate() {
            let centre = &self.weights[*label as usize * self.dimension..][..self.dimension];
            let norm = centre.iter().map(|w| w * w).sum::<f32>().sqrt();
            let feature = &mut self.features[sample * self.dimension..][..self.dimension];
            for (x, w) in feature.iter_mut().zip(centre) {
                *x = 0.1 * *x + share * 10.0 * w / norm;
            }
        }
        self
    }

    fn classes(&self) -> usize {
        self.weights.len() / self.dimension
    }

    fn head(&self) -> Head {
        let mut head = Head::zeros(self.classes(), self.dimension);
        head.weights_mut().copy_from_slice(&self.weights);
        head.least_kept = self.least_kept.unwrap_or(head.least_kept);
        head
    }

    fn run(&self, pool: &Pool, loss: &Loss, precision: Precision) -> (HeadOutput, Vec<f32>, Vec<f32>) {
        let mut d_features = vec![f32::NAN; self.features.len()];
        let mut d_weights = vec![0.0; self.weights.len()];
        let mut head = self.head();
        head.set_precision(precision);
        let centres = Centres::AddGradient(&mut d_weights);
        let output = head.step(pool, loss, &self.features, &self.labels, &mut d_features, centres);
        (output, d_features, d_weights)
    }

    /// What a precision may cost, relative to a loss and to the largest gradient.
    ///
    /// In bf16 both factors of each of the D products in a logit are rounded, by 0.4 `ROUNDING` in the mean. The
    /// errors are independent, so that a cosine's is 0.6 `ROUNDING / sqrt(D)` in the mean; the scale of the logits
    /// carries it into the exponents. The operands of the gradients' products add their own rounding.
    fn tolerance(&self, loss: &Loss, precision: Precision) -> f64 {
        let longest = |rows: &[f32]| {
            let norms =
                rows.chunks_exact(self.dimension).map(|row| row.iter().map(|x| x * x).sum::<f32>().sqrt());
            f64::from(norms.fold(0.0, f32::max))
        };
        let scale = match (precision, loss.normalises_weights(), loss.scale()) {
            (Precision::F32, ..) => return TOLERANCE,
            (_, false, _) => longest(&self.features) * longest(&self.weights),
            (_, true, margin::Scale::Fixed(s)) => s,
            (_, true, margin::Scale::FeatureNorm) => longest(&self.features),
        };
        ROUNDING * (2.0 + scale / (self.dimension as f64).sqrt())
    }

    #[track_caller]
    fn check(&self, pool: &Pool, loss: &Loss) {
        self.check_in(pool, loss, Precision::F32);
        self.check_in(pool, loss, Precision::Bf16);
    }

    #[track_caller]
    fn check_in(&self, pool: &Pool, loss: &Loss, precision: Precision) {
        let tolerance = self.tolerance(loss, precision);
        let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
        let (features, weights) = (wide(&self.features), wide(&self.weights));
        let problem = Problem {
            features: &features,
            weights: &weights,
            labels: &self.labels,
            samples: self.labels.len(),
            classes: self.classes(),
            dimension: self.dimension,
        };
        let expected = evaluate(loss, &problem).unwrap();
        let (output, d_features, d_weights) = self.run(pool, loss, precision);
        assert!(
            (output.loss - expected.loss).abs() <= tolerance * expected.loss.max(1e-3),
            "{precision} {loss:?}: loss {} against {}",
            output.loss,
            expected.loss
        );
        for (sample, each) in output.samples.iter().zip(&expected.loss_each) {
            assert!(
                (sample.loss - each).abs() <= tolerance * each.max(1e-3),
                "{precision} {loss:?}: {} against {each}",
                sample.loss
            );
        }
        for (name, actual, expected) in
            [("features", d_features, expected.d_features), ("weights", d_weights, expected.d_weights)]
        {
            let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                let error = (f64::from(*actual) - expected).abs();
                assert!(
                    error <= tolerance * largest,
                    "{precision} {loss:?} d_{name}[{index}]: {actual} against {expected}"
                );
            }
        }
    }
}

fn family() -> Vec<Loss> {
    vec![
        Loss::Softmax,
        Loss::Nsl { s: 30.0 },
        Loss::CosFace { s: 64.0, m: 0.35 },
        Loss::CosFaceRawFeatures { m: 0.35 },
        Loss::ArcFace { s: 64.0, m: 0.5, slope: ArcFaceSlope::Exact },
        Loss::ArcFace { s: 64.0, m: 0.5, slope: ArcFaceSlope::Detached },
        Loss::Combined { s: 64.0, m1: 0.9, m2: 0.4, m3: 0.15 },
        Loss::SphereFace { m: 4, lambda: 5.0 },
    ]
}

#[test]
fn every_loss_agrees_with_its_definition_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let pool = Pool::with_isa(2, isa).unwrap();
        for loss in family() {
            Case::new(12, 300, 24).check(&pool, &loss);
        }
    }
}

#[test]
fn ragged_sizes_and_few_classes_agree_with_the_definition() {
    let pool = Pool::new(2).unwrap();
    for (samples, classes, dimension) in [
        (1, 1, 2),
        (1, 2, 2),
        (5, 2, 3),
        (70, 3, 17),
        (33, 113, 1),
        (7, 2003, 37),
        (65, 112, 64),
        (130, 225, 1024),
        (530, 40, 8),
    ] {
        for loss in [Loss::CosFace { s: 64.0, m: 0.35 }, Loss::Softmax] {
            if dimension > 1 {
                Case::new(samples, classes, dimension).check(&pool, &loss);
            }
        }
    }
}

#[test]
fn converged_and_hopeless_batches_keep_their_digits() {
    let pool = Pool::new(2).unwrap();
    for loss in
        [Loss::CosFace { s: 64.0, m: 0.35 }, Loss::ArcFace { s: 64.0, m: 0.5, slope: ArcFaceSlope::Exact }]
    {
        Case::new(20, 400, 32).towards_centres(1.0).check(&pool, &loss);
        Case::new(20, 400, 32).towards_centres(-1.0).check(&pool, &loss);
    }
}

#[test]
fn a_label_repeated_in_the_whole_batch_agrees_with_the_definition() {
    let pool = Pool::new(2).unwrap();
    let mut case = Case::new(9, 33, 16);
    case.labels.fill(32);
    case.check(&pool, &Loss::CosFace { s: 32.0, m: 0.2 });
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let case = Case::new(40, 5000, 48);
    for precision in [Precision::F32, Precision::Bf16] {
        let run =
            |threads| case.run(&Pool::new(threads).unwrap(), &Loss::CosFace { s: 64.0, m: 0.35 }, precision);
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(3));
    }
}

#[test]
fn the_update_in_place_is_the_stored_gradient_followed_by_descent() {
    let pool = Pool::new(2).unwrap();
    let loss = Loss::CosFace { s: 16.0, m: 0.35 };
    let case = Case::new(10, 500, 20);
    let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 5e-4 };
    for precision in [Precision::F32, Precision::Bf16] {
        let mut head = case.head();
        head.set_precision(precision);
        let (mut weights, mut velocity) = (case.weights.clone(), vec![0.0f32; case.weights.len()]);
        let mut d_features = vec![0.0; case.features.len()];
        for _ in 0..3 {
            let now = Case {
                weights: weights.clone(),
                features: case.features.clone(),
                labels: case.labels.clone(),
                ..case
            };
            let (_, _, gradient) = now.run(&pool, &loss, precision);
            for ((weight, velocity), gradient) in weights.iter_mut().zip(&mut velocity).zip(gradient) {
                *velocity = step.momentum * *velocity + (gradient + step.decay * *weight);
                *weight -= step.rate * *velocity;
            }
            head.step(&pool, &loss, &case.features, &case.labels, &mut d_features, Centres::Descend(step));
            for (actual, expected) in head.weights().iter().zip(&weights) {
                assert!((actual - expected).abs() <= 1e-6, "{actual} against {expected}");
            }
        }
        assert_ne!(head.weights(), &case.weights[..]);
    }
}

#[test]
fn a_step_that_keeps_all_or_half_or_none_of_its_exponentials_agrees_with_the_definition() {
    let pool = Pool::new(2).unwrap();
    for (classes, dimension, least_kept, tiles) in
        [(2003, 16, 0, 0), (5000, 64, 0, 1), (5000, 64, 1 << 24, 2)]
    {
        let mut case = Case::new(130, classes, dimension);
        case.least_kept = Some(least_kept);
        for precision in [Precision::F32, Precision::Bf16] {
            let layout = layout::Layout { precision, samples: 130, classes, dimension, least_kept };
            assert_eq!(layout.kept_tiles_of_group(), tiles, "{precision}");
        }
        case.check(&pool, &Loss::CosFace { s: 64.0, m: 0.35 });
        case.check(&pool, &Loss::CosFaceRawFeatures { m: 0.35 });
    }
}

#[test]
fn a_zero_feature_and_a_zero_centre_yield_no_gradient_and_no_nan() {
    let pool = Pool::new(1).unwrap();
    let mut case = Case::new(4, 10, 8);
    case.features[..8].fill(0.0);
    case.weights[16..24].fill(0.0);
    case.labels = vec![0, 1, 2, 3];
    for precision in [Precision::F32, Precision::Bf16] {
        let loss = Loss::CosFace { s: 64.0, m: 0.35 };
        let (output, d_features, d_weights) = case.run(&pool, &loss, precision);
        assert!(output.loss.is_finite());
        assert!(d_features[..8].iter().chain(&d_weights[16..24]).all(|gradient| *gradient == 0.0));
        assert!(d_features.iter().chain(&d_weights).all(|gradient| gradient.is_finite()));
    }
}

#[test]
fn samples_report_target_nearest_other_and_whether_the_margin_holds() {
    let pool = Pool::new(1).unwrap();
    let case = Case {
        features: vec![1.0, 0.0, 0.8, 0.6],
        weights: vec![2.0, 0.0, 0.0, 3.0],
        labels: vec![0, 0],
        dimension: 2,
        least_kept: None,
    };
    for (precision, tolerance) in [(Precision::F32, 1e-6), (Precision::Bf16, ROUNDING)] {
        let (output, ..) = case.run(&pool, &Loss::CosFace { s: 10.0, m: 0.35 }, precision);
        let [near, far] = [output.samples[0], output.samples[1]];
        assert!((near.target - 1.0).abs() < 1e-6 && near.nearest_other.abs() < 1e-6 && near.satisfied);
        assert!((far.target - 0.8).abs() < 1e-6 && (far.nearest_other - 0.6).abs() < tolerance);
        assert!(!far.satisfied);
    }
}

#[test]
fn a_feature_that_is_not_a_number_shows_in_its_loss_and_gradient() {
    let pool = Pool::new(1).unwrap();
    let mut case = Case::new(4, 10, 8);
    case.features[9] = f32::NAN;
    for precision in [Precision::F32, Precision::Bf16] {
        let (output, d_features, _) = case.run(&pool, &Loss::CosFace { s: 64.0, m: 0.35 }, precision);
        assert!(output.loss.is_nan() && output.samples[1].loss.is_nan());
        assert!(output.samples[0].loss.is_finite());
        assert!(d_features[8..16].iter().all(|gradient| gradient.is_nan()));
    }
}
