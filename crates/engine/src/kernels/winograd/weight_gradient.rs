//! The gradient of the filters: sums over tiles of products of transforms, transformed back once.
//!
//! Of a tile it is `G^T [(B^T d B) * (A y A^T)] G`, so the sum over tiles is one matrix product for each of the
//! 36 elements, `[inputs, tiles] * [tiles, outputs]`. Tiles are taken in sections whose transforms stay in the
//! last-level cache; the order of the sum is that of the tiles.

use super::tiles::{self, PLANES, Patch, Planes, Tiles};
use super::transform;
use crate::gemm::{Panel, Panels, Registers, Store, Vector, by_vector, depth_major_product};
use crate::kernels::Geometry;
use crate::kernels::stored::Stored;
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// Words of transforms of one section, unless its tiles would be fewer than [`LEAST_TILES`].
const SECTION_FLOATS: usize = 2 * 1024 * 1024;
/// Fewer tiles in a section would read and write the sums too often.
const LEAST_TILES: usize = 384;
/// Tiles that a task transforms.
const TILES_IN_TASK: usize = 16;

/// How the work of one convolution is cut, and where in the workspace it lies.
#[derive(Clone, Copy, Debug)]
struct Section {
    /// Even where two share a word.
    tiles: usize,
    /// Transforms of inputs, `[tiles, inputs]`.
    sources: Planes,
    panels: Panels,
    /// Transforms of gradients, panels of `[tiles, outputs]`.
    gradients: Planes,
    /// Inputs, in halves of tiles of registers.
    rows: usize,
    /// Floats between the sums of two planes, panels of `[rows, width]`.
    sums_stride: usize,
}

impl Section {
    fn new(pool: &Pool, precision: Precision, geometry: &Geometry) -> Section {
        let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
        let count = Tiles::new(geometry.images, geometry.source).count();
        let together = precision.per_word();
        let most = together * (SECTION_FLOATS / (PLANES * (inputs + outputs))).max(LEAST_TILES);
        let tiles = count.div_ceil(count.div_ceil(most)).next_multiple_of(together);
        let panels = Panels::of_words(pool.isa(), tiles / together, outputs);
        let rows = inputs.next_multiple_of(Registers::of(pool.isa()).half());
        Section {
            tiles,
            sources: Planes::rows(precision, tiles, inputs),
            panels,
            gradients: Planes::panels(precision, panels),
            rows,
            sums_stride: Panels::of_words(pool.isa(), rows, outputs).len(),
        }
    }

    /// Floats of the transforms of inputs, and a tile of registers that may be read past them.
    fn sources_len(&self) -> usize {
        self.sources.len() + 16
    }
}

/// Floats of scratch that [`weight_gradient`] needs.
pub(crate) fn workspace_len(pool: &Pool, precision: Precision, geometry: &Geometry) -> usize {
    let section = Section::new(pool, precision, geometry);
    section.sources_len() + section.gradients.len() + PLANES * section.sums_stride
}

/// `d_weights (=|+=)` the gradient with respect to the filters.
///
/// # Shapes
/// `source` `[images, height, width, in]`, `d_target` `[images, height, width, out]`, `d_weights`
/// `[taps, in, out]`; `workspace` is [`workspace_len`] floats.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn weight_gradient(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
    source: Stored<'_>,
    d_target: Stored<'_>,
    workspace: &mut [f32],
    (d_weights, store): (&mut [f32], Store),
) {
    let arithmetic = (pool.isa(), precision);
    let section = Section::new(pool, precision, geometry);
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    assert_eq!(d_weights.len(), 9 * inputs * outputs, "weights of {geometry:?}");
    let (sources, rest) = workspace.split_at_mut(section.sources_len());
    let (gradients, rest) = rest.split_at_mut(section.gradients.len());
    let sums = &mut rest[..PLANES * section.sums_stride];
    let from = Tiles::new(geometry.images, geometry.source);
    let to = Tiles::new(geometry.images, geometry.target);
    for start in (0..from.count()).step_by(section.tiles) {
        let here = section.tiles.min(from.count() - start);
        spread(
            pool,
            [&from, &to],
            start,
            here,
            [source, d_target],
            &section,
            [&mut *sources, &mut *gradients],
        );
        let (sources, gradients) = (&*sources, &*gradients);
        let words = here.div_ceil(precision.per_word());
        pool.run_chunks(sums, section.sums_stride, |plane, sums| {
            let left = &sources[plane * section.sources.stride..];
            let (_, stride) = section.sources.place(0);
            let right_of = |panel: &Panel| {
                &gradients[plane * section.gradients.stride + panel.start..][..words * panel.width]
            };
            for index in 0..section.panels.count() {
                let panel = section.panels.panel(index);
                let right = right_of(&panel);
                let next = right_of(&section.panels.panel((index + 1).min(section.panels.count() - 1)));
                let sums = &mut sums[section.rows * panel.first_column..][..section.rows * panel.width];
                depth_major_product(
                    arithmetic,
                    left,
                    stride,
                    section.rows,
                    words,
                    (panel, right, next),
                    sums,
                    start > 0,
                );
            }
        });
    }
    merge(pool, &section, [inputs, outputs], sums, (d_weights, store));
}

