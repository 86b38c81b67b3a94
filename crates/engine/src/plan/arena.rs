//! One buffer for all activations, in which values whose lifetimes do not meet share memory.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::gemm::words::{as_halves, halves_of};
use crate::kernels::stored::{Stored, StoredMut};
use crate::precision::Precision;

/// Index of a value in a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value(usize);

/// Values with the first and last step that touch each, before they have a place.
#[derive(Debug, Default)]
pub(super) struct Layout {
    values: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    numbers: usize,
    precision: Precision,
    first: usize,
    last: usize,
}

impl Planned {
    /// Floats of memory.
    fn len(&self) -> usize {
        self.numbers.div_ceil(self.precision.per_word())
    }
}

impl Layout {
    /// A value of `numbers` f32, written first at `step`.
    pub(super) fn value(&mut self, numbers: usize, step: usize) -> Value {
        self.value_in(Precision::F32, numbers, step)
    }

    /// A value of `numbers` in `precision`, written first at `step`.
    pub(super) fn value_in(&mut self, precision: Precision, numbers: usize, step: usize) -> Value {
        self.values.push(Planned { numbers, precision, first: step, last: step });
        Value(self.values.len() - 1)
    }

    /// Bytes of a value.
    pub(super) fn bytes(&self, value: Value) -> usize {
        self.values[value.0].len() * size_of::<f32>()
    }

    /// Keeps `value` at least until `step`.
    pub(super) fn touch(&mut self, value: Value, step: usize) {
        let planned = &mut self.values[value.0];
        planned.last = planned.last.max(step);
    }

    /// Gives every value a place: the largest first, each at the lowest offset where no value that lives at the
    /// same time lies.
    pub(super) fn place(&self) -> Places {
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(self.values[index].len()), index));
        let mut places: Vec<Range<usize>> = vec![0..0; self.values.len()];
        let mut placed: Vec<usize> = Vec::with_capacity(order.len());
        for index in order {
            let value = &self.values[index];
            let mut taken: Vec<Range<usize>> = placed
                .iter()
                .filter(|&&other| {
                    let other = &self.values[other];
                    other.first <= value.last && value.first <= other.last
                })
                .map(|&other| places[other].clone())
                .collect();
            taken.sort_by_key(|range| range.start);
            let mut start = 0;
            for range in taken {
                if start + value.len() <= range.start {
                    break;
                }
                start = start.max(range.end.next_multiple_of(16));
            }
            places[index] = start..start + value.len();
            placed.push(index);
        }
        let place = |(floats, value): (Range<usize>, &Planned)| Place {
            floats,
            numbers: value.numbers,
            precision: value.precision,
        };
        Places(places.into_iter().zip(&self.values).map(place).collect())
    }
}

/// Where a value lies, and what it is.
#[derive(Clone, Debug)]
struct Place {
    floats: Range<usize>,
    numbers: usize,
    precision: Precision,
}

impl Place {
    /// The value whose memory `floats` is.
    fn stored<'a>(&self, floats: &'a [f32]) -> Stored<'a> {
        match self.precision {
            Precision::F32 => Stored::F32(floats),
            Precision::Bf16 => Stored::Bf16(&halves_of(floats)[..self.numbers]),
        }
    }

    /// As [`Place::stored`], to be written.
    fn stored_mut<'a>(&self, floats: &'a mut [f32]) -> StoredMut<'a> {
        match self.precision {
            Precision::F32 => StoredMut::F32(floats),
            Precision::Bf16 => StoredMut::Bf16(&mut as_halves(floats)[..self.numbers]),
        }
    }
}

/// Where each value of a layout lies.
#[derive(Debug)]
pub(super) struct Places(Vec<Place>);

impl Places {
    /// Floats that all of them need together.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|place| place.floats.end).max().unwrap_or(0)
    }

    /// Takes the memory.
    pub(super) fn allocate(self) -> Arena {
        let floats = Buffer::zeros(self.len());
        Arena { places: self.0, floats }
    }
}

