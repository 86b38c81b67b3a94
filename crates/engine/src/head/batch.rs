//! What the tiles read of a batch: its features on the right-hand side of both products, and its labels in order.

use std::ops::Range;

use margin::Loss;

use super::layout::Layout;
use super::own::{Own, norm, own_centres};
use super::{SHORTEST, scale_of};
use crate::buffer::Buffer;
use crate::gemm::words::{PANEL, across, along, as_words, words_of};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::precision::Precision;

/// Memory for a batch's features and what is known of each sample, kept between steps.
#[derive(Debug, Default)]
pub(super) struct Features {
    /// As they enter the products, normalised where the loss says so, `[samples, dimension]`.
    units: Buffer,
    /// Words along the dimension, `[sample panels][direction words][PANEL samples]`.
    columns: Buffer,
    /// Words along the samples, `[dimension panels][cosine words][PANEL]`.
    rows: Buffer,
    norms: Vec<f64>,
    own: Vec<Own>,
    by_row: Vec<u32>,
    scales: Vec<f32>,
    psi: Vec<f32>,
}

/// Everything about the batch that the tiles read.
pub(super) struct Batch<'a> {
    pub(super) isa: Isa,
    pub(super) layout: Layout,
    pub(super) labels: &'a [u32],
    /// Each sample's own centre.
    pub(super) own: &'a [Own],
    /// Samples in order of the rows of their own centres.
    by_row: &'a [u32],
    pub(super) normalises_weights: bool,
    /// How other classes are made harder; none where their logits are as they are.
    pub(super) hardness: Option<Hardness<'a>>,
    /// Factor of each sample's logits, 0 for what fills the last panel.
    pub(super) scales: &'a [f32],
    /// Lengths of the raw features.
    pub(super) norms: &'a [f64],
    pub(super) units: &'a [f32],
    columns: &'a [u32],
    rows: &'a [u32],
}

/// CurricularFace's treatment of other classes.
pub(super) struct Hardness<'a> {
    pub(super) t: f32,
    /// `psi(c_y)` of each sample, above which a cosine is hard; infinite for what fills the last panel.
    pub(super) psi: &'a [f32],
}

