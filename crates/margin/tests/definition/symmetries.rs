//! What must not change, and which losses contain each other.

use margin::{ArcFaceSlope, Loss, NormStatistics, Problem, evaluate};
use proptest::prelude::{ProptestConfig, any, proptest};

use super::problems::{ADAFACE, NORM, Owned, family, numbers, random, relative_difference};

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
fn the_wider_family_without_its_own_idea_is_its_parents() {
    let owned = random(80, 12, 9, 6);
    let arcface = Loss::ArcFace { s: 20.0, m: 0.3, slope: ArcFaceSlope::Exact };
    assert_same(&Loss::LSoftmax { m: 1, lambda: 0.0 }, &Loss::Softmax, &owned);
    assert_same(&Loss::LSoftmax { m: 3, lambda: 1e14 }, &Loss::Softmax, &owned);
    assert_same(&Loss::SphereFaceNormalised { s: 20.0, m: 1, lambda: 0.0 }, &Loss::Nsl { s: 20.0 }, &owned);
    let flat = |lambda_g| Loss::MagFace {
        s: 20.0,
        m_low: 0.3,
        m_high: 0.3,
        norm_low: 1.0,
        norm_high: 9.0,
        lambda_g,
    };
    assert_same(&flat(0.0), &arcface, &owned);
    // z = 0 for every norm where the deviation is endless; z = -1 where every norm is far below the mean.
    let adaface = |mean, deviation| Loss::AdaFace {
        s: 20.0,
        m: 0.3,
        h: 0.333,
        rate: 0.01,
        norms: NormStatistics { mean, deviation },
    };
    assert_same(&adaface(20.0, 1e18), &Loss::CosFace { s: 20.0, m: 0.3 }, &owned);
    let mut owned = owned;
    // Their angles stay within pi - m, beyond which ArcFace has a guard and AdaFace an end.
    for (sample, label) in [(0, 3), (1, 3), (2, 0)] {
        owned.labels[sample] = label;
        let centre = owned.weights[6 * label as usize..][..6].to_vec();
        let feature = &mut owned.features[6 * sample..][..6];
        feature.iter_mut().zip(&centre).for_each(|(x, w)| *x = 0.2 * *x + w);
    }
    owned.features.truncate(18);
    owned.labels.truncate(3);
    assert_same(&adaface(1e3, 1.0), &arcface, &owned);
    // With every class easy, or t such that c (t + c) is not reached, CurricularFace is ArcFace.
    owned.weights.truncate(6 * 4);
    owned.weights[6..18].iter_mut().for_each(|value| *value *= -1.0);
    let curricular = Loss::CurricularFace { s: 20.0, m: 0.3, rate: 0.5, t: 0.9 };
    owned.labels.truncate(1);
    owned.features.truncate(6);
    owned.features.copy_from_slice(&owned.weights[18..24]);
    assert_same(&curricular, &arcface, &owned);
}

#[test]
fn what_a_loss_has_seen_is_a_moving_mean_that_survives_being_written_down() {
    let curricular = Loss::CurricularFace { s: 8.0, m: 0.5, rate: 0.25, t: 0.0 };
    let seen = curricular.observe(&[0.2, 0.6], &[1.0, 1.0]).observe(&[-0.4], &[1.0]);
    let [(name, t)] = seen.state()[..] else { panic!("one value") };
    assert_eq!(name, "t");
    assert!((t - (0.25 * -0.4 + 0.75 * 0.1)).abs() < 1e-15);
    let Loss::AdaFace { s, m, h, rate, norms } = ADAFACE else { unreachable!("it is AdaFace") };
    let adaface = Loss::AdaFace { s, m, h, rate: 0.5, norms };
    let seen = adaface.observe(&[0.0; 4], &[1.0, 3.0, 3.0, 500.0]);
    // 500 counts as 100: mean 26.75, sum of squares 3 * 25.75^2 .. as computed by hand below.
    let (mean, squares) = (26.75, 25.75_f64.powi(2) + 2.0 * 23.75_f64.powi(2) + 73.25_f64.powi(2));
    let expected = NormStatistics {
        mean: 0.5 * mean + 0.5 * norms.mean,
        deviation: 0.5 * (squares / 3.0).sqrt() + 0.5 * norms.deviation,
    };
    assert_eq!(seen, Loss::AdaFace { s, m, h, rate: 0.5, norms: expected });
    let alone = adaface.observe(&[0.0], &[5.5]);
    assert_eq!(alone.state()[1].1, norms.deviation, "one sample has no deviation");
    assert_eq!(adaface.observe(&[], &[]), adaface);
    assert_eq!(rate, 0.01);
    for loss in [seen, curricular.observe(&[0.3], &[1.0]), Loss::Nsl { s: 1.0 }] {
        let state = loss.state();
        let fresh = Loss::from_parameters(loss.name(), &loss.parameters()).expect("a loss");
        let lookup = |name: &str| state.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        assert_eq!(fresh.with_state(lookup), Ok(loss));
    }
    assert_eq!(
        curricular.with_state(|_| Some(2.0)).expect_err("no cosine").to_string(),
        "the state of loss curricularface has an impossible t: 2"
    );
    assert!(adaface.with_state(|_| None).is_err());
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
        let combined = Loss::Combined { s: 1.0, m1: 4.0, m2: 0.0, m3: 0.0 }.target_of(cosine, NORM);
        assert_eq!(combined, Loss::SphereFace { m: 4, lambda: 0.0 }.target_of(cosine, NORM));
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
        assert!(all.target_of(0.5, NORM).psi < other.target_of(0.5, NORM).psi - 0.05, "{other:?}");
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
