//! Short names for long contents, to tell whether two are the same.

use std::fmt::Write as _;

use crate::recipe::CheckedRecipe;

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
pub(crate) fn of_recipe(recipe: &CheckedRecipe) -> String {
    let lasting = toml::to_string(&recipe.lasting()).expect("a checked recipe is within what TOML can say");
    fingerprint(lasting.as_bytes())
}

/// Fingerprint of a network's nodes and input.
pub(crate) fn of_network(network: &net::Network) -> String {
    fingerprint(&serde_json::to_vec(network).expect("a network has no key that JSON cannot say"))
}
