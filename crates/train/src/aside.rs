//! Files that are either wholly there or not there: written aside, synced, renamed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err::File;

/// Path beside `path` under which it is written until it is complete.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".partial-");
    name.push(path.file_name().expect("a path that is written to has a file name"));
    path.with_file_name(name)
}

/// Writes `bytes` to `path` so that a reader sees the old file or the new one, also after a crash.
///
/// # Errors
/// Any failure to write; the file under `path` is then what it was before, and nothing is left aside.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = partial(path);
    let written = (|| {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs_err::rename(&aside, path)
    })();
    if written.is_err() {
        let _ = fs_err::remove_file(&aside);
        return written;
    }
    sync_parent(path)
}

/// Makes a rename inside the parent of `path` durable.
///
/// Only Unix can open a directory as a file; elsewhere the rename is durable when the system says so.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
