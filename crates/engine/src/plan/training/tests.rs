//! Features and gradients against the definition, on every operation and every way in which values share memory.

use super::storage::LARGE;
use super::*;
use crate::isa::Isa;
use crate::plan::reference;
use crate::testing::Numbers;
use net::{BatchNorm, Convolution, Dropout, Init, Input, Linear, Node, PRelu, Weights, initialise};

/// Nodes by name, each reading the nodes named; `image` is the image.
fn network(nodes: &[(&str, Op, &[&str])]) -> Network {
    let find = |name: &str| match nodes.iter().position(|node| node.0 == name) {
        Some(index) => Source::Node(index),
        None => Source::Image,
    };
    let nodes = nodes
        .iter()
        .map(|(name, op, inputs)| Node {
            name: (*name).to_owned(),
            op: op.clone(),
            inputs: inputs.iter().map(|input| find(input)).collect(),
        })
        .collect();
    let network = Network { name: "test".to_owned(), input: Input { height: 9, width: 8 }, nodes };
    network.check().unwrap();
    network
}

fn convolution(out_channels: usize, stride: usize, groups: usize, bias: bool) -> Op {
    let init = Init::Gaussian { deviation: 0.3 };
    Op::Convolution(Convolution { out_channels, kernel: [3, 3], stride, padding: 1, groups, bias, init })
}

fn linear(out_features: usize) -> Op {
    Op::Linear(Linear { out_features, bias: true, init: Init::Gaussian { deviation: 0.1 } })
}

const NORM: Op = Op::BatchNorm(BatchNorm { epsilon: 1e-5, momentum: 0.1 });
const PRELU: Op = Op::PRelu(PRelu { init: 0.25 });

/// Every operation, and every way in which gradients share memory.
fn networks() -> Vec<Network> {
    vec![
        network(&[
            ("open", convolution(6, 2, 1, true), &["image"]),
            ("prelu", PRELU, &["open"]),
            ("first", convolution(6, 1, 1, false), &["prelu"]),
            ("first_prelu", PRELU, &["first"]),
            ("unit", Op::Add, &["prelu", "first_prelu"]),
            ("narrow", convolution(7, 2, 1, true), &["unit"]),
            ("fc", linear(5), &["narrow"]),
        ]),
        network(&[
            ("open", convolution(4, 1, 1, false), &["image"]),
            ("norm", NORM, &["open"]),
            ("inner", convolution(5, 2, 1, false), &["norm"]),
            ("inner_norm", NORM, &["inner"]),
            ("short", convolution(5, 2, 1, false), &["norm"]),
            ("short_norm", NORM, &["short"]),
            ("unit", Op::Add, &["inner_norm", "short_norm"]),
            ("depthwise", convolution(5, 2, 5, true), &["unit"]),
            ("dropout", Op::Dropout(Dropout { probability: 0.3 }), &["depthwise"]),
            ("fc", linear(6), &["dropout"]),
            ("feature", NORM, &["fc"]),
        ]),
        // A summand that reads the other one directly, a doubled value, and a sum of a sum with many readers.
        network(&[
            ("open", convolution(4, 2, 1, true), &["image"]),
            ("direct", convolution(4, 1, 1, false), &["open"]),
            ("first", Op::Add, &["open", "direct"]),
            ("double", Op::Add, &["first", "first"]),
            ("second", Op::Add, &["double", "first"]),
            ("third", Op::Add, &["open", "second"]),
            ("prelu", PRELU, &["third"]),
            ("last", Op::Add, &["second", "prelu"]),
            ("fc", linear(3), &["last"]),
        ]),
        chains(),
        left(),
        filtered(),
    ]
}

/// A convolution of 1 x 1.
fn pointwise(out_channels: usize) -> Op {
    let init = Init::Gaussian { deviation: 0.3 };
    let (kernel, stride, padding, groups, bias) = ([1, 1], 1, 0, 1, false);
    Op::Convolution(Convolution { out_channels, kernel, stride, padding, groups, bias, init })
}

