//! Filters to their transforms, as panels of a product over input channels.

use std::ops::Range;

use super::tiles::PLANES;
use super::transform;
use crate::gemm::{APART, Format, MAX_LANES, Panels, Vector, by_format};
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// Which way the filters are to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From inputs to outputs.
    Forward,
    /// From gradients of outputs to those of inputs: filters turned by half a turn, channels exchanged.
    Backward,
}

/// Taps of a filter.
const TAPS: usize = 9;

/// Transformed filters: 36 times the panels of `[from, to]`, `stride` words apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters {
    pub(super) panels: Panels,
    pub(super) stride: usize,
    pub(super) precision: Precision,
    inputs: usize,
    outputs: usize,
    direction: Direction,
}

impl Filters {
    pub(crate) fn new(
        pool: &Pool,
        precision: Precision,
        inputs: usize,
        outputs: usize,
        direction: Direction,
    ) -> Filters {
        let (from, to) = match direction {
            Direction::Forward => (inputs, outputs),
            Direction::Backward => (outputs, inputs),
        };
        let panels = Panels::of_words(pool.isa(), precision.words(from), to);
        // Not a multiple of a page, so that the planes of one filter do not compete for one cache set.
        Filters { panels, stride: panels.len() + 16, precision, inputs, outputs, direction }
    }

    /// Channels that the filters are applied to.
    pub(super) fn from(&self) -> usize {
        match self.direction {
            Direction::Forward => self.inputs,
            Direction::Backward => self.outputs,
        }
    }

    /// Floats of all transforms.
    pub(crate) fn len(&self) -> usize {
        PLANES * self.stride
    }

    /// Transforms `weights`, `[taps, inputs, outputs]`, into `filters`.
    ///
    /// # Panics
    /// When a length does not fit the sizes.
    pub(crate) fn transform(&self, pool: &Pool, weights: &[f32], filters: &mut [f32]) {
        /// Rows of a panel in one task.
        const ROWS: usize = 64;
        assert_eq!(weights.len(), TAPS * self.inputs * self.outputs, "weights of {self:?}");
        assert!(filters.len() >= self.len(), "{} floats for filters of {}", filters.len(), self.len());
        let parts = self.panels.depth.div_ceil(ROWS);
        let filters = Shared::new(filters);
        pool.run(self.panels.count() * parts, |task, _| {
            let (index, part) = (task / parts, task % parts);
            let rows = [part * ROWS, ((part + 1) * ROWS).min(self.panels.depth)];
            let (of, filters) = (self, filters);
            #[expect(unsafe_code, reason = "transforms whole vectors")]
            // SAFETY: each task writes the rows of its own panel, which the assertion above holds.
            unsafe {
                by_format!(
                    pool.isa(),
                    self.precision,
                    transform_rows,
                    (of: &Filters, weights: &[f32], index: usize, rows: [usize; 2], filters: Shared<'_, f32>)
                );
            }
        });
    }

    /// Copies the taps of `rows` rows from `row` on and of the columns of `columns`, `[tap][row][lane]`.
    #[inline(always)]
    fn copy_taps(
        &self,
        weights: &[f32],
        [row, rows]: [usize; 2],
        columns: Range<usize>,
        taps: &mut [[[f32; MAX_LANES]; ROWS_COPIED]; TAPS],
    ) {
        for (tap, copy) in taps.iter_mut().enumerate() {
            match self.direction {
                Direction::Forward => {
                    for (index, lanes) in copy[..rows].iter_mut().enumerate() {
                        let start = (tap * self.inputs + row + index) * self.outputs;
                        let values = &weights[start + columns.start..start + columns.end];
                        lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane = *value);
                    }
                }
                Direction::Backward => {
                    for (lane, column) in columns.clone().enumerate() {
                        let start = ((TAPS - 1 - tap) * self.inputs + column) * self.outputs + row;
                        let values = &weights[start..start + rows];
                        copy.iter_mut().zip(values).for_each(|(lanes, value)| lanes[lane] = *value);
                    }
                }
            }
        }
    }
}

