use net::{Network, NetworkError, Op, Role, Shape, Source};

use crate::fixture::every_operation;

fn broken(change: impl FnOnce(&mut Network)) -> String {
    let mut network = every_operation();
    change(&mut network);
    network.check().unwrap_err().to_string()
}

fn convolution(network: &mut Network, node: usize) -> &mut net::Convolution {
    match &mut network.nodes[node].op {
        Op::Convolution(convolution) => convolution,
        other => panic!("node {node} is {other:?}"),
    }
}

#[test]
fn shapes_follow_the_nodes() {
    let map = Shape { height: 7, width: 6, channels: 4 };
    let network = every_operation();
    assert_eq!(network.shapes(), [map, map, map, map, map, map, Shape::vector(5)]);
    assert_eq!(network.feature_dimension(), 5);
}

#[test]
fn parameters_have_pytorch_names_and_layouts() {
    let listed: Vec<(String, Role, Vec<usize>)> = every_operation()
        .parameters()
        .into_iter()
        .map(|parameter| (parameter.name, parameter.role, parameter.shape))
        .collect();
    let expected = [
        ("open.weight", Role::Weight, vec![4, 3, 3, 3]),
        ("open.bias", Role::Bias, vec![4]),
        ("slope.weight", Role::Slope, vec![4]),
        ("inner.weight", Role::Weight, vec![4, 2, 3, 3]),
        ("norm.weight", Role::Gamma, vec![4]),
        ("norm.bias", Role::Beta, vec![4]),
        ("norm.running_mean", Role::RunningMean, vec![4]),
        ("norm.running_var", Role::RunningVariance, vec![4]),
        ("feature.weight", Role::Weight, vec![5, 168]),
        ("feature.bias", Role::Bias, vec![5]),
    ];
    assert_eq!(listed, expected.map(|(name, role, shape)| (name.to_owned(), role, shape)));
}

#[test]
fn networks_that_make_no_sense_are_refused_by_name() {
    assert_eq!(broken(|network| network.nodes.clear()), "network has no nodes");
    assert_eq!(
        broken(|network| network.input.width = 0),
        "input sides must be between 1 and 4096 pixels: 14x0"
    );
    assert_eq!(
        broken(|network| network.nodes[1].name = "open".to_owned()),
        "two nodes have the same name: open"
    );
    assert_eq!(
        broken(|network| network.nodes[1].name = "a b".to_owned()),
        "node 1 needs a name of ASCII letters, digits, `_`, `-` and `.`: \"a b\""
    );
    assert_eq!(
        broken(|network| network.nodes[4].inputs = vec![Source::Node(1)]),
        "node sum (add) takes 2 inputs: 1"
    );
    assert_eq!(
        broken(|network| network.nodes[2].inputs = vec![Source::Node(2)]),
        "node inner (index 2) may only read earlier nodes: 2"
    );
    assert_eq!(
        broken(|network| network.nodes[2].inputs = vec![Source::Node(usize::MAX)]),
        format!("node inner (index 2) may only read earlier nodes: {}", usize::MAX)
    );
    assert_eq!(
        broken(|network| network.nodes[4].inputs[1] = Source::Image),
        "node sum (add) cannot combine shapes: 7x6x4 and 14x12x3"
    );
    assert_eq!(
        broken(|network| network.nodes[4].inputs[1] = Source::Node(1)),
        "no node reads the output of node: norm"
    );
    assert_eq!(broken(|network| network.nodes.truncate(6)), "last node drop must be a vector, 1x1xC: 7x6x4");
}

#[test]
fn settings_outside_their_range_are_refused() {
    assert_eq!(
        broken(|network| convolution(network, 2).groups = 3),
        "node inner needs groups to divide 4 input and 4 output channels: 3"
    );
    assert_eq!(
        broken(|network| convolution(network, 2).groups = 0),
        "node inner needs groups to divide 4 input and 4 output channels: 0"
    );
    assert_eq!(
        broken(|network| convolution(network, 0).stride = 0),
        "node open needs stride between 1 and 256: 0"
    );
    assert_eq!(
        broken(|network| convolution(network, 0).padding = 3),
        "node open needs padding below the kernel's shorter side, 3: 3"
    );
    assert_eq!(
        broken(|network| convolution(network, 0).out_channels = 0),
        "node open needs out_channels between 1 and 65536: 0"
    );
    assert_eq!(
        broken(|network| convolution(network, 0).kernel = [3, 20]),
        "node open has a 3x20 kernel with padding 1 on a smaller input: 14x12x3"
    );
    let set = |node: usize, op: Op| broken(|network| network.nodes[node].op = op);
    assert_eq!(
        set(5, Op::Dropout(net::Dropout { probability: 1.0 })),
        "node drop needs probability in [0, 1): 1"
    );
    assert_eq!(
        set(3, Op::BatchNorm(net::BatchNorm { epsilon: 0.0, momentum: 0.1 })),
        "node norm needs epsilon between 0 and 1: 0"
    );
    assert_eq!(
        set(3, Op::BatchNorm(net::BatchNorm { epsilon: 1e-5, momentum: f32::NAN })),
        "node norm needs momentum in [0, 1]: NaN"
    );
}

#[test]
fn sizes_that_would_overflow_are_refused() {
    let mut network = every_operation();
    convolution(&mut network, 0).out_channels = usize::MAX;
    assert!(matches!(network.check(), Err(NetworkError::Setting { setting: "out_channels", .. })));
    let mut network = every_operation();
    network.input = net::Input { height: 4096, width: 4096 };
    assert!(network.check().is_ok());
    convolution(&mut network, 0).out_channels = 1000;
    assert!(matches!(network.check(), Err(NetworkError::TooLarge { what: "output", .. })));
}

#[test]
fn a_network_survives_being_written_as_json_and_unknown_keys_are_refused() {
    let network = every_operation();
    let text = serde_json::to_string(&network).unwrap();
    assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network);
    let strange = text.replacen("\"stride\"", "\"dilation\":2,\"stride\"", 1);
    let error = serde_json::from_str::<Network>(&strange).unwrap_err().to_string();
    assert!(error.starts_with("unknown field `dilation`"), "{error}");
}
