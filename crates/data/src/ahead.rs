//! Items of a sequence made by threads before they are asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Makes the items `work(0), work(1), ..` on threads of its own and hands them out in that order.
///
/// Never more than `depth` items are made or in the making beyond the last one taken. Which thread makes an
/// item has no influence on it. Dropping it ends the threads, each after the item it is at.
pub(crate) struct Ahead<T> {
    shared: Arc<Shared<T>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    depth: u64,
    end: u64,
}

struct State<T> {
    /// Finished items that have not been taken.
    finished: BTreeMap<u64, T>,
    /// The next item that a thread begins.
    begin: u64,
    /// The next item that is handed out.
    taken: u64,
    halt: Halt,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Halt {
    No,
    /// Nobody wants more items.
    Dropped,
    /// A thread panicked.
    Panicked,
}

impl<T: Send + 'static> Ahead<T> {
    /// `end` is the number of items; `u64::MAX` for no end.
    ///
    /// # Panics
    /// Where `threads` or `depth` is zero, or the system gives no thread.
    pub(crate) fn new(
        threads: usize,
        depth: usize,
        end: u64,
        work: impl Fn(u64) -> T + Send + Sync + 'static,
    ) -> Self {
        assert!(threads > 0 && depth > 0, "no thread, or no room for an item");
        let state = State { finished: BTreeMap::new(), begin: 0, taken: 0, halt: Halt::No };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), depth: depth as u64, end });
        let work = Arc::new(work);
        let threads = (0..threads)
            .map(|index| {
                let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
                thread::Builder::new()
                    .name(format!("images-{index}"))
                    .spawn(move || shared.run(work.as_ref()))
                    .expect("the system gives no thread")
            })
            .collect();
        Self { shared, threads }
    }

    /// The next item; none after the last.
    ///
    /// # Panics
    /// Where `work` panicked.
    pub(crate) fn next(&mut self) -> Option<T> {
        let mut state = self.shared.lock();
        if state.taken >= self.shared.end {
            return None;
        }
        loop {
            let place = state.taken;
            if let Some(item) = state.finished.remove(&place) {
                state.taken += 1;
                drop(state);
                self.shared.changed.notify_all();
                return Some(item);
            }
            assert!(state.halt == Halt::No, "a thread that reads images panicked");
            state = self.shared.wait(state);
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, work: &impl Fn(u64) -> T) {
        let alarm = Alarm(self);
        while let Some(place) = self.begin() {
            let item = work(place);
            self.lock().finished.insert(place, item);
            self.changed.notify_all();
        }
        std::mem::forget(alarm);
    }

    /// Waits for room and takes the next place.
    fn begin(&self) -> Option<u64> {
        let mut state = self.lock();
        loop {
            if state.halt != Halt::No || state.begin >= self.end {
                return None;
            }
            if state.begin - state.taken < self.depth {
                state.begin += 1;
                return Some(state.begin - 1);
            }
            state = self.wait(state);
        }
    }

    fn halt(&self, why: Halt) {
        self.lock().halt = why;
        self.changed.notify_all();
    }
}

/// Dropped by a panic only: whoever waits for the item must not wait for ever.
struct Alarm<'a, T>(&'a Shared<T>);

impl<T> Drop for Alarm<'_, T> {
    fn drop(&mut self) {
        self.0.halt(Halt::Panicked);
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.shared.halt(Halt::Dropped);
        for thread in self.threads.drain(..) {
            // A panic has been shown already, and dropping must not panic again.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::Ahead;

    /// Later items are made faster than earlier ones here, so order of completion is not order of items.
    #[test]
    fn items_come_in_order_whoever_finishes_first() {
        for threads in [1, 2, 5] {
            let uneven = |place: u64| {
                let spins = if place.is_multiple_of(5) { 200_000 } else { 10 };
                (place, (0..spins).fold(place, |value, _| std::hint::black_box(value)))
            };
            let mut ahead = Ahead::new(threads, 4, 40, uneven);
            for place in 0..40 {
                assert_eq!(ahead.next(), Some((place, place)));
            }
            assert_eq!(ahead.next(), None);
            assert_eq!(ahead.next(), None);
        }
    }

    #[test]
    fn no_more_than_the_depth_is_made_ahead() {
        let begun = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&begun);
        let mut ahead = Ahead::new(3, 2, u64::MAX, move |place| {
            count.fetch_add(1, Ordering::SeqCst);
            place
        });
        for taken in 1..50 {
            ahead.next();
            assert!(begun.load(Ordering::SeqCst) <= taken + 2);
        }
    }

    #[test]
    #[should_panic(expected = "a thread that reads images panicked")]
    fn a_panic_in_a_thread_reaches_who_waits() {
        let mut ahead = Ahead::new(2, 2, 10, |place| assert!(place < 3, "as planned"));
        while ahead.next().is_some() {}
    }
}
