//! What follows a layer, done to its rows while they are still in a cache or on the way to memory.

use std::ops::Range;

use super::column::{self, SIDE_BY_SIDE};
use super::stored::{self, Stored, StoredMut};
use crate::gemm::{Store, Vector, by_vector};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};

/// What is done to a layer's output `y`: `rectified(y + bias) + residual`, each where it is given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epilogue<'a> {
    /// `[channels]`.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) after: After<'a>,
}

/// A rectifier and a sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct After<'a> {
    /// Slopes of a rectifier, `[channels]`.
    pub(crate) slopes: Option<&'a [f32]>,
    /// Added to what was rectified; as many values as the output.
    pub(crate) residual: Option<Stored<'a>>,
}

impl<'a> Epilogue<'a> {
    /// A bias and no more.
    pub(crate) fn bias(bias: Option<&'a [f32]>) -> Epilogue<'a> {
        Epilogue { bias, after: After::default() }
    }

    /// For rows that begin `count` floats later.
    pub(crate) fn after_floats(mut self, count: usize) -> Epilogue<'a> {
        self.after.residual = self.after.residual.map(|residual| residual.range(count..residual.len()));
        self
    }

    fn is_empty(&self) -> bool {
        self.bias.is_none() && self.after.is_empty()
    }

    /// As [`After::value`], the bias first.
    ///
    /// # Safety
    /// As [`After::value`]; the bias reaches as far as the columns say.
    #[expect(unsafe_code, reason = "computes whole vectors")]
    #[inline(always)]
    pub(crate) unsafe fn value<V: Vector>(&self, value: V, columns: Range<usize>, place: Range<usize>) -> V {
        let mut value = value;
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(bias) = self.bias {
                value = value.add(column::load_at(bias, columns.clone()));
            }
            self.after.value(value, columns, place)
        }
    }

    /// Does it to some columns of some rows of `target`, `[rows, channels]`.
    ///
    /// # Safety
    /// No other live reference covers these columns of these rows.
    #[expect(unsafe_code, reason = "columns of rows are no contiguous slice")]
    pub(crate) unsafe fn apply(
        self,
        isa: Isa,
        target: Shared<'_, f32>,
        channels: usize,
        rows: Range<usize>,
        columns: Range<usize>,
    ) {
        if self.is_empty() {
            return;
        }
        for row in rows {
            let place = row * channels + columns.start..row * channels + columns.end;
            let mut here = self;
            here.bias = here.bias.map(|bias| &bias[columns.clone()]);
            here.after.slopes = here.after.slopes.map(|slopes| &slopes[columns.clone()]);
            here.after.residual = here.after.residual.map(|residual| residual.range(place.clone()));
            // SAFETY: the caller's promise; every operand was cut to the columns, and an Isa that reaches a kernel is
            // available.
            unsafe {
                let row = target.range(place);
                by_vector!(isa, finish_row, (here: Epilogue<'_>, row: &mut [f32]));
            }
        }
    }
}

impl After<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.slopes.is_none() && self.residual.is_none()
    }

    /// The value of some elements of a row, at `place` of the whole output and in `columns`.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set; slopes and residual reach as far as the places say.
    #[expect(unsafe_code, reason = "computes whole vectors")]
    #[inline(always)]
    pub(crate) unsafe fn value<V: Vector>(&self, value: V, columns: Range<usize>, place: Range<usize>) -> V {
        let mut value = value;
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(slopes) = self.slopes {
                value = value.where_positive(value, value.multiply(column::load_at(slopes, columns)));
            }
            if let Some(residual) = self.residual {
                value = value.add(residual.at(place));
            }
        }
        value
    }
}

#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn finish_row<V: Vector>(epilogue: Epilogue<'_>, row: &mut [f32]) {
    for start in (0..row.len()).step_by(V::LANES) {
        let here = start..(start + V::LANES).min(row.len());
        // SAFETY: the caller promises the instruction set, and operands as long as the row.
        unsafe {
            let value = column::load_at::<V>(row, here.clone());
            let value = epilogue.value(value, here.clone(), here.clone());
            column::store_at(value, row, here);
        }
    }
}

