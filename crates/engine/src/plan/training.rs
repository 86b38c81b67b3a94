//! A network compiled for training: forward, keeping what the backward pass reads, and backward.

use std::time::Duration;

use net::{Network, Op, Role, Shape, Source};

use super::arena::{Arena, Layout, Value};
use super::fusion::{self, Followers};
use super::node::{self, Kind};
use super::times::{self, StepTime, timed};
use super::{Pixels, PlanError, forward_only};
use crate::buffer::Buffer;
use crate::gemm::Store;
use crate::gradients::Gradients;
use crate::kernels::convolution::{Method, Weights};
use crate::kernels::epilogue::{self, After, Epilogue};
use crate::kernels::{Geometry, batch_norm, column, convolution, depthwise, dropout, pointwise, prelu};
use crate::parameters::{Entry, Parameters};
use crate::pool::Pool;

/// A network compiled for training with a fixed batch size.
#[derive(Debug)]
pub struct TrainingPlan {
    network: Network,
    batch: usize,
    nodes: Vec<Planned>,
    image: Value,
    arena: Arena,
    /// The weights of one layer, rearranged for its product, and transforms of its activations.
    workspace: Buffer,
    partials: Buffer,
    dropout_seed: u64,
    /// Rows in a part of the moments in `partials`, when the last step took those of its output.
    measured: Option<usize>,
    times: Vec<StepTime>,
}

/// A node with the places of its values.
#[derive(Debug)]
struct Planned {
    sources: Vec<Value>,
    output: Value,
    geometry: Option<(Geometry, Kind)>,
    /// What this node's step does of the nodes after it: the forward pass of them all, and the backward pass of the
    /// rectifier.
    followers: Followers,
    /// Mean and inverse deviation of a batch normalisation, then room for the map made of them.
    moments: Option<[Value; 2]>,
    /// Coefficients of a normalisation's gradient that the convolution before it writes, for as many rows at a time as it
    /// reads.
    pending: Option<Value>,
    /// Gradient of the output, of a layer with a pending one that of the normalisation; `None` for a node that does not lead to the feature.
    d_output: Option<Value>,
    /// Gradients of the sources, but for those that need none or share `d_output`. One that is `d_output` itself is
    /// overwritten.
    d_sources: Vec<Option<(Value, Store)>>,
}

