//! Embeddings in a safetensors file.

use safetensors::{Dtype, SafeTensors};

use crate::feature::FeatureRule;

/// What such a file holds.
pub(super) struct Tensors {
    pub(super) names: Vec<String>,
    pub(super) values: Vec<f32>,
    pub(super) dimension: usize,
    pub(super) model: Option<String>,
    pub(super) feature_rule: Option<FeatureRule>,
}

/// Why a safetensors file holds no embeddings.
#[derive(Debug, thiserror::Error)]
pub enum TensorsProblem {
    /// It is truncated or something else.
    #[error("truncated or not in the safetensors format")]
    Format(#[from] safetensors::SafeTensorError),
    /// The tensor has another shape or type.
    #[error("tensor embeddings must be [images, dimension] in F32, it is {found} {shape:?}")]
    Tensor {
        /// Its type.
        found: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// There are no names.
    #[error("no names in the metadata, which must hold a JSON list of them")]
    NoNames,
    /// The names are no list of text.
    #[error("the names in the metadata are no JSON list of text")]
    Names(#[from] serde_json::Error),
    /// The flip rule is unknown.
    #[error("the flip rule in the metadata must be none, concatenated or summed, it is: {0}")]
    FlipRule(String),
}

pub(super) fn parse(bytes: &[u8]) -> Result<Tensors, TensorsProblem> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let tensors = SafeTensors::deserialize(bytes)?;
    let tensor = tensors.tensor("embeddings")?;
    let (Dtype::F32, &[_, dimension]) = (tensor.dtype(), tensor.shape()) else {
        let (found, shape) = (format!("{:?}", tensor.dtype()), tensor.shape().to_vec());
        return Err(TensorsProblem::Tensor { found, shape });
    };
    let (values, _) = tensor.data().as_chunks::<4>();
    let feature_rule = match metadata.get("flip_rule").map(String::as_str) {
        None => None,
        Some("none") => Some(FeatureRule::Image),
        Some("concatenated") => Some(FeatureRule::Concatenated),
        Some("summed") => Some(FeatureRule::Summed),
        Some(other) => return Err(TensorsProblem::FlipRule(other.to_owned())),
    };
    Ok(Tensors {
        names: serde_json::from_str(metadata.get("names").ok_or(TensorsProblem::NoNames)?)?,
        values: values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        dimension,
        model: metadata.get("model_fingerprint").cloned(),
        feature_rule,
    })
}
