//! Protocols: which pairs of images are compared, and in which fold.

mod cfp;
mod format;
mod lfw;
mod lines;
mod list;
mod people;
mod ytf;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use format::{Format, UnknownFormat};
pub use people::NameTable;

/// Whether a pair shows one person or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Two images of one person.
    Genuine,
    /// Images of two people.
    Impostor,
}

/// An image (or a video) as a protocol names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ImageKey {
    /// Who is in it. Intervals resample people, so this is part of the evidence.
    pub person: String,
    /// Name inside the data set without its file extension, as `Abel_Pacheco/Abel_Pacheco_0001`.
    pub name: String,
}

impl fmt::Display for ImageKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

/// One comparison; `first` and `second` are rows of [`Protocol::images`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Row of the first image.
    pub first: usize,
    /// Row of the second image.
    pub second: usize,
    /// One person or two.
    pub kind: Kind,
    /// Fold, counted from 0.
    pub fold: usize,
}

/// How a protocol's folds came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoldOrigin {
    /// The file defines them.
    File,
    /// The file has none: the pairs of each kind, in the order of the file, were cut into ten contiguous parts.
    CutInTen,
}

impl FoldOrigin {
    /// The origin in a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::File => "The protocol file defines the folds.",
            Self::CutInTen => {
                "The protocol file has no folds: the pairs of each kind were cut into ten contiguous parts."
            }
        }
    }
}

/// A list of comparisons with its folds.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Name of the file it came from, without its folder.
    pub name: String,
    /// Each image once, in the order of first use. Vectors to be evaluated have these rows.
    pub images: Vec<ImageKey>,
    /// The comparisons in the order of the file.
    pub pairs: Vec<Pair>,
    /// Number of folds.
    pub folds: usize,
    /// How the folds came about.
    pub fold_origin: FoldOrigin,
}

