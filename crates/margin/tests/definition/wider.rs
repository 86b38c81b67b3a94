//! What stands around the logits: several centres for a class, sampled classes, and losses on features alone.

use margin::beside::{CenterLoss, ContrastiveLoss, FeatureLoss, FeatureLossError, Labelled, TripletLoss};
use margin::{
    Evaluation, Loss, Problem, ProblemError, choose_classes, evaluate, evaluate_sampled, evaluate_sub_centres,
};

use super::problems::{ADAFACE, Owned, family, numbers, random, relative_difference};

/// Central differences with step h, as in `gradients`.
const STEP: f64 = 1e-5;
const CLOSE: f64 = 1e-6;

fn differences(values: &[f64], loss_at: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let at = |index: usize, step: f64| {
        let mut moved = values.to_vec();
        moved[index] += step;
        loss_at(&moved)
    };
    (0..values.len()).map(|index| (at(index, STEP) - at(index, -STEP)) / (2.0 * STEP)).collect()
}

const PER_CLASS: usize = 3;

fn with_sub_centres(seed: u64) -> Owned {
    let mut owned = random(seed, 6, 5, 4);
    let mut next = numbers(seed + 1);
    owned.weights = (0..5 * PER_CLASS * 4).map(|_| next()).collect();
    owned
}

fn sub_centres(loss: &Loss, owned: &Owned) -> Result<Evaluation, ProblemError> {
    evaluate_sub_centres(loss, &Problem { classes: 5, ..owned.problem() }, PER_CLASS)
}

#[test]
fn sub_centres_take_the_nearest_of_each_class_and_their_gradients_are_differences() {
    for loss in family().into_iter().filter(|loss| *loss != ADAFACE) {
        let owned = with_sub_centres(41);
        let found = sub_centres(&loss, &owned).expect("a loss");
        let d_weights = differences(&owned.weights, |weights| {
            let moved = Owned { weights: weights.to_vec(), ..owned.clone() };
            sub_centres(&loss, &moved).expect("a loss").loss
        });
        let d_features = differences(&owned.features, |features| {
            let moved = Owned { features: features.to_vec(), ..owned.clone() };
            sub_centres(&loss, &moved).expect("a loss").loss
        });
        assert!(relative_difference(&found.d_weights, &d_weights) < CLOSE, "{loss:?}");
        assert!(relative_difference(&found.d_features, &d_features) < CLOSE, "{loss:?}");
    }
}

#[test]
fn the_cosine_of_a_class_is_the_largest_of_its_centres() {
    let owned = with_sub_centres(42);
    let length = |vector: &[f64]| vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    let found = sub_centres(&Loss::Nsl { s: 5.0 }, &owned).expect("a loss");
    for (sample, x) in owned.features.chunks(4).enumerate() {
        let cosines = owned
            .weights
            .chunks(4)
            .map(|w| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() / (length(x) * length(w)));
        let cosines: Vec<f64> = cosines.collect();
        let nearest = cosines.chunks(PER_CLASS).map(|of_class| of_class.iter().copied().fold(-2.0, f64::max));
        let powers: Vec<f64> = nearest.map(|cosine| (5.0 * cosine).exp()).collect();
        let expected = -(powers[owned.labels[sample] as usize] / powers.iter().sum::<f64>()).ln();
        assert!((found.loss_each[sample] - expected).abs() < 1e-12, "sample {sample}");
    }
}

#[test]
fn one_sub_centre_or_equal_ones_are_the_plain_loss() {
    for loss in family() {
        let owned = random(43, 6, 5, 4);
        let plain = evaluate(&loss, &owned.problem()).expect("a loss");
        let one = evaluate_sub_centres(&loss, &owned.problem(), 1).expect("a loss");
        assert!(relative_difference(&one.loss_each, &plain.loss_each) < 1e-14);
        assert!(relative_difference(&one.d_weights, &plain.d_weights) < 1e-12);
        let mut twice = owned.clone();
        twice.weights = owned.weights.chunks(4).flat_map(|centre| [centre, centre].concat()).collect();
        let problem = Problem { classes: 5, ..twice.problem() };
        let equal = evaluate_sub_centres(&loss, &problem, 2).expect("a loss");
        assert!(relative_difference(&equal.loss_each, &plain.loss_each) < 1e-14);
        for (class, gradient) in equal.d_weights.chunks(8).enumerate() {
            assert!(relative_difference(&gradient[..4], &plain.d_weights[4 * class..][..4]) < 1e-12);
            assert!(gradient[4..].iter().all(|value| *value == 0.0), "of equal centres the first one counts");
        }
    }
}

#[test]
fn a_bad_sub_centre_or_sample_is_named_by_its_row() {
    let mut owned = with_sub_centres(44);
    owned.weights[4 * 7..4 * 8].fill(0.0);
    assert_eq!(sub_centres(&Loss::Nsl { s: 2.0 }, &owned), Err(ProblemError::ZeroWeight { class: 7 }));
    let mut owned = with_sub_centres(44);
    owned.features[4 * 3..4 * 4].fill(0.0);
    assert_eq!(sub_centres(&Loss::Nsl { s: 2.0 }, &owned), Err(ProblemError::ZeroFeature { sample: 3 }));
    owned.labels[2] = 5;
    let error = sub_centres(&Loss::Softmax, &owned);
    assert_eq!(error, Err(ProblemError::LabelOutOfRange { sample: 2, label: 5, classes: 5 }));
}

