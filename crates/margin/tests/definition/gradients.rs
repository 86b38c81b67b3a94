//! Finite differences of the definition, so that each hand-written slope is the slope of its own value.

use std::f64::consts::PI;

use margin::{ArcFaceSlope, Loss, evaluate};

use super::problems::{ADAFACE, MAGFACE, NORM, Owned, family, random, relative_difference};

/// Central differences with step h err by h^2 times a third derivative, here below 1e3, and by 1e-16 / h of rounding.
const STEP: f64 = 1e-5;
const CLOSE: f64 = 1e-6;

fn numeric(loss: &Loss, owned: &Owned, pick: fn(&mut Owned) -> &mut Vec<f64>) -> Vec<f64> {
    let mut moved = owned.clone();
    (0..pick(&mut moved).len())
        .map(|index| {
            let value_at = |step: f64| {
                let mut moved = owned.clone();
                pick(&mut moved)[index] += step;
                evaluate(loss, &moved.problem()).expect("a loss").loss
            };
            (value_at(STEP) - value_at(-STEP)) / (2.0 * STEP)
        })
        .collect()
}

fn assert_gradients(loss: &Loss, owned: &Owned) {
    let found = evaluate(loss, &owned.problem()).expect("a loss");
    let mut d_features = numeric(loss, owned, |owned| &mut owned.features);
    if matches!(loss, Loss::AdaFace { .. }) {
        // No gradient passes through the norm, and its scale is fixed: only directions across the feature count.
        for (gradient, feature) in
            d_features.chunks_mut(owned.dimension).zip(owned.features.chunks(owned.dimension))
        {
            let square: f64 = feature.iter().map(|x| x * x).sum();
            let along = gradient.iter().zip(feature).map(|(g, x)| g * x).sum::<f64>() / square;
            gradient.iter_mut().zip(feature).for_each(|(g, x)| *g -= along * x);
        }
    }
    let d_weights = numeric(loss, owned, |owned| &mut owned.weights);
    let features = relative_difference(&found.d_features, &d_features);
    let weights = relative_difference(&found.d_weights, &d_weights);
    assert!(features < CLOSE, "{loss:?}: d_features differ by {features:e}");
    assert!(weights < CLOSE, "{loss:?}: d_weights differ by {weights:e}");
}

#[test]
fn gradients_are_the_differences_of_the_loss() {
    for loss in family() {
        assert_gradients(&loss, &random(5, 6, 7, 5));
    }
}

#[test]
fn two_classes_and_a_repeated_label_have_exact_gradients() {
    for loss in family() {
        let mut owned = random(11, 5, 2, 3);
        owned.labels.fill(1);
        assert_gradients(&loss, &owned);
    }
}

#[test]
fn gradients_hold_on_every_branch_of_the_angle() {
    // One sample in the plane at a chosen angle from its centre; angles lie inside the pieces of each psi.
    for degrees in [3.0, 40.0, 50.0, 85.0, 95.0, 130.0, 140.0, 152.0, 178.0_f64] {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        let owned = Owned {
            features: vec![2.0 * cosine, 2.0 * sine],
            weights: vec![0.7, 0.0, 0.1, -1.1, -0.4, 0.9],
            labels: vec![0],
            dimension: 2,
        };
        for loss in family() {
            assert_gradients(&loss, &owned);
        }
    }
}

#[test]
fn slope_is_the_derivative_of_psi_between_the_ends() {
    for loss in family() {
        for step in 1..400 {
            let theta = PI * f64::from(step) / 400.0 + 1e-3;
            let (cosine, h) = (theta.cos(), 1e-7);
            if theta >= PI - 1e-2 || theta <= 1e-2 {
                continue;
            }
            let (before, after) = (loss.target_of(cosine + h, NORM), loss.target_of(cosine - h, NORM));
            if (before.slope == 0.0) != (after.slope == 0.0) {
                continue;
            }
            let numeric =
                (loss.target_of(cosine + h, NORM).psi - loss.target_of(cosine - h, NORM).psi) / (2.0 * h);
            let slope = loss.target_of(cosine, NORM).slope;
            assert!(
                (numeric - slope).abs() < 1e-4 * slope.abs().max(1.0),
                "{loss:?} at {theta}: {slope} is not {numeric}"
            );
        }
    }
}

#[test]
fn slope_is_finite_and_the_gradient_vanishes_on_the_centre_and_opposite_it() {
    for loss in family() {
        for cosine in [1.0, -1.0, 1.0 + 1e-15, -1.0 - 1e-15] {
            let target = loss.target_of(cosine, NORM);
            assert!(target.psi.is_finite() && target.slope.is_finite(), "{loss:?} at {cosine}: {target:?}");
        }
        for sign in [1.0, -1.0] {
            let owned = Owned {
                features: vec![sign * 3.0, 0.0],
                weights: vec![1.0, 0.0, 1.0, 0.0],
                labels: vec![0],
                dimension: 2,
            };
            let found = evaluate(&loss, &owned.problem()).expect("a loss");
            assert!(found.d_features[1].abs() < 1e-12, "{loss:?}: {:?}", found.d_features);
            assert!(found.d_weights.iter().all(|value| value.is_finite()), "{loss:?}: {:?}", found.d_weights);
        }
    }
}

