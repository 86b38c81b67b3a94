//! First walk: each sample's sum of exponentials over the classes that are not its own.

use std::ops::Range;

use super::batch::{Batch, Hardness};
use super::directions::{inverse_norms, pack_rows};
use super::exponential::exp;
use super::layout::{TILE, depth_blocks, row_blocks};
use super::others::{harden, keep_nearest};
use crate::buffer::Buffer;
use crate::gemm::word_tile::{LeftWords, Order, PanelTarget, ROW_STRIDE, panel_product};
use crate::gemm::words::{PANEL, as_words};
use crate::gemm::{Format, Store, Vector, along, by_format, share};
use crate::isa::by_isa;

/// What the first walk writes for one group of classes.
pub(super) struct GroupSums<'a> {
    /// `1 / |W_j|` of its classes, 1 where weights are not normalised.
    pub(super) inverse_norms: &'a mut [f32],
    /// Largest logit of another class, `[padded samples]`.
    pub(super) largest: &'a mut [f32],
    /// Sum of exponentials relative to it, `[padded samples]`.
    pub(super) sums: &'a mut [f32],
    /// Exponentials of the first tiles, as words along the samples, `[tiles][sample panels][TILE][panel words]`.
    pub(super) kept: &'a mut [u32],
    /// The logit that each tile's exponentials are relative to, `[tiles][padded samples]`.
    pub(super) kept_largest: &'a mut [f32],
}

/// Walks over the `classes` of a group, whose centres are `weights`.
pub(super) fn sum_exponentials(
    batch: &Batch<'_>,
    classes: Range<usize>,
    weights: &[f32],
    group: GroupSums<'_>,
    scratch: &mut Buffer,
) {
    let (isa, layout) = (batch.isa, batch.layout);
    let (dimension, precision) = (layout.dimension, layout.precision);
    let GroupSums { inverse_norms: inverse, largest, sums, kept, kept_largest } = group;
    largest.fill(f32::NEG_INFINITY);
    sums.fill(0.0);
    inverse.fill(1.0);
    let packed = row_blocks(layout.direction_words(), TILE);
    let (packed, logits) = scratch.at_least(packed + TILE * PANEL).split_at_mut(packed);
    let packed = as_words(packed);
    let rows = layout.tile();
    let tiles = weights.chunks(rows * dimension).zip(inverse.chunks_mut(rows)).enumerate();
    for (index, (tile, inverse)) in tiles {
        let first = classes.start + index * rows;
        let classes = first..first + inverse.len();
        let logits = &mut logits[..inverse.len() * PANEL];
        if batch.normalises_weights {
            by_isa!(isa, inverse_norms, (dimension: usize, tile: &[f32], inverse: &mut [f32]));
        }
        pack_rows(isa, layout, tile, inverse, packed);
        let next = weights.get((index + 1) * rows * dimension..).unwrap_or(&[]);
        for panel in 0..layout.sample_panels() {
            let ahead = share(&next[..next.len().min(rows * dimension)], panel, layout.sample_panels());
            cosines(batch, packed, &classes, panel, logits, ahead);
            let own = panel * PANEL..(panel + 1) * PANEL;
            let (scales, largest) = (&batch.scales[own.clone()], &mut largest[own.clone()]);
            if let Some(Hardness { t, psi }) = &batch.hardness {
                let (logits, psi, t) = (&mut *logits, &psi[own.clone()], *t);
                by_isa!(isa, harden, (logits: &mut [f32], psi: &[f32], t: f32));
            }
            {
                let (sums, largest, logits) = (&mut sums[own.clone()], &mut *largest, &mut *logits);
                by_isa!(
                    isa,
                    add_exponentials,
                    (logits: &mut [f32], scales: &[f32], largest: &mut [f32], sums: &mut [f32])
                );
            }
            let (exponentials, words) = (&*logits, layout.panel_words());
            let start = (index * layout.sample_panels() + panel) * TILE * words;
            if let Some(kept) = kept.get_mut(start..start + inverse.len() * words) {
                #[expect(unsafe_code, reason = "calls a function of an instruction set")]
                // SAFETY: an Isa that reaches a kernel is available.
                unsafe {
                    by_format!(isa, precision, keep, (exponentials: &[f32], kept: &mut [u32]));
                }
                kept_largest[index * layout.padded_samples()..][own].copy_from_slice(largest);
            }
        }
    }
}

/// The cosines of a tile to the samples of one panel, `[classes][PANEL]`, with -infinity at each sample's own class and
/// at all but the nearest centre of every other.
pub(super) fn cosines(
    batch: &Batch<'_>,
    packed: &[u32],
    classes: &Range<usize>,
    panel: usize,
    cosines: &mut [f32],
    ahead: &[f32],
) {
    let layout = batch.layout;
    for (index, block) in depth_blocks(layout.direction_words()).enumerate() {
        let words = &packed[index * TILE * ROW_STRIDE..];
        let left = LeftWords { words, order: Order::RowMajor, rows: classes.len() };
        let store = if index == 0 { Store::Replace } else { Store::Add };
        let right = &batch.columns(panel)[block.start * PANEL..block.end * PANEL];
        let target = PanelTarget { values: &mut *cosines, stride: PANEL, store };
        panel_product(batch.isa, layout.precision, left, right, target, ahead);
    }
    if layout.per_class > 1 {
        let (cosines, per_class) = (&mut *cosines, layout.per_class);
        by_isa!(batch.isa, keep_nearest, (cosines: &mut [f32], per_class: usize));
    }
    batch.own(classes, panel, |position| cosines[position] = f32::NEG_INFINITY);
}

/// Turns cosines into exponentials relative to each sample's raised largest logit, and adds them to its sum.
#[inline(always)]
fn add_exponentials(cosines: &mut [f32], scales: &[f32], largest: &mut [f32], sums: &mut [f32]) {
    let rows = cosines.as_chunks_mut::<PANEL>().0;
    let (scales, largest) = (scales.first_chunk::<PANEL>(), largest.first_chunk_mut::<PANEL>());
    let (Some(scales), Some(largest), Some(sums)) = (scales, largest, sums.first_chunk_mut::<PANEL>()) else {
        panic!("a panel has {PANEL} samples");
    };
    // The largest of the tile first, so that each exponential is taken once.
    let mut raised = *largest;
    for row in rows.iter_mut() {
        for lane in 0..PANEL {
            row[lane] *= scales[lane];
            raised[lane] = if row[lane] > raised[lane] { row[lane] } else { raised[lane] };
        }
    }
    let mut total = [0.0; PANEL];
    for lane in 0..PANEL {
        // Nothing seen yet on both sides: `exp` takes what is no number as 0, and so is the sum.
        total[lane] = sums[lane] * exp(largest[lane] - raised[lane]);
    }
    for row in rows.iter_mut() {
        for lane in 0..PANEL {
            row[lane] = exp(row[lane] - raised[lane]);
            total[lane] += row[lane];
        }
    }
    (*largest, *sums) = (raised, total);
}

/// Writes the exponentials of a tile as words along the samples.
///
/// # Safety
/// The processor has the instruction set of `V` and of `F`.
#[expect(unsafe_code, reason = "packs whole vectors")]
#[inline(always)]
unsafe fn keep<V: Vector, F: Format<V>>(exponentials: &[f32], words: &mut [u32]) {
    let rows = exponentials.chunks_exact(PANEL);
    for (row, words) in rows.zip(words.chunks_exact_mut(F::PRECISION.words(PANEL))) {
        // SAFETY: the caller's promise.
        unsafe { along::<V, F>(row, 1.0, words) };
    }
}
