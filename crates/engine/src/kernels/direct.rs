//! Convolutions without groups, and linear layers, by their definition: products whose rows are gathered from the activations.

use std::ops::Range;

use net::Shape;
use smallvec::SmallVec;

use super::activations::{Activated, Activations};
use super::batch_norm::Parts;
use super::epilogue::Epilogue;
use super::finished;
use super::geometry::{Geometry, Tap};
use super::stored::StoredMut;
use crate::gemm::{Dense, Panels, Rows, Store, outer_product, outer_workspace_len, product};
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// One row for each grid position of each image: the channels that the taps meet there, zeros outside.
struct Gather<'a> {
    source: &'a [f32],
    shape: Shape,
    images: usize,
    height: usize,
    width: usize,
    step: usize,
    taps: &'a [Tap],
    /// The same taps as runs of pixels, where all of them are short.
    runs: SmallVec<[Run; 9]>,
}

/// Taps of pixels that follow one another in memory.
#[derive(Clone, Copy)]
struct Run {
    first: Tap,
    /// How far right the last of them lies.
    last: isize,
    /// Floats of all of them.
    len: usize,
}

/// Floats of a run that are copied one by one.
const SHORT: usize = 16;

impl<'a> Gather<'a> {
    fn new(
        source: &'a [f32],
        shape: Shape,
        [images, height, width]: [usize; 3],
        step: usize,
        taps: &'a [Tap],
    ) -> Self {
        let mut runs: SmallVec<[Run; 9]> = SmallVec::new();
        for &tap in taps {
            if runs.last().is_some_and(|run| run.len > SHORT) {
                break;
            }
            match runs.last_mut().filter(|run| run.first.down == tap.down && run.last + 1 == tap.right) {
                Some(run) => {
                    run.last = tap.right;
                    run.len += shape.channels;
                }
                None => runs.push(Run { first: tap, last: tap.right, len: shape.channels }),
            }
        }
        if runs.iter().any(|run| run.len > SHORT) {
            runs.clear();
        }
        Gather { source, shape, images, height, width, step, taps, runs }
    }

    /// Writes a whole row of which no pixel is outside, if it is one and its runs are short: all as runs of one length, of
    /// which what is too much is overwritten by the next.
    #[inline]
    fn copy_short_runs(&self, [image, y, x]: [usize; 3], target: &mut [f32]) -> bool {
        let (top, left) = ((y * self.step) as isize, (x * self.step) as isize);
        let (height, width) = (self.shape.height as isize, self.shape.width as isize);
        let inside = |run: &Run| {
            (0..height).contains(&(top + run.first.down))
                && left + run.first.right >= 0
                && left + run.last < width
        };
        if self.runs.is_empty() || !self.runs.iter().all(inside) {
            return false;
        }
        let mut at = 0;
        for run in &self.runs {
            let pixel = (image as isize * height + top + run.first.down) * width + left + run.first.right;
            let from = &self.source[pixel as usize * self.shape.channels..];
            let to = &mut target[at..];
            match (from.first_chunk::<SHORT>(), to.first_chunk_mut::<SHORT>()) {
                (Some(from), Some(to)) => *to = *from,
                _ => to[..run.len].iter_mut().zip(from).for_each(|(to, from)| *to = *from),
            }
            at += run.len;
        }
        true
    }
}