/// Everything that a step can do on the way, and a normalisation and a rectifier that come too early for it.
fn chains() -> Network {
    let chains = network(&[
        ("open", convolution(4, 1, 1, false), &["image"]),
        ("open_norm", NORM, &["open"]),
        ("open_prelu", PRELU, &["open_norm"]),
        ("expand", pointwise(6), &["open_prelu"]),
        ("expand_norm", NORM, &["expand"]),
        ("expand_prelu", PRELU, &["expand_norm"]),
        ("depthwise", convolution(6, 1, 6, true), &["expand_prelu"]),
        ("depthwise_norm", NORM, &["depthwise"]),
        ("depthwise_prelu", PRELU, &["depthwise_norm"]),
        ("project", pointwise(4), &["depthwise_prelu"]),
        ("project_norm", NORM, &["project"]),
        ("unit", Op::Add, &["open_prelu", "project_norm"]),
        ("direct", pointwise(4), &["unit"]),
        ("direct_norm", NORM, &["direct"]),
        ("direct_unit", Op::Add, &["unit", "direct_norm"]),
        ("early_norm", NORM, &["direct_unit"]),
        ("early_prelu", PRELU, &["early_norm"]),
        ("second", convolution(4, 1, 1, true), &["early_norm"]),
        ("second_prelu", PRELU, &["second"]),
        ("third", Op::Add, &["second_prelu", "early_prelu"]),
        ("last_norm", NORM, &["third"]),
        ("last_prelu", PRELU, &["last_norm"]),
        ("last", Op::Add, &["last_prelu", "third"]),
        ("fc", linear(3), &["last"]),
    ]);
    // Rows enough for the gradients of a convolution of 1 x 1 to come from one walk.
    Network { input: Input { height: 20, width: 16 }, ..chains }
}

/// Normalisations that are left to their readers: one after a sum whose other summand is normalised too, and others around
/// depthwise convolutions.
fn left() -> Network {
    let left = network(&[
        ("open", convolution(6, 1, 1, false), &["image"]),
        ("open_norm", NORM, &["open"]),
        ("branch", pointwise(6), &["open_norm"]),
        ("branch_norm", NORM, &["branch"]),
        ("unit", Op::Add, &["open_norm", "branch_norm"]),
        ("unit_norm", NORM, &["unit"]),
        ("unit_prelu", PRELU, &["unit_norm"]),
        ("expand", pointwise(8), &["unit_prelu"]),
        ("expand_norm", NORM, &["expand"]),
        ("expand_prelu", PRELU, &["expand_norm"]),
        ("strided", convolution(8, 2, 8, false), &["expand_prelu"]),
        ("strided_norm", NORM, &["strided"]),
        ("strided_prelu", PRELU, &["strided_norm"]),
        ("deep", convolution(8, 1, 8, false), &["strided_prelu"]),
        ("deep_norm", NORM, &["deep"]),
        ("fc", linear(3), &["deep_norm"]),
    ]);
    Network { input: Input { height: 20, width: 16 }, ..left }
}

/// Convolutions with channels enough for minimal filtering, with and without a normalisation after them.
fn filtered() -> Network {
    let filtered = network(&[
        ("open", convolution(16, 1, 1, true), &["image"]),
        ("open_prelu", PRELU, &["open"]),
        ("first", convolution(16, 1, 1, false), &["open_prelu"]),
        ("first_norm", NORM, &["first"]),
        ("first_prelu", PRELU, &["first_norm"]),
        ("second", convolution(20, 1, 1, true), &["first_prelu"]),
        ("second_prelu", PRELU, &["second"]),
        ("third", convolution(16, 1, 1, false), &["second_prelu"]),
        ("third_norm", NORM, &["third"]),
        ("unit", Op::Add, &["open_prelu", "third_norm"]),
        ("last", convolution(16, 2, 1, true), &["unit"]),
        ("fc", linear(3), &["last"]),
    ]);
    // Tiles enough.
    Network { input: Input { height: 20, width: 16 }, ..filtered }
}

const BATCH: usize = 3;

fn pixels(network: &Network) -> Vec<u8> {
    let mut numbers = Numbers::new(4);
    let len = BATCH * network.image_shape().elements();
    (0..len).map(|_| (128.0 + 127.0 * numbers.next()) as u8).collect()
}