/// The vectors of nine taps, `step` floats apart; none where there is no channel.
#[derive(Clone, Copy)]
struct Taps<'a> {
    values: &'a [f32],
    step: usize,
}

impl Taps<'_> {
    /// Their filter's transform. No closure: one that is not inlined would lack the instruction set, and each of its
    /// instructions would be a call.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "loads whole vectors; tested against plain loops")]
    #[inline(always)]
    unsafe fn transformed<V: Vector>(self) -> [[V; 6]; 6] {
        // SAFETY: the caller promises the instruction set, `load_some` reads inside the slice alone.
        unsafe {
            let mut patch = [[V::splat(0.0); 3]; 3];
            if !self.values.is_empty() {
                for (tap, value) in patch.as_flattened_mut().iter_mut().enumerate() {
                    *value = V::load_some(&self.values[tap * self.step..]);
                }
            }
            transform::filter(&patch)
        }
    }
}

/// Rows whose taps are copied at a time.
const ROWS_COPIED: usize = APART;

#[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn transform_rows<V: Vector, F: Format<V>>(
    of: &Filters,
    weights: &[f32],
    index: usize,
    rows: [usize; 2],
    filters: Shared<'_, f32>,
) {
    let panel = of.panels.panel(index);
    let per_word = F::PRECISION.per_word();
    let mut taps = [[[[0.0; MAX_LANES]; ROWS_COPIED]; TAPS]; 2];
    for vector in 0..panel.vectors {
        let column = panel.first_column + vector * V::LANES;
        let columns = column..(column + V::LANES).min(panel.first_column + panel.columns);
        let copied = of.direction == Direction::Backward || columns.len() < V::LANES;
        if columns.len() < V::LANES {
            // The lanes after the last column.
            taps = [[[[0.0; MAX_LANES]; ROWS_COPIED]; TAPS]; 2];
        }
        for first in (rows[0]..rows[1]).step_by(ROWS_COPIED) {
            let here = ROWS_COPIED.min(rows[1] - first);
            // The channels of the words' first elements, and of their second ones.
            let channels: [(usize, usize); 2] = std::array::from_fn(|element| {
                let start = first * per_word + element * APART;
                (start, of.from().saturating_sub(start).min(here))
            });
            if copied {
                for (&(start, count), taps) in channels.iter().zip(&mut taps).take(per_word) {
                    if count > 0 {
                        of.copy_taps(weights, [start, count], columns.clone(), taps);
                    }
                }
            }
            for word in first..first + here {
                let row = word - first;
                let start = panel.start + word * panel.width + vector * V::LANES;
                let last = (PLANES - 1) * of.stride + start + V::LANES;
                assert!(last <= filters.len(), "filters of {of:?}");
                // SAFETY: the assertion holds the last of the stores, `load_some` each of the loads.
                unsafe {
                    let sources: [Taps<'_>; 2] = std::array::from_fn(|element| {
                        let (start, count) = channels[element];
                        match (row < count, copied) {
                            (false, _) => Taps { values: &[], step: 0 },
                            (true, true) => {
                                let values = &taps[element].as_flattened().as_flattened()[row * MAX_LANES..];
                                Taps { values, step: ROWS_COPIED * MAX_LANES }
                            }
                            (true, false) => {
                                let values = &weights[(start + row) * of.outputs + column..];
                                Taps { values, step: of.inputs * of.outputs }
                            }
                        }
                    });
                    let values = sources[0].transformed::<V>();
                    let second = if per_word == 2 { sources[1].transformed::<V>() } else { values };
                    let mut place = filters.range(0..0).as_mut_ptr().add(start);
                    for (first, second) in values.as_flattened().iter().zip(second.as_flattened()) {
                        F::store(*first, *second, place);
                        place = place.wrapping_add(of.stride);
                    }
                }
            }
        }
    }
}