impl TrainingPlan {
    /// Compiles `network` for batches of `batch` images.
    ///
    /// # Errors
    /// When the engine cannot run one of its nodes.
    ///
    /// # Panics
    /// When the network does not pass [`Network::check`].
    pub fn new(pool: &Pool, network: &Network, batch: usize) -> Result<TrainingPlan, PlanError> {
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
            let mut sources: Vec<Value> =
                node.inputs.iter().map(|&source| value_of(source, image, &nodes)).collect();
            let leader = (index.saturating_sub(2)..index)
                .find(|&leader| nodes[leader].followers.nodes().any(|follower| follower == index));
            let followers = match node.op {
                Op::BatchNorm(_) | Op::PRelu(_) if leader.is_none() => Followers::of(network, index),
                _ => Followers::default(),
            };
            if let Some(sum) = followers.sum {
                sources.push(value_of(sum.other, image, &nodes));
            }
            let output = match leader {
                Some(leader) => nodes[leader].output,
                None => layout.value(batch * shapes[index].elements(), index),
            };
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
            // The backward pass of most reads their first input again.
            let kept = leader.is_none() && !matches!(node.op, Op::Add | Op::Dropout(_));
            for (place, &source) in sources.iter().enumerate() {
                let last = if kept && place == 0 { backward_step(count, index) } else { index };
                layout.touch(source, last);
            }
            let (pending, d_output, d_sources) = (None, None, Vec::new());
            nodes.push(Planned {
                sources,
                output,
                geometry,
                followers,
                moments,
                pending,
                d_output,
                d_sources,
            });
        }
        if let Some(last) = nodes.last() {
            layout.touch(last.output, count);
        }
        plan_gradients(pool, network, &shapes, batch, &mut layout, &mut nodes);
        let workspace =
            nodes.iter().filter_map(|node| node.geometry).filter(|(_, kind)| *kind == Kind::Full).map(
                |(geometry, _)| {
                    let method = Method::of(pool, &geometry, Weights::Changing);
                    (convolution::forward_weights_len(pool, method, &geometry)
                        + convolution::forward_workspace_len(pool, method, &geometry))
                    .max(convolution::gradients_workspace_len(pool, method, &geometry))
                },
            );
        let times = (0..count).map(|index| step_time(network, &shapes, &nodes, batch, index)).collect();
        Ok(TrainingPlan {
            times,
            workspace: Buffer::zeros(workspace.max().unwrap_or(0)),
            partials: Buffer::zeros(node::partials_len(network, &shapes)),
            network: network.clone(),
            batch,
            nodes,
            image,
            arena: layout.place(),
            dropout_seed: 0,
            measured: None,
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
        let mut done = 0;
        for index in 0..self.nodes.len() {
            if index < done {
                continue;
            }
            done = index + 1 + self.nodes[index].followers.nodes().count();
            let mut time = Duration::ZERO;
            timed(&mut time, || self.forward_node(pool, parameters, index));
            self.times[index].forward = time;
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
                let epilogue = Epilogue::bias(node::parameter(entries, trained, index, Role::Bias));
                let moments =
                    fusion::is_normalised(&self.network, index).then_some(self.partials.as_mut_slice());
                self.measured = match kind {
                    Kind::Full => {
                        let method = Method::of(pool, &geometry, Weights::Changing);
                        let len = convolution::forward_weights_len(pool, method, &geometry);
                        let (panels, workspace) = self.workspace.as_mut_slice().split_at_mut(len);
                        convolution::rearrange_forward(pool, method, &geometry, weights, panels);
                        convolution::forward(
                            pool, method, &geometry, source, panels, epilogue, moments, workspace, output,
                        )
                    }
                    Kind::Depthwise => {
                        depthwise::forward(pool, &geometry, source, weights, epilogue, moments, output)
                    }
                    Kind::Grouped(_) => unreachable!("groups are refused when a plan is made"),
                };
            }
            Op::BatchNorm(settings) => {
                let Some([moments, map]) = planned.moments else { unreachable!("batch norms keep moments") };
                let ([input], kept) = self.arena.read_write([source], moments);
                let channels = kept.len() / 2;
                let (mean, inverse_deviation) = kept.split_at_mut(channels);
                let [running_mean, running_variance] = running(entries, statistics, index);
                let partials = self.partials.as_mut_slice();
                let measured = self.measured.take();
                let rows_in_part =
                    measured.unwrap_or_else(|| batch_norm::measure(pool, input, channels, partials));
                batch_norm::merge(
                    partials,
                    input.len() / channels,
                    rows_in_part,
                    settings.epsilon,
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
                let other = planned.sources[planned.sources.len() - 1];
                let ([source, other, coefficients], output) =
                    self.arena.read_write([source, other, map], planned.output);
                let (scale, shift) = coefficients.split_at(channels);
                let slopes = planned.followers.rectifier;
                let slopes = slopes.map(|node| node::required(entries, trained, node, Role::Slope));
                let residual = planned.followers.sum.map(|_| other);
                let after = After { slopes, residual };
                epilogue::map(pool, source, channels, Some([scale, shift]), after, output);
            }
            Op::PRelu(_) => {
                let other = planned.sources[planned.sources.len() - 1];
                let ([source, other], output) = self.arena.read_write([source, other], planned.output);
                let slopes = required(Role::Slope);
                let residual = planned.followers.sum.map(|_| other);
                let after = After { slopes: Some(slopes), residual };
                epilogue::map(pool, source, slopes.len(), None, after, output);
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
            let followed = index.checked_sub(1).and_then(|leader| self.nodes[leader].followers.rectifier);
            if let Some(d_output) = self.nodes[index].d_output
                && followed != Some(index)
            {
                let mut time = Duration::ZERO;
                timed(&mut time, || self.backward_node(pool, parameters, gradients, index, d_output));
                self.times[index].backward = time;
            }
        }
    }

    /// The steps of the plan with the times of the last passes.
    #[must_use]
    pub fn times(&self) -> &[StepTime] {
        &self.times
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
                if let Some(d_bias) = gradients.of(entries, index, Role::Bias) {
                    column::add_sums(pool, self.arena.read(d_output), partials, d_bias);
                }
                let [d_weights] = gradients.of_several(entries, [(index, Role::Weight)]);
                let next = self.nodes.get(index + 1).filter(|next| next.pending.is_some());
                // Without a pending gradient the one that is there stands in for what it needs.
                let needs = match next {
                    Some(Planned { pending: Some(pending), moments: Some([_, map]), .. }) => {
                        [planned.output, *pending, *map]
                    }
                    _ => [d_output; 3],
                };
                let read = [source, d_output, needs[0], needs[1], needs[2]];
                let ([input, d_target, output, coefficients, map], d_source) = match d_source {
                    Some((d_source, store)) => {
                        let (values, d_source) = self.arena.read_write(read, d_source);
                        (values, Some((d_source, store)))
                    }
                    None => (read.map(|value| self.arena.read(value)), None),
                };
                let pending = next.map(|next| {
                    let rectified = next.followers.rectifier.map(|node| {
                        let (scale, shift) = map.split_at(map.len() / 2);
                        let slopes = node::required(entries, parameters.trained(), node, Role::Slope);
                        batch_norm::Rectified { scale, shift, slopes }
                    });
                    batch_norm::Pending::new(output, rectified, coefficients)
                });
                let weights = required(Role::Weight);
                match kind {
                    Kind::Full => {
                        let method = Method::of(pool, &geometry, Weights::Changing);
                        let workspace = self.workspace.as_mut_slice();
                        convolution::gradients(
                            pool, method, &geometry, input, d_target, pending, weights, workspace, d_weights,
                            d_source,
                        );
                    }
                    Kind::Depthwise => {
                        depthwise::weight_gradient(pool, &geometry, input, d_target, partials, d_weights);
                        if let Some((d_source, store)) = d_source {
                            depthwise::input_gradient(pool, &geometry, d_target, weights, d_source, store);
                        }
                    }
                    Kind::Grouped(_) => unreachable!("groups are refused when a plan is made"),
                }
            }
            Op::BatchNorm(_) => {
                let Some([moments, map]) = planned.moments else { unreachable!("batch norms keep moments") };
                let (goal, store) = match (planned.pending, d_source) {
                    (Some(pending), _) => (pending, Store::Replace),
                    (None, Some(d_source)) => d_source,
                    (None, None) => return,
                };
                let ([Some(source), Some(kept), Some(coefficients), d_target], goal) =
                    self.arena.read_others_write([source, moments, map, d_output], goal)
                else {
                    unreachable!("only the gradient is overwritten")
                };
                let (mean, inverse_deviation) = kept.split_at(kept.len() / 2);
                let (scale, shift) = coefficients.split_at(mean.len());
                let rectifier = planned.followers.rectifier;
                let rectified = rectifier.map(|node| {
                    let slopes = node::required(entries, parameters.trained(), node, Role::Slope);
                    batch_norm::Rectified { scale, shift, slopes }
                });
                let gamma = required(Role::Gamma);
                let saved = batch_norm::Saved { source, gamma, mean, inverse_deviation, rectified };
                let norm = [(index, Role::Gamma), (index, Role::Beta)];
                let into = match rectifier {
                    None => {
                        let [d_gamma, d_beta] = gradients.of_several(entries, norm);
                        batch_norm::ParameterGradients { d_gamma, d_beta, d_slopes: None }
                    }
                    Some(node) => {
                        let all = [norm[0], norm[1], (node, Role::Slope)];
                        let [d_gamma, d_beta, d_slopes] = gradients.of_several(entries, all);
                        batch_norm::ParameterGradients { d_gamma, d_beta, d_slopes: Some(d_slopes) }
                    }
                };
                match (planned.pending, d_target) {
                    (Some(_), Some(d_target)) => {
                        batch_norm::reduce(pool, saved, d_target, partials, into, goal);
                    }
                    _ => batch_norm::backward(pool, saved, d_target, goal, store, partials, into),
                }
            }
            Op::PRelu(_) => {
                let Some((d_source, store)) = d_source else { return };
                let Some(d_slopes) = gradients.of(entries, index, Role::Slope) else { return };
                let ([Some(source), d_target], d_source) =
                    self.arena.read_others_write([source, d_output], d_source)
                else {
                    unreachable!("only the gradient is overwritten")
                };
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

fn step_time(network: &Network, shapes: &[Shape], nodes: &[Planned], batch: usize, index: usize) -> StepTime {
    let node = &network.nodes[index];
    let (mut kind, multiply_adds) = match nodes[index].geometry {
        Some((geometry, kind)) => times::convolution(&geometry, kind),
        None => (node.op.name().to_owned(), 0),
    };
    let inputs = node.inputs.iter().map(|&source| network.shape_of(source, shapes).elements());
    let mut floats = batch * (inputs.sum::<usize>() + shapes[index].elements());
    for follower in nodes[index].followers.nodes() {
        kind.push_str(" + ");
        kind.push_str(network.nodes[follower].op.name());
    }
    if nodes[index].followers.sum.is_some() {
        floats += batch * shapes[index].elements();
    }
    StepTime::new(&node.name, kind, multiply_adds, floats)
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
/// the same memory where that is safe, and gets a copy where it is not: see [`may_share`]. Normalisations and rectifiers
/// overwrite the gradient that comes in with the one that goes out, unless summands share it.
fn plan_gradients(
    pool: &Pool,
    network: &Network,
    shapes: &[Shape],
    batch: usize,
    layout: &mut Layout,
    nodes: &mut [Planned],
) {
    let count = nodes.len();
    // Gradients that two summands read, which neither may overwrite.
    let mut shared: Vec<Value> = Vec::new();
    if let Some(last) = nodes.last_mut() {
        last.d_output = Some(layout.value(batch * shapes[count - 1].elements(), count));
    }
    for index in (0..count).rev() {
        let Some(d_output) = nodes[index].d_output else { continue };
        let step = backward_step(count, index);
        layout.touch(d_output, step);
        if let Some(leader) =
            index.checked_sub(1).filter(|&node| nodes[node].followers.rectifier == Some(index))
        {
            nodes[leader].d_output = Some(d_output);
            continue;
        }
        let inputs = &network.nodes[index].inputs;
        if let Some(layer) = takes_pending(pool, network, nodes, index) {
            let pending = layout.value(3 * shapes[index].channels, step);
            let kept = [pending, nodes[layer].output];
            let after = backward_step(count, layer);
            kept.into_iter()
                .chain(nodes[index].moments.into_iter().flatten())
                .for_each(|value| layout.touch(value, after));
            nodes[index].pending = Some(pending);
            nodes[index].d_sources = vec![None];
            nodes[layer].d_output = Some(d_output);
            continue;
        }
        let may_overwrite =
            matches!(network.nodes[index].op, Op::BatchNorm(_) | Op::PRelu(_)) && !shared.contains(&d_output);
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
                shared.push(d_output);
                continue;
            }
            d_sources[input] = Some(match nodes[source].d_output {
                Some(value) => {
                    layout.touch(value, step);
                    (value, Store::Add)
                }
                None if may_overwrite => {
                    nodes[source].d_output = Some(d_output);
                    (d_output, Store::Replace)
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

/// The layer that is to write the gradient of the normalisation `index`, its only reader, as it reads it: one whose two
/// gradients come from one walk over the rows, and which does not add to the very gradient that it reads.
fn takes_pending(pool: &Pool, network: &Network, nodes: &[Planned], index: usize) -> Option<usize> {
    let layer = index.checked_sub(1).filter(|&layer| fusion::only_reader(network, layer) == Some(index))?;
    let (Op::BatchNorm(_), Op::Convolution(settings)) = (&network.nodes[index].op, &network.nodes[layer].op)
    else {
        return None;
    };
    let (geometry, kind) = nodes[layer].geometry?;
    let method = Method::of(pool, &geometry, Weights::Changing);
    let taken = kind == Kind::Full && !settings.bias && convolution::takes_pending(pool, method, &geometry);
    let reads_own = match network.nodes[layer].inputs[0] {
        Source::Node(source) => nodes[source].d_output == nodes[index].d_output,
        Source::Image => false,
    };
    (taken && !reads_own).then_some(layer)
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
            chains(),
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
