//! What a layer reads: activations, or the input of a normalisation and a rectifier that it applies on the way, so that
//! their output never reaches memory; and backward the gradient of its output, or that of a normalisation after it.

use std::ops::Range;

use super::batch_norm::{self, Pending, Rectified};
use super::epilogue::{self, After, Pitches};
use super::stored::Stored;
use crate::gemm::{Rows, Store};
use crate::isa::Isa;

/// The input of a layer, `[rows, channels]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Activations<'a> {
    pub(crate) values: Stored<'a>,
    /// What is to be done to the values first.
    pub(crate) before: Option<Before<'a>>,
}

/// A normalisation and a rectifier, as the layer after them needs them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before<'a> {
    /// Of the normalisation's input, `[channels]`.
    pub(crate) mean: &'a [f32],
    pub(crate) rectified: Rectified<'a>,
}

impl<'a> From<&'a [f32]> for Activations<'a> {
    fn from(values: &'a [f32]) -> Activations<'a> {
        Activations { values: values.into(), before: None }
    }
}

impl<'a> Activations<'a> {
    /// The normalisation before them that waits for the sums of their gradient, which is stored so.
    ///
    /// # Panics
    /// When a gradient is added to whose sums are awaited: what is there already would be missing in them.
    pub(crate) fn awaiting_sums(&self, gradient: Store) -> Option<Before<'a>> {
        assert!(self.before.is_none() || gradient == Store::Replace, "sums of a gradient that is not whole");
        self.before
    }

    /// Whether a layer can read them as they lie: f32 to which nothing is to be done.
    pub(crate) fn as_they_lie(&self) -> Option<&'a [f32]> {
        match (self.values, self.before) {
            (Stored::F32(values), None) => Some(values),
            _ => None,
        }
    }

    /// Writes those of `range`, whole rows, as the layer reads them.
    ///
    /// # Panics
    /// When a length does not fit the range.
    pub(crate) fn write(&self, isa: Isa, range: Range<usize>, target: &mut [f32]) {
        let values = self.values.range(range);
        match self.before {
            None => values.widen(isa, target),
            Some(before) => before.write(isa, values, target),
        }
    }
}

/// The gradient of a layer's output, `[rows, channels]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputGradient<'a> {
    pub(crate) values: Stored<'a>,
    /// The normalisation after the layer of whose output the values are the gradient, so that the layer's is to be written
    /// first.
    pub(crate) pending: Option<Pending<'a>>,
}

impl<'a> From<Stored<'a>> for OutputGradient<'a> {
    fn from(values: Stored<'a>) -> OutputGradient<'a> {
        OutputGradient { values, pending: None }
    }
}

impl<'a> OutputGradient<'a> {
    /// Whether a layer can read it as it lies: f32 to which nothing is to be done.
    pub(crate) fn as_it_lies(&self) -> Option<&'a [f32]> {
        match (self.values, self.pending) {
            (Stored::F32(values), None) => Some(values),
            _ => None,
        }
    }

    /// The memory from which [`OutputGradient::write`] makes those of `range`.
    pub(crate) fn bytes(&self, range: Range<usize>) -> [&'a [u8]; 2] {
        let other = self.pending.map_or(&[][..], |pending| pending.bytes(range.clone()));
        [self.values.range(range).bytes(), other]
    }

    /// Writes the numbers of `range`, whole rows, as the layer reads them.
    ///
    /// # Panics
    /// When a length does not fit the range.
    pub(crate) fn write(&self, isa: Isa, range: Range<usize>, target: &mut [f32]) {
        let values = self.values.range(range.clone());
        match self.pending {
            None => values.widen(isa, target),
            Some(pending) => pending.write(isa, range, Some(values), target.into(), Store::Replace, false),
        }
    }
}

