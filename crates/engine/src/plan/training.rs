//! A network compiled for training: forward, keeping what the backward pass reads, and backward.

use net::{Network, Op, Role, Shape, Source};

use super::arena::{Arena, Layout, Value};
use super::node::{self, Kind};
use super::{Pixels, PlanError, forward_only};
use crate::buffer::Buffer;
use crate::gemm::Store;
use crate::gradients::Gradients;
use crate::kernels::convolution::{Method, Weights};
use crate::kernels::{Geometry, batch_norm, column, convolution, depthwise, dropout, pointwise, prelu};
use crate::parameters::{Entry, Parameters};
use crate::pool::Pool;
use crate::precision::Precision;

/// A network compiled for training with a fixed batch size.
#[derive(Debug)]
pub struct TrainingPlan {
    network: Network,
    batch: usize,
    precision: Precision,
    nodes: Vec<Planned>,
    image: Value,
    arena: Arena,
    /// The weights of one layer, rearranged for its product, and transforms of its activations.
    workspace: Buffer,
    partials: Buffer,
    dropout_seed: u64,
}

/// A node with the places of its values.
#[derive(Debug)]
struct Planned {
    sources: Vec<Value>,
    output: Value,
    geometry: Option<(Geometry, Kind)>,
    /// Mean and inverse deviation of a batch normalisation, then room for the map made of them.
    moments: Option<[Value; 2]>,
    /// Gradient of the output; `None` for a node that does not lead to the feature.
    d_output: Option<Value>,
    /// Gradients of the sources, but for those that need none or share `d_output`.
    d_sources: Vec<Option<(Value, Store)>>,
}

impl TrainingPlan {
    /// Compiles `network` for batches of `batch` images, with every product in f32.
    ///
    /// # Errors
    /// As [`TrainingPlan::with_precision`].
    ///
    /// # Panics
    /// As [`TrainingPlan::with_precision`].
    pub fn new(pool: &Pool, network: &Network, batch: usize) -> Result<TrainingPlan, PlanError> {
        TrainingPlan::with_precision(pool, network, batch, Precision::F32)
    }

    /// Compiles `network` for batches of `batch` images.
    ///
    /// The operands of the products of linear layers and of convolutions without groups are rounded to `precision`.
    /// Activations, weights, their gradients and everything else stay f32.
    ///
    /// # Errors
    /// When the engine cannot run one of its nodes.
    ///
    /// # Panics
    /// When the network does not pass [`Network::check`].
    pub fn with_precision(
        pool: &Pool,
        network: &Network,
        batch: usize,
        precision: Precision,
    ) -> Result<TrainingPlan, PlanError> {
        if batch == 0 {
            return Err(PlanError::EmptyBatch);
        }
        let shapes = network.shapes();
        let count = network.nodes.len();
        let mut layout = Layout::default();
        let image = layout.value(batch * network.image_shape().elements(), 0);
        let mut nodes: Vec<Planned> = Vec::with_capacity(count);
        for (index, node) in network.nodes.iter().enumerate() {
            if forward_only::is_forward_only(&node.op) {
                return Err(PlanError::Untrainable { node: node.name.clone(), op: node.op.name() });
            }
            let geometry = node::geometry(network, &shapes, index, batch);
            if let Some((geometry, Kind::Grouped(groups))) = geometry {
                let channels = geometry.source.channels;
                return Err(PlanError::Groups { node: node.name.clone(), groups, channels });
            }
            let sources: Vec<Value> =
                node.inputs.iter().map(|&source| value_of(source, image, &nodes)).collect();
            let output = layout.value(batch * shapes[index].elements(), index);
            let moments = match node.op {
                Op::BatchNorm(_) if batch * shapes[index].positions() < 2 => {
                    return Err(PlanError::BatchOfOne { node: node.name.clone(), batch });
                }
                Op::BatchNorm(_) => {
                    let pair = [(); 2].map(|()| layout.value(2 * shapes[index].channels, index));
                    pair.iter().for_each(|&value| layout.touch(value, backward_step(count, index)));
                    Some(pair)
                }
                _ => None,
            };
            // The backward pass of these reads their input again.
            let kept = !matches!(node.op, Op::Add | Op::Dropout(_));
            let last = if kept { backward_step(count, index) } else { index };
            sources.iter().for_each(|&source| layout.touch(source, last));
            nodes.push(Planned { sources, output, geometry, moments, d_output: None, d_sources: Vec::new() });
        }
        if let Some(last) = nodes.last() {
            layout.touch(last.output, count);
        }
        plan_gradients(network, &shapes, batch, &mut layout, &mut nodes);
        let workspace =
            nodes.iter().filter_map(|node| node.geometry).filter(|(_, kind)| *kind == Kind::Full).map(
                |(geometry, _)| {
                    let method = Method::of(pool, &geometry, Weights::Changing, precision);
                    (convolution::forward_weights_len(pool, method, &geometry)
                        + convolution::forward_workspace_len(pool, method, &geometry))
                    .max(convolution::input_gradient_workspace_len(pool, method, &geometry))
                    .max(convolution::weight_gradient_workspace_len(pool, method, &geometry))
                },
            );
        Ok(TrainingPlan {
            workspace: Buffer::zeros(workspace.max().unwrap_or(0)),
            partials: Buffer::zeros(node::partials_len(network, &shapes)),
            network: network.clone(),
            batch,
            precision,
            nodes,
            image,
            arena: layout.place(),
            dropout_seed: 0,
        })
    }

