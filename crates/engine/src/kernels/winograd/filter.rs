//! Filters to their transforms, as panels of a product over input channels.

use super::tiles::PLANES;
use super::transform;
use crate::gemm::{Panels, Vector, by_vector};
use crate::pool::{Pool, Shared};

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
/// The most lanes of a vector.
const MAX_LANES: usize = 16;

/// Transformed filters: 36 times the panels of `[from, to]`, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters {
    pub(super) panels: Panels,
    pub(super) stride: usize,
    inputs: usize,
    outputs: usize,
    direction: Direction,
}

impl Filters {
    pub(crate) fn new(pool: &Pool, inputs: usize, outputs: usize, direction: Direction) -> Filters {
        let (from, to) = match direction {
            Direction::Forward => (inputs, outputs),
            Direction::Backward => (outputs, inputs),
        };
        let panels = Panels::new(pool.isa(), from, to);
        // Not a multiple of a page, so that the planes of one filter do not compete for one cache set.
        Filters { panels, stride: panels.len() + 16, inputs, outputs, direction }
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
                by_vector!(
                    pool.isa(),
                    transform_rows,
                    (of: &Filters, weights: &[f32], index: usize, rows: [usize; 2], filters: Shared<'_, f32>)
                );
            }
        });
    }

    /// Copies the taps of `rows.len()` rows from `row` on and `lanes` columns from `column` on,
    /// `[row][tap][lane]`, with zeros in the lanes after.
    #[inline(always)]
    fn copy_taps(
        &self,
        weights: &[f32],
        row: usize,
        column: usize,
        lanes: usize,
        rows: &mut [[[f32; MAX_LANES]; TAPS]],
    ) {
        for tap in 0..TAPS {
            match self.direction {
                Direction::Forward => {
                    for (index, taps) in rows.iter_mut().enumerate() {
                        let start = (tap * self.inputs + row + index) * self.outputs + column;
                        taps[tap][..lanes].copy_from_slice(&weights[start..start + lanes]);
                    }
                }
                Direction::Backward => {
                    for lane in 0..lanes {
                        let start = ((TAPS - 1 - tap) * self.inputs + column + lane) * self.outputs + row;
                        for (taps, value) in rows.iter_mut().zip(&weights[start..]) {
                            taps[tap][lane] = *value;
                        }
                    }
                }
            }
        }
    }
}

#[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn transform_rows<V: Vector>(
    of: &Filters,
    weights: &[f32],
    index: usize,
    rows: [usize; 2],
    filters: Shared<'_, f32>,
) {
    /// Rows whose taps are copied at a time.
    const BLOCK: usize = 16;
    let panel = of.panels.panel(index);
    let mut block = [[[0.0; MAX_LANES]; TAPS]; BLOCK];
    for vector in 0..panel.vectors {
        let column = panel.first_column + vector * V::LANES;
        let lanes = V::LANES.min(panel.first_column + panel.columns - column);
        if lanes < V::LANES {
            block = [[[0.0; MAX_LANES]; TAPS]; BLOCK];
        }
        for first in (rows[0]..rows[1]).step_by(BLOCK) {
            let here = BLOCK.min(rows[1] - first);
            of.copy_taps(weights, first, column, lanes, &mut block[..here]);
            for (row, taps) in block[..here].iter().enumerate() {
                let start = panel.start + (first + row) * panel.width + vector * V::LANES;
                // SAFETY: `Filters::transform` holds every plane's panels; a row of a panel has whole vectors.
                unsafe {
                    let mut patch = [[V::splat(0.0); 3]; 3];
                    for (value, tap) in patch.as_flattened_mut().iter_mut().zip(taps) {
                        *value = V::load(tap.as_ptr());
                    }
                    let spread = transform::filter(&patch);
                    for (plane, value) in spread.as_flattened().iter().enumerate() {
                        let start = plane * of.stride + start;
                        value.store(filters.range(start..start + V::LANES).as_mut_ptr());
                    }
                }
            }
        }
    }
}
