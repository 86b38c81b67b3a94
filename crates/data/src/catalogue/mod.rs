//! Which images there are, and of whom.

mod error;
mod list;
mod people;
mod source;
mod tree;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use error::CatalogueError;
pub use people::{People, Person};
pub use source::Source;
pub use tree::is_image;

/// All images of a training set, grouped by person.
///
/// The order is fixed by names alone: sources as given, people of a source by the bytes of their names,
/// images of a person by the bytes of their paths. A person's label is their place in that order. Equal names
/// in two sources are two people.
#[derive(Clone, Debug)]
pub struct Catalogue {
    roots: Vec<PathBuf>,
    identities: Vec<Identity>,
    images: Vec<CatalogueImage>,
    notices: Vec<Notice>,
}

/// One person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the folder, or what the list file calls them.
    pub name: String,
    /// Position of the source among the sources.
    pub source: usize,
    /// Where their images lie in [`Catalogue::images`].
    pub images: Range<usize>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueImage {
    /// Path inside its source's folder; [`Catalogue::path`] gives the whole path.
    pub relative: PathBuf,
    /// Size of the file.
    pub bytes: u64,
    /// Position of its person in [`Catalogue::identities`].
    pub label: u32,
}

/// Something that a catalogue left out by its rules, for the user to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Files in a tree that are no images by their names, or lie beside the people's folders.
    FilesIgnored {
        /// Folder of the tree.
        root: PathBuf,
        /// How many.
        count: usize,
        /// One of them.
        example: PathBuf,
    },
    /// People with fewer images than asked for.
    BelowMinimum {
        /// Folder or list file of the source.
        source: PathBuf,
        /// The number asked for.
        minimum: usize,
        /// How many people.
        count: usize,
        /// One of them.
        example: String,
    },
    /// People of whom the people file states another number of images than the tree holds.
    CountsDiffer {
        /// The people file.
        people: PathBuf,
        /// How many people.
        count: usize,
        /// One of them.
        example: String,
        /// Images that the file states for that one.
        stated: usize,
        /// Images that the tree holds.
        found: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FilesIgnored { root, count, example } => {
                write!(out, "{}: {count} other files ignored, such as {}", root.display(), example.display())
            }
            Self::BelowMinimum { source, minimum, count, example } => write!(
                out,
                "{}: {count} people left out with fewer than {minimum} images, such as {example}",
                source.display()
            ),
            Self::CountsDiffer { people, count, example, stated, found } => write!(
                out,
                "{}: {count} people have another number of images than stated, such as {example}: {stated} stated, {found} found",
                people.display()
            ),
        }
    }
}

/// What one source holds, before the minimum is applied.
struct Found {
    root: PathBuf,
    people: Vec<FoundPerson>,
    notices: Vec<Notice>,
}

struct FoundPerson {
    name: String,
    /// Paths inside `root`, and sizes.
    images: Vec<(PathBuf, u64)>,
}

impl Catalogue {
    /// Lists the images of all `sources`, and leaves out people with fewer than `minimum_images` of them.
    ///
    /// Images are not opened. In a folder tree (`root/person/.../image`) a file is an image if its name ends
    /// in one of the usual extensions of images, of any format; what is not decoded is refused when it is
    /// read, not overlooked here. Other files, hidden files and files beside the people's folders are
    /// ignored, counted and told in [`notices`](Self::notices).
    ///
    /// # Errors
    /// No source, a path that cannot be read, a source without people, a person without an image, fewer than
    /// two people left, a source or an image given twice, a people file that names someone who is not in
    /// the tree, a line that cannot be understood.
    pub fn read(sources: &[Source], minimum_images: usize) -> Result<Self, CatalogueError> {
        if sources.is_empty() {
            return Err(CatalogueError::NoSource);
        }
        let mut catalogue = Self { roots: vec![], identities: vec![], images: vec![], notices: vec![] };
        let mut seen = BTreeSet::new();
        for source in sources {
            let place = canonical(source.path())?;
            if !seen.insert(place) {
                return Err(CatalogueError::SourceTwice { path: source.path().to_owned() });
            }
            let found = match source {
                Source::Tree { root, people } => tree::read(root, people.as_deref())?,
                Source::List { file } => list::read(file)?,
            };
            catalogue.add(source, found, minimum_images);
        }
        catalogue.reject_shared_images()?;
        match catalogue.identities.as_slice() {
            [] => {
                let sources = sources.iter().map(|source| source.path().to_owned()).collect();
                Err(CatalogueError::NobodyLeft { sources, minimum_images })
            }
            [only] => Err(CatalogueError::OneIdentity {
                name: only.name.clone(),
                path: sources[only.source].path().to_owned(),
                minimum_images,
            }),
            _ => Ok(catalogue),
        }
    }

