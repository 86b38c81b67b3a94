//! Convolutions in bf16 by AMX, on maps whose positions are laid end to end: the rows that a tap meets are then a matrix
//! as it lies, and nothing is gathered. See `map` for the layout.

mod filters;
mod map;
mod weight_gradient;

pub(crate) use weight_gradient::{weight_gradient, weight_gradient_workspace_len};

use std::ops::Range;

use net::Shape;
use smallvec::SmallVec;

use filters::{Direction, Filters, depth_words};
use map::{Grid, Map, Runs, Slab, Slabs};

use super::convolution::Weights;
use super::epilogue::Epilogue;
use super::geometry::{Geometry, Phase, Tap};
use super::stored::{self, SharedStored, Stored, StoredMut};
use crate::amx::{self, BLOCK, Block, Run, TILE};
use crate::gemm::words::{as_halves, as_words, words_of};
use crate::gemm::{Store, Vector, by_vector, squares};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::precision::Precision;

/// Bytes of planes of a slab: they stay in the second-level cache.
const SLAB_BYTES: usize = 512 * 1024;
/// Slabs, or slabs and groups of columns, for each thread.
const TASKS_OF_THREAD: usize = 2;
/// Grid positions of a slab, below which its columns are shared rather than its rows.
const FEW_POSITIONS: usize = 128;

/// Whether convolutions are computed here at all.
pub(crate) fn applies(isa: Isa, precision: Precision, geometry: &Geometry) -> bool {
    let gathers = geometry.kernel != [1, 1] || geometry.stride > 1;
    amx::multiplies(isa, precision) && gathers && !geometry.covers_input()
}

/// Where the positions of a grid lie in a target: position `(y, x)` at `(y * stride + top, x * stride + left)`.
#[derive(Clone, Copy, Debug)]
struct Placement {
    shape: Shape,
    stride: usize,
    top: usize,
    left: usize,
}

impl Placement {
    fn row(&self, image: usize, y: usize, x: usize) -> usize {
        let line = image * self.shape.height + y * self.stride + self.top;
        line * self.shape.width + x * self.stride + self.left
    }
}

/// A convolution and its operands but for the weights.
struct Product<'a> {
    grid: Grid<'a>,
    source: Stored<'a>,
    filters: Filters,
    epilogue: Epilogue<'a>,
    store: Store,
    /// Whether results go past the caches, as those do that much else is computed before they are read again.
    streams: bool,
    placement: Placement,
}

/// Slabs for a product, and groups of panels that share each.
fn tasks(pool: &Pool, grid: &Grid<'_>, map: &Map, filters: Filters) -> (Slabs, usize) {
    let least = TASKS_OF_THREAD * pool.threads();
    let image = map.positions(&Slab { images: 0..1, rows: 0..grid.height });
    let most = (grid.images * (image / FEW_POSITIONS).max(1)).max(1);
    let slabs = grid.slabs(0..grid.images, map, filters.sides()[0], SLAB_BYTES, least.min(most));
    let groups = least.div_ceil(slabs.len()).clamp(1, filters.panels());
    (slabs, groups)
}

