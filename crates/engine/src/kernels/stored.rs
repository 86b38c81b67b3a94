//! Activations and their gradients as memory holds them: f32, or bf16 where they are large and their bytes are what a step
//! waits for. Whatever reads them computes in f32.

use std::ops::Range;

use super::column::{self, SIDE_BY_SIDE};
use crate::gemm::{MAX_LANES, Store, Vector, by_vector};
use crate::isa::Isa;
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// Floats of a result from which on it goes past the caches in training, where much else is computed before it is read
/// again, and in a network that is only applied.
const LARGE: usize = 1024 * 1024;
const LARGEST: usize = 4 * LARGE;

/// Whether a result of so many numbers that is stored so goes past the caches, of a step in `training` or not. A line that is
/// stored in the usual way is fetched first, though all of it is overwritten.
pub(crate) fn streams(isa: Isa, numbers: usize, store: Store, training: bool) -> bool {
    let can = match isa {
        Isa::Portable | Isa::Avx2 => false,
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => true,
    };
    can && store == Store::Replace && numbers >= if training { LARGE } else { LARGEST }
}

/// Numbers to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

/// Numbers to be written.
#[derive(Debug)]
pub(crate) enum StoredMut<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [u16]),
}

/// Numbers that several tasks write, each in places of its own.
#[derive(Clone, Copy)]
pub(crate) enum SharedStored<'a> {
    F32(Shared<'a, f32>),
    Bf16(Shared<'a, u16>),
}

impl<'a> From<&'a [f32]> for Stored<'a> {
    fn from(values: &'a [f32]) -> Stored<'a> {
        Stored::F32(values)
    }
}

impl<'a> From<&'a mut [f32]> for StoredMut<'a> {
    fn from(values: &'a mut [f32]) -> StoredMut<'a> {
        StoredMut::F32(values)
    }
}

#[cfg(test)]
impl<'a> From<&'a Vec<f32>> for Stored<'a> {
    fn from(values: &'a Vec<f32>) -> Stored<'a> {
        Stored::F32(values)
    }
}

#[cfg(test)]
impl<'a> From<&'a mut Vec<f32>> for StoredMut<'a> {
    fn from(values: &'a mut Vec<f32>) -> StoredMut<'a> {
        StoredMut::F32(values)
    }
}

impl<'a> Stored<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Stored::F32(values) => values.len(),
            Stored::Bf16(values) => values.len(),
        }
    }

    pub(crate) fn precision(&self) -> Precision {
        match self {
            Stored::F32(_) => Precision::F32,
            Stored::Bf16(_) => Precision::Bf16,
        }
    }

    /// Those of `range`.
    ///
    /// # Panics
    /// When it reaches past the last.
    pub(crate) fn range(self, range: Range<usize>) -> Stored<'a> {
        match self {
            Stored::F32(values) => Stored::F32(&values[range]),
            Stored::Bf16(values) => Stored::Bf16(&values[range]),
        }
    }

    /// The memory that holds them.
    #[expect(unsafe_code, reason = "numbers as bytes")]
    pub(crate) fn bytes(self) -> &'a [u8] {
        // SAFETY: every byte of a number is initialised, and the borrow is handed on.
        unsafe {
            match self {
                Stored::F32(values) => {
                    std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values))
                }
                Stored::Bf16(values) => {
                    std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values))
                }
            }
        }
    }

    /// Those of a step that knows f32 alone.
    ///
    /// # Panics
    /// When they are bf16.
    #[track_caller]
    pub(crate) fn floats(self) -> &'a [f32] {
        match self {
            Stored::F32(values) => values,
            Stored::Bf16(_) => panic!("bf16 where a step reads f32"),
        }
    }

    /// The vector of those in `place`, at most as many as it has lanes.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set; `place` lies within.
    #[expect(unsafe_code, reason = "loads a whole vector")]
    #[inline(always)]
    pub(crate) unsafe fn at<V: Vector>(&self, place: Range<usize>) -> V {
        // SAFETY: the caller's promise; `whole` has the most lanes that there are.
        unsafe {
            match self {
                Stored::F32(values) => column::load_at(values, place),
                Stored::Bf16(values) => {
                    debug_assert!(place.len() <= V::LANES && place.end <= values.len(), "{place:?}");
                    if place.len() == V::LANES {
                        return V::widen(values.as_ptr().add(place.start));
                    }
                    let mut whole = [0; MAX_LANES];
                    whole[..place.len()].copy_from_slice(&values[place]);
                    V::widen(whole.as_ptr())
                }
            }
        }
    }

    /// `N` whole vectors from `start` on.
    ///
    /// # Safety
    /// As [`Stored::at`].
    #[expect(unsafe_code, reason = "loads whole vectors")]
    #[inline(always)]
    pub(crate) unsafe fn load<V: Vector, const N: usize>(&self, start: usize) -> [V; N] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut vectors = [V::splat(0.0); N];
            for (index, vector) in vectors.iter_mut().enumerate() {
                let here = start + index * V::LANES;
                *vector = match self {
                    Stored::F32(values) => V::load(values.as_ptr().add(here)),
                    Stored::Bf16(values) => V::widen(values.as_ptr().add(here)),
                };
            }
            vectors
        }
    }

    /// Begins to fetch the line of number `index`, there or not.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "prefetches")]
    #[inline(always)]
    pub(crate) unsafe fn prefetch<V: Vector>(&self, index: usize) {
        // SAFETY: the caller promises the instruction set; a prefetch may name any address.
        unsafe {
            match self {
                Stored::F32(values) => V::prefetch(values.as_ptr().wrapping_add(index)),
                Stored::Bf16(values) => V::prefetch(values.as_ptr().wrapping_add(index).cast()),
            }
        }
    }

    /// Writes them as f32.
    ///
    /// # Panics
    /// When the lengths differ.
    pub(crate) fn widen(self, isa: Isa, target: &mut [f32]) {
        copy(isa, self, target.into(), Store::Replace, false);
    }
}

