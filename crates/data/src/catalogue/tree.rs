//! Folder trees: a folder for each person.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{CatalogueError, Found, FoundPerson, Notice, People};

/// Extensions by which a file in a tree is taken for an image. Formats that are not decoded are among them,
/// so that such an image is refused with a reason, not lost.
const EXTENSIONS: [&str; 21] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "pgm", "ppm", "pbm", "pnm", "pam", "webp", "bmp", "gif",
    "tif", "tiff", "heic", "heif", "avif", "jxl", "jp2",
];

/// Folders inside a person's folder are followed this deep.
const DEEPEST: usize = 8;

pub(super) fn read(root: &Path, people: Option<&Path>) -> Result<Found, CatalogueError> {
    let mut ignored = Vec::new();
    let mut folders = BTreeMap::new();
    let mut images_beside = 0;
    for (name, path) in entries(root)? {
        // A link to a folder of images is a person too.
        let is_folder = fs_err::metadata(&path).is_ok_and(|meta| meta.is_dir());
        if is_folder && !hidden(&name) {
            let name = name.into_string().map_err(|_| CatalogueError::NameNotText { path: path.clone() })?;
            folders.insert(name, path);
        } else {
            images_beside += usize::from(is_image(&path));
            ignored.push(path);
        }
    }
    let mut stated = BTreeMap::new();
    if let Some(file) = people {
        for person in People::read(file)?.people {
            let missing = || CatalogueError::PersonMissing {
                people: file.to_owned(),
                line: person.line,
                root: root.to_owned(),
                name: person.name.clone(),
            };
            folders.get(&person.name).ok_or_else(missing)?;
            stated.insert(person.name, person.images);
        }
        folders.retain(|name, _| stated.contains_key(name));
    }
    if folders.is_empty() {
        return Err(CatalogueError::NoPeople { path: root.to_owned(), images_beside });
    }

    let folders: Vec<(String, PathBuf)> = folders.into_iter().collect();
    let walked: Vec<Result<Walk, CatalogueError>> = folders
        .par_iter()
        .map(|(_, folder)| {
            let mut walk = Walk::default();
            walk.folder(root, folder, 0)?;
            if walk.images.is_empty() {
                return Err(CatalogueError::NoImage { path: folder.clone() });
            }
            walk.images.sort_by(|one, other| bytes_of(&one.0).cmp(bytes_of(&other.0)));
            Ok(walk)
        })
        .collect();

    let mut found = Found { root: root.to_owned(), people: Vec::new(), notices: Vec::new() };
    let mut differing: Option<(usize, String, usize, usize)> = None;
    for ((name, _), walk) in folders.into_iter().zip(walked) {
        let walk = walk?;
        ignored.extend(walk.ignored);
        match stated.get(&name) {
            Some(&images) if images != walk.images.len() => {
                let first = (0, name.clone(), images, walk.images.len());
                differing.get_or_insert(first).0 += 1;
            }
            _ => {}
        }
        found.people.push(FoundPerson { name, images: walk.images });
    }
    if let Some(example) = ignored.first() {
        found.notices.push(Notice::FilesIgnored {
            root: root.to_owned(),
            count: ignored.len(),
            example: example.clone(),
        });
    }
    if let (Some((count, example, stated, found_images)), Some(people)) = (differing, people) {
        let people = people.to_owned();
        found.notices.push(Notice::CountsDiffer { people, count, example, stated, found: found_images });
    }
    Ok(found)
}

#[derive(Default)]
struct Walk {
    images: Vec<(PathBuf, u64)>,
    ignored: Vec<PathBuf>,
}

impl Walk {
    fn folder(&mut self, root: &Path, folder: &Path, depth: usize) -> Result<(), CatalogueError> {
        for (name, path) in entries(folder)? {
            if hidden(&name) {
                self.ignored.push(path);
                continue;
            }
            // Links to folders are not followed here: they may lead back up.
            let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
            if is_folder && depth < DEEPEST {
                self.folder(root, &path, depth + 1)?;
            } else if is_image(&path) && !path.is_dir() {
                let size = fs_err::metadata(&path)
                    .map_err(|source| CatalogueError::unreadable(&path, source))?
                    .len();
                let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
                self.images.push((relative, size));
            } else {
                self.ignored.push(path);
            }
        }
        Ok(())
    }
}

/// The entries of a folder, in the order of their names' bytes.
fn entries(folder: &Path) -> Result<Vec<(std::ffi::OsString, PathBuf)>, CatalogueError> {
    let unreadable = |source| CatalogueError::unreadable(folder, source);
    let mut entries = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        entries.push((entry.file_name(), entry.path()));
    }
    entries.sort_by(|one, other| one.0.as_encoded_bytes().cmp(other.0.as_encoded_bytes()));
    Ok(entries)
}

fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether the name of a file ends in one of the usual extensions of images, of any format: what is not decoded is then
/// refused with a reason, not lost.
pub fn is_image(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