#[test]
fn at_rate_one_sampling_is_the_full_head() {
    for loss in family() {
        let owned = random(51, 6, 9, 4);
        let all = choose_classes(&owned.labels, 9, 1.0, |class| u64::from(class) * 7919 % 13);
        assert_eq!(all, (0..9).collect::<Vec<u32>>());
        let sampled = evaluate_sampled(&loss, &owned.problem(), &all).expect("a loss");
        assert_eq!(sampled, evaluate(&loss, &owned.problem()).expect("a loss"));
    }
}

#[test]
fn sampling_keeps_every_label_and_the_others_with_the_smallest_keys() {
    let key = |class: u32| u64::from(100 - class);
    assert_eq!(choose_classes(&[4, 2, 4], 10, 0.5, key), [2, 4, 7, 8, 9]);
    assert_eq!(choose_classes(&[4, 2, 4], 10, 0.41, key), [2, 4, 7, 8, 9]);
    assert_eq!(choose_classes(&[5, 0, 1, 2], 10, 0.2, key), [0, 1, 2, 5], "labels may exceed the sample");
    assert_eq!(choose_classes(&[], 10, 0.2, key), [8, 9]);
}

#[test]
fn a_sampled_loss_is_that_of_a_smaller_problem_and_spares_the_other_centres() {
    let owned = random(53, 6, 9, 4);
    let chosen = choose_classes(&owned.labels, 9, 0.7, |class| u64::from(class) * 31 % 7);
    let absent: Vec<u32> = (0..9).filter(|class| !chosen.contains(class)).collect();
    assert!(!absent.is_empty());
    let loss = Loss::CosFace { s: 8.0, m: 0.35 };
    let found = evaluate_sampled(&loss, &owned.problem(), &chosen).expect("a loss");
    let differences = differences(&owned.weights, |weights| {
        let moved = Owned { weights: weights.to_vec(), ..owned.clone() };
        evaluate_sampled(&loss, &moved.problem(), &chosen).expect("a loss").loss
    });
    assert!(relative_difference(&found.d_weights, &differences) < CLOSE);
    for class in absent {
        assert!(found.d_weights[4 * class as usize..][..4].iter().all(|value| *value == 0.0));
    }
    let mut owned = owned;
    let bad = *chosen.last().expect("a class") as usize;
    owned.weights[4 * bad..][..4].fill(0.0);
    let error = evaluate_sampled(&loss, &owned.problem(), &chosen);
    assert_eq!(error, Err(ProblemError::ZeroWeight { class: bad }));
}

/// Features of a few people around their own points.
fn batch(seed: u64, labels: &[u32], spread: f64) -> (Vec<f64>, Vec<u32>) {
    let mut next = numbers(seed);
    let centres: Vec<f64> = (0..3 * 8).map(|_| 2.0 * next()).collect();
    let features = labels.iter().flat_map(|&label| centres[3 * label as usize..][..3].to_vec());
    let features: Vec<f64> = features.map(|value| value + spread * next()).collect();
    (features, labels.to_vec())
}

fn assert_differences(
    features: &[f64],
    labels: &[u32],
    evaluate: &dyn Fn(&Labelled<'_>) -> Result<FeatureLoss, FeatureLossError>,
) -> FeatureLoss {
    let at = |features: &[f64]| evaluate(&Labelled { features, labels, dimension: 3 }).expect("a loss");
    let found = at(features);
    let numeric = differences(features, |features| at(features).loss);
    let difference = relative_difference(&found.d_features, &numeric);
    assert!(difference < CLOSE, "gradients differ by {difference:e}");
    found
}

const LABELS: [u32; 9] = [0, 1, 2, 0, 3, 1, 0, 4, 2];

#[test]
fn gradients_of_losses_on_features_are_differences() {
    for spread in [0.1, 1.0, 3.0] {
        let (features, labels) = batch(61, &LABELS, spread);
        let mut next = numbers(62);
        let centres: Vec<f64> = (0..15).map(|_| next()).collect();
        let center = CenterLoss { alpha: 0.5 };
        assert_differences(&features, &labels, &|batch| center.evaluate(batch, &centres));
        for margin in [0.5, 4.0] {
            let contrastive = ContrastiveLoss { margin };
            assert_differences(&features, &labels, &|batch| contrastive.evaluate(batch));
        }
        for margin in [0.2, 2.0] {
            let triplet = TripletLoss { margin };
            assert_differences(&features, &labels, &|batch| triplet.evaluate(batch));
        }
    }
}

#[test]
fn center_loss_is_half_the_mean_square_distance_and_its_centres_go_part_of_the_way() {
    let loss = CenterLoss { alpha: 0.5 };
    let features = [3.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 4.0, 0.0];
    let batch = Labelled { features: &features, labels: &[0, 0, 1], dimension: 3 };
    let mut centres = vec![0.0; 9];
    centres[6] = 9.0;
    let found = loss.evaluate(&batch, &centres).expect("a loss");
    assert!((found.loss - (9.0 + 1.0 + 16.0) / 6.0).abs() < 1e-15);
    loss.follow(&batch, &mut centres);
    // Class 0: (3 + 1) / (1 + 2), class 1: 4 / (1 + 1), each halved; class 2 has no sample.
    assert_eq!(centres, [2.0 / 3.0, 0.0, 0.0, 0.0, 1.0, 0.0, 9.0, 0.0, 0.0]);
}

#[test]
fn contrastive_loss_is_that_of_its_equation_over_all_pairs() {
    let features = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0];
    let batch = Labelled { features: &features, labels: &[0, 0, 1], dimension: 3 };
    let found = ContrastiveLoss { margin: 2.5 }.evaluate(&batch).expect("a loss");
    // One genuine pair at 1; impostors at 2 and sqrt 5.
    let impostors = (0.5_f64.powi(2) + (2.5 - 5.0_f64.sqrt()).powi(2)) / 2.0;
    assert!((found.loss - 0.5 - 0.5 * impostors).abs() < 1e-15);
    assert_eq!(found.terms, 1);
    // Two people at one point: a loss, and no direction to leave by.
    let batch = Labelled { features: &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0], labels: &[0, 1], dimension: 3 };
    let found = ContrastiveLoss { margin: 2.0 }.evaluate(&batch).expect("a loss");
    assert_eq!((found.loss, found.terms), (2.0, 0));
    assert_eq!(found.d_features, [0.0; 6]);
}