impl Product<'_> {
    /// # Panics
    /// When `right` is too short or a length does not fit.
    fn run(&self, pool: &Pool, right: &[u32], target: StoredMut<'_>) {
        let (map, grid, placement) = (Map::new(&self.grid), &self.grid, self.placement);
        let [depth, columns] = self.filters.sides();
        assert_eq!(self.source.len(), grid.images * grid.source.elements(), "source of {grid:?}");
        assert_eq!(depth, grid.source.channels, "depth of {grid:?}");
        assert_eq!(target.len(), grid.images * placement.shape.elements(), "target of {placement:?}");
        assert_eq!(columns, placement.shape.channels, "columns of {placement:?}");
        let Epilogue { bias, after } = self.epilogue;
        let vectors = [bias, after.slopes].into_iter().flatten();
        assert!(
            vectors.into_iter().all(|values| values.len() == columns),
            "parameters of {columns} channels"
        );
        assert!(after.residual.is_none_or(|residual| residual.len() == target.len()), "output and summand");
        assert!(placement.row(grid.images - 1, grid.height - 1, grid.width - 1) * columns < target.len());
        let (slabs, groups) = tasks(pool, grid, &map, self.filters);
        let plane = map.plane(slabs.iter().map(|slab| map.positions(&slab)).max().unwrap_or(0));
        let runs = map.runs(grid.taps, depth, plane);
        let words = depth_words(&runs);
        let runs: SmallVec<[Run; 9]> = runs.iter().map(|(run, _)| *run).collect();
        assert!(right.len() >= self.filters.panels() * words * BLOCK, "panels of {:?}", self.filters);
        let len = planes_len(&map, plane, depth);
        let target = target.shared();
        pool.run(slabs.len() * groups, |task, scratch| {
            let (slab, group) = (&slabs.get(task / groups), task % groups);
            let source = as_halves(scratch.at_least(len));
            spread(&map, grid, slab, plane, self.source, source);
            let panels = self.filters.panels();
            for panel in group * panels / groups..(group + 1) * panels / groups {
                let right = &right[panel * words * BLOCK..][..words * BLOCK];
                self.panel(pool.isa(), &map, slab, source, &runs, (panel, right), target);
            }
        });
    }

    /// All positions of a slab by one panel.
    #[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
    fn panel(
        &self,
        isa: Isa,
        map: &Map,
        slab: &Slab,
        source: &[u16],
        runs: &[Run],
        (panel, right): (usize, &[u32]),
        target: SharedStored<'_>,
    ) {
        let [channels, columns] = self.filters.sides();
        let columns = panel * BLOCK..((panel + 1) * BLOCK).min(columns);
        let mut sums = Sums([[0.0; BLOCK]; BLOCK]);
        let mut places = Places::new(map, &self.grid, slab, self.placement);
        let reach =
            runs.iter().map(|run| run.offset as usize + run.steps * amx::ROW_BYTES).max().unwrap_or(0);
        for first in (0..map.positions(slab)).step_by(BLOCK) {
            let bytes = (first + BLOCK - 1) * channels * size_of::<u16>() + reach;
            assert!(bytes <= size_of_val(source), "a block at {first} of {slab:?}");
            #[expect(unsafe_code, reason = "hands pointers to the registers, and tasks share a tensor")]
            // SAFETY: the assertion holds the left side, the caller's the right one; only a processor with AMX comes here.
            unsafe {
                amx::multiply(&Block {
                    left: source.as_ptr().add(first * channels).cast(),
                    left_stride: channels * size_of::<u16>(),
                    runs,
                    right: right.as_ptr(),
                    target: sums.0.as_mut_ptr().cast(),
                    target_stride: BLOCK * size_of::<f32>(),
                    accumulate: false,
                });
            }
            let rows: [Option<usize>; BLOCK] = std::array::from_fn(|_| places.next().flatten());
            let (sums, product, columns) = (&sums, self, columns.clone());
            #[expect(unsafe_code, reason = "tasks share a tensor")]
            // SAFETY: these columns of these rows belong to this task alone; `run` has checked the operands.
            unsafe {
                by_vector!(
                    isa,
                    finish,
                    (
                        product: &Product<'_>, sums: &Sums, rows: [Option<usize>; BLOCK],
                        columns: Range<usize>, target: SharedStored<'_>
                    )
                );
            }
        }
    }
}

/// A block of sums, which begins a cache line.
#[repr(align(64))]
struct Sums([[f32; BLOCK]; BLOCK]);

/// The rows of a target that grid positions fill, end to end as in a [`Map`], `None` for a useless one.
struct Places<'a> {
    grid: &'a Grid<'a>,
    placement: Placement,
    across: usize,
    rows: usize,
    first_row: usize,
    last_row: usize,
    last_image: usize,
    at: [usize; 3],
}