impl Rows for Gather<'_> {
    /// Image, row and column of the grid position.
    type Origin = [usize; 3];

    fn granule(&self) -> usize {
        self.shape.channels
    }

    #[inline]
    fn origin(&self, row: usize) -> [usize; 3] {
        let (position, x) = (row / self.width, row % self.width);
        [position / self.height, position % self.height, x]
    }

    #[inline]
    fn run(&self, [image, y, x]: [usize; 3], element: usize) -> (usize, Option<&[f32]>) {
        let channels = self.shape.channels;
        let (tap, channel) = (self.taps[element / channels], element % channels);
        let source_y = (y * self.step).wrapping_add_signed(tap.down);
        let source_x = (x * self.step).wrapping_add_signed(tap.right);
        let inside = source_y < self.shape.height && source_x < self.shape.width;
        let values = inside.then(|| {
            let pixel = (image * self.shape.height + source_y) * self.shape.width + source_x;
            &self.source[pixel * channels + channel..(pixel + 1) * channels]
        });
        (channels - channel, values)
    }

    fn count(&self) -> usize {
        self.images * self.height * self.width
    }

    fn depth(&self) -> usize {
        self.taps.len() * self.shape.channels
    }

    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]) {
        let [image, y, x] = self.origin(row);
        let channels = self.shape.channels;
        if range.len() == self.depth() && self.copy_short_runs([image, y, x], target) {
            return;
        }
        let (mut at, mut rest) = (range.start, target);
        while at < range.end {
            let (first, channel) = (at / channels, at % channels);
            let tap = self.taps[first];
            let source_y = (y * self.step).wrapping_add_signed(tap.down);
            let source_x = (x * self.step).wrapping_add_signed(tap.right);
            let inside = source_y < self.shape.height && source_x < self.shape.width;
            let mut count = channels - channel;
            if inside {
                // Taps of pixels that follow one another in memory are copied at once.
                let next = |&(index, other): &(usize, &Tap)| {
                    let right = index as isize + 1;
                    other.down == tap.down
                        && other.right == tap.right + right
                        && source_x.wrapping_add_signed(right) < self.shape.width
                };
                count += channels * self.taps[first + 1..].iter().enumerate().take_while(next).count();
            }
            let (run, after) = rest.split_at_mut(count.min(range.end - at));
            if inside {
                let pixel = (image * self.shape.height + source_y) * self.shape.width + source_x;
                let found = &self.source[pixel * channels + channel..][..run.len()];
                if run.len() < SHORT {
                    // Cheaper than a call.
                    run.iter_mut().zip(found).for_each(|(to, from)| *to = *from);
                } else {
                    run.copy_from_slice(found);
                }
            } else {
                run.fill(0.0);
            }
            at += run.len();
            rest = after;
        }
    }
}

/// Calls `$body` with the forward pass's rows; for a linear layer or a 1 x 1 convolution they are the activations
/// themselves.
macro_rules! with_rows {
    ($geometry:expr, $source:expr, |$rows:ident| $body:expr) => {{
        let (geometry, source): (&Geometry, &[f32]) = ($geometry, $source);
        assert_eq!(source.len(), geometry.source_len(), "activations of {geometry:?}");
        if geometry.covers_input() || geometry.is_dense() {
            let depth = geometry.kernel[0] * geometry.kernel[1] * geometry.source.channels;
            let $rows = &Dense::new(source, depth);
            $body
        } else {
            let (grid, taps) =
                ([geometry.images, geometry.target.height, geometry.target.width], geometry.taps());
            let $rows = &Gather::new(source, geometry.source, grid, geometry.stride, &taps);
            $body
        }
    }};
}

/// Panels for the weights of a forward pass.
pub(crate) fn forward_panels(pool: &Pool, precision: Precision, geometry: &Geometry) -> Panels {
    let taps = geometry.kernel[0] * geometry.kernel[1];
    Panels::new(pool.isa(), precision, taps * geometry.source.channels, geometry.target.channels)
}

/// `target = epilogue(source * weights)`, the weights packed by [`forward_panels`]; `moments` as [`finished::product`].
///
/// # Shapes
/// `source` `[images, height, width, in]`, `target` `[images, height', width', out]`.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn forward(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
    source: Activations<'_>,
    panels: &[f32],
    epilogue: Epilogue<'_>,
    moments: Option<&mut [f32]>,
    target: StoredMut<'_>,
) -> Option<Parts> {
    assert_eq!(target.len(), geometry.target_len(), "output of {geometry:?}");
    let shape = forward_panels(pool, precision, geometry);
    let Some(source) = source.as_they_lie() else {
        assert!(geometry.is_dense(), "a normalisation or bf16 before {geometry:?}");
        assert_eq!(source.values.len(), geometry.source_len(), "activations of {geometry:?}");
        let rows = &Activated { isa: pool.isa(), source, depth: shape.depth };
        return finished::product(pool, rows, shape, panels, epilogue, moments, target);
    };
    with_rows!(geometry, source, |rows| finished::product(
        pool, rows, shape, panels, epilogue, moments, target
    ))
}

/// Floats of workspace that [`forward_unpacked`] needs.
pub(crate) fn forward_unpacked_workspace_len(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
) -> usize {
    let (elements, outputs, images) = (geometry.source.elements(), geometry.target.channels, geometry.images);
    let product = outer_workspace_len(pool.isa(), precision, elements, [outputs, images]);
    images * (elements + outputs) + product
}

