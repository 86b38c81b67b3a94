//! What must not change, and which losses contain each other.

use margin::{ArcFaceSlope, Loss, Problem, evaluate};
use proptest::prelude::{ProptestConfig, any, proptest};

use super::problems::{Owned, family, numbers, random, relative_difference};

/// Reflects each row in the plane across `axis`; two of these are a rotation.
fn reflect(rows: &mut [f64], axis: &[f64]) {
    let square: f64 = axis.iter().map(|value| value * value).sum();
    for row in rows.chunks_exact_mut(axis.len()) {
        let along: f64 = row.iter().zip(axis).map(|(row, axis)| row * axis).sum();
        row.iter_mut().zip(axis).for_each(|(row, axis)| *row -= 2.0 * along / square * axis);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rotating_everything_rotates_the_gradients_and_keeps_the_loss(seed in any::<u64>()) {
        let owned = random(seed, 5, 6, 4);
        let mut next = numbers(seed ^ 1);
        let axes: Vec<Vec<f64>> = (0..2).map(|_| (0..4).map(|_| next() + 1.5).collect()).collect();
        let mut rotated = owned.clone();
        for axis in &axes {
            reflect(&mut rotated.features, axis);
            reflect(&mut rotated.weights, axis);
        }
        for loss in family() {
            let mut before = evaluate(&loss, &owned.problem()).expect("a loss");
            let after = evaluate(&loss, &rotated.problem()).expect("a loss");
            for axis in &axes {
                reflect(&mut before.d_features, axis);
                reflect(&mut before.d_weights, axis);
            }
            assert!(relative_difference(&after.loss_each, &before.loss_each) < 1e-9, "{loss:?}");
            assert!(relative_difference(&after.d_features, &before.d_features) < 1e-6, "{loss:?}");
            assert!(relative_difference(&after.d_weights, &before.d_weights) < 1e-6, "{loss:?}");
        }
    }

    #[test]
    fn length_of_a_normalised_vector_is_without_effect_and_its_gradient_has_no_part_along_it(seed in any::<u64>()) {
        let owned = random(seed, 4, 5, 3);
        let mut longer = owned.clone();
        longer.weights.iter_mut().for_each(|value| *value *= 7.0);
        for loss in family().into_iter().filter(Loss::normalises_weights) {
            let before = evaluate(&loss, &owned.problem()).expect("a loss");
            let after = evaluate(&loss, &longer.problem()).expect("a loss");
            assert!(relative_difference(&after.loss_each, &before.loss_each) < 1e-10, "{loss:?}");
            let smaller: Vec<f64> = before.d_weights.iter().map(|value| value / 7.0).collect();
            assert!(relative_difference(&after.d_weights, &smaller) < 1e-8, "{loss:?}");
            let largest = before.d_weights.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            for (gradient, weight) in before.d_weights.chunks(3).zip(owned.weights.chunks(3)) {
                let along: f64 = gradient.iter().zip(weight).map(|(gradient, weight)| gradient * weight).sum();
                assert!(along.abs() < 1e-9 * largest.max(1e-300), "{loss:?}: {along:e}");
            }
        }
    }
}

fn assert_same(left: &Loss, right: &Loss, owned: &Owned) {
    let found = evaluate(left, &owned.problem()).expect("a loss");
    let expected = evaluate(right, &owned.problem()).expect("a loss");
    assert!(relative_difference(&found.loss_each, &expected.loss_each) < 1e-12, "{left:?} is not {right:?}");
    assert!(
        relative_difference(&found.d_features, &expected.d_features) < 1e-10,
        "{left:?} is not {right:?}"
    );
    assert!(relative_difference(&found.d_weights, &expected.d_weights) < 1e-10, "{left:?} is not {right:?}");
}

#[test]
fn losses_without_a_margin_are_their_parents() {
    let owned = random(77, 12, 9, 6);
    let nsl = Loss::Nsl { s: 20.0 };
    assert_same(&Loss::CosFace { s: 20.0, m: 0.0 }, &nsl, &owned);
    assert_same(&Loss::ArcFace { s: 20.0, m: 0.0, slope: ArcFaceSlope::Exact }, &nsl, &owned);
    assert_same(&Loss::Combined { s: 20.0, m1: 1.0, m2: 0.0, m3: 0.0 }, &nsl, &owned);
    let raw = Loss::CosFaceRawFeatures { m: 0.0 };
    assert_same(&Loss::SphereFace { m: 1, lambda: 0.0 }, &raw, &owned);
    assert_same(&Loss::SphereFace { m: 4, lambda: 1e14 }, &raw, &owned);
}

#[test]
fn combined_contains_the_cosine_margin_and_the_angular_one() {
    let owned = random(78, 12, 9, 6);
    assert_same(
        &Loss::Combined { s: 20.0, m1: 1.0, m2: 0.0, m3: 0.3 },
        &Loss::CosFace { s: 20.0, m: 0.3 },
        &owned,
    );
    let arcface = Loss::ArcFace { s: 20.0, m: 0.2, slope: ArcFaceSlope::Exact };
    assert_same(&Loss::Combined { s: 20.0, m1: 1.0, m2: 0.2, m3: 0.0 }, &arcface, &owned);
    for cosine in [-1.0, -0.9, -0.3, 0.0, 0.4, 0.99, 1.0] {
        let combined = Loss::Combined { s: 1.0, m1: 4.0, m2: 0.0, m3: 0.0 }.target(cosine);
        assert_eq!(combined, Loss::SphereFace { m: 4, lambda: 0.0 }.target(cosine));
    }
}

#[test]
fn every_margin_of_combined_counts_beside_the_others() {
    let all = Loss::Combined { s: 1.0, m1: 1.2, m2: 0.3, m3: 0.1 };
    for other in [
        Loss::Combined { s: 1.0, m1: 1.0, m2: 0.3, m3: 0.1 },
        Loss::Combined { s: 1.0, m1: 1.2, m2: 0.0, m3: 0.1 },
        Loss::Combined { s: 1.0, m1: 1.2, m2: 0.3, m3: 0.0 },
    ] {
        assert!(all.target(0.5).psi < other.target(0.5).psi - 0.05, "{other:?}");
    }
}

#[test]
fn batch_loss_is_the_mean_of_its_samples() {
    let owned = random(79, 6, 5, 4);
    for loss in family() {
        let together = evaluate(&loss, &owned.problem()).expect("a loss");
        let mut d_weights = vec![0.0; owned.weights.len()];
        for sample in 0..6 {
            let alone = Problem {
                features: &owned.features[4 * sample..4 * sample + 4],
                labels: &owned.labels[sample..=sample],
                samples: 1,
                ..owned.problem()
            };
            let alone = evaluate(&loss, &alone).expect("a loss");
            assert!((alone.loss - together.loss_each[sample]).abs() < 1e-12);
            d_weights.iter_mut().zip(&alone.d_weights).for_each(|(sum, value)| *sum += value / 6.0);
        }
        assert!(relative_difference(&d_weights, &together.d_weights) < 1e-12, "{loss:?}");
    }
}
