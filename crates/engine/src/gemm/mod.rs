//! Matrix products whose left-hand rows are gathered on the fly.
//!
//! Every heavy operation of the engine is one of two products, with `A` described by [`Rows`]:
//! - [`product`]: `C[row] = sum over k of A[row][k] B[k]`: convolutions forward and towards their input;
//! - [`outer_product`]: `C[k] = sum over rows of A[row][k] B[row]`: gradients of weights.
//!
//! The order of summation depends on the shapes alone, never on the number of threads.

mod panels;
mod tile;

pub(crate) use panels::Panels;
pub(crate) use tile::Registers;
use tile::{A_STRIDE, Layout, MAX_ROWS, Tile};

use std::ops::Range;

use crate::pool::{Pool, Shared};

/// The left-hand matrix of a product, one row at a time.
pub(crate) trait Rows: Sync {
    /// Number of rows.
    fn count(&self) -> usize;
    /// Elements of a row.
    fn depth(&self) -> usize;
    /// Writes elements `range` of row `row`.
    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]);
}

/// A row-major matrix as [`Rows`].
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a> {
    values: &'a [f32],
    depth: usize,
}

impl<'a> Dense<'a> {
    /// # Panics
    /// When `values` is not a whole number of rows.
    pub(crate) fn new(values: &'a [f32], depth: usize) -> Dense<'a> {
        assert_eq!(values.len() % depth, 0, "rows of {depth} in {} values", values.len());
        Dense { values, depth }
    }
}

impl Rows for Dense<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.depth
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]) {
        target.copy_from_slice(&self.values[row * self.depth..][range]);
    }
}

/// Whether a product replaces its target or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Replace,
    Add,
}

/// Depth of a block: its panel of B, 384 x 32 floats, stays in the first-level cache.
const DEPTH_BLOCK: usize = 384;
/// Tiles of rows in a block of A, which stays in the second-level cache.
const TILES_IN_BLOCK: usize = 8;
/// Rows of A and B that an outer product takes at a time.
const OUTER_BLOCK: usize = 128;

/// `target[place(row)..][..columns] (=|+=) sum over k of rows[row][k] * panels[k][..]` for every row.
///
/// # Panics
/// When the depths differ, or `panels` is too short, or a row lies outside `target`.
pub(crate) fn product(
    pool: &Pool,
    rows: &impl Rows,
    shape: Panels,
    panels: &[f32],
    target: &mut [f32],
    place: impl Fn(usize) -> usize + Sync,
    store: Store,
) {
    assert_eq!(rows.depth(), shape.depth, "depth of the left and right side");
    let registers = Registers::of(pool.isa());
    let block = registers.rows * TILES_IN_BLOCK;
    let row_blocks = rows.count().div_ceil(block);
    // Few rows: let several tasks share them, each with some of the panels.
    let column_groups = (4 * pool.threads()).div_ceil(row_blocks.max(1)).clamp(1, shape.count());
    let target = Shared::new(target);
    pool.run(row_blocks * column_groups, |task, scratch| {
        let (row_block, group) = (task / column_groups, task % column_groups);
        let first = row_block * block;
        let count = (rows.count() - first).min(block);
        let group = group * shape.count() / column_groups..(group + 1) * shape.count() / column_groups;
        let packed = scratch.at_least(block * A_STRIDE);
        for depth in blocks(shape.depth, DEPTH_BLOCK) {
            for (row, target) in packed.chunks_exact_mut(A_STRIDE).take(count).enumerate() {
                rows.copy(first + row, depth.clone(), &mut target[..depth.len()]);
            }
            let accumulate = store == Store::Add || depth.start > 0;
            for index in group.clone() {
                let panel = shape.panel(index);
                let b = &panels[panel.start + depth.start * panel.width..][..depth.len() * panel.width];
                for top in (0..count).step_by(registers.rows) {
                    let here = (count - top).min(registers.rows);
                    let a = &packed[top * A_STRIDE..];
                    write_tile(
                        pool,
                        a,
                        Layout::RowMajor,
                        depth.len(),
                        b,
                        panel,
                        target,
                        accumulate,
                        here,
                        |row| place(first + top + row) + panel.first_column,
                    );
                }
            }
        }
    });
}

