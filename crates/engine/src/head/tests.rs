//! The head against the f64 definition in `margin`.

use margin::{
    ArcFaceSlope, Loss, NormStatistics, Problem, choose_classes, evaluate_sampled, evaluate_sub_centres,
};

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
    /// Centres of each class.
    per_class: usize,
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
            per_class: 1,
            least_kept: None,
        }
    }

    /// `classes` with `per_class` centres each.
    fn with_sub_centres(samples: usize, classes: usize, per_class: usize, dimension: usize) -> Case {
        let plain = Case::new(samples, classes * per_class, dimension);
        let labels = (0..samples).map(|sample| (sample * 7919 % classes) as u32).collect();
        Case { labels, per_class, ..plain }
    }

    /// Draws the centres of a class anew until no sample stands so close between its nearest two that rounding of
    /// products could change which is nearest: the gradient is not continuous there, and any tolerance would be luck.
    fn apart(mut self) -> Case {
        let (dimension, per_class) = (self.dimension, self.per_class);
        let gap = 4.0 * ROUNDING as f32 / (dimension as f32).sqrt();
        let norm = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let mut numbers = Numbers::new(97);
        for class in self.weights.chunks_exact_mut(per_class * dimension) {
            let longest = class.chunks_exact(dimension).map(norm).fold(0.0, f32::max);
            let close = |class: &[f32]| {
                self.features.chunks_exact(dimension).any(|feature| {
                    // By cosine, and by product for the losses that keep norms.
                    [true, false].into_iter().any(|normalised| {
                        let nearness = |row: &[f32]| {
                            let product: f32 = row.iter().zip(feature).map(|(w, x)| w * x).sum();
                            product / (norm(feature) * if normalised { norm(row) } else { longest })
                        };
                        let mut all: Vec<f32> = class.chunks_exact(dimension).map(nearness).collect();
                        all.sort_by(|one, other| other.total_cmp(one));
                        all.windows(2).next().is_some_and(|pair| pair[0] - pair[1] < gap)
                    })
                })
            };
            while close(class) {
                let drawn = numbers.vector(class.len());
                class.iter_mut().zip(drawn).for_each(|(w, drawn)| *w = 0.05 * drawn);
            }
        }
        self
    }

    /// Gives the features norms from `low` to `high`.
    fn with_norms(mut self, low: f32, high: f32) -> Case {
        let count = self.labels.len();
        for (sample, feature) in self.features.chunks_exact_mut(self.dimension).enumerate() {
            let wanted = low + (high - low) * sample as f32 / count as f32;
            let norm = feature.iter().map(|x| x * x).sum::<f32>().sqrt();
            feature.iter_mut().for_each(|x| *x *= wanted / norm);
        }
        self
    }

    /// Moves the features close to (or, with a negative `share`, away from) their own centres.
    fn towards_centres(mut self, share: f32) -> Case {
        for (sample, label) in self.labels.iter().enumerate() {
            let row = *label as usize * self.per_class;
            let centre = &self.weights[row * self.dimension..][..self.dimension];
            let norm = centre.iter().map(|w| w * w).sum::<f32>().sqrt();
            let feature = &mut self.features[sample * self.dimension..][..self.dimension];
            for (x, w) in feature.iter_mut().zip(centre) {
                *x = 0.1 * *x + share * 10.0 * w / norm;
            }
        }
        self
    }

    fn classes(&self) -> usize {
        self.weights.len() / self.dimension / self.per_class
    }

    fn head(&self) -> Head {
        let mut head = Head::with_sub_centres(self.classes(), self.per_class, self.dimension);
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
        let expected = evaluate_sub_centres(loss, &problem, self.per_class).unwrap();
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
        Loss::SphereFace { m: 3, lambda: 0.0 },
        Loss::SphereFaceNormalised { s: 30.0, m: 4, lambda: 100.0 },
        Loss::LSoftmax { m: 4, lambda: 5.0 },
        Loss::LSoftmax { m: 2, lambda: 0.0 },
        Loss::CurricularFace { s: 64.0, m: 0.5, rate: 0.01, t: 0.4 },
        Loss::MagFace { s: 64.0, m_low: 0.45, m_high: 0.8, norm_low: 2.0, norm_high: 12.0, lambda_g: 35.0 },
        Loss::AdaFace {
            s: 64.0,
            m: 0.4,
            h: 0.333,
            rate: 0.01,
            norms: NormStatistics { mean: 8.0, deviation: 2.0 },
        },
    ]
}

