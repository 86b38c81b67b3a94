//! Both gradients of a convolution of 1 x 1 with stride 1, whose rows are the activations themselves, in one walk over
//! the rows: each gradient that comes in is read once, while it is in a cache for both products.

use super::activations::{Activations, OutputGradient};
use super::column;
use super::geometry::Geometry;
use super::stored::{Outlet, StoredMut};
use crate::gemm::{
    Dense, Fetch, MAX_ELEMENTS, Panels, Registers, Store, Transposed, Turned, merge_parts,
    pack_transposed_rows, packed_rows_len, product_rows, row_block, transposed_product,
};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// Fewer parts of rows than this leave processors without work.
const FEWEST_PARTS: usize = 8;
/// Rows in a part for each float of its gradient of the weights that has to be written, read and added in the end,
/// for each float in a row: that takes at most so small a share of the traffic.
const ROWS_FOR_SUMS: usize = 4;

/// Rows that are taken at a time. In bf16 two times those of a product, so that none of the 32 rows whose pairs make words
/// are missing with AVX-512.
const fn rows_at_a_time(isa: Isa, precision: Precision) -> usize {
    row_block(isa, precision) * precision.per_word()
}

/// The rows of a part, which depend on the sizes, the precision and the instruction set alone, and the number of parts.
fn parts(isa: Isa, precision: Precision, geometry: &Geometry) -> (usize, usize) {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    let rows = geometry.images * geometry.target.positions();
    let least = (ROWS_FOR_SUMS * inputs * outputs / (inputs + outputs)).max(rows.div_ceil(column::PARTS / 2));
    let each = least.next_multiple_of(rows_at_a_time(isa, precision));
    (each, rows.div_ceil(each))
}

/// Whether [`gradients`] computes this convolution's gradients.
pub(crate) fn applies(isa: Isa, precision: Precision, geometry: &Geometry) -> bool {
    geometry.is_dense() && parts(isa, precision, geometry).1 >= FEWEST_PARTS
}

/// Floats of workspace that [`gradients`] needs.
pub(crate) fn workspace_len(isa: Isa, precision: Precision, geometry: &Geometry) -> usize {
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    Panels::new(isa, precision, outputs, inputs).len() + parts(isa, precision, geometry).1 * inputs * outputs
}

