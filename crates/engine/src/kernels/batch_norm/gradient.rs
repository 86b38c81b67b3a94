//! The backward pass of batch normalisation, alone or with the rectifier that follows it.

use std::ops::Range;

use crate::gemm::{Store, Vector, by_vector};
use crate::isa::Isa;
use crate::kernels::column::{self, Column, SIDE_BY_SIDE, Term};
use crate::kernels::stored::{self, Stored, StoredMut};
use crate::pool::Pool;

/// What the backward pass reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Saved<'a> {
    pub(crate) source: Stored<'a>,
    pub(crate) gamma: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) inverse_deviation: &'a [f32],
    /// The rectifier between the normalised values and the gradient that comes in.
    pub(crate) rectified: Option<Rectified<'a>>,
}

/// A rectifier after the normalisation: its input was `source * scale + shift`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rectified<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) slopes: &'a [f32],
}

/// Gradients of parameters, which are added to.
#[derive(Debug)]
pub(crate) struct ParameterGradients<'a> {
    pub(crate) d_gamma: &'a mut [f32],
    pub(crate) d_beta: &'a mut [f32],
    /// Of the rectifier, if there is one.
    pub(crate) d_slopes: Option<&'a mut [f32]>,
}

/// With `h = (x - mean) * inverse_deviation`, `n = gamma h + beta`, `dn = dy` or, with a rectifier,
/// `dn = dy * (n > 0 ? 1 : slope)`, and sums over the rows: `d_beta += sum dn`, `d_gamma += sum dn h`,
/// `d_slopes += sum dy min(n, 0)`,
/// `dx (=|+=) gamma * inverse_deviation * (dn - (sum dn + h sum(dn h)) / rows)`.
///
/// Where `d_target` is `None`, `d_source` holds `dy`, and is overwritten or added to. `summed` is as in [`reduce`].
///
/// # Shapes
/// `d_target` and `d_source` as `saved.source`, `[rows, channels]`; `partials` is scratch of
/// `(PARTS + 2) * 3 * channels` floats.
///
/// # Panics
/// When a length does not fit the others.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn backward(
    pool: &Pool,
    saved: Saved<'_>,
    d_target: Option<Stored<'_>>,
    d_source: StoredMut<'_>,
    store: Store,
    summed: Option<usize>,
    partials: &mut [f32],
    into: ParameterGradients<'_>,
) {
    let channels = saved.gamma.len();
    assert_eq!(saved.source.len(), d_source.len(), "batch norm input and its gradient");
    let (partials, coefficients) = partials.split_at_mut(partials.len() - 3 * channels);
    let incoming = match d_target {
        Some(d_target) => d_target,
        None => d_source.as_ref(),
    };
    reduce(pool, saved, incoming, summed, partials, into, coefficients);
    let pending = Pending::new(saved.source, saved.rectified, coefficients);
    // What is overwritten is in a cache already.
    let streams = d_target.is_some() && stored::streams(pool.isa(), d_source.len(), store, true);
    stored::run_chunks(pool, d_source, column::chunk(channels), |range, d| {
        let y = d_target.map(|d_target| d_target.range(range.clone()));
        pending.write(pool.isa(), range, y, d, store, streams);
    });
}

