//! Small networks and models, and the way to shared research data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use net::{
    BatchNorm, Card, ChannelOrder, Convolution, Dropout, FlipRule, Init, Input, LandmarkTemplate, Linear,
    Margin, Model, Network, Node, Op, PRelu, Preprocessing, Role, Source, TrainingData, Weights, initialise,
};

/// A network with one node of every operation: 14 x 12 pixels to 5 values.
pub(crate) fn every_operation() -> Network {
    let convolution = |out_channels, stride, groups, bias| {
        Op::Convolution(Convolution {
            out_channels,
            kernel: [3, 3],
            stride,
            padding: 1,
            groups,
            bias,
            init: Init::KaimingFanOut,
        })
    };
    let linear = Op::Linear(Linear { out_features: 5, bias: true, init: Init::UniformFanIn });
    let node =
        |name: &str, op, inputs: &[Source]| Node { name: name.to_owned(), op, inputs: inputs.to_vec() };
    Network {
        name: "every_operation".to_owned(),
        input: Input { height: 14, width: 12 },
        nodes: vec![
            node("open", convolution(4, 2, 1, true), &[Source::Image]),
            node("slope", Op::PRelu(PRelu { init: 0.25 }), &[Source::Node(0)]),
            node("inner", convolution(4, 1, 2, false), &[Source::Node(1)]),
            node("norm", Op::BatchNorm(BatchNorm { epsilon: 1e-5, momentum: 0.1 }), &[Source::Node(2)]),
            node("sum", Op::Add, &[Source::Node(1), Source::Node(3)]),
            node("drop", Op::Dropout(Dropout { probability: 0.4 }), &[Source::Node(4)]),
            node("feature", linear, &[Source::Node(5)]),
        ],
    }
}

pub(crate) fn card() -> Card {
    Card {
        network: "every_operation".to_owned(),
        preprocessing: Preprocessing {
            height: 14,
            width: 12,
            channel_order: ChannelOrder::Rgb,
            mean: [127.5; 3],
            scale: [128.0; 3],
            template: LandmarkTemplate::Points112x96,
            flip: FlipRule::Concatenated,
        },
        feature_dimension: 5,
        margin: Some(Margin {
            loss: "cosface".to_owned(),
            parameters: BTreeMap::from([("m".to_owned(), 0.35), ("s".to_owned(), 64.0)]),
        }),
        calibration: None,
        data: Some(TrainingData { fingerprint: "0123abcd".to_owned(), identities: 8, images: 160 }),
        licence: Some("MIT OR Apache-2.0".to_owned()),
        notes: "made \"in\" a test,\nwith two lines".to_owned(),
        created_by: "cosface 0.1.0".to_owned(),
    }
}

pub(crate) fn model() -> Model {
    let network = every_operation();
    let weights = initialise(&network, 7);
    Model::new(network, weights, card()).unwrap()
}

/// Weights in which no parameter is as plain as at the start, so that each matters; the same on every machine.
pub(crate) fn lived(network: &Network) -> Weights {
    let mut weights = initialise(network, 11);
    for (position, parameter) in network.parameters().into_iter().enumerate() {
        let tensor = weights.get_mut(&parameter.name).unwrap();
        for (index, value) in tensor.values.iter_mut().enumerate() {
            // A multiple of 1/64 between -0.5 and 0.5.
            let shift = ((index * 29 + position * 17) % 65) as f32 / 64.0 - 0.5;
            match parameter.role {
                Role::Weight => *value = shift / 2.0,
                Role::RunningVariance => *value = 1.0 + shift,
                _ => *value += shift,
            }
        }
    }
    weights
}

/// A file of the shared research data, or `None`, said aloud, where there is none.
///
/// # Panics
/// If the environment variable `CI` is set and the file is absent.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let full = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "shared data is required in CI: {}", full.display());
    eprintln!("skipped, shared data is absent: {}", full.display());
    None
}
