//! Who is in the images of a protocol that does not say so itself.

use std::collections::HashMap;
use std::path::Path;

use super::lines::Lines;
use super::{Kind, LineProblem, Protocol, ProtocolError};

/// Words for the images of a protocol, from a table with two columns: who is in them, or which group they belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTable {
    entries: HashMap<String, String>,
}

impl NameTable {
    /// Reads lines `name<TAB>word`. A name is an image as the protocol names it, or a person.
    ///
    /// # Errors
    /// A file that cannot be read, a line without the two columns, a name with two words.
    pub fn read(path: &Path) -> Result<Self, ProtocolError> {
        let lines = Lines::read(path)?;
        let mut entries = HashMap::new();
        for line in lines.all()? {
            let columns = line.text.split_once('\t').map(|(name, word)| (name.trim(), word.trim()));
            let columns = columns.filter(|(name, word)| !name.is_empty() && !word.is_empty());
            let (name, word) = columns.ok_or_else(|| lines.blame(line, LineProblem::TableColumns))?;
            let name = crate::embeddings::without_ending(name).to_owned();
            if entries.insert(name, word.to_owned()).is_some_and(|before| before != word) {
                return Err(lines.blame(line, LineProblem::Twice));
            }
        }
        Ok(Self { entries })
    }

    /// The word for a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(String::as_str)
    }
}

impl Protocol {
    /// Puts the people of a table in the place of those that were taken from the genuine pairs.
    ///
    /// # Errors
    /// [`super::MissingImages`] where the table lacks images, as intervals over people need everyone.
    pub fn name_people(&mut self, table: &NameTable) -> Result<(), super::MissingImages> {
        let people = self.resolve(|image| table.get(&image.name).map(str::to_owned))?;
        self.images.iter_mut().zip(people).for_each(|(image, person)| image.person = person);
        Ok(())
    }

    /// Makes one person of the images that genuine pairs connect, named after the first of them.
    pub(super) fn connect_people(&mut self) {
        let mut parents: Vec<usize> = (0..self.images.len()).collect();
        fn root(parents: &mut [usize], mut image: usize) -> usize {
            while parents[image] != image {
                parents[image] = parents[parents[image]];
                image = parents[image];
            }
            image
        }
        for pair in self.pairs.iter().filter(|pair| pair.kind == Kind::Genuine) {
            let (first, second) = (root(&mut parents, pair.first), root(&mut parents, pair.second));
            // The lower row stays the root, so that the name is that of the first image.
            parents[first.max(second)] = first.min(second);
        }
        for image in 0..self.images.len() {
            let first = root(&mut parents, image);
            self.images[image].person = self.images[first].name.clone();
        }
    }
}