/// Losses that treat more than the target cosine: each takes another way through the head.
fn adaptive() -> Vec<Loss> {
    let special = ["l-softmax", "curricularface", "magface", "adaface"];
    family().into_iter().filter(|loss| special.contains(&loss.name())).collect()
}

#[test]
fn every_loss_agrees_with_its_definition_on_every_instruction_set() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let pool = Pool::with_isa(2, isa).unwrap();
        for loss in family() {
            Case::new(12, 300, 24).check(&pool, &loss);
            Case::with_sub_centres(12, 130, 3, 24).apart().check(&pool, &loss);
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
    for (samples, classes, per_class, dimension) in
        [(1, 1, 1, 2), (3, 2, 1, 3), (9, 2, 3, 5), (70, 75, 3, 17), (65, 57, 16, 64), (7, 700, 5, 37)]
    {
        for loss in adaptive() {
            Case::with_sub_centres(samples, classes, per_class, dimension).apart().check(&pool, &loss);
        }
        let loss = Loss::CosFace { s: 64.0, m: 0.35 };
        Case::with_sub_centres(samples, classes, per_class, dimension).apart().check(&pool, &loss);
    }
}

#[test]
fn margins_that_follow_the_norm_agree_with_the_definition_inside_and_outside_their_range() {
    let pool = Pool::new(2).unwrap();
    for loss in adaptive() {
        Case::new(30, 90, 24).with_norms(0.5, 30.0).check(&pool, &loss);
    }
}

#[test]
fn adaptive_losses_agree_with_the_definition_at_the_start_and_when_converged() {
    let pool = Pool::new(2).unwrap();
    let near = Case::with_sub_centres(20, 130, 3, 32).towards_centres(1.0).apart();
    near.check(&pool, &Loss::CosFace { s: 64.0, m: 0.35 });
    for loss in adaptive() {
        // A feature of norm 10 near a centre of norm 0.2: in L-Softmax the logits are small, and the loss is not.
        Case::new(20, 400, 32).towards_centres(1.0).check(&pool, &loss);
        Case::new(20, 400, 32).towards_centres(-1.0).check(&pool, &loss);
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
    for loss in family() {
        case.check(&pool, &loss);
    }
}

#[test]
fn a_step_over_some_classes_is_the_definitions_and_leaves_the_others_with_their_velocities_alone() {
    let pool = Pool::new(2).unwrap();
    let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 5e-4 };
    for loss in [Loss::CosFace { s: 32.0, m: 0.35 }, Loss::Softmax] {
        // 40 samples of 40 classes where 5 of 90 are wanted: there are more positives than that.
        for (rate, count) in [(0.05, 40), (0.6, 54), (1.0, 90)] {
            let case = Case::new(40, 90, 24);
            let key = |class: u32| u64::from(class).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let chosen = choose_classes(&case.labels, 90, rate, key);
            assert_eq!(chosen.len(), count);
            let mut head = case.head();
            head.set_velocity(&vec![0.5; case.weights.len()]);
            let mut some = Head::zeros(1, 24);
            some.gather(&pool, &head, &chosen);
            let place = |label: &u32| chosen.binary_search(label).unwrap() as u32;
            let labels: Vec<u32> = case.labels.iter().map(place).collect();
            let mut d_features = vec![0.0; case.features.len()];
            let output =
                some.step(&pool, &loss, &case.features, &labels, &mut d_features, Centres::Descend(step));
            some.scatter(&mut head, &chosen);

            let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
            let (features, weights) = (wide(&case.features), wide(&case.weights));
            let problem = Problem {
                features: &features,
                weights: &weights,
                labels: &case.labels,
                samples: 40,
                classes: 90,
                dimension: 24,
            };
            let expected = evaluate_sampled(&loss, &problem, &chosen).unwrap();
            assert!((output.loss - expected.loss).abs() <= TOLERANCE * expected.loss);
            let largest = expected.d_features.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
            for (actual, expected) in d_features.iter().zip(&expected.d_features) {
                assert!((f64::from(*actual) - expected).abs() <= TOLERANCE * largest);
            }
            let centres = weights.iter().zip(&expected.d_weights).enumerate();
            for (index, (weight, gradient)) in centres {
                let is_chosen = chosen.contains(&((index / 24) as u32));
                let velocity = match is_chosen {
                    true => 0.9 * 0.5 + gradient + f64::from(step.decay) * weight,
                    false => 0.5,
                };
                let moved = if is_chosen { weight - 0.1 * velocity } else { *weight };
                assert!((f64::from(head.velocity()[index]) - velocity).abs() < 1e-4, "velocity {index}");
                assert!((f64::from(head.weights()[index]) - moved).abs() < 1e-5, "centre {index}");
            }
        }
    }
}

