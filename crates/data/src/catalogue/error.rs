//! Why a set of images was refused.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a set of images was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// No source at all.
    #[error("no source of images is given; name a folder with one folder for each person, or a list file")]
    NoSource,
    /// A folder or file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A tree without a folder in it, or a list without a line.
    #[error(
        "no people in {}; a tree holds one folder of images for each person, a list one image a line \
         (images found beside the folders: {images_beside})",
        path.display()
    )]
    NoPeople {
        /// The tree or list file.
        path: PathBuf,
        /// Images that lie directly in the tree.
        images_beside: usize,
    },
    /// A person's folder without an image.
    #[error("a person without any image: {}; add images or remove the folder", path.display())]
    NoImage {
        /// The folder.
        path: PathBuf,
    },
    /// The minimum leaves nobody.
    #[error(
        "nobody has the {minimum_images} images that are the minimum for one person; lower it or add images: {}",
        listed(sources)
    )]
    NobodyLeft {
        /// Folders and list files of all sources.
        sources: Vec<PathBuf>,
        /// Smallest number of images asked for.
        minimum_images: usize,
    },
    /// One person cannot be told from others.
    #[error(
        "training needs two people or more with the minimum of images, which is {minimum_images}, and there is one, \
         {name}: {}",
        path.display()
    )]
    OneIdentity {
        /// The person.
        name: String,
        /// Folder or list file of the source that they come from.
        path: PathBuf,
        /// Smallest number of images asked for.
        minimum_images: usize,
    },
    /// A folder's name is not UTF-8.
    #[error("the name of a folder is not UTF-8: {}; rename it", path.display())]
    NameNotText {
        /// The folder.
        path: PathBuf,
    },
    /// One source named twice.
    #[error("a source is given twice: {}", path.display())]
    SourceTwice {
        /// Its folder or file.
        path: PathBuf,
    },
    /// One file in two sources.
    #[error("an image belongs to two sources, as {first} and as {second}: {}", path.display())]
    ImageInTwoSources {
        /// The image.
        path: PathBuf,
        /// The person in the earlier source.
        first: String,
        /// The person in the later source.
        second: String,
    },
    /// A text file breaks its format.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The list or people file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A list file names an image that is not there.
    #[error("{}, line {line}: cannot read the image {}", list.display(), path.display())]
    ImageMissing {
        /// The list file.
        list: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The image.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A people file names someone without a folder.
    #[error("{}, line {line}: no such folder in {}: {name}", people.display(), root.display())]
    PersonMissing {
        /// The people file.
        people: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Folder of the tree.
        root: PathBuf,
        /// The name.
        name: String,
    },
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl CatalogueError {
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), source }
    }
}