/// `target[k * columns..][..columns] (=|+=) sum over rows of rows[row][k] * right[row][..]` for every k.
///
/// # Panics
/// When `right` or `target` does not fit the sizes.
pub(crate) fn outer_product(
    pool: &Pool,
    rows: &impl Rows,
    right: &[f32],
    columns: usize,
    target: &mut [f32],
    store: Store,
) {
    let registers = Registers::of(pool.isa());
    let depth = rows.depth();
    assert_eq!(right.len(), rows.count() * columns, "rows of the right side");
    assert_eq!(target.len(), depth * columns, "elements of the product");
    let parts = depth.div_ceil(registers.rows * TILES_IN_BLOCK);
    let block = depth.div_ceil(parts).next_multiple_of(registers.rows);
    let parts = depth.div_ceil(block);
    let all = Panels::new(pool, OUTER_BLOCK, columns);
    let column_groups = (2 * pool.threads()).div_ceil(parts).clamp(1, all.count());
    let target = Shared::new(target);
    pool.run(parts * column_groups, |task, scratch| {
        let (part, group) = (task / column_groups, task % column_groups);
        let group = group * all.count() / column_groups..(group + 1) * all.count() / column_groups;
        let range = part * block..((part + 1) * block).min(depth);
        let (packed, panels) =
            scratch.at_least(block * OUTER_BLOCK + all.len()).split_at_mut(block * OUTER_BLOCK);
        for taken in blocks(rows.count(), OUTER_BLOCK) {
            for (row, target) in taken.clone().zip(packed.chunks_exact_mut(block)) {
                rows.copy(row, range.clone(), &mut target[..range.len()]);
            }
            let accumulate = store == Store::Add || taken.start > 0;
            for index in group.clone() {
                let panel = all.panel(index);
                let b = &mut panels[panel.start..][..taken.len() * panel.width];
                for (row, target) in taken.clone().zip(b.chunks_exact_mut(panel.width)) {
                    let source = &right[row * columns + panel.first_column..][..panel.columns];
                    target[..panel.columns].copy_from_slice(source);
                    target[panel.columns..].fill(0.0);
                }
                for top in (0..range.len()).step_by(registers.rows) {
                    let here = (range.len() - top).min(registers.rows);
                    let layout = Layout::DepthMajor { stride: block };
                    let a = &packed[top..];
                    write_tile(pool, a, layout, taken.len(), b, panel, target, accumulate, here, |row| {
                        (range.start + top + row) * columns + panel.first_column
                    });
                }
            }
        }
    });
}

/// Computes one tile, by way of a full-sized one on the stack where `rows` or the panel's columns are fewer.
#[expect(unsafe_code, reason = "hands pointers to the register kernels")]
#[expect(clippy::too_many_arguments, reason = "one call in each of the two products")]
fn write_tile(
    pool: &Pool,
    a: &[f32],
    layout: Layout,
    depth: usize,
    b: &[f32],
    panel: panels::Panel,
    target: Shared<'_, f32>,
    accumulate: bool,
    rows: usize,
    place: impl Fn(usize) -> usize,
) {
    let registers = Registers::of(pool.isa());
    let reach = match layout {
        Layout::RowMajor => (registers.rows - 1) * A_STRIDE + depth,
        Layout::DepthMajor { stride } => (depth - 1) * stride + registers.rows,
    };
    assert!(a.len() >= reach && b.len() >= depth * panel.width, "tile reads past its operands");
    let mut tile = Tile {
        a: a.as_ptr(),
        layout,
        depth,
        b: b.as_ptr(),
        vectors: panel.vectors,
        c: std::ptr::null_mut(),
        c_rows: [0; MAX_ROWS],
        accumulate,
    };
    if rows == registers.rows && panel.columns == panel.width {
        let mut last = 0;
        for (row, offset) in tile.c_rows.iter_mut().take(rows).enumerate() {
            *offset = place(row);
            last = last.max(*offset);
        }
        // SAFETY: the tile's elements belong to this task alone; the range only checks the farthest row.
        tile.c = unsafe { target.range(0..0) }.as_mut_ptr();
        assert!(last + panel.width <= target.len(), "tile writes past its target");
        // SAFETY: the pool's instruction set is available; operands and rows were checked above.
        unsafe { tile::run(pool.isa(), &tile) };
        return;
    }
    let mut whole = [0.0f32; MAX_ROWS * 32];
    tile.c = whole.as_mut_ptr();
    tile.accumulate = false;
    for (row, offset) in tile.c_rows.iter_mut().enumerate() {
        *offset = row * panel.width;
    }
    // SAFETY: `whole` holds the largest tile of any instruction set.
    unsafe { tile::run(pool.isa(), &tile) };
    for (row, sums) in whole.chunks_exact(panel.width).take(rows).enumerate() {
        let start = place(row);
        // SAFETY: these elements belong to this task alone.
        let target = unsafe { target.range(start..start + panel.columns) };
        for (target, sum) in target.iter_mut().zip(sums) {
            *target = if accumulate { *target + sum } else { *sum };
        }
    }
}