/// [`forward`] of a layer that covers its input, with weights as they lie: far more than activations, they are read once,
/// and the product `[out, images]` is turned around.
///
/// # Shapes
/// `weights` `[elements, out]`; `workspace` is [`forward_unpacked_workspace_len`] floats.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn forward_unpacked(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
    source: &[f32],
    weights: &[f32],
    epilogue: Epilogue<'_>,
    workspace: &mut [f32],
    target: &mut [f32],
) {
    assert!(geometry.covers_input(), "a kernel within the input: {geometry:?}");
    assert_eq!(source.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(target.len(), geometry.target_len(), "output of {geometry:?}");
    let (elements, outputs, images) = (geometry.source.elements(), geometry.target.channels, geometry.images);
    let (turned_source, rest) = workspace.split_at_mut(elements * images);
    let (turned, rest) = rest.split_at_mut(outputs * images);
    turn(pool, source, elements, turned_source, Store::Replace);
    let rows = Dense::new(weights, outputs);
    outer_product(pool, precision, &rows, turned_source, images, rest, turned, Store::Replace);
    turn(pool, turned, images, target, Store::Replace);
    #[expect(unsafe_code, reason = "columns of rows are no contiguous slice")]
    // SAFETY: the target is borrowed here alone.
    unsafe {
        epilogue.apply(pool.isa(), Shared::new(target), outputs, 0..images, 0..outputs);
    }
}

/// `turned (=|+=)` the transpose of `rows`, each of `width` floats.
fn turn(pool: &Pool, rows: &[f32], width: usize, turned: &mut [f32], store: Store) {
    /// Floats that a task turns at least.
    const FLOATS: usize = 4096;
    let height = rows.len() / width;
    let columns = FLOATS.div_ceil(height);
    pool.run_chunks(turned, columns * height, |index, turned| {
        for (row, values) in rows.chunks_exact(width).enumerate() {
            for (to, from) in turned.iter_mut().skip(row).step_by(height).zip(&values[index * columns..]) {
                *to = if store == Store::Add { *to + from } else { *from };
            }
        }
    });
}

/// Floats that [`input_gradient`] needs for packed weights.
pub(crate) fn input_gradient_panels_len(pool: &Pool, precision: Precision, geometry: &Geometry) -> usize {
    if geometry.covers_input() {
        let shape = Panels::new(pool.isa(), precision, geometry.target.channels, geometry.images);
        return shape.len() + geometry.source_len();
    }
    let phases = geometry.phases();
    let taps = phases.iter().map(|phase| phase.taps.len()).max().unwrap_or(0);
    Panels::new(pool.isa(), precision, taps * geometry.target.channels, geometry.source.channels).len()
}

/// `d_source (=|+=) d_target * transposed weights`: the gradient with respect to the activations.
///
/// # Shapes
/// `weights` `[taps, in, out]`; `panels` is scratch of [`input_gradient_panels_len`] floats.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn input_gradient(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
    d_target: &[f32],
    weights: &[f32],
    panels: &mut [f32],
    d_source: &mut [f32],
    store: Store,
) {
    assert_eq!(d_target.len(), geometry.target_len(), "output gradient of {geometry:?}");
    assert_eq!(d_source.len(), geometry.source_len(), "input gradient of {geometry:?}");
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    if geometry.covers_input() {
        // Far more weights than gradients: they are read as they lie, and the product `[elements, images]` turned around.
        let images = geometry.images;
        let shape = Panels::new(pool.isa(), precision, outputs, images);
        let (panels, turned) = panels.split_at_mut(shape.len());
        let turned = &mut turned[..geometry.source_len()];
        shape.pack_transposed(pool, d_target, &[0], panels);
        let rows = Dense::new(weights, outputs);
        product(pool, &rows, shape, panels, turned, |row| row * images, Store::Replace);
        turn(pool, turned, images, d_source, store);
        return;
    }
    let phases = geometry.phases();
    if phases.iter().any(|phase| phase.taps.is_empty()) && store == Store::Replace {
        d_source.fill(0.0);
    }
    for phase in phases.iter().filter(|phase| !phase.taps.is_empty()) {
        let shape = Panels::new(pool.isa(), precision, phase.taps.len() * outputs, inputs);
        let parts: SmallVec<[usize; 49]> =
            phase.taps.iter().map(|tap| tap.index * inputs * outputs).collect();
        shape.pack_transposed(pool, weights, &parts, panels);
        let grid = [geometry.images, phase.height, phase.width];
        let rows = Gather::new(d_target, geometry.target, grid, 1, &phase.taps);
        let place = |row: usize| {
            let (position, x) = (row / phase.width, row % phase.width);
            let (image, y) = (position / phase.height, position % phase.height);
            let source_y = image * geometry.source.height + phase.top + y * geometry.stride;
            (source_y * geometry.source.width + phase.left + x * geometry.stride) * inputs
        };
        product(pool, &rows, shape, panels, d_source, place, store);
    }
}

/// Floats of workspace that [`weight_gradient`] needs.
pub(crate) fn weight_gradient_workspace_len(pool: &Pool, precision: Precision, geometry: &Geometry) -> usize {
    let rows = geometry.images * geometry.target.positions();
    let depth = geometry.kernel[0] * geometry.kernel[1] * geometry.source.channels;
    outer_workspace_len(pool.isa(), precision, rows, [depth, geometry.target.channels])
}

