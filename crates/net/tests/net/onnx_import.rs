//! ONNX files of others: what becomes of each operator, and what is refused.

use std::path::Path;

use net::{
    Clip, Input, Network, Node, Normalisation, OnnxImportError, OnnxNetwork, Op, Pool, PoolKind, Rounding,
    Slice, Source, Span, Upsample, to_onnx,
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
        node("everything", Op::Join, &[14, 17, 19, 9]),
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