/// The first half of [`backward`], which needs all rows: gradients of the parameters, and the `coefficients`,
/// `[3, channels]`, with which the gradient of any row can be written.
///
/// Where so many parts were `summed` by [`add_sums`], their sums are the first in `partials`.
///
/// # Shapes
/// `d_target` as `saved.source`; `partials` is scratch of `(PARTS + 1) * 3 * channels` floats.
///
/// # Panics
/// When a length does not fit the others.
pub(crate) fn reduce(
    pool: &Pool,
    saved: Saved<'_>,
    d_target: Stored<'_>,
    summed: Option<usize>,
    partials: &mut [f32],
    into: ParameterGradients<'_>,
    coefficients: &mut [f32],
) {
    let channels = saved.gamma.len();
    let rows = saved.source.len() / channels;
    assert_eq!(saved.source.len(), d_target.len(), "batch norm input and output gradient");
    assert!(saved.source.len().is_multiple_of(channels), "rows of {channels} channels");
    let width = sums_width(saved.rectified, channels);
    let parts = summed.unwrap_or_else(|| {
        column::reduce_parts(pool, rows, width, partials, |rows, partial, _| {
            let range = rows.start * channels..rows.end * channels;
            let (x, y) = (saved.source.range(range.clone()), d_target.range(range));
            add_sums(pool.isa(), x, y, saved.mean, saved.rectified, partial);
        })
    });
    let (parts, sums) = partials.split_at_mut(parts * width);
    let sums = &mut sums[..width];
    sums.fill(0.0);
    column::add_parts(parts, sums);
    // dx = dn * gain + x * slope + shift, with the sums folded in for each channel.
    let (gain, rest) = coefficients.split_at_mut(channels);
    let (slope, shift) = rest.split_at_mut(channels);
    for channel in 0..channels {
        let inverse = saved.inverse_deviation[channel];
        let (sum, product) = (sums[channel], sums[channels + channel] * inverse);
        into.d_beta[channel] += sum;
        into.d_gamma[channel] += product;
        gain[channel] = saved.gamma[channel] * inverse;
        let factor = gain[channel] / rows as f32;
        slope[channel] = -factor * product * inverse;
        shift[channel] = -factor * sum - saved.mean[channel] * slope[channel];
    }
    if let (Some(d_slopes), Some(sums)) = (into.d_slopes, sums.get(2 * channels..)) {
        d_slopes.iter_mut().zip(sums).for_each(|(d_slope, sum)| *d_slope += sum);
    }
}

/// Sums of a part of the rows.
fn sums_width(rectified: Option<Rectified<'_>>, channels: usize) -> usize {
    if rectified.is_some() { 3 * channels } else { 2 * channels }
}

/// Adds to `sums` those of some rows, `x` of the normalisation's input and `y` of the gradient that comes in: of `dn`, of
/// `dn (x - mean)` and, with a rectifier, of `dy min(n, 0)`.
///
/// # Shapes
/// `x` and `y` `[rows, channels]`, `mean` `[channels]`, `sums` `[2, channels]` or, with a rectifier, `[3, channels]`.
///
/// # Panics
/// When a length does not fit the others.
pub(crate) fn add_sums(
    isa: Isa,
    x: Stored<'_>,
    y: Stored<'_>,
    mean: &[f32],
    rectified: Option<Rectified<'_>>,
    sums: &mut [f32],
) {
    assert_eq!(sums.len(), sums_width(rectified, mean.len()), "sums of {} channels", mean.len());
    let Some(rectified) = rectified else {
        return column::sum_rows(isa, Term::Gradient, x, y, mean, sums);
    };
    assert!(x.len() == y.len() && x.len().is_multiple_of(mean.len()), "rows of {} channels", mean.len());
    let parameters = [rectified.scale, rectified.shift, rectified.slopes];
    assert!(parameters.iter().all(|values| values.len() == mean.len()), "parameters of {}", mean.len());
    #[expect(unsafe_code, reason = "adds whole vectors")]
    // SAFETY: the lengths were checked, and an Isa that reaches a kernel is available.
    unsafe {
        by_vector!(
            isa,
            rectified_sums,
            (x: Stored<'_>, y: Stored<'_>, mean: &[f32], rectified: Rectified<'_>, sums: &mut [f32])
        );
    }
}

/// The gradient of a normalisation's input, to be written row by row where it is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending<'a> {
    /// Input of the normalisation.
    source: Stored<'a>,
    rectified: Option<Rectified<'a>>,
    coefficients: [&'a [f32]; 3],
}

impl<'a> Pending<'a> {
    /// With the coefficients of [`reduce`].
    pub(crate) fn new(
        source: Stored<'a>,
        rectified: Option<Rectified<'a>>,
        coefficients: &'a [f32],
    ) -> Pending<'a> {
        let (gain, rest) = coefficients.split_at(coefficients.len() / 3);
        let (slope, shift) = rest.split_at(rest.len() / 2);
        Pending { source, rectified, coefficients: [gain, slope, shift] }
    }

    /// The memory of the normalisation's input that belongs to `range`.
    pub(crate) fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        self.source.range(range).bytes()
    }

    /// `d_source (=|+=)` the gradient of the elements of `range`, whole rows, from theirs of the output: `d_target`,
    /// or what `d_source` holds; past the caches if it `streams`.
    ///
    /// # Panics
    /// When a length does not fit the range.
    pub(crate) fn write(
        &self,
        isa: Isa,
        range: Range<usize>,
        d_target: Option<Stored<'_>>,
        d_source: StoredMut<'_>,
        store: Store,
        streams: bool,
    ) {
        let (x, y, d) = (self.source.range(range), d_target, d_source);
        assert_eq!(x.len(), d.len(), "rows and their gradient");
        assert!(y.is_none_or(|y| y.len() == d.len()), "gradients of the output and the input");
        let (rectified, coefficients) = (self.rectified, self.coefficients);
        let channels = coefficients[0].len();
        let parameters = rectified.map_or(coefficients, |r| [r.scale, r.shift, r.slopes]);
        let whole = parameters.into_iter().chain(coefficients).all(|values| values.len() == channels);
        assert!(whole && x.len().is_multiple_of(channels), "rows of {channels} channels");
        #[expect(unsafe_code, reason = "computes whole vectors")]
        // SAFETY: the lengths were checked, and an Isa that reaches a kernel is available.
        unsafe {
            by_vector!(
                isa,
                apply_rows,
                (
                    x: Stored<'_>, y: Option<Stored<'_>>, rectified: Option<Rectified<'_>>,
                    coefficients: [&[f32]; 3], d: StoredMut<'_>, store: Store, streams: bool
                )
            );
        }
    }
}

