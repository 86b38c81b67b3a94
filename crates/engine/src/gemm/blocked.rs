//! Products of blocks in scratch memory that are padded to whole register tiles. Depths are counted in words.

use super::tile::{self, BLOCK, Layout, MAX_ROWS, Registers, Tile};
use crate::isa::Isa;
use crate::precision::Precision;

/// `target[row][..] = sum over k of left[row][k] * panel[k][..]` for whole and half tiles of rows.
///
/// # Shapes
/// `left` `[depth / BLOCK, all, BLOCK]` of which the first `rows` count, `panel` `[depth, width]`, `target`
/// `[rows, width]`.
///
/// # Panics
/// When `rows` is no whole number of halves of tiles, `width` neither one nor two vectors, or a slice is too short.
pub(crate) fn blocked_product(
    (isa, precision): (Isa, Precision),
    left: &[f32],
    [all, rows]: [usize; 2],
    depth: usize,
    panel: &[f32],
    width: usize,
    target: &mut [f32],
) {
    let stride = all * BLOCK;
    assert!(rows <= all, "{rows} rows of {all}");
    assert_eq!(rows % Registers::of(isa).half(), 0, "halves of tiles of rows");
    assert!(depth > 0 && left.len() >= depth.div_ceil(BLOCK) * stride, "left side of {rows} x {depth}");
    tiles(
        (isa, precision),
        (Layout::Blocked { stride }, BLOCK),
        left,
        rows,
        depth,
        panel,
        width,
        target,
        false,
    );
}

/// `target[column][..] (=|+=) sum over k of left[k][column] * panel[k][..]` for whole and half tiles of columns.
///
/// # Shapes
/// `left` `[depth, stride]` of which `columns` count, `panel` `[depth, width]`, `target` `[columns, width]`.
///
/// # Panics
/// When `columns` is no whole number of halves of tiles, `width` neither one nor two vectors, or a slice is too short.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn depth_major_product(
    (isa, precision): (Isa, Precision),
    left: &[f32],
    stride: usize,
    columns: usize,
    depth: usize,
    panel: &[f32],
    width: usize,
    target: &mut [f32],
    accumulate: bool,
) {
    assert_eq!(columns % Registers::of(isa).half(), 0, "halves of tiles of columns");
    assert!(depth > 0 && left.len() >= (depth - 1) * stride + columns, "left side of {depth} x {columns}");
    tiles(
        (isa, precision),
        (Layout::DepthMajor { stride }, 1),
        left,
        columns,
        depth,
        panel,
        width,
        target,
        accumulate,
    );
}

/// Runs the tiles of a product whose operands were checked but for `panel` and `target`.
#[expect(unsafe_code, reason = "hands pointers to the register kernels")]
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
fn tiles(
    (isa, precision): (Isa, Precision),
    (layout, row_step): (Layout, usize),
    left: &[f32],
    rows: usize,
    depth: usize,
    panel: &[f32],
    width: usize,
    target: &mut [f32],
    accumulate: bool,
) {
    let registers = Registers::of(isa);
    let vectors = width / registers.lanes;
    assert!(vectors * registers.lanes == width && (1..=2).contains(&vectors), "panel of {width} columns");
    assert!(panel.len() >= depth * width && target.len() >= rows * width, "right side and target");
    let mut tile = Tile {
        a: left.as_ptr(),
        layout,
        depth,
        b: panel.as_ptr(),
        vectors,
        c: std::ptr::null_mut(),
        c_rows: std::array::from_fn::<usize, MAX_ROWS, _>(|row| row * width),
        accumulate,
        half: false,
    };
    for (target, top) in
        target[..rows * width].chunks_mut(registers.rows * width).zip((0..rows).step_by(registers.rows))
    {
        tile.half = top + registers.rows > rows;
        tile.a = left[top * row_step..].as_ptr();
        tile.c = target.as_mut_ptr();
        // SAFETY: an Isa that reaches a kernel is available; the callers checked the left side, and the
        // assertions above the others.
        unsafe { tile::run(isa, precision, &tile) };
    }
}
