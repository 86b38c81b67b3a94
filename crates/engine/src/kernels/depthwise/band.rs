//! The rows of a tensor that a task reads while it moves down.

use std::ops::Range;

/// Rows of `width * channels` floats, of all images one after another: all of them where they lie, or the last few, each
/// written when it is first met.
pub(super) enum Band<'a> {
    All(&'a [f32]),
    Last {
        /// Room for a power of two of rows.
        rows: &'a mut [f32],
        len: usize,
        /// The row after the last one that was written.
        next: usize,
    },
}

/// A [`Band`] as kernels read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) values: &'a [f32],
    /// Bits of a row's number that say where it lies.
    mask: usize,
}

impl<'a> Band<'a> {
    /// The last rows of `len` floats, as many as `kept` has room for, or all where they lie.
    ///
    /// # Panics
    /// When it has room for a number that is no power of two.
    pub(super) fn new(all: Option<&'a [f32]>, kept: &'a mut [f32], len: usize) -> Band<'a> {
        if let Some(all) = all {
            return Band::All(all);
        }
        assert!(kept.len().is_multiple_of(len) && (kept.len() / len).is_power_of_two(), "rows of {len}");
        Band::Last { rows: kept, len, next: 0 }
    }

    /// Writes those of the rows `met` that have not been met.
    pub(super) fn meet(&mut self, met: Range<usize>, write: impl Fn(Range<usize>, &mut [f32])) {
        let Band::Last { rows, len, next } = self else { return };
        let len = *len;
        debug_assert!(met.len() * len <= rows.len(), "{met:?} of {} floats", rows.len());
        for row in met.start.max(*next)..met.end {
            let place = (row & (rows.len() / len - 1)) * len;
            write(row * len..(row + 1) * len, &mut rows[place..place + len]);
        }
        *next = met.end.max(*next);
    }

    pub(super) fn view(&self) -> View<'_> {
        match self {
            Band::All(values) => View { values, mask: usize::MAX },
            Band::Last { rows, len, .. } => View { values: rows, mask: rows.len() / len - 1 },
        }
    }
}

impl<'a> View<'a> {
    /// Which of the rows that are there is row `row`.
    #[inline(always)]
    pub(super) fn place(&self, row: usize) -> usize {
        row & self.mask
    }

    /// Row `row`, of `len` floats.
    pub(super) fn row(&self, row: usize, len: usize) -> &'a [f32] {
        &self.values[self.place(row) * len..][..len]
    }
}
