//! A network compiled for training: forward, keeping what the backward pass reads, and backward.

mod activation_gradients;
mod storage;

use std::time::Duration;

use net::{Network, Op, Role, Shape, Source};

use super::arena::{Arena, Layout, Value};
use super::fusion::{self, Followers};
use super::node::{self, Expected, Kind};
use super::times::{self, StepTime, timed};
use super::{Pixels, PlanError, forward_only};
use crate::buffer::Buffer;
use crate::gemm::Store;
use crate::gradients::Gradients;
use crate::kernels::activations::{Activations, Before, OutputGradient};
use crate::kernels::convolution::{Method, Weights};
use crate::kernels::epilogue::{self, After, Epilogue};
use crate::kernels::stored;
use crate::kernels::{Geometry, batch_norm, column, convolution, depthwise, dropout, pointwise, prelu};
use crate::parameters::{Entry, Parameters};
use crate::pool::Pool;
use crate::precision::Precision;
use storage::Storage;

/// A network compiled for training with a fixed batch size.
#[derive(Debug)]
pub struct TrainingPlan {
    network: Network,
    expected: Expected,
    batch: usize,
    precision: Precision,
    nodes: Vec<Planned>,
    image: Value,
    arena: Arena,
    /// The weights of one layer, rearranged for its product, and transforms of its activations.
    workspace: Buffer,
    partials: Buffer,
    dropout_seed: u64,
    /// Parts of the moments in `partials`, when the last step took those of its output.
    measured: Option<batch_norm::Parts>,
    /// Parts of the sums in `partials` that the last step took for the normalisation before it.
    summed: Option<usize>,
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
    /// The convolution that applies this normalisation and its rectifier as it reads, so that the output is its input.
    left_to: Option<usize>,
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
    /// The operands of the products of linear layers and of convolutions without groups are rounded to `precision`, if the
    /// instruction set multiplies it ([`Precision::of_products`]). So are
    /// large activations and their gradients in memory where all that read them can: around normalisations, rectifiers and
    /// convolutions, but for those that a convolution of 3 x 3 with a stride reads without AMX. Weights, their gradients,
    /// sums, statistics and everything else stay f32.
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
        let products = precision.of_products(pool.isa());
        TrainingPlan::with_storage(pool, network, batch, products, (precision, storage::LARGE))
    }

    /// As [`TrainingPlan::with_precision`], with products in `precision` and values of `least` numbers in `stored`.
    fn with_storage(
        pool: &Pool,
        network: &Network,
        batch: usize,
        precision: Precision,
        (stored, least): (Precision, usize),
    ) -> Result<TrainingPlan, PlanError> {
        if batch == 0 {
            return Err(PlanError::EmptyBatch);
        }
        let shapes = network.shapes();
        let count = network.nodes.len();
        let storage = Storage::of((pool, precision), stored, network, &shapes, (batch, least));
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
            let left_to = left_to((pool, precision), network, &shapes, batch, (index, followers));
            let output = match leader {
                Some(leader) => nodes[leader].output,
                None if left_to.is_some() => sources[0],
                None => layout.value_in(storage.outputs[index], batch * shapes[index].elements(), index),
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
                left_to,
                pending,
                d_output,
                d_sources,
            });
        }
        if let Some(last) = nodes.last() {
            layout.touch(last.output, count);
        }
        let values = (&mut layout, &storage.gradients[..]);
        activation_gradients::plan((pool, precision), network, &shapes, batch, values, &mut nodes);
        let workspace =
            nodes.iter().filter_map(|node| node.geometry).filter(|(_, kind)| *kind == Kind::Full).map(
                |(geometry, _)| {
                    let method = Method::of(pool, &geometry, Weights::Changing, precision);
                    (convolution::forward_weights_len(pool, method, &geometry)
                        + convolution::forward_workspace_len(pool, method, &geometry))
                    .max(convolution::gradients_workspace_len(pool, method, &geometry))
                },
            );
        let times = (0..count).map(|index| step_time(network, &layout, &nodes, index)).collect();
        Ok(TrainingPlan {
            times,
            workspace: Buffer::zeros(workspace.max().unwrap_or(0)),
            partials: Buffer::zeros(node::partials_len(network, &shapes)),
            network: network.clone(),
            expected: Expected::of(network),
            batch,
            precision,
            nodes,
            image,
            arena: layout.place().allocate(),
            dropout_seed: 0,
            measured: None,
            summed: None,
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
        self.expected.check(&self.network.name, parameters);
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
                let norm = norm_before(&self.nodes, index);
                let [moments, map] = norm.map_or([source; 2], |norm| norm.kept);
                let ([source, moments, map], output) =
                    self.arena.stored_read_write([source, moments, map], planned.output);
                let before = norm.map(|norm| {
                    let slopes = node::required(entries, trained, norm.rectifier, Role::Slope);
                    before(moments.floats(), map.floats(), slopes)
                });
                let source = Activations { values: source, before };
                let weights = required(Role::Weight);
                let epilogue = Epilogue::bias(node::parameter(entries, trained, index, Role::Bias));
                let moments =
                    fusion::is_normalised(&self.network, index).then_some(self.partials.as_mut_slice());
                self.measured = match kind {
                    Kind::Full => {
                        let method = Method::of(pool, &geometry, Weights::Changing, self.precision);
                        let len = convolution::forward_weights_len(pool, method, &geometry);
                        let (panels, workspace) = self.workspace.as_mut_slice().split_at_mut(len);
                        let weights =
                            convolution::rearrange_forward(pool, method, &geometry, weights, panels);
                        convolution::forward(
                            pool, method, &geometry, source, weights, epilogue, moments, workspace, output,
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
                let ([input], kept) = self.arena.stored_read_write([source], moments);
                let kept = kept.floats();
                let channels = kept.len() / 2;
                let (mean, inverse_deviation) = kept.split_at_mut(channels);
                let [running_mean, running_variance] = running(entries, statistics, index);
                let partials = self.partials.as_mut_slice();
                let measured = self.measured.take();
                let parts = measured.unwrap_or_else(|| batch_norm::measure(pool, input, channels, partials));
                batch_norm::merge(
                    partials,
                    &parts,
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
                if planned.left_to.is_some() {
                    return;
                }
                let other = planned.sources[planned.sources.len() - 1];
                let ([source, other, coefficients], output) =
                    self.arena.stored_read_write([source, other, map], planned.output);
                let (scale, shift) = coefficients.floats().split_at(channels);
                let slopes = planned.followers.rectifier;
                let slopes = slopes.map(|node| node::required(entries, trained, node, Role::Slope));
                let residual = planned.followers.sum.map(|_| other);
                let after = After { slopes, residual };
                epilogue::map(pool, source, channels, Some([scale, shift]), after, output);
            }
            Op::PRelu(_) => {
                let other = planned.sources[planned.sources.len() - 1];
                let ([source, other], output) = self.arena.stored_read_write([source, other], planned.output);
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
        self.expected.check(&self.network.name, parameters);
        let Some(d_output) = self.nodes.last().and_then(|node| node.d_output) else {
            return gradients.settle();
        };
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
        gradients.settle();
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
                    column::add_sums(pool, self.arena.stored(d_output), partials, d_bias);
                }
                let (d_weights, store) = gradients.of_weights(entries, index);
                let next = self.nodes.get(index + 1).filter(|next| next.pending.is_some());
                // Without a pending gradient the one that is there stands in for what it needs.
                let needs = match next {
                    Some(Planned { pending: Some(pending), moments: Some([_, map]), .. }) => {
                        [planned.output, *pending, *map]
                    }
                    _ => [d_output; 3],
                };
                let norm = norm_before(&self.nodes, index);
                let kept = norm.map_or([source; 2], |norm| norm.kept);
                let read = [source, d_output, needs[0], needs[1], needs[2], kept[0], kept[1]];
                let ([input, d_target, output, coefficients, map, moments, map_before], d_source) =
                    match d_source {
                        Some((d_source, store)) => {
                            let (values, d_source) = self.arena.stored_read_write(read, d_source);
                            (values, Some((d_source, store)))
                        }
                        None => (read.map(|value| self.arena.stored(value)), None),
                    };
                let before = norm.map(|norm| {
                    let slopes = node::required(entries, parameters.trained(), norm.rectifier, Role::Slope);
                    before(moments.floats(), map_before.floats(), slopes)
                });
                let input = Activations { values: input, before };
                let pending = next.map(|next| {
                    let rectified = next.followers.rectifier.map(|node| {
                        let slopes = node::required(entries, parameters.trained(), node, Role::Slope);
                        rectified(map.floats(), slopes)
                    });
                    batch_norm::Pending::new(output, rectified, coefficients.floats())
                });
                let d_target = OutputGradient { values: d_target, pending };
                let weights = required(Role::Weight);
                self.summed = match kind {
                    Kind::Full => {
                        let method = Method::of(pool, &geometry, Weights::Changing, self.precision);
                        let workspace = self.workspace.as_mut_slice();
                        convolution::gradients(
                            pool,
                            method,
                            &geometry,
                            input,
                            d_target,
                            weights,
                            workspace,
                            partials,
                            (d_weights, store),
                            d_source,
                        )
                    }
                    Kind::Depthwise => {
                        if store == Store::Replace {
                            d_weights.fill(0.0);
                        }
                        depthwise::gradients(
                            pool, &geometry, input, d_target, weights, partials, d_weights, d_source,
                        )
                    }
                    Kind::Grouped(_) => unreachable!("groups are refused when a plan is made"),
                };
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
                let (kept, coefficients) = (kept.floats(), coefficients.floats());
                let (mean, inverse_deviation) = kept.split_at(kept.len() / 2);
                let rectifier = planned.followers.rectifier;
                let rectified = rectifier.map(|node| {
                    rectified(coefficients, node::required(entries, parameters.trained(), node, Role::Slope))
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
                let summed = self.summed.take();
                match (planned.pending, d_target) {
                    (Some(_), Some(d_target)) => {
                        batch_norm::reduce(pool, saved, d_target, summed, partials, into, goal.floats());
                    }
                    _ => batch_norm::backward(pool, saved, d_target, goal, store, summed, partials, into),
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
                    let ([d_target], d_source) = self.arena.stored_read_write([d_output], *d_source);
                    stored::copy_all(pool, d_target, d_source, *store);
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

fn step_time(network: &Network, layout: &Layout, nodes: &[Planned], index: usize) -> StepTime {
    let (node, planned) = (&network.nodes[index], &nodes[index]);
    let (mut kind, multiply_adds) = match planned.geometry {
        Some((geometry, kind)) => times::convolution(&geometry, kind),
        None => (node.op.name().to_owned(), 0),
    };
    for follower in planned.followers.nodes() {
        kind.push_str(" + ");
        kind.push_str(network.nodes[follower].op.name());
    }
    // A normalisation that is left to its reader touches nothing, and a follower is done by another step.
    let is_idle =
        planned.left_to.is_some() || nodes[..index].iter().any(|leader| leader.output == planned.output);
    let touched = planned.sources.iter().chain([&planned.output]).map(|&value| layout.bytes(value));
    StepTime::new(&node.name, kind, multiply_adds, if is_idle { 0 } else { touched.sum() })
}

/// The convolution to which the normalisation `index` is left with its rectifier: their only reader, if it can apply them
/// while it reads nearly every activation once.
fn left_to(
    (pool, precision): (&Pool, Precision),
    network: &Network,
    shapes: &[Shape],
    batch: usize,
    (index, followers): (usize, Followers),
) -> Option<usize> {
    let Followers { rectifier: Some(rectifier), sum: None } = followers else { return None };
    if !matches!(network.nodes[index].op, Op::BatchNorm(_)) {
        return None;
    }
    let reader = fusion::only_reader(network, rectifier)?;
    let takes = match node::geometry(network, shapes, reader, batch)? {
        (_, Kind::Depthwise) => fusion::is_normalised(network, reader),
        (geometry, Kind::Full) => {
            let method = Method::of(pool, &geometry, Weights::Changing, precision);
            convolution::is_dense(pool, method, &geometry)
        }
        (_, Kind::Grouped(_)) => false,
    };
    takes.then_some(reader)
}

/// A normalisation that is left to the convolution after it.
#[derive(Clone, Copy)]
struct NormBefore {
    /// Moments and map.
    kept: [Value; 2],
    rectifier: usize,
}

/// The normalisation that is left to node `index`.
fn norm_before(nodes: &[Planned], index: usize) -> Option<NormBefore> {
    let norm = nodes.get(index.checked_sub(2)?).filter(|norm| norm.left_to == Some(index))?;
    Some(NormBefore { kept: norm.moments?, rectifier: norm.followers.rectifier? })
}

/// As the kernels take it.
fn before<'a>(moments: &'a [f32], map: &'a [f32], slopes: &'a [f32]) -> Before<'a> {
    let (mean, _) = moments.split_at(slopes.len());
    Before { mean, rectified: rectified(map, slopes) }
}

/// The rectifier after a normalisation by its map.
fn rectified<'a>(map: &'a [f32], slopes: &'a [f32]) -> batch_norm::Rectified<'a> {
    let (scale, shift) = map.split_at(slopes.len());
    batch_norm::Rectified { scale, shift, slopes }
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

#[cfg(test)]
mod tests;
