//! Problems that own their numbers, and a small generator for them.

use margin::{ArcFaceSlope, Loss, NormStatistics, Problem};

/// A problem with its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) features: Vec<f64>,
    pub(crate) weights: Vec<f64>,
    pub(crate) labels: Vec<u32>,
    pub(crate) dimension: usize,
}

impl Owned {
    pub(crate) fn problem(&self) -> Problem<'_> {
        Problem {
            features: &self.features,
            weights: &self.weights,
            labels: &self.labels,
            samples: self.labels.len(),
            classes: self.weights.len() / self.dimension,
            dimension: self.dimension,
        }
    }
}

/// Numbers in -1..1 from a seed (SplitMix64).
pub(crate) fn numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

pub(crate) fn random(seed: u64, samples: usize, classes: usize, dimension: usize) -> Owned {
    let mut next = numbers(seed);
    Owned {
        features: (0..samples * dimension).map(|_| 3.0 * next()).collect(),
        weights: (0..classes * dimension).map(|_| next()).collect(),
        labels: (0..samples).map(|_| ((next() + 1.0) / 2.0 * classes as f64) as u32).collect(),
        dimension,
    }
}

/// One of each loss.
pub(crate) fn family() -> Vec<Loss> {
    vec![
        Loss::Softmax,
        Loss::Nsl { s: 8.0 },
        Loss::CosFace { s: 8.0, m: 0.35 },
        Loss::CosFaceRawFeatures { m: 0.35 },
        Loss::ArcFace { s: 8.0, m: 0.5, slope: ArcFaceSlope::Exact },
        Loss::Combined { s: 8.0, m1: 1.3, m2: 0.4, m3: 0.15 },
        Loss::SphereFace { m: 4, lambda: 0.0 },
        Loss::SphereFace { m: 3, lambda: 5.0 },
        Loss::SphereFaceNormalised { s: 8.0, m: 3, lambda: 0.5 },
        Loss::LSoftmax { m: 2, lambda: 0.0 },
        Loss::LSoftmax { m: 4, lambda: 2.0 },
        Loss::CurricularFace { s: 8.0, m: 0.5, rate: 0.01, t: 0.3 },
        MAGFACE,
        ADAFACE,
    ]
}

/// Its norms reach from those of small features here to beyond the largest.
pub(crate) const MAGFACE: Loss =
    Loss::MagFace { s: 8.0, m_low: 0.2, m_high: 0.7, norm_low: 1.5, norm_high: 40.0, lambda_g: 3.0 };

/// Its statistics are those of the features here, so that both signs of z occur.
pub(crate) const ADAFACE: Loss = Loss::AdaFace {
    s: 8.0,
    m: 0.4,
    h: 0.333,
    rate: 0.01,
    norms: NormStatistics { mean: 3.5, deviation: 1.0 },
};

/// A norm at which the margins of a loss are in force.
pub(crate) const NORM: f64 = 3.0;

/// Largest difference relative to the largest value of `expected`.
pub(crate) fn relative_difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let difference = found.iter().zip(expected).fold(0.0_f64, |largest, (found, expected)| {
        let difference = (found - expected).abs();
        if difference.is_nan() { f64::INFINITY } else { largest.max(difference) }
    });
    if largest == 0.0 { difference } else { difference / largest }
}
