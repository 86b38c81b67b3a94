//! A step: both walks over the groups of classes, and the gradient of the features.

use margin::{Loss, Scale};

use super::batch::{Batch, Features};
use super::gradients::{Group, Shifts, Target, walk};
use super::layout::Layout;
use super::sums::{GroupSums, sum_exponentials};
use super::target::{self, TargetOf};
use super::{Centres, Head, HeadOutput, SHORTEST, Sample};
use crate::buffer::Buffer;
use crate::gemm::words::{as_words, words_of};
use crate::kernels::pointwise;
use crate::pool::{Pool, Shared};

/// Memory that a head keeps between steps.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    features: Features,
    /// `1 / |W_j|`, or 1 where weights are not normalised.
    inverse_norms: Buffer,
    /// Largest logit of another class and sum of exponentials relative to it, `[groups][padded samples]`.
    largest: Buffer,
    sums: Buffer,
    /// Exponentials of the groups' first tiles and what they are relative to.
    kept: Buffer,
    kept_largest: Buffer,
    /// Gradient of the features' directions, `[groups][dimension][padded samples]`.
    partials: Buffer,
    targets: Vec<TargetOf>,
    /// Their shifts, `[padded samples]`.
    shifts: Vec<f32>,
}

pub(super) fn step(
    pool: &Pool,
    head: &mut Head,
    loss: &Loss,
    features: &[f32],
    labels: &[u32],
    d_features: &mut [f32],
    mut centres: Centres<'_>,
) -> HeadOutput {
    let (samples, dimension) = (labels.len(), head.dimension);
    let layout = Layout {
        precision: head.precision,
        samples,
        classes: head.classes * head.per_class,
        per_class: head.per_class,
        dimension,
        // A kept exponential does not tell how steep the logit of a hard class is.
        least_kept: (!matches!(loss, Loss::CurricularFace { .. })).then_some(head.least_kept),
    };
    let (groups, stride) = (layout.groups(), layout.padded_samples());
    let (kept_len, kept_rows) =
        (layout.kept_tiles_of_group() * layout.kept_tile(), layout.kept_tiles_of_group() * stride);
    let Scratch {
        features: memory,
        inverse_norms,
        largest,
        sums,
        kept,
        kept_largest,
        partials,
        targets,
        shifts,
    } = &mut head.scratch;
    let weights = head.weights.as_mut_slice();
    let batch = Batch::pack(pool, layout, loss, weights, features, labels, memory);
    let inverse_norms = inverse_norms.at_least(layout.classes);
    let largest = largest.at_least(groups * stride);
    let sums = sums.at_least(groups * stride);
    let kept = kept.at_least(groups * kept_len);
    let kept_largest = kept_largest.at_least(groups * kept_rows);
    let partials = partials.at_least(groups * dimension * stride);
    let own = |index: usize, len: usize| index * len..(index + 1) * len;

    {
        let (norms, largest, sums) =
            (Shared::new(&mut *inverse_norms), Shared::new(&mut *largest), Shared::new(&mut *sums));
        let (kept, kept_largest) = (Shared::new(as_words(kept)), Shared::new(&mut *kept_largest));
        let weights = &*weights;
        pool.run(groups, |index, scratch| {
            let classes = layout.group(index);
            #[expect(unsafe_code, reason = "groups own disjoint ranges")]
            // SAFETY: the classes, the sums and the exponentials of this group belong to this task alone.
            let group = unsafe {
                GroupSums {
                    inverse_norms: norms.range(classes.clone()),
                    largest: largest.range(own(index, stride)),
                    sums: sums.range(own(index, stride)),
                    kept: kept.range(own(index, kept_len)),
                    kept_largest: kept_largest.range(own(index, kept_rows)),
                }
            };
            let weights = &weights[classes.start * dimension..classes.end * dimension];
            sum_exponentials(&batch, classes, weights, group, scratch);
        });
    }
    target::find(&batch, loss, weights, (largest, sums), d_features, targets);
    let targets = &targets[..];
    shifts.clear();
    shifts.extend(targets.iter().map(|target| target.shift));
    shifts.resize(stride, 0.0);
    {
        let shifts = Shifts { targets, shifts };
        let needs_centres = !matches!(centres, Centres::Keep);
        let velocity = Shared::new(head.velocity.as_mut_slice());
        let mut none: [f32; 0] = [];
        let (gradient, descend) = match &mut centres {
            Centres::Keep => (Shared::new(&mut none), None),
            Centres::AddGradient(gradient) => (Shared::new(gradient), None),
            Centres::AddToVelocity => (velocity, None),
            Centres::Descend(step) => (Shared::new(&mut none), Some(*step)),
        };
        let (inverse_norms, kept, kept_largest) = (&*inverse_norms, words_of(kept), &*kept_largest);
        let (weights, partials) = (Shared::new(weights), Shared::new(&mut *partials));
        pool.run(groups, |index, scratch| {
            let classes = layout.group(index);
            let elements = classes.start * dimension..classes.end * dimension;
            #[expect(unsafe_code, reason = "groups own disjoint ranges")]
            // SAFETY: the centres and the partial gradient of this group belong to this task alone.
            let (weights, partial, target) = unsafe {
                let target = match descend {
                    Some(step) => Target::Descend(step, velocity.range(elements.clone())),
                    None if needs_centres => Target::Add(gradient.range(elements.clone())),
                    None => Target::Nothing,
                };
                (weights.range(elements), partials.range(own(index, dimension * stride)), target)
            };
            let group = Group {
                inverse_norms: &inverse_norms[classes.clone()],
                classes,
                weights,
                kept: &kept[own(index, kept_len)],
                kept_largest: &kept_largest[own(index, kept_rows)],
                partial,
                target,
            };
            walk(&batch, &shifts, group, scratch);
        });
    }
    finish(pool, &batch, loss, targets, partials, d_features);
    let samples: Vec<Sample> = targets.iter().map(|target| target.sample).collect();
    HeadOutput { loss: samples.iter().map(|sample| sample.loss).sum::<f64>() / labels.len() as f64, samples }
}

