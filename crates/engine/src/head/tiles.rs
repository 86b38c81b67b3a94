//! The two walks over tiles of classes.

use std::ops::Range;

use margin::Loss;

use super::exponential::exp;
use super::{Centres, GROUPS, Head, HeadOutput, SHORTEST, Sample, scale_of};
use crate::buffer::Buffer;
use crate::gemm::{
    Dense, Panels, Rows, Store, Transposed, packed_rows_len, product_rows, row_block, transposed_product,
};
use crate::isa::{Isa, by_isa};
use crate::optimizer::{SgdStep, descend_elements};
use crate::pool::{Pool, Shared};

/// Memory that a head keeps between steps.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Features as they enter the products, normalised where the loss says so, `[samples, dimension]`.
    units: Buffer,
    /// The same as the right-hand side of `centres x units`, and of `gradients x units`.
    unit_columns: Buffer,
    unit_rows: Buffer,
    /// `1 / |W_j|`, or 1 where weights are not normalised.
    inverse_norms: Buffer,
    /// Largest logit of another class and sum of exponentials relative to it, for each group and sample.
    largest: Buffer,
    sums: Buffer,
    /// Partial gradient of `units` for each group.
    partials: Buffer,
}

/// Class centres as rows of a product, scaled on the way.
struct Directions<'a> {
    weights: &'a [f32],
    inverse_norms: &'a [f32],
    dimension: usize,
}

impl Rows for Directions<'_> {
    fn count(&self) -> usize {
        self.inverse_norms.len()
    }

    fn depth(&self) -> usize {
        self.dimension
    }

    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]) {
        let inverse = self.inverse_norms[row];
        let source = &self.weights[row * self.dimension..][range];
        for (target, value) in target.iter_mut().zip(source) {
            *target = value * inverse;
        }
    }
}

/// Everything about the batch that the tiles read.
struct Batch<'a> {
    isa: Isa,
    dimension: usize,
    labels: &'a [u32],
    /// Samples in order of their labels.
    by_label: &'a [u32],
    normalises_weights: bool,
    /// Factor of each sample's logits.
    scales: &'a [f32],
    units: &'a [f32],
    unit_columns: &'a [f32],
    unit_rows: &'a [f32],
}

