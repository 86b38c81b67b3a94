//! The papers' formulas once more, over an explicit logit matrix, without any care for speed or overflow.

use std::f64::consts::PI;

use margin::{ArcFaceSlope, Loss, evaluate};

use super::problems::{Owned, family, random, relative_difference};

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value.powi(2)).sum::<f64>().sqrt()
}

/// SphereFace's psi.
fn pieces(theta: f64, m: u32) -> f64 {
    let k = (f64::from(m) * theta / PI).floor() as i32;
    (-1.0_f64).powi(k) * (f64::from(m) * theta).cos() - 2.0 * f64::from(k)
}

/// ArcFace's psi.
fn guarded(theta: f64, m: f64) -> f64 {
    if theta + m > PI { theta.cos() - m * m.sin() } else { (theta + m).cos() }
}

/// MagFace's penalty of a feature's norm.
fn penalty(loss: &Loss, x: &[f64]) -> f64 {
    let Loss::MagFace { norm_low, norm_high, lambda_g, .. } = *loss else { return 0.0 };
    let a = norm(x).clamp(norm_low, norm_high);
    lambda_g * (1.0 / a + a / norm_high.powi(2))
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
                    norm(x) * (lambda * cosine + pieces(theta, m)) / (1.0 + lambda)
                }
                Loss::SphereFace { .. } => norm(x) * cosine,
                Loss::SphereFaceNormalised { s, m, lambda } if is_target => {
                    s * (lambda * cosine + pieces(theta, m)) / (1.0 + lambda)
                }
                Loss::SphereFaceNormalised { s, .. } => s * cosine,
                Loss::LSoftmax { m, lambda } if is_target => {
                    norm(w) * norm(x) * (lambda * cosine + pieces(theta, m)) / (1.0 + lambda)
                }
                Loss::LSoftmax { .. } => product,
                Loss::CurricularFace { s, m, .. } if is_target => s * guarded(theta, m),
                Loss::CurricularFace { s, m, t, .. } => {
                    let centre = &owned.weights[label as usize * owned.dimension..][..owned.dimension];
                    let own: f64 = x.iter().zip(centre).map(|(x, w)| x * w).sum();
                    let psi = guarded((own / norm(x) / norm(centre)).acos(), m);
                    s * if cosine > psi { cosine * (t + cosine) } else { cosine }
                }
                Loss::MagFace { s, m_low, m_high, norm_low, norm_high, .. } => {
                    let part = (norm(x).clamp(norm_low, norm_high) - norm_low) / (norm_high - norm_low);
                    let m = m_low * (1.0 - part) + m_high * part;
                    s * if is_target { guarded(theta, m) } else { cosine }
                }
                Loss::AdaFace { s, m, h, norms, .. } => {
                    let z = (h * (norm(x) - norms.mean) / (norms.deviation + 1e-3)).clamp(-1.0, 1.0);
                    let psi = (theta - m * z).clamp(0.0, PI).cos() - (m * z + m);
                    s * if is_target { psi } else { cosine }
                }
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
                .zip(owned.features.chunks(owned.dimension))
                .map(|((row, &label), x)| {
                    let p = row[label as usize].exp() / row.iter().map(|z| z.exp()).sum::<f64>();
                    penalty(&loss, x) - p.ln()
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
