//! Embeddings by name, so that a model can be measured where its pictures must not go.
//!
//! A `.safetensors` file as `cosface embed` writes it: tensor `embeddings` `[images, dimension]` in f32, and the
//! metadata `names` (a JSON list), `model_fingerprint` and `flip_rule`. Or a NumPy `.npz`: arrays `embeddings`
//! `[images, dimension]` in f4 or f8 and `names` `[images]` as text, and nothing that would need a pickle.

mod npz;
mod tensors;
mod zip;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::feature::FeatureRule;
use crate::protocol::{MissingImages, Protocol};
use crate::vectors::{Vectors, VectorsError};

pub use npz::NpzProblem;
pub use tensors::TensorsProblem;

/// Endings of image files, which are no part of an image's name.
const IMAGE_ENDINGS: [&str; 10] = ["jpg", "jpeg", "png", "webp", "bmp", "pgm", "ppm", "pnm", "tif", "tiff"];

/// Named vectors of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    names: Vec<String>,
    vectors: Vectors,
    /// Fingerprint of the model that made them, where the file says so.
    pub model: Option<String>,
    /// How they were made from image and mirror image, where the file says so.
    pub feature_rule: Option<FeatureRule>,
}

/// How the vectors of a set, such as the frames of a video, become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetRule {
    /// The mean of the unit vectors: every frame has one vote.
    #[default]
    MeanOfUnits,
    /// The mean of the vectors as they are: a longer vector counts for more.
    Mean,
}

impl SetRule {
    /// All rules.
    pub const ALL: [Self; 2] = [Self::MeanOfUnits, Self::Mean];

    /// Name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanOfUnits => "mean-of-units",
            Self::Mean => "mean",
        }
    }

    /// The rule in a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::MeanOfUnits => {
                "The images of a set became one vector: the mean of their unit vectors, so that every image has one vote."
            }
            Self::Mean => {
                "The images of a set became one vector: the mean of their vectors as they are, so that a longer one counts for more."
            }
        }
    }
}

impl fmt::Display for SetRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No set rule has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such rule for sets, the known ones are mean-of-units and mean: {name}")]
pub struct UnknownSetRule {
    /// The name that was given.
    pub name: String,
}

impl FromStr for SetRule {
    type Err = UnknownSetRule;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let rule = Self::ALL.into_iter().find(|rule| rule.name() == name);
        rule.ok_or_else(|| UnknownSetRule { name: name.to_owned() })
    }
}

/// Why there are no embeddings, or not those that a protocol needs.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingsError {
    /// The file cannot be read; the source names it.
    #[error("cannot read the embeddings")]
    Read(#[source] std::io::Error),
    /// Neither `.safetensors` nor `.npz`.
    #[error("embeddings are read from .safetensors or .npz, unlike: {}", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// A `.safetensors` file that holds no embeddings.
    #[error("not a file of embeddings: {}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: TensorsProblem,
    },
    /// A `.npz` file that holds no embeddings.
    #[error("not a file of embeddings: {}", path.display())]
    Npz {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: NpzProblem,
    },
    /// Another number of names than of vectors.
    #[error("there must be one name for each of the {vectors} vectors, there are: {names}")]
    Names {
        /// Number of vectors.
        vectors: usize,
        /// Number of names.
        names: usize,
    },
    /// A vector without a direction.
    #[error("no direction in the vector of {name}")]
    Vector {
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: VectorsError,
    },
    /// There are no vectors.
    #[error(transparent)]
    Empty(VectorsError),
    /// Two vectors answer to one name of the protocol.
    #[error("two vectors for {wanted}, keep one: {first} and {second}")]
    Ambiguous {
        /// The image as the protocol names it.
        wanted: String,
        /// One vector's name.
        first: String,
        /// The other's.
        second: String,
    },
    /// Images of the protocol have no vector.
    #[error(transparent)]
    Missing(#[from] MissingImages),
    /// The mean of a set has no direction.
    #[error("the vectors of the set cancel each other: {name}")]
    Cancelled {
        /// The set.
        name: String,
    },
}

impl Embeddings {
    /// Names vectors.
    ///
    /// # Errors
    /// [`EmbeddingsError::Names`].
    pub fn new(names: Vec<String>, vectors: Vectors) -> Result<Self, EmbeddingsError> {
        if names.len() != vectors.rows() {
            return Err(EmbeddingsError::Names { vectors: vectors.rows(), names: names.len() });
        }
        Ok(Self { names, vectors, model: None, feature_rule: None })
    }

