//! Other people's weights through `cosface import`.

use crate::invocation::{cosface, shared};

#[test]
fn a_published_model_is_imported_from_either_of_its_files_alike() {
    let Some(weights) = shared("data/weights/mobilefacenet-casia") else { return };
    let directory = tempfile::tempdir().unwrap();
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/imports/mobilefacenet_pytorch.toml");
    let model = |file: &str, under: &[&str]| {
        let (from, to) = (weights.join(file), directory.path().join(file));
        let paths = [from.to_str().unwrap(), "--description", description, "--out", to.to_str().unwrap()];
        cosface(["import"].iter().chain(&paths).chain(under)).success();
        fs_err::read(to).unwrap()
    };
    assert_eq!(model("068.safetensors", &[]), model("068.ckpt", &["--under", "net_state_dict"]));
}
