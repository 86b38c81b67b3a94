//! Both gradients of a convolution of 1 x 1 with stride 1, whose rows are the activations themselves, in one walk over
//! the rows: each gradient that comes in is read once, while it is in a cache for both products.

use super::batch_norm::Pending;
use super::column;
use super::geometry::Geometry;
use crate::gemm::{
    Dense, Panels, Registers, Store, Transposed, packed_rows_len, product_rows, row_block, transposed_product,
};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// Fewer parts of rows than this leave processors without work.
const FEWEST_PARTS: usize = 8;
/// Rows in a part for each float of its gradient of the weights that has to be written, read and added in the end,
/// for each float in a row: that takes at most so small a share of the traffic.
const ROWS_FOR_SUMS: usize = 4;

/// The rows of a part, which depend on the sizes and the instruction set alone, and the number of parts.
fn parts(isa: Isa, geometry: &Geometry) -> (usize, usize) {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    let rows = geometry.images * geometry.target.positions();
    let least = (ROWS_FOR_SUMS * inputs * outputs / (inputs + outputs)).max(rows.div_ceil(column::PARTS / 2));
    let each = least.next_multiple_of(row_block(isa));
    (each, rows.div_ceil(each))
}

/// Whether [`gradients`] computes this convolution's gradients.
pub(crate) fn applies(isa: Isa, geometry: &Geometry) -> bool {
    geometry.kernel == [1, 1]
        && geometry.stride == 1
        && geometry.padding == 0
        && parts(isa, geometry).1 >= FEWEST_PARTS
}

/// Floats of workspace that [`gradients`] needs.
pub(crate) fn workspace_len(isa: Isa, geometry: &Geometry) -> usize {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    Panels::new(isa, Precision::F32, outputs, inputs).len() + parts(isa, geometry).1 * inputs * outputs
}

