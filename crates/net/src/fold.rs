//! Batch normalisation folded into the layer before it, for networks that are only applied.

use crate::{BatchNorm, Network, Node, Op, Role, Source, Tensor, Weights};

/// The network as it acts outside training, with fewer nodes: dropout is gone, and every batch normalisation that is
/// the only reader of a convolution or a linear layer is folded into it.
///
/// With `factor = gamma / sqrt(variance + epsilon)`, computed in f64, the layer's weight becomes `factor weight` and
/// its bias `beta + factor (bias - mean)`. Names of the remaining nodes stay. A normalisation that follows something
/// else stays, because zero padding keeps it from being folded into the convolution after it.
///
/// # Panics
/// If the network or the weights do not pass their checks.
pub fn fold_batch_norm(network: &Network, weights: &Weights) -> (Network, Weights) {
    let kept = without_dropout(network);
    let mut readers = vec![0_usize; kept.nodes.len()];
    for source in kept.nodes.iter().flat_map(|node| &node.inputs) {
        if let Source::Node(index) = source {
            readers[*index] += 1;
        }
    }
    let mut nodes: Vec<Node> = Vec::new();
    let mut weights = weights.clone();
    // Where each old node's output is found now.
    let mut places: Vec<Source> = Vec::new();
    for node in kept.nodes {
        let inputs: Vec<Source> = node.inputs.iter().map(|source| placed(*source, &places)).collect();
        if let (Op::BatchNorm(norm), Source::Node(old), Source::Node(new)) =
            (&node.op, node.inputs[0], inputs[0])
            && readers[old] == 1
            && has_weight(&nodes[new].op)
        {
            fold(norm, &node.name, &mut nodes[new], &mut weights);
            places.push(Source::Node(new));
        } else {
            nodes.push(Node { inputs, ..node });
            places.push(Source::Node(nodes.len() - 1));
        }
    }
    (Network { nodes, ..kept.network }, weights)
}

/// A network without dropout whose nodes are apart, so that they can be taken one by one.
struct Kept {
    network: Network,
    nodes: Vec<Node>,
}

fn without_dropout(network: &Network) -> Kept {
    let mut nodes = Vec::new();
    let mut places: Vec<Source> = Vec::new();
    for node in &network.nodes {
        let inputs: Vec<Source> = node.inputs.iter().map(|source| placed(*source, &places)).collect();
        match (&node.op, inputs[0]) {
            (Op::Dropout(_), source @ Source::Node(_)) => places.push(source),
            _ => {
                nodes.push(Node { inputs, ..node.clone() });
                places.push(Source::Node(nodes.len() - 1));
            }
        }
    }
    let network = Network { name: network.name.clone(), input: network.input, nodes: Vec::new() };
    Kept { network, nodes }
}

fn placed(source: Source, places: &[Source]) -> Source {
    match source {
        Source::Image => Source::Image,
        Source::Node(index) => places[index],
    }
}

fn has_weight(op: &Op) -> bool {
    matches!(op, Op::Convolution(_) | Op::Linear(_))
}

fn fold(norm: &BatchNorm, norm_name: &str, layer: &mut Node, weights: &mut Weights) {
    let mut taken = |role: Role| {
        let name = format!("{norm_name}.{}", role.suffix());
        weights.0.remove(&name).unwrap_or_else(|| panic!("weights without {name}")).values
    };
    let (gamma, beta) = (taken(Role::Gamma), taken(Role::Beta));
    let (mean, variance) = (taken(Role::RunningMean), taken(Role::RunningVariance));
    let factors: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(gamma, variance)| f64::from(*gamma) / (f64::from(*variance) + f64::from(norm.epsilon)).sqrt())
        .collect();
    let weight_name = format!("{}.{}", layer.name, Role::Weight.suffix());
    let weight = weights.get_mut(&weight_name).unwrap_or_else(|| panic!("weights without {weight_name}"));
    let per_output = weight.values.len() / factors.len();
    for (values, factor) in weight.values.chunks_mut(per_output).zip(&factors) {
        for value in values {
            *value = (f64::from(*value) * factor) as f32;
        }
    }
    let bias_name = format!("{}.{}", layer.name, Role::Bias.suffix());
    let old_bias = weights.0.remove(&bias_name).map_or_else(|| vec![0.0; mean.len()], |bias| bias.values);
    let bias: Vec<f32> = (0..mean.len())
        .map(|channel| {
            let centred = f64::from(old_bias[channel]) - f64::from(mean[channel]);
            (f64::from(beta[channel]) + factors[channel] * centred) as f32
        })
        .collect();
    weights.insert(bias_name, Tensor::new(vec![bias.len()], bias));
    match &mut layer.op {
        Op::Convolution(convolution) => convolution.bias = true,
        Op::Linear(linear) => linear.bias = true,
        other => unreachable!("{} has no weight to fold into", other.name()),
    }
}
