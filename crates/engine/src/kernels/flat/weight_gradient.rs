//! The gradient of the weights: for each tap a product over positions of the transposed source, shifted by the tap, with
//! the gradient of the target, which is zero at useless positions.

use std::ops::Range;

use net::Shape;

use super::filters::{Direction, Filters};
use super::map::{Grid, Map, Slab, Slabs};
use super::{Placement, Places, forward_grid};
use crate::amx::{self, BLOCK, Block, Run, TILE};
use crate::buffer::Buffer;
use crate::gemm::Store;
use crate::gemm::squares::{self, Number};
use crate::gemm::words::{as_halves, as_words, halves_of};
use crate::kernels::geometry::Geometry;
use crate::kernels::pointwise;
use crate::kernels::stored::Stored;
use crate::pool::{Pool, Shared};

/// Inputs whose weights are one task's, or half of them where there are few tasks.
const GROUP: usize = 2 * BLOCK;
/// Tasks wanted.
const TASKS: usize = 8;
/// Grid positions in a part, at least: its sums are written, read and added in the end.
const POSITIONS: usize = 768;
/// Weights whose sums a task adds up in the end.
const SUMS_IN_TASK: usize = 16 * 1024;
/// Blocks of positions in a piece: both sides of its products are in the first-level cache.
const STEPS: usize = 8;
/// Bytes of both sides that a task packs at a time: they stay in the second-level cache.
const SLAB_BYTES: usize = 1280 * 1024;

/// How the work is cut, by the sizes alone.
struct Cut {
    /// Inputs of a task.
    group: usize,
    groups: usize,
    parts: usize,
    /// Inputs and outputs, in whole blocks.
    rows: usize,
    columns: usize,
    taps: usize,
}

impl Cut {
    fn new(geometry: &Geometry) -> Cut {
        let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
        let most = (geometry.images * geometry.target.positions() / POSITIONS).clamp(1, geometry.images);
        let group = if inputs.div_ceil(GROUP) * most < TASKS { GROUP / 2 } else { GROUP };
        let groups = inputs.div_ceil(group);
        Cut {
            group,
            groups,
            parts: TASKS.div_ceil(groups).min(most),
            rows: inputs.next_multiple_of(BLOCK),
            columns: outputs.next_multiple_of(BLOCK),
            taps: geometry.kernel[0] * geometry.kernel[1],
        }
    }

    /// Sums of a part, `[taps][rows][columns]`.
    fn sums(&self) -> usize {
        self.taps * self.rows * self.columns
    }
}

/// Floats of workspace that [`weight_gradient`] needs.
pub(crate) fn weight_gradient_workspace_len(geometry: &Geometry) -> usize {
    let cut = Cut::new(geometry);
    zeros_len(geometry) + cut.parts * cut.sums()
}

/// Floats of zeros in place of a row: whole cache lines, so that the sums behind them begin one.
fn zeros_len(geometry: &Geometry) -> usize {
    geometry.source.channels.max(geometry.target.channels).next_multiple_of(TILE)
}

