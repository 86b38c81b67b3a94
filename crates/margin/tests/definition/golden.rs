//! Cases that PyTorch's autograd computed in float64; their generator lies beside them.

use std::path::Path;

use margin::{Loss, Parameters, evaluate};
use safetensors::SafeTensors;

use super::problems::{Owned, relative_difference};

/// Both sides are f64 and differ only in the order of sums of at most 1003 terms.
const CLOSE: f64 = 1e-9;

/// The reference takes a log-sum-exp near 64 minus a logit near 64, so its losses carry half a unit in the last place
/// of 64 each way. In `arcface_converged`, where the loss is 4.4e-8, that is 1.4e-9 of it: fifty-digit arithmetic
/// gives 4.43952220645e-8 where the reference says 4.43952220020e-8.
const REFERENCE_ROUNDING: f64 = 64.0 * f64::EPSILON;

const CASES: [&str; 14] = [
    "arcface",
    "arcface_beyond_pi",
    "arcface_converged",
    "combined",
    "cosface_converged",
    "cosface_one_class_repeated",
    "cosface_paper",
    "cosface_ragged",
    "cosface_raw_features",
    "cosface_two_classes",
    "nsl",
    "softmax",
    "sphereface_lambda_0",
    "sphereface_lambda_5",
];

fn doubles(file: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let tensor = file.tensor(name).expect("the case has this tensor");
    tensor
        .data()
        .chunks_exact(8)
        .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")))
        .collect()
}

#[test]
fn every_golden_case_agrees_with_autograd() {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/golden/margin"));
    if !directory.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "golden cases are missing: {}", directory.display());
        return;
    }
    for case in CASES {
        let bytes = fs_read(&directory.join(format!("{case}.safetensors")));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a valid header");
        let metadata = header.metadata().clone().expect("the case names its loss");
        let file = SafeTensors::deserialize(&bytes).expect("a valid case");
        let parameters =
            Parameters::from_text(|name| metadata.get(name).map(String::as_str)).expect("numbers");
        let loss = Loss::from_parameters(&metadata["loss"], &parameters).expect("a loss of the family");
        let labels = file.tensor("labels").expect("labels");
        let owned = Owned {
            features: doubles(&file, "features"),
            weights: doubles(&file, "weights"),
            labels: labels
                .data()
                .chunks_exact(8)
                .map(|bytes| u32::from(bytes[0]) + 256 * u32::from(bytes[1]))
                .collect(),
            dimension: file.tensor("features").expect("features").shape()[1],
        };
        let found = evaluate(&loss, &owned.problem()).expect("a loss");
        for (name, found) in [
            ("loss", &vec![found.loss]),
            ("loss_each", &found.loss_each),
            ("d_features", &found.d_features),
            ("d_weights", &found.d_weights),
        ] {
            let expected = doubles(&file, name);
            let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let allowed = CLOSE + if name.starts_with("loss") { REFERENCE_ROUNDING / largest } else { 0.0 };
            let difference = relative_difference(found, &expected);
            assert!(
                difference < allowed,
                "{case}: {name} differs by {difference:e} relative to its largest value"
            );
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate has no dependencies, and expect names the file here"
)]
fn fs_read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}
