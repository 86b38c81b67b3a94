//! Crates know each other only in the direction of the design.

use std::collections::BTreeMap;
use std::path::Path;

/// What each crate may know of ours.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("face", &[]),
    ("margin", &[]),
    ("net", &[]),
    ("engine", &["net", "margin"]),
    ("data", &["face"]),
    ("eval", &["face"]),
    ("train", &["face", "data", "net", "engine", "margin", "eval"]),
    ("cosface", &["face", "data", "margin", "net", "engine", "train", "eval"]),
];

#[test]
fn no_crate_knows_another_against_the_design() {
    let allowed = BTreeMap::from(ALLOWED);
    let crates = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut seen = 0;
    for entry in fs_err::read_dir(crates).unwrap() {
        let folder = entry.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let may = allowed.get(name.as_str()).unwrap_or_else(|| panic!("a crate without a place: {name}"));
        let manifest: toml::Table =
            toml::from_str(&fs_err::read_to_string(folder.path().join("Cargo.toml")).unwrap()).unwrap();
        for (dependency, _) in manifest["dependencies"].as_table().into_iter().flatten() {
            let ours = allowed.contains_key(dependency.as_str());
            assert!(!ours || may.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
        seen += 1;
    }
    assert_eq!(seen, ALLOWED.len());
}
