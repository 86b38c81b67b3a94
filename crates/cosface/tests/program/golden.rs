//! `cosface loss` against losses and gradients that PyTorch computed in 64-bit floating point.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use crate::invocation::{cosface, shared};

const CASES: [&str; 14] = [
    "softmax",
    "nsl",
    "cosface_paper",
    "cosface_ragged",
    "cosface_converged",
    "cosface_one_class_repeated",
    "cosface_two_classes",
    "cosface_raw_features",
    "arcface",
    "arcface_beyond_pi",
    "arcface_converged",
    "combined",
    "sphereface_lambda_0",
    "sphereface_lambda_5",
];

/// Of the largest value of a tensor: what two programs in 64-bit arithmetic may differ by.
const DEFINITION: f64 = 1e-9;

/// Of the largest value of a tensor, in 32-bit arithmetic: some hundred roundings of 2^-24, at a scale of 64.
const HEAD: f64 = 1e-4;

/// Of the largest value of a tensor, with operands in bf16: a rounding of 2^-8 in each factor of a cosine of dimension
/// 32, at a scale of 64, moves a logit by 2^-8 64 / sqrt(32) = 0.044; the worst of some hundred by less than twice that.
const HEAD_BF16: f64 = 8e-2;

/// PyTorch computes a loss as the difference of two logits of up to 64, so the stored one is uncertain by their last
/// digit. In the cases where every sample is near its class centre the losses are so small that this shows.
const STORED_LOSS: f64 = 64.0 * f64::EPSILON;

#[test]
fn the_exact_definition_agrees_with_every_golden_case() {
    compare_all("f64", DEFINITION);
}

#[test]
fn the_head_of_training_agrees_with_every_golden_case() {
    compare_all("f32", HEAD);
}

#[test]
fn the_head_with_products_in_bf16_agrees_with_every_golden_case() {
    compare_all("bf16", HEAD_BF16);
}

fn compare_all(engine: &str, relative: f64) {
    let Some(golden) = shared("golden/margin") else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for case in CASES {
        let (case_file, result) = (golden.join(format!("{case}.safetensors")), directory.path().join(case));
        let arguments = ["loss".as_ref(), case_file.as_os_str(), "--out".as_ref(), result.as_os_str()];
        cosface(arguments.into_iter().chain(["--engine".as_ref(), engine.as_ref()])).success();
        for name in ["loss", "loss_each", "d_features", "d_weights"] {
            let (expected, found) = (numbers(&case_file, name), numbers(&result, name));
            assert_eq!(found.shape, expected.shape, "{case} {name}");
            let largest = expected.values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let pairs = found.values.iter().zip(&expected.values);
            let furthest = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, larger);
            let allowed = relative * largest + if name.starts_with("loss") { STORED_LOSS } else { 0.0 };
            if furthest.is_nan() || furthest > allowed {
                failures.push(format!("{case} {name}: {furthest:e} apart, the largest is {largest:e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The larger number, or the one that is no number, which `f64::max` would lose.
fn larger(one: f64, other: f64) -> f64 {
    if other.is_nan() || other > one { other } else { one }
}

struct Numbers {
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn numbers(file: &Path, name: &str) -> Numbers {
    let bytes = fs_err::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor(name).unwrap();
    assert_eq!(view.dtype(), Dtype::F64, "{name}");
    let (values, _) = view.data().as_chunks::<8>();
    Numbers {
        shape: view.shape().to_vec(),
        values: values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
    }
}