impl Batch<'_> {
    fn samples(&self) -> usize {
        self.labels.len()
    }

    /// The samples whose label lies in `classes`.
    fn labelled(&self, classes: &Range<usize>) -> &[u32] {
        let start =
            self.by_label.partition_point(|&sample| (self.labels[sample as usize] as usize) < classes.start);
        let end =
            self.by_label.partition_point(|&sample| (self.labels[sample as usize] as usize) < classes.end);
        &self.by_label[start..end]
    }

    /// Floats of scratch for a tile: packed rows, logits (with room for reads past the last sample), gradient of
    /// the centres, and the centres as a right-hand side.
    fn scratch(&self) -> [usize; 4] {
        let tile = row_block(self.isa);
        [
            packed_rows_len(self.isa),
            tile * self.samples() + 16,
            tile * self.dimension,
            Panels::new(self.isa, tile, self.dimension).len(),
        ]
    }
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
    let (samples, classes, dimension) = (labels.len(), head.classes, head.dimension);
    let isa = pool.isa();
    let normalises_weights = loss.normalises_weights();
    let tile = row_block(isa);
    let tiles = classes.div_ceil(tile);
    let group = tiles.div_ceil(GROUPS) * tile;
    let groups = classes.div_ceil(group);
    let range = |index: usize| index * group..((index + 1) * group).min(classes);

    let Scratch { units, unit_columns, unit_rows, inverse_norms, largest, sums, partials } =
        &mut head.scratch;
    let units = units.at_least(samples * dimension);
    let norms = normalise(features, dimension, normalises_weights, units);
    let columns_shape = Panels::new(isa, dimension, samples);
    let unit_columns = unit_columns.at_least(columns_shape.len());
    columns_shape.pack_transposed(pool, units, &[0], unit_columns);
    let rows_shape = Panels::new(isa, samples, dimension);
    let unit_rows = unit_rows.at_least(rows_shape.len());
    rows_shape.pack(pool, units, unit_rows);
    let inverse_norms = inverse_norms.at_least(classes);
    let largest = largest.at_least(groups * samples);
    let sums = sums.at_least(groups * samples);
    let partials = partials.at_least(groups * samples * dimension);

    let mut by_label: Vec<u32> = (0..samples as u32).collect();
    by_label.sort_by_key(|&sample| labels[sample as usize]);
    let scales: Vec<f32> = match normalises_weights {
        true => norms.iter().map(|&norm| scale_of(loss, norm) as f32).collect(),
        false => vec![1.0; samples],
    };
    let batch = Batch {
        isa,
        dimension,
        labels,
        by_label: &by_label,
        normalises_weights,
        scales: &scales,
        units,
        unit_columns,
        unit_rows,
    };

    // First walk: norms of the centres, and each sample's exponentials by group.
    let weights = head.weights.as_mut_slice();
    {
        let (norms, largest) = (Shared::new(&mut *inverse_norms), Shared::new(&mut *largest));
        let sums = Shared::new(&mut *sums);
        let weights = &*weights;
        pool.run(groups, |index, scratch| {
            let range = range(index);
            let own = index * samples..(index + 1) * samples;
            #[expect(unsafe_code, reason = "groups own disjoint ranges")]
            // SAFETY: the classes, and the sums of this group, belong to this task alone.
            let (norms, largest, sums) =
                unsafe { (norms.range(range.clone()), largest.range(own.clone()), sums.range(own)) };
            let weights = &weights[range.start * dimension..range.end * dimension];
            exponentials(&batch, range, weights, norms, largest, sums, scratch);
        });
    }
    let targets = targets(&batch, loss, weights, inverse_norms, &norms, largest, sums);

    // Second walk: gradients, and the centres' update.
    let needs_centres = !matches!(centres, Centres::Keep);
    {
        let weights = Shared::new(weights);
        let velocity = Shared::new(head.velocity.as_mut_slice());
        let mut none: [f32; 0] = [];
        let (gradient, descend) = match &mut centres {
            Centres::Keep => (Shared::new(&mut none), None),
            Centres::AddGradient(gradient) => (Shared::new(gradient), None),
            Centres::Descend(step) => (Shared::new(&mut none), Some(*step)),
        };
        let inverse_norms = &*inverse_norms;
        let partials = Shared::new(&mut *partials);
        pool.run(groups, |index, scratch| {
            let range = range(index);
            let elements = range.start * dimension..range.end * dimension;
            #[expect(unsafe_code, reason = "groups own disjoint ranges")]
            // SAFETY: the centres of this group belong to this task alone.
            let (weights, partial, target) = unsafe {
                let target = match descend {
                    Some(step) => Target::Descend(step, velocity.range(elements.clone())),
                    None if needs_centres => Target::Add(gradient.range(elements.clone())),
                    None => Target::Nothing,
                };
                let own = index * samples * dimension..(index + 1) * samples * dimension;
                (weights.range(elements), partials.range(own), target)
            };
            gradients(&batch, &targets, range, weights, inverse_norms, partial, target, scratch);
        });
    }

    finish(&batch, loss, &norms, &targets, partials, d_features);
    let samples: Vec<Sample> = targets.into_iter().map(|target| target.sample).collect();
    HeadOutput { loss: samples.iter().map(|sample| sample.loss).sum::<f64>() / labels.len() as f64, samples }
}