#[test]
fn a_step_over_a_sample_of_all_classes_is_the_whole_step_bit_for_bit() {
    let pool = Pool::new(2).unwrap();
    let loss = Loss::CosFace { s: 64.0, m: 0.35 };
    let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 5e-4 };
    let case = Case::new(30, 500, 20);
    let all: Vec<u32> = (0..500).collect();
    for precision in [Precision::F32, Precision::Bf16] {
        let (mut whole, mut sampled, mut some) = (case.head(), case.head(), Head::zeros(7, 20));
        whole.set_precision(precision);
        some.set_precision(precision);
        for _ in 0..3 {
            let mut gradients = [vec![0.0; case.features.len()], vec![0.0; case.features.len()]];
            let [first, second] = &mut gradients;
            let one = whole.step(&pool, &loss, &case.features, &case.labels, first, Centres::Descend(step));
            some.gather(&pool, &sampled, &all);
            let other = some.step(&pool, &loss, &case.features, &case.labels, second, Centres::Descend(step));
            some.scatter(&mut sampled, &all);
            assert_eq!(one, other);
            assert_eq!(first, second);
            assert_eq!((whole.weights(), whole.velocity()), (sampled.weights(), sampled.velocity()));
        }
    }
}

#[test]
fn parts_of_a_batch_added_to_the_velocities_are_one_descent_down_their_mean() {
    let pool = Pool::new(2).unwrap();
    let loss = Loss::CosFace { s: 16.0, m: 0.35 };
    let step = SgdStep { rate: 0.1, momentum: 0.9, decay: 5e-4 };
    let case = Case::new(10, 300, 20);
    let (mut whole, mut parts) = (case.head(), case.head());
    let mut d_features = vec![0.0; case.features.len()];
    for _ in 0..2 {
        whole.step(&pool, &loss, &case.features, &case.labels, &mut d_features, Centres::Descend(step));
        parts.begin_descent(&pool, step, 2);
        for half in [0..5, 5..10] {
            let features = &case.features[half.start * 20..half.end * 20];
            let d_features = &mut d_features[..features.len()];
            parts.step(&pool, &loss, features, &case.labels[half], d_features, Centres::AddToVelocity);
        }
        parts.end_descent(&pool, step, 2);
        for (one, other) in whole.weights().iter().zip(parts.weights()) {
            assert!((one - other).abs() <= 1e-6, "{one} against {other}");
        }
    }
}

#[test]
fn an_adaptive_loss_observes_the_cosines_and_norms_of_the_batch() {
    let pool = Pool::new(2).unwrap();
    let case = Case::with_sub_centres(12, 40, 2, 24);
    let head = case.head();
    let mut cosines = Vec::new();
    let mut norms = Vec::new();
    let unit = |vector: &[f32]| -> (Vec<f64>, f64) {
        let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        (vector.iter().map(|x| f64::from(*x) / norm).collect(), norm)
    };
    for (feature, label) in case.features.chunks_exact(24).zip(&case.labels) {
        let (direction, norm) = unit(feature);
        let centres = case.weights[*label as usize * 48..][..48].chunks_exact(24);
        let cosine = centres.map(|w| unit(w).0.iter().zip(&direction).map(|(w, x)| w * x).sum::<f64>());
        cosines.push(cosine.fold(f64::NEG_INFINITY, f64::max));
        norms.push(norm);
    }
    for loss in family() {
        let seen = head.observe(&pool, loss, &case.features, &case.labels);
        let expected = loss.observe(&cosines, &norms);
        assert_eq!(seen.state().len(), expected.state().len());
        for ((name, seen), (_, expected)) in seen.state().into_iter().zip(expected.state()) {
            assert!((seen - expected).abs() < 1e-6, "{name}: {seen} against {expected}");
        }
    }
}

