//! Weights of another training in place of fresh ones.

use std::path::Path;

use net::tensor_file::{Array, Values};
use net::{Model, Network, Tensor, Weights};

use super::error::{FitError, StartError};
use crate::checkpoint::{self, Identity};
use crate::learner::{CENTRES, Learner, MOMENTUM};

/// Reads a model file or the newest checkpoint of a run. Centres are taken where the data set is the same, so that each
/// is the same person's.
pub(super) fn take(
    path: &Path,
    network: &Network,
    identity: &Identity,
    learner: &mut Learner,
) -> Result<(), FitError> {
    let start = || -> Result<(Weights, Option<Array>), StartError> {
        if path.is_file() {
            return Ok((Model::read(path)?.weights().clone(), None));
        }
        let newest = checkpoint::newest(&path.join("checkpoints"))?.ok_or(StartError::NoCheckpoint)?;
        let mut found = checkpoint::read_any(&newest)?;
        let mut weights = Weights::default();
        for (name, array) in found.backbone {
            if let (false, Values::F32(values)) = (name.starts_with(MOMENTUM), array.values) {
                weights.insert(name, Tensor::new(array.shape, values));
            }
        }
        let same = found.state.identity.data == identity.data;
        Ok((weights, if same { found.head.remove(CENTRES) } else { None }))
    };
    start()
        .and_then(|(weights, centres)| Ok(learner.start_from(network, &weights, centres)?))
        .map_err(|source| FitError::Start { path: path.to_owned(), source: Box::new(source) })
}
