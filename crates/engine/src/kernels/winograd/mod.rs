//! Convolutions of 3 x 3 with stride 1 and padding 1 by Winograd's minimal filtering F(4x4, 3x3)
//! (Lavin and Gray, arXiv:1509.09308): 36 multiplications where the plain loops need 144.
//!
//! A tile of 4 x 4 outputs reads 6 x 6 inputs. With `d` a channel's inputs and `g` a filter, its outputs are
//! `A^T [sum over channels of (G g G^T) * (B^T d B)] A`, `*` element by element, so that the sum is one matrix
//! product for each of the 36 elements. In f32 the error is about `1e-6` of the greatest output. In bf16 the transforms
//! are computed in f32, rounded and multiplied with sums in f32; see `transform` for what that costs.

mod filter;
mod tiles;
mod transform;
mod weight_gradient;

pub(crate) use filter::{Direction, Filters};
pub(crate) use weight_gradient::{weight_gradient, workspace_len};

use tiles::{Outputs, PLANES, Patch, Planes, Tiles};

use super::batch_norm::{PartMoments, Parts};
use super::epilogue::Epilogue;
use super::stored::{Stored, StoredMut};
use super::{Geometry, column};
use crate::gemm::{BLOCK, Panel, Panels, Registers, Store, blocked_product};
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// Whether Winograd's algorithm computes this convolution at all.
pub(crate) fn applies(geometry: &Geometry) -> bool {
    geometry.kernel == [3, 3] && geometry.stride == 1 && geometry.padding == 1
}

/// Tiles of a convolution's output.
pub(crate) fn count_tiles(geometry: &Geometry) -> usize {
    Tiles::new(geometry.images, geometry.target).count()
}

/// Words of transformed activations, and of their products with a panel of filters, that a task keeps in the second-level
/// cache, unless they are those of few tiles of registers.
const BLOCK_FLOATS: usize = 216 * 1024;
/// Words of filters from which on memory rather than the last-level cache delivers them: then a task takes more
/// tiles for each time that it reads them.
const LARGE_FILTERS: usize = 4 * 1024 * 1024;
/// With at most so many tiles, and so many floats of their transforms, all are transformed before the first
/// product and the panels of filters are the tasks: every filter is read once, and there are enough tasks.
const FEW_TILES: (usize, usize) = (256, 1024 * 1024);
/// Tiles in a block of products where the filters' panels are the tasks.
const TILES_OF_PANEL: usize = 112;

/// Who shares the work of a convolution, and in what blocks.
#[derive(Clone, Copy, Debug)]
enum Tasks {
    /// Blocks of so many tiles, each from its transform to its outputs.
    Tiles(usize),
    /// Panels of filters and blocks of so many tiles, after the transforms of all.
    Panels(usize),
}

impl Tasks {
    fn of(pool: &Pool, count: usize, from: usize, to: usize) -> Tasks {
        let granule = Registers::of(pool.isa()).half();
        let channels = from.next_multiple_of(BLOCK);
        let each = count.next_multiple_of(granule);
        let panels = Panels::of_words(pool.isa(), from, to);
        if count <= FEW_TILES.0 && PLANES * count * channels <= FEW_TILES.1 {
            let blocks = count.div_ceil(TILES_OF_PANEL).max((2 * pool.threads()).div_ceil(panels.count()));
            return Tasks::Panels(count.div_ceil(blocks).next_multiple_of(granule));
        }
        let least = if PLANES * channels * to > LARGE_FILTERS { 72 } else { 24 };
        let most = (BLOCK_FLOATS / (PLANES * (channels + panels.panel(0).width))).max(least);
        Tasks::Tiles(each.min(most / granule * granule))
    }
}

/// Where the transforms of all tiles lie when they are made before the first product: blocks of tiles after one
/// another, each with its planes.
fn all_blocks(precision: Precision, count: usize, each: usize, channels: usize) -> (Planes, usize) {
    let layout = Planes::blocks(precision, each, channels);
    (layout, count.div_ceil(each) * layout.len())
}