/// Adds the groups in order to the target's part, which `d_features` holds, and takes the gradient through the
/// features' norms.
fn finish(
    pool: &Pool,
    batch: &Batch<'_>,
    loss: &Loss,
    targets: &[TargetOf],
    partials: &mut [f32],
    d_features: &mut [f32],
) {
    let (dimension, stride) = (batch.layout.dimension, batch.layout.padded_samples());
    let (total, others) = partials.split_at_mut(dimension * stride);
    pool.run_chunks(total, 16 * stride, |index, total| {
        for partial in others.chunks_exact(dimension * stride) {
            let partial = &partial[index * 16 * stride..][..total.len()];
            pointwise::accumulate_elements(batch.isa, partial, total);
        }
    });
    let total = &*total;
    pool.run_chunks(d_features, dimension, |sample, d_feature| {
        for (gradient, samples) in d_feature.iter_mut().zip(total.chunks_exact(stride)) {
            *gradient += samples[sample];
        }
        if batch.normalises_weights {
            through_norm(batch, loss, &targets[sample], sample, d_feature);
        }
    });
}

/// Turns the gradient of the direction `x / |x|` of a sample's feature into that of `x`.
fn through_norm(batch: &Batch<'_>, loss: &Loss, target: &TargetOf, sample: usize, d_feature: &mut [f32]) {
    let unit = &batch.units[sample * d_feature.len()..][..d_feature.len()];
    let norm = batch.norms[sample];
    if norm < f64::from(SHORTEST) {
        d_feature.fill(0.0);
        return;
    }
    // sum over j of d_cosine_j c_j.
    let along: f64 = d_feature.iter().zip(unit).map(|(g, x)| f64::from(*g) * f64::from(*x)).sum();
    let growth = match loss.scale() {
        Scale::Fixed(_) => 0.0,
        // Logits grow with the norm: d loss / d |x| = sum over j of d_logit_j c_j, psi(c_y) for the target.
        Scale::FeatureNorm => {
            let others = (along - f64::from(target.d_cosine) * target.sample.cosine) / norm;
            others + target.d_logit * target.psi
        }
    } + target.d_norm;
    for (gradient, x) in d_feature.iter_mut().zip(unit) {
        let x = f64::from(*x);
        *gradient = ((f64::from(*gradient) - along * x) / norm + growth * x) as f32;
    }
}
