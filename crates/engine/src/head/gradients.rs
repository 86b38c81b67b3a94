//! Second walk: the gradients of the features and of the centres, and the centres' update.

use std::ops::Range;

use super::batch::{Batch, Hardness};
use super::directions::{dot, pack_across, pack_rows, pack_turned};
use super::exponential::exp;
use super::layout::{Layout, TILE, UPDATE, depth_blocks, row_blocks};
use super::sums::cosines;
use super::target::TargetOf;
use crate::amx;
use crate::buffer::Buffer;
use crate::gemm::word_tile::{DEPTH_WORDS, LeftWords, Order, PanelTarget, ROW_STRIDE, panel_product};
use crate::gemm::words::{PANEL, as_words, unpair};
use crate::gemm::{Format, Store, Vector, across, along, by_format, share};
use crate::isa::by_isa;
use crate::optimizer::{SgdStep, descend_elements};
use crate::precision::Precision;

/// One group of classes in the second walk.
pub(super) struct Group<'a> {
    pub(super) classes: Range<usize>,
    /// Its centres, `[classes, dimension]`.
    pub(super) weights: &'a mut [f32],
    pub(super) inverse_norms: &'a [f32],
    /// What the first walk kept of it, in the form of [`super::sums::GroupSums`].
    pub(super) kept: &'a [u32],
    pub(super) kept_largest: &'a [f32],
    /// Gradient of the features' directions by its classes, `[dimension][padded samples]`.
    pub(super) partial: &'a mut [f32],
    pub(super) target: Target<'a>,
}

/// Where the gradient of a group's centres goes.
pub(super) enum Target<'a> {
    Nothing,
    Add(&'a mut [f32]),
    Descend(SgdStep, &'a mut [f32]),
}

/// What the second walk needs of each sample, with zeros for what fills the last panel.
pub(super) struct Shifts<'a> {
    pub(super) targets: &'a [TargetOf],
    /// [`TargetOf::shift`], `[padded samples]`.
    pub(super) shifts: &'a [f32],
}

/// The parts of a worker's scratch.
struct Parts<'a> {
    /// Directions across the classes of a tile, turned where products are those of AMX.
    across: &'a mut [u32],
    /// Directions as rows, where cosines are recomputed.
    rows: &'a mut [u32],
    cosines: &'a mut [f32],
    /// Gradients of one panel's cosines, across the classes, `[class words][PANEL]`.
    d_cosines_across: &'a mut [u32],
    /// Gradients of all cosines along the samples, `[blocks of depth][TILE][ROW_STRIDE]`.
    d_cosines: &'a mut [u32],
    /// Gradients of some directions, `[UPDATE][padded dimension]`.
    d_directions: &'a mut [f32],
}

impl Parts<'_> {
    fn of<'a>(layout: Layout, turned: bool, scratch: &'a mut Buffer) -> Parts<'a> {
        let sizes = [
            match turned {
                true => layout.dimension.next_multiple_of(amx::TILE) * ROW_STRIDE,
                false => layout.class_words(TILE) * layout.across_stride(),
            },
            row_blocks(layout.direction_words(), TILE),
            TILE * PANEL,
            layout.class_words(TILE) * PANEL,
            row_blocks(layout.cosine_words(), TILE),
            UPDATE * layout.padded_dimension(),
        ]
        .map(|size| size.next_multiple_of(16));
        let mut rest = scratch.at_least(sizes.iter().sum());
        let parts = sizes.map(|size| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(size);
            rest = tail;
            part
        });
        let [across, rows, cosines, d_cosines_across, d_cosines, d_directions] = parts;
        Parts {
            across: as_words(across),
            rows: as_words(rows),
            cosines,
            d_cosines_across: as_words(d_cosines_across),
            d_cosines: as_words(d_cosines),
            d_directions,
        }
    }
}

