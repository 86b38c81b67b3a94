//! Products of blocks in scratch memory that are padded to whole register tiles. Depths are counted in words.

use super::tile::{BLOCK, Layout, Registers};
use super::{Fetch, Left, Panel, write_tiles};
use crate::isa::Isa;
use crate::pool::Shared;
use crate::precision::Precision;

/// `target[row][..] = sum over k of left[row][k] * right[k][..]` for whole and half tiles of rows, before `next` is read.
///
/// # Shapes
/// `left` `[depth / BLOCK, all, BLOCK]` of which the first `rows` count, `right` `[depth, width]` of the panel, `target`
/// `[rows, width]`.
///
/// # Panics
/// When `rows` is no whole number of halves of tiles or a slice is too short.
pub(crate) fn blocked_product(
    arithmetic: (Isa, Precision),
    left: &[f32],
    [all, rows]: [usize; 2],
    depth: usize,
    (panel, right, next): (Panel, &[f32], &[f32]),
    target: &mut [f32],
) {
    let stride = all * BLOCK;
    assert!(rows <= all, "{rows} rows of {all}");
    assert!(depth > 0 && left.len() >= depth.div_ceil(BLOCK) * stride, "left side of {rows} x {depth}");
    let left = Left { values: left, layout: Layout::Blocked { stride }, rows };
    write_all(arithmetic, left, (panel, &right[..depth * panel.width], next), target, false);
}

/// `target[column][..] (=|+=) sum over k of left[k][column] * right[k][..]` for whole and half tiles of columns, before `next`
/// is read.
///
/// # Shapes
/// `left` `[depth, stride]` of which `columns` count, `right` `[depth, width]` of the panel, `target` `[columns, width]`.
///
/// # Panics
/// When `columns` is no whole number of halves of tiles or a slice is too short.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn depth_major_product(
    arithmetic: (Isa, Precision),
    left: &[f32],
    stride: usize,
    columns: usize,
    depth: usize,
    (panel, right, next): (Panel, &[f32], &[f32]),
    target: &mut [f32],
    accumulate: bool,
) {
    assert!(depth > 0 && left.len() >= (depth - 1) * stride + columns, "left side of {depth} x {columns}");
    let left = Left { values: left, layout: Layout::DepthMajor { stride }, rows: columns };
    write_all(arithmetic, left, (panel, &right[..depth * panel.width], next), target, accumulate);
}

/// The tiles of a panel, all its columns: those that are only padding too.
fn write_all(
    arithmetic: (Isa, Precision),
    left: Left<'_>,
    (panel, right, next): (Panel, &[f32], &[f32]),
    target: &mut [f32],
    accumulate: bool,
) {
    let whole = Panel { columns: panel.width, ..panel };
    assert_eq!(left.rows % Registers::of(arithmetic.0).half(), 0, "halves of tiles of rows");
    let target = Shared::new(target);
    let place = |row: usize| row * panel.width;
    write_tiles(arithmetic, left, (right, next), whole, target, accumulate, place, &mut Fetch::default());
}