/// Floats of workspace that [`convolve`] needs.
pub(crate) fn convolve_workspace_len(pool: &Pool, geometry: &Geometry, shape: Filters) -> usize {
    let count = Tiles::new(geometry.images, geometry.source).count();
    match Tasks::of(pool, count, shape.panels.depth, shape.panels.columns) {
        Tasks::Tiles(_) => 0,
        Tasks::Panels(each) => all_blocks(shape.precision, count, each, shape.from()).1,
    }
}

/// What is done to outputs before they are written, and how that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish<'a> {
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) store: Store,
    /// Whether they go past the caches.
    pub(crate) streams: bool,
}

/// `target (=|+=) finish(source * filters)`, for the direction that `filters` were transformed for. Where `moments` are
/// asked for and blocks of tiles see all channels, those of parts of the pixels are written as
/// [`batch_norm::measure`](super::batch_norm::measure) does, and the parts are returned.
///
/// # Shapes
/// `source` `[images, height, width, from]`, `target` `[images, height, width, to]`; `workspace` is
/// [`convolve_workspace_len`] floats.
///
/// # Panics
/// When a length does not fit the sizes.
#[expect(clippy::too_many_arguments, reason = "a convolution has this many operands")]
pub(crate) fn convolve(
    pool: &Pool,
    geometry: &Geometry,
    source: Stored<'_>,
    shape: Filters,
    filters: &[f32],
    finish: Finish<'_>,
    moments: Option<&mut [f32]>,
    workspace: &mut [f32],
    target: StoredMut<'_>,
) -> Option<Parts> {
    let (isa, panels) = (pool.isa(), shape.panels);
    assert!(filters.len() >= shape.len(), "{} floats for filters of {}", filters.len(), shape.len());
    let maps = |channels| Tiles::new(geometry.images, net::Shape { channels, ..geometry.source });
    let (from, to) = (maps(shape.from()), maps(panels.columns));
    let count = from.count();
    let tasks = Tasks::of(pool, count, panels.depth, panels.columns);
    let (Tasks::Tiles(each) | Tasks::Panels(each)) = tasks;
    let layout = Planes::blocks(shape.precision, each, shape.from());
    let stride = each * panels.panel(0).width + BLOCK;
    let outputs = Outputs { tiles: &to, target: target.shared(), finish };
    let taken = |block: usize| block * each..((block + 1) * each).min(count);
    let finish = |block: usize,
                  index: usize,
                  spread: &[f32],
                  products: &mut [f32],
                  part: Option<&mut PartMoments<'_>>| {
        // The last block may have fewer tiles of registers.
        let rows = taken(block).len().next_multiple_of(Registers::of(isa).half());
        multiply_panel(pool, rows, layout, spread, shape, filters, index, products, stride);
        let panel = panels.panel(index);
        let columns = panel.first_column..panel.first_column + panel.columns;
        tiles::merge(isa, outputs, taken(block), columns, products, [stride, panel.width], part);
    };
    let blocks = count.div_ceil(each);
    match tasks {
        Tasks::Tiles(_) => {
            let each = if moments.is_some() { blocks.div_ceil(column::PARTS) } else { 1 };
            let parts = blocks.div_ceil(each);
            let width = 2 * panels.columns;
            let moments = moments.map(Shared::new);
            pool.run(parts, |index, scratch| {
                let len = layout.len() + PLANES * stride;
                let (scratch, origin) = scratch.at_least(len + panels.columns).split_at_mut(len);
                let (spread, products) = scratch.split_at_mut(layout.len());
                let mut part = moments.map(|moments| {
                    #[expect(unsafe_code, reason = "tasks share a buffer")]
                    // SAFETY: this part's moments belong to this task alone.
                    let sums = unsafe { moments.range(index * width..(index + 1) * width) };
                    PartMoments::new(origin, sums)
                });
                for block in index * each..((index + 1) * each).min(blocks) {
                    let to = Shared::new(&mut *spread);
                    tiles::spread(isa, Patch::Source, &from, taken(block), source, layout, 0, to);
                    for index in 0..panels.count() {
                        finish(block, index, spread, products, part.as_mut());
                    }
                    if let Some(part) = &mut part {
                        part.rows += tiles::pixels(&from, taken(block));
                    }
                }
                if let Some(part) = part {
                    part.finish();
                }
            });
            moments.map(|_| {
                let mut all = Parts::default();
                for index in 0..parts {
                    let tiles = taken(index * each).start..taken(((index + 1) * each).min(blocks) - 1).end;
                    all.push(tiles::pixels(&from, tiles));
                }
                all
            })
        }
        Tasks::Panels(_) => {
            /// Tiles that one task transforms.
            const TRANSFORMED: usize = 8;
            let spread = &mut workspace[..blocks * layout.len()];
            let parts = each.div_ceil(TRANSFORMED);
            let shared = Shared::new(&mut *spread);
            pool.run(blocks * parts, |task, _| {
                let (block, part) = (task / parts, task % parts);
                let (all, first) = (taken(block), part * TRANSFORMED);
                let here = (all.start + first).min(all.end)..(all.start + first + TRANSFORMED).min(all.end);
                let place = block * layout.len();
                tiles::spread(isa, Patch::Source, &from, here, source, layout, first, shared.after(place));
            });
            let spread = &*spread;
            pool.run(panels.count() * blocks, |task, scratch| {
                let (index, block) = (task / blocks, task % blocks);
                let products = scratch.at_least(PLANES * stride);
                finish(block, index, &spread[block * layout.len()..][..layout.len()], products, None);
            });
            None
        }
    }
}

