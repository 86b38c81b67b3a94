//! Work on a list of files by several threads, handed over in the order of the list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Results that may wait to be taken, for each thread.
const AHEAD: usize = 4;

/// Threads for a request of `threads`, 0 for one on each processor, and no more than there are files.
pub(crate) fn count(threads: usize, files: &[PathBuf]) -> usize {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    threads.clamp(1, files.len().max(1))
}

/// Runs `work` on each file, a thread for each of `workers`, and gives the results to `take` on the calling thread,
/// with the file's position, in the order of the files.
///
/// # Errors
/// The error of the first file in the order whose work or taking failed; later files may have been worked on.
pub(crate) fn each_in_order<W: Send, T: Send>(
    files: &[PathBuf],
    workers: Vec<W>,
    work: impl Fn(&mut W, &Path) -> anyhow::Result<T> + Sync,
    mut take: impl FnMut(usize, T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::sync_channel(AHEAD * workers.len().max(1));
    std::thread::scope(|scope| {
        for mut worker in workers {
            let (sender, next, work) = (sender.clone(), &next, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(index) else { break };
                    // The receiver is gone where an earlier file has failed.
                    if sender.send((index, work(&mut worker, file))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (index, result) in receiver {
            waiting.insert(index, result);
            while let Some(result) = waiting.remove(&due) {
                take(due, result?)?;
                due += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(count: usize) -> Vec<PathBuf> {
        (0..count).map(|index| PathBuf::from(index.to_string())).collect()
    }

    fn number(file: &Path) -> usize {
        file.to_str().unwrap().parse().unwrap()
    }

    #[test]
    fn results_come_in_the_order_of_the_files_though_the_first_takes_longest() {
        let (files, later) = (files(40), AtomicUsize::new(0));
        let mut taken = Vec::new();
        let work = |_: &mut (), file: &Path| {
            // The first file waits until others are done.
            while number(file) == 0 && later.load(Ordering::SeqCst) < 5 {
                std::thread::yield_now();
            }
            later.fetch_add(1, Ordering::SeqCst);
            Ok(number(file) * 10)
        };
        each_in_order(&files, vec![(); 3], work, |index, value| {
            taken.push((index, value));
            Ok(())
        })
        .unwrap();
        assert_eq!(taken, (0..40).map(|index| (index, index * 10)).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_failure_in_the_order_ends_the_work() {
        let files = files(1000);
        let mut taken = 0;
        let work = |_: &mut (), file: &Path| {
            anyhow::ensure!(number(file) % 10 != 7, "file {}", number(file));
            Ok(())
        };
        let error = each_in_order(&files, vec![(); 2], work, |_, ()| {
            taken += 1;
            Ok(())
        });
        assert_eq!((error.unwrap_err().to_string().as_str(), taken), ("file 7", 7));
        let refused = each_in_order(&files, vec![(); 2], |(), _| Ok(()), |_, ()| anyhow::bail!("enough"));
        assert_eq!(refused.unwrap_err().to_string(), "enough");
    }

    #[test]
    fn there_are_no_more_threads_than_files() {
        assert_eq!((count(8, &files(3)), count(2, &files(3)), count(4, &[])), (3, 2, 1));
    }
}