#[test]
fn semi_hard_negatives_are_the_nearest_beyond_the_positive_or_else_the_farthest() {
    let angles = [0.0, 40.0, 20.0, 60.0, 170.0_f64];
    let features: Vec<f64> = angles
        .iter()
        .flat_map(|angle| [3.0 * angle.to_radians().cos(), 3.0 * angle.to_radians().sin()])
        .collect();
    let triplets = |labels: &[u32]| {
        let batch = Labelled { features: &features, labels, dimension: 2 };
        TripletLoss { margin: 0.2 }.triplets(&batch).expect("triplets")
    };
    // From 0 the positive is at 40; 20 is nearer and passed over, 60 is the nearest beyond. From 40 the positive is
    // 40 away, 20 and 60 are 20 away, 170 is beyond.
    assert_eq!(triplets(&[0, 0, 1, 1, 2])[..2], [[0, 1, 3], [1, 0, 4]]);
    // From 0 the positive is at 170 and nothing is beyond: the farthest of the others is 60.
    assert_eq!(triplets(&[0, 1, 2, 3, 0])[0], [0, 4, 3]);
    assert!(triplets(&[0, 1, 2, 3, 4]).is_empty());
    assert!(triplets(&[0; 5]).is_empty(), "without another person there is no negative");
    let batch = Labelled { features: &features, labels: &[0, 0, 1, 1, 2], dimension: 2 };
    let found = TripletLoss { margin: 0.2 }.evaluate(&batch).expect("a loss");
    let square = |degrees: f64| 2.0 - 2.0 * degrees.to_radians().cos();
    let term = |positive: f64, negative: f64| (square(positive) - square(negative) + 0.2).max(0.0);
    // (20, 60): positive 40 away, 150 is the nearest beyond. (60, 20): 40 away, 60 is the nearest beyond.
    let expected = term(40.0, 60.0) + term(40.0, 130.0) + term(40.0, 150.0) + term(40.0, 60.0);
    assert!((found.loss - expected / 4.0).abs() < 1e-12, "{} is not {}", found.loss, expected / 4.0);
    assert_eq!(found.terms, 4);
}

#[test]
fn batches_and_margins_without_a_loss_are_refused() {
    let zero = Labelled { features: &[1.0, 0.0, 0.0, 0.0], labels: &[0, 1], dimension: 2 };
    assert_eq!(TripletLoss { margin: 0.2 }.evaluate(&zero), Err(FeatureLossError::Zero { sample: 1 }));
    assert!(ContrastiveLoss { margin: 0.2 }.evaluate(&zero).is_ok());
    let endless = Labelled { features: &[1.0, 0.0, 1e200, 0.0], labels: &[0, 1], dimension: 2 };
    let refused = Err(FeatureLossError::NotFinite { sample: 1 });
    assert_eq!(ContrastiveLoss { margin: 0.2 }.evaluate(&endless), refused);
    assert_eq!(CenterLoss { alpha: 0.5 }.evaluate(&endless, &[0.0; 4]), refused);
    for (error, message) in [
        (CenterLoss { alpha: 1.5 }.check(), "loss center: alpha must be above 0 and at most 1: 1.5"),
        (ContrastiveLoss { margin: 0.0 }.check(), "loss contrastive: margin must be above 0 and finite: 0"),
        (
            TripletLoss { margin: 4.0 }.check(),
            "loss triplet: margin must be above 0 and below 4, the squared distance of two opposite unit vectors: 4",
        ),
    ] {
        assert_eq!(error.expect_err("out of range").to_string(), message);
    }
}