/// `net::initialise` leaves slopes, gammas and betas constant; the test wants every value different.
fn weights(network: &Network) -> Weights {
    let mut weights = initialise(network, 5);
    let mut numbers = Numbers::new(6);
    for tensor in weights.0.values_mut() {
        tensor.values.iter_mut().for_each(|value| *value += 0.2 * numbers.next());
    }
    weights
}

const SEED: u64 = 99;

#[test]
fn normalisations_are_left_to_their_readers() {
    let pool = Pool::new(1).unwrap();
    let named = |network: &Network, chosen: fn(&Planned) -> bool| -> Vec<String> {
        let plan = TrainingPlan::new(&pool, network, BATCH).unwrap();
        let nodes = network.nodes.iter().zip(&plan.nodes).filter(|(_, planned)| chosen(planned));
        nodes.map(|(node, _)| node.name.clone()).collect()
    };
    let is_left: fn(&Planned) -> bool = |planned| planned.left_to.is_some();
    let is_pending: fn(&Planned) -> bool = |planned| planned.pending.is_some();
    assert_eq!(named(&chains(), is_left), ["expand_norm", "depthwise_norm"]);
    assert_eq!(named(&left(), is_left), ["unit_norm", "expand_norm", "strided_norm"]);
    assert_eq!(named(&left(), is_pending), ["expand_norm", "strided_norm", "deep_norm"]);
}

/// The nodes in bf16.
fn named<'a>(network: &'a Network, formats: &[Precision]) -> Vec<&'a str> {
    let rounded = network.nodes.iter().zip(formats).filter(|(_, format)| **format == Precision::Bf16);
    rounded.map(|(node, _)| &node.name[..]).collect()
}

#[test]
fn what_all_can_read_is_kept_in_bf16() {
    let (pool, network) = (Pool::with_isa(1, Isa::Portable).unwrap(), left());
    let shapes = network.shapes();
    let storage = |precision, least| {
        let mut storage = Storage::of((&pool, precision), precision, &network, &shapes, (BATCH, least));
        // The outputs of normalisations that are left to their readers are no values.
        let plan = TrainingPlan::new(&pool, &network, BATCH).unwrap();
        for (format, _) in
            storage.outputs.iter_mut().zip(&plan.nodes).filter(|(_, node)| node.left_to.is_some())
        {
            *format = Precision::F32;
        }
        storage
    };
    let all = storage(Precision::Bf16, 0);
    // What a linear layer reads stays f32.
    let outputs = ["open", "open_norm", "branch", "branch_norm", "expand", "strided", "deep"];
    assert_eq!(named(&network, &all.outputs), outputs);
    // So do gradients that a convolution of 3 x 3 reads, or is handed by a normalisation; a sum hands one on that is f32.
    let gradients = ["branch", "branch_norm", "expand", "expand_norm", "expand_prelu", "strided"];
    assert_eq!(named(&network, &all.gradients)[..6], gradients);
    assert_eq!(named(&network, &all.gradients)[6..], ["strided_norm", "strided_prelu", "deep"]);
    assert!(named(&network, &storage(Precision::F32, 0).outputs).is_empty());
    assert_eq!(named(&network, &storage(Precision::Bf16, BATCH * 20 * 16 * 8).outputs), ["expand"]);
}

#[test]
fn minimal_filtering_takes_bf16() {
    let (pool, network) = (Pool::with_isa(1, Isa::Portable).unwrap(), filtered());
    let storage =
        Storage::of((&pool, Precision::F32), Precision::Bf16, &network, &network.shapes(), (BATCH, 0));
    // What a convolution with a stride reads stays f32, here with the normalisation that adds to it.
    let outputs = ["open", "open_prelu", "first", "first_norm", "second", "second_prelu", "third"];
    assert_eq!(named(&network, &storage.outputs), outputs);
    let gradients = ["first", "first_norm", "first_prelu", "second", "second_prelu", "third", "third_norm"];
    assert_eq!(named(&network, &storage.gradients), gradients);
}

