//! ONNX files of others: what becomes of each operator, and what is refused.

use std::path::Path;

use net::{
    Clip, Coordinates, Extent, Input, Interpolation, Network, Node, Normalisation, OnnxImportError,
    OnnxNetwork, Op, Pool, PoolKind, Resample, Rounding, Slice, Source, Span, Upsample, to_onnx,
};

use crate::fixture::{card, every_operation, lived};
use crate::naive::feature;

const OPEN: Input = Input { height: 14, width: 12 };

fn parse(bytes: &[u8]) -> Result<OnnxNetwork, OnnxImportError> {
    OnnxNetwork::parse(bytes, Path::new("foreign.onnx"), OPEN)
}

fn image(network: &Network) -> Vec<f64> {
    (0..network.image_shape().elements()).map(|index| (index * 37 % 129) as f64 / 64.0 - 1.0).collect()
}

/// Rounding to f32 in a handful of layers, relative to the largest value.
const ROUNDING: f64 = 1e-5;

fn assert_close(found: &[f64], expected: &[f64]) {
    let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= ROUNDING * largest, "value {index}: {found}, not {expected}");
    }
}

/// Every operation that no network trained here has, on maps and on vectors.
fn operations_of_others() -> Network {
    let base = every_operation();
    let node = |name: &str, op, inputs: &[usize]| Node {
        name: name.to_owned(),
        op,
        inputs: inputs.iter().map(|index| Source::Node(*index)).collect(),
    };
    let pool = |kind, rounding| Op::Pool(Pool { kind, kernel: [3, 2], stride: 2, padding: 1, rounding });
    let resampled =
        |extent, coordinates, interpolation| Op::Resample(Resample { extent, coordinates, interpolation });
    let part = Slice {
        rows: Span { start: 1, end: 7, step: 3 },
        columns: Span::whole(6),
        channels: Span { start: 1, end: 3, step: 1 },
    };
    // The first five nodes end in a map of 7 x 6 x 4.
    let mut nodes = base.nodes[..5].to_vec();
    nodes.extend([
        node("relu", Op::Relu, &[4]),
        node("affine", Op::Affine, &[5]),
        node("clip", Op::Clip(Clip { low: Some(-0.5), high: Some(0.75) }), &[6]),
        node("gate", Op::GlobalAverage, &[7]),
        node("sigmoid", Op::Sigmoid, &[8]),
        node("gated", Op::Multiply, &[4, 9]),
        node("product", Op::Multiply, &[10, 7]),
        node("largest", pool(PoolKind::Largest, Rounding::Up), &[11]),
        node("average", pool(PoolKind::Average, Rounding::Down), &[11]),
        node("enlarged", Op::Upsample(Upsample { factor: 2 }), &[13]),
        node("both", Op::Concat, &[11, 4]),
        node("softmax", Op::Softmax, &[15]),
        node("part", Op::Slice(part), &[16]),
        node("flat", Op::Flatten, &[12]),
        node("low", Op::Clip(Clip { low: Some(0.1), high: None }), &[18]),
        node(
            "linear",
            resampled(Extent::Factors([1.5, 0.7]), Coordinates::HalfPixel, Interpolation::Linear),
            &[13],
        ),
        node(
            "corners",
            resampled(Extent::Size([9, 5]), Coordinates::AlignCorners, Interpolation::Linear),
            &[11],
        ),
        node(
            "nearest",
            resampled(Extent::Size([4, 9]), Coordinates::HalfPixel, Interpolation::NearestHigh),
            &[11],
        ),
        node("everything", Op::Join, &[14, 17, 19, 9, 20, 21, 22]),
    ]);
    Network { name: "operations_of_others".to_owned(), nodes, ..base }
}

#[test]
fn every_operation_survives_the_way_to_onnx_and_back() {
    for network in [every_operation(), operations_of_others()] {
        network.check().unwrap();
        let weights = lived(&network);
        let mut card = card();
        card.network.clone_from(&network.name);
        card.feature_dimension = network.feature_dimension();
        let model = net::Model::new(network.clone(), weights.clone(), card.clone()).unwrap();
        let expected = feature(&network, &weights, &image(&network));
        for normalisation in [Normalisation::Kept, Normalisation::Folded] {
            let back = parse(&to_onnx(&model, normalisation).unwrap()).unwrap();
            assert_close(&feature(&back.network, &back.weights, &image(&network)), &expected);
            assert_eq!(back.card.as_ref(), Some(&card));
            assert_eq!(back.outputs.len(), 1);
        }
    }
}

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(|byte| *byte != b'\n').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