impl Before<'_> {
    /// Floats of the sums of [`Before::add_sums`].
    pub(crate) fn sums_len(&self) -> usize {
        3 * self.mean.len()
    }

    /// `target = rectified(source)`, some whole rows.
    ///
    /// # Panics
    /// When a length does not fit the others.
    pub(crate) fn write(&self, isa: Isa, source: Stored<'_>, target: &mut [f32]) {
        let (affine, after) = self.map_of(0..self.mean.len());
        epilogue::map_some(isa, source, self.mean.len(), Some(affine), after, (target.into(), false));
    }

    /// What is done to some columns.
    fn map_of(&self, columns: Range<usize>) -> ([&[f32]; 2], After<'_>) {
        let Rectified { scale, shift, slopes } = self.rectified;
        let after = After { slopes: Some(&slopes[columns.clone()]), residual: None };
        ([&scale[columns.clone()], &shift[columns]], after)
    }

    /// Adds to `sums` what the normalisation's backward pass needs of some rows: see [`batch_norm::add_sums`].
    ///
    /// # Panics
    /// When a length does not fit the others.
    pub(crate) fn add_sums(&self, isa: Isa, source: Stored<'_>, d_target: &[f32], sums: &mut [f32]) {
        batch_norm::add_sums(isa, source, d_target.into(), self.mean, Some(self.rectified), sums);
    }
}

/// Rows that are widened, or normalised and rectified, as they are copied.
pub(crate) struct Activated<'a> {
    pub(crate) isa: Isa,
    pub(crate) source: Activations<'a>,
    pub(crate) depth: usize,
}

impl Rows for Activated<'_> {
    type Origin = usize;

    fn count(&self) -> usize {
        self.source.values.len() / self.depth
    }

    fn depth(&self) -> usize {
        self.depth
    }

    /// They lie nowhere, so there are no runs.
    fn granule(&self) -> usize {
        1
    }

    fn origin(&self, row: usize) -> usize {
        row
    }

    fn run(&self, _row: usize, _element: usize) -> (usize, Option<&[f32]>) {
        unreachable!("rows with a granule of 1 are copied")
    }

    fn bytes(&self, rows: Range<usize>) -> &[u8] {
        self.source.values.range(rows.start * self.depth..rows.end * self.depth).bytes()
    }

    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]) {
        self.copy_rows(row..row + 1, range.clone(), range.len(), target);
    }

    fn copy_rows(&self, rows: Range<usize>, range: Range<usize>, stride: usize, target: &mut [f32]) {
        let values = self.source.values.range(rows.start * self.depth..rows.end * self.depth);
        let before = self.source.before.as_ref().map(|before| before.map_of(range.clone()));
        let (affine, after) = before.map_or_else(Default::default, |(affine, after)| (Some(affine), after));
        let pitches = Pitches { source: self.depth, first: range.start, target: stride };
        epilogue::map_pitched(
            self.isa,
            values,
            (range.len(), pitches),
            affine,
            after,
            (target.into(), false),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::Precision;
    use crate::testing::{Numbers, assert_close, halves, seen};

    #[test]
    fn some_columns_of_some_rows_are_copied_as_a_layer_reads_them() {
        const DEPTH: usize = 90;
        const STRIDE: usize = 96;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let mut numbers = Numbers::new(17);
            let values = numbers.vector(6 * DEPTH);
            let [mean, scale, shift, slopes] = [(); 4].map(|()| numbers.vector(DEPTH));
            let rectified = Rectified { scale: &scale, shift: &shift, slopes: &slopes };
            let rounded = halves(&values);
            let kept = [
                (Stored::F32(&values), values.clone()),
                (Stored::Bf16(&rounded), seen(Precision::Bf16, &values)),
            ];
            for ((stored, wide), before) in
                kept.iter().flat_map(|kept| [(kept, None), (kept, Some(Before { mean: &mean, rectified }))])
            {
                let rows = Activated { isa, source: Activations { values: *stored, before }, depth: DEPTH };
                assert_eq!(rows.count(), 6);
                for columns in [0..DEPTH, 3..DEPTH, 16..80, 89..90] {
                    let mut target = vec![0.5; 3 * STRIDE + columns.len()];
                    rows.copy_rows(1..5, columns.clone(), STRIDE, &mut target);
                    for (row, target) in target.chunks(STRIDE).enumerate() {
                        let expected = columns.clone().map(|column| {
                            let value = wide[(row + 1) * DEPTH + column];
                            let Some(_) = before else { return value };
                            let value = value * scale[column] + shift[column];
                            if value > 0.0 { value } else { slopes[column] * value }
                        });
                        let (here, beyond) = target.split_at(columns.len());
                        assert_close(here, &expected.collect::<Vec<f32>>(), 2);
                        assert!(beyond.iter().all(|value| *value == 0.5), "{isa}");
                    }
                }
            }
        }
    }
}