    /// The features of a batch, `[batch, dimension]`; running statistics follow the batch.
    ///
    /// # Panics
    /// When `pixels` is not one batch, or `parameters` belong to another network.
    pub fn forward(
        &mut self,
        pool: &Pool,
        parameters: &mut Parameters,
        pixels: Pixels<'_>,
        dropout_seed: u64,
    ) -> &[f32] {
        node::assert_same_network(&self.network, parameters);
        self.dropout_seed = dropout_seed;
        let image = self.arena.write(self.image);
        assert_eq!(pixels.bytes.len(), image.len(), "bytes of a batch of {} images", self.batch);
        pointwise::normalise(pool, pixels.bytes, pixels.mean, pixels.scale, image);
        for index in 0..self.nodes.len() {
            self.forward_node(pool, parameters, index);
        }
        self.features()
    }

    /// The features of the last forward pass, `[batch, dimension]`.
    #[must_use]
    pub fn features(&self) -> &[f32] {
        self.nodes.last().map_or(&[], |node| self.arena.read(node.output))
    }

    /// Images in a batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Bytes that the plan holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let floats = self.arena.len() + self.workspace.as_slice().len() + self.partials.as_slice().len();
        floats * size_of::<f32>()
    }

    fn forward_node(&mut self, pool: &Pool, parameters: &mut Parameters, index: usize) {
        let planned = &self.nodes[index];
        let source = planned.sources[0];
        let (entries, trained, statistics) = parameters.split();
        let required = |role| node::required(entries, trained, index, role);
        match &self.network.nodes[index].op {
            Op::Convolution(_) | Op::Linear(_) => {
                let Some((geometry, kind)) = planned.geometry else {
                    unreachable!("convolutions have a geometry")
                };
                let ([source], output) = self.arena.read_write([source], planned.output);
                let weights = required(Role::Weight);
                let bias = node::parameter(entries, trained, index, Role::Bias);
                match kind {
                    Kind::Full => {
                        let method = Method::of(pool, &geometry, Weights::Changing, self.precision);
                        let len = convolution::forward_weights_len(pool, method, &geometry);
                        let (panels, workspace) = self.workspace.as_mut_slice().split_at_mut(len);
                        convolution::rearrange_forward(pool, method, &geometry, weights, panels);
                        convolution::forward(
                            pool, method, &geometry, source, panels, bias, workspace, output,
                        );
                    }
                    Kind::Depthwise => depthwise::forward(pool, &geometry, source, weights, bias, output),
                    Kind::Grouped(_) => unreachable!("groups are refused when a plan is made"),
                }
            }
            Op::BatchNorm(settings) => {
                let Some([moments, map]) = planned.moments else { unreachable!("batch norms keep moments") };
                let ([input], kept) = self.arena.read_write([source], moments);
                let channels = kept.len() / 2;
                let (mean, inverse_deviation) = kept.split_at_mut(channels);
                let [running_mean, running_variance] = running(entries, statistics, index);
                batch_norm::moments(
                    pool,
                    input,
                    settings.epsilon,
                    self.partials.as_mut_slice(),
                    &mut batch_norm::Moments { mean, inverse_deviation },
                    &mut batch_norm::Running {
                        mean: running_mean,
                        variance: running_variance,
                        momentum: settings.momentum,
                    },
                );
                let ([kept], coefficients) = self.arena.read_write([moments], map);
                let (mean, inverse_deviation) = kept.split_at(channels);
                let (scale, shift) = coefficients.split_at_mut(channels);
                let (gamma, beta) = (required(Role::Gamma), required(Role::Beta));
                batch_norm::coefficients(gamma, beta, mean, inverse_deviation, scale, shift);
                let ([source, coefficients], output) = self.arena.read_write([source, map], planned.output);
                let (scale, shift) = coefficients.split_at(channels);
                batch_norm::affine(pool, source, scale, shift, output);
            }
            Op::PRelu(_) => {
                let ([source], output) = self.arena.read_write([source], planned.output);
                prelu::forward(pool, source, required(Role::Slope), output);
            }
            Op::Add => {
                let ([first, second], output) =
                    self.arena.read_write([source, planned.sources[1]], planned.output);
                pointwise::add(pool, first, second, output);
            }
            Op::Dropout(settings) => {
                let seed = node_seed(self.dropout_seed, index);
                let ([source], output) = self.arena.read_write([source], planned.output);
                dropout::apply(pool, settings.probability, seed, source, output, Store::Replace);
            }
            other => unreachable!("{} is refused when a plan is made", other.name()),
        }
    }

    /// Adds to `gradients` those of a loss whose gradient with respect to the last features is `d_features`.
    ///
    /// # Panics
    /// When a length does not fit, or `parameters` belong to another network.
    pub fn backward(
        &mut self,
        pool: &Pool,
        parameters: &Parameters,
        d_features: &[f32],
        gradients: &mut Gradients,
    ) {
        node::assert_same_network(&self.network, parameters);
        let Some(d_output) = self.nodes.last().and_then(|node| node.d_output) else { return };
        let target = self.arena.write(d_output);
        assert_eq!(d_features.len(), target.len(), "gradients of the features of a batch");
        target.copy_from_slice(d_features);
        for index in (0..self.nodes.len()).rev() {
            if let Some(d_output) = self.nodes[index].d_output {
                self.backward_node(pool, parameters, gradients, index, d_output);
            }
        }
    }

    fn backward_node(
        &mut self,
        pool: &Pool,
        parameters: &Parameters,
        gradients: &mut Gradients,
        index: usize,
        d_output: Value,
    ) {
        let planned = &self.nodes[index];
        let source = planned.sources[0];
        let d_source = planned.d_sources[0];
        let partials = self.partials.as_mut_slice();
        let entries = parameters.entries();
        let required = |role| node::required(entries, parameters.trained(), index, role);
        match &self.network.nodes[index].op {
            Op::Convolution(_) | Op::Linear(_) => {
                let Some((geometry, kind)) = planned.geometry else {
                    unreachable!("convolutions have a geometry")
                };
                let (input, d_target) = (self.arena.read(source), self.arena.read(d_output));
                if let Some(d_bias) = gradients.of(entries, index, Role::Bias) {
                    column::add_sums(pool, d_target, partials, d_bias);
                }
                if let Some(d_weights) = gradients.of(entries, index, Role::Weight) {
                    match kind {
                        Kind::Full => {
                            let method = Method::of(pool, &geometry, Weights::Changing, self.precision);
                            let workspace = self.workspace.as_mut_slice();
                            convolution::weight_gradient(
                                pool, method, &geometry, input, d_target, workspace, d_weights,
                            );
                        }
                        Kind::Depthwise => {
                            depthwise::weight_gradient(pool, &geometry, input, d_target, partials, d_weights);
                        }
                        Kind::Grouped(_) => unreachable!("groups are refused when a plan is made"),
                    }
                }
                let Some((d_source, store)) = d_source else { return };
                let ([d_target], d_source) = self.arena.read_write([d_output], d_source);
                let weights = required(Role::Weight);
                match kind {
                    Kind::Full => {
                        let workspace = self.workspace.as_mut_slice();
                        let method = Method::of(pool, &geometry, Weights::Changing, self.precision);
                        convolution::input_gradient(
                            pool, method, &geometry, d_target, weights, workspace, d_source, store,
                        );
                    }
                    Kind::Depthwise => {
                        depthwise::input_gradient(pool, &geometry, d_target, weights, d_source, store);
                    }
                    Kind::Grouped(_) => unreachable!("groups are refused when a plan is made"),
                }
            }
            Op::BatchNorm(_) => {
                let Some([moments, _]) = planned.moments else { unreachable!("batch norms keep moments") };
                let Some((d_source, store)) = d_source else { return };
                let ([source, kept, d_target], d_source) =
                    self.arena.read_write([source, moments, d_output], d_source);
                let (mean, inverse_deviation) = kept.split_at(kept.len() / 2);
                let saved =
                    batch_norm::Saved { source, gamma: required(Role::Gamma), mean, inverse_deviation };
                let [d_gamma, d_beta] = gradients.of_two(entries, index, [Role::Gamma, Role::Beta]);
                batch_norm::backward(pool, saved, d_target, d_source, store, partials, d_gamma, d_beta);
            }
            Op::PRelu(_) => {
                let Some((d_source, store)) = d_source else { return };
                let Some(d_slopes) = gradients.of(entries, index, Role::Slope) else { return };
                let ([source, d_target], d_source) = self.arena.read_write([source, d_output], d_source);
                let slopes = required(Role::Slope);
                prelu::backward(pool, source, slopes, d_target, d_source, store, partials, d_slopes);
            }
            Op::Add => {
                for (d_source, store) in planned.d_sources.iter().flatten() {
                    let ([d_target], d_source) = self.arena.read_write([d_output], *d_source);
                    match store {
                        Store::Replace => d_source.copy_from_slice(d_target),
                        Store::Add => pointwise::accumulate(pool, d_target, d_source),
                    }
                }
            }
            Op::Dropout(settings) => {
                let Some((d_source, store)) = d_source else { return };
                let seed = node_seed(self.dropout_seed, index);
                let ([d_target], d_source) = self.arena.read_write([d_output], d_source);
                dropout::apply(pool, settings.probability, seed, d_target, d_source, store);
            }
            other => unreachable!("{} is refused when a plan is made", other.name()),
        }
    }
}