/// Adds to `sums`, `[3, channels]`, those of `dn`, `dn (x - mean)` and `dy min(n, 0)`.
#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn rectified_sums<V: Vector>(
    x: Stored<'_>,
    y: Stored<'_>,
    mean: &[f32],
    rectified: Rectified<'_>,
    sums: &mut [f32],
) {
    let channels = mean.len();
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe {
        column::by_columns!(V, x.len() / channels, channels, add_rectified([x, y], mean, rectified, sums));
    }
}

/// # Safety
/// As [`Column::read`].
#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn add_rectified<V: Vector, const WHOLE: bool>(
    column: Column,
    rows: Range<usize>,
    [x, y]: [Stored<'_>; 2],
    mean: &[f32],
    rectified: Rectified<'_>,
    sums: &mut [f32],
) {
    let (sums, rest) = sums.split_at_mut(mean.len());
    let (products, negatives) = rest.split_at_mut(mean.len());
    let [sums, products, negatives] = [sums, products, negatives].map(|sums| &mut sums[column.columns()]);
    let Rectified { scale, shift, slopes } = rectified;
    // SAFETY: the caller's promise.
    unsafe {
        // One by one: the closure of an array's `map` is not always compiled into it.
        let (mean, scale) = (V::load_some(&mean[column.columns()]), V::load_some(&scale[column.columns()]));
        let (shift, slope) =
            (V::load_some(&shift[column.columns()]), V::load_some(&slopes[column.columns()]));
        let (mut sum, mut product) = (V::load_some(sums), V::load_some(products));
        let mut negative = V::load_some(negatives);
        for row in rows {
            let (x, y) = (column.read::<V, WHOLE>(x, row), column.read::<V, WHOLE>(y, row));
            let n = x.multiply_add(scale, shift);
            let d = n.where_positive(y, slope.multiply(y));
            sum = sum.add(d);
            product = d.multiply_add(x.subtract(mean), product);
            negative = n.where_positive(V::splat(0.0), n).multiply_add(y, negative);
        }
        sum.store_some(sums);
        product.store_some(products);
        negative.store_some(negatives);
    }
}

