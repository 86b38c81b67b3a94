//! `cosface advise`: bounds of scale and margin in words and as JSON, from numbers and from a head.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::Value;

use crate::invocation::cosface;

fn advice(arguments: &[&str]) -> Value {
    let outcome = cosface(["advise", "--json"].iter().chain(arguments)).success();
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn the_papers_choice_is_in_range_and_its_opposites_are_named() {
    let paper = advice(&["--classes", "10575", "--dim", "512"]);
    assert!((paper["scale"]["at_least"].as_f64().unwrap() - 11.462).abs() < 1e-3);
    assert_eq!(paper["margin"]["rule"], "much smaller than");
    assert_eq!(
        (&paper["scale"]["verdict"], &paper["margin"]["verdict"]),
        (&"enough".into(), &"within".into())
    );
    let toy = advice(&["--classes", "8", "--dim", "2", "--s", "3", "--m", "0.35"]);
    assert!((toy["margin"]["bound"].as_f64().unwrap() - 0.2929).abs() < 1e-4);
    assert_eq!(toy["scale"]["verdict"], "too small");
    assert_eq!(toy["margin"]["verdict"], "above bound");
}

#[test]
fn given_centres_bound_the_margin_and_their_closest_classes_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let head = directory.path().join("head.safetensors");
    let values: [f32; 6] = [2.0, 0.0, 0.0, 3.0, 0.6, 0.8];
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let write = |name: &str, shape: Vec<usize>| {
        let view = TensorView::new(Dtype::F32, shape, &bytes).unwrap();
        let file = serialize(HashMap::from([(name, view)]), None).unwrap();
        fs_err::write(&head, file).unwrap();
    };
    write("centres", vec![3, 2]);
    let path = head.to_str().unwrap();
    let given = advice(&["--weights", path, "--m", "0.21"]);
    assert!((given["margin"]["given_centres"].as_f64().unwrap() - 0.2).abs() < 1e-6);
    assert_eq!(given["margin"]["closest_classes"], serde_json::json!([1, 2]));
    assert_eq!(given["margin"]["verdict"], "above given centres");
    cosface(["advise", "--weights", path, "--classes", "4"]).refused(&["--classes", "the head has 3"]);
    write("centres", vec![6]);
    cosface(["advise", "--weights", path]).refused(&["must be a matrix", "[6]", path]);
    write("other", vec![3, 2]);
    cosface(["advise", "--weights", path]).refused(&["no array `centres`", path]);
}

#[test]
fn numbers_outside_their_range_are_refused_with_the_bound() {
    let refused = |arguments: &[&str], parts: &[&str]| {
        let given = ["advise", "--classes", "8", "--dim", "2"].iter().chain(arguments);
        cosface(given).refused(parts);
    };
    refused(&["--m", "2.5"], &["from 0 to 2", "2.5"]);
    refused(&["--s", "0"], &["s must be above 0"]);
    refused(&["--posterior", "1"], &["strictly between 0 and 1"]);
}