fn value_of(source: Source, image: Value, nodes: &[Planned]) -> Value {
    match source {
        Source::Image => image,
        Source::Node(index) => nodes[index].output,
    }
}

/// The step at which a node runs backward; forward steps are the nodes' indices.
fn backward_step(count: usize, index: usize) -> usize {
    2 * count - index
}

fn node_seed(seed: u64, index: usize) -> u64 {
    seed ^ (index as u64).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

fn running<'a>(entries: &[Entry], statistics: &'a mut [f32], node: usize) -> [&'a mut [f32]; 2] {
    let range = |role| {
        let entry = entries.iter().find(|entry| entry.node == node && entry.role == role);
        entry.map(|entry| entry.range.clone())
    };
    match (range(Role::RunningMean), range(Role::RunningVariance)) {
        (Some(mean), Some(variance)) => match statistics.get_disjoint_mut([mean, variance]) {
            Ok(pair) => pair,
            Err(error) => panic!("running statistics of node {node}: {error}"),
        },
        _ => panic!("node {node} has no running statistics: the parameters belong to another network"),
    }
}

/// Decides where every gradient of an activation lies, from the last node to the first.
///
/// A sum hands its gradient to both summands unchanged. The earlier one takes over the memory; the other reads
/// the same memory where that is safe, and gets a copy where it is not: see [`may_share`].
fn plan_gradients(
    network: &Network,
    shapes: &[Shape],
    batch: usize,
    layout: &mut Layout,
    nodes: &mut [Planned],
) {
    let count = nodes.len();
    if let Some(last) = nodes.last_mut() {
        last.d_output = Some(layout.value(batch * shapes[count - 1].elements(), count));
    }
    for index in (0..count).rev() {
        let Some(d_output) = nodes[index].d_output else { continue };
        let step = backward_step(count, index);
        layout.touch(d_output, step);
        let inputs = &network.nodes[index].inputs;
        let mut d_sources = vec![None; inputs.len()];
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&input| match inputs[input] {
            Source::Image => 0,
            Source::Node(node) => node,
        });
        for (rank, &input) in order.iter().enumerate() {
            let Source::Node(source) = inputs[input] else { continue };
            let share = matches!(network.nodes[index].op, Op::Add)
                && nodes[source].d_output.is_none()
                && may_share(network, index, inputs, rank, source);
            if share {
                nodes[source].d_output = Some(d_output);
                continue;
            }
            d_sources[input] = Some(match nodes[source].d_output {
                Some(value) => {
                    layout.touch(value, step);
                    (value, Store::Add)
                }
                None => {
                    let value = layout.value(batch * shapes[source].elements(), step);
                    nodes[source].d_output = Some(value);
                    (value, Store::Replace)
                }
            });
        }
        nodes[index].d_sources = d_sources;
    }
}