impl Protocol {
    /// Looks every image up, in the order of [`Protocol::images`].
    ///
    /// # Errors
    /// [`MissingImages`] counts the images that `find` does not know and names the first few. A protocol is evaluated
    /// whole or not at all: a skipped pair would change what its number means.
    pub fn resolve<T>(&self, mut find: impl FnMut(&ImageKey) -> Option<T>) -> Result<Vec<T>, MissingImages> {
        let mut found = Vec::with_capacity(self.images.len());
        let mut missing = Vec::new();
        for image in &self.images {
            match find(image) {
                Some(value) => found.push(value),
                None => missing.push(image.name.as_str()),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        let first = missing.iter().take(MissingImages::NAMED).map(|&name| name.to_owned()).collect();
        Err(MissingImages {
            protocol: self.name.clone(),
            count: missing.len(),
            images: self.images.len(),
            first,
        })
    }

    /// Number of pairs of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.pairs.iter().filter(|pair| pair.kind == kind).count()
    }

    /// The person of each image as a number from 0, and how many people there are.
    pub fn people(&self) -> (Vec<usize>, usize) {
        let mut numbers = HashMap::new();
        let people = self.images.iter().map(|image| {
            let next = numbers.len();
            *numbers.entry(image.person.as_str()).or_insert(next)
        });
        let people: Vec<usize> = people.collect();
        let count = numbers.len();
        (people, count)
    }
}

/// A protocol names images that are not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{protocol} names {images} images and {count} of them are missing, beginning with: {}", first.join(", "))]
pub struct MissingImages {
    /// Name of the protocol.
    pub protocol: String,
    /// Number of missing images.
    pub count: usize,
    /// Number of images in the protocol.
    pub images: usize,
    /// The first few missing ones, sorted by name.
    pub first: Vec<String>,
}

impl MissingImages {
    /// How many missing images the message names.
    pub const NAMED: usize = 5;
}

/// Why a file is not a protocol.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The file cannot be read.
    #[error("cannot read the protocol")]
    Read(#[source] std::io::Error),
    /// A line does not say what it must.
    #[error("{}, line {line}: {problem}: {text}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineProblem,
        /// The line itself, shortened if it is long.
        text: String,
    },
    /// The file holds another number of pairs than its header says.
    #[error("{}: the header says {promised} {kind} pairs in {place}, the file holds {found}", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// `genuine` or `impostor`.
        kind: &'static str,
        /// Where they were counted.
        place: String,
        /// Pairs that the header promises.
        promised: usize,
        /// Pairs that are there.
        found: usize,
    },
    /// There are too few pairs to cut folds from them.
    #[error("{}: ten folds need at least ten pairs of each kind, the file holds: {found}", path.display())]
    TooFewPairs {
        /// The file.
        path: PathBuf,
        /// Pairs of each kind.
        found: usize,
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineProblem {
    /// The file ends before its header.
    #[error(
        "a header was expected, `10 300` (folds and pairs of each kind in a fold) or `500` (pairs of each kind)"
    )]
    Header,
    /// The wrong number of columns for a pair.
    #[error("a pair was expected, `name number number` or `name number name number`")]
    Columns,
    /// A column that must be an image number is none.
    #[error("an image number was expected, 1 or more")]
    Number,
    /// An image is paired with itself, which every model gets right.
    #[error("an image is paired with itself")]
    SameImage,
    /// A list of pairs has other columns.
    #[error("a pair was expected, `first second label` or `first second label fold`")]
    ListColumns,
    /// A list of pairs in two lines has other columns.
    #[error("`image label` was expected, two such lines are a pair")]
    TwoLineColumns,
    /// The last pair of a list in two lines has one line.
    #[error("two lines are a pair, the last one stands alone")]
    OddLines,
    /// The two lines of a pair have other labels.
    #[error("both lines of a pair must have one label, the line before has another")]
    OtherLabel,
    /// A label is unknown.
    #[error("the label of a pair was expected, 1 for one person and 0 for two")]
    Label,
    /// A fold is no fold.
    #[error("a fold was expected, 1 to 1000")]
    Fold,
    /// Some pairs have a fold and others have none.
    #[error("either every pair has a fold or none, unlike here")]
    SomeFolds,
    /// A line of a split of CFP is none.
    #[error("two image numbers were expected, as `5,1`")]
    CfpPair,
    /// A line of an image list of CFP is none.
    #[error("a number and a path were expected, as `1 ../Data/Images/001/frontal/01.jpg`")]
    CfpImage,
    /// A number is not in the image list.
    #[error("the image list has no such number")]
    NotListed,
    /// A line of YouTube Faces is none.
    #[error("a pair was expected, `split, index, Name/video, Name/video, label`")]
    YtfColumns,
    /// A table has other columns.
    #[error("a name, a tab and a word were expected")]
    TableColumns,
    /// A name is there twice.
    #[error("the same name stands in an earlier line")]
    Twice,
    /// A pair of one person names two.
    #[error("a pair of one person names two people")]
    OtherPerson,
    /// A pair of two people names one person twice.
    #[error("a pair of two people names the same person twice")]
    SamePerson,
    /// A line is longer than two paths.
    #[error("a line may have 2048 bytes, this one is longer")]
    TooLong,
    /// More folds than a list may have.
    #[error("a protocol may have 1000 folds, this one says {0}")]
    TooManyFolds(usize),
    /// A blank line between others.
    #[error("a blank line stands between the pairs")]
    Blank,
    /// The line is not UTF-8.
    #[error("the line is not UTF-8 text")]
    NotText,
}

/// Most folds of a file that defines them.
pub(crate) const FOLDS_AT_MOST: usize = 1000;

/// Folds that a file without folds is cut into.
const CUT: usize = 10;

/// Cuts the pairs of each kind, in the order of the file, into ten contiguous parts.
fn cut(path: &Path, pairs: &mut [Pair]) -> Result<(), ProtocolError> {
    for kind in [Kind::Genuine, Kind::Impostor] {
        let found = pairs.iter().filter(|pair| pair.kind == kind).count();
        if found < CUT {
            return Err(ProtocolError::TooFewPairs { path: path.to_owned(), found });
        }
        for (index, pair) in pairs.iter_mut().filter(|pair| pair.kind == kind).enumerate() {
            pair.fold = index * CUT / found;
        }
    }
    Ok(())
}

/// Collects images once each while pairs are read.
#[derive(Default)]
struct ImageTable {
    images: Vec<ImageKey>,
    rows: HashMap<String, usize>,
}

impl ImageTable {
    fn row(&mut self, person: &str, name: String) -> usize {
        if let Some(&row) = self.rows.get(&name) {
            return row;
        }
        self.images.push(ImageKey { person: person.to_owned(), name: name.clone() });
        self.rows.insert(name, self.images.len() - 1);
        self.images.len() - 1
    }
}
