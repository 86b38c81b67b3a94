//! Rectifier with a learned slope for each channel: `y = x` where `x > 0`, else `slope * x` (arXiv:1502.01852).

use std::ops::Range;

use super::column::{self, Column};
use super::stored::{Stored, StoredMut};
use crate::gemm::{Store, Vector, by_vector};
use crate::pool::Pool;

/// `d_source (=|+=) d_target * (source > 0 ? 1 : slope)` and `d_slopes += sum of d_target * min(source, 0)`.
///
/// Where `d_target` is `None`, `d_source` holds it, and is overwritten or added to.
///
/// # Shapes
/// `source`, `d_target` and `d_source` `[rows, channels]`, `slopes` and `d_slopes` `[channels]`; `partials` is scratch
/// of `PARTS * channels` floats.
///
/// # Panics
/// When a length does not fit the others.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn backward(
    pool: &Pool,
    source: Stored<'_>,
    slopes: &[f32],
    d_target: Option<Stored<'_>>,
    d_source: StoredMut<'_>,
    store: Store,
    partials: &mut [f32],
    d_slopes: &mut [f32],
) {
    assert!(d_target.is_none_or(|given| given.len() == source.len()), "prelu input and output gradient");
    assert_eq!(source.len(), d_source.len(), "prelu input and its gradient");
    let channels = slopes.len();
    assert!(source.len().is_multiple_of(channels), "rows of {channels} channels");
    let d_source = d_source.shared();
    column::reduce(pool, source.len() / channels, partials, d_slopes, |rows, sums| {
        let range = rows.start * channels..rows.end * channels;
        let source = source.range(range.clone());
        let d_target = d_target.map(|d_target| d_target.range(range.clone()));
        #[expect(unsafe_code, reason = "parts of a reduction own the gradients of their rows")]
        // SAFETY: no other part covers these rows; operands are the same whole rows, and an Isa that reaches a kernel
        // is available.
        unsafe {
            let d_source = d_source.range(range);
            by_vector!(
                pool.isa(),
                backward_rows,
                (
                    source: Stored<'_>, slopes: &[f32], d_target: Option<Stored<'_>>, d_source: StoredMut<'_>,
                    store: Store, sums: &mut [f32]
                )
            );
        }
    });
}

#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn backward_rows<V: Vector>(
    source: Stored<'_>,
    slopes: &[f32],
    d_target: Option<Stored<'_>>,
    mut d_source: StoredMut<'_>,
    store: Store,
    sums: &mut [f32],
) {
    let channels = slopes.len();
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe {
        let rows = source.len() / channels;
        column::by_columns!(
            V,
            rows,
            channels,
            backward_column(source, slopes, d_target, &mut d_source, store, sums)
        );
    }
}

