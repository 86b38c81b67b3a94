use net::{
    Architecture, BatchNorm, Convolution, Family, Init, Model, Network, Node, Normalisation, Op, PRelu,
    Source, fold_batch_norm, to_onnx, write_onnx,
};

use crate::fixture::{card, every_operation, lived};
use crate::naive::feature;

/// Every operation on maps and on vectors, with normalisations that can be folded and one, after a sum, that cannot.
fn network() -> Network {
    let mut network = every_operation();
    let norm = Op::BatchNorm(BatchNorm { epsilon: 1e-3, momentum: 0.1 });
    let point = Op::Convolution(Convolution {
        out_channels: 5,
        kernel: [1, 1],
        stride: 1,
        padding: 0,
        groups: 1,
        bias: true,
        init: Init::KaimingFanOut,
    });
    let node = |name: &str, op, inputs: &[usize]| Node {
        name: name.to_owned(),
        op,
        inputs: inputs.iter().map(|index| Source::Node(*index)).collect(),
    };
    network.nodes.insert(5, node("after_sum", norm.clone(), &[4]));
    network.nodes[6].inputs = vec![Source::Node(5)];
    network.nodes[7].inputs = vec![Source::Node(6)];
    network.nodes.extend([
        node("vector_norm", norm, &[7]),
        node("vector_slope", Op::PRelu(PRelu { init: 0.1 }), &[8]),
        node("point", point, &[9]),
        node("mixed", Op::Add, &[10, 9]),
    ]);
    network
}

/// The image of `golden/check_onnx.py`: multiples of 1/64 between -1 and 1, channel by channel.
fn image(network: &Network) -> Vec<f64> {
    (0..network.image_shape().elements()).map(|index| (index * 37 % 129) as f64 / 64.0 - 1.0).collect()
}

/// Rounding to f32 in a handful of layers, relative to the largest value.
const ROUNDING: f64 = 1e-5;

fn assert_close(found: &[f64], expected: &[f64]) {
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= ROUNDING * largest, "{found}, not {expected}");
    }
}

#[test]
fn folding_keeps_the_feature_and_only_what_cannot_be_folded() {
    let network = network();
    let weights = lived(&network);
    let (folded, folded_weights) = fold_batch_norm(&network, &weights);
    folded.check().unwrap();
    folded_weights.check(&folded).unwrap();
    let names: Vec<&str> = folded.nodes.iter().map(|node| node.name.as_str()).collect();
    let expected =
        ["open", "slope", "inner", "sum", "after_sum", "feature", "vector_slope", "point", "mixed"];
    assert_eq!(names, expected);
    let image = image(&network);
    assert_close(&feature(&folded, &folded_weights, &image), &feature(&network, &weights, &image));
}

#[test]
fn a_layer_that_others_read_keeps_its_normalisation() {
    let mut network = network();
    // The sum now reads the convolution before its normalisation, too.
    network.nodes[4].inputs = vec![Source::Node(2), Source::Node(3)];
    network.nodes[2].inputs = vec![Source::Node(1)];
    let (folded, _) = fold_batch_norm(&network, &lived(&network));
    assert!(folded.nodes.iter().any(|node| node.name == "norm"));
}

#[test]
fn published_networks_keep_their_feature_when_folded() {
    for (family, depth) in
        [(Family::IResNet, Some(18)), (Family::MobileFaceNet, None), (Family::SphereFace, Some(10))]
    {
        let architecture = Architecture {
            input: [16, 17],
            width: Some(0.125),
            feature: 8,
            dropout: 0.2,
            batch_norm: (family == Family::SphereFace).then_some(true),
            ..Architecture::new(family, depth)
        };
        let network = architecture.build().unwrap();
        let weights = lived(&network);
        let (folded, folded_weights) = fold_batch_norm(&network, &weights);
        folded_weights.check(&folded).unwrap();
        let image = image(&network);
        assert_close(&feature(&folded, &folded_weights, &image), &feature(&network, &weights, &image));
    }
}

fn model() -> Model {
    let network = network();
    let weights = lived(&network);
    Model::new(network, weights, card()).unwrap()
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(|byte| *byte != b'\n').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The golden bytes were run by ONNX Runtime, which gave the golden features.
#[test]
fn exported_files_are_those_that_onnx_runtime_computes_the_feature_with() {
    let model = model();
    let expected = feature(model.network(), model.weights(), &image(model.network()));
    for (normalisation, golden, computed) in [
        (Normalisation::Kept, include_str!("golden/onnx_kept.hex"), include_str!("golden/onnx_kept.txt")),
        (
            Normalisation::Folded,
            include_str!("golden/onnx_folded.hex"),
            include_str!("golden/onnx_folded.txt"),
        ),
    ] {
        let bytes = to_onnx(&model, normalisation).unwrap();
        if bytes != bytes_of(golden) {
            let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
            write_onnx(&model, Normalisation::Kept, &folder.join("onnx_kept.onnx")).unwrap();
            write_onnx(&model, Normalisation::Folded, &folder.join("onnx_folded.onnx")).unwrap();
            panic!("the export changed; run golden/check_onnx.py on {}", folder.display());
        }
        let computed: Vec<f64> = computed.lines().map(|line| line.parse().unwrap()).collect();
        assert_close(&computed, &expected);
    }
}