#[test]
#[expect(clippy::print_stderr, reason = "says why a test is skipped")]
fn by_tiles_convolutions_of_3_x_3_take_bf16_too() {
    if !Isa::Amx.is_available() {
        eprintln!("skipped: this processor has no AMX");
        return;
    }
    let (pool, network) = (Pool::with_isa(1, Isa::Amx).unwrap(), networks().remove(0));
    let shapes = network.shapes();
    let storage = Storage::of((&pool, Precision::Bf16), Precision::Bf16, &network, &shapes, (BATCH, 0));
    // A sum by itself and what it adds stay f32, as what a linear layer reads; a rectifier adds on the way.
    assert_eq!(named(&network, &storage.outputs), ["open", "prelu", "first", "first_prelu"]);
    assert_eq!(named(&network, &storage.gradients), ["open", "prelu", "first", "first_prelu", "unit"]);
}

#[test]
fn features_and_gradients_are_those_of_the_definition() {
    for network in networks() {
        let (bytes, weights) = (pixels(&network), weights(&network));
        let mut numbers = Numbers::new(8);
        let d_features = numbers.vector(BATCH * network.feature_dimension());
        let objective = |weights: &Weights| -> f64 {
            let features = reference::features(&network, weights, &bytes, BATCH, SEED);
            features.iter().zip(&d_features).map(|(feature, d)| feature * f64::from(*d)).sum()
        };
        for threads in [1, 2] {
            let pool = Pool::new(threads).unwrap();
            let mut parameters = Parameters::from_weights(&network, &weights).unwrap();
            let mut plan = TrainingPlan::new(&pool, &network, BATCH).unwrap();
            let mut gradients = Gradients::zeros(&parameters);
            let pixels = Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
            let features = plan.forward(&pool, &mut parameters, pixels, SEED).to_vec();
            let expected = reference::features(&network, &weights, &bytes, BATCH, SEED);
            for (actual, expected) in features.iter().zip(&expected) {
                assert!((f64::from(*actual) - expected).abs() < 1e-4, "{actual} against {expected}");
            }
            plan.backward(&pool, &parameters, &d_features, &mut gradients);
            let named = parameters.trained_to_weights(gradients.values());
            for (name, gradient) in named.iter() {
                for index in (0..gradient.values.len()).step_by(1 + gradient.values.len() / 7) {
                    // Small against the distance of most values from the kink of a rectifier.
                    let step = 1e-5;
                    let at = |by: f64| {
                        let mut moved = weights.clone();
                        let value = &mut moved.get_mut(name).unwrap().values[index];
                        let start = *value;
                        *value = (f64::from(start) + by) as f32;
                        let taken = f64::from(*value) - f64::from(start);
                        (objective(&moved), taken)
                    };
                    // Steps that f32 can represent: the slope is taken over those really made.
                    let ((up, up_by), (down, down_by)) = (at(step), at(-step));
                    let slope = (up - down) / (up_by - down_by);
                    let actual = f64::from(gradient.values[index]);
                    let scale = slope.abs().max(1.0);
                    assert!((actual - slope).abs() < 5e-3 * scale, "{name}[{index}]: {actual}, {slope}");
                }
            }
        }
    }
}

#[test]
fn gradients_of_two_passes_add_up_and_threads_do_not_change_a_bit() {
    for network in networks() {
        let (bytes, weights) = (pixels(&network), weights(&network));
        let run = |threads: usize, passes: usize| {
            let pool = Pool::new(threads).unwrap();
            let mut parameters = Parameters::from_weights(&network, &weights).unwrap();
            let mut plan = TrainingPlan::new(&pool, &network, BATCH).unwrap();
            let mut gradients = Gradients::zeros(&parameters);
            for _ in 0..passes {
                let pixels = Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
                let d_features = plan.forward(&pool, &mut parameters, pixels, SEED).to_vec();
                plan.backward(&pool, &parameters, &d_features, &mut gradients);
            }
            gradients.values().to_vec()
        };
        let once = run(1, 1);
        assert_eq!(once, run(2, 1));
        assert_eq!(once, run(3, 1));
        let twice: Vec<f32> = once.iter().map(|value| value + value).collect();
        // Some gradients are zero but for the rounding of sums of much larger values.
        let greatest = twice.iter().fold(1.0f32, |greatest, value| greatest.max(value.abs()));
        for (actual, expected) in run(2, 2).iter().zip(&twice) {
            assert!((actual - expected).abs() <= 1e-5 * greatest, "{actual}, {expected}");
        }
    }
}