/// `d_weights += transposed source * d_target` and, where it is wanted, `d_source (=|+=) d_target * transposed weights`.
///
/// With a `pending` gradient of the normalisation that follows, `d_target` is the gradient of its output, and that of its
/// input is written for some rows at a time, to a cache alone.
///
/// # Shapes
/// `source` and `d_source` `[rows, in]`, `d_target` `[rows, out]`, `weights` and `d_weights` `[in, out]`; `workspace` is
/// [`workspace_len`] floats.
///
/// # Panics
/// When a length does not fit the sizes.
#[expect(clippy::too_many_arguments, reason = "two products have this many operands")]
pub(crate) fn gradients(
    pool: &Pool,
    geometry: &Geometry,
    source: &[f32],
    d_target: &[f32],
    pending: Option<Pending<'_>>,
    weights: &[f32],
    workspace: &mut [f32],
    d_weights: &mut [f32],
    d_source: Option<(&mut [f32], Store)>,
) {
    let isa = pool.isa();
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    let rows = geometry.images * geometry.target.positions();
    assert_eq!(source.len(), rows * inputs, "activations of {geometry:?}");
    assert_eq!(d_target.len(), rows * outputs, "output gradient of {geometry:?}");
    assert_eq!(d_weights.len(), inputs * outputs, "gradient of the weights of {geometry:?}");
    let transposed = Panels::new(isa, Precision::F32, outputs, inputs);
    let (panels, sums) = workspace.split_at_mut(transposed.len());
    let d_source = d_source.map(|(d_source, store)| {
        assert_eq!(d_source.len(), rows * inputs, "input gradient of {geometry:?}");
        transposed.pack_transposed(pool, weights, &[0], panels);
        (Shared::new(d_source), store)
    });
    let panels = &*panels;
    let (each, parts) = parts(isa, geometry);
    let sums = &mut sums[..parts * d_weights.len()];
    let all = Panels::new(isa, Precision::F32, row_block(isa), outputs);
    pool.run_chunks_with_scratch(sums, d_weights.len(), |part, sums, scratch| {
        let sums = Shared::new(sums);
        // The last rows of a tile read, without use, a little past the last column.
        let spare = row_block(isa) * inputs + Registers::of(isa).rows;
        let written = row_block(isa) * outputs;
        let len = packed_rows_len(isa) + spare + written + all.len();
        let (packed, rest) = scratch.at_least(len).split_at_mut(packed_rows_len(isa));
        let (copied, rest) = rest.split_at_mut(spare);
        let (written, right) = rest.split_at_mut(written);
        let last = ((part + 1) * each).min(rows);
        let mut store = Store::Replace;
        for start in (part * each..last).step_by(row_block(isa)) {
            let taken = start..(start + row_block(isa)).min(last);
            let range = taken.start * outputs..taken.end * outputs;
            let here = match pending {
                None => &d_target[range],
                Some(pending) => {
                    let written = &mut written[..range.len()];
                    pending.write(isa, range.clone(), Some(&d_target[range]), written, Store::Replace);
                    &*written
                }
            };
            if let Some((d_source, store)) = d_source {
                let dense = Dense::new(here, outputs);
                let place = |row: usize| (taken.start + row) * inputs;
                let (all, group) = (0..taken.len(), 0..transposed.count());
                product_rows(&dense, all, (transposed, panels), group, packed, d_source, &place, store);
            }
            let shape = Panels::new(isa, Precision::F32, taken.len(), outputs);
            (0..shape.count()).for_each(|index| shape.fill_panel(index, here, right));
            let values = if taken.end * inputs + Registers::of(isa).rows <= source.len() {
                &source[taken.start * inputs..]
            } else {
                let rows = &source[taken.start * inputs..taken.end * inputs];
                copied[..rows.len()].copy_from_slice(rows);
                &*copied
            };
            let left = Transposed { values, stride: inputs, columns: inputs };
            let (group, place) = (0..shape.count(), |k: usize| k * outputs);
            transposed_product(left, (shape, right), group, sums, &place, store);
            store = Store::Add;
        }
    });
    let width = d_weights.len();
    let sums = &*sums;
    const CHUNK: usize = 1024;
    pool.run_chunks(d_weights, CHUNK, |index, target| {
        for part in sums.chunks_exact(width) {
            let part = &part[index * CHUNK..][..target.len()];
            target.iter_mut().zip(part).for_each(|(target, sum)| *target += sum);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::batch_norm::Rectified;
    use crate::kernels::reference;
    use crate::testing::{Numbers, assert_close};
    use net::Shape;

    #[test]
    fn both_gradients_are_those_of_plain_loops_whatever_the_threads() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (images, side, inputs, outputs) in
                [(9, 13, 5, 33), (15, 10, 40, 17), (8, 15, 64, 70), (20, 14, 3, 18)]
            {
                let shape = |channels| Shape { height: side, width: side, channels };
                let geometry = Geometry {
                    images,
                    source: shape(inputs),
                    target: shape(outputs),
                    kernel: [1, 1],
                    stride: 1,
                    padding: 0,
                };
                assert!(applies(isa, &geometry), "{isa} {geometry:?}");
                let mut numbers = Numbers::new(41);
                let (source, d_target) =
                    (numbers.vector(geometry.source_len()), numbers.vector(geometry.target_len()));
                let (weights, start) = (numbers.vector(inputs * outputs), numbers.vector(inputs * outputs));
                let start_source = numbers.vector(geometry.source_len());
                let run_with = |threads, store, d_target: &[f32], pending: Option<Pending<'_>>| {
                    let pool = Pool::with_isa(threads, isa).unwrap();
                    let mut workspace = vec![f32::NAN; workspace_len(isa, &geometry)];
                    let (mut d_weights, mut d_source) = (start.clone(), start_source.clone());
                    let out = Some((&mut d_source[..], store));
                    gradients(
                        &pool,
                        &geometry,
                        &source,
                        d_target,
                        pending,
                        &weights,
                        &mut workspace,
                        &mut d_weights,
                        out,
                    );
                    (d_weights, d_source)
                };
                let run = |threads, store| run_with(threads, store, &d_target, None);
                let (expected, d_full) =
                    reference::convolution_gradients(&geometry, &source, &weights, &d_target);
                let (d_weights, d_source) = run(2, Store::Replace);
                assert_close(&d_source, &expected, outputs);
                let sums: Vec<f32> = d_full.iter().zip(&start).map(|(d, start)| d + start).collect();
                assert_close(&d_weights, &sums, images * side * side);
                assert_eq!(run(1, Store::Replace), (d_weights, d_source));
                let sums: Vec<f32> = expected.iter().zip(&start_source).map(|(d, start)| d + start).collect();
                assert_close(&run(3, Store::Add).1, &sums, outputs);

                // A pending gradient gives the same bits as one that was written before.
                let normalised = numbers.vector(geometry.target_len());
                let (coefficients, slopes) = (numbers.vector(3 * outputs), numbers.vector(outputs));
                let [scale, shift] = [(); 2].map(|()| numbers.vector(outputs));
                let rectified = Rectified { scale: &scale, shift: &shift, slopes: &slopes };
                let pending = Pending::new(&normalised, Some(rectified), &coefficients);
                let mut written = vec![f32::NAN; d_target.len()];
                pending.write(isa, 0..d_target.len(), Some(&d_target), &mut written, Store::Replace);
                assert_eq!(
                    run_with(2, Store::Add, &d_target, Some(pending)),
                    run_with(2, Store::Add, &written, None)
                );
            }
        }
    }
}