/// Whether summand `source`, the `rank`-th by position of the sum `index`, may use the sum's gradient as its own.
///
/// The earlier summand owns that memory from then on: its other readers will add to it. The later one may only
/// read it, and must have done so before: each of those readers must come before it, and it may not be one of
/// them. Nor may it have other readers of its own, or be a sum, which would hand the memory on.
fn may_share(network: &Network, index: usize, inputs: &[Source], rank: usize, source: usize) -> bool {
    if inputs[0] == inputs[1] {
        return false;
    }
    let other = if inputs[0] == Source::Node(source) { inputs[1] } else { inputs[0] };
    let Source::Node(earlier) = other else { return true };
    if rank == 0 {
        return true;
    }
    let readers = |node: usize| {
        let reads = move |reader: &usize| network.nodes[*reader].inputs.contains(&Source::Node(node));
        (0..network.nodes.len()).filter(reads).filter(move |&reader| reader != index)
    };
    readers(earlier).all(|reader| reader < source)
        && readers(source).next().is_none()
        && !matches!(network.nodes[source].op, Op::Add)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        ]
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
                        let ((up, up_by), (down, down_by)) = (at(step * 100.0), at(-step * 100.0));
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
            for (actual, expected) in run(2, 2).iter().zip(&twice) {
                assert!((actual - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{actual}, {expected}");
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
}