fn blocks(len: usize, block: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(block).map(move |start| start..(start + block).min(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::testing::{Numbers, assert_close};

    /// Every instruction set of this processor against plain loops, on shapes around each block boundary.
    #[test]
    fn products_match_plain_loops_on_ragged_shapes() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            for (rows, depth, columns) in [
                (1, 1, 1),
                (3, 5, 2),
                (14, 384, 32),
                (15, 385, 33),
                (113, 9, 17),
                (127, 800, 49),
                (300, 31, 64),
            ] {
                let mut numbers = Numbers::new(rows as u64);
                let a = numbers.vector(rows * depth);
                let b = numbers.vector(depth * columns);
                let start = numbers.vector(rows * columns);
                let mut expected = start.clone();
                for row in 0..rows {
                    for column in 0..columns {
                        let sum: f64 = (0..depth)
                            .map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]))
                            .sum();
                        expected[row * columns + column] += sum as f32;
                    }
                }
                let shape = Panels::new(&pool, depth, columns);
                let mut panels = vec![f32::NAN; shape.len()];
                shape.pack(&pool, &b, &mut panels);
                let mut c = start.clone();
                product(
                    &pool,
                    &Dense::new(&a, depth),
                    shape,
                    &panels,
                    &mut c,
                    |row| row * columns,
                    Store::Add,
                );
                assert_close(&c, &expected, depth);

                let mut transposed = vec![0.0; columns * depth];
                for k in 0..depth {
                    for column in 0..columns {
                        transposed[column * depth + k] = b[k * columns + column];
                    }
                }
                let mut again = vec![f32::NAN; shape.len()];
                shape.pack_transposed(&pool, &transposed, &[0], &mut again);
                assert_eq!(panels, again, "{isa}");

                // The outer product of the same matrices: sum over rows of a[row][k] * start[row][column].
                let mut expected = vec![0.0; depth * columns];
                for k in 0..depth {
                    for column in 0..columns {
                        let sum: f64 = (0..rows)
                            .map(|row| {
                                f64::from(a[row * depth + k]) * f64::from(start[row * columns + column])
                            })
                            .sum();
                        expected[k * columns + column] = sum as f32;
                    }
                }
                let mut c = vec![f32::NAN; depth * columns];
                outer_product(&pool, &Dense::new(&a, depth), &start, columns, &mut c, Store::Replace);
                assert_close(&c, &expected, rows);
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let mut numbers = Numbers::new(7);
        let (rows, depth, columns) = (200, 700, 96);
        let (a, b) = (numbers.vector(rows * depth), numbers.vector(depth * columns));
        let results: Vec<Vec<f32>> = [1, 2, 3]
            .into_iter()
            .map(|threads| {
                let pool = Pool::new(threads).unwrap();
                let shape = Panels::new(&pool, depth, columns);
                let mut panels = vec![0.0; shape.len()];
                shape.pack(&pool, &b, &mut panels);
                let mut c = vec![0.0; rows * columns];
                product(
                    &pool,
                    &Dense::new(&a, depth),
                    shape,
                    &panels,
                    &mut c,
                    |row| row * columns,
                    Store::Replace,
                );
                c
            })
            .collect();
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }
}
