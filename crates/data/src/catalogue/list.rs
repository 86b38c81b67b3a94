//! List files: an image and its person a line.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::{CatalogueError, Found, FoundPerson};

pub(super) fn read(file: &Path) -> Result<Found, CatalogueError> {
    let text = fs_err::read_to_string(file).map_err(|source| CatalogueError::unreadable(file, source))?;
    let root = file.parent().map(Path::to_owned).unwrap_or_default();
    let at = |line: usize, problem: String| CatalogueError::Line { path: file.to_owned(), line, problem };
    let mut people: BTreeMap<String, Vec<(PathBuf, u64)>> = BTreeMap::new();
    let mut seen = HashMap::new();
    for (index, text) in text.lines().enumerate() {
        let (line, text) = (index + 1, text.trim());
        if text.is_empty() {
            continue;
        }
        let (path, name) = text
            .split_once('\t')
            .or_else(|| text.rsplit_once(' '))
            .map(|(path, name)| (path.trim(), name.trim()))
            .filter(|(path, name)| !path.is_empty() && !name.is_empty())
            .ok_or_else(|| at(line, format!("a path, a tab and a name are expected: {text}")))?;
        let relative = PathBuf::from(path);
        if let Some(earlier) = seen.insert(relative.clone(), line) {
            return Err(at(line, format!("listed before, in line {earlier}: {path}")));
        }
        let place = root.join(&relative);
        let meta = fs_err::metadata(&place).map_err(|source| CatalogueError::ImageMissing {
            list: file.to_owned(),
            line,
            path: place.clone(),
            source,
        })?;
        if !meta.is_file() {
            return Err(at(line, format!("not a file: {}", place.display())));
        }
        people.entry(name.to_owned()).or_default().push((relative, meta.len()));
    }
    if people.is_empty() {
        return Err(CatalogueError::NoPeople { path: file.to_owned(), images_beside: 0 });
    }
    let people = people
        .into_iter()
        .map(|(name, mut images)| {
            images.sort_by(|one, other| {
                one.0.as_os_str().as_encoded_bytes().cmp(other.0.as_os_str().as_encoded_bytes())
            });
            FoundPerson { name, images }
        })
        .collect();
    Ok(Found { root, people, notices: Vec::new() })
}
