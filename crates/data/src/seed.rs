//! Random numbers that belong to an item, not to a thread.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What the numbers are for. Two purposes never share a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// The variation of one image in one epoch.
    Augment = 2,
}

/// The stream of one item: ChaCha8 keyed with (seed, purpose, epoch, item), so that a result depends neither
/// on the number of threads nor on where a run was resumed.
pub(crate) fn stream(seed: u64, purpose: Purpose, epoch: u64, item: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    for (bytes, value) in key.chunks_exact_mut(8).zip([seed, purpose as u64, epoch, item]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