/// `d_weights (=|+=) transposed source * d_target`: the gradient with respect to the weights, `[taps, in, out]`;
/// `workspace` is [`weight_gradient_workspace_len`] floats.
pub(crate) fn weight_gradient(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
    source: &[f32],
    d_target: &[f32],
    workspace: &mut [f32],
    (d_weights, store): (&mut [f32], Store),
) {
    let outputs = geometry.target.channels;
    with_rows!(geometry, source, |rows| outer_product(
        pool, precision, rows, d_target, outputs, workspace, d_weights, store
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::kernels::reference;
    use crate::testing::{Numbers, assert_close, seen};

    /// Kernel, stride, padding, sizes: every combination that networks use, and ragged ones.
    fn geometries() -> Vec<Geometry> {
        [
            (2, 7, 6, 5, 9, [3, 3], 1, 1),
            (3, 8, 5, 3, 33, [3, 3], 2, 1),
            (1, 9, 9, 17, 4, [1, 1], 2, 0),
            (2, 5, 4, 20, 31, [1, 1], 1, 0),
            (5, 4, 3, 6, 40, [4, 3], 1, 0),
            (33, 7, 8, 9, 70, [7, 8], 1, 0),
            (1, 6, 7, 2, 3, [2, 3], 3, 2),
            (4, 14, 12, 48, 64, [3, 3], 2, 1),
        ]
        .map(Geometry::of)
        .into()
    }

    #[test]
    fn every_instruction_set_agrees_with_the_plain_loops_in_all_three_directions() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            let cases = geometries().into_iter().flat_map(|geometry| {
                [Precision::F32, Precision::Bf16].map(|precision| (geometry, precision))
            });
            for (geometry, precision) in cases {
                let mut numbers = Numbers::new(11);
                let taps = geometry.kernel[0] * geometry.kernel[1];
                let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
                let source = numbers.vector(geometry.source_len());
                let weights = numbers.vector(taps * inputs * outputs);
                let bias = numbers.vector(outputs);
                let d_target = numbers.vector(geometry.target_len());

                let shape = forward_panels(&pool, precision, &geometry);
                let mut panels = vec![f32::NAN; shape.len()];
                shape.pack(&pool, &weights, &mut panels);
                let mut target = vec![f32::NAN; geometry.target_len()];
                let epilogue = Epilogue::bias(Some(&bias));
                forward(
                    &pool,
                    precision,
                    &geometry,
                    source[..].into(),
                    &panels,
                    epilogue,
                    None,
                    (&mut target).into(),
                );
                let [seen_source, seen_weights, seen_d_target] =
                    [&source, &weights, &d_target].map(|values| seen(precision, values));
                let expected = reference::convolution(&geometry, &seen_source, &seen_weights, &bias);
                assert_close(&target, &expected, taps * inputs);
                if geometry.covers_input() {
                    let len = forward_unpacked_workspace_len(&pool, precision, &geometry);
                    let (work, into) = (&mut vec![f32::NAN; len], &mut vec![f32::NAN; target.len()]);
                    forward_unpacked(&pool, precision, &geometry, &source, &weights, epilogue, work, into);
                    assert_close(into, &expected, taps * inputs);
                }

                let (d_source, d_weights) =
                    reference::convolution_gradients(&geometry, &seen_source, &seen_weights, &seen_d_target);
                let mut panels = vec![f32::NAN; input_gradient_panels_len(&pool, precision, &geometry)];
                for store in [Store::Replace, Store::Add] {
                    let start = numbers.vector(geometry.source_len());
                    let mut actual = start.clone();
                    input_gradient(
                        &pool,
                        precision,
                        &geometry,
                        &d_target,
                        &weights,
                        &mut panels,
                        &mut actual,
                        store,
                    );
                    let expected: Vec<f32> = match store {
                        Store::Replace => d_source.clone(),
                        Store::Add => d_source.iter().zip(&start).map(|(a, b)| a + b).collect(),
                    };
                    assert_close(&actual, &expected, taps * outputs);
                }
                let start = numbers.vector(weights.len());
                let mut actual = start.clone();
                let len = weight_gradient_workspace_len(&pool, precision, &geometry);
                let work = &mut vec![f32::NAN; len];
                let into = (&mut actual[..], Store::Add);
                weight_gradient(&pool, precision, &geometry, &source, &d_target, work, into);
                let expected: Vec<f32> = d_weights.iter().zip(&start).map(|(a, b)| a + b).collect();
                assert_close(&actual, &expected, geometry.images * geometry.target.positions());
            }
        }
    }
}