impl<'a> Batch<'a> {
    /// Normalises and packs the features.
    pub(super) fn pack(
        pool: &Pool,
        layout: Layout,
        loss: &Loss,
        weights: &[f32],
        features: &[f32],
        labels: &'a [u32],
        memory: &'a mut Features,
    ) -> Batch<'a> {
        let Layout { precision, samples, dimension, .. } = layout;
        let normalises_weights = loss.normalises_weights();
        let Features { units, columns, rows, norms, own, by_row, scales, psi } = memory;
        let units = units.at_least(samples * dimension);
        normalise(features, dimension, normalises_weights, units, norms);
        let (units, norms) = (&*units, &norms[..]);
        let (depth, isa) = (layout.direction_words(), pool.isa());
        let panels = as_words(columns.at_least(layout.sample_panels() * depth * PANEL));
        pool.run_chunks_with_scratch(panels, depth * PANEL, |panel, words, scratch| {
            words.fill(0);
            let row = as_words(scratch.at_least(depth));
            let samples = panel * PANEL..((panel + 1) * PANEL).min(samples);
            for (column, unit) in
                units[samples.start * dimension..samples.end * dimension].chunks_exact(dimension).enumerate()
            {
                along(precision, unit, 1.0, row);
                for (word, words) in row.iter().zip(words.chunks_exact_mut(PANEL)) {
                    words[column] = *word;
                }
            }
        });
        let depth = layout.cosine_words();
        let panels = as_words(rows.at_least(layout.dimension_panels() * depth * PANEL));
        pool.run_chunks(panels, depth * PANEL, |panel, words| {
            words.fill(0);
            let columns = panel * PANEL..((panel + 1) * PANEL).min(dimension);
            let row = |sample: usize| match units.get(sample * dimension..(sample + 1) * dimension) {
                Some(unit) => (&unit[columns.clone()], 1.0),
                None => (&[][..], 0.0),
            };
            for (index, words) in words.chunks_exact_mut(PANEL).enumerate() {
                let [first, second] = samples_of_word(precision, index);
                if first < samples {
                    across(precision, row(first), row(second), words);
                }
            }
        });
        own_centres(isa, loss, weights, layout.per_class, units, labels, own);
        let own = &own[..];
        by_row.clear();
        by_row.extend(0..samples as u32);
        by_row.sort_unstable_by_key(|&sample| (own[sample as usize].row, sample));
        let hardness = match *loss {
            Loss::CurricularFace { t, .. } => {
                psi.clear();
                psi.extend(own.iter().map(|own| loss.target(own.product).psi as f32));
                psi.resize(layout.padded_samples(), f32::INFINITY);
                Some(Hardness { t: t as f32, psi })
            }
            _ => None,
        };
        scales.clear();
        scales.extend(norms.iter().map(|&norm| match normalises_weights {
            true => scale_of(loss, norm) as f32,
            false => 1.0,
        }));
        scales.resize(layout.padded_samples(), 0.0);
        let (columns, rows) = (words_of(columns.as_slice()), words_of(rows.as_slice()));
        Batch {
            isa,
            layout,
            labels,
            own,
            by_row,
            normalises_weights,
            hardness,
            scales,
            norms,
            units,
            columns,
            rows,
        }
    }

    /// The right-hand side of `directions x features`, for the samples of one panel.
    pub(super) fn columns(&self, panel: usize) -> &[u32] {
        let len = self.layout.direction_words() * PANEL;
        &self.columns[panel * len..][..len]
    }

    /// The right-hand side of `gradients of cosines x features`, for one panel of the dimension.
    pub(super) fn rows(&self, panel: usize) -> &[u32] {
        let len = self.layout.cosine_words() * PANEL;
        &self.rows[panel * len..][..len]
    }

    /// The samples whose own centre lies in the rows `classes`.
    pub(super) fn owned(&self, classes: &Range<usize>) -> &[u32] {
        let before = |end: usize| self.by_row.partition_point(|&sample| self.own[sample as usize].row < end);
        &self.by_row[before(classes.start)..before(classes.end)]
    }

    /// Calls `at` with the positions in a panel's `[classes][PANEL]` values of all centres of each of its samples' own
    /// class. No class lies across the ends of `classes`.
    pub(super) fn own(&self, classes: &Range<usize>, panel: usize, mut at: impl FnMut(usize)) {
        let per_class = self.layout.per_class;
        for &sample in self.owned(classes) {
            let sample = sample as usize;
            if sample / PANEL == panel {
                let first = self.labels[sample] as usize * per_class - classes.start;
                (first..first + per_class).for_each(|row| at(row * PANEL + sample % PANEL));
            }
        }
    }
}

/// The two samples (the same one twice in f32) of word `index` of a row of gradients of cosines.
fn samples_of_word(precision: Precision, index: usize) -> [usize; 2] {
    match precision {
        Precision::F32 => [index, index],
        Precision::Bf16 => {
            let first = index / (PANEL / 2) * PANEL + index % (PANEL / 2);
            [first, first + PANEL / 2]
        }
    }
}

/// Writes the rows of `features`, divided by their norms where `normalises` says so, and the norms.
pub(super) fn normalise(
    features: &[f32],
    dimension: usize,
    normalises: bool,
    units: &mut [f32],
    norms: &mut Vec<f64>,
) {
    let rows = features.chunks_exact(dimension).zip(units.chunks_exact_mut(dimension));
    norms.clear();
    norms.extend(rows.map(|(feature, unit)| {
        let norm = norm(feature);
        let inverse = match normalises {
            false => 1.0,
            true if norm < f64::from(SHORTEST) => 0.0,
            true => 1.0 / norm,
        };
        for (unit, x) in unit.iter_mut().zip(feature) {
            *unit = (f64::from(*x) * inverse) as f32;
        }
        norm
    }));
}
