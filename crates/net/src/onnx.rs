//! Models as ONNX files, to and from other runtimes.

mod export;
mod import;
mod message;

use std::io;
use std::path::Path;

use prost::Message;
use thiserror::Error;

use crate::{Model, atomic_file, fold_batch_norm};
use export::graph;
pub use import::{OPERATOR_SETS, OnnxImportError, OnnxNetwork, OnnxOutput};
use message::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// Version of the operators that the file uses.
const OPERATOR_SET: i64 = 13;
/// Version of the file format that came with it.
const FORMAT: i64 = 7;
/// Protocol buffers end at 2 GiB.
const FILE_BYTES_AT_MOST: usize = i32::MAX as usize;
/// Where the card lies in the file's metadata.
const CARD_KEY: &str = "cosface.card";

/// What becomes of batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalisation {
    /// Every normalisation is a node.
    Kept,
    /// Normalisation is folded into the layer before it where possible; see [`fold_batch_norm`].
    Folded,
}

/// Why a model cannot be written as ONNX.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// The file system refuses; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The weights do not fit the format.
    #[error("an ONNX file has at most {FILE_BYTES_AT_MOST} bytes, but this model needs: {bytes}")]
    TooLarge {
        /// Bytes needed.
        bytes: usize,
    },
}

/// The bytes of an ONNX file.
///
/// # Shapes
/// Input `image`: batch x 3 x height x width in f32, channels in the card's order, each value already
/// `(pixel - mean) / scale`. Output `feature`: batch x dimension, as the network makes it, neither of unit length nor
/// joined with the flipped image's. The card is in the file's metadata under `cosface.card`, the fingerprint of the
/// model under `cosface.fingerprint`.
///
/// # Errors
/// [`OnnxError::TooLarge`].
pub fn to_onnx(model: &Model, normalisation: Normalisation) -> Result<Vec<u8>, OnnxError> {
    let graph = match normalisation {
        Normalisation::Kept => graph(model.network(), model.weights()),
        Normalisation::Folded => {
            let (network, weights) = fold_batch_norm(model.network(), model.weights());
            graph(&network, &weights)
        }
    };
    let card = serde_json::to_string(model.card()).map_err(io::Error::from)?;
    let metadata = [(CARD_KEY, card), ("cosface.fingerprint", model.fingerprint().to_string())];
    let file = ModelProto {
        ir_version: FORMAT,
        producer_name: "cosface".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET }],
        metadata_props: metadata
            .into_iter()
            .map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value })
            .collect(),
    };
    let bytes = file.encoded_len();
    if bytes > FILE_BYTES_AT_MOST {
        return Err(OnnxError::TooLarge { bytes });
    }
    Ok(file.encode_to_vec())
}

/// Writes [`to_onnx`]'s bytes aside and renames the file; see [`atomic_file::write`].
///
/// # Errors
/// As [`to_onnx`], or an error of the file system.
pub fn write_onnx(model: &Model, normalisation: Normalisation, path: &Path) -> Result<(), OnnxError> {
    let bytes = to_onnx(model, normalisation)?;
    Ok(atomic_file::write(path, |sink| sink.write_all(&bytes))?)
}