/// `target = after(source * scale + shift)` for each channel, or `after(source)`.
///
/// # Shapes
/// `source` and `target` `[rows, channels]`, `scale` and `shift` `[channels]`.
///
/// # Panics
/// When a length does not fit the others.
pub(crate) fn map(
    pool: &Pool,
    source: Stored<'_>,
    channels: usize,
    affine: Option<[&[f32]; 2]>,
    after: After<'_>,
    target: StoredMut<'_>,
) {
    assert_eq!(source.len(), target.len(), "input and output");
    assert!(after.residual.is_none_or(|residual| residual.len() == target.len()), "output and summand");
    let streams = stored::streams(pool.isa(), target.len(), Store::Replace, true);
    stored::run_chunks(pool, target, column::chunk(channels), |range, target| {
        let source = source.range(range.clone());
        let after = After { residual: after.residual.map(|residual| residual.range(range)), ..after };
        map_some(pool.isa(), source, channels, affine, after, (target, streams));
    });
}

/// As [`map`] for some rows, by the calling thread alone, past the caches if it streams.
///
/// # Panics
/// As [`map`].
pub(crate) fn map_some(
    isa: Isa,
    source: Stored<'_>,
    channels: usize,
    affine: Option<[&[f32]; 2]>,
    after: After<'_>,
    target: (StoredMut<'_>, bool),
) {
    assert_eq!(source.len(), target.0.len(), "input and output");
    let pitches = Pitches { source: channels, first: 0, target: channels };
    map_pitched(isa, source, (channels, pitches), affine, after, target);
}

/// Numbers from one row to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pitches {
    pub(crate) source: usize,
    /// The first column that is taken of the source.
    pub(crate) first: usize,
    pub(crate) target: usize,
}

/// As [`map_some`] for `channels` columns of wider rows; a residual lies as the source does.
///
/// # Panics
/// As [`map`].
pub(crate) fn map_pitched(
    isa: Isa,
    source: Stored<'_>,
    (channels, pitches): (usize, Pitches),
    affine: Option<[&[f32]; 2]>,
    after: After<'_>,
    (target, streams): (StoredMut<'_>, bool),
) {
    let rows = source.len() / pitches.source;
    assert!(source.len().is_multiple_of(pitches.source), "rows of {pitches:?}");
    assert!(
        pitches.first + channels <= pitches.source && channels <= pitches.target,
        "{channels} of {pitches:?}"
    );
    assert!(rows == 0 || target.len() >= (rows - 1) * pitches.target + channels, "output of {rows} rows");
    assert!(after.residual.is_none_or(|residual| residual.len() == source.len()), "output and summand");
    let mut vectors = affine.into_iter().flatten().chain(after.slopes);
    assert!(vectors.all(|values| values.len() == channels), "parameters of {channels} channels");
    let sizes = (rows, channels, pitches);
    #[expect(unsafe_code, reason = "computes whole vectors")]
    // SAFETY: the lengths were checked, and an Isa that reaches a kernel is available.
    unsafe {
        by_vector!(
            isa,
            map_rows,
            (
                source: Stored<'_>, sizes: (usize, usize, Pitches), affine: Option<[&[f32]; 2]>,
                after: After<'_>, target: StoredMut<'_>, streams: bool
            )
        );
    }
}

#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn map_rows<V: Vector>(
    source: Stored<'_>,
    (rows, channels, pitches): (usize, usize, Pitches),
    affine: Option<[&[f32]; 2]>,
    after: After<'_>,
    target: StoredMut<'_>,
    streams: bool,
) {
    let mut target = target;
    let mut channel = 0;
    // SAFETY: the caller promises the instruction set and operands of these sizes.
    unsafe {
        while channel + SIDE_BY_SIDE * V::LANES <= channels {
            let sizes = (rows, channel, pitches);
            map_columns::<V, SIDE_BY_SIDE>(source, sizes, affine, after, &mut target, streams);
            channel += SIDE_BY_SIDE * V::LANES;
        }
        while channel + V::LANES <= channels {
            map_columns::<V, 1>(source, (rows, channel, pitches), affine, after, &mut target, streams);
            channel += V::LANES;
        }
        if channel < channels {
            for row in 0..rows {
                let (from, to) = (row * pitches.source + pitches.first, row * pitches.target);
                let (columns, place) = (channel..channels, from + channel..from + channels);
                let mut value = source.at::<V>(place.clone());
                if let Some([scale, shift]) = affine {
                    let shift = column::load_at(shift, columns.clone());
                    value = value.multiply_add(column::load_at(scale, columns.clone()), shift);
                }
                let value = after.value(value, columns, place);
                target.put(value, to + channel..to + channels, streams);
            }
        }
    }
}