/// Walks over one group: `partial = sum over its classes of d_cosine * direction`, and the centres.
pub(super) fn walk(batch: &Batch<'_>, shifts: &Shifts<'_>, mut group: Group<'_>, scratch: &mut Buffer) {
    let (isa, layout) = (batch.isa, batch.layout);
    let precision = layout.precision;
    let (dimension, panels) = (layout.dimension, layout.sample_panels());
    let turned = amx::multiplies(isa, layout.precision);
    let mut parts = Parts::of(layout, turned, scratch);
    group.partial.fill(0.0);
    for start in (0..group.classes.len()).step_by(layout.tile()) {
        let tile = start..(start + layout.tile()).min(group.classes.len());
        let inverse = &group.inverse_norms[tile.clone()];
        let index = start / layout.tile();
        let kept = index * layout.kept_tile();
        let kept = group.kept.get(kept..kept + layout.kept_tile());
        {
            let weights = &group.weights[tile.start * dimension..tile.end * dimension];
            let (across, rows) = (&mut *parts.across, &mut *parts.rows);
            if turned {
                pack_turned(layout, weights, inverse, across);
            } else {
                pack_across(isa, layout, weights, inverse, across);
            }
            if kept.is_none() {
                pack_rows(isa, layout, weights, inverse, rows);
            }
        }
        let next = group.weights.get(tile.end * dimension..).unwrap_or(&[]);
        let next = &next[..next.len().min(layout.tile() * dimension)];
        for panel in 0..panels {
            let own = panel * PANEL..(panel + 1) * PANEL;
            let (scales, shifts) = (&batch.scales[own.clone()], &shifts.shifts[own.clone()]);
            let offset = panel * layout.panel_words();
            let mut d_cosines = DCosines {
                across: &mut *parts.d_cosines_across,
                rows: &mut parts.d_cosines[offset / DEPTH_WORDS * TILE * ROW_STRIDE + offset % DEPTH_WORDS..],
            };
            let target = &mut d_cosines;
            if let Some(kept) = kept {
                let words = layout.panel_words();
                let kept = &kept[panel * TILE * words..][..tile.len() * words];
                let largest = &group.kept_largest[index * layout.padded_samples()..][own];
                #[expect(unsafe_code, reason = "calls a function of an instruction set")]
                // SAFETY: an Isa that reaches a kernel is available.
                unsafe {
                    by_format!(
                        isa,
                        precision,
                        from_kept,
                        (kept: &[u32], largest: &[f32], scales: &[f32], shifts: &[f32], target: &mut DCosines<'_>)
                    );
                }
            } else {
                let classes = group.classes.start + tile.start..group.classes.start + tile.end;
                let values = &mut parts.cosines[..tile.len() * PANEL];
                cosines(batch, parts.rows, &classes, panel, values, &[]);
                if let Some(Hardness { t, psi }) = &batch.hardness {
                    let hardness = (&psi[own], *t);
                    #[expect(unsafe_code, reason = "calls a function of an instruction set")]
                    // SAFETY: an Isa that reaches a kernel is available.
                    unsafe {
                        by_format!(
                            isa,
                            precision,
                            from_hard_cosines,
                            (
                                values: &[f32],
                                hardness: (&[f32], f32),
                                scales: &[f32],
                                shifts: &[f32],
                                target: &mut DCosines<'_>,
                            )
                        );
                    }
                } else {
                    #[expect(unsafe_code, reason = "calls a function of an instruction set")]
                    // SAFETY: an Isa that reaches a kernel is available.
                    unsafe {
                        by_format!(
                            isa,
                            precision,
                            from_cosines,
                            (values: &[f32], scales: &[f32], shifts: &[f32], target: &mut DCosines<'_>)
                        );
                    }
                }
            }
            let mut depth = layout.class_words(tile.len());
            let mut order = Order::DepthMajor { stride: layout.across_stride() };
            if turned {
                order = Order::RowMajor;
                let whole = depth.next_multiple_of(amx::TILE);
                parts.d_cosines_across[depth * PANEL..whole * PANEL].fill(0);
                depth = whole;
            }
            let left = LeftWords { words: parts.across, order, rows: dimension };
            let right = &parts.d_cosines_across[..depth * PANEL];
            let values = &mut group.partial[panel * PANEL..];
            let target = PanelTarget { values, stride: layout.padded_samples(), store: Store::Add };
            panel_product(isa, layout.precision, left, right, target, share(next, panel, panels));
        }
        if !matches!(group.target, Target::Nothing) {
            for start in tile.clone().step_by(UPDATE) {
                let classes = start..(start + UPDATE).min(tile.end);
                update(batch, shifts, &mut group, classes, tile.start, &mut parts);
            }
        }
    }
}

/// The gradient of some centres of a tile, and what becomes of it.
fn update(
    batch: &Batch<'_>,
    shifts: &Shifts<'_>,
    group: &mut Group<'_>,
    classes: Range<usize>,
    tile: usize,
    parts: &mut Parts<'_>,
) {
    let (isa, layout) = (batch.isa, batch.layout);
    let (dimension, stride) = (layout.dimension, layout.padded_dimension());
    let elements = classes.start * dimension..classes.end * dimension;
    let gradients = &mut parts.d_directions[..classes.len() * stride];
    let ahead: &[f32] = match &group.target {
        Target::Nothing => &[],
        Target::Add(gradient) => &gradient[elements.clone()],
        Target::Descend(_, velocity) => &velocity[elements.clone()],
    };
    for panel in 0..layout.dimension_panels() {
        let right = batch.rows(panel);
        for (index, block) in depth_blocks(layout.cosine_words()).enumerate() {
            let words = &parts.d_cosines[(index * TILE + classes.start - tile) * ROW_STRIDE..];
            let left = LeftWords { words, order: Order::RowMajor, rows: classes.len() };
            let store = if index == 0 { Store::Replace } else { Store::Add };
            let target = PanelTarget { values: &mut gradients[panel * PANEL..], stride, store };
            let right = &right[block.start * PANEL..block.end * PANEL];
            let ahead = share(ahead, panel, layout.dimension_panels());
            panel_product(isa, layout.precision, left, right, target, ahead);
        }
    }
    let (first, end) = (group.classes.start + classes.start, group.classes.start + classes.end);
    for &sample in batch.owned(&(first..end)) {
        let sample = sample as usize;
        let row = batch.own[sample].row - first;
        let gradient = &mut gradients[row * stride..][..dimension];
        let unit = &batch.units[sample * dimension..][..dimension];
        let target = &shifts.targets[sample];
        for (gradient, x) in gradient.iter_mut().zip(unit) {
            *gradient += target.d_cosine * x;
        }
        if target.along_centre != 0.0 {
            let weight = &group.weights[(classes.start + row) * dimension..][..dimension];
            for (gradient, w) in gradient.iter_mut().zip(weight) {
                *gradient += target.along_centre * w;
            }
        }
    }
    let inverse = batch.normalises_weights.then_some(&group.inverse_norms[classes]);
    let weights = &mut group.weights[elements.clone()];
    match &mut group.target {
        Target::Nothing => {}
        Target::Add(sums) => {
            let (sums, weights) = (&mut sums[elements], &*weights);
            by_isa!(
                isa,
                add_rows,
                (layout: Layout, gradients: &mut [f32], weights: &[f32], inverse: Option<&[f32]>, sums: &mut [f32])
            );
        }
        Target::Descend(step, velocity) => {
            let update = Update { step: *step, weights, velocity: &mut velocity[elements] };
            by_isa!(
                isa,
                descend_rows,
                (layout: Layout, gradients: &mut [f32], inverse: Option<&[f32]>, update: Update<'_>)
            );
        }
    }
}

/// Where the gradients of a panel's cosines go: to both products.
struct DCosines<'a> {
    across: &'a mut [u32],
    /// From the panel's first word of the tile's first row.
    rows: &'a mut [u32],
}

impl DCosines<'_> {
    /// Writes classes `[2 pair, 2 pair + 1]`, or class `pair` alone in f32.
    ///
    /// # Safety
    /// The processor has the instruction set of `V` and of `F`.
    #[expect(unsafe_code, reason = "packs whole vectors")]
    #[inline(always)]
    unsafe fn write<V: Vector, F: Format<V>>(&mut self, pair: usize, classes: &[[f32; PANEL]]) {
        let step = F::PRECISION.per_word();
        let first: &[f32] = classes.first().map_or(&[], |class| class);
        let second: &[f32] = classes.get(1).map_or(&[], |class| class);
        // SAFETY: the caller's promise.
        unsafe {
            across::<V, F>((first, 1.0), (second, 1.0), &mut self.across[pair * PANEL..][..PANEL]);
            for (index, class) in classes.iter().enumerate() {
                let row = &mut self.rows[(pair * step + index) * ROW_STRIDE..][..F::PRECISION.words(PANEL)];
                along::<V, F>(class, 1.0, row);
            }
        }
    }
}

/// `d loss / d cosine = scale * e^(largest - shift)` times a kept exponential.
///
/// # Safety
/// The processor has the instruction set of `V` and of `F`.
#[expect(unsafe_code, reason = "packs whole vectors")]
#[inline(always)]
unsafe fn from_kept<V: Vector, F: Format<V>>(
    kept: &[u32],
    largest: &[f32],
    scales: &[f32],
    shifts: &[f32],
    target: &mut DCosines<'_>,
) {
    let mut factors = [0.0; PANEL];
    for (((factor, largest), scale), shift) in factors.iter_mut().zip(largest).zip(scales).zip(shifts) {
        *factor = scale * exp(largest - shift);
    }
    match F::PRECISION {
        Precision::F32 => {
            for (index, class) in kept.as_chunks::<PANEL>().0.iter().enumerate() {
                let mut gradients = [0.0; PANEL];
                for lane in 0..PANEL {
                    gradients[lane] = f32::from_bits(class[lane]) * factors[lane];
                }
                // SAFETY: the caller's promise.
                unsafe { target.write::<V, F>(index, &[gradients]) };
            }
        }
        Precision::Bf16 => {
            for (index, classes) in kept.as_chunks::<{ PANEL / 2 }>().0.chunks(2).enumerate() {
                match classes {
                    [first, second] => {
                        // SAFETY: the caller's promise.
                        unsafe {
                            target.write::<V, F>(
                                index,
                                &[scaled_pairs(first, &factors), scaled_pairs(second, &factors)],
                            );
                        };
                    }
                    // SAFETY: the caller's promise.
                    [first, ..] => unsafe { target.write::<V, F>(index, &[scaled_pairs(first, &factors)]) },
                    [] => {}
                }
            }
        }
    }
}

#[inline(always)]
fn scaled_pairs(words: &[u32; PANEL / 2], factors: &[f32; PANEL]) -> [f32; PANEL] {
    let mut values = [0.0; PANEL];
    for lane in 0..PANEL / 2 {
        let [low, high] = unpair(words[lane]);
        values[lane] = low * factors[lane];
        values[lane + PANEL / 2] = high * factors[lane + PANEL / 2];
    }
    values
}

/// `d loss / d cosine = scale * e^(scale * cosine - shift)`.
///
/// # Safety
/// The processor has the instruction set of `V` and of `F`.
#[expect(unsafe_code, reason = "packs whole vectors")]
#[inline(always)]
unsafe fn from_cosines<V: Vector, F: Format<V>>(
    cosines: &[f32],
    scales: &[f32],
    shifts: &[f32],
    target: &mut DCosines<'_>,
) {
    let (Some(scales), Some(shifts)) = (scales.first_chunk::<PANEL>(), shifts.first_chunk::<PANEL>()) else {
        panic!("a panel has {PANEL} samples");
    };
    for (index, classes) in cosines.as_chunks::<PANEL>().0.chunks(F::PRECISION.per_word()).enumerate() {
        match classes {
            [first, second] => {
                let gradients = [shifted(first, scales, shifts), shifted(second, scales, shifts)];
                // SAFETY: the caller's promise.
                unsafe { target.write::<V, F>(index, &gradients) };
            }
            // SAFETY: the caller's promise.
            [first, ..] => unsafe { target.write::<V, F>(index, &[shifted(first, scales, shifts)]) },
            [] => {}
        }
    }
}

#[inline(always)]
fn shifted(cosines: &[f32; PANEL], scales: &[f32; PANEL], shifts: &[f32; PANEL]) -> [f32; PANEL] {
    let mut values = [0.0; PANEL];
    for lane in 0..PANEL {
        values[lane] = scales[lane] * exp(scales[lane] * cosines[lane] - shifts[lane]);
    }
    values
}

/// As [`from_cosines`] where a cosine above `psi` is hard, `v = c (t + c)` with the slope `t + 2 c`.
///
/// # Safety
/// The processor has the instruction set of `V` and of `F`.
#[expect(unsafe_code, reason = "packs whole vectors")]
#[inline(always)]
unsafe fn from_hard_cosines<V: Vector, F: Format<V>>(
    cosines: &[f32],
    (psi, t): (&[f32], f32),
    scales: &[f32],
    shifts: &[f32],
    target: &mut DCosines<'_>,
) {
    let (Some(psi), Some(scales), Some(shifts)) =
        (psi.first_chunk::<PANEL>(), scales.first_chunk::<PANEL>(), shifts.first_chunk::<PANEL>())
    else {
        panic!("a panel has {PANEL} samples");
    };
    let mut gradients = [[0.0; PANEL]; 2];
    for (index, classes) in cosines.as_chunks::<PANEL>().0.chunks(F::PRECISION.per_word()).enumerate() {
        for (gradients, cosines) in gradients.iter_mut().zip(classes) {
            for lane in 0..PANEL {
                let cosine = cosines[lane];
                // A class of the sample's own stands at -infinity, where a slope would make no number of 0.
                let is_hard = cosine > psi[lane];
                let value = if is_hard { cosine * (t + cosine) } else { cosine };
                let slope = if is_hard { t + 2.0 * cosine } else { 1.0 };
                gradients[lane] = slope * scales[lane] * exp(scales[lane] * value - shifts[lane]);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { target.write::<V, F>(index, &gradients[..classes.len()]) };
    }
}

/// Turns the gradient of a direction `u = W / |W|` into that of `W`: `(g - (g . u) u) / |W|`.
#[inline(always)]
fn through_norm(gradient: &mut [f32], weight: &[f32], inverse: f32) {
    let along = dot(gradient, weight) * inverse * inverse;
    for (gradient, weight) in gradient.iter_mut().zip(weight) {
        *gradient = (*gradient - along * weight) * inverse;
    }
}

/// Adds the gradients of some centres to `sums`.
#[inline(always)]
fn add_rows(
    layout: Layout,
    gradients: &mut [f32],
    weights: &[f32],
    inverse_norms: Option<&[f32]>,
    sums: &mut [f32],
) {
    let rows = weights.chunks_exact(layout.dimension).zip(sums.chunks_exact_mut(layout.dimension));
    let gradients = gradients.chunks_exact_mut(layout.padded_dimension());
    for (class, (gradient, (weight, sums))) in gradients.zip(rows).enumerate() {
        let gradient = &mut gradient[..layout.dimension];
        if let Some(inverse) = inverse_norms {
            through_norm(gradient, weight, inverse[class]);
        }
        for (sum, gradient) in sums.iter_mut().zip(gradient) {
            *sum += *gradient;
        }
    }
}

/// Some centres and their velocities.
struct Update<'a> {
    step: SgdStep,
    weights: &'a mut [f32],
    velocity: &'a mut [f32],
}

/// Moves some centres down their gradients.
#[inline(always)]
fn descend_rows(layout: Layout, gradients: &mut [f32], inverse_norms: Option<&[f32]>, update: Update<'_>) {
    let Update { step, weights, velocity } = update;
    let rows = weights.chunks_exact_mut(layout.dimension).zip(velocity.chunks_exact_mut(layout.dimension));
    let gradients = gradients.chunks_exact_mut(layout.padded_dimension());
    for (class, (gradient, (weight, velocity))) in gradients.zip(rows).enumerate() {
        let gradient = &mut gradient[..layout.dimension];
        if let Some(inverse) = inverse_norms {
            through_norm(gradient, weight, inverse[class]);
        }
        descend_elements(step, gradient, weight, velocity);
    }
}
