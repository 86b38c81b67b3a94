//! Each sample's own class, in f64: its loss, and what the loss says of its gradients.

use margin::{Loss, Scale};

use super::Sample;
use super::batch::Batch;

/// What the first walk found for one sample.
pub(super) struct TargetOf {
    pub(super) sample: Sample,
    /// `d loss / d z_j = e^(z_j - shift)` for the other classes, mean over the batch included.
    pub(super) shift: f32,
    /// `d loss / d c_y`, mean over the batch included.
    pub(super) d_cosine: f32,
    /// `d loss / d z_y`, mean over the batch included.
    pub(super) d_logit: f64,
    /// `psi(c_y)`.
    pub(super) psi: f64,
}

/// The factor `a` of a sample's logits.
pub(super) fn scale_of(loss: &Loss, norm: f64) -> f64 {
    match loss.scale() {
        Scale::Fixed(s) => s,
        Scale::FeatureNorm => norm,
    }
}

/// Merges the groups' `largest` logits and `sums`, `[groups][padded samples]`, takes the loss and the target's
/// gradients in f64, and writes the target's part of the gradient of the directions of the features.
///
/// The target takes no part in the products, so that no rounding of their operands touches it: where a sample has
/// converged it is all there is.
pub(super) fn targets(
    batch: &Batch<'_>,
    loss: &Loss,
    weights: &[f32],
    inverse_norms: &[f32],
    (largest, sums): (&[f32], &[f32]),
    d_units: &mut [f32],
) -> Vec<TargetOf> {
    let (samples, dimension) = (batch.layout.samples, batch.layout.dimension);
    let stride = batch.layout.padded_samples();
    let rows = batch.units.chunks_exact(dimension).zip(d_units.chunks_exact_mut(dimension));
    rows.enumerate()
        .map(|(sample, (unit, d_unit))| {
            let groups = || (sample..largest.len()).step_by(stride);
            let top = groups().map(|index| f64::from(largest[index])).fold(f64::NEG_INFINITY, f64::max);
            let others: f64 = groups()
                .filter(|&index| sums[index] > 0.0)
                .map(|index| f64::from(sums[index]) * (f64::from(largest[index]) - top).exp())
                .sum();
            let label = batch.labels[sample] as usize;
            let weight = &weights[label * dimension..][..dimension];
            let product: f64 = weight.iter().zip(unit).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            let cosine = product * f64::from(inverse_norms[label]);
            let (scale, psi, slope) = if batch.normalises_weights {
                // Rounding can carry a cosine past 1, where an angle has no meaning.
                let target = loss.target(cosine.clamp(-1.0, 1.0));
                (scale_of(loss, batch.norms[sample]), target.psi, target.slope)
            } else {
                (1.0, cosine, 1.0)
            };
            let logit = scale * psi;
            // The loss is ln(1 + others e^(top - logit)); 1 - p_y = 1 - e^-loss.
            let excess = others * (top - logit).exp();
            let (value, shift) = if logit.is_nan() {
                // The other cosines are as bad, and no comparison with them says so.
                (f64::NAN, f64::NAN)
            } else if others == 0.0 {
                (0.0, f64::INFINITY)
            } else if excess < 1.0 {
                (excess.ln_1p(), logit + excess.ln_1p())
            } else {
                let total = top + (others + (logit - top).exp()).ln();
                (total - logit, total)
            };
            let d_logit = (-value).exp_m1() / samples as f64;
            let d_cosine = (d_logit * scale * slope) as f32;
            let factor = d_cosine * inverse_norms[label];
            for (gradient, weight) in d_unit.iter_mut().zip(weight) {
                *gradient = factor * weight;
            }
            TargetOf {
                sample: Sample {
                    loss: value,
                    target: cosine,
                    nearest_other: if scale > 0.0 { top / scale } else { f64::NEG_INFINITY },
                    satisfied: logit > top,
                },
                shift: (shift + (samples as f64).ln()) as f32,
                d_cosine,
                d_logit,
                psi,
            }
        })
        .collect()
}