/// # Safety
/// As [`Column::read`].
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
unsafe fn backward_column<V: Vector, const WHOLE: bool>(
    column: Column,
    rows: Range<usize>,
    source: Stored<'_>,
    slopes: &[f32],
    d_target: Option<Stored<'_>>,
    d_source: &mut StoredMut<'_>,
    store: Store,
    sums: &mut [f32],
) {
    let sums = &mut sums[column.columns()];
    // SAFETY: the caller's promise.
    unsafe {
        let (mut sum, slope) = (V::load_some(sums), V::load_some(&slopes[column.columns()]));
        for row in rows {
            let x = column.read::<V, WHOLE>(source, row);
            let dy = column.read::<V, WHOLE>(d_target.unwrap_or(d_source.as_ref()), row);
            let mut dx = x.where_positive(dy, slope.multiply(dy));
            if store == Store::Add {
                dx = d_source.as_ref().at::<V>(column.place(row)).add(dx);
            }
            d_source.put(dx, column.place(row), false);
            sum = sum.add(x.where_positive(V::splat(0.0), x.multiply(dy)));
        }
        sum.store_some(sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::precision::Precision;
    use crate::testing::{Numbers, assert_close, halves, seen, wide};

    #[test]
    fn every_instruction_set_agrees_with_plain_loops() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            for (rows, channels) in [(1, 1), (64, 5), (65, 17), (1100, 33), (2100, 64)] {
                let mut numbers = Numbers::new(3);
                let (source, d_target) = (numbers.vector(rows * channels), numbers.vector(rows * channels));
                let (slopes, start) = (numbers.vector(channels), numbers.vector(rows * channels));
                let factor = |index: usize| if source[index] > 0.0 { 1.0 } else { slopes[index % channels] };
                for store in [Store::Replace, Store::Add] {
                    let mut d_source = start.clone();
                    let mut d_slopes = vec![0.5; channels];
                    let mut partials = vec![f32::NAN; column::PARTS * channels];
                    backward(
                        &pool,
                        (&source).into(),
                        &slopes,
                        Some((&d_target).into()),
                        (&mut d_source).into(),
                        store,
                        &mut partials,
                        &mut d_slopes,
                    );
                    let kept = |index: usize| if store == Store::Add { start[index] } else { 0.0 };
                    let expected: Vec<f32> = d_target
                        .iter()
                        .enumerate()
                        .map(|(index, dy)| kept(index) + factor(index) * dy)
                        .collect();
                    assert_close(&d_source, &expected, 2);
                    let expected: Vec<f32> = (0..channels)
                        .map(|channel| {
                            let column = (channel..source.len()).step_by(channels);
                            let terms = column.map(|index| source[index].min(0.0) * d_target[index]);
                            (0.5 + terms.map(f64::from).sum::<f64>()) as f32
                        })
                        .collect();
                    assert_close(&d_slopes, &expected, rows);
                    if store == Store::Replace {
                        let (mut in_place, mut again) = (d_target.clone(), vec![0.5; channels]);
                        backward(
                            &pool,
                            (&source).into(),
                            &slopes,
                            None,
                            (&mut in_place).into(),
                            store,
                            &mut partials,
                            &mut again,
                        );
                        assert_eq!((in_place, again), (d_source, d_slopes));
                    }
                }
            }
        }
    }
    #[test]
    fn bf16_in_memory_makes_what_f32_does_rounded_once() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            for (rows, channels) in [(3, 1), (65, 17), (1100, 64)] {
                let mut numbers = Numbers::new(5);
                let [source, d_target, start] =
                    [(); 3].map(|()| seen(Precision::Bf16, &numbers.vector(rows * channels)));
                let slopes = numbers.vector(channels);
                let narrow = [&source, &d_target, &start].map(|values| halves(values));
                for (store, in_place) in
                    [(Store::Replace, false), (Store::Replace, true), (Store::Add, false)]
                {
                    let [mut d_slopes, mut rounded_slopes] = [(); 2].map(|()| vec![0.5; channels]);
                    let mut partials = vec![f32::NAN; column::PARTS * channels];
                    let mut exact = if in_place { d_target.clone() } else { start.clone() };
                    let mut rounded = narrow[if in_place { 1 } else { 2 }].clone();
                    let given = (!in_place).then_some((&d_target).into());
                    let into = (&mut exact).into();
                    backward(
                        &pool,
                        (&source).into(),
                        &slopes,
                        given,
                        into,
                        store,
                        &mut partials,
                        &mut d_slopes,
                    );
                    let (x, given) =
                        (Stored::Bf16(&narrow[0]), (!in_place).then_some(Stored::Bf16(&narrow[1])));
                    let into = StoredMut::Bf16(&mut rounded);
                    backward(&pool, x, &slopes, given, into, store, &mut partials, &mut rounded_slopes);
                    assert_eq!(wide(&rounded), seen(Precision::Bf16, &exact), "{isa}, {store:?}");
                    assert_eq!(rounded_slopes, d_slopes, "{isa}, {store:?}");
                }
            }
        }
    }
}