impl<'a> Places<'a> {
    fn new(map: &Map, grid: &'a Grid<'a>, slab: &Slab, placement: Placement) -> Places<'a> {
        let rows = map.positions(slab) / slab.images.len() / map.across;
        Places {
            grid,
            placement,
            across: map.across,
            rows: slab.rows.start + rows,
            first_row: slab.rows.start,
            last_row: slab.rows.end,
            last_image: slab.images.end,
            at: [slab.images.start, slab.rows.start, 0],
        }
    }
}

impl Iterator for Places<'_> {
    type Item = Option<usize>;

    #[inline]
    fn next(&mut self) -> Option<Option<usize>> {
        let [image, y, x] = self.at;
        if image == self.last_image {
            return None;
        }
        let inside = y < self.last_row && x < self.grid.width;
        let row = inside.then(|| self.placement.row(image, y, x));
        self.at[2] += 1;
        if self.at[2] == self.across {
            self.at = [image, y + 1, 0];
            if y + 1 == self.rows {
                self.at = [image + 1, self.first_row, 0];
            }
        }
        Some(row)
    }
}

/// Does to the sums what the product says and writes them to their rows.
///
/// # Safety
/// The processor has `V`'s instruction set; the operands of the product fit its target, and no other live reference
/// covers these columns of these rows.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn finish<V: Vector>(
    product: &Product<'_>,
    sums: &Sums,
    rows: [Option<usize>; BLOCK],
    columns: Range<usize>,
    target: SharedStored<'_>,
) {
    let (channels, epilogue) = (product.placement.shape.channels, product.epilogue);
    for (sums, row) in sums.0.iter().zip(rows) {
        let Some(row) = row else { continue };
        for start in (0..columns.len()).step_by(V::LANES) {
            let lanes = V::LANES.min(columns.len() - start);
            let here = columns.start + start..columns.start + start + lanes;
            let place = row * channels + here.start..row * channels + here.end;
            // SAFETY: the caller's promise; a row of sums is whole vectors.
            unsafe {
                let value = V::load(sums.as_ptr().add(start));
                let mut value = epilogue.value(value, here, place.clone());
                let mut target = target.range(place);
                if product.store == Store::Add {
                    value = value.add(target.as_ref().at::<V>(0..lanes));
                }
                target.put(value, 0..lanes, product.streams);
            }
        }
    }
}

/// Floats of memory for all planes of a slab, and for what the last run reads past them.
fn planes_len(map: &Map, plane: usize, channels: usize) -> usize {
    (map.planes() * plane * channels + 2 * TILE).div_ceil(2)
}

/// Writes the planes of a slab as bf16, `[planes][plane][channels]`.
fn spread(map: &Map, grid: &Grid<'_>, slab: &Slab, plane: usize, source: Stored<'_>, target: &mut [u16]) {
    let Shape { width, channels, .. } = grid.source;
    for index in 0..map.planes() {
        let (first, start, count) = map.source_columns(width, index);
        let planes = &mut target[index * plane * channels..];
        let (planes, beyond) = planes.split_at_mut(plane * channels);
        if index + 1 == map.planes() {
            beyond.fill(0);
        }
        let mut rest = planes;
        for row in map.source_rows(grid, slab, index) {
            let len = rest.len().min(map.across * channels);
            let (line, after) = std::mem::take(&mut rest).split_at_mut(len);
            rest = after;
            let Some(row) = row else {
                line.fill(0);
                continue;
            };
            // A last row may be cut short, behind all that is read.
            let there = count.min((len / channels).saturating_sub(start));
            let (before, line) = line.split_at_mut((start * channels).min(len));
            before.fill(0);
            let (line, behind) = line.split_at_mut(there * channels);
            behind.fill(0);
            let pixel = row * width + first;
            if there == 0 {
                continue;
            }
            // One run of neighbours, or every pixel by itself.
            let (count, step) = if map.step == 1 { (there * channels, 1) } else { (channels, map.step) };
            for (index, target) in line.chunks_exact_mut(count).enumerate() {
                let start = (pixel + index * step) * channels;
                round(source.range(start..start + count), target);
            }
        }
        rest.fill(0);
    }
}