#[test]
fn the_largest_cosine_is_that_of_the_closest_two_classes_and_not_of_one_classs_own_centres() {
    let pool = Pool::new(2).unwrap();
    let mut head = Head::with_sub_centres(3, 2, 2);
    let at = |degrees: f32| [3.0 * degrees.to_radians().cos(), 3.0 * degrees.to_radians().sin()];
    let weights: Vec<f32> = [0.0, 1.0, 40.0, 90.0, 100.0, 170.0].into_iter().flat_map(at).collect();
    head.weights_mut().copy_from_slice(&weights);
    let largest = |classes: &[u32]| head.largest_cosine(&pool, classes);
    assert!((largest(&[0, 1, 2]).unwrap() - 10f64.to_radians().cos()).abs() < 1e-6);
    assert!((largest(&[0, 1]).unwrap() - 39f64.to_radians().cos()).abs() < 1e-6);
    assert_eq!(largest(&[2]), None);
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
            let least_kept = Some(least_kept);
            let layout =
                layout::Layout { precision, samples: 130, classes, per_class: 1, dimension, least_kept };
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
        for loss in family() {
            let (output, d_features, d_weights) = case.run(&pool, &loss, precision);
            assert!(output.loss.is_finite(), "{loss:?}");
            assert!(d_features.iter().chain(&d_weights).all(|gradient| gradient.is_finite()), "{loss:?}");
            if loss.normalises_weights() {
                let of_zeros = d_features[..8].iter().chain(&d_weights[16..24]);
                assert!(of_zeros.copied().all(|gradient| gradient == 0.0), "{loss:?}");
            }
        }
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
        per_class: 1,
        least_kept: None,
    };
    for (precision, tolerance) in [(Precision::F32, 1e-6), (Precision::Bf16, ROUNDING)] {
        let (output, ..) = case.run(&pool, &Loss::CosFace { s: 10.0, m: 0.35 }, precision);
        let [near, far] = [output.samples[0], output.samples[1]];
        assert!((near.cosine - 1.0).abs() < 1e-6 && near.nearest_other.abs() < 1e-6 && near.satisfied);
        assert!((far.cosine - 0.8).abs() < 1e-6 && (far.nearest_other - 0.6).abs() < tolerance);
        assert!(!far.satisfied);
    }
}

#[test]
fn a_feature_that_is_not_a_number_shows_in_its_loss_and_gradient() {
    let pool = Pool::new(1).unwrap();
    let mut case = Case::new(4, 10, 8);
    case.features[9] = f32::NAN;
    for precision in [Precision::F32, Precision::Bf16] {
        for loss in family() {
            let (output, d_features, _) = case.run(&pool, &loss, precision);
            assert!(output.loss.is_nan() && output.samples[1].loss.is_nan(), "{loss:?}");
            assert!(output.samples[0].loss.is_finite(), "{loss:?}");
            assert!(d_features[8..16].iter().all(|gradient| gradient.is_nan()), "{loss:?}");
        }
    }
}

#[test]
fn nothing_of_one_batch_is_left_in_the_next() {
    let pool = Pool::new(2).unwrap();
    // More samples first, with norms and labels of their own, then fewer.
    let (before, case) =
        (Case::new(40, 30, 8).with_norms(5.0, 20.0), Case::new(7, 30, 8).with_norms(0.5, 4.0));
    for loss in family() {
        let mut head = case.head();
        let step = |head: &mut Head, case: &Case| {
            let mut d_features = vec![0.0; case.features.len()];
            let output =
                head.step(&pool, &loss, &case.features, &case.labels, &mut d_features, Centres::Keep);
            (output, d_features)
        };
        step(&mut head, &before);
        assert_eq!(step(&mut head, &case), step(&mut case.head(), &case), "{loss:?}");
    }
}
