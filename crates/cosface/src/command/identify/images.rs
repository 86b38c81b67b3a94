//! Which images take part, and who is in them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use eval::{Embeddings, Vectors};

use crate::command::terminal;

/// Images that are known to be wrong, by name.
pub(super) struct Noise {
    path: PathBuf,
    names: HashSet<String>,
    met: RefCell<HashSet<String>>,
}

impl Noise {
    /// Reads a list of names, one a line.
    pub(super) fn read(path: &Path) -> anyhow::Result<Noise> {
        let text = fs_err::read_to_string(path)?;
        let names: HashSet<String> =
            text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        ensure!(!names.is_empty(), "the list of noise is empty: {}", path.display());
        Ok(Noise { path: path.to_owned(), names, met: RefCell::default() })
    }

    /// Whether the list names an image, whole or by the end of its path.
    fn has(&self, name: &str) -> bool {
        let found = suffixes(name).find(|suffix| self.names.contains(*suffix));
        if let Some(found) = found {
            self.met.borrow_mut().insert(found.to_owned());
        }
        found.is_some()
    }

    /// Says how much of the list was met; published lists name images that a set need not have, but not only such.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let (met, all) = (self.met.borrow().len(), self.names.len());
        ensure!(
            met > 0,
            "no image of the list of noise is a probe or in what is searched: {}",
            self.path.display()
        );
        if met < all {
            terminal::note(&format!(
                "{} of {all} names of the list of noise are of no image here: {}",
                all - met,
                self.path.display()
            ));
        }
        Ok(())
    }
}

/// A path and what remains of it without its first folders: `a/b/c.jpg`, `b/c.jpg`, `c.jpg`.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |rest| rest.split_once('/').map(|(_, rest)| rest))
}

/// Images with their vectors.
pub(super) struct Images {
    pub(super) names: Vec<String>,
    pub(super) vectors: Vectors,
}

impl Images {
    /// All images, or without those that a list names as noise.
    pub(super) fn of(embeddings: &Embeddings, noise: Option<&Noise>) -> anyhow::Result<Images> {
        let names = embeddings.names();
        let rows = (0..names.len()).filter(|&row| noise.is_none_or(|noise| !noise.has(&names[row])));
        Images::take(embeddings, &rows.collect::<Vec<_>>())
    }

    /// The images of a list, in its order, without noise; and their places in the list.
    pub(super) fn listed(
        embeddings: &Embeddings,
        wanted: &[String],
        list: &Path,
        noise: Option<&Noise>,
    ) -> anyhow::Result<(Images, Vec<usize>)> {
        // Two images with one end of their paths are no match for it.
        let mut rows: HashMap<&str, Option<usize>> = HashMap::new();
        for (row, name) in embeddings.names().iter().enumerate() {
            for suffix in suffixes(name) {
                rows.entry(suffix).and_modify(|row| *row = None).or_insert(Some(row));
            }
        }
        let (mut taken, mut places) = (Vec::new(), Vec::new());
        for (place, name) in wanted.iter().enumerate() {
            let row = match rows.get(name.as_str()) {
                Some(Some(row)) => *row,
                Some(None) => bail!("several vectors are of {name}, which {} names", list.display()),
                None => bail!("no vector is of {name}, which {} names", list.display()),
            };
            if noise.is_none_or(|noise| !noise.has(name) && !noise.has(&embeddings.names()[row])) {
                taken.push(row);
                places.push(place);
            }
        }
        Ok((Images::take(embeddings, &taken)?, places))
    }

    fn take(embeddings: &Embeddings, rows: &[usize]) -> anyhow::Result<Images> {
        let vectors = Vectors::from_rows(rows.iter().map(|&row| embeddings.vectors().row(row)))?;
        Ok(Images { names: rows.iter().map(|&row| embeddings.names()[row].clone()).collect(), vectors })
    }

    /// Numbers for people, who are the folders of names.
    pub(super) fn people(&self, numbers: &mut HashMap<String, usize>) -> anyhow::Result<Vec<usize>> {
        let number = |name: &String| {
            let folder =
                Path::new(name).parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
            let person = folder.with_context(|| {
                format!("a name must have the person as its folder, as Ann/1.jpg: {name}")
            })?;
            let next = numbers.len();
            Ok(*numbers.entry(person.to_owned()).or_insert(next))
        };
        self.names.iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::suffixes;

    #[test]
    fn a_path_ends_in_each_of_its_ends() {
        assert_eq!(suffixes("a/b/c.jpg").collect::<Vec<_>>(), ["a/b/c.jpg", "b/c.jpg", "c.jpg"]);
        assert_eq!(suffixes("c.jpg").collect::<Vec<_>>(), ["c.jpg"]);
    }
}