const RECOGNISER: &str = include_str!("golden/onnx_recogniser.hex");
const DETECTOR: &str = include_str!("golden/onnx_detector.hex");

/// Files and features are made by `golden/make_onnx_files.py`, the features with ONNX Runtime.
#[test]
fn foreign_files_give_the_features_that_onnx_runtime_gives() {
    for (file, computed) in [
        (RECOGNISER, include_str!("golden/onnx_recogniser.txt")),
        (DETECTOR, include_str!("golden/onnx_detector.txt")),
    ] {
        let onnx = parse(&bytes_of(file)).unwrap();
        let expected: Vec<f64> = computed.lines().map(|line| line.parse().unwrap()).collect();
        assert_close(&feature(&onnx.network, &onnx.weights, &image(&onnx.network)), &expected);
    }
}

/// InsightFace's iresnet in small, by `golden/make_iresnet.py`: normalisation folded by the exporter, and kept.
#[test]
fn iresnet_files_give_the_features_that_onnx_runtime_gives() {
    for (file, computed) in [
        (include_str!("golden/onnx_iresnet.hex"), include_str!("golden/onnx_iresnet.txt")),
        (include_str!("golden/onnx_iresnet_trained.hex"), include_str!("golden/onnx_iresnet_trained.txt")),
    ] {
        let onnx = parse(&bytes_of(file)).unwrap();
        let expected: Vec<f64> = computed.lines().map(|line| line.parse().unwrap()).collect();
        assert_close(&feature(&onnx.network, &onnx.weights, &image(&onnx.network)), &expected);
    }
}

