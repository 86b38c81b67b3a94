//! The margin that follows the quality of an image, which the feature's norm stands for.

use std::f64::consts::PI;

use super::Target;

/// Target logit before the scale: `cos(theta - m z) - (m z + m)` (AdaFace, arXiv:2204.00964, eq. 11 to 13), the angle
/// kept within 0 and pi.
///
/// At z = -1 this is ArcFace, at z = 0 CosFace, at z = 1 an angular margin the other way beside a cosine one.
pub(super) fn target(cosine: f64, m: f64, z: f64) -> Target {
    let shift = -m * z;
    let angle = cosine.acos() + shift;
    let lowered = m * z + m;
    if !(0.0..=PI).contains(&angle) {
        return Target::of_angle(angle.clamp(0.0, PI).cos() - lowered, 0.0);
    }
    let sine = ((1.0 - cosine) * (1.0 + cosine)).sqrt();
    let psi = cosine * shift.cos() - sine * shift.sin() - lowered;
    let slope = if sine > 0.0 { shift.cos() + cosine * shift.sin() / sine } else { shift.cos() };
    Target::of_angle(psi, slope)
}

/// Running mean and standard deviation of the features' norms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormStatistics {
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the sample (divided by N - 1).
    pub deviation: f64,
}

impl Default for NormStatistics {
    /// Where the authors' code starts: mean 20, deviation 100.
    fn default() -> Self {
        Self { mean: 20.0, deviation: 100.0 }
    }
}

/// Norms are kept within these (authors' code).
const NORMS: [f64; 2] = [1e-3, 100.0];

/// Added to the deviation (authors' code).
const EPSILON: f64 = 1e-3;

impl NormStatistics {
    /// `z = h (|x| - mean) / (deviation + 0.001)`, kept within -1 and 1 (eq. 10).
    pub(super) fn position(&self, norm: f64, h: f64) -> f64 {
        let norm = norm.clamp(NORMS[0], NORMS[1]);
        (h * (norm - self.mean) / (self.deviation + EPSILON)).clamp(-1.0, 1.0)
    }

    /// The statistics after one more batch, which counts with the share `rate`.
    ///
    /// A batch of one sample has no deviation; only the mean moves.
    pub(super) fn after(self, norms: &[f64], rate: f64) -> Self {
        let count = norms.len() as f64;
        let kept = || norms.iter().map(|norm| norm.clamp(NORMS[0], NORMS[1]));
        let mean = kept().sum::<f64>() / count;
        let squares: f64 = kept().map(|norm| (norm - mean).powi(2)).sum();
        let moved = |old: f64, new: f64| rate * new + (1.0 - rate) * old;
        Self {
            mean: moved(self.mean, mean),
            deviation: match norms.len() {
                0 | 1 => self.deviation,
                _ => moved(self.deviation, (squares / (count - 1.0)).sqrt()),
            },
        }
    }
}