/// All 36 products of the first `rows` transformed tiles with panel `index` of the filters.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
fn multiply_panel(
    pool: &Pool,
    rows: usize,
    layout: Planes,
    spread: &[f32],
    shape: Filters,
    filters: &[f32],
    index: usize,
    products: &mut [f32],
    stride: usize,
) {
    let (panel, depth) = (shape.panels.panel(index), shape.panels.depth);
    let right_of =
        |panel: &Panel, plane: usize| &filters[plane * shape.stride + panel.start..][..depth * panel.width];
    let next_panel = shape.panels.panel((index + 1) % shape.panels.count());
    for plane in 0..PLANES {
        let left = &spread[plane * layout.stride..][..layout.stride];
        let right = right_of(&panel, plane);
        let next = if plane + 1 < PLANES { right_of(&panel, plane + 1) } else { right_of(&next_panel, 0) };
        let target = &mut products[plane * stride..][..rows * panel.width];
        let arithmetic = (pool.isa(), shape.precision);
        blocked_product(arithmetic, left, [layout.tiles(), rows], depth, (panel, right, next), target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::kernels::epilogue::After;
    use crate::kernels::reference;
    use crate::testing::{Numbers, halves, seen, wide};
    use net::Shape;

    /// Greatest difference in units of the greatest expected value. Transforms multiply by at most 5 * 5 on the
    /// way in and sum with weights up to 8 * 8 on the way out, of which most cancels: some tens of roundings of
    /// `f32::EPSILON = 1.2e-7`.
    const TOLERANCE: f32 = 1e-5;
    /// The same in bf16, whose roundings of `2^-9` the transforms of noise make about five times greater: measured, with
    /// room for the greatest of many.
    const BF16_TOLERANCE: f32 = 6e-2;
    /// Mean square error in units of the mean square of the expected values, in bf16: measured, with room; a misplaced
    /// element costs many times that.
    const BF16_NOISE: f64 = 4e-4;

    #[track_caller]
    fn assert_near(precision: Precision, actual: &[f32], expected: &[f32], what: &str) {
        assert_eq!(actual.len(), expected.len(), "{what}");
        let tolerance = match precision {
            Precision::F32 => TOLERANCE,
            Precision::Bf16 => {
                let square = |sum: f64, value: f32| sum + f64::from(value).powi(2);
                let errors = actual.iter().zip(expected).map(|(a, e)| a - e).fold(0.0, square);
                let noise = errors / expected.iter().copied().fold(0.0, square);
                assert!(noise < BF16_NOISE, "{what}: relative square error {noise:e}");
                BF16_TOLERANCE
            }
        };
        let greatest = expected.iter().fold(0.0f32, |greatest, value| greatest.max(value.abs()));
        for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
            assert!((a - e).abs() <= tolerance * greatest, "{what}, element {index}: {a} against {e}");
        }
    }

    /// Heights and widths of every remainder by four, less than a tile, and many; channels around vectors and
    /// panels, so many that rows of transforms are padded, and more than the places of pixels are looked up for at
    /// once; few tiles, whose tasks are panels, and many; more tiles than a section of the weights' gradient; more
    /// blocks of tiles than parts of moments.
    fn geometries() -> Vec<Geometry> {
        let shapes = [
            (1, 1, 1, 1, 1),
            (2, 5, 3, 5, 17),
            (3, 7, 6, 33, 5),
            (1, 4, 9, 17, 64),
            (2, 13, 10, 64, 33),
            (70, 8, 7, 16, 48),
            (400, 2, 2, 100, 60),
            (2, 5, 6, 20, 112),
            (1, 3, 9, 128, 20),
            (1, 4, 5, tiles::CHANNELS + 8, 16),
            (144, 24, 23, 1, 49),
        ];
        let geometry = |(images, height, width, inputs, outputs)| Geometry {
            images,
            source: Shape { height, width, channels: inputs },
            target: Shape { height, width, channels: outputs },
            kernel: [3, 3],
            stride: 1,
            padding: 1,
        };
        shapes.into_iter().map(geometry).collect()
    }

    /// [`convolve`] by weights that are transformed first.
    #[expect(clippy::too_many_arguments, reason = "a convolution has this many operands")]
    fn convolve_by(
        pool: &Pool,
        precision: Precision,
        geometry: &Geometry,
        (weights, direction): (&[f32], Direction),
        from: Stored<'_>,
        finish: Finish<'_>,
        moments: Option<&mut [f32]>,
        to: StoredMut<'_>,
    ) -> Option<Parts> {
        let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
        let shape = Filters::new(pool, precision, inputs, outputs, direction);
        let mut filters = vec![f32::NAN; shape.len()];
        shape.transform(pool, weights, &mut filters);
        let work = &mut vec![f32::NAN; convolve_workspace_len(pool, geometry, shape)];
        convolve(pool, geometry, from, shape, &filters, finish, moments, work, to)
    }

    #[test]
    fn every_instruction_set_agrees_with_the_plain_loops() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            let cases = geometries().into_iter().flat_map(|geometry| {
                [Precision::F32, Precision::Bf16].map(|precision| (geometry, precision))
            });
            for (geometry, precision) in cases {
                let what = format!("{isa}, {precision}, {geometry:?}");
                let mut numbers = Numbers::new(12);
                let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
                let source = numbers.vector(geometry.source_len());
                let weights = numbers.vector(9 * inputs * outputs);
                let bias = numbers.vector(outputs);
                let d_target = numbers.vector(geometry.target_len());
                let run_with = |direction,
                                from: &[f32],
                                finish: Finish<'_>,
                                moments: Option<&mut [f32]>,
                                to: &mut [f32]| {
                    let weights = (&weights[..], direction);
                    convolve_by(&pool, precision, &geometry, weights, from.into(), finish, moments, to.into())
                };
                let run = |direction, from: &[f32], bias: Option<&[f32]>, to: &mut [f32], store| {
                    let finish = Finish { epilogue: Epilogue::bias(bias), store, streams: false };
                    run_with(direction, from, finish, None, to);
                };

                let mut target = vec![f32::NAN; geometry.target_len()];
                run(Direction::Forward, &source, Some(&bias), &mut target, Store::Replace);
                let expected = reference::convolution(&geometry, &source, &weights, &bias);
                assert_near(precision, &target, &expected, &format!("forward, {what}"));

                // With all that can follow, and moments where blocks of tiles see all channels.
                let [slopes, residual] = [outputs, geometry.target_len()].map(|len| numbers.vector(len));
                let after = After { slopes: Some(&slopes), residual: Some((&residual).into()) };
                let mut finished = vec![f32::NAN; target.len()];
                let mut moments = vec![f32::NAN; column::PARTS * 2 * outputs];
                let epilogue = Epilogue { bias: Some(&bias), after };
                let finish = Finish { epilogue, store: Store::Replace, streams: true };
                let into = Some(&mut moments[..]);
                let parts = run_with(Direction::Forward, &source, finish, into, &mut finished);
                for (index, value) in target.iter().enumerate() {
                    let value = if *value > 0.0 { *value } else { slopes[index % outputs] * value };
                    let difference = (finished[index] - residual[index] - value).abs();
                    assert!(difference < 1e-5 * value.abs().max(1.0), "finished, {what}");
                }
                if let Some(parts) = parts {
                    let rows = geometry.target_len() / outputs;
                    assert_eq!(parts.rows().iter().sum::<usize>(), rows, "{what}");
                    for channel in 0..outputs {
                        let moment = |part: usize, which: usize| {
                            f64::from(moments[(2 * part + which) * outputs + channel])
                        };
                        let column = || finished.iter().skip(channel).step_by(outputs).map(|x| f64::from(*x));
                        let mean = column().sum::<f64>() / rows as f64;
                        let counted = || parts.rows().iter().enumerate();
                        let sum: f64 = counted().map(|(part, rows)| moment(part, 0) * *rows as f64).sum();
                        assert!((sum / rows as f64 - mean).abs() < 1e-4, "mean, {what}");
                        let squares: f64 = counted()
                            .map(|(part, rows)| {
                                let deviation = moment(part, 0) - mean;
                                moment(part, 1) + *rows as f64 * deviation * deviation
                            })
                            .sum();
                        let expected: f64 = column().map(|x| (x - mean).powi(2)).sum();
                        assert!((squares - expected).abs() < 1e-4 * expected.max(1.0), "squares, {what}");
                    }
                }

                let (d_source, d_weights) =
                    reference::convolution_gradients(&geometry, &source, &weights, &d_target);
                let start = numbers.vector(geometry.source_len());
                let mut actual = start.clone();
                run(Direction::Backward, &d_target, None, &mut actual, Store::Add);
                let expected: Vec<f32> = d_source.iter().zip(&start).map(|(a, b)| a + b).collect();
                assert_near(precision, &actual, &expected, &format!("input gradient, {what}"));

                let mut workspace = vec![f32::NAN; workspace_len(&pool, precision, &geometry)];
                let start = numbers.vector(weights.len());
                let mut actual = start.clone();
                let (work, into) = (&mut workspace, (&mut actual[..], Store::Add));
                let operands = [&source, &d_target].map(Stored::from);
                weight_gradient(&pool, precision, &geometry, operands[0], operands[1], work, into);
                let expected: Vec<f32> = d_weights.iter().zip(&start).map(|(a, b)| a + b).collect();
                assert_near(precision, &actual, &expected, &format!("weight gradient, {what}"));
            }
        }
    }

    #[test]
    fn bf16_in_memory_makes_what_f32_does_rounded_once() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            let cases = geometries().into_iter().flat_map(|geometry| {
                [Precision::F32, Precision::Bf16].map(|precision| (geometry, precision))
            });
            for (geometry, precision) in cases {
                let what = format!("{isa}, {precision}, {geometry:?}");
                let mut numbers = Numbers::new(14);
                let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
                let weights = numbers.vector(9 * inputs * outputs);
                let (source_len, target_len) = (geometry.source_len(), geometry.target_len());
                let [source, d_target, start, residual] = [source_len, target_len, source_len, target_len]
                    .map(|len| seen(Precision::Bf16, &numbers.vector(len)));
                let slopes = numbers.vector(outputs);
                let [narrow_source, narrow_d, narrow_start, narrow_residual] =
                    [&source, &d_target, &start, &residual].map(|values| halves(values));
                let run = |direction,
                           from: Stored<'_>,
                           finish: Finish<'_>,
                           moments: &mut [f32],
                           to: StoredMut<'_>| {
                    let (weights, moments) =
                        ((&weights[..], direction), (direction == Direction::Forward).then_some(moments));
                    convolve_by(&pool, precision, &geometry, weights, from, finish, moments, to);
                };
                let forward = |residual, streams, from, moments: &mut [f32], to: StoredMut<'_>| {
                    let after = After { slopes: Some(&slopes), residual: Some(residual) };
                    let finish =
                        Finish { epilogue: Epilogue { bias: None, after }, store: Store::Replace, streams };
                    run(Direction::Forward, from, finish, moments, to);
                };
                let [mut moments, mut rounded_moments] =
                    [(); 2].map(|()| vec![0.0; column::PARTS * 2 * outputs]);
                let (mut exact, mut rounded) = (vec![f32::NAN; target_len], vec![0; target_len]);
                forward((&residual).into(), false, (&source).into(), &mut moments, (&mut exact).into());
                for streams in [false, true] {
                    let (residual, to) = (Stored::Bf16(&narrow_residual), StoredMut::Bf16(&mut rounded));
                    forward(residual, streams, Stored::Bf16(&narrow_source), &mut rounded_moments, to);
                    assert_eq!(wide(&rounded), seen(Precision::Bf16, &exact), "forward, {what}");
                    assert_eq!(rounded_moments, moments, "{what}");
                }

                let (mut exact, mut rounded) = (start.clone(), narrow_start.clone());
                let finish = Finish { epilogue: Epilogue::default(), store: Store::Add, streams: false };
                run(Direction::Backward, (&d_target).into(), finish, &mut moments, (&mut exact).into());
                let to = StoredMut::Bf16(&mut rounded);
                run(Direction::Backward, Stored::Bf16(&narrow_d), finish, &mut moments, to);
                assert_eq!(wide(&rounded), seen(Precision::Bf16, &exact), "input gradient, {what}");

                let gradient = |source, d_target| {
                    let mut workspace = vec![f32::NAN; workspace_len(&pool, precision, &geometry)];
                    let mut d_weights = vec![f32::NAN; weights.len()];
                    let into = (&mut d_weights[..], Store::Replace);
                    weight_gradient(&pool, precision, &geometry, source, d_target, &mut workspace, into);
                    d_weights
                };
                let exact = gradient((&source).into(), (&d_target).into());
                let rounded = gradient(Stored::Bf16(&narrow_source), Stored::Bf16(&narrow_d));
                assert_eq!(rounded, exact, "weight gradient, {what}");
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let geometry = geometries()[5];
        let mut numbers = Numbers::new(13);
        let source = numbers.vector(geometry.source_len());
        let weights = numbers.vector(9 * geometry.source.channels * geometry.target.channels);
        let run = |threads| {
            let pool = Pool::new(threads).unwrap();
            let mut target = vec![0.0; geometry.target_len()];
            let (epilogue, store) = (Epilogue::default(), Store::Replace);
            let finish = Finish { epilogue, store, streams: true };
            let (weights, from, to) =
                ((&weights[..], Direction::Forward), (&source).into(), (&mut target).into());
            convolve_by(&pool, Precision::Bf16, &geometry, weights, from, finish, None, to);
            target
        };
        let once = run(1);
        assert_eq!(once, run(2));
        assert_eq!(once, run(3));
    }
}
