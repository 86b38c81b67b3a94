//! The papers' formulas once more, over an explicit logit matrix, without any care for speed or overflow.

use std::f64::consts::PI;

use margin::{ArcFaceSlope, Loss, evaluate};

use super::problems::{Owned, family, random, relative_difference};

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value.powi(2)).sum::<f64>().sqrt()
}

fn logits(loss: &Loss, owned: &Owned) -> Vec<Vec<f64>> {
    let matrix = owned.features.chunks(owned.dimension).zip(&owned.labels).map(|(x, &label)| {
        let row = owned.weights.chunks(owned.dimension).enumerate().map(|(class, w)| {
            let product: f64 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            let cosine = product / norm(x) / norm(w);
            let theta = cosine.acos();
            let is_target = class == label as usize;
            match *loss {
                Loss::Softmax => product,
                Loss::Nsl { s } => s * cosine,
                Loss::CosFace { s, m } => s * if is_target { cosine - m } else { cosine },
                Loss::CosFaceRawFeatures { m } => norm(x) * if is_target { cosine - m } else { cosine },
                Loss::ArcFace { s, m, .. } if is_target && theta + m > PI => s * (cosine - m * m.sin()),
                Loss::ArcFace { s, m, .. } => s * if is_target { (theta + m).cos() } else { cosine },
                Loss::Combined { s, m1, m2, m3 } if is_target => {
                    assert!(m1 * theta + m2 <= 2.0 * PI);
                    let phase = m1 * theta + m2;
                    s * (if phase <= PI { phase.cos() } else { -phase.cos() - 2.0 } - m3)
                }
                Loss::Combined { s, .. } => s * cosine,
                Loss::SphereFace { m, lambda } if is_target => {
                    let m = f64::from(m);
                    let k = (m * theta / PI).floor() as i32;
                    let psi = (-1.0_f64).powi(k) * (m * theta).cos() - 2.0 * f64::from(k);
                    norm(x) * (lambda * cosine + psi) / (1.0 + lambda)
                }
                Loss::SphereFace { .. } => norm(x) * cosine,
            }
        });
        row.collect()
    });
    matrix.collect()
}

#[test]
fn loss_is_softmax_cross_entropy_of_the_papers_logits() {
    for loss in family() {
        for seed in 0..20 {
            let owned = random(100 + seed, 9, 6, 4);
            let expected: Vec<f64> = logits(&loss, &owned)
                .iter()
                .zip(&owned.labels)
                .map(|(row, &label)| {
                    -(row[label as usize].exp() / row.iter().map(|z| z.exp()).sum::<f64>()).ln()
                })
                .collect();
            let found = evaluate(&loss, &owned.problem()).expect("a loss");
            let difference = relative_difference(&found.loss_each, &expected);
            assert!(difference < 1e-12, "{loss:?}, seed {seed}: {difference:e}");
            let mean = expected.iter().sum::<f64>() / expected.len() as f64;
            assert!((found.loss - mean).abs() < 1e-12 * mean);
        }
    }
}

#[test]
fn a_tiny_loss_and_its_gradient_keep_their_digits() {
    // One other class, s = 64, perfect sample: the loss is ln(1 + e^(-64 (2 - m))), of which 1 - p in f64 keeps nothing.
    let owned =
        Owned { features: vec![5.0, 0.0], weights: vec![1.0, 0.0, -1.0, 0.0], labels: vec![0], dimension: 2 };
    let found = evaluate(&Loss::CosFace { s: 64.0, m: 0.35 }, &owned.problem()).expect("a loss");
    let expected = (-64.0 * 1.65_f64).exp();
    assert!((found.loss / expected - 1.0).abs() < 1e-12, "{:e} is not {expected:e}", found.loss);
}

#[test]
fn a_hopeless_sample_neither_overflows_nor_saturates() {
    // z_other - z_y = 1000 (1 + 1 + m): far past exp's range and past the 69.08 of a clamped probability.
    let owned = Owned {
        features: vec![-1.0, 0.0],
        weights: vec![1.0, 0.0, -1.0, 0.0],
        labels: vec![0],
        dimension: 2,
    };
    let found = evaluate(&Loss::CosFace { s: 1000.0, m: 0.5 }, &owned.problem()).expect("a loss");
    assert_eq!(found.loss, 2500.0);
    let arcface = Loss::ArcFace { s: 1000.0, m: 0.5, slope: ArcFaceSlope::Exact };
    let found = evaluate(&arcface, &owned.problem()).expect("a loss");
    assert!((found.loss - 1000.0 * (2.0 + 0.5 * 0.5_f64.sin())).abs() < 1e-9);
}