    /// Reads a `.safetensors` or `.npz` file.
    ///
    /// # Errors
    /// See [`EmbeddingsError`].
    pub fn read(path: &Path) -> Result<Self, EmbeddingsError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("safetensors") => {
                let bytes = fs_err::read(path).map_err(EmbeddingsError::Read)?;
                let tensors = tensors::parse(&bytes)
                    .map_err(|source| EmbeddingsError::Tensors { path: path.to_owned(), source })?;
                let mut read = Self::of_rows(tensors.names, tensors.values, tensors.dimension)?;
                (read.model, read.feature_rule) = (tensors.model, tensors.feature_rule);
                Ok(read)
            }
            Some("npz") => {
                let bytes = fs_err::read(path).map_err(EmbeddingsError::Read)?;
                let (names, values, dimension) = npz::parse(&bytes)
                    .map_err(|source| EmbeddingsError::Npz { path: path.to_owned(), source })?;
                Self::of_rows(names, values, dimension)
            }
            _ => Err(EmbeddingsError::Ending { path: path.to_owned() }),
        }
    }

    fn of_rows(names: Vec<String>, values: Vec<f32>, dimension: usize) -> Result<Self, EmbeddingsError> {
        let rows = values.len().checked_div(dimension).unwrap_or(0);
        if names.len() != rows {
            return Err(EmbeddingsError::Names { vectors: rows, names: names.len() });
        }
        let vectors = Vectors::new(values, dimension).map_err(|source| match source {
            VectorsError::NotFinite { row, .. } | VectorsError::Zero { row } => {
                EmbeddingsError::Vector { name: names[row].clone(), source }
            }
            other => EmbeddingsError::Empty(other),
        })?;
        Self::new(names, vectors)
    }

    /// The names, one for each row of the vectors.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The vectors.
    pub fn vectors(&self) -> &Vectors {
        &self.vectors
    }

    /// One row for each image of a protocol.
    ///
    /// A vector belongs to an image where its name, without the ending of an image file, ends with the image's whole
    /// name: `/crops/lfw/Ann/Ann_0001.jpg` is `Ann/Ann_0001`. Names of the protocol that are sets of images take no
    /// part here, see [`Embeddings::sets_of`].
    ///
    /// # Errors
    /// Missing images, or two vectors for one of them.
    pub fn of_protocol(&self, protocol: &Protocol) -> Result<Vectors, EmbeddingsError> {
        let wanted: Vec<&str> = protocol.images.iter().map(|image| image.name.as_str()).collect();
        let table = Table::of(&self.names, &wanted, 0);
        let mut ambiguous = None;
        let rows = protocol.resolve(|image| {
            let rows = table.rows(&image.name)?;
            if let [first, second, ..] = rows {
                ambiguous.get_or_insert(EmbeddingsError::Ambiguous {
                    wanted: image.name.clone(),
                    first: self.names[*first].clone(),
                    second: self.names[*second].clone(),
                });
            }
            rows.first().copied()
        })?;
        match ambiguous {
            Some(error) => Err(error),
            None => Vectors::from_rows(rows.into_iter().map(|row| self.vectors.row(row)))
                .map_err(EmbeddingsError::Empty),
        }
    }

    /// One row for each set of a protocol, such as a video: all vectors whose name is the set's followed by one more
    /// part, as `Ann/0/0.123.jpg` is a frame of `Ann/0`.
    ///
    /// # Errors
    /// Sets without a vector, or whose vectors cancel each other.
    pub fn sets_of(&self, protocol: &Protocol, rule: SetRule) -> Result<Vectors, EmbeddingsError> {
        let wanted: Vec<&str> = protocol.images.iter().map(|image| image.name.as_str()).collect();
        let table = Table::of(&self.names, &wanted, 1);
        let sets = protocol.resolve(|image| table.rows(&image.name).map(<[usize]>::to_vec))?;
        let mut values = Vec::with_capacity(sets.len() * self.vectors.dimension());
        for (rows, image) in sets.iter().zip(&protocol.images) {
            let mean = self.mean(rows, rule);
            if mean.iter().all(|&value| value == 0.0) {
                return Err(EmbeddingsError::Cancelled { name: image.name.clone() });
            }
            values.extend(mean);
        }
        Vectors::new(values, self.vectors.dimension()).map_err(EmbeddingsError::Empty)
    }

    fn mean(&self, rows: &[usize], rule: SetRule) -> Vec<f32> {
        let mut mean = vec![0.0_f64; self.vectors.dimension()];
        for &row in rows {
            let vector = self.vectors.row(row);
            let length = match rule {
                SetRule::MeanOfUnits => {
                    vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
                }
                SetRule::Mean => 1.0,
            };
            mean.iter_mut().zip(vector).for_each(|(mean, &value)| *mean += f64::from(value) / length);
        }
        mean.into_iter().map(|sum| (sum / rows.len() as f64) as f32).collect()
    }
}

/// Rows by the last parts of their names.
struct Table(HashMap<String, Vec<usize>>);

impl Table {
    /// The last parts of every name, as many as the wanted names have, after `below` further parts are left out.
    fn of(names: &[String], wanted: &[&str], below: usize) -> Self {
        let depths: BTreeSet<usize> = wanted.iter().map(|name| name.split('/').count()).collect();
        let mut table: HashMap<String, Vec<usize>> = HashMap::new();
        for (row, name) in names.iter().enumerate() {
            let name = without_ending(name).replace('\\', "/");
            let parts: Vec<&str> = name.split('/').collect();
            let end = parts.len().saturating_sub(below);
            for depth in depths.iter().filter(|&&depth| depth <= end) {
                table.entry(parts[end - depth..end].join("/")).or_default().push(row);
            }
        }
        Self(table)
    }

    fn rows(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

/// A name without the ending of an image file.
pub(crate) fn without_ending(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if IMAGE_ENDINGS.contains(&ending.to_ascii_lowercase().as_str()) => stem,
        _ => name,
    }
}
