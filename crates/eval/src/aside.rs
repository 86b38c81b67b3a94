//! Files that appear whole or not at all.

use std::io::Write;
use std::path::Path;

/// Writes a file beside its place, flushes it to the disk, then renames it.
pub(crate) fn write_aside(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let aside = path.with_file_name(name);
    let written = fs_err::File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs_err::rename(&aside, path)).inspect_err(|_| {
        // The first error is the one to report; what it left is of no use.
        let _ = fs_err::remove_file(&aside);
    })
}
