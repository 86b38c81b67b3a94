//! Which crate of the workspace may know which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Each crate and those of ours that it may depend on.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("face", &[]),
    ("margin", &[]),
    ("net", &[]),
    ("engine", &["margin", "net"]),
    ("data", &["face"]),
    ("detect", &["engine", "face", "net"]),
    ("eval", &["face"]),
    ("train", &["data", "engine", "eval", "face", "margin", "net"]),
    ("cosface", &["data", "detect", "engine", "eval", "face", "margin", "net", "train"]),
];

#[test]
fn no_crate_depends_on_one_above_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut seen = BTreeSet::new();
    for entry in fs_err::read_dir(crates).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = fs_err::read_to_string(folder.join("Cargo.toml")) else { continue };
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let lower = allowed.get(name.as_str());
        let lower = lower.unwrap_or_else(|| panic!("say in this test what the new crate may know: {name}"));
        for dependency in ours(&text.parse().unwrap()) {
            assert!(lower.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
        seen.insert(name);
    }
    assert_eq!(seen.len(), ALLOWED.len(), "only {seen:?} are there");
}

#[test]
fn a_dependency_of_ours_is_seen_in_every_form() {
    let manifest = r#"
        [dependencies]
        face.workspace = true
        other = { package = "cosface-data", path = "../data" }
        cosface-net = "1"
        serde = "1"
        [dev-dependencies]
        eval = { path = "../eval" }
        [target.'cfg(unix)'.build-dependencies]
        train = { workspace = true }
    "#;
    let found: Vec<String> = ours(&manifest.parse().unwrap()).into_iter().collect();
    assert_eq!(found, ["data", "eval", "face", "net", "train"]);
}

/// Our crates that a manifest names, for itself, its tests or its build, on any target.
fn ours(manifest: &toml::Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table);
    let mut found = BTreeSet::new();
    for table in std::iter::once(manifest).chain(targets) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(toml::Value::as_str).unwrap_or(key);
                let name = package.strip_prefix("cosface-").unwrap_or(package);
                if ALLOWED.iter().any(|(ours, _)| *ours == name) {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}
