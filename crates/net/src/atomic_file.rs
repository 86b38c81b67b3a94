//! Files that are whole or absent, whatever happens while they are written.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err::{self as fs, File, OpenOptions};

/// Ending of a file that is still being written; one that outlives its process may be deleted.
pub const PARTIAL_ENDING: &str = ".partial";

/// Writes a file aside, in the same directory, and renames it over `path` once its bytes are on the disk.
///
/// A reader of `path` sees the old content or the new one, never a part, also after a power cut. The file aside is
/// named `.NAME.PROCESS-COUNTER.partial`; it is removed when writing fails and stays only when the process is killed.
///
/// # Errors
/// The first error of `content` or of the file system, which names the path. `path` is then unchanged.
pub fn write<E: From<io::Error>>(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let (aside, file) = create_aside(path)?;
    let mut buffer = BufWriter::with_capacity(1 << 20, file);
    let written = content(&mut buffer).and_then(|()| Ok(finish(buffer)?));
    let renamed = written.and_then(|()| Ok(fs::rename(&aside, path)?));
    if renamed.is_err() {
        // The first error is the one to report; a file aside that cannot be removed has its telling name.
        let _ = fs::remove_file(&aside);
        return renamed;
    }
    Ok(sync_directory(path)?)
}

fn create_aside(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = path.file_name() else {
        let message = format!("path has no file name: {}", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, message));
    };
    loop {
        let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut aside = std::ffi::OsString::from(".");
        aside.push(name);
        aside.push(format!(".{}-{counter}{PARTIAL_ENDING}", std::process::id()));
        let aside = path.with_file_name(aside);
        match OpenOptions::new().write(true).create_new(true).open(&aside) {
            Ok(file) => return Ok((aside, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn finish(buffer: BufWriter<File>) -> io::Result<()> {
    let file = buffer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Makes the rename itself durable, where directories can be opened at all.
fn sync_directory(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}
