//! Short names for long contents, to tell whether two are the same.

use std::fmt::Write as _;

use crate::recipe::{CheckedRecipe, Checkpoints, Run};

/// FNV-1a over the bytes, 64 bits, in the form that catalogues use too.
///
/// It tells accidents apart; it is no defence against someone who wants a collision.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3);
    }
    let mut text = String::from("fnv1a64:");
    let _ = write!(text, "{hash:016x}");
    text
}

/// Fingerprint of all settings that the trained weights depend on.
///
/// Threads, memory, checkpoints and validation may differ between two parts of one run; the places of the images
/// too, because the data has a fingerprint of its own.
pub(crate) fn of_recipe(recipe: &CheckedRecipe) -> String {
    let mut recipe = recipe.recipe().clone();
    recipe.data.sources.clear();
    recipe.data.memory_mib = 0;
    recipe.run = Run { threads: 0, checkpoints: Checkpoints::default(), ..recipe.run };
    recipe.validation = None;
    fingerprint(toml::to_string(&recipe).expect("a checked recipe is within what TOML can say").as_bytes())
}

/// Fingerprint of a network's nodes and input.
pub(crate) fn of_network(network: &net::Network) -> String {
    fingerprint(&serde_json::to_vec(network).expect("a network has no key that JSON cannot say"))
}
