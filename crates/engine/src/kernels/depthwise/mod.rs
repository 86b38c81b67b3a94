//! Depthwise convolutions: every channel has a kernel of its own, `[taps][channels]`.

mod band;
mod inner;
mod lines;
mod rows;

use std::ops::Range;

use net::Shape;

use band::{Band, View};
use rows::{Window, forward_row, weight_row};

use super::activations::{Activations, OutputGradient};
use super::batch_norm::{PartMoments, Parts};
use super::column;
use super::epilogue::Epilogue;
use super::geometry::Geometry;
use super::stored::{Outlet, Stored, StoredMut};
use crate::gemm::{Store, by_vector, share};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};

/// As [`forward_row`], by the vectors of `isa`.
fn run_row(
    isa: Isa,
    window: Window<'_>,
    weights: &[f32],
    place: [usize; 4],
    target: &mut [f32],
    store: Store,
) {
    #[expect(unsafe_code, reason = "computes whole vectors")]
    // SAFETY: the function checks every access but asks for the instruction set.
    unsafe {
        by_vector!(
            isa,
            forward_row,
            (window: Window<'_>, weights: &[f32], place: [usize; 4], target: &mut [f32], store: Store)
        );
    }
}

/// `target = epilogue(source * weights)`, channel by channel; returns the parts where `moments` are asked for.
///
/// # Shapes
/// `weights` `[taps, channels]`; activations as `geometry` says, with equal channels. `moments` at least
/// `[PARTS, 2, channels]`, of which the moments of parts of the rows are written as
/// [`batch_norm::measure`](super::batch_norm::measure) does.
pub(crate) fn forward(
    pool: &Pool,
    geometry: &Geometry,
    source: Activations<'_>,
    weights: &[f32],
    epilogue: Epilogue<'_>,
    moments: Option<&mut [f32]>,
    target: StoredMut<'_>,
) -> Option<Parts> {
    assert_eq!(source.values.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(target.len(), geometry.target_len(), "output of {geometry:?}");
    let (isa, taps) = (pool.isa(), geometry.taps());
    let (height, width, channels) = (geometry.target.height, geometry.target.width, geometry.source.channels);
    let count = geometry.images * height;
    let row_len = width * channels;
    let outlet = Outlet::new(isa, target, Store::Replace, moments.is_some());
    let made_len = outlet.scratch_len(row_len);
    let finish = |row: usize, view: View<'_>, made: &mut [f32], part: Option<&mut PartMoments<'_>>| {
        let ahead = [source.values.range(next_sources(geometry, row)).bytes(), &[]];
        let window = Window { ahead, ..Window::of_targets(geometry, view, &taps) };
        let (place, grid) = (row * row_len..(row + 1) * row_len, [row / height, row % height, width, 1]);
        let (into, store) = outlet.open(place.clone(), made);
        #[expect(unsafe_code, reason = "tasks share a tensor")]
        // SAFETY: this row belongs to this task alone, and each reference to it is used before the next is made.
        unsafe {
            run_row(isa, window, weights, grid, into.range(0..row_len), store);
            epilogue.after_floats(place.start).apply(isa, into, channels, 0..width, 0..channels);
            if let Some(part) = part {
                part.add(isa, Stored::F32(into.range(0..row_len)));
            }
            outlet.close(place, into);
        }
    };
    let Some(moments) = moments else {
        let Some(values) = source.as_they_lie() else {
            panic!("a normalisation or bf16 before a layer without a normalisation after it")
        };
        pool.run(count, |row, scratch| {
            finish(row, Band::All(values).view(), scratch.at_least(made_len), None);
        });
        return None;
    };
    let each = count.div_ceil(column::PARTS);
    let moments = Shared::new(moments);
    pool.run(count.div_ceil(each), |index, scratch| {
        let kept = kept_sources(geometry, source);
        let (made, rest) = scratch.at_least(made_len + channels + kept).split_at_mut(made_len);
        let (origin, kept) = rest.split_at_mut(channels);
        let mut sources = Band::new(source.as_they_lie(), kept, geometry.source.width * channels);
        #[expect(unsafe_code, reason = "tasks share a buffer")]
        // SAFETY: this part's moments belong to this task alone.
        let sums = unsafe { moments.range(index * 2 * channels..(index + 1) * 2 * channels) };
        let mut part = PartMoments::new(origin, sums);
        for row in index * each..((index + 1) * each).min(count) {
            meet_sources(isa, geometry, source, &mut sources, row);
            finish(row, sources.view(), made, Some(&mut part));
        }
        part.finish();
    });
    Some(Parts::even(count * width, each * width))
}

/// Floats that a task keeps of the source: none where it is read as it lies, else the rows that one target row meets,
/// rounded up to a power of two.
fn kept_sources(geometry: &Geometry, source: Activations<'_>) -> usize {
    let rows = if source.as_they_lie().is_some() { 0 } else { geometry.kernel[0].next_power_of_two() };
    rows * geometry.source.width * geometry.source.channels
}

/// The source numbers that the target row after `row` is the first to meet.
fn next_sources(geometry: &Geometry, row: usize) -> Range<usize> {
    after(geometry, row, |row| geometry.rows_met(row), geometry.source)
}

/// The target numbers that the row after `row` is the first whose sources read them.
fn next_targets(geometry: &Geometry, row: usize) -> Range<usize> {
    after(geometry, row, |row| geometry.rows_around(row), geometry.target)
}

/// What the target row after `row`, if there is one, needs of the rows of `shape` beyond what `row` needs.
fn after(
    geometry: &Geometry,
    row: usize,
    needs: impl Fn(usize) -> Range<usize>,
    shape: Shape,
) -> Range<usize> {
    let next = needs((row + 1).min(geometry.images * geometry.target.height - 1));
    let start = next.start.max(needs(row).end).min(next.end);
    let len = shape.width * shape.channels;
    start * len..next.end * len
}

/// Has the source rows in `sources` that target row `row` meets.
fn meet_sources(isa: Isa, geometry: &Geometry, source: Activations<'_>, sources: &mut Band<'_>, row: usize) {
    sources.meet(geometry.rows_met(row), |range, target| source.write(isa, range, target));
}

/// `d_weights += sum over positions of source * d_target` and, where it is wanted, `d_source (=|+=) d_target * weights`,
/// each target position handing its gradient back through its taps.
///
/// With a normalisation pending, `d_target` is the gradient of its output. With a
/// normalisation before the source, the sums that it needs of `d_source` are the first in `partials` afterwards, as many
/// parts as are returned.
///
/// # Shapes
/// As [`forward`]; `partials` is scratch of `PARTS * (taps + 3) * channels` floats.
///
/// # Panics
/// When a length does not fit, or a gradient is added to while a normalisation waits for its sums.
#[expect(clippy::too_many_arguments, reason = "two gradients have this many operands")]
pub(crate) fn gradients(
    pool: &Pool,
    geometry: &Geometry,
    source: Activations<'_>,
    d_target: OutputGradient<'_>,
    weights: &[f32],
    partials: &mut [f32],
    d_weights: &mut [f32],
    d_source: Option<(StoredMut<'_>, Store)>,
) -> Option<usize> {
    assert_eq!(source.values.len(), geometry.source_len(), "activations of {geometry:?}");
    assert_eq!(d_target.values.len(), geometry.target_len(), "output gradient of {geometry:?}");
    assert_eq!(
        d_weights.len(),
        geometry.kernel[0] * geometry.kernel[1] * geometry.source.channels,
        "weights"
    );
    let (isa, mut summed) = (pool.isa(), None);
    let d_source = d_source.map(|(d_source, store)| {
        assert_eq!(d_source.len(), geometry.source_len(), "input gradient of {geometry:?}");
        summed = source.awaiting_sums(store);
        Outlet::new(isa, d_source, store, true)
    });
    let (taps, phases) = (geometry.taps(), geometry.phases());
    let (from, to) = (geometry.source, geometry.target);
    let channels = from.channels;
    let count = geometry.images * to.height;
    let (from_len, to_len) = (from.width * channels, to.width * channels);
    let made_len = d_source.map_or(0, |outlet| outlet.scratch_len(from_len));
    let sums_width = summed.map_or(0, |before| before.sums_len());
    let (sums, partials) = partials.split_at_mut(column::PARTS * sums_width);
    let sums = Shared::new(sums);
    let parts = column::reduce_parts(pool, count, d_weights.len(), partials, |rows, partial, scratch| {
        let part = rows.start / column::rows_in_part(count);
        let kept = [kept_sources(geometry, source), kept_targets(geometry, d_target)];
        let (made, rest) = scratch.at_least(made_len + kept.iter().sum::<usize>()).split_at_mut(made_len);
        let (sources, targets) = rest.split_at_mut(kept[0]);
        let mut sources = Band::new(source.as_they_lie(), sources, from_len);
        let mut targets = Band::new(d_target.as_it_lies(), targets, to_len);
        #[expect(unsafe_code, reason = "tasks share a buffer")]
        // SAFETY: this part's sums belong to this task alone.
        let sums = unsafe { sums.range(part * sums_width..(part + 1) * sums_width) };
        sums.fill(0.0);
        for row in rows {
            meet_sources(isa, geometry, source, &mut sources, row);
            targets.meet(geometry.rows_around(row), |range, target| d_target.write(isa, range, target));
            let view = targets.view();
            let [d_next, other] = d_target.bytes(next_targets(geometry, row));
            let ahead = [source.values.range(next_sources(geometry, row)).bytes(), d_next];
            let window = Window { ahead, ..Window::of_targets(geometry, sources.view(), &taps) };
            let place = [row / to.height, row % to.height, to.width];
            weigh_row(isa, window, place, view.row(row, to_len), partial);
            let Some(outlet) = d_source else { continue };
            for from_row in geometry.rows_owned(row) {
                let range = from_row * from_len..(from_row + 1) * from_len;
                let (into, store) = outlet.open(range.clone(), made);
                #[expect(unsafe_code, reason = "tasks share a tensor")]
                // SAFETY: the source rows that a target row owns are its task's alone.
                let d_source = unsafe { into.range(0..from_len) };
                let (image, y) = (from_row / from.height, from_row % from.height);
                let here = phases.iter().enumerate().filter(|(_, phase)| y % geometry.stride == phase.top);
                for (index, phase) in here {
                    let window = Window {
                        source: view,
                        height: to.height,
                        width: to.width,
                        channels,
                        step: 1,
                        taps: &phase.taps,
                        ahead: [share(other, index, phases.len()), &[]],
                    };
                    let place = [image, y / geometry.stride, phase.width, geometry.stride];
                    run_row(isa, window, weights, place, &mut d_source[phase.left * channels..], store);
                }
                if let Some(before) = summed {
                    before.add_sums(isa, source.values.range(range.clone()), d_source, sums);
                }
                #[expect(unsafe_code, reason = "tasks share a tensor")]
                // SAFETY: as above; `d_source` is not used any more.
                unsafe {
                    outlet.close(range, into);
                }
            }
        }
    });
    column::add_parts(&partials[..parts * d_weights.len()], d_weights);
    summed.map(|_| parts)
}

/// Floats that a task keeps of the target's gradient: none where it is read as it lies, else the rows that the source rows
/// of one target row read, rounded up to a power of two.
fn kept_targets(geometry: &Geometry, d_target: OutputGradient<'_>) -> usize {
    let rows =
        if d_target.as_it_lies().is_some() { 0 } else { geometry.most_rows_around().next_power_of_two() };
    rows * geometry.target.width * geometry.target.channels
}

/// As [`weight_row`], by the vectors of `isa`.
fn weigh_row(isa: Isa, window: Window<'_>, place: [usize; 3], d_target: &[f32], sums: &mut [f32]) {
    #[expect(unsafe_code, reason = "computes whole vectors")]
    // SAFETY: the function checks every access but asks for the instruction set.
    unsafe {
        by_vector!(
            isa,
            weight_row,
            (window: Window<'_>, place: [usize; 3], d_target: &[f32], sums: &mut [f32])
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::activations::Before;
    use crate::kernels::batch_norm::{Pending, Rectified};
    use crate::kernels::reference;
    use crate::testing::{Numbers, assert_close, halves, wide};

    #[test]
    fn every_instruction_set_agrees_with_the_plain_loops_in_all_three_directions() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            for (images, height, width, channels, kernel, stride, padding) in [
                (2, 7, 6, 5, [3, 3], 1, 1),
                (3, 8, 5, 33, [3, 3], 2, 1),
                (1, 7, 9, 64, [3, 3], 2, 1),
                (5, 4, 3, 17, [4, 3], 1, 0),
                (2, 9, 8, 48, [3, 3], 1, 1),
                (2, 2, 5, 32, [3, 3], 1, 1),
                (1, 5, 2, 16, [3, 3], 1, 1),
                (1, 8, 12, 32, [3, 3], 2, 1),
                (1, 5, 6, 64, [2, 2], 1, 0),
                (2, 6, 6, 70, [6, 5], 1, 0),
                // Each phase of its gradient has three lines of three taps, two positions apart.
                (2, 9, 14, 32, [6, 6], 2, 2),
                // Large enough to go past the caches.
                (65, 32, 32, 16, [3, 3], 1, 1),
            ] {
                let size = |side: usize, kernel: usize| (side + 2 * padding - kernel) / stride + 1;
                let geometry = Geometry {
                    images,
                    source: Shape { height, width, channels },
                    target: Shape {
                        height: size(height, kernel[0]),
                        width: size(width, kernel[1]),
                        channels,
                    },
                    kernel,
                    stride,
                    padding,
                };
                let taps = kernel[0] * kernel[1];
                let mut numbers = Numbers::new(5);
                let source = numbers.vector(geometry.source_len());
                let weights = numbers.vector(taps * channels);
                let bias = numbers.vector(channels);
                let d_target = numbers.vector(geometry.target_len());
                let full = reference::full_weights(channels, taps, &weights);

                let forward_into =
                    |source: Activations<'_>, moments: Option<&mut [f32]>, target: StoredMut<'_>| {
                        let epilogue = Epilogue::bias(Some(&bias));
                        forward(&pool, &geometry, source, &weights, epilogue, moments, target)
                    };
                let forward = |source: Activations<'_>, moments: Option<&mut [f32]>| {
                    let mut target = vec![f32::NAN; geometry.target_len()];
                    let part = forward_into(source, moments, (&mut target).into());
                    (target, part)
                };
                let mut moments = vec![f32::NAN; column::PARTS * 2 * channels];
                let (target, part) = forward(source[..].into(), Some(&mut moments));
                let mut again = vec![f32::NAN; moments.len()];
                for (index, rows) in target.chunks(part.unwrap().rows()[0] * channels).enumerate() {
                    let (_, moments) = moments.split_at(index * 2 * channels);
                    // One part holds all rows.
                    let mut origin = vec![0.0; channels];
                    let mut whole = PartMoments::new(&mut origin, &mut again[..2 * channels]);
                    whole.add(Isa::Portable, rows.into());
                    whole.finish();
                    let terms = 100.max(images * height * width / 16);
                    assert_close(&moments[..2 * channels], &again[..2 * channels], terms);
                }
                assert_eq!(target, forward(source[..].into(), None).0);
                assert_close(&target, &reference::convolution(&geometry, &source, &full, &bias), taps);

                let (expected, d_full) =
                    reference::convolution_gradients(&geometry, &source, &full, &d_target);
                let start = numbers.vector(source.len());
                let gradients_into =
                    |source: Activations<'_>, d_target: OutputGradient<'_>, into: (StoredMut<'_>, Store)| {
                        let mut d_weights = vec![0.5; weights.len()];
                        let mut partials = vec![f32::NAN; column::PARTS * (taps + 3) * channels];
                        let work = &mut partials;
                        let parts = gradients(
                            &pool,
                            &geometry,
                            source,
                            d_target,
                            &weights,
                            work,
                            &mut d_weights,
                            Some(into),
                        );
                        partials.truncate(parts.unwrap_or(0) * 3 * channels);
                        (d_weights, partials)
                    };
                let gradients =
                    |source: Activations<'_>, d_target: &Vec<f32>, pending: Option<Pending<'_>>, store| {
                        let mut d_source = start.clone();
                        let into = ((&mut d_source).into(), store);
                        let (d_weights, parts) =
                            gradients_into(source, OutputGradient { values: d_target.into(), pending }, into);
                        (d_weights, d_source, parts)
                    };
                let (d_weights, d_source, _) = gradients(source[..].into(), &d_target, None, Store::Replace);
                assert_close(&d_source, &expected, taps);
                let added = gradients(source[..].into(), &d_target, None, Store::Add).1;
                let sums: Vec<f32> = expected.iter().zip(&start).map(|(d, start)| d + start).collect();
                assert_close(&added, &sums, taps);
                let expected: Vec<f32> = (0..taps * channels)
                    .map(|index| {
                        let (tap, channel) = (index / channels, index % channels);
                        0.5 + d_full[(tap * channels + channel) * channels + channel]
                    })
                    .collect();
                assert_close(&d_weights, &expected, images * geometry.target.positions());

                // Normalisations on both sides give the same bits as what they would have written.
                let [mean, scale, shift, slopes] = [(); 4].map(|()| numbers.vector(channels));
                let rectified = Rectified { scale: &scale, shift: &shift, slopes: &slopes };
                let before = Before { mean: &mean, rectified };
                let left = Activations { values: (&source).into(), before: Some(before) };
                let mut activated = vec![f32::NAN; source.len()];
                before.write(isa, (&source).into(), &mut activated);
                let mut moments = vec![f32::NAN; column::PARTS * 2 * channels];
                assert_eq!(forward(left, Some(&mut moments)), (forward(activated[..].into(), None).0, part));
                let normalised = numbers.vector(d_target.len());
                let coefficients = numbers.vector(3 * channels);
                let pending = Pending::new((&normalised).into(), Some(rectified), &coefficients);
                let mut written = vec![f32::NAN; d_target.len()];
                let values = (&d_target).into();
                OutputGradient { values, pending: Some(pending) }.write(isa, 0..d_target.len(), &mut written);
                let (d_weights, d_source, parts) = gradients(left, &d_target, Some(pending), Store::Replace);
                let (expected, expected_source, _) =
                    gradients(activated[..].into(), &written, None, Store::Replace);
                assert_eq!((d_weights, &d_source), (expected, &expected_source));
                let (mut sums, mut expected) = (vec![0.0; 3 * channels], vec![0.0; 3 * channels]);
                column::add_parts(&parts, &mut sums);
                before.add_sums(isa, (&source).into(), &d_source, &mut expected);
                // Terms far above one.
                assert_close(&sums, &expected, 16 * images * height * width);

                // What is kept in bf16 is read as f32 of the same values and rounded once when it is written.
                let [source, d_target, normalised, start] =
                    [&source, &d_target, &normalised, &start].map(|values| halves(values));
                let [wide_source, wide_target, wide_normalised] =
                    [&source, &d_target, &normalised].map(|values| wide(values));
                let with = |source, normalised| {
                    let pending = Pending::new(normalised, Some(rectified), &coefficients);
                    (Activations { values: source, before: Some(before) }, Some(pending))
                };
                let (rounded, pending) = with(Stored::Bf16(&source), Stored::Bf16(&normalised));
                let (exact, exact_pending) = with((&wide_source).into(), (&wide_normalised).into());
                let mut target = vec![0; geometry.target_len()];
                let [mut moments, mut expected_moments] =
                    [(); 2].map(|()| vec![0.0; column::PARTS * 2 * channels]);
                forward_into(rounded, Some(&mut moments), StoredMut::Bf16(&mut target));
                assert_eq!(target, halves(&forward(exact, Some(&mut expected_moments)).0), "{isa}");
                assert_eq!(moments, expected_moments, "{isa}");
                let mut d_source = start.clone();
                let into = (StoredMut::Bf16(&mut d_source), Store::Replace);
                let values = Stored::Bf16(&d_target);
                let actual = gradients_into(rounded, OutputGradient { values, pending }, into);
                let (d_weights, expected, parts) =
                    gradients(exact, &wide_target, exact_pending, Store::Replace);
                assert_eq!((actual, d_source), ((d_weights, parts), halves(&expected)), "{isa}");
                // Neither a normalisation nor one pending, and a gradient that is added to.
                let (rounded, exact) = (Activations { before: None, ..rounded }, (&wide_source[..]).into());
                let mut d_source = start.clone();
                let into = (StoredMut::Bf16(&mut d_source), Store::Add);
                let (actual, _) = gradients_into(rounded, values.into(), into);
                let (d_weights, mut expected, _) = gradients(exact, &wide_target, None, Store::Replace);
                expected.iter_mut().zip(wide(&start)).for_each(|(sum, start)| *sum += start);
                assert_eq!((actual, d_source), (d_weights, halves(&expected)), "{isa}");
            }
        }
    }
}