/// As [`map_rows`] for `N` vectors of channels, whose parameters stay in registers from row to row.
///
/// # Safety
/// The processor has `V`'s instruction set, and the operands reach as far.
#[expect(unsafe_code, reason = "computes whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn map_columns<V: Vector, const N: usize>(
    source: Stored<'_>,
    (rows, channel, pitches): (usize, usize, Pitches),
    affine: Option<[&[f32]; 2]>,
    after: After<'_>,
    target: &mut StoredMut<'_>,
    streams: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        // What changes no value, where there is no map or no rectifier: -0 leaves both zeros as they are.
        let [mut scales, mut shifts, mut slopes] = [1.0, -0.0, 1.0].map(|value| [V::splat(value); N]);
        if let Some([scale, shift]) = affine {
            (scales, shifts) = (Stored::F32(scale).load(channel), Stored::F32(shift).load(channel));
        }
        if let Some(values) = after.slopes {
            slopes = Stored::F32(values).load(channel);
        }
        for row in 0..rows {
            let from = row * pitches.source + pitches.first + channel;
            let mut values: [V; N] = source.load(from);
            for (index, value) in values.iter_mut().enumerate() {
                let n = value.multiply_add(scales[index], shifts[index]);
                *value = n.where_positive(n, n.multiply(slopes[index]));
            }
            if let Some(residual) = after.residual {
                let residual: [V; N] = residual.load(from);
                for (value, residual) in values.iter_mut().zip(residual) {
                    *value = value.add(residual);
                }
            }
            target.store(values, row * pitches.target + channel, streams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, assert_close};

    #[test]
    fn every_instruction_set_and_every_choice_agrees_with_plain_loops() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            for (rows, channels) in [(1, 1), (5, 17), (700, 33), (300, 64)] {
                let mut numbers = Numbers::new(21);
                let (source, residual) = (numbers.vector(rows * channels), numbers.vector(rows * channels));
                let [scale, shift, slopes] = [(); 3].map(|()| numbers.vector(channels));
                for choice in 0..8 {
                    let affine = (choice & 1 > 0).then_some([&scale[..], &shift[..]]);
                    let after = After {
                        slopes: (choice & 2 > 0).then_some(&slopes),
                        residual: (choice & 4 > 0).then_some((&residual).into()),
                    };
                    let expected = |scale: Option<&[f32]>, shift: Option<&[f32]>| -> Vec<f32> {
                        let value = |(index, value): (usize, &f32)| {
                            let channel = index % channels;
                            let value = scale.map_or(*value, |scale| value * scale[channel]);
                            let value = shift.map_or(value, |shift| value + shift[channel]);
                            let slope = after.slopes.map_or(1.0, |slopes| slopes[channel]);
                            let value = if value > 0.0 { value } else { slope * value };
                            value + after.residual.map_or(0.0, |residual| residual.floats()[index])
                        };
                        source.iter().enumerate().map(value).collect()
                    };
                    let mut target = vec![f32::NAN; source.len()];
                    map(&pool, (&source).into(), channels, affine, after, (&mut target).into());
                    let [scale, bias] = [affine.map(|pair| pair[0]), affine.map(|pair| pair[1])];
                    assert_close(&target, &expected(scale, bias), 2);

                    // The same where it lies, in two groups of columns.
                    let mut target = source.clone();
                    let shared = Shared::new(&mut target);
                    for columns in [0..channels / 2, channels / 2..channels] {
                        #[expect(unsafe_code, reason = "calls what is tested")]
                        // SAFETY: nobody else holds the rows.
                        unsafe {
                            Epilogue { bias, after }.apply(isa, shared, channels, 0..rows, columns);
                        }
                    }
                    assert_close(&target, &expected(None, bias), 2);
                }
            }
        }
    }
}