#[test]
fn multiplied_angle_has_the_limit_m_squared_at_both_ends() {
    // lim sin(m theta) / sin(theta) = m at 0; at pi the sign of the piece makes it m again.
    for m in 1..=6 {
        let loss = Loss::SphereFace { m, lambda: 0.0 };
        let square = f64::from(m * m);
        for cosine in [1.0, -1.0] {
            assert!((loss.target_of(cosine, NORM).slope - square).abs() < 1e-9, "m = {m} at {cosine}");
            let near = loss.target_of(cosine * (1.0 - 1e-9), NORM).slope;
            assert!((near - square).abs() < 1e-4 * square, "m = {m} near {cosine}: {near}");
        }
    }
}

#[test]
fn target_falls_as_the_angle_grows() {
    for loss in family() {
        let psi = |step: u32| loss.target_of((PI * f64::from(step) / 2000.0).cos(), NORM).psi;
        for step in 0..2000 {
            assert!(psi(step + 1) < psi(step) + 1e-12, "{loss:?} rises at {step} of 2000");
        }
    }
}

#[test]
fn margin_and_penalty_follow_the_norm_between_both_ends_and_nowhere_else() {
    for cosine in [-0.98, -0.5, 0.0, 0.7, 0.99] {
        for norm in [0.5, 1.0, 2.0, 20.0, 39.0, 41.0, 500.0] {
            let h = 1e-5;
            let psi = |norm| MAGFACE.target_of(cosine, norm).psi;
            let numeric = (psi(norm + h) - psi(norm - h)) / (2.0 * h);
            let slope = MAGFACE.target_of(cosine, norm).norm_slope;
            assert!((numeric - slope).abs() < 1e-8, "psi at {cosine}, {norm}: {slope} is not {numeric}");
            assert_eq!(slope == 0.0, !(1.5..=40.0).contains(&norm));
            let numeric = (MAGFACE.penalty(norm + h).value - MAGFACE.penalty(norm - h).value) / (2.0 * h);
            let slope = MAGFACE.penalty(norm).slope;
            assert!((numeric - slope).abs() < 1e-8, "penalty at {norm}: {slope} is not {numeric}");
            assert_eq!(ADAFACE.target_of(cosine, norm).norm_slope, 0.0);
        }
    }
    let Loss::MagFace { s, m_low, m_high, .. } = MAGFACE else { unreachable!("it is MagFace") };
    for (norm, m) in [(0.1, m_low), (1.5, m_low), (20.75, 0.45), (40.0, m_high), (90.0, m_high)] {
        let arcface = Loss::ArcFace { s, m, slope: ArcFaceSlope::Exact }.target_of(0.3, norm);
        assert!((MAGFACE.target_of(0.3, norm).psi - arcface.psi).abs() < 1e-12, "at norm {norm}");
    }
}

#[test]
fn hard_classes_of_curricularface_have_the_derivative_of_their_own_value() {
    let loss = Loss::CurricularFace { s: 8.0, m: 0.5, rate: 0.01, t: 0.3 };
    for (cosine, psi) in [(0.9, 0.2), (0.2, 0.1), (-0.3, -0.4), (0.1, 0.6)] {
        let h = 1e-6;
        let other = loss.other(cosine, psi);
        let numeric = (loss.other(cosine + h, psi).value - loss.other(cosine - h, psi).value) / (2.0 * h);
        assert!((numeric - other.slope).abs() < 1e-8);
        let expected = if cosine > psi { cosine * (0.3 + cosine) } else { cosine };
        assert!((other.value - expected).abs() < 1e-15, "{cosine} beside {psi}: {}", other.value);
    }
}

#[test]
fn detached_arcface_keeps_the_value_and_drops_the_margin_from_the_gradient() {
    let exact = Loss::ArcFace { s: 8.0, m: 0.5, slope: ArcFaceSlope::Exact };
    let detached = Loss::ArcFace { s: 8.0, m: 0.5, slope: ArcFaceSlope::Detached };
    for cosine in [-0.99, -0.5, 0.0, 0.6, 0.99] {
        assert_eq!(exact.target_of(cosine, NORM).psi, detached.target_of(cosine, NORM).psi);
        assert_eq!(detached.target_of(cosine, NORM).slope, 1.0);
    }
    let owned = random(3, 4, 5, 6);
    let (exact, detached) = (evaluate(&exact, &owned.problem()), evaluate(&detached, &owned.problem()));
    let (exact, detached) = (exact.expect("a loss"), detached.expect("a loss"));
    assert_eq!(exact.loss_each, detached.loss_each);
    assert!(relative_difference(&exact.d_features, &detached.d_features) > 0.01);
}
