//! Which files the crops of a photograph are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The crop of the first face of `photograph`: `people/ann/1.jpg` of folder `people` is `ann/1.png` below `destination`.
pub(super) fn first(photograph: &Path, source: &Path, destination: &Path) -> PathBuf {
    destination.join(photograph.strip_prefix(source).unwrap_or(photograph)).with_extension("png")
}

/// The crop of face `number`, from 1: `ann/1.png`, `ann/1.2.png`, `ann/1.3.png`.
pub(super) fn numbered(first: &Path, number: usize) -> PathBuf {
    match number {
        1 => first.to_owned(),
        number => first.with_extension(format!("{number}.png")),
    }
}

/// Of a crop of a further face, that of the first: `ann/1.png` of `ann/1.2.png`.
fn first_of(further: &Path) -> Option<PathBuf> {
    let (stem, number) = further.file_stem()?.to_str()?.rsplit_once('.')?;
    let number: usize = number.parse().ok()?;
    let ends_in_png = further.extension().is_some_and(|ending| ending == "png");
    (ends_in_png && number > 1).then(|| further.with_file_name(format!("{stem}.png")))
}

/// Refuses photographs whose crops would be one file: `1.jpg` and `1.png` in one folder; with further faces, `1.jpg`
/// and `1.2.jpg`.
pub(super) fn refuse_shared(
    photographs: &[PathBuf],
    source: &Path,
    destination: &Path,
    further_faces: bool,
) -> anyhow::Result<()> {
    let mut owners: BTreeMap<PathBuf, &PathBuf> = BTreeMap::new();
    let refused = |one: &Path, other: &Path, crop: &Path| {
        bail!(
            "{} and {} would give one crop, rename one of them or move it away: {}",
            one.display(),
            other.display(),
            crop.display()
        )
    };
    for photograph in photographs {
        let crop = first(photograph, source, destination);
        if let Some(other) = owners.insert(crop.clone(), photograph) {
            return refused(other, photograph, &crop);
        }
    }
    for (crop, photograph) in owners.iter().filter(|_| further_faces) {
        if let Some(other) = first_of(crop).and_then(|first| owners.get(&first)) {
            return refused(other, photograph, crop);
        }
    }
    Ok(())
}

/// The crops of these first faces, and of further faces beside them, that are there.
pub(super) fn present(firsts: &BTreeSet<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    let folders: BTreeSet<&Path> = firsts.iter().filter_map(|crop| crop.parent()).collect();
    let mut found = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        for entry in fs_err::read_dir(folder)? {
            let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
            if firsts.contains(&path) || first_of(&path).is_some_and(|first| firsts.contains(&first)) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_faces_lead_back_to_the_first() {
        let crop = first(Path::new("in/ann/1.a.jpeg"), Path::new("in"), Path::new("out"));
        assert_eq!(crop, Path::new("out/ann/1.a.png"));
        assert_eq!(numbered(&crop, 1), crop);
        assert_eq!(numbered(&crop, 12), Path::new("out/ann/1.a.12.png"));
        assert_eq!(first_of(&numbered(&crop, 12)), Some(crop.clone()));
        assert_eq!((first_of(&crop), first_of(Path::new("out/1.1.png"))), (None, None));
    }

    #[test]
    fn two_photographs_with_one_crop_are_refused_by_name() {
        let refused = |names: [&str; 2], further_faces| {
            let files = names.map(|name| Path::new("in").join(name));
            let result = refuse_shared(&files, Path::new("in"), Path::new("out"), further_faces);
            result.err().map(|error| error.to_string())
        };
        let text = refused(["ann/1.jpg", "ann/1.png"], false).unwrap();
        assert!(text.contains("in/ann/1.jpg and in/ann/1.png") && text.contains("out/ann/1.png"), "{text}");
        assert_eq!(refused(["ann/1.jpg", "bob/1.png"], true), None);
        assert_eq!(refused(["1.jpg", "1.2.jpg"], false), None);
        assert!(refused(["1.jpg", "1.2.jpg"], true).unwrap().contains("out/1.2.png"));
    }
}