impl<'a> StoredMut<'a> {
    pub(crate) fn len(&self) -> usize {
        self.as_ref().len()
    }

    pub(crate) fn as_ref(&self) -> Stored<'_> {
        match self {
            StoredMut::F32(values) => Stored::F32(values),
            StoredMut::Bf16(values) => Stored::Bf16(values),
        }
    }

    pub(crate) fn reborrow(&mut self) -> StoredMut<'_> {
        match self {
            StoredMut::F32(values) => StoredMut::F32(values),
            StoredMut::Bf16(values) => StoredMut::Bf16(values),
        }
    }

    /// As [`Stored::floats`].
    ///
    /// # Panics
    /// When they are bf16.
    #[track_caller]
    pub(crate) fn floats(self) -> &'a mut [f32] {
        match self {
            StoredMut::F32(values) => values,
            StoredMut::Bf16(_) => panic!("bf16 where a step writes f32"),
        }
    }

    /// Makes all of them zero.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn fill_zeros(&mut self) {
        match self {
            StoredMut::F32(values) => values.fill(0.0),
            StoredMut::Bf16(values) => values.fill(0),
        }
    }

    pub(crate) fn shared(self) -> SharedStored<'a> {
        match self {
            StoredMut::F32(values) => SharedStored::F32(Shared::new(values)),
            StoredMut::Bf16(values) => SharedStored::Bf16(Shared::new(values)),
        }
    }

    /// Writes `N` whole vectors from `start` on, past the caches if it `streams`.
    ///
    /// # Safety
    /// As [`Stored::at`].
    #[expect(unsafe_code, reason = "stores whole vectors")]
    #[inline(always)]
    pub(crate) unsafe fn store<V: Vector, const N: usize>(
        &mut self,
        vectors: [V; N],
        start: usize,
        streams: bool,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                StoredMut::F32(values) => {
                    let first = values.as_mut_ptr().add(start);
                    for (index, vector) in vectors.into_iter().enumerate() {
                        if streams {
                            vector.stream(first.add(index * V::LANES));
                        } else {
                            vector.store(first.add(index * V::LANES));
                        }
                    }
                }
                StoredMut::Bf16(values) => {
                    let first = values.as_mut_ptr().add(start);
                    for (index, vector) in vectors.into_iter().enumerate() {
                        vector.narrow(first.add(index * V::LANES), streams);
                    }
                }
            }
        }
    }

    /// Writes a vector to `place`, at most as many as it has lanes, past the caches if it `streams`.
    ///
    /// # Safety
    /// As [`Stored::at`].
    #[expect(unsafe_code, reason = "stores a whole vector")]
    #[inline(always)]
    pub(crate) unsafe fn put<V: Vector>(&mut self, vector: V, place: Range<usize>, streams: bool) {
        // SAFETY: the caller's promise; `whole` has the most lanes that there are.
        unsafe {
            match self {
                StoredMut::F32(values) if streams && place.len() == V::LANES => {
                    debug_assert!(place.end <= values.len(), "{place:?} of {}", values.len());
                    vector.stream(values.as_mut_ptr().add(place.start));
                }
                StoredMut::F32(values) => column::store_at(vector, values, place),
                StoredMut::Bf16(values) => {
                    debug_assert!(place.len() <= V::LANES && place.end <= values.len(), "{place:?}");
                    if place.len() == V::LANES {
                        vector.narrow(values.as_mut_ptr().add(place.start), streams);
                        return;
                    }
                    let mut whole = [0; MAX_LANES];
                    vector.narrow(whole.as_mut_ptr(), false);
                    values[place.clone()].copy_from_slice(&whole[..place.len()]);
                }
            }
        }
    }
}