/// Each use of an operator that is read, in operator sets 9 to 21, by `golden/make_onnx_operators.py`.
#[test]
fn every_operator_gives_what_onnx_runtime_gives() {
    let cases: Vec<&str> = include_str!("golden/onnx_operators.txt").lines().collect();
    assert!(cases.len() >= 297);
    let mut wrong = Vec::new();
    for case in cases {
        let [name, file, computed] = case.split('\t').collect::<Vec<_>>()[..] else { panic!("{case}") };
        let expected: Vec<f64> = computed.split(' ').map(|value| value.parse().unwrap()).collect();
        let onnx = match parse(&bytes_of(file)) {
            Ok(onnx) => onnx,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        let found = feature(&onnx.network, &onnx.weights, &image(&onnx.network));
        // A feature is laid out as the output's dimensions say, or as a map: height, width, channel.
        let [output] = &onnx.outputs[..] else { panic!("{name}: {:?}", onnx.outputs) };
        let (channels, positions) = (output.shape.channels, output.shape.positions());
        let map = output.dimensions.len() == 4;
        let place = |index: usize| if map { index % positions * channels + index / positions } else { index };
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let fits = found.len() == expected.len()
            && (0..found.len()).all(|at| (found[place(at)] - expected[at]).abs() <= ROUNDING * largest);
        if !fits {
            wrong.push(format!("{name}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn several_outputs_are_named_and_follow_a_new_size_of_the_image() {
    let onnx = parse(&bytes_of(DETECTOR)).unwrap();
    let shapes = |onnx: &OnnxNetwork| {
        onnx.outputs.iter().map(|output| format!("{} {}", output.name, output.shape)).collect::<Vec<_>>()
    };
    assert_eq!(shapes(&onnx), ["scores 7x6x2", "c1.o 7x6x4"]);
    assert_eq!(onnx.outputs[1].dimensions, [1, 84, 2]);
    let recogniser = parse(&bytes_of(RECOGNISER)).unwrap();
    assert!(recogniser.at(Input { height: 16, width: 12 }).is_err(), "its Gemm fixes the size");
}

/// A protocol buffer's field that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(content);
    bytes
}

/// A model of operator set 17 with an image of 3 x 4 x 4 called x, these nodes, initialisers and output y.
fn model_of(nodes: &[(&str, &[&str], &str)], initializers: &[Vec<u8>]) -> Vec<u8> {
    let mut graph = Vec::new();
    for (operator, inputs, output) in nodes {
        let mut node: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
        node.extend(field(2, output.as_bytes()));
        node.extend(field(3, format!("/{output}").as_bytes()));
        node.extend(field(4, operator.as_bytes()));
        graph.extend(field(1, &node));
    }
    initializers.iter().for_each(|tensor| graph.extend(field(5, tensor)));
    let sides: Vec<u8> = [1_u8, 3, 4, 4].iter().flat_map(|side| field(1, &[8, *side])).collect();
    let image = [field(1, b"x"), field(2, &field(1, &[&[8, 1], &field(2, &sides)[..]].concat()))].concat();
    graph.extend(field(11, &image));
    graph.extend(field(12, &field(1, b"y")));
    [field(7, &graph), field(8, &[16, 17])].concat()
}

#[test]
fn everything_that_is_not_supported_is_named_at_once() {
    let error = parse(&model_of(&[("Erf", &["x"], "a"), ("LSTM", &["a"], "b"), ("Erf", &["b"], "y")], &[]));
    let text = error.unwrap_err().to_string();
    assert!(text.contains("operator Erf (2 nodes, the first is /a); operator LSTM (node /b)"), "{text}");
    // Known operators in uses that are not: both are named, and the node after them is not blamed.
    let nodes: &[(&str, &[&str], &str)] =
        &[("ReduceMean", &["x"], "a"), ("Conv", &["x", "missing"], "b"), ("Concat", &["a", "b"], "y")];
    let text = parse(&model_of(nodes, &[])).unwrap_err().to_string();
    assert!(
        text.contains("Conv: value missing, which nothing before it makes (node /b); ReduceMean: over"),
        "{text}"
    );
    assert!(!text.contains("Concat"), "{text}");
}

#[test]
fn weights_in_another_file_are_refused() {
    let tensor = [field(8, b"w"), vec![8, 3, 16, 1, 0x70, 1]].concat();
    let text = parse(&model_of(&[("PRelu", &["x", "w"], "y")], &[tensor])).unwrap_err().to_string();
    assert!(text.contains("tensor w in another file"), "{text}");
}

#[test]
fn tensors_that_claim_more_than_they_hold_are_refused_without_taking_memory() {
    // Dimensions of 2^62 and 4, which wrap to 0 in 64 bits; values of 3 bytes.
    let huge =
        [field(8, b"w"), vec![8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 8, 4, 16, 1]].concat();
    let short = [field(8, b"w"), vec![8, 1, 16, 1], field(9, &[0; 3])].concat();
    for tensor in [huge, short] {
        let text = parse(&model_of(&[("PRelu", &["x", "w"], "y")], &[tensor])).unwrap_err().to_string();
        assert!(text.contains("tensor w with"), "{text}");
    }
    // A million empty nodes in two bytes each.
    let many = field(7, &[10, 0].repeat(1 << 20));
    assert!(parse(&many).unwrap_err().to_string().contains("parts"));
}

#[test]
fn constants_that_double_again_and_again_are_refused() {
    let vector = [field(8, b"c0"), vec![8, 8, 16, 7], field(9, &[1; 64])].concat();
    let names: Vec<String> = (0..40).map(|index| format!("c{index}")).collect();
    let pairs: Vec<[&str; 2]> = names.iter().map(|name| [name.as_str(); 2]).collect();
    let mut nodes: Vec<(&str, &[&str], &str)> =
        (0..39).map(|index| ("Concat", &pairs[index][..], names[index + 1].as_str())).collect();
    nodes.push(("Reshape", &["x", "c39"], "y"));
    let text = parse(&model_of(&nodes, &[vector])).unwrap_err().to_string();
    assert!(text.contains("constants"), "{text}");
}

proptest::proptest! {
    #[test]
    fn damaged_files_never_panic(place in proptest::prelude::any::<proptest::sample::Index>(), damage in 1_u8.., which in 0..2) {
        let mut bytes = bytes_of(if which == 0 { RECOGNISER } else { DETECTOR });
        let index = place.index(bytes.len());
        bytes[index] ^= damage;
        let _ = parse(&bytes);
    }
}
