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
    /// Whether [`create`](Self::create) would make a run in `path` now. Nothing stays changed.
    ///
    /// # Errors
    /// A directory in use, one that holds a run, one that holds anything else, or one that cannot be made or written.
    pub fn check_free(path: &Path) -> Result<(), RunError> {
        look(path)?;
        // Only an attempt shows whether the system lets us write, whatever the permissions say.
        let missing = missing(path);
        let attempt = match missing.last() {
            Some(nearest) => fs_err::create_dir(nearest).and_then(|()| fs_err::remove_dir(nearest)),
            None => {
                let probe = path.join(format!(".{RECIPE}.{}{PARTIAL_ENDING}", std::process::id()));
                File::create(&probe).and_then(|_| fs_err::remove_file(&probe))
            }
        };
        Ok(attempt?)
    }

    /// Starts a run in `path`, which is made if it is missing, and writes the resolved recipe there.
    ///
    /// # Errors
    /// As [`check_free`](Self::check_free); what was there is then untouched, and nothing is added.
    pub fn create(path: &Path, resolved_recipe: &str) -> Result<Self, RunError> {
        look(path)?;
        let missing = missing(path);
        let begin = || {
            fs_err::create_dir_all(path)?;
            let run = Self::lock(path)?;
            // Another process may have made a run between the look and the lock.
            look_inside(path, Lock::Ours)?;
            atomic_file::write(&run.recipe(), |sink| sink.write_all(resolved_recipe.as_bytes()))?;
            Ok(run)
        };
        let begun = begin();
        if let Err(RunError::Io(_)) = begun {
            // The first error is the one to report.
            let _ = fs_err::remove_file(path.join(LOCK));
            let _ = missing.iter().try_for_each(fs_err::remove_dir);
        }
        begun
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
        try_lock(&lock, path)?;
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

/// Whose lock a look inside a run directory may find.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Ours,
    Anyones,
}

/// Refuses a place where no run can begin, without changing anything there.
fn look(path: &Path) -> Result<(), RunError> {
    match look_inside(path, Lock::Anyones) {
        Err(RunError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        looked => looked,
    }
}

fn look_inside(path: &Path, lock: Lock) -> Result<(), RunError> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(path)? {
        names.push(entry?.file_name());
    }
    let holds = |name: &str| names.iter().any(|found| found == name);
    if lock == Lock::Anyones && holds(LOCK) {
        // A directory that cannot be written has a lock that cannot be opened so; then there is none to respect.
        if let Ok(file) = OpenOptions::new().write(true).open(path.join(LOCK)) {
            try_lock(&file, path)?;
        }
    }
    if holds(RECIPE) {
        return Err(RunError::HoldsRun(path.to_owned()));
    }
    // A start that was cut off before its recipe was complete has left nothing worth keeping.
    let ours = |name: &str| {
        name == LOCK || (name.starts_with(&format!(".{RECIPE}")) && name.ends_with(PARTIAL_ENDING))
    };
    let names = names.iter().map(|name| name.to_string_lossy().into_owned());
    match names.filter(|name| !ours(name)).min() {
        Some(entry) => Err(RunError::NotEmpty { path: path.to_owned(), entry }),
        None => Ok(()),
    }
}

/// The directories on the way to `path` that are not there, the innermost first.
fn missing(path: &Path) -> Vec<&Path> {
    path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect()
}

fn try_lock(lock: &File, path: &Path) -> Result<(), RunError> {
    match lock.file().try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(RunError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(RunError::Lock { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        assert_eq!(entries(photos.path()), ["me.jpg"]);
    }

    #[test]
    fn a_run_is_known_by_its_recipe_whatever_else_lies_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        drop(RunDirectory::create(directory.path(), "").unwrap());
        for name in 0..40 {
            fs_err::write(directory.path().join(format!("{name}.jpg")), "").unwrap();
        }
        assert!(matches!(RunDirectory::create(directory.path(), ""), Err(RunError::HoldsRun(_))));
        assert!(matches!(RunDirectory::check_free(directory.path()), Err(RunError::HoldsRun(_))));
        fs_err::remove_file(directory.path().join("recipe.resolved.toml")).unwrap();
        let error = RunDirectory::create(directory.path(), "").unwrap_err();
        assert!(matches!(&error, RunError::NotEmpty { entry, .. } if entry == "0.jpg"), "{error}");
    }

    #[test]
    fn a_check_leaves_nothing_and_sees_what_a_start_would_meet() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["", "a/run"] {
            RunDirectory::check_free(&directory.path().join(path)).unwrap();
            assert_eq!(entries(directory.path()), [""; 0], "{path}");
        }
        let file = directory.path().join("file");
        fs_err::write(&file, "text").unwrap();
        for path in [file.clone(), file.join("run"), file.join("a/run")] {
            assert!(matches!(RunDirectory::check_free(&path), Err(RunError::Io(_))), "{}", path.display());
            assert!(matches!(RunDirectory::create(&path, ""), Err(RunError::Io(_))), "{}", path.display());
        }
        assert_eq!(entries(directory.path()), ["file"]);

        let run = RunDirectory::create(&directory.path().join("run"), "").unwrap();
        assert!(matches!(RunDirectory::check_free(run.path()), Err(RunError::InUse(_))));
        // What a process leaves that was killed before its recipe was written is in nobody's way.
        fs_err::remove_file(run.recipe()).unwrap();
        let path = run.path().to_owned();
        drop(run);
        RunDirectory::check_free(&path).unwrap();
        RunDirectory::create(&path, "").unwrap();
    }

    fn entries(directory: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