/// Where the gradient of a group's centres goes.
enum Target<'a> {
    Nothing,
    Add(&'a mut [f32]),
    Descend(SgdStep, &'a mut [f32]),
}

/// What the first walk found for one sample.
struct TargetOf {
    sample: Sample,
    /// `d loss / d z_j = e^(z_j - shift)` for the other classes, mean over the batch included.
    shift: f32,
    /// `d loss / d c_y`, mean over the batch included.
    d_cosine: f32,
    /// `d loss / d z_y`, mean over the batch included.
    d_logit: f64,
    /// `psi(c_y)`.
    psi: f64,
}

/// Writes the rows of `features`, divided by their norms where `normalise` says so, and returns the norms.
fn normalise(features: &[f32], dimension: usize, normalises: bool, units: &mut [f32]) -> Vec<f64> {
    let rows = features.chunks_exact(dimension).zip(units.chunks_exact_mut(dimension));
    rows.map(|(feature, unit)| {
        let norm = feature.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let inverse = match normalises {
            false => 1.0,
            true if norm < f64::from(SHORTEST) => 0.0,
            true => 1.0 / norm,
        };
        for (unit, x) in unit.iter_mut().zip(feature) {
            *unit = (f64::from(*x) * inverse) as f32;
        }
        norm
    })
    .collect()
}

/// First walk over one group: inverse norms, then for each sample the largest logit of another class and the sum
/// of exponentials relative to it.
fn exponentials(
    batch: &Batch<'_>,
    classes: Range<usize>,
    weights: &[f32],
    inverse_norms: &mut [f32],
    largest: &mut [f32],
    sums: &mut [f32],
    scratch: &mut Buffer,
) {
    let isa = batch.isa;
    largest.fill(f32::NEG_INFINITY);
    sums.fill(0.0);
    for (weight, inverse) in weights.chunks_exact(batch.dimension).zip(inverse_norms.iter_mut()) {
        *inverse = if batch.normalises_weights {
            by_isa!(isa, inverse_norm, (weight: &[f32], inverse: &mut f32));
            *inverse
        } else {
            1.0
        };
    }
    let sizes = batch.scratch();
    let (packed, logits) = scratch.at_least(sizes[0] + sizes[1]).split_at_mut(sizes[0]);
    let rows = Directions { weights, inverse_norms, dimension: batch.dimension };
    for start in (0..classes.len()).step_by(row_block(isa)) {
        let tile = start..(start + row_block(isa)).min(classes.len());
        let logits = cosines(batch, &rows, &classes, tile, packed, logits);
        let scales = batch.scales;
        by_isa!(
            isa,
            add_exponentials,
            (logits: &mut [f32], scales: &[f32], largest: &mut [f32], sums: &mut [f32])
        );
    }
}

/// The cosines of one tile, `[classes of the tile, samples]`, with -infinity at each sample's own class.
fn cosines<'a>(
    batch: &Batch<'_>,
    rows: &Directions<'_>,
    group: &Range<usize>,
    tile: Range<usize>,
    packed: &mut [f32],
    logits: &'a mut [f32],
) -> &'a mut [f32] {
    let samples = batch.samples();
    let shape = Panels::new(batch.isa, batch.dimension, samples);
    let (first, count) = (tile.start, tile.len());
    let panels = (shape, batch.unit_columns);
    let place = |class: usize| (class - first) * samples;
    let target = Shared::new(&mut *logits);
    product_rows(
        batch.isa,
        rows,
        tile.clone(),
        panels,
        0..shape.count(),
        packed,
        target,
        &place,
        Store::Replace,
    );
    for &sample in batch.labelled(&(group.start + tile.start..group.start + tile.end)) {
        let class = batch.labels[sample as usize] as usize - group.start - first;
        logits[class * samples + sample as usize] = f32::NEG_INFINITY;
    }
    &mut logits[..count * samples]
}

#[inline(always)]
fn inverse_norm(weight: &[f32], inverse: &mut f32) {
    let norm = dot(weight, weight).sqrt();
    *inverse = if norm < SHORTEST { 0.0 } else { 1.0 / norm };
}

