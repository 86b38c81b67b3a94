//! The directory of one run: its layout, and the lock that keeps a second process out.

use std::fs::TryLockError;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};
use net::atomic_file::{self, PARTIAL_ENDING};

/// A run directory that this process owns until the value is dropped.
///
/// ```text
/// RUN/recipe.resolved.toml    everything the run depends on, defaults written out
/// RUN/journal.jsonl           what happened, one JSON object a line: the source of truth
/// RUN/events/                 the same for TensorBoard
/// RUN/checkpoints/            the last few states to resume from
/// RUN/model.safetensors       the finished model
/// RUN/report.html             its evaluation
/// RUN/.lock                   locked while a process works here
/// ```
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    /// The operating system releases the lock when the file is closed, also after `kill -9`.
    _lock: File,
}

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process trains there now.
    #[error("another process is working in this run directory; wait for it or choose another: {}", .0.display())]
    InUse(PathBuf),
    /// A new run would mix with an old one.
    #[error("the directory holds a run already; resume it or choose another: {}", .0.display())]
    HoldsRun(PathBuf),
    /// A new run would mix with something else.
    #[error("the directory is not empty and holds no run; choose another: {} has {entry}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// One of its entries.
        entry: String,
    },
    /// There is nothing to resume.
    #[error("the directory holds no run to resume (no {RECIPE}): {}", .0.display())]
    NoRun(PathBuf),
    /// The lock cannot be had, on a file system that has none for example.
    #[error("cannot lock the run directory {}", path.display())]
    Lock {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system refused; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
}

const RECIPE: &str = "recipe.resolved.toml";
const LOCK: &str = ".lock";

impl RunDirectory {
    /// Starts a run in `path`, which is made if it is missing, and writes the resolved recipe there.
    ///
    /// # Errors
    /// A directory in use, one that holds a run, one that holds anything else, or one that cannot be written.
    pub fn create(path: &Path, resolved_recipe: &str) -> Result<Self, RunError> {
        fs_err::create_dir_all(path)?;
        let run = Self::lock(path)?;
        for entry in fs_err::read_dir(path)? {
            let name = entry?.file_name();
            if name == RECIPE {
                return Err(RunError::HoldsRun(path.to_owned()));
            }
            let entry = name.to_string_lossy().into_owned();
            // A start that was cut off before its recipe was complete has left nothing worth keeping.
            if name != LOCK && !(entry.starts_with(&format!(".{RECIPE}")) && entry.ends_with(PARTIAL_ENDING))
            {
                return Err(RunError::NotEmpty { path: path.to_owned(), entry });
            }
        }
        atomic_file::write(&run.recipe(), |sink| sink.write_all(resolved_recipe.as_bytes()))?;
        Ok(run)
    }

    /// Takes up the run in `path`.
    ///
    /// # Errors
    /// A directory in use or one without a run.
    pub fn resume(path: &Path) -> Result<Self, RunError> {
        if !path.join(RECIPE).is_file() {
            return Err(RunError::NoRun(path.to_owned()));
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, RunError> {
        let mut lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK))?;
        match lock.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(RunError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => {
                return Err(RunError::Lock { path: path.to_owned(), source });
            }
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The recipe with every default written out.
    #[must_use]
    pub fn recipe(&self) -> PathBuf {
        self.path.join(RECIPE)
    }

    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }

    /// Directory of the TensorBoard events.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// Directory of the checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The finished model.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// The report on the finished model.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }
}

#[cfg(test)]
mod tests {
    use super::{RunDirectory, RunError};

    #[test]
    fn a_second_process_is_kept_out_until_the_first_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/run");
        let first = RunDirectory::create(&path, "x = 1\n").unwrap();
        // Locks belong to the open file, so a second one in this process stands for another process.
        assert!(matches!(RunDirectory::resume(&path), Err(RunError::InUse(at)) if at == path));
        assert!(matches!(RunDirectory::create(&path, "x = 2\n"), Err(RunError::InUse(_))));
        drop(first);
        let resumed = RunDirectory::resume(&path).unwrap();
        assert_eq!(fs_err::read_to_string(resumed.recipe()).unwrap(), "x = 1\n");
    }

    #[test]
    fn a_new_run_never_mixes_with_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(RunDirectory::resume(directory.path()), Err(RunError::NoRun(_))));
        drop(RunDirectory::create(directory.path(), "").unwrap());
        assert!(matches!(RunDirectory::create(directory.path(), ""), Err(RunError::HoldsRun(_))));

        let photos = tempfile::tempdir().unwrap();
        fs_err::write(photos.path().join("me.jpg"), "photo").unwrap();
        let error = RunDirectory::create(photos.path(), "").unwrap_err();
        assert!(matches!(&error, RunError::NotEmpty { entry, .. } if entry == "me.jpg"), "{error}");
        assert!(!photos.path().join("recipe.resolved.toml").exists());
    }
}
