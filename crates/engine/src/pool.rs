//! Worker threads with scratch memory of their own, and slices that they share.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::buffer::Buffer;
use crate::crew::Crew;
use crate::isa::Isa;

/// Worker threads that run the kernels, and the instruction set that those are to use.
///
/// What a kernel computes never depends on the number of threads: tasks own disjoint outputs, and every
/// reduction has a shape fixed by the problem.
#[derive(Debug)]
pub struct Pool {
    crew: Crew,
    scratch: Vec<Mutex<Buffer>>,
    isa: Isa,
}

/// The operating system would not start the worker threads.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} worker threads")]
pub struct PoolError {
    threads: usize,
    source: std::io::Error,
}

impl Pool {
    /// Work for `threads` threads, or one for each processor when `threads` is 0, by the best instruction set. One of
    /// them is the thread that has the work, the others are started here.
    ///
    /// # Errors
    /// When the operating system refuses to start threads.
    pub fn new(threads: usize) -> Result<Pool, PoolError> {
        Pool::with_isa(threads, Isa::detect())
    }

    /// As [`Pool::new`], with the instruction set forced.
    ///
    /// # Errors
    /// When the operating system refuses to start threads.
    ///
    /// # Panics
    /// When the processor lacks `isa`.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Pool, PoolError> {
        assert!(isa.is_available(), "instruction set {isa} is not available on this processor");
        let threads = match threads {
            0 => std::thread::available_parallelism().map_err(|source| PoolError { threads, source })?.get(),
            threads => threads,
        };
        let crew = Crew::new(threads - 1).map_err(|source| PoolError { threads, source })?;
        let scratch = (0..crew.members()).map(|_| Mutex::default()).collect();
        Ok(Pool { crew, scratch, isa })
    }

    /// Number of threads that work at once.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// The instruction set that the kernels use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Calls `task` once for each index below `tasks`, on all threads; each call may use its thread's scratch.
    pub(crate) fn run(&self, tasks: usize, task: impl Fn(usize, &mut Buffer) + Sync) {
        let next = AtomicUsize::new(0);
        let work = |member: usize| {
            let mut scratch = self.scratch[member].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= tasks {
                    break;
                }
                task(index, &mut scratch);
            }
            // What went past the caches is there before the work is reported done.
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "an instruction of every x86-64")]
            // SAFETY: as the reason says.
            unsafe {
                std::arch::x86_64::_mm_sfence();
            }
        };
        if tasks < 2 || self.threads() == 1 {
            work(0);
        } else {
            self.crew.share(&work);
        }
    }

    /// Cuts `target` into chunks of `chunk` and calls `task` with each one's index.
    pub(crate) fn run_chunks<T: Send>(
        &self,
        target: &mut [T],
        chunk: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        self.run_chunks_of_two(target, chunk, &mut [], 0, |index, target, _: &mut [u8]| task(index, target));
    }

    /// As [`Pool::run_chunks`], with scratch for each call as in [`Pool::run`].
    pub(crate) fn run_chunks_with_scratch<T: Send>(
        &self,
        target: &mut [T],
        chunk: usize,
        task: impl Fn(usize, &mut [T], &mut Buffer) + Sync,
    ) {
        let (count, target) = (target.len().div_ceil(chunk), Shared::new(target));
        self.run(count, |index, scratch| {
            #[expect(unsafe_code, reason = "chunks of one index are disjoint from those of the others")]
            // SAFETY: chunk `index` is given to this call alone.
            let target = unsafe { target.range(index * chunk..((index + 1) * chunk).min(target.len())) };
            task(index, target, scratch);
        });
    }

    /// Cuts `first` into chunks of `first_chunk` and `second` into as many of `second_chunk`, and calls `task`
    /// with each pair.
    ///
    /// # Panics
    /// When `second` is not long enough for as many chunks, of which the last may be shorter.
    pub(crate) fn run_chunks_of_two<T: Send, U: Send>(
        &self,
        first: &mut [T],
        first_chunk: usize,
        second: &mut [U],
        second_chunk: usize,
        task: impl Fn(usize, &mut [T], &mut [U]) + Sync,
    ) {
        let count = first.len().div_ceil(first_chunk);
        let (first, second) = (Shared::new(first), Shared::new(second));
        self.run(count, |index, _| {
            let chunk = |chunk: usize, len: usize| index * chunk..((index + 1) * chunk).min(len);
            #[expect(unsafe_code, reason = "chunks of one index are disjoint from those of the others")]
            // SAFETY: chunk `index` of either slice is given to this call alone.
            let (first, second) = unsafe {
                (
                    first.range(chunk(first_chunk, first.len())),
                    second.range(chunk(second_chunk, second.len())),
                )
            };
            task(index, first, second);
        });
    }
}

/// A mutable slice that several tasks write, each in places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

#[expect(unsafe_code, reason = "tasks write disjoint, non-contiguous parts of one tensor")]
mod shared {
    use super::{Range, Shared};

    // SAFETY: the slice may be used from any thread when its elements may; callers keep the parts disjoint.
    unsafe impl<T: Send> Send for Shared<'_, T> {}
    // SAFETY: as above.
    unsafe impl<T: Send> Sync for Shared<'_, T> {}

    impl<'a, T> Shared<'a, T> {
        pub(crate) fn new(slice: &'a mut [T]) -> Shared<'a, T> {
            Shared { start: slice.as_mut_ptr(), len: slice.len(), lifetime: std::marker::PhantomData }
        }

        pub(crate) fn len(&self) -> usize {
            self.len
        }

        /// The same slice without its first `count` elements.
        ///
        /// # Panics
        /// When there are fewer.
        pub(crate) fn after(&self, count: usize) -> Shared<'a, T> {
            assert!(count <= self.len, "{count} of {}", self.len);
            Shared { start: self.start.wrapping_add(count), len: self.len - count, ..*self }
        }

        /// The first element of `range`, none of whose elements another live reference may cover while it is used.
        ///
        /// # Panics
        /// When `range` reaches past the slice.
        pub(crate) fn pointer(&self, range: Range<usize>) -> *mut T {
            assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
            self.start.wrapping_add(range.start)
        }

        /// The elements of `range`.
        ///
        /// # Panics
        /// When `range` reaches past the slice.
        ///
        /// # Safety
        /// No other live reference covers an element of `range`.
        pub(crate) unsafe fn range(&self, range: Range<usize>) -> &'a mut [T] {
            assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
            // SAFETY: in bounds by the assertion; exclusive by the caller's promise.
            unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_exactly_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 5] {
            let pool = Pool::new(threads).unwrap();
            let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            pool.run(100, |task, _| {
                counts[task].fetch_add(1, Ordering::Relaxed);
            });
            assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}