/// `d_weights (=|+=) transposed source * d_target`: the gradient with respect to the weights, `[taps, in, out]`;
/// `workspace` is [`weight_gradient_workspace_len`] floats.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn weight_gradient(
    pool: &Pool,
    geometry: &Geometry,
    source: Stored<'_>,
    d_target: Stored<'_>,
    workspace: &mut [f32],
    (d_weights, store): (&mut [f32], Store),
) {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    assert_eq!(source.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(d_target.len(), geometry.target_len(), "output gradient of {geometry:?}");
    let taps = geometry.taps();
    assert_eq!(d_weights.len(), taps.len() * inputs * outputs, "weights of {geometry:?}");
    let grid = forward_grid(geometry, &taps);
    let (map, cut) = (Map::new(&grid), Cut::new(geometry));
    let panels = Filters::of(geometry, Direction::Forward).panels();
    let (zeros, workspace) = workspace.split_at_mut(zeros_len(geometry));
    zeros.fill(0.0);
    let sides = Sides { grid, map, target: geometry.target, panels, source, d_target, zeros };
    let sums = &mut workspace[..cut.parts * cut.sums()];
    let shared = Shared::new(&mut *sums);
    pool.run(cut.parts * cut.groups, |task, scratch| {
        let (part, group) = (task / cut.groups, task % cut.groups);
        let channels = group * cut.group..((group + 1) * cut.group).min(inputs);
        let first = part * cut.sums() + channels.start * cut.columns;
        let mut store = Store::Replace;
        for slab in sides.slabs(&cut, part, &channels).iter() {
            sides.multiply(&slab, &channels, scratch, &cut, shared.after(first), store);
            store = Store::Add;
        }
    });
    let sums = &*sums;
    let rows = SUMS_IN_TASK.div_ceil(outputs);
    pool.run_chunks(d_weights, rows * outputs, |index, target| {
        for (row, target) in (index * rows..).zip(target.chunks_exact_mut(outputs)) {
            let (tap, input) = (row / inputs, row % inputs);
            for part in 0..cut.parts {
                let place = ((part * cut.taps + tap) * cut.rows + input) * cut.columns;
                let sums = &sums[place..place + outputs];
                if part == 0 && store == Store::Replace {
                    target.copy_from_slice(sums);
                } else {
                    pointwise::accumulate_elements(pool.isa(), sums, target);
                }
            }
        }
    });
}

/// Both sides of all products, as they lie in memory.
struct Sides<'a> {
    grid: Grid<'a>,
    map: Map,
    target: Shape,
    /// Panels of outputs.
    panels: usize,
    source: Stored<'a>,
    d_target: Stored<'a>,
    /// A row of either where there is none, in either format.
    zeros: &'a [f32],
}

