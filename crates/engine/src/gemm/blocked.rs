//! Products of blocks in scratch memory that are padded to whole register tiles. Depths are counted in words.

use super::tile::{self, BLOCK, Layout, MAX_ROWS, Piece, Registers, Tile};
use crate::isa::Isa;
use crate::precision::Precision;

/// `target[row][..] = sum over k of left[row][k] * panel[k][..]` for whole and half tiles of rows, before `next` is read.
///
/// # Shapes
/// `left` `[depth / BLOCK, all, BLOCK]` of which the first `rows` count, `panel` `[depth, width]`, `target`
/// `[rows, width]`.
///
/// # Panics
/// When `rows` is no whole number of halves of tiles, `width` not that of a tile, or a slice is too short.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn blocked_product(
    arithmetic: (Isa, Precision),
    left: &[f32],
    [all, rows]: [usize; 2],
    depth: usize,
    panel: &[f32],
    next: &[f32],
    width: usize,
    target: &mut [f32],
) {
    let stride = all * BLOCK;
    assert!(rows <= all, "{rows} rows of {all}");
    assert!(depth > 0 && left.len() >= depth.div_ceil(BLOCK) * stride, "left side of {rows} x {depth}");
    let left = (left, Layout::Blocked { stride });
    tiles(arithmetic, left, rows, (&panel[..depth * width], next), width, target, false);
}

/// `target[column][..] (=|+=) sum over k of left[k][column] * panel[k][..]` for whole and half tiles of columns, before `next`
/// is read.
///
/// # Shapes
/// `left` `[depth, stride]` of which `columns` count, `panel` `[depth, width]`, `target` `[columns, width]`.
///
/// # Panics
/// When `columns` is no whole number of halves of tiles, `width` not that of a tile, or a slice is too short.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn depth_major_product(
    arithmetic: (Isa, Precision),
    left: &[f32],
    stride: usize,
    columns: usize,
    depth: usize,
    panel: &[f32],
    next: &[f32],
    width: usize,
    target: &mut [f32],
    accumulate: bool,
) {
    assert!(depth > 0 && left.len() >= (depth - 1) * stride + columns, "left side of {depth} x {columns}");
    let left = (left, Layout::DepthMajor { stride });
    tiles(arithmetic, left, columns, (&panel[..depth * width], next), width, target, accumulate);
}

/// Runs the tiles of a product whose left side was checked.
#[expect(unsafe_code, reason = "hands pointers to the register kernels")]
fn tiles(
    (isa, precision): (Isa, Precision),
    (left, layout): (&[f32], Layout),
    rows: usize,
    (panel, next): (&[f32], &[f32]),
    width: usize,
    target: &mut [f32],
    accumulate: bool,
) {
    let registers = Registers::of(isa);
    let vectors = width / registers.lanes;
    assert!(
        vectors * registers.lanes == width && [1, 2, registers.vectors].contains(&vectors),
        "{width} columns"
    );
    assert_eq!(rows % registers.half(), 0, "halves of tiles of rows");
    assert!(target.len() >= rows * width, "target of {rows} x {width}");
    let each = registers.rows_of(vectors);
    for piece in Piece::all(panel, width, next) {
        let depth = piece.b.len() / width;
        let target = target[..rows * width].chunks_mut(each * width);
        for (index, (target, top)) in target.zip((0..rows).step_by(each)).enumerate() {
            let tile = Tile {
                a: left[layout.offset(top, piece.start)..].as_ptr(),
                layout,
                depth,
                b: piece.b.as_ptr(),
                ahead: piece.ahead(index, rows.div_ceil(each), depth),
                vectors,
                c: target.as_mut_ptr(),
                c_rows: std::array::from_fn::<usize, MAX_ROWS, _>(|row| row * width),
                accumulate: accumulate || piece.start > 0,
                half: top + each > rows,
            };
            // SAFETY: an Isa that reaches a kernel is available; the callers checked the left side, and the assertions
            // above the others.
            unsafe { tile::run(isa, precision, &tile) };
        }
    }
}
