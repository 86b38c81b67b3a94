//! The right-hand side of a product, rearranged into panels as wide as a register tile.

use super::tile::Registers;
use crate::isa::Isa;
use crate::pool::{Pool, Shared};

/// How a `depth x columns` matrix is cut into panels: each is `[depth][width]`, two vectors wide, the last one
/// vector wide when its columns fit in that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    pub(super) lanes: usize,
}

/// One panel: where it starts, how wide it is, and which columns it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub(crate) start: usize,
    pub(crate) vectors: usize,
    pub(crate) width: usize,
    pub(crate) first_column: usize,
    /// Columns that are really there; the others are zeros.
    pub(crate) columns: usize,
}

impl Panels {
    pub(crate) fn new(isa: Isa, depth: usize, columns: usize) -> Panels {
        Panels { depth, columns, lanes: Registers::of(isa).lanes }
    }

    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(2 * self.lanes)
    }

    /// Floats of all panels.
    pub(crate) fn len(&self) -> usize {
        self.depth * self.columns.next_multiple_of(self.lanes)
    }

    pub(crate) fn panel(&self, index: usize) -> Panel {
        let first_column = index * 2 * self.lanes;
        let columns = (self.columns - first_column).min(2 * self.lanes);
        let vectors = columns.div_ceil(self.lanes);
        Panel {
            start: self.depth * first_column,
            vectors,
            width: vectors * self.lanes,
            first_column,
            columns,
        }
    }

    /// The panel that holds `column`.
    pub(crate) fn panel_of(&self, column: usize) -> Panel {
        self.panel(column / (2 * self.lanes))
    }

    /// Rearranges the row-major `matrix`, `[depth][columns]`, into `panels`.
    ///
    /// # Panics
    /// When a length does not fit the sizes.
    pub(crate) fn pack(&self, pool: &Pool, matrix: &[f32], panels: &mut [f32]) {
        assert_eq!(matrix.len(), self.depth * self.columns, "matrix of {} x {}", self.depth, self.columns);
        self.each_panel(pool, panels, |panel, rows| copy_columns(matrix, self.columns, panel, rows));
    }

    /// Rearranges the columns of panel `index` alone.
    ///
    /// # Panics
    /// As [`Panels::pack`].
    pub(crate) fn fill_panel(&self, index: usize, matrix: &[f32], panels: &mut [f32]) {
        assert_eq!(matrix.len(), self.depth * self.columns, "matrix of {} x {}", self.depth, self.columns);
        let panel = self.panel(index);
        copy_columns(matrix, self.columns, panel, &mut panels[panel.start..][..self.depth * panel.width]);
    }

    /// Rearranges the transpose of each of several row-major matrices, `[columns][depth of the part]`, given by
    /// their first element in `source`; the parts follow one another in depth.
    ///
    /// # Panics
    /// When a length does not fit the sizes.
    pub(crate) fn pack_transposed(&self, pool: &Pool, source: &[f32], parts: &[usize], panels: &mut [f32]) {
        assert_eq!(self.depth % parts.len(), 0, "{} parts of depth {}", parts.len(), self.depth);
        let depth = self.depth / parts.len();
        self.each_panel(pool, panels, |panel, rows| {
            rows.fill(0.0);
            for (&part, rows) in parts.iter().zip(rows.chunks_exact_mut(depth * panel.width)) {
                for column in 0..panel.columns {
                    let values = &source[part + (panel.first_column + column) * depth..][..depth];
                    for (value, row) in values.iter().zip(rows.chunks_exact_mut(panel.width)) {
                        row[column] = *value;
                    }
                }
            }
        });
    }

    fn each_panel(&self, pool: &Pool, panels: &mut [f32], fill: impl Fn(Panel, &mut [f32]) + Sync) {
        assert!(panels.len() >= self.len(), "{} floats for panels of {}", panels.len(), self.len());
        let panels = Shared::new(panels);
        pool.run(self.count(), |index, _| {
            let panel = self.panel(index);
            #[expect(unsafe_code, reason = "panels are disjoint but of two widths")]
            // SAFETY: each task takes the range of its own panel.
            let rows = unsafe { panels.range(panel.start..panel.start + self.depth * panel.width) };
            fill(panel, rows);
        });
    }
}

fn copy_columns(matrix: &[f32], columns: usize, panel: Panel, rows: &mut [f32]) {
    for (source, target) in matrix.chunks_exact(columns).zip(rows.chunks_exact_mut(panel.width)) {
        let source = &source[panel.first_column..][..panel.columns];
        target[..panel.columns].copy_from_slice(source);
        target[panel.columns..].fill(0.0);
    }
}