impl Sides<'_> {
    /// The images of a part, in slabs.
    fn slabs(&self, cut: &Cut, part: usize, channels: &Range<usize>) -> Slabs {
        let bound = |part: usize| part * self.grid.images / cut.parts;
        // Of both sides, for each position of a plane.
        let both = channels.len() + self.target.channels.div_ceil(self.map.planes());
        self.grid.slabs(bound(part)..bound(part + 1), &self.map, both, SLAB_BYTES, 1)
    }

    /// `sums (=|+=) ` the products over the positions of a slab for some inputs, whose sums of the first tap begin `sums`.
    fn multiply(
        &self,
        slab: &Slab,
        channels: &Range<usize>,
        scratch: &mut Buffer,
        cut: &Cut,
        sums: Shared<'_, f32>,
        store: Store,
    ) {
        let rows = channels.len().next_multiple_of(BLOCK);
        let left = Left::new(&self.map, rows, self.map.positions(slab).div_ceil(BLOCK));
        let panel_words = left.steps * TILE * BLOCK;
        let (halves, right) =
            scratch.at_least(left.len() + self.panels * panel_words).split_at_mut(left.len());
        let (halves, right) = (as_halves(halves), &mut as_words(right)[..self.panels * panel_words]);
        self.pack(slab, channels, &left, halves, right);
        for (piece, first) in (0..left.steps).step_by(STEPS).enumerate() {
            let run = [Run { offset: 0, steps: STEPS.min(left.steps - first) }];
            let (steps, right) = (run[0].steps, &right[first * TILE * BLOCK..]);
            for row in (0..rows).step_by(BLOCK) {
                for panel in 0..self.panels {
                    let right = &right[panel * panel_words..][..steps * TILE * BLOCK];
                    // Taps innermost: they share both sides but for a few positions.
                    for (tap, reach) in self.grid.taps.iter().enumerate() {
                        let (plane, offset) = self.map.meets(reach);
                        let start = left.place(piece, plane, row) + offset;
                        let end = start + (BLOCK - 1) * left.pitch + steps * BLOCK;
                        assert!(end <= halves.len(), "a block reads past the source");
                        let place = (tap * cut.rows + row) * cut.columns + panel * BLOCK;
                        #[expect(unsafe_code, reason = "hands pointers to the registers")]
                        // SAFETY: the assertion holds the left side, the slices the others; the sums of these channels
                        // belong to this task alone.
                        unsafe {
                            amx::multiply(&Block {
                                left: halves.as_ptr().add(start).cast(),
                                left_stride: left.pitch * size_of::<u16>(),
                                runs: &run,
                                right: right.as_ptr(),
                                target: sums.pointer(place..place + (BLOCK - 1) * cut.columns + BLOCK),
                                target_stride: cut.columns * size_of::<f32>(),
                                accumulate: store == Store::Add || piece > 0,
                            });
                        }
                    }
                }
            }
        }
    }

    /// The source pixel of each position of a plane, `None` for zeros, as far as there are rows to read.
    fn source_pixels<'s>(&'s self, slab: &'s Slab, plane: usize) -> impl Iterator<Item = Option<usize>> + 's {
        let width = self.grid.source.width;
        let (first, start, count) = self.map.source_columns(width, plane);
        let (across, step) = (self.map.across, self.map.step);
        self.map.source_rows(&self.grid, slab, plane).flat_map(move |row| {
            (0..across).map(move |position| match (row, position.checked_sub(start)) {
                (Some(row), Some(column)) if column < count => Some(row * width + first + column * step),
                _ => None,
            })
        })
    }

    /// Packs some channels of the source of a slab, and the gradient of its target.
    fn pack(&self, slab: &Slab, channels: &Range<usize>, left: &Left, halves: &mut [u16], right: &mut [u32]) {
        let placement = Placement { shape: self.target, stride: 1, top: 0, left: 0 };
        let places = Places::new(&self.map, &self.grid, slab, placement);
        #[expect(unsafe_code, reason = "calls functions of an instruction set")]
        // SAFETY: a processor with AMX has AVX-512 with BF16; rows are those of the tensors, and zeros are as long as any.
        unsafe {
            for plane in 0..self.map.planes() {
                let pixels = self.source_pixels(slab, plane);
                let depth = self.grid.source.channels;
                match self.source {
                    Stored::F32(values) => {
                        let rows = PixelRows::new(values, depth, self.zeros);
                        pack_channels(left, plane, pixels, &rows, channels, halves);
                    }
                    Stored::Bf16(values) => {
                        let rows = PixelRows::new(values, depth, halves_of(self.zeros));
                        pack_channels(left, plane, pixels, &rows, channels, halves);
                    }
                }
            }
            match self.d_target {
                Stored::F32(values) => {
                    let rows = PixelRows::new(values, self.target.channels, self.zeros);
                    pack_panels(places, &rows, right, left.steps);
                }
                Stored::Bf16(values) => {
                    let rows = PixelRows::new(values, self.target.channels, halves_of(self.zeros));
                    pack_panels(places, &rows, right, left.steps);
                }
            }
        }
    }
}

/// The rows of a tensor, and one of zeros.
struct PixelRows<'a, T> {
    values: &'a [T],
    channels: usize,
    zeros: &'a [T],
}

impl<'a, T> PixelRows<'a, T> {
    /// # Panics
    /// When there are fewer zeros than channels.
    fn new(values: &'a [T], channels: usize, zeros: &'a [T]) -> PixelRows<'a, T> {
        PixelRows { values, channels, zeros: &zeros[..channels] }
    }

    /// Where a row begins, or the zeros.
    ///
    /// # Panics
    /// When the row lies outside.
    #[inline]
    fn at(&self, row: Option<usize>) -> *const T {
        match row {
            Some(row) => self.values[row * self.channels..][..self.channels].as_ptr(),
            None => self.zeros.as_ptr(),
        }
    }
}

/// The transposed source of a slab, cut into pieces of [`STEPS`] blocks of positions, each with what taps reach past it:
/// `[pieces][planes][rows][pitch]`, so that a piece of some rows is in the first-level cache for all taps.
struct Left {
    planes: usize,
    rows: usize,
    /// Blocks of positions that are multiplied, and those past them that taps reach.
    steps: usize,
    beyond: usize,
    /// Elements from a row to the next.
    pitch: usize,
}

