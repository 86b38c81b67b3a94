//! The image files that paths on the command line lead to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::terminal;

/// The files that `paths` name and those of the folders that they name, in order; files of folders that are no images
/// by their names are counted in a note.
///
/// # Errors
/// A path that leads to nothing or to no image at all.
pub(crate) fn collect(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let mut folder = Folder::default();
        folder.collect(path)?;
        if let Some(example) = folder.ignored.first() {
            let (root, count, example) = (path.display(), folder.ignored.len(), example.display());
            terminal::note(&format!("note: {root}: {count} other files ignored, such as {example}"));
        }
        if folder.images.is_empty() {
            bail!("no image files (jpg, png, webp, bmp, pgm, ppm) in: {}", path.display());
        }
        files.append(&mut folder.images);
    }
    Ok(files)
}

/// What a path leads to: image files in order of their names, at any depth, and the files that are none by their names.
#[derive(Default)]
struct Folder {
    images: Vec<PathBuf>,
    ignored: Vec<PathBuf>,
    /// Folders seen, because a link may lead back up.
    seen: BTreeSet<PathBuf>,
}

impl Folder {
    /// A file counts as an image if it is named itself; in a folder its name decides, and hidden files are none.
    fn collect(&mut self, path: &Path) -> anyhow::Result<()> {
        if !fs_err::metadata(path)?.is_dir() {
            self.images.push(path.to_owned());
            return Ok(());
        }
        if !self.seen.insert(fs_err::canonicalize(path)?) {
            return Ok(());
        }
        let entries = fs_err::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs_err::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || !(data::is_image(&path) || fs_err::metadata(&path)?.is_dir()) {
                self.ignored.push(path);
            } else {
                self.collect(&path)?;
            }
        }
        Ok(())
    }
}