impl<'a> SharedStored<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            SharedStored::F32(values) => values.len(),
            SharedStored::Bf16(values) => values.len(),
        }
    }

    /// Those of `range`.
    ///
    /// # Panics
    /// When it reaches past the last.
    ///
    /// # Safety
    /// No other live reference covers one of them.
    #[expect(unsafe_code, reason = "tasks share a tensor")]
    pub(crate) unsafe fn range(&self, range: Range<usize>) -> StoredMut<'a> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                SharedStored::F32(values) => StoredMut::F32(values.range(range)),
                SharedStored::Bf16(values) => StoredMut::Bf16(values.range(range)),
            }
        }
    }
}

/// Where the rows of a result go: each task makes some of them where they belong or, when they are rounded or go past the
/// caches, in scratch memory.
#[derive(Clone, Copy)]
pub(crate) struct Outlet<'a> {
    to: SharedStored<'a>,
    store: Store,
    streams: bool,
    isa: Isa,
}

impl<'a> Outlet<'a> {
    /// Of a step in `training` or not.
    pub(crate) fn new(isa: Isa, to: StoredMut<'a>, store: Store, training: bool) -> Outlet<'a> {
        let streams = streams(isa, to.len(), store, training);
        Outlet { to: to.shared(), store, streams, isa }
    }

    /// To f32 where they belong, which needs no whole rows.
    ///
    /// # Panics
    /// When they are to be rounded.
    pub(crate) fn in_place(isa: Isa, to: StoredMut<'a>, store: Store) -> Outlet<'a> {
        Outlet { to: SharedStored::F32(Shared::new(to.floats())), store, streams: false, isa }
    }

    /// Floats of scratch for so many numbers.
    pub(crate) fn scratch_len(&self, numbers: usize) -> usize {
        match self.to {
            SharedStored::F32(_) if !self.streams => 0,
            _ => numbers,
        }
    }

    /// Where a task makes the numbers of `range` and how it stores them, with scratch that is long enough.
    pub(crate) fn open<'b>(&self, range: Range<usize>, scratch: &'b mut [f32]) -> (Shared<'b, f32>, Store)
    where
        'a: 'b,
    {
        match self.to {
            SharedStored::F32(to) if !self.streams => (to.after(range.start), self.store),
            _ => (Shared::new(&mut scratch[..range.len()]), Store::Replace),
        }
    }

    /// Sends what was `made` for `range` on, unless it is there already.
    ///
    /// # Safety
    /// No other live reference covers what was made or where it belongs.
    #[expect(unsafe_code, reason = "tasks share a tensor")]
    pub(crate) unsafe fn close(&self, range: Range<usize>, made: Shared<'_, f32>) {
        if self.scratch_len(range.len()) > 0 {
            // SAFETY: the caller's promise.
            let (made, to) = unsafe { (made.range(0..range.len()), self.to.range(range)) };
            copy(self.isa, Stored::F32(made), to, self.store, self.streams);
        }
    }
}

/// `to (=|+=) from`, in their formats, past the caches if it `streams`.
///
/// # Panics
/// When the lengths differ.
pub(crate) fn copy(isa: Isa, from: Stored<'_>, to: StoredMut<'_>, store: Store, streams: bool) {
    assert_eq!(from.len(), to.len(), "numbers and their place");
    #[expect(unsafe_code, reason = "copies whole vectors")]
    // SAFETY: the lengths were checked, and an Isa that reaches a kernel is available.
    unsafe {
        by_vector!(isa, copy_vectors, (from: Stored<'_>, to: StoredMut<'_>, store: Store, streams: bool));
    }
}

/// As [`copy`], by all threads.
///
/// # Panics
/// When the lengths differ.
pub(crate) fn copy_all(pool: &Pool, from: Stored<'_>, to: StoredMut<'_>, store: Store) {
    /// Numbers for one task.
    const CHUNK: usize = 16 * 1024;
    assert_eq!(from.len(), to.len(), "numbers and their place");
    run_chunks(pool, to, CHUNK, |range, to| copy(pool.isa(), from.range(range), to, store, false));
}

/// As [`Pool::run_chunks`], each task with its range.
pub(crate) fn run_chunks(
    pool: &Pool,
    target: StoredMut<'_>,
    chunk: usize,
    task: impl Fn(Range<usize>, StoredMut<'_>) + Sync,
) {
    let (len, target) = (target.len(), target.shared());
    pool.run(len.div_ceil(chunk), |index, _| {
        let range = index * chunk..((index + 1) * chunk).min(len);
        #[expect(unsafe_code, reason = "tasks share a tensor")]
        // SAFETY: this range is this task's alone.
        let target = unsafe { target.range(range.clone()) };
        task(range, target);
    });
}

#[expect(unsafe_code, reason = "copies whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn copy_vectors<V: Vector>(from: Stored<'_>, to: StoredMut<'_>, store: Store, streams: bool) {
    const N: usize = SIDE_BY_SIDE;
    let mut to = to;
    let mut start = 0;
    while start + N * V::LANES <= from.len() {
        // SAFETY: the caller promises the instruction set and equal lengths.
        unsafe {
            let mut values: [V; N] = from.load(start);
            if store == Store::Add {
                let there: [V; N] = to.as_ref().load(start);
                for (value, there) in values.iter_mut().zip(there) {
                    *value = there.add(*value);
                }
            }
            to.store(values, start, streams);
        }
        start += N * V::LANES;
    }
    for start in (start..from.len()).step_by(V::LANES) {
        let place = start..(start + V::LANES).min(from.len());
        // SAFETY: the caller promises the instruction set and equal lengths.
        unsafe {
            let mut value: V = from.at(place.clone());
            if store == Store::Add {
                value = to.as_ref().at::<V>(place.clone()).add(value);
            }
            to.put(value, place, streams);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Numbers, halves, seen};

    #[test]
    fn every_number_arrives_rounded_once_wherever_rows_begin_and_end() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (start, len) in [(0, 0), (0, 64), (3, 100), (16, 31), (5, 1), (32, 333)] {
                let mut numbers = Numbers::new(9);
                let (from, before) = (numbers.vector(len), numbers.vector(start + len + 20));
                for (store, streams) in [(Store::Replace, true), (Store::Replace, false), (Store::Add, false)]
                {
                    let sums = |from: &[f32], before: &[f32]| -> Vec<f32> {
                        let kept = |value: &f32| if store == Store::Add { *value } else { 0.0 };
                        from.iter().zip(&before[start..]).map(|(from, to)| kept(to) + from).collect()
                    };
                    let mut to = before.clone();
                    copy(isa, (&from).into(), StoredMut::F32(&mut to[start..start + len]), store, streams);
                    assert_eq!(to[start..start + len], sums(&from, &before), "{isa}, {len} from {start} on");
                    let outside = |values: &[f32]| [&values[..start], &values[start + len..]].concat();
                    assert_eq!(outside(&to), outside(&before), "{isa}");

                    let mut to = halves(&before);
                    let here = StoredMut::Bf16(&mut to[start..start + len]);
                    copy(isa, (&from).into(), here, store, streams);
                    let mut widened = vec![f32::NAN; to.len()];
                    Stored::Bf16(&to).widen(isa, &mut widened);
                    let kept = seen(Precision::Bf16, &before);
                    let expected = seen(Precision::Bf16, &sums(&from, &kept));
                    assert_eq!(widened[start..start + len], expected, "{isa}, {len} from {start} on");
                    assert_eq!(outside(&widened), outside(&kept), "{isa}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let from: Vec<f32> = [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff, 0x7f80_0000, 0xff80_0000]
            .into_iter()
            .cycle()
            .take(32)
            .map(f32::from_bits)
            .collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let (mut to, mut back) = (vec![0; 32], vec![0.0; 32]);
            copy(isa, (&from).into(), StoredMut::Bf16(&mut to), Store::Replace, false);
            Stored::Bf16(&to).widen(isa, &mut back);
            for (from, back) in from.iter().zip(&back) {
                assert_eq!((from.is_nan(), from.is_infinite()), (back.is_nan(), back.is_infinite()), "{isa}");
                assert!(from.is_nan() || from == back, "{isa}: {from} {back}");
            }
        }
    }
}