impl Left {
    fn new(map: &Map, rows: usize, steps: usize) -> Left {
        let beyond = (map.plane(BLOCK) - BLOCK).div_ceil(BLOCK);
        // An odd number of cache lines, so that the rows of a register do not compete for one cache set.
        Left { planes: map.planes(), rows, steps, beyond, pitch: ((STEPS + beyond) | 1) * BLOCK }
    }

    /// Blocks of positions of a plane.
    fn blocks(&self) -> usize {
        self.steps + self.beyond
    }

    /// Floats of memory.
    fn len(&self) -> usize {
        self.steps.div_ceil(STEPS) * self.planes * self.rows * self.pitch / 2
    }

    /// Where a row of a piece begins.
    fn place(&self, piece: usize, plane: usize, row: usize) -> usize {
        ((piece * self.planes + plane) * self.rows + row) * self.pitch
    }

    /// The pieces that hold a block of positions, and where in each.
    fn pieces_of(&self, block: usize) -> impl Iterator<Item = (usize, usize)> {
        let (last, within) = (block / STEPS, block % STEPS);
        let back = (0..=last).map(move |back| (last - back, within + back * STEPS));
        let (beyond, pieces) = (self.beyond, self.steps.div_ceil(STEPS));
        back.take_while(move |&(_, at)| at < STEPS + beyond).filter(move |&(piece, _)| piece < pieces)
    }
}

/// Writes some channels of the pixels of a plane.
///
/// # Safety
/// The processor has AVX-512 with BF16, and the rows have these channels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[expect(unsafe_code, reason = "reads rows by their addresses")]
unsafe fn pack_channels<T: Number>(
    left: &Left,
    plane: usize,
    pixels: impl Iterator<Item = Option<usize>>,
    rows: &PixelRows<'_, T>,
    channels: &Range<usize>,
    target: &mut [u16],
) {
    let mut pixels = pixels.fuse();
    for block in 0..left.blocks() {
        let mut addresses = [rows.at(None); BLOCK];
        for (address, pixel) in addresses.iter_mut().zip(&mut pixels) {
            *address = rows.at(pixel);
        }
        // Rows past the last channel are multiplied as they are, and their sums left alone.
        for row in (0..channels.len()).step_by(TILE) {
            let first = channels.start + row;
            // SAFETY: the caller's promise.
            let square = unsafe { squares::channels_at(&addresses, first, (channels.end - first).min(TILE)) };
            for (piece, at) in left.pieces_of(block) {
                let start = left.place(piece, plane, row) + at * BLOCK;
                let target = &mut target[start..start + (TILE - 1) * left.pitch + BLOCK];
                // SAFETY: the slice holds a block of positions in each of sixteen rows.
                unsafe {
                    squares::store(&square, target.as_mut_ptr().cast(), left.pitch * size_of::<u16>());
                }
            }
        }
    }
}

/// Writes the rows at `places` as panels of words of two neighbouring ones, `[panel][steps * TILE][BLOCK]`, the last rows of
/// zeros.
///
/// # Safety
/// The processor has AVX-512 with BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[expect(unsafe_code, reason = "reads rows by their addresses")]
unsafe fn pack_panels<T: Number>(
    places: impl Iterator<Item = Option<usize>>,
    rows: &PixelRows<'_, T>,
    words: &mut [u32],
    steps: usize,
) {
    let panels = words.as_chunks_mut::<BLOCK>().0;
    let mut places = places.fuse();
    let mut next = || rows.at(places.next().flatten());
    // Row by row, as they lie in memory.
    for index in 0..steps * TILE {
        let (first, second) = (next(), next());
        for column in (0..rows.channels).step_by(BLOCK) {
            let words = &mut panels[column / BLOCK * steps * TILE + index];
            let count = (rows.channels - column).min(BLOCK);
            // SAFETY: a row has these columns, and so have the zeros.
            unsafe {
                let (first, second) = (first.wrapping_add(column), second.wrapping_add(column));
                squares::interleave_at(first, second, count, words);
            }
        }
    }
}
