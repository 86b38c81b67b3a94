//! Each sample's own class, in f64: its loss, and what the loss says of its gradients.

use margin::{Loss, Scale};

use super::batch::Batch;
use super::own::{Own, norm as centre_norm};
use super::{SHORTEST, Sample};

/// What the first walk found for one sample.
#[derive(Debug)]
pub(super) struct TargetOf {
    pub(super) sample: Sample,
    /// `d loss / d z_j = e^(z_j - shift)` for the other classes, mean over the batch included.
    pub(super) shift: f32,
    /// `d loss / d c_y`, mean over the batch included; of `W_y . x` where weights are not normalised.
    pub(super) d_cosine: f32,
    /// Gradient of the own centre along itself, where its norm enters the target alone: in L-Softmax.
    pub(super) along_centre: f32,
    /// `d loss / d z_y`, mean over the batch included.
    pub(super) d_logit: f64,
    /// `psi(c_y)`.
    pub(super) psi: f64,
    /// Gradient of the feature's norm through the margin and the penalty, mean over the batch included.
    pub(super) d_norm: f64,
}

/// The logit of a sample's own class.
struct TargetLogit {
    /// `z_y`.
    logit: f64,
    /// The cosine.
    cosine: f64,
    psi: f64,
    /// `d z_y / d (W_y . x)` of what enters the products.
    d_product: f64,
    /// `d z_y / d |x|` through the margin.
    d_norm: f64,
    /// `d z_y` along the feature and along the centre, beside what goes through the product.
    along: [f64; 2],
}

impl TargetLogit {
    fn of(loss: &Loss, own: &Own, norm: f64, centre: &[f32]) -> TargetLogit {
        if loss.normalises_weights() {
            // Rounding can carry a cosine past 1, where an angle has no meaning.
            let (cosine, scale) = (own.product, scale_of(loss, norm));
            let target = loss.target_of(cosine.clamp(-1.0, 1.0), norm);
            let (d_product, d_norm) = (scale * target.slope, scale * target.norm_slope);
            let logit = scale * target.psi;
            return TargetLogit { logit, cosine, psi: target.psi, d_product, d_norm, along: [0.0; 2] };
        }
        let length = centre_norm(centre);
        let shortest = f64::from(SHORTEST);
        let cosine = if length < shortest || norm < shortest { 0.0 } else { own.product / (length * norm) };
        let plain = TargetLogit {
            logit: own.product,
            cosine,
            psi: own.product,
            d_product: 1.0,
            d_norm: 0.0,
            along: [0.0; 2],
        };
        if !loss.needs_directions() {
            return plain;
        }
        if length < shortest || norm < shortest {
            return TargetLogit { logit: 0.0, psi: 0.0, d_product: 0.0, ..plain };
        }
        // L-Softmax, z = |W| |x| psi(c): what the product does not carry goes through the two norms.
        let target = loss.target_of(cosine.clamp(-1.0, 1.0), norm);
        let through_norm = target.psi - target.slope * cosine;
        TargetLogit {
            logit: length * norm * target.psi,
            d_product: target.slope,
            along: [through_norm * length / norm, through_norm * norm / length],
            ..plain
        }
    }
}

/// The factor `a` of a sample's logits.
pub(super) fn scale_of(loss: &Loss, norm: f64) -> f64 {
    match loss.scale() {
        Scale::Fixed(s) => s,
        Scale::FeatureNorm => norm,
    }
}

/// Merges the groups' `largest` logits and `sums`, `[groups][padded samples]`, takes the loss and the target's
/// gradients in f64 to `all`, and writes the target's part of the gradient of the directions of the features.
///
/// The target takes no part in the products, so that no rounding of their operands touches it: where a sample has
/// converged it is all there is.
pub(super) fn find(
    batch: &Batch<'_>,
    loss: &Loss,
    weights: &[f32],
    (largest, sums): (&[f32], &[f32]),
    d_units: &mut [f32],
    all: &mut Vec<TargetOf>,
) {
    let (samples, dimension) = (batch.layout.samples, batch.layout.dimension);
    let stride = batch.layout.padded_samples();
    let rows = batch.units.chunks_exact(dimension).zip(d_units.chunks_exact_mut(dimension));
    all.clear();
    all.extend(rows.enumerate().map(|(sample, (unit, d_unit))| {
        let groups = || (sample..largest.len()).step_by(stride);
        let top = groups().map(|index| f64::from(largest[index])).fold(f64::NEG_INFINITY, f64::max);
        let others: f64 = groups()
            .filter(|&index| sums[index] > 0.0)
            .map(|index| f64::from(sums[index]) * (f64::from(largest[index]) - top).exp())
            .sum();
        let (own, norm) = (&batch.own[sample], batch.norms[sample]);
        let weight = &weights[own.row * dimension..][..dimension];
        let TargetLogit { logit, cosine, psi, d_product, d_norm, along } =
            TargetLogit::of(loss, own, norm, weight);
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
        let d_cosine = (d_logit * d_product) as f32;
        let factor = d_cosine * own.inverse_norm;
        for (gradient, weight) in d_unit.iter_mut().zip(weight) {
            *gradient = factor * weight;
        }
        let [along_feature, along_centre] = along.map(|along| (d_logit * along) as f32);
        if along_feature != 0.0 {
            for (gradient, x) in d_unit.iter_mut().zip(unit) {
                *gradient += along_feature * x;
            }
        }
        let penalty = loss.penalty(norm);
        let scale = f64::from(batch.scales[sample]);
        TargetOf {
            sample: Sample {
                loss: value + penalty.value,
                cosine,
                norm,
                nearest_other: if scale > 0.0 { top / scale } else { f64::NEG_INFINITY },
                satisfied: logit > top,
            },
            shift: (shift + (samples as f64).ln()) as f32,
            d_cosine,
            along_centre,
            d_logit,
            psi,
            d_norm: d_logit * d_norm + penalty.slope / samples as f64,
        }
    }));
}