/// Transforms the `count` tiles from `start` on of both maps.
fn spread(
    pool: &Pool,
    [from, to]: [&Tiles; 2],
    start: usize,
    count: usize,
    [source, d_target]: [Stored<'_>; 2],
    section: &Section,
    [sources, gradients]: [&mut [f32]; 2],
) {
    let (sources, gradients) = (Shared::new(sources), Shared::new(gradients));
    pool.run(count.div_ceil(TILES_IN_TASK), |task, _| {
        let first = task * TILES_IN_TASK;
        let taken = start + first..start + (first + TILES_IN_TASK).min(count);
        tiles::spread(
            pool.isa(),
            Patch::Source,
            from,
            taken.clone(),
            source,
            section.sources,
            first,
            sources,
        );
        tiles::spread(
            pool.isa(),
            Patch::TargetGradient,
            to,
            taken,
            d_target,
            section.gradients,
            first,
            gradients,
        );
    });
}

/// Transforms the sums back into the filters' gradient.
fn merge(
    pool: &Pool,
    section: &Section,
    channels: [usize; 2],
    sums: &[f32],
    (d_weights, store): (&mut [f32], Store),
) {
    /// Inputs in a task.
    const INPUTS: usize = 32;
    let d_weights = Shared::new(d_weights);
    pool.run(channels[0].div_ceil(INPUTS), |task, _| {
        let rows = [task * INPUTS, ((task + 1) * INPUTS).min(channels[0])];
        let target = d_weights;
        #[expect(unsafe_code, reason = "transforms whole vectors")]
        // SAFETY: each task writes the weights of its own inputs.
        unsafe {
            by_vector!(
                pool.isa(),
                merge_rows,
                (
                    section: &Section, channels: [usize; 2], rows: [usize; 2], sums: &[f32],
                    target: Shared<'_, f32>, store: Store
                )
            );
        }
    });
}

#[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn merge_rows<V: Vector>(
    section: &Section,
    [inputs, outputs]: [usize; 2],
    rows: [usize; 2],
    sums: &[f32],
    target: Shared<'_, f32>,
    store: Store,
) {
    for row in rows[0]..rows[1] {
        for column in (0..outputs).step_by(V::LANES) {
            let lanes = V::LANES.min(outputs - column);
            let panel = section.panels.panel_of(column);
            let start = section.rows * panel.first_column + row * panel.width + column - panel.first_column;
            let last = (PLANES - 1) * section.sums_stride + start + V::LANES;
            assert!(last <= sums.len(), "sums of {section:?}");
            // SAFETY: the assertion holds the last of the loads, and `range` each of the stores; fewer lanes
            // go by way of the stack.
            unsafe {
                let mut patch = [[V::splat(0.0); 6]; 6];
                for (plane, value) in patch.as_flattened_mut().iter_mut().enumerate() {
                    *value = V::load(sums.as_ptr().add(plane * section.sums_stride + start));
                }
                let filter = transform::d_filter(&patch);
                for (tap, value) in filter.as_flattened().iter().enumerate() {
                    let place = (tap * inputs + row) * outputs + column;
                    let target = target.range(place..place + lanes);
                    let value = if store == Store::Add { V::load_some(target).add(*value) } else { *value };
                    value.store_some(target);
                }
            }
        }
    }
}
