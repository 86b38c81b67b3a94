//! The golden margin cases, computed by PyTorch's autograd in f64, through `cosface loss`.

use std::path::Path;

use net::tensor_file::{TensorFile, Values};

use crate::workshop::{Workshop, shared};

fn values(path: &Path, name: &str) -> Vec<f64> {
    match &TensorFile::read(path).unwrap().tensors[name].values {
        Values::F64(values) => values.clone(),
        other => panic!("{name} is not f64: {other:?}"),
    }
}

/// Largest difference relative to the largest value.
fn difference(actual: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let error = actual.iter().zip(expected).fold(0.0f64, |error, (a, e)| error.max((a - e).abs()));
    error / largest
}

#[test]
fn golden_cases_come_out_of_both_engines() {
    let Some(golden) = shared("golden/margin") else { return };
    let workshop = Workshop::empty();
    let mut cases = 0;
    for entry in fs_err::read_dir(golden).unwrap() {
        let case = entry.unwrap().path();
        let result = workshop.path("result.safetensors");
        // The reference of the converged ArcFace case cancels: exact at 50 digits, its loss is 1.4e-9 off.
        let f64_tolerance = if case.ends_with("arcface_converged.safetensors") { 2e-9 } else { 1e-9 };
        for (engine, tolerance) in [("f64", f64_tolerance), ("f32", 1e-4)] {
            let arguments =
                ["loss", case.to_str().unwrap(), "--out", "result.safetensors", "--engine", engine];
            workshop.succeed(&arguments);
            for name in ["d_features", "d_weights"] {
                let error = difference(&values(&result, name), &values(&case, name));
                assert!(error <= tolerance, "{} {engine} {name}: {error:e}", case.display());
            }
            // A loss near zero has few digits in f32: it is a difference of logits of the size of s.
            let (actual, expected) = (values(&result, "loss")[0], values(&case, "loss")[0]);
            let floor = if engine == "f64" { 64.0 * f64::EPSILON } else { 1e-5 };
            let error = (actual - expected).abs();
            assert!(
                error <= tolerance * expected + floor,
                "{} {engine}: {actual} {expected}",
                case.display()
            );
        }
        cases += 1;
    }
    assert_eq!(cases, 14);
}

#[test]
fn a_case_without_a_loss_or_with_a_wrong_one_is_refused() {
    let Some(golden) = shared("golden/margin/nsl.safetensors") else { return };
    let workshop = Workshop::empty();
    let file = TensorFile::read(&golden).unwrap();
    for (key, value, part) in [("loss", "cosfaec", "cosfaec"), ("s", "-3", "-3"), ("s", "many", "many")] {
        let mut wrong = TensorFile::read(&golden).unwrap();
        wrong.metadata.insert(key.to_owned(), value.to_owned());
        wrong.write(&workshop.path("case.safetensors")).unwrap();
        let arguments = ["loss", "case.safetensors", "--out", "result.safetensors"];
        workshop.refuse(&arguments, &["case.safetensors", part], "result.safetensors");
    }
    assert_eq!(file.metadata["loss"], "nsl");
}
