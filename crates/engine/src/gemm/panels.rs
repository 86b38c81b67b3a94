//! The right-hand side of a product, rearranged into panels as wide as a register tile.

use std::ops::Range;

use super::format::{APART, pack_columns, pack_two};
use super::tile::{MAX_WIDTH, Registers};
use super::words::PANEL;
use crate::amx;
use crate::isa::Isa;
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// How a `depth x columns` matrix is cut into panels: each is `[depth][width]`, as wide as the widest tile of registers but
/// for the last ones: two vectors wide or, when its columns fit in that and no block of AMX takes both, one. In bf16 a row of
/// a panel holds words, each of the elements of two rows of the matrix that are [`APART`] in a run of [`PANEL`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    isa: Isa,
    precision: Precision,
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
    pub(crate) fn new(isa: Isa, precision: Precision, depth: usize, columns: usize) -> Panels {
        Panels { depth, columns, isa, precision }
    }

    /// Panels of words that are packed by others, `depth` of them one below another.
    pub(crate) fn of_words(isa: Isa, depth: usize, columns: usize) -> Panels {
        Panels::new(isa, Precision::F32, depth, columns)
    }

    pub(crate) fn arithmetic(&self) -> (Isa, Precision) {
        (self.isa, self.precision)
    }

    fn lanes(&self) -> usize {
        Registers::of(self.isa).lanes
    }

    fn by_amx(&self) -> bool {
        amx::multiplies(self.isa, self.precision)
    }

    /// Vectors across the widest panels.
    fn widest(&self) -> usize {
        if self.by_amx() { amx::BLOCK / self.lanes() } else { Registers::of(self.isa).vectors }
    }

    /// Columns of which a panel's width is a multiple.
    fn granule(&self) -> usize {
        if self.by_amx() { amx::BLOCK } else { self.lanes() }
    }

    /// Vectors of the columns of all panels.
    fn vectors(&self) -> usize {
        self.columns.next_multiple_of(self.granule()) / self.lanes()
    }

    /// Words in a column.
    pub(crate) fn words(&self) -> usize {
        self.precision.words(self.depth)
    }

    pub(crate) fn count(&self) -> usize {
        let (vectors, widest) = (self.vectors(), self.widest());
        vectors / widest + (vectors % widest).div_ceil(2)
    }

    /// Floats of all panels.
    pub(crate) fn len(&self) -> usize {
        self.words() * self.columns.next_multiple_of(self.granule())
    }

    pub(crate) fn panel(&self, index: usize) -> Panel {
        let (lanes, all, widest) = (self.lanes(), self.vectors(), self.widest());
        let (first, vectors) = match index.checked_sub(all / widest) {
            None => (index * widest, widest),
            Some(narrow) => {
                let first = all / widest * widest + 2 * narrow;
                (first, (all - first).min(2))
            }
        };
        let (first_column, width) = (first * lanes, vectors * lanes);
        let columns = (self.columns - first_column).min(width);
        Panel { start: self.words() * first_column, vectors, width, first_column, columns }
    }

    /// The panel that holds `column`.
    pub(crate) fn panel_of(&self, column: usize) -> Panel {
        let (vector, widest) = (column / self.lanes(), self.widest());
        let whole = self.vectors() / widest;
        self.panel(if vector < whole * widest {
            vector / widest
        } else {
            whole + (vector - whole * widest) / 2
        })
    }

    /// Rearranges the row-major `matrix`, `[depth][columns]`, into `panels`.
    ///
    /// # Panics
    /// When a length does not fit the sizes.
    pub(crate) fn pack(&self, pool: &Pool, matrix: &[f32], panels: &mut [f32]) {
        assert_eq!(matrix.len(), self.depth * self.columns, "matrix of {} x {}", self.depth, self.columns);
        self.each_panel(pool, panels, |panel, words| {
            self.fill_from(panel, matrix, words);
        });
    }

    /// Whether the row-major matrix is its only panel as it lies.
    pub(crate) fn is_in_place(&self) -> bool {
        self.precision == Precision::F32 && self.count() == 1 && self.panel(0).width == self.columns
    }

    /// Rearranges the columns of panel `index` alone.
    ///
    /// # Panics
    /// As [`Panels::pack`].
    pub(crate) fn fill_panel(&self, index: usize, matrix: &[f32], panels: &mut [f32]) {
        assert_eq!(matrix.len(), self.depth * self.columns, "matrix of {} x {}", self.depth, self.columns);
        let panel = self.panel(index);
        self.fill_from(panel, matrix, &mut panels[panel.start..][..self.words() * panel.width]);
    }

    /// Rearranges the transpose of each of several row-major matrices, `[columns][depth of the part]`, given by
    /// their first element in `source`; the parts follow one another in depth.
    ///
    /// # Panics
    /// When a length does not fit the sizes.
    pub(crate) fn pack_transposed(&self, pool: &Pool, source: &[f32], parts: &[usize], panels: &mut [f32]) {
        assert_eq!(self.depth % parts.len(), 0, "{} parts of depth {}", parts.len(), self.depth);
        let depth = self.depth / parts.len();
        self.each_panel(pool, panels, |panel, words| {
            self.fill(panel, words, |rows, target| {
                target.fill(0.0);
                for column in 0..panel.columns {
                    let start = (panel.first_column + column) * depth;
                    // The rows come from one part or, where it ends among them, from several.
                    let mut row = rows.start;
                    while row < rows.end {
                        let (part, first) = (row / depth, row % depth);
                        let count = (depth - first).min(rows.end - row);
                        let values = &source[parts[part] + start + first..][..count];
                        let target = target[(row - rows.start) * panel.width..].chunks_exact_mut(panel.width);
                        for (value, target) in values.iter().zip(target) {
                            target[column] = *value;
                        }
                        row += count;
                    }
                }
            });
        });
    }

    /// Makes the words of `panel` from its columns of the row-major `matrix`.
    fn fill_from(&self, panel: Panel, matrix: &[f32], words: &mut [f32]) {
        pack_columns((self.isa, self.precision), matrix, [self.depth, self.columns], &panel, words);
    }

    /// Makes the words of `panel` from its rows, which `rows_of` writes, any range of them at a time.
    fn fill(&self, panel: Panel, words: &mut [f32], rows_of: impl Fn(Range<usize>, &mut [f32])) {
        if self.precision == Precision::F32 {
            rows_of(0..self.depth, words);
            return;
        }
        let mut run = [0.0; PANEL * MAX_WIDTH];
        let run = &mut run[..PANEL * panel.width];
        for (index, words) in words.chunks_exact_mut(APART * panel.width).enumerate() {
            let rows = index * PANEL..((index + 1) * PANEL).min(self.depth);
            let (there, beyond) = run.split_at_mut(rows.len() * panel.width);
            rows_of(rows, there);
            beyond.fill(0.0);
            let (first, second) = run.split_at(APART * panel.width);
            pack_two(self.isa, self.precision, first, second, words);
        }
    }

    fn each_panel(&self, pool: &Pool, panels: &mut [f32], fill: impl Fn(Panel, &mut [f32]) + Sync) {
        assert!(panels.len() >= self.len(), "{} floats for panels of {}", panels.len(), self.len());
        let panels = Shared::new(panels);
        pool.run(self.count(), |index, _| {
            let panel = self.panel(index);
            #[expect(unsafe_code, reason = "panels are disjoint but of two widths")]
            // SAFETY: each task takes the range of its own panel.
            let rows = unsafe { panels.range(panel.start..panel.start + self.words() * panel.width) };
            fill(panel, rows);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_follow_one_another_and_hold_every_column_once() {
        for (isa, precision) in Isa::ALL
            .into_iter()
            .flat_map(|isa| [Precision::F32, Precision::Bf16].map(|precision| (isa, precision)))
        {
            for columns in 1..300 {
                let panels = Panels::new(isa, precision, 3, columns);
                let (mut start, mut column) = (0, 0);
                for index in 0..panels.count() {
                    let panel = panels.panel(index);
                    assert_eq!(
                        (panel.start, panel.first_column),
                        (start, column),
                        "{isa} {precision} {columns}"
                    );
                    assert!(panel.columns > 0 && panel.columns <= panel.width, "{isa} {precision} {columns}");
                    for inside in column..column + panel.columns {
                        assert_eq!(panels.panel_of(inside).start, start, "{isa} {precision} {columns}");
                    }
                    (start, column) = (start + panels.words() * panel.width, column + panel.columns);
                }
                assert_eq!((start, column), (panels.len(), columns), "{isa} {precision} {columns}");
            }
        }
    }
}