/// `d (=|+=) dn * gain + x * slope + shift`, `dy` being `y` or what is in `d`.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn apply_rows<V: Vector>(
    x: Stored<'_>,
    y: Option<Stored<'_>>,
    rectified: Option<Rectified<'_>>,
    [gain, slope, shift]: [&[f32]; 3],
    d: StoredMut<'_>,
    store: Store,
    streams: bool,
) {
    let mut d = d;
    let channels = gain.len();
    let rows = x.len() / channels;
    let coefficients = [gain, slope, shift];
    let mut channel = 0;
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe {
        while channel + SIDE_BY_SIDE * V::LANES <= channels {
            let target = (&mut d, store, streams);
            apply_columns::<V, SIDE_BY_SIDE>(x, y, rectified, coefficients, target, [rows, channel]);
            channel += SIDE_BY_SIDE * V::LANES;
        }
        while channel + V::LANES <= channels {
            apply_columns::<V, 1>(x, y, rectified, coefficients, (&mut d, store, streams), [rows, channel]);
            channel += V::LANES;
        }
        if channel < channels {
            for row in 0..rows {
                let columns = channel..channels;
                let here = row * channels + columns.start..row * channels + columns.end;
                let load = |values: &[f32]| column::load_at::<V>(values, columns.clone());
                let x = x.at::<V>(here.clone());
                let mut dn = y.unwrap_or(d.as_ref()).at::<V>(here.clone());
                if let Some(rectified) = rectified {
                    let n = x.multiply_add(load(rectified.scale), load(rectified.shift));
                    dn = n.where_positive(dn, load(rectified.slopes).multiply(dn));
                }
                let mut dx = dn.multiply_add(load(gain), x.multiply_add(load(slope), load(shift)));
                if store == Store::Add {
                    dx = d.as_ref().at::<V>(here.clone()).add(dx);
                }
                d.put(dx, here, streams);
            }
        }
    }
}

/// As [`apply_rows`] for `N` vectors of channels, whose coefficients stay in registers from row to row.
///
/// # Safety
/// The processor has `V`'s instruction set, and the operands reach as far.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn apply_columns<V: Vector, const N: usize>(
    x: Stored<'_>,
    y: Option<Stored<'_>>,
    rectified: Option<Rectified<'_>>,
    [gain, slope, shift]: [&[f32]; 3],
    (target, store, streams): (&mut StoredMut<'_>, Store, bool),
    [rows, channel]: [usize; 2],
) {
    let channels = gain.len();
    // SAFETY: the caller's promise.
    unsafe {
        let gain: [V; N] = Stored::F32(gain).load(channel);
        let slope: [V; N] = Stored::F32(slope).load(channel);
        let shift: [V; N] = Stored::F32(shift).load(channel);
        // Without a rectifier a slope of 1, on either side of 0.
        let mut map = [[V::splat(1.0); N]; 3];
        if let Some(rectified) = rectified {
            let [scales, shifts, slopes] = &mut map;
            *scales = Stored::F32(rectified.scale).load(channel);
            *shifts = Stored::F32(rectified.shift).load(channel);
            *slopes = Stored::F32(rectified.slopes).load(channel);
        }
        let [scales, shifts, slopes] = map;
        for row in 0..rows {
            let at = row * channels + channel;
            let x: [V; N] = x.load(at);
            let mut dx: [V; N] = y.unwrap_or(target.as_ref()).load(at);
            for (index, d) in dx.iter_mut().enumerate() {
                let n = x[index].multiply_add(scales[index], shifts[index]);
                let dn = n.where_positive(*d, slopes[index].multiply(*d));
                *d = dn.multiply_add(gain[index], x[index].multiply_add(slope[index], shift[index]));
            }
            if store == Store::Add {
                let there: [V; N] = target.as_ref().load(at);
                for (dx, there) in dx.iter_mut().zip(there) {
                    *dx = there.add(*dx);
                }
            }
            target.store(dx, at, streams);
        }
    }
}