/// Writes numbers as bf16.
fn round(source: Stored<'_>, target: &mut [u16]) {
    match source {
        Stored::F32(values) => {
            #[expect(unsafe_code, reason = "calls a function of an instruction set")]
            // SAFETY: a processor with AMX has AVX-512 with BF16.
            unsafe {
                squares::convert(values, target);
            }
        }
        Stored::Bf16(values) => target.copy_from_slice(values),
    }
}

/// The grid of a forward pass.
fn forward_grid<'a>(geometry: &Geometry, taps: &'a [Tap]) -> Grid<'a> {
    Grid {
        images: geometry.images,
        source: geometry.source,
        step: geometry.stride,
        taps,
        height: geometry.target.height,
        width: geometry.target.width,
    }
}

/// The runs in depth of a grid's product, with offsets of no slab.
fn cut(grid: &Grid<'_>) -> Runs {
    let map = Map::new(grid);
    map.runs(grid.taps, grid.source.channels, map.plane(1))
}

/// Floats of the weights rearranged for a forward pass.
pub(crate) fn forward_weights_len(geometry: &Geometry) -> usize {
    let taps = geometry.taps();
    let filters = Filters::of(geometry, Direction::Forward);
    filters.panels() * depth_words(&cut(&forward_grid(geometry, &taps))) * BLOCK
}

/// Rearranges `weights`, `[taps, in, out]`, for a forward pass.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn rearrange_forward(pool: &Pool, geometry: &Geometry, weights: &[f32], rearranged: &mut [f32]) {
    let taps = geometry.taps();
    let runs = cut(&forward_grid(geometry, &taps));
    Filters::of(geometry, Direction::Forward).pack(pool, &runs, weights, as_words(rearranged));
}

/// `target = epilogue(source * weights)`, the weights, `Fixed` or `Changing`, rearranged by [`rearrange_forward`].
///
/// # Shapes
/// `source` `[images, height, width, in]`, `target` `[images, height', width', out]`.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn forward(
    pool: &Pool,
    geometry: &Geometry,
    source: Stored<'_>,
    rearranged: &[f32],
    epilogue: Epilogue<'_>,
    weights: Weights,
    target: StoredMut<'_>,
) {
    let taps = geometry.taps();
    let streams = stored::streams(pool.isa(), target.len(), Store::Replace, weights == Weights::Changing);
    let product = Product {
        grid: forward_grid(geometry, &taps),
        source,
        filters: Filters::of(geometry, Direction::Forward),
        epilogue,
        store: Store::Replace,
        streams,
        placement: Placement { shape: geometry.target, stride: 1, top: 0, left: 0 },
    };
    product.run(pool, words_of(rearranged), target);
}

/// Floats that [`input_gradient`] needs for rearranged weights.
pub(crate) fn input_gradient_workspace_len(geometry: &Geometry) -> usize {
    let filters = Filters::of(geometry, Direction::Backward);
    let of_phase = |phase: &Phase| filters.panels() * depth_words(&cut(&phase_grid(geometry, phase))) * BLOCK;
    geometry.phases().iter().filter(|phase| !phase.taps.is_empty()).map(of_phase).max().unwrap_or(0)
}

/// The grid of the source positions of one residue class, over the gradient of the target.
fn phase_grid<'a>(geometry: &Geometry, phase: &'a Phase) -> Grid<'a> {
    Grid {
        images: geometry.images,
        source: geometry.target,
        step: 1,
        taps: &phase.taps,
        height: phase.height,
        width: phase.width,
    }
}

