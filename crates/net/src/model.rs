//! A model: network, weights and card, in one file.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::tensor_file::{self, Array, NamedArray, TensorFile, TensorFileError, Values, ValuesRef};
use crate::{Card, CardError, Network, NetworkError, Tensor, Weights, WeightsError};

/// Version of the model file's layout, in its metadata under `cosface.format`.
pub const FORMAT_VERSION: &str = "1";

const FORMAT_KEY: &str = "cosface.format";
const NETWORK_KEY: &str = "cosface.network";
const CARD_KEY: &str = "cosface.card";

/// A network with its weights and card, which fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    network: Network,
    weights: Weights,
    card: Card,
}

/// Why network, weights and card make no model.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum InvalidModel {
    /// The network is not valid.
    #[error("model has an invalid network")]
    Network(#[from] NetworkError),
    /// The weights are not the network's.
    #[error("model has other weights than its network needs")]
    Weights(#[from] WeightsError),
    /// The card does not describe the network.
    #[error("model has a card that does not fit its network")]
    Card(#[from] CardError),
}

/// Why a model file cannot be used.
#[derive(Debug, Error)]
pub enum ModelFileError {
    /// The file cannot be read as safetensors.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The file is a safetensors file without the metadata of a model.
    #[error("model file {} lacks metadata, import it with a card to use it: {key}", path.display())]
    MissingMetadata {
        /// The path.
        path: PathBuf,
        /// The missing key.
        key: &'static str,
    },
    /// The file has a layout that this version does not know.
    #[error("model file {} has format {FORMAT_VERSION} in this version of cosface: {found}", path.display())]
    UnknownFormat {
        /// The path.
        path: PathBuf,
        /// The format the file states.
        found: String,
    },
    /// Network or card is not the JSON it should be.
    #[error("model file {} has unreadable metadata: {key}", path.display())]
    Json {
        /// The path.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong where.
        source: serde_json::Error,
    },
    /// A tensor is not f32.
    #[error("model file {}: tensor must have values of type F32: {tensor}", path.display())]
    ValueType {
        /// The path.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// Network, weights and card do not fit each other.
    #[error("model file cannot be used: {}", path.display())]
    Invalid {
        /// The path.
        path: PathBuf,
        /// What does not fit.
        source: InvalidModel,
    },
}

impl Model {
    /// Puts a model together.
    ///
    /// # Errors
    /// What does not fit.
    pub fn new(network: Network, weights: Weights, card: Card) -> Result<Model, InvalidModel> {
        network.check()?;
        card.check(&network)?;
        weights.check(&network)?;
        Ok(Model { network, weights, card })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// Network, weights and card.
    pub fn into_parts(self) -> (Network, Weights, Card) {
        (self.network, self.weights, self.card)
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// See [`ModelFileError`]; every message names the file.
    pub fn read(path: &Path) -> Result<Model, ModelFileError> {
        Model::from_file(TensorFile::read(path)?, path)
    }

    /// Makes a model of the content of a file; errors name `path`.
    ///
    /// # Errors
    /// See [`ModelFileError`].
    pub fn from_file(file: TensorFile, path: &Path) -> Result<Model, ModelFileError> {
        let path = || path.to_owned();
        let text =
            |key| file.metadata.get(key).ok_or_else(|| ModelFileError::MissingMetadata { path: path(), key });
        let found = text(FORMAT_KEY)?;
        if found != FORMAT_VERSION {
            return Err(ModelFileError::UnknownFormat { path: path(), found: found.clone() });
        }
        let network: Network = parse(text(NETWORK_KEY)?, NETWORK_KEY, path)?;
        let card: Card = parse(text(CARD_KEY)?, CARD_KEY, path)?;
        let mut weights = Weights::default();
        for (name, Array { shape, values }) in file.tensors {
            let Values::F32(values) = values else {
                return Err(ModelFileError::ValueType { path: path(), tensor: name });
            };
            weights.insert(name, Tensor::new(shape, values));
        }
        Model::new(network, weights, card).map_err(|source| ModelFileError::Invalid { path: path(), source })
    }

    /// Writes the model aside and renames it; see [`atomic_file::write`](crate::atomic_file::write).
    ///
    /// # Errors
    /// An error of the file system, which names the path.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let metadata = BTreeMap::from([
            (FORMAT_KEY.to_owned(), FORMAT_VERSION.to_owned()),
            (NETWORK_KEY.to_owned(), json(&self.network)?),
            (CARD_KEY.to_owned(), json(&self.card)?),
        ]);
        let arrays: Vec<NamedArray<'_>> = self
            .weights
            .iter()
            .map(|(name, tensor)| NamedArray {
                name,
                shape: &tensor.shape,
                values: ValuesRef::F32(&tensor.values),
            })
            .collect();
        tensor_file::write(path, &metadata, &arrays)
    }

    /// Identifies what the model computes: SHA-256 over the network, the card's preprocessing and all weights.
    ///
    /// Two models with one fingerprint give equal features for equal images. Notes, licence and the rest of the card
    /// do not change it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        part(b"cosface model 1");
        for text in [json(&self.network), json(&self.card.preprocessing)] {
            match text {
                Ok(text) => part(text.as_bytes()),
                Err(error) => unreachable!("checked parts of a model are always JSON: {error}"),
            }
        }
        for (name, tensor) in self.weights.iter() {
            part(name.as_bytes());
            let values: Vec<u8> = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            part(&values);
        }
        Fingerprint(digest.finalize().into())
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    text: &str,
    key: &'static str,
    path: impl Fn() -> PathBuf,
) -> Result<T, ModelFileError> {
    serde_json::from_str(text).map_err(|source| ModelFileError::Json { path: path(), key, source })
}

fn json(value: &impl serde::Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(value)?)
}

/// 256 bits that identify a model; shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}