/// `d_weights (=|+=) transposed source * d_target` and, where it is wanted, `d_source (=|+=) d_target * transposed weights`.
///
/// With a normalisation pending, `d_target` is the gradient of its output, and that of its input is written for some rows at
/// a time, to a cache alone. So is the source, where a normalisation comes before it; the
/// sums that this one needs of `d_source` are the first in `partials` afterwards, as many parts as are returned.
///
/// # Shapes
/// `source` and `d_source` `[rows, in]`, `d_target` `[rows, out]`, `weights` and `d_weights` `[in, out]`; `workspace` is
/// [`workspace_len`] floats, `partials` `PARTS * 3 * in` where a normalisation comes before the source.
///
/// # Panics
/// When a length does not fit the sizes, or a gradient is added to while a normalisation waits for its sums.
#[expect(clippy::too_many_arguments, reason = "two products have this many operands")]
pub(crate) fn gradients(
    pool: &Pool,
    precision: Precision,
    geometry: &Geometry,
    source: Activations<'_>,
    d_target: OutputGradient<'_>,
    weights: &[f32],
    workspace: &mut [f32],
    partials: &mut [f32],
    (d_weights, weights_store): (&mut [f32], Store),
    d_source: Option<(StoredMut<'_>, Store)>,
) -> Option<usize> {
    let isa = pool.isa();
    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
    let rows = geometry.images * geometry.target.positions();
    assert_eq!(source.values.len(), rows * inputs, "activations of {geometry:?}");
    assert_eq!(d_target.values.len(), rows * outputs, "output gradient of {geometry:?}");
    assert_eq!(d_weights.len(), inputs * outputs, "gradient of the weights of {geometry:?}");
    let block = rows_at_a_time(isa, precision);
    let transposed = Panels::new(isa, precision, outputs, inputs);
    let (panels, sums) = workspace.split_at_mut(transposed.len());
    let mut summed = None;
    let d_source = d_source.map(|(d_source, store)| {
        assert_eq!(d_source.len(), rows * inputs, "input gradient of {geometry:?}");
        transposed.pack_transposed(pool, weights, &[0], panels);
        summed = source.awaiting_sums(store);
        Outlet::new(isa, d_source, store, true)
    });
    let made_len = d_source.map_or(0, |outlet| outlet.scratch_len(block * inputs));
    let panels = &*panels;
    let (each, parts) = parts(isa, precision, geometry);
    let sums = &mut sums[..parts * d_weights.len()];
    let all = Panels::new(isa, precision, block, outputs);
    let before_sums = Shared::new(partials);
    // What the last rows of a tile read, without use, past the last element.
    let activated_len = match source.as_they_lie() {
        Some(_) => 0,
        None => block * inputs + Registers::of(isa).rows,
    };
    pool.run_chunks_with_scratch(sums, d_weights.len(), |part, sums, scratch| {
        let sums = Shared::new(sums);
        let layout = Turned::new((isa, precision), inputs, precision.words(block));
        let written = block * outputs;
        let packed = packed_rows_len(isa, precision);
        let len = packed + layout.len() + written + activated_len + made_len + all.len();
        let (packed, rest) = scratch.at_least(len).split_at_mut(packed);
        let (left, rest) = rest.split_at_mut(layout.len());
        let (written, rest) = rest.split_at_mut(written);
        let (activated, rest) = rest.split_at_mut(activated_len);
        let (made, right) = rest.split_at_mut(made_len);
        let last = ((part + 1) * each).min(rows);
        let mut store = Store::Replace;
        for start in (part * each..last).step_by(block) {
            let taken = start..(start + block).min(last);
            let range = taken.start * outputs..taken.end * outputs;
            let source_range = taken.start * inputs..taken.end * inputs;
            let next = taken.end..(taken.end + taken.len()).min(last);
            let [d_next, other] = d_target.bytes(next.start * outputs..next.end * outputs);
            let x_next = source.values.range(next.start * inputs..next.end * inputs).bytes();
            let fetch = &mut Fetch::new([d_next, other, x_next]);
            let here = match d_target.as_it_lies() {
                Some(d_target) => &d_target[range],
                None => {
                    let written = &mut written[..range.len()];
                    d_target.write(isa, range, written);
                    &*written
                }
            };
            if let Some(outlet) = d_source {
                let dense = Dense::new(here, outputs);
                let (into, store) = outlet.open(source_range.clone(), made);
                for first in (0..taken.len()).step_by(row_block(isa, precision)) {
                    let (rows, group) =
                        (first..(first + row_block(isa, precision)).min(taken.len()), 0..transposed.count());
                    let place = |row: usize| row * inputs;
                    product_rows(
                        &dense,
                        rows,
                        (transposed, panels),
                        group,
                        packed,
                        into,
                        &place,
                        store,
                        fetch,
                    );
                }
                #[expect(unsafe_code, reason = "tasks share a tensor and a buffer")]
                // SAFETY: these rows and the sums of this part are this task's alone.
                unsafe {
                    if let Some(before) = summed {
                        let width = before.sums_len();
                        let sums = before_sums.range(part * width..(part + 1) * width);
                        if start == part * each {
                            sums.fill(0.0);
                        }
                        let (x, d_x) =
                            (source.values.range(source_range.clone()), into.range(0..source_range.len()));
                        before.add_sums(isa, x, d_x, sums);
                    }
                    outlet.close(source_range.clone(), into);
                }
            }
            let shape = Panels::new(isa, precision, taken.len(), outputs);
            let right = if shape.is_in_place() {
                here
            } else {
                (0..shape.count()).for_each(|index| shape.fill_panel(index, here, right));
                &*right
            };
            let from_here = match source.as_they_lie() {
                Some(values) => &values[source_range.start..],
                None => {
                    source.write(isa, source_range.clone(), &mut activated[..source_range.len()]);
                    &*activated
                }
            };
            let values = if precision == Precision::F32
                && source_range.len() + Registers::of(isa).rows <= from_here.len()
            {
                from_here
            } else {
                let rows = Dense::new(&from_here[..source_range.len()], inputs);
                for first in (0..inputs).step_by(MAX_ELEMENTS) {
                    let range = first..(first + MAX_ELEMENTS).min(inputs);
                    let left = &mut left[layout.place(first)..];
                    pack_transposed_rows((isa, precision), &rows, 0..taken.len(), range, layout, left);
                }
                &*left
            };
            let left = Transposed { values, layout, columns: inputs };
            let (group, place) = (0..shape.count(), |k: usize| k * outputs);
            transposed_product(left, (shape, right), group, sums, &place, store, fetch);
            store = Store::Add;
        }
    });
    merge_parts(pool, sums, d_weights, weights_store);
    summed.map(|_| parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activations::Before;
    use crate::kernels::batch_norm::{Pending, Rectified};
    use crate::kernels::reference;
    use crate::kernels::stored::Stored;
    use crate::testing::{Numbers, assert_close, halves, seen, wide};
    use net::Shape;

    #[test]
    fn both_gradients_are_those_of_plain_loops_whatever_the_threads() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            // The last one's gradient is large enough to go past the caches.
            let shapes = [
                (14, 13, 5, 33),
                (21, 10, 40, 17),
                (10, 15, 64, 70),
                (20, 14, 3, 16),
                (22, 12, 130, 20),
                (15, 46, 34, 3),
            ];
            let cases = shapes
                .into_iter()
                .flat_map(|shape| [Precision::F32, Precision::Bf16].map(|precision| (shape, precision)));
            for ((images, side, inputs, outputs), precision) in cases {
                let shape = |channels| Shape { height: side, width: side, channels };
                let geometry = Geometry {
                    images,
                    source: shape(inputs),
                    target: shape(outputs),
                    kernel: [1, 1],
                    stride: 1,
                    padding: 0,
                };
                assert!(applies(isa, precision, &geometry), "{isa} {precision} {geometry:?}");
                let mut numbers = Numbers::new(41);
                let (source, d_target) =
                    (numbers.vector(geometry.source_len()), numbers.vector(geometry.target_len()));
                let (weights, start) = (numbers.vector(inputs * outputs), numbers.vector(inputs * outputs));
                let start_source = numbers.vector(geometry.source_len());
                let run_into = |threads,
                                source: Activations<'_>,
                                d_target: OutputGradient<'_>,
                                out: (StoredMut<'_>, Store)| {
                    let pool = Pool::with_isa(threads, isa).unwrap();
                    let mut workspace = vec![f32::NAN; workspace_len(isa, precision, &geometry)];
                    let mut partials = vec![f32::NAN; column::PARTS * 3 * inputs];
                    let mut d_weights = start.clone();
                    let parts = gradients(
                        &pool,
                        precision,
                        &geometry,
                        source,
                        d_target,
                        &weights,
                        &mut workspace,
                        &mut partials,
                        (&mut d_weights, Store::Add),
                        Some(out),
                    );
                    partials.truncate(parts.unwrap_or(0) * 3 * inputs);
                    (d_weights, partials)
                };
                let run_with = |threads,
                                store,
                                source: Activations<'_>,
                                d_target: &Vec<f32>,
                                pending: Option<Pending<'_>>| {
                    let mut d_source = start_source.clone();
                    let out = ((&mut d_source).into(), store);
                    let (d_weights, parts) =
                        run_into(threads, source, OutputGradient { values: d_target.into(), pending }, out);
                    (d_weights, d_source, parts)
                };
                let plain = Activations::from(&source[..]);
                let run = |threads, store| run_with(threads, store, plain, &d_target, None);
                let (expected, d_full) = reference::convolution_gradients(
                    &geometry,
                    &seen(precision, &source),
                    &seen(precision, &weights),
                    &seen(precision, &d_target),
                );
                let (d_weights, d_source, sums_before) = run(2, Store::Replace);
                assert_close(&d_source, &expected, outputs);
                let sums: Vec<f32> = d_full.iter().zip(&start).map(|(d, start)| d + start).collect();
                assert_close(&d_weights, &sums, images * side * side);
                assert_eq!(run(1, Store::Replace), (d_weights, d_source, sums_before));
                let sums: Vec<f32> = expected.iter().zip(&start_source).map(|(d, start)| d + start).collect();
                assert_close(&run(3, Store::Add).1, &sums, outputs);

                // A pending gradient gives the same bits as one that was written before.
                let normalised = numbers.vector(geometry.target_len());
                let (coefficients, slopes) = (numbers.vector(3 * outputs), numbers.vector(outputs));
                let [scale, shift] = [(); 2].map(|()| numbers.vector(outputs));
                let after = Rectified { scale: &scale, shift: &shift, slopes: &slopes };
                let pending = Pending::new((&normalised).into(), Some(after), &coefficients);
                let mut written = vec![f32::NAN; d_target.len()];
                let values = (&d_target).into();
                OutputGradient { values, pending: Some(pending) }.write(isa, 0..d_target.len(), &mut written);
                assert_eq!(
                    run_with(2, Store::Add, plain, &d_target, Some(pending)),
                    run_with(2, Store::Add, plain, &written, None)
                );

                // So does a normalisation before the source, which also gets its sums.
                let [mean, scale, shift, slopes] = [(); 4].map(|()| numbers.vector(inputs));
                let rectified = Rectified { scale: &scale, shift: &shift, slopes: &slopes };
                let before = Before { mean: &mean, rectified };
                let left = Activations { values: (&source).into(), before: Some(before) };
                let mut activated = vec![f32::NAN; source.len()];
                before.write(isa, (&source).into(), &mut activated);
                let (d_weights, d_source, parts) =
                    run_with(2, Store::Replace, left, &d_target, Some(pending));
                let (expected, expected_source, _) =
                    run_with(1, Store::Replace, activated[..].into(), &written, None);
                assert_eq!((d_weights, &d_source), (expected, &expected_source));
                let (mut sums, mut expected) = (vec![0.0; 3 * inputs], vec![0.0; 3 * inputs]);
                column::add_parts(&parts, &mut sums);
                before.add_sums(isa, (&source).into(), &d_source, &mut expected);
                // Terms far above one.
                assert_close(&sums, &expected, 16 * images * side * side);

                // What is kept in bf16 is read as f32 of the same values and rounded once when it is written.
                for store in [Store::Replace, Store::Add] {
                    let [source, d_target, normalised, start] =
                        [&source, &d_target, &normalised, &start_source].map(|values| halves(values));
                    let [wide_source, wide_target, wide_normalised] =
                        [&source, &d_target, &normalised].map(|values| wide(values));
                    // A gradient that is added to has no normalisation that waits for its sums.
                    let before = (store == Store::Replace).then_some(before);
                    let with = |source, normalised| {
                        let pending = Pending::new(normalised, Some(after), &coefficients);
                        (Activations { values: source, before }, Some(pending))
                    };
                    let mut d_source = start.clone();
                    let (left, pending) = with(Stored::Bf16(&source), Stored::Bf16(&normalised));
                    let out = (StoredMut::Bf16(&mut d_source), store);
                    let gradient = OutputGradient { values: Stored::Bf16(&d_target), pending };
                    let rounded = run_into(2, left, gradient, out);

                    let (left, pending) = with((&wide_source).into(), (&wide_normalised).into());
                    let mut expected = start_source.clone();
                    let out = ((&mut expected).into(), Store::Replace);
                    let gradient = OutputGradient { values: (&wide_target).into(), pending };
                    assert_eq!(rounded, run_into(1, left, gradient, out), "{isa}");
                    if store == Store::Add {
                        expected.iter_mut().zip(wide(&start)).for_each(|(sum, start)| *sum += start);
                    }
                    assert_eq!(d_source, halves(&expected), "{isa} {store:?}");
                }
            }
        }
    }
}