    /// The people; a person's position is their label.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The images, those of one person together.
    pub fn images(&self) -> &[CatalogueImage] {
        &self.images
    }

    /// Where the image at position `image` lies.
    ///
    /// # Panics
    /// Where `image` is out of range.
    pub fn path(&self, image: usize) -> PathBuf {
        let entry = &self.images[image];
        self.roots[self.identities[entry.label as usize].source].join(&entry.relative)
    }

    /// What was left out by rule.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Identifies the set in a model card: FNV-1a (64 bits) over, for each image in order, its source's
    /// position, its person's name, its path inside the source and its size in bytes.
    ///
    /// It is the same wherever the set lies on a disk. It does not read the images: a set with a pixel
    /// changed and all sizes equal has the same fingerprint.
    pub fn fingerprint(&self) -> String {
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        let mut take = |bytes: &[u8]| {
            for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
            }
        };
        for image in &self.images {
            let identity = &self.identities[image.label as usize];
            take(&(identity.source as u64).to_le_bytes());
            take(identity.name.as_bytes());
            for part in &image.relative {
                take(part.as_encoded_bytes());
            }
            take(&image.bytes.to_le_bytes());
        }
        format!("fnv1a64:{hash:016x}")
    }

    /// The catalogue without the images at `positions`; the first person left without any is the error.
    pub(crate) fn without(&self, positions: &BTreeSet<usize>) -> Result<Self, Identity> {
        let mut kept = Self { identities: vec![], images: vec![], ..self.clone() };
        for identity in &self.identities {
            let from = kept.images.len();
            let label = kept.identities.len() as u32;
            kept.images.extend(
                identity
                    .images
                    .clone()
                    .filter(|position| !positions.contains(position))
                    .map(|position| CatalogueImage { label, ..self.images[position].clone() }),
            );
            if kept.images.len() == from {
                return Err(identity.clone());
            }
            kept.identities.push(Identity { images: from..kept.images.len(), ..identity.clone() });
        }
        Ok(kept)
    }

    fn add(&mut self, source: &Source, found: Found, minimum_images: usize) {
        let position = self.roots.len();
        self.roots.push(found.root);
        self.notices.extend(found.notices);
        let mut left_out = Vec::new();
        for person in found.people {
            if person.images.len() < minimum_images {
                left_out.push(person.name);
                continue;
            }
            let label = u32::try_from(self.identities.len()).expect("fewer people than 2^32");
            let from = self.images.len();
            self.images.extend(person.images.into_iter().map(|(relative, bytes)| CatalogueImage {
                relative,
                bytes,
                label,
            }));
            let images = from..self.images.len();
            self.identities.push(Identity { name: person.name, source: position, images });
        }
        if let Some(example) = left_out.first() {
            self.notices.push(Notice::BelowMinimum {
                source: source.path().to_owned(),
                minimum: minimum_images,
                count: left_out.len(),
                example: example.clone(),
            });
        }
    }

    /// One file may not be two people, nor count twice, though two sources may overlap on the disk.
    fn reject_shared_images(&self) -> Result<(), CatalogueError> {
        if self.roots.len() < 2 {
            return Ok(());
        }
        let roots = self.roots.iter().map(|root| canonical(root)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashMap::new();
        for image in &self.images {
            let identity = &self.identities[image.label as usize];
            let path = roots[identity.source].join(&image.relative);
            if let Some(first) = seen.insert(path, image.label) {
                return Err(CatalogueError::ImageInTwoSources {
                    path: self.roots[identity.source].join(&image.relative),
                    first: self.identities[first as usize].name.clone(),
                    second: identity.name.clone(),
                });
            }
        }
        Ok(())
    }
}

fn canonical(path: &Path) -> Result<PathBuf, CatalogueError> {
    fs_err::canonicalize(path).map_err(|source| CatalogueError::unreadable(path, source))
}
