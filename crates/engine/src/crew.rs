//! Worker threads that share one piece of work after another with the thread that has it.
//!
//! A layer of a network may take less time than waking a thread. So the caller works too and never waits for a worker
//! to begin: who comes too late finds the work closed. Between two pieces a worker watches for a moment before it
//! sleeps.

#![expect(
    unsafe_code,
    reason = "lends a closure on the caller's stack to other threads, for as long as it waits"
)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a worker watches for work before it sleeps, and a caller for the last worker before it lets other
/// threads run.
const WATCH: Duration = Duration::from_micros(50);

/// What members call with their index; the caller's is 0.
type Work<'a> = &'a (dyn Fn(usize) + Sync);

/// The workers, asleep or at work.
#[derive(Debug)]
pub(crate) struct Crew {
    shared: Arc<Board>,
    workers: Vec<JoinHandle<()>>,
    /// One caller at a time.
    turn: Mutex<()>,
}

/// Where work is announced.
struct Board {
    /// Members at work in the lower half, [`OPEN`] while they may join, and above it the number of the work.
    state: AtomicU64,
    /// Written while the work is closed and nobody is at it, read by those who joined.
    work: UnsafeCell<Option<Work<'static>>>,
    stop: AtomicBool,
    asleep: Vec<AtomicBool>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

const OPEN: u64 = 1 << 32;
const NUMBER: u64 = OPEN << 1;
const MEMBERS: u64 = OPEN - 1;

// SAFETY: `work` is written by the one caller that has its turn, while no member is at work, and what it points to
// may be used from any thread.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl std::fmt::Debug for Board {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Board").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Crew {
    /// Starts `workers` threads.
    ///
    /// # Errors
    /// When the operating system refuses to start one.
    pub(crate) fn new(workers: usize) -> std::io::Result<Crew> {
        let shared = Arc::new(Board {
            state: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            panic: Mutex::new(None),
        });
        let mut crew = Crew { shared, workers: Vec::with_capacity(workers), turn: Mutex::new(()) };
        for index in 0..workers {
            let board = Arc::clone(&crew.shared);
            let builder = std::thread::Builder::new().name(format!("engine-{}", index + 1));
            // Those that were started stop when `crew` is dropped.
            crew.workers.push(builder.spawn(move || board.serve(index))?);
        }
        Ok(crew)
    }

    /// Number of threads that may work at once, the caller's among them.
    pub(crate) fn members(&self) -> usize {
        1 + self.workers.len()
    }

    /// Calls `work` with 0 on this thread and, on every worker that comes before that call returns, with its index;
    /// returns when all have returned.
    ///
    /// # Panics
    /// When a call panics, after all have ended.
    pub(crate) fn share(&self, work: Work<'_>) {
        let _turn = lock(&self.turn);
        let board = &*self.shared;
        // SAFETY: the lifetime is only a promise that the reference is not used after this function, which holds
        // since it ends after the last member has left, also when a call panics.
        let lent = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
        // SAFETY: the last work is closed and nobody is at it, so nobody reads the place; other callers wait.
        unsafe { *board.work.get() = Some(lent) };
        let number = (board.state.load(Ordering::Relaxed) & !(NUMBER - 1)).wrapping_add(NUMBER);
        board.state.store(number | OPEN, Ordering::SeqCst);
        for (asleep, worker) in board.asleep.iter().zip(&self.workers) {
            if asleep.swap(false, Ordering::SeqCst) {
                wake(worker.thread());
            }
        }
        let own = catch_unwind(AssertUnwindSafe(|| work(0)));
        board.state.fetch_and(!OPEN, Ordering::AcqRel);
        wait(|| board.state.load(Ordering::Acquire) & MEMBERS == 0, std::thread::yield_now);
        let other = lock(&board.panic).take();
        if let Some(payload) = own.err().or(other) {
            resume_unwind(payload);
        }
    }
}

fn wake(thread: &Thread) {
    thread.unpark();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches until `done`; after a moment calls `pause` between two looks.
fn wait(done: impl Fn() -> bool, pause: impl Fn()) {
    let start = Instant::now();
    while !done() {
        if start.elapsed() < WATCH {
            (0..32).for_each(|_| std::hint::spin_loop());
        } else {
            pause();
        }
    }
}

impl Board {
    fn serve(&self, worker: usize) {
        let mut last = 0;
        loop {
            let changed = || {
                self.stop.load(Ordering::SeqCst) || self.state.load(Ordering::SeqCst) & !(NUMBER - 1) != last
            };
            wait(changed, || {
                self.asleep[worker].store(true, Ordering::SeqCst);
                // Who announces work after this look sees that this worker is asleep, and wakes it.
                if !changed() {
                    std::thread::park();
                }
                self.asleep[worker].store(false, Ordering::SeqCst);
            });
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            last = self.state.load(Ordering::SeqCst) & !(NUMBER - 1);
            if self.join(last) {
                // SAFETY: the work was announced before this member joined, and its caller writes the next one only
                // after all have left.
                let work = unsafe { *self.work.get() };
                let outcome = catch_unwind(AssertUnwindSafe(|| work.map(|work| work(worker + 1))));
                if let Err(payload) = outcome {
                    *lock(&self.panic) = Some(payload);
                }
                self.state.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Joins the work of this number, unless it is closed.
    fn join(&self, number: u64) -> bool {
        let joined = |state: u64| (state & !MEMBERS == number | OPEN).then_some(state + 1);
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, joined).is_ok()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            wake(worker.thread());
            // A worker catches the panics of what it calls, so that it never ends by one.
            drop(worker.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn work_after_work_is_done_once_by_each_who_comes_and_by_nobody_afterwards() {
        let crew = Crew::new(3).unwrap();
        for round in 0..20_000 {
            // On the caller's stack: whoever came too late would find other values in it.
            let (next, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
            crew.share(&|member| {
                assert!(member < 4);
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= 8 {
                        break;
                    }
                    sum.fetch_add(round + task, Ordering::Relaxed);
                }
            });
            assert_eq!(sum.into_inner(), 8 * round + 28);
            if round % 5000 == 0 {
                // Long enough for the workers to fall asleep.
                std::thread::sleep(4 * WATCH);
            }
        }
    }

    #[test]
    fn callers_on_several_threads_take_turns() {
        let (crew, sum) = (Crew::new(2).unwrap(), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let own = AtomicUsize::new(0);
                        crew.share(&|_| {
                            own.fetch_add(1, Ordering::Relaxed);
                        });
                        assert!((1..=3).contains(&own.load(Ordering::Relaxed)));
                        sum.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 2000);
    }

    #[test]
    fn a_panic_in_any_member_reaches_the_caller_and_the_crew_works_on() {
        let crew = Crew::new(1).unwrap();
        for culprit in [0, 1] {
            let came = AtomicBool::new(false);
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                crew.share(&|member| {
                    came.fetch_or(member == 1, Ordering::SeqCst);
                    // The caller stays until the worker has come.
                    while !came.load(Ordering::SeqCst) {
                        std::thread::yield_now();
                    }
                    assert!(member != culprit, "member {member}");
                });
            }));
            assert!(outcome.is_err(), "{culprit}");
        }
        let calls = AtomicUsize::new(0);
        crew.share(&|_| {
            calls.fetch_add(1, Ordering::SeqCst);
        });
        assert!(calls.into_inner() >= 1);
    }
}