/// `d_source (=|+=) d_target * transposed weights`: the gradient with respect to the activations.
///
/// # Shapes
/// `weights` `[taps, in, out]`; `workspace` is [`input_gradient_workspace_len`] floats.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn input_gradient(
    pool: &Pool,
    geometry: &Geometry,
    d_target: Stored<'_>,
    weights: &[f32],
    workspace: &mut [f32],
    mut d_source: StoredMut<'_>,
    store: Store,
) {
    let filters = Filters::of(geometry, Direction::Backward);
    let phases = geometry.phases();
    if phases.iter().any(|phase| phase.taps.is_empty()) && store == Store::Replace {
        d_source.fill_zeros();
    }
    for phase in phases.iter().filter(|phase| !phase.taps.is_empty()) {
        let grid = phase_grid(geometry, phase);
        filters.pack(pool, &cut(&grid), weights, as_words(workspace));
        let placement =
            Placement { shape: geometry.source, stride: geometry.stride, top: phase.top, left: phase.left };
        let (epilogue, streams) =
            (Epilogue::default(), stored::streams(pool.isa(), d_source.len(), store, true));
        let product = Product { grid, source: d_target, filters, epilogue, store, streams, placement };
        product.run(pool, words_of(workspace), d_source.reborrow());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::epilogue::After;
    use crate::kernels::reference;
    use crate::testing::{Numbers, assert_close, halves, seen, wide};

    /// Kernel, stride, padding, sizes: every combination that networks use, ragged ones, and maps that are cut.
    fn geometries() -> Vec<Geometry> {
        [
            (2, 7, 6, 5, 9, [3, 3], 1, 1),
            (3, 8, 5, 3, 33, [3, 3], 2, 1),
            (1, 9, 9, 17, 4, [1, 1], 2, 0),
            (2, 5, 4, 20, 31, [1, 1], 1, 0),
            (1, 6, 7, 2, 3, [2, 3], 3, 2),
            (4, 14, 12, 48, 64, [3, 3], 2, 1),
            (9, 7, 6, 96, 130, [3, 3], 1, 1),
            (5, 9, 9, 70, 40, [5, 5], 1, 2),
            (1, 70, 64, 160, 20, [3, 3], 1, 1),
            (2, 61, 67, 130, 20, [3, 3], 2, 1),
            (4, 100, 90, 3, 32, [1, 1], 1, 0),
            // Slabs whose positions are whole blocks, so that their planes end where the row after them would begin.
            (1, 20, 62, 8, 8, [3, 3], 2, 1),
            (1, 40, 64, 8, 8, [1, 1], 2, 0),
        ]
        .map(Geometry::of)
        .into()
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "says why a test is skipped")]
    fn all_three_directions_agree_with_plain_loops_whatever_the_threads() {
        if !Isa::Amx.is_available() {
            eprintln!("skipped: this processor has no AMX");
            return;
        }
        for geometry in geometries() {
            let mut numbers = Numbers::new(11);
            let taps = geometry.kernel[0] * geometry.kernel[1];
            let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
            let source = numbers.vector(geometry.source_len());
            let weights = numbers.vector(taps * inputs * outputs);
            let (bias, slopes) = (numbers.vector(outputs), numbers.vector(outputs));
            let residual = numbers.vector(geometry.target_len());
            let d_target = numbers.vector(geometry.target_len());
            let starts = [numbers.vector(geometry.source_len()), numbers.vector(weights.len())];
            // By the way, bf16 in memory makes what f32 does that was rounded there, itself rounded once.
            let operands = [&source, &d_target, &residual].map(|values| seen(Precision::Bf16, values));
            let run = |threads: usize, store: Store, stored: Precision| {
                let weights_of = if threads == 2 { Weights::Fixed } else { Weights::Changing };
                let pool = Pool::with_isa(threads, Isa::Amx).unwrap();
                let [source, d_target, residual] = &operands;
                let narrow = [source, d_target, residual].map(|values| halves(values));
                let [source, d_target, residual] = match stored {
                    Precision::F32 => [source, d_target, residual].map(Stored::from),
                    Precision::Bf16 => [0, 1, 2].map(|index| Stored::Bf16(&narrow[index])),
                };
                let mut rearranged = vec![f32::NAN; forward_weights_len(&geometry)];
                rearrange_forward(&pool, &geometry, &weights, &mut rearranged);
                let after = After { slopes: Some(&slopes), residual: Some(residual) };
                let epilogue = Epilogue { bias: Some(&bias), after };
                let made = |start: &[f32], make: &mut dyn FnMut(StoredMut<'_>)| -> Vec<f32> {
                    let (mut floats, mut rounded) = (start.to_vec(), halves(start));
                    match stored {
                        Precision::F32 => make((&mut floats).into()),
                        Precision::Bf16 => make(StoredMut::Bf16(&mut rounded)),
                    }
                    if stored == Precision::Bf16 { wide(&rounded) } else { floats }
                };
                let target = made(&vec![f32::NAN; geometry.target_len()], &mut |target| {
                    forward(&pool, &geometry, source, &rearranged, epilogue, weights_of, target);
                });
                let mut workspace = vec![f32::NAN; input_gradient_workspace_len(&geometry)];
                let d_source = made(&seen(Precision::Bf16, &starts[0]), &mut |d_source| {
                    input_gradient(&pool, &geometry, d_target, &weights, &mut workspace, d_source, store);
                });
                let mut d_weights = starts[1].clone();
                let mut workspace = vec![f32::NAN; weight_gradient_workspace_len(&geometry)];
                let into = (&mut d_weights[..], if threads == 2 { Store::Add } else { store });
                weight_gradient(&pool, &geometry, source, d_target, &mut workspace, into);
                [target, d_source, d_weights]
            };
            let [target, d_source, d_weights] = run(2, Store::Replace, Precision::F32);
            let [seen_source, seen_weights, seen_d_target] =
                [&source, &weights, &d_target].map(|values| seen(Precision::Bf16, values));
            let mut expected = reference::convolution(&geometry, &seen_source, &seen_weights, &bias);
            for (index, (value, residual)) in expected.iter_mut().zip(&operands[2]).enumerate() {
                *value = if *value > 0.0 { *value } else { slopes[index % outputs] * *value } + residual;
            }
            assert_close(&target, &expected, taps * inputs);
            let (expected_source, expected_weights) =
                reference::convolution_gradients(&geometry, &seen_source, &seen_weights, &seen_d_target);
            assert_close(&d_source, &expected_source, taps * outputs);
            let sum = |gradient: &[f32], start: &[f32]| -> Vec<f32> {
                gradient.iter().zip(start).map(|(a, b)| a + b).collect()
            };
            let positions = geometry.images * geometry.target.positions();
            assert_close(&d_weights, &sum(&expected_weights, &starts[1]), positions);
            let [again, added, d_again] = run(3, Store::Add, Precision::F32);
            assert_eq!((&again, &d_again), (&target, &d_weights), "threads, {geometry:?}");
            assert_close(&added, &sum(&expected_source, &seen(Precision::Bf16, &starts[0])), taps * outputs);
            for (threads, store, exact) in [
                (2, Store::Replace, [&target, &d_source, &d_weights]),
                (3, Store::Add, [&again, &added, &d_again]),
            ] {
                let [target, d_source, d_weights] = run(threads, store, Precision::Bf16);
                assert_eq!(target, seen(Precision::Bf16, exact[0]), "bf16 in memory, {geometry:?}");
                assert_eq!(d_source, seen(Precision::Bf16, exact[1]), "bf16 in memory, {geometry:?}");
                assert_eq!(&d_weights, exact[2], "bf16 in memory, {geometry:?}");
            }
        }
    }
}
