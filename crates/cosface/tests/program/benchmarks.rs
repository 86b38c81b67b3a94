//! `cosface bench`: rows that can be read, and what does not belong together.

use crate::invocation::{cosface, shared};

#[test]
fn the_head_is_measured_with_and_without_its_update_each_in_a_process_of_its_own() {
    let outcome = cosface(["bench", "head", "--classes", "50", "--batch", "4", "--threads", "1"]).success();
    let rows: Vec<serde_json::Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let updates: Vec<&str> = rows.iter().map(|row| row["update"].as_str().unwrap()).collect();
    assert_eq!(updates, ["none", "sgd"]);
    for row in &rows {
        assert_eq!((row["classes"].as_u64(), row["samples"].as_u64()), (Some(50), Some(4)), "{row}");
        assert!(
            row["milliseconds"].as_f64().unwrap() > 0.0 && row["peak_rss_mb"].as_u64().unwrap() > 0,
            "{row}"
        );
    }
}

#[test]
fn a_photograph_is_measured_stage_by_stage() {
    let (Some(detector), Some(weights)) = (
        shared("data/weights/yunet/yunet_n_dynamic.onnx"),
        shared("data/weights/mobilefacenet-casia/068.safetensors"),
    ) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.safetensors");
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/imports/mobilefacenet_pytorch.toml");
    let (detector, model) = (detector.to_str().unwrap(), model.to_str().unwrap());
    cosface(["import", weights.to_str().unwrap(), "--description", description, "--out", model]).success();
    let outcome = cosface(["bench", "photo", "--detector", detector, "--model", model]).success();
    let row: serde_json::Value = serde_json::from_str(outcome.stdout.trim()).unwrap();
    for stage in ["decode", "detect", "align", "embed"] {
        assert!(row[format!("{stage}_milliseconds")].as_f64().unwrap() > 0.0, "{row}");
    }
    cosface(["bench", "photo", "--detector", detector]).refused(&["needs --detector and --model"]);
    cosface(["bench", "photo", "--detector", detector, "--model", model, "--batch", "4"])
        .refused(&["leave out --network, --classes and --batch"]);
    cosface(["bench", "train", "--model", model]).refused(&["are for `cosface bench photo`"]);
    cosface(["bench", "train", "--update", "sgd"]).refused(&["is for `cosface bench head`"]);
}