#[test]
fn bf16_changes_little_and_something_and_nothing_with_the_threads() {
    let (f32, bf16) = ((Precision::F32, LARGE), Precision::Bf16);
    let cases = networks().into_iter().flat_map(|network| {
        // Products alone, and values in memory too.
        [(network.clone(), (bf16, f32)), (network, (bf16, (bf16, 0)))]
    });
    // Values in memory alone, in networks that have some that may be rounded.
    let stored = [chains(), left(), filtered()].map(|network| (network, (Precision::F32, (bf16, 0))));
    for (network, rounding) in cases.chain(stored) {
        let (bytes, weights) = (pixels(&network), weights(&network));
        let run = |threads: usize, (products, stored): (Precision, (Precision, usize))| {
            let pool = Pool::new(threads).unwrap();
            let mut parameters = Parameters::from_weights(&network, &weights).unwrap();
            let mut plan = TrainingPlan::with_storage(&pool, &network, BATCH, products, stored).unwrap();
            let mut gradients = Gradients::zeros(&parameters);
            let pixels = Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] };
            let features = plan.forward(&pool, &mut parameters, pixels, SEED).to_vec();
            let d_features = Numbers::new(8).vector(features.len());
            plan.backward(&pool, &parameters, &d_features, &mut gradients);
            let first = gradients.values().to_vec();
            // Once more after the gradients were cleared, and once added to what is there.
            gradients.clear(&pool);
            plan.forward(&pool, &mut parameters, pixels, SEED);
            plan.backward(&pool, &parameters, &d_features, &mut gradients);
            assert_eq!(gradients.values(), first);
            plan.forward(&pool, &mut parameters, pixels, SEED);
            plan.backward(&pool, &parameters, &d_features, &mut gradients);
            let largest = first.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let twice = |(sum, once): (&f32, &f32)| (sum - 2.0 * once).abs() <= 1e-5 * largest;
            assert!(gradients.values().iter().zip(&first).all(twice));
            [features, first]
        };
        let (exact, rounded) = (run(1, (Precision::F32, f32)), run(1, rounding));
        assert_eq!(rounded, run(3, rounding));
        for (exact, rounded) in exact.iter().zip(&rounded) {
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let cosine = dot(exact, rounded) / (dot(exact, exact) * dot(rounded, rounded)).sqrt();
            assert!((0.99..1.0 - 1e-9).contains(&cosine), "{cosine}");
        }
    }
}

#[test]
fn what_the_engine_cannot_run_is_refused_by_name() {
    let pool = Pool::new(1).unwrap();
    let grouped =
        network(&[("grouped", convolution(6, 1, 3, false), &["image"]), ("fc", linear(2), &["grouped"])]);
    // Three groups over three channels but twice as many outputs: neither full nor depthwise.
    let error = TrainingPlan::new(&pool, &grouped, 2).unwrap_err();
    assert_eq!(error, PlanError::Groups { node: "grouped".to_owned(), groups: 3, channels: 3 });
    let norm = network(&[("fc", linear(4), &["image"]), ("norm", NORM, &["fc"])]);
    let error = TrainingPlan::new(&pool, &norm, 1).unwrap_err();
    assert_eq!(error, PlanError::BatchOfOne { node: "norm".to_owned(), batch: 1 });
}

#[test]
#[should_panic(expected = "another network")]
fn parameters_of_equal_sizes_but_other_names_are_refused() {
    let of = |name| {
        network(&[
            ("convolution", convolution(4, 2, 1, true), &["image"]),
            (name, linear(3), &["convolution"]),
        ])
    };
    let (pool, other) = (Pool::new(1).unwrap(), of("other"));
    let mut parameters = Parameters::from_weights(&other, &weights(&other)).unwrap();
    let mut plan = TrainingPlan::new(&pool, &of("fc"), BATCH).unwrap();
    let bytes = pixels(&other);
    plan.forward(&pool, &mut parameters, Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] }, SEED);
}