/// A sum over sixteen lanes, whatever the instruction set.
#[inline(always)]
fn dot(first: &[f32], second: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (first_chunks, second_chunks) = (first.chunks_exact(16), second.chunks_exact(16));
    let rest: f32 = first_chunks.remainder().iter().zip(second_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (first, second) in first_chunks.zip(second_chunks) {
        for ((lane, a), b) in lanes.iter_mut().zip(first).zip(second) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Scales cosines to logits in place, and adds them to each sample's running largest logit and sum.
#[inline(always)]
fn add_exponentials(logits: &mut [f32], scales: &[f32], largest: &mut [f32], sums: &mut [f32]) {
    let samples = scales.len();
    // The largest of the tile first, so that each exponential is taken once.
    let mut raised = [0.0f32; 64];
    for start in (0..samples).step_by(raised.len()) {
        let range = start..(start + raised.len()).min(samples);
        let (scales, largest, sums) =
            (&scales[range.clone()], &mut largest[range.clone()], &mut sums[range.clone()]);
        let raised = &mut raised[..range.len()];
        raised.copy_from_slice(largest);
        for row in logits.chunks_exact_mut(samples) {
            let row = &mut row[range.clone()];
            for ((raised, logit), scale) in raised.iter_mut().zip(row).zip(scales) {
                *logit *= scale;
                *raised = if *logit > *raised { *logit } else { *raised };
            }
        }
        for ((sum, largest), raised) in sums.iter_mut().zip(largest.iter_mut()).zip(&*raised) {
            // Nothing seen yet on both sides: -infinity minus -infinity has no value, and the sum is 0.
            if *raised > f32::NEG_INFINITY {
                *sum *= exp(*largest - raised);
            }
            *largest = *raised;
        }
        for row in logits.chunks_exact(samples) {
            for ((sum, raised), logit) in sums.iter_mut().zip(&*raised).zip(&row[range.clone()]) {
                let term = exp(logit - raised);
                *sum += if *logit > f32::NEG_INFINITY { term } else { 0.0 };
            }
        }
    }
}

/// Merges the groups, and takes the loss and the target's gradients in f64.
fn targets(
    batch: &Batch<'_>,
    loss: &Loss,
    weights: &[f32],
    inverse_norms: &[f32],
    norms: &[f64],
    largest: &[f32],
    sums: &[f32],
) -> Vec<TargetOf> {
    let (samples, dimension) = (batch.samples(), batch.dimension);
    (0..samples)
        .map(|sample| {
            let groups = || (sample..largest.len()).step_by(samples);
            let top = groups().map(|index| f64::from(largest[index])).fold(f64::NEG_INFINITY, f64::max);
            let others: f64 = groups()
                .filter(|&index| sums[index] > 0.0)
                .map(|index| f64::from(sums[index]) * (f64::from(largest[index]) - top).exp())
                .sum();
            let label = batch.labels[sample] as usize;
            let weight = &weights[label * dimension..][..dimension];
            let unit = &batch.units[sample * dimension..][..dimension];
            let product: f64 = weight.iter().zip(unit).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            let cosine = product * f64::from(inverse_norms[label]);
            let (scale, psi, slope) = if batch.normalises_weights {
                // Rounding can carry a cosine past 1, where an angle has no meaning.
                let target = loss.target(cosine.clamp(-1.0, 1.0));
                (scale_of(loss, norms[sample]), target.psi, target.slope)
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
            TargetOf {
                sample: Sample {
                    loss: value,
                    target: cosine,
                    nearest_other: if scale > 0.0 { top / scale } else { f64::NEG_INFINITY },
                    satisfied: logit > top,
                },
                shift: (shift + (samples as f64).ln()) as f32,
                d_cosine: (d_logit * scale * slope) as f32,
                d_logit,
                psi,
            }
        })
        .collect()
}

/// Second walk over one group: `partial = sum over its classes of d_cosine * direction`, and the centres.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
fn gradients(
    batch: &Batch<'_>,
    targets: &[TargetOf],
    classes: Range<usize>,
    weights: &mut [f32],
    inverse_norms: &[f32],
    partial: &mut [f32],
    mut target: Target<'_>,
    scratch: &mut Buffer,
) {
    let (isa, samples, dimension) = (batch.isa, batch.samples(), batch.dimension);
    let inverse_norms = &inverse_norms[classes.clone()];
    let sizes = batch.scratch();
    let scratch = scratch.at_least(sizes.iter().sum());
    let (packed, rest) = scratch.split_at_mut(sizes[0]);
    let (logits, rest) = rest.split_at_mut(sizes[1]);
    let (d_directions, panels) = rest.split_at_mut(sizes[2]);
    partial.fill(0.0);
    let shifts: Vec<f32> = targets.iter().map(|target| target.shift).collect();
    for start in (0..classes.len()).step_by(row_block(isa)) {
        let tile = start..(start + row_block(isa)).min(classes.len());
        let elements = tile.start * dimension..tile.end * dimension;
        {
            let rows = Directions { weights, inverse_norms, dimension };
            let cosines = cosines(batch, &rows, &classes, tile.clone(), packed, logits);
            let (scales, shifts) = (batch.scales, &*shifts);
            by_isa!(isa, cosine_gradients, (cosines: &mut [f32], scales: &[f32], shifts: &[f32]));
            for &sample in batch.labelled(&(classes.start + tile.start..classes.start + tile.end)) {
                let class = batch.labels[sample as usize] as usize - classes.start - tile.start;
                cosines[class * samples + sample as usize] = targets[sample as usize].d_cosine;
            }
            let shape = Panels::new(isa, tile.len(), dimension);
            for index in 0..shape.count() {
                let panel = shape.panel(index);
                let target = &mut panels[panel.start..][..tile.len() * panel.width];
                for (class, target) in tile.clone().zip(target.chunks_exact_mut(panel.width)) {
                    let columns = panel.first_column..panel.first_column + panel.columns;
                    rows.copy(class, columns, &mut target[..panel.columns]);
                    target[panel.columns..].fill(0.0);
                }
            }
            let left = Transposed { values: logits, stride: samples, columns: samples };
            let place = |sample: usize| sample * dimension;
            let all = 0..shape.count();
            transposed_product(isa, left, (shape, panels), all, Shared::new(partial), &place, Store::Add);
        }
        if matches!(target, Target::Nothing) {
            continue;
        }
        let shape = Panels::new(isa, samples, dimension);
        let rows = Dense::new(&logits[..tile.len() * samples], samples);
        let place = |class: usize| class * dimension;
        let right = (shape, batch.unit_rows);
        let d_tile = Shared::new(d_directions);
        product_rows(
            isa,
            &rows,
            0..tile.len(),
            right,
            0..shape.count(),
            packed,
            d_tile,
            &place,
            Store::Replace,
        );
        let d_directions = &mut d_directions[..tile.len() * dimension];
        let (weights, inverse) = (&mut weights[elements.clone()], &inverse_norms[tile]);
        if batch.normalises_weights {
            let weights = &*weights;
            by_isa!(isa, through_norms, (d_directions: &mut [f32], weights: &[f32], inverse: &[f32]));
        }
        match &mut target {
            Target::Nothing => {}
            Target::Add(gradient) => {
                for (gradient, value) in gradient[elements].iter_mut().zip(&*d_directions) {
                    *gradient += value;
                }
            }
            Target::Descend(step, velocity) => {
                let (step, velocity, gradient) = (*step, &mut velocity[elements], &*d_directions);
                by_isa!(
                    isa,
                    descend_elements,
                    (step: SgdStep, gradient: &[f32], weights: &mut [f32], velocity: &mut [f32])
                );
            }
        }
    }
}

/// Turns cosines into `d loss / d cosine`, in place: `scale * e^(scale * cosine - shift)`.
#[inline(always)]
fn cosine_gradients(cosines: &mut [f32], scales: &[f32], shifts: &[f32]) {
    for row in cosines.chunks_exact_mut(scales.len()) {
        for ((cosine, scale), shift) in row.iter_mut().zip(scales).zip(shifts) {
            *cosine = scale * exp(scale * *cosine - shift);
        }
    }
}

/// Turns gradients of directions `u = W / |W|` into those of `W`: `(g - (g . u) u) / |W|`.
#[inline(always)]
fn through_norms(gradients: &mut [f32], weights: &[f32], inverse_norms: &[f32]) {
    let dimension = gradients.len() / inverse_norms.len();
    let rows = gradients.chunks_exact_mut(dimension).zip(weights.chunks_exact(dimension));
    for ((gradient, weight), inverse) in rows.zip(inverse_norms) {
        let along = dot(gradient, weight) * inverse * inverse;
        for (gradient, weight) in gradient.iter_mut().zip(weight) {
            *gradient = (*gradient - along * weight) * inverse;
        }
    }
}

/// Adds the groups in order, and takes the gradient through the features' norms.
fn finish(
    batch: &Batch<'_>,
    loss: &Loss,
    norms: &[f64],
    targets: &[TargetOf],
    partials: &[f32],
    d_features: &mut [f32],
) {
    let (samples, dimension) = (batch.samples(), batch.dimension);
    for (sample, d_feature) in d_features.chunks_exact_mut(dimension).enumerate() {
        d_feature.fill(0.0);
        for partial in partials.chunks_exact(samples * dimension) {
            for (sum, value) in d_feature.iter_mut().zip(&partial[sample * dimension..]) {
                *sum += value;
            }
        }
        if !batch.normalises_weights {
            continue;
        }
        let unit = &batch.units[sample * dimension..][..dimension];
        let (norm, target) = (norms[sample], &targets[sample]);
        if norm < f64::from(SHORTEST) {
            d_feature.fill(0.0);
            continue;
        }
        // sum over j of d_cosine_j c_j.
        let along: f64 = d_feature.iter().zip(unit).map(|(g, x)| f64::from(*g) * f64::from(*x)).sum();
        let growth = match loss.scale() {
            margin::Scale::Fixed(_) => 0.0,
            // Logits grow with the norm: d loss / d |x| = sum over j of d_logit_j c_j, psi(c_y) for the target.
            margin::Scale::FeatureNorm => {
                let others = (along - f64::from(target.d_cosine) * target.sample.target) / norm;
                others + target.d_logit * target.psi
            }
        };
        for (gradient, x) in d_feature.iter_mut().zip(unit) {
            let x = f64::from(*x);
            *gradient = ((f64::from(*gradient) - along * x) / norm + growth * x) as f32;
        }
    }
}