/// The buffer, and where each value lies in it.
#[derive(Debug)]
pub(super) struct Arena {
    places: Vec<Place>,
    floats: Buffer,
}

impl Arena {
    pub(super) fn len(&self) -> usize {
        self.floats.as_slice().len()
    }

    pub(super) fn stored(&self, value: Value) -> Stored<'_> {
        let place = &self.places[value.0];
        place.stored(&self.floats.as_slice()[place.floats.clone()])
    }

    /// A value of f32.
    ///
    /// # Panics
    /// When it is of bf16; so do the functions below that give floats.
    pub(super) fn read(&self, value: Value) -> &[f32] {
        self.stored(value).floats()
    }

    pub(super) fn write(&mut self, value: Value) -> &mut [f32] {
        let place = &self.places[value.0];
        place.stored_mut(&mut self.floats.as_mut_slice()[place.floats.clone()]).floats()
    }

    /// As [`Arena::stored_read_write`], for values of f32.
    pub(super) fn read_write<const N: usize>(
        &mut self,
        read: [Value; N],
        write: Value,
    ) -> ([&[f32]; N], &mut [f32]) {
        let (sources, written) = self.stored_read_write(read, write);
        (sources.map(Stored::floats), written.floats())
    }

    /// Some values to read and one, none of them, to write.
    ///
    /// # Panics
    /// When a value to read shares memory with the one to write, which a layout excludes for values that are
    /// touched in one step.
    pub(super) fn stored_read_write<const N: usize>(
        &mut self,
        read: [Value; N],
        write: Value,
    ) -> ([Stored<'_>; N], StoredMut<'_>) {
        let (sources, written) = self.read_others_write(read, write);
        let source = |source: Option<_>| match source {
            Some(source) => source,
            None => panic!("value {write:?} is read and written"),
        };
        (sources.map(source), written)
    }

    /// As [`Arena::stored_read_write`], with `None` for the value that is written.
    ///
    /// # Panics
    /// As [`Arena::stored_read_write`], but for that value.
    pub(super) fn read_others_write<const N: usize>(
        &mut self,
        read: [Value; N],
        write: Value,
    ) -> ([Option<Stored<'_>>; N], StoredMut<'_>) {
        let written_place = &self.places[write.0];
        let target = written_place.floats.clone();
        let (before, rest) = self.floats.as_mut_slice().split_at_mut(target.start);
        let (written, after) = rest.split_at_mut(target.len());
        let (before, after) = (&*before, &*after);
        let places = &self.places;
        let sources = read.map(|value| {
            let place = &places[value.0];
            let range = place.floats.clone();
            if value == write {
                None
            } else if range.end <= target.start {
                Some(place.stored(&before[range]))
            } else {
                assert!(range.start >= target.end, "value {value:?} overlaps {write:?}");
                Some(place.stored(&after[range.start - target.end..range.end - target.end]))
            }
        });
        (sources, written_place.stored_mut(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_live_together_never_overlap_and_others_share_memory() {
        let mut layout = Layout::default();
        let values: Vec<(Value, usize, usize)> = (0..40)
            .map(|index| {
                let (first, last) = (index, index + 1 + index % 5);
                let value = layout.value(100 + 37 * (index % 7), first);
                layout.touch(value, last);
                (value, first, last)
            })
            .collect();
        let arena = layout.place().allocate();
        for (a, a_first, a_last) in &values {
            for (b, b_first, b_last) in &values {
                let (one, other) = (&arena.places[a.0].floats, &arena.places[b.0].floats);
                if a != b && a_first <= b_last && b_first <= a_last {
                    assert!(one.end <= other.start || other.end <= one.start, "{a:?} and {b:?}");
                }
            }
        }
        let total: usize = values.iter().map(|(value, ..)| arena.places[value.0].floats.len()).sum();
        assert!(arena.len() * 3 < total, "{} floats for values of {total}", arena.len());
    }
}
