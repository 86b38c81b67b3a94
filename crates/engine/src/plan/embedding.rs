//! A network compiled for embedding: forward only, with batch normalisation folded into the layer before it and
//! weights rearranged once.

use net::{Network, Op, Role, Shape, Source, Weights, WeightsError, fold_batch_norm};

use super::arena::{Arena, Layout, Value};
use super::fusion::Followers;
use super::node::{self, Kind};
use super::times::{self, StepTime, timed};
use super::{Pixels, PlanError, forward_only};
use crate::buffer::Buffer;
use crate::kernels::convolution::Method;
use crate::kernels::epilogue::{self, After, Epilogue};
use crate::kernels::{Geometry, batch_norm, convolution, depthwise, pointwise};
use crate::parameters::Parameters;
use crate::pool::Pool;
use crate::precision::Precision;

/// A network and its weights compiled for embedding up to a number of images at a time.
#[derive(Debug)]
pub struct EmbeddingPlan {
    batch: usize,
    dimension: usize,
    image: Value,
    steps: Vec<Step>,
    arena: Arena,
    /// Transforms of one layer's activations.
    workspace: Buffer,
    times: Vec<StepTime>,
}

/// One operation with everything that it reads but activations, and what is done to its output on the way.
#[derive(Debug)]
struct Step {
    sources: Vec<Value>,
    output: Value,
    operation: Operation,
    /// Of the rectifier that follows.
    slopes: Option<Vec<f32>>,
    /// What is added in the end.
    residual: Option<Value>,
}

#[derive(Debug)]
enum Operation {
    Full {
        geometry: Geometry,
        method: Method,
        panels: Buffer,
        bias: Option<Vec<f32>>,
    },
    Depthwise {
        geometry: Geometry,
        weights: Vec<f32>,
        bias: Option<Vec<f32>>,
    },
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    /// A rectifier, or a sum, that follows nothing that could do it on the way.
    Rest {
        channels: usize,
    },
    /// Dropout outside training.
    Copy,
    ForwardOnly(forward_only::Operation),
}

/// Why a network and its weights cannot be compiled for embedding.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingPlanError {
    /// The engine cannot run a node.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The weights are not the network's.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Most bytes of all activations of a network that is applied: an embedding of 112x112 takes some 10 MB an image, a
/// detector at 1280x960 some 300. A network of strangers may ask for more than a machine has.
pub(super) const ACTIVATION_BYTES_AT_MOST: usize = 4 << 30;

/// Most weights of a convolution in groups, which is computed as a full one with zeros between groups.
const GROUPED_WEIGHTS_AT_MOST: usize = 1 << 27;

fn check_groups(network: &Network, shapes: &[Shape], index: usize) -> Result<(), PlanError> {
    let node = &network.nodes[index];
    let Op::Convolution(convolution) = &node.op else { return Ok(()) };
    let channels = network.shape_of(node.inputs[0], shapes).channels;
    let taps = convolution.kernel[0] * convolution.kernel[1];
    let weights = taps.saturating_mul(channels).saturating_mul(convolution.out_channels);
    if convolution.groups == 1 || convolution.groups == channels || weights <= GROUPED_WEIGHTS_AT_MOST {
        return Ok(());
    }
    Err(PlanError::GroupedWeights { node: node.name.clone(), weights })
}

impl EmbeddingPlan {
    /// Compiles `network` with `weights` for up to `batch` images at a time, with every product in f32.
    ///
    /// # Errors
    /// As [`EmbeddingPlan::with_precision`].
    ///
    /// # Panics
    /// As [`EmbeddingPlan::with_precision`].
    pub fn new(
        pool: &Pool,
        network: &Network,
        weights: &Weights,
        batch: usize,
    ) -> Result<EmbeddingPlan, EmbeddingPlanError> {
        EmbeddingPlan::with_precision(pool, network, weights, batch, Precision::F32)
    }

    /// Compiles `network` with `weights` for up to `batch` images at a time, the operands of the products of linear
    /// layers and full convolutions rounded to `precision`.
    ///
    /// # Errors
    /// When the engine cannot run a node, or the weights are not the network's.
    ///
    /// # Panics
    /// When the network does not pass [`Network::check`].
    pub fn with_precision(
        pool: &Pool,
        network: &Network,
        weights: &Weights,
        batch: usize,
        precision: Precision,
    ) -> Result<EmbeddingPlan, EmbeddingPlanError> {
        if batch == 0 {
            return Err(PlanError::EmptyBatch.into());
        }
        Parameters::from_weights(network, weights)?;
        let (folded, weights) = fold_batch_norm(network, weights);
        let network = &folded;
        let parameters = Parameters::from_weights(network, &weights)?;
        let shapes = network.shapes();
        let mut layout = Layout::default();
        let image = layout.value(batch * network.image_shape().elements(), 0);
        let mut steps: Vec<Step> = Vec::with_capacity(network.nodes.len());
        let mut times: Vec<StepTime> = Vec::with_capacity(network.nodes.len());
        // Where the output of each node lies; nodes that follow in a step have its output.
        let mut outputs: Vec<Value> = Vec::with_capacity(network.nodes.len());
        let mut done = 0;
        for (index, node) in network.nodes.iter().enumerate() {
            if index < done {
                continue;
            }
            check_groups(network, &shapes, index)?;
            let value = |source: &Source| match source {
                Source::Image => image,
                Source::Node(node) => outputs[*node],
            };
            let mut sources: Vec<Value> = node.inputs.iter().map(value).collect();
            let operation = operation(pool, network, &shapes, &parameters, index, (batch, precision));
            let followers = match (&operation, &node.op) {
                (Operation::ForwardOnly(_), _) | (_, Op::Add | Op::Dropout(_)) => Followers::default(),
                _ => Followers::of(network, index),
            };
            let mut residual = followers.sum.map(|sum| value(&sum.other));
            if matches!(node.op, Op::Add) {
                residual = sources.pop();
            }
            let rectifier = if matches!(node.op, Op::PRelu(_)) { Some(index) } else { followers.rectifier };
            let slopes = rectifier.map(|node| {
                node::required(parameters.entries(), parameters.trained(), node, Role::Slope).to_vec()
            });
            sources.iter().chain(&residual).for_each(|&source| layout.touch(source, index));
            let output = layout.value(batch * shapes[index].elements(), index);
            done = index + 1 + followers.nodes().count();
            outputs.extend((index..done).map(|_| output));
            times.push(step_time(network, &shapes, batch, index, &followers));
            steps.push(Step { sources, output, operation, slopes, residual });
        }
        if let Some(last) = steps.last() {
            layout.touch(last.output, network.nodes.len());
        }
        let places = layout.place();
        let bytes = places.len().saturating_mul(size_of::<f32>());
        if bytes > ACTIVATION_BYTES_AT_MOST {
            return Err(PlanError::Activations { bytes, batch }.into());
        }
        let dimension = network.feature_dimension();
        let workspace = steps.iter().map(|step| match &step.operation {
            Operation::Full { geometry, method, .. } => {
                convolution::forward_workspace_len(pool, *method, geometry)
            }
            _ => 0,
        });
        let workspace = Buffer::zeros(workspace.max().unwrap_or(0));
        Ok(EmbeddingPlan { batch, dimension, image, steps, arena: places.allocate(), workspace, times })
    }

    /// The most images that [`EmbeddingPlan::forward`] takes.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Length of a feature.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The features of some images, `[images, dimension]`, not normalised.
    ///
    /// # Panics
    /// When `pixels` is not a whole number of images, or more than the plan's batch.
    pub fn forward(&mut self, pool: &Pool, pixels: Pixels<'_>) -> &[f32] {
        let image = self.arena.write(self.image);
        let each = image.len() / self.batch;
        assert_eq!(pixels.bytes.len() % each, 0, "whole images of {each} bytes");
        let images = pixels.bytes.len() / each;
        assert!(images <= self.batch, "{images} images in a plan for {}", self.batch);
        pointwise::normalise(pool, pixels.bytes, pixels.mean, pixels.scale, &mut image[..pixels.bytes.len()]);
        for (step, time) in self.steps.iter().zip(&mut self.times) {
            timed(&mut time.forward, || {
                run(pool, step, &mut self.arena, self.workspace.as_mut_slice(), images, self.batch);
            });
        }
        self.steps.last().map_or(&[], |step| &self.arena.read(step.output)[..images * self.dimension])
    }

    /// The steps of the plan with the times of the last pass.
    #[must_use]
    pub fn times(&self) -> &[StepTime] {
        &self.times
    }
}

fn step_time(
    network: &Network,
    shapes: &[Shape],
    batch: usize,
    index: usize,
    followers: &Followers,
) -> StepTime {
    let node = &network.nodes[index];
    let (mut kind, multiply_adds) = match node::geometry(network, shapes, index, batch) {
        Some((geometry, kind)) => times::convolution(&geometry, kind),
        None => (node.op.name().to_owned(), 0),
    };
    let inputs = node.inputs.iter().map(|&source| network.shape_of(source, shapes).elements());
    let mut floats = batch * (inputs.sum::<usize>() + shapes[index].elements());
    for follower in followers.nodes() {
        kind.push_str(" + ");
        kind.push_str(network.nodes[follower].op.name());
    }
    if followers.sum.is_some() {
        floats += batch * shapes[index].elements();
    }
    StepTime::new(&node.name, kind, multiply_adds, floats * size_of::<f32>())
}

fn operation(
    pool: &Pool,
    network: &Network,
    shapes: &[Shape],
    parameters: &Parameters,
    index: usize,
    (batch, precision): (usize, Precision),
) -> Operation {
    let entries = parameters.entries();
    let required = |role| node::required(entries, parameters.trained(), index, role);
    let bias = || node::parameter(entries, parameters.trained(), index, Role::Bias).map(<[f32]>::to_vec);
    if let Some(operation) = forward_only::Operation::of(network, shapes, parameters, index) {
        return Operation::ForwardOnly(operation);
    }
    match &network.nodes[index].op {
        Op::Convolution(_) | Op::Linear(_) => match node::geometry(network, shapes, index, batch) {
            Some((geometry, Kind::Depthwise)) => {
                Operation::Depthwise { geometry, weights: required(Role::Weight).to_vec(), bias: bias() }
            }
            Some((geometry, kind)) => {
                let method = Method::of(pool, &geometry, convolution::Weights::Fixed, precision);
                let mut panels = Buffer::zeros(convolution::forward_weights_len(pool, method, &geometry));
                let mut weights = std::borrow::Cow::Borrowed(required(Role::Weight));
                if let Kind::Grouped(groups) = kind {
                    let (inputs, outputs) = (geometry.source.channels, geometry.target.channels);
                    weights = forward_only::without_groups(&weights, groups, inputs, outputs).into();
                }
                convolution::rearrange_forward(pool, method, &geometry, &weights, panels.as_mut_slice());
                Operation::Full { geometry, method, panels, bias: bias() }
            }
            None => unreachable!("convolutions have a geometry"),
        },
        Op::BatchNorm(settings) => {
            let statistic = |role| node::required(entries, parameters.statistics(), index, role);
            let inverse: Vec<f32> = statistic(Role::RunningVariance)
                .iter()
                .map(|variance| 1.0 / (variance + settings.epsilon).sqrt())
                .collect();
            let channels = inverse.len();
            let (mut scale, mut shift) = (vec![0.0; channels], vec![0.0; channels]);
            let (gamma, beta) = (required(Role::Gamma), required(Role::Beta));
            let mean = statistic(Role::RunningMean);
            batch_norm::coefficients(gamma, beta, mean, &inverse, &mut scale, &mut shift);
            Operation::Affine { scale, shift }
        }
        Op::PRelu(_) | Op::Add => Operation::Rest { channels: shapes[index].channels },
        Op::Dropout(_) => Operation::Copy,
        other => unreachable!("{} is forward only", other.name()),
    }
}

fn run(pool: &Pool, step: &Step, arena: &mut Arena, workspace: &mut [f32], images: usize, batch: usize) {
    if let Operation::ForwardOnly(operation) = &step.operation {
        operation.run(pool, arena, &step.sources, step.output, [images, batch]);
        return;
    }
    // Without a summand the source stands in for it.
    let read = [step.sources[0], step.residual.unwrap_or(step.sources[0])];
    let ([source, residual], output) = arena.read_write(read, step.output);
    let part = |whole: &'_ [f32]| whole.len() / batch * images;
    let (input_len, output_len) = (part(source), part(output));
    let (source, output) = (&source[..input_len], &mut output[..output_len]);
    let residual = step.residual.map(|_| residual[..output_len].into());
    let after = After { slopes: step.slopes.as_deref(), residual };
    match &step.operation {
        Operation::Full { geometry, method, panels, bias } => {
            let geometry = Geometry { images, ..*geometry };
            let (panels, epilogue) = (panels.as_slice(), Epilogue { bias: bias.as_deref(), after });
            convolution::forward(
                pool,
                *method,
                &geometry,
                source.into(),
                panels,
                epilogue,
                None,
                workspace,
                output.into(),
            );
        }
        Operation::Depthwise { geometry, weights, bias } => {
            let geometry = Geometry { images, ..*geometry };
            let epilogue = Epilogue { bias: bias.as_deref(), after };
            depthwise::forward(pool, &geometry, source.into(), weights, epilogue, None, output.into());
        }
        Operation::Affine { scale, shift } => {
            epilogue::map(pool, source.into(), scale.len(), Some([scale, shift]), after, output.into());
        }
        Operation::Rest { channels } => {
            epilogue::map(pool, source.into(), *channels, None, after, output.into());
        }
        Operation::Copy => output.copy_from_slice(source),
        Operation::ForwardOnly(_) => unreachable!("run above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::reference;
    use crate::testing::Numbers;
    use net::{
        BatchNorm, Clip, Convolution, Coordinates, Dropout, Extent, Init, Input, Interpolation, Linear, Node,
        PRelu, PoolKind, Resample, Rounding, Slice, Span, Upsample, initialise,
    };

    fn network() -> Network {
        let init = Init::Gaussian { deviation: 0.3 };
        let convolution = |out_channels, groups| {
            let (kernel, stride, padding, bias) = ([3, 3], 2, 1, true);
            Op::Convolution(Convolution { out_channels, kernel, stride, padding, groups, bias, init })
        };
        let ops = [
            convolution(6, 1),
            Op::BatchNorm(BatchNorm { epsilon: 1e-5, momentum: 0.1 }),
            Op::PRelu(PRelu { init: 0.25 }),
            convolution(6, 6),
            Op::Dropout(Dropout { probability: 0.5 }),
            Op::Linear(Linear { out_features: 7, bias: true, init }),
        ];
        let nodes = ops.into_iter().enumerate().map(|(index, op)| Node {
            name: format!("node{index}"),
            op,
            inputs: vec![index.checked_sub(1).map_or(Source::Image, Source::Node)],
        });
        Network { name: "test".to_owned(), input: Input { height: 11, width: 8 }, nodes: nodes.collect() }
    }

    /// Every operation that is applied but not trained, and a convolution in groups.
    fn operations_of_others() -> Network {
        let init = Init::Gaussian { deviation: 0.3 };
        let convolution = |out_channels, groups, stride| {
            let (kernel, padding, bias) = ([3, 3], 1, true);
            Op::Convolution(Convolution { out_channels, kernel, stride, padding, groups, bias, init })
        };
        let pool = |kind, kernel, rounding| {
            Op::Pool(net::Pool { kind, kernel, stride: 2, padding: kernel[0] / 2, rounding })
        };
        let resampled = |extent, coordinates, interpolation| {
            Op::Resample(Resample { extent, coordinates, interpolation })
        };
        let part = Slice {
            rows: Span { start: 1, end: 5, step: 2 },
            columns: Span { start: 0, end: 4, step: 3 },
            channels: Span { start: 2, end: 6, step: 1 },
        };
        let nodes: Vec<(Op, &[usize])> = vec![
            (convolution(6, 3, 2), &[]),
            (convolution(6, 2, 1), &[0]),
            (Op::Relu, &[1]),
            (Op::Affine, &[2]),
            (Op::Clip(Clip { low: Some(-0.2), high: Some(0.4) }), &[3]),
            (Op::GlobalAverage, &[4]),
            (Op::Sigmoid, &[5]),
            (Op::Multiply, &[0, 6]),
            (Op::Multiply, &[7, 4]),
            (pool(PoolKind::Largest, [3, 3], Rounding::Up), &[7]),
            (pool(PoolKind::Average, [3, 2], Rounding::Down), &[8]),
            (Op::Upsample(Upsample { factor: 3 }), &[9]),
            (Op::Concat, &[7, 4, 3]),
            (Op::Softmax, &[12]),
            (Op::Slice(part), &[13]),
            (Op::Flatten, &[10]),
            (resampled(Extent::Factors([1.7, 0.6]), Coordinates::HalfPixel, Interpolation::Linear), &[9]),
            (resampled(Extent::Size([7, 5]), Coordinates::AlignCorners, Interpolation::Linear), &[9]),
            (resampled(Extent::Size([5, 3]), Coordinates::Asymmetric, Interpolation::Floor), &[7]),
            (Op::Join, &[11, 14, 15, 6, 16, 17, 18]),
        ];
        let nodes = nodes.into_iter().enumerate().map(|(index, (op, inputs))| Node {
            name: format!("node{index}"),
            op,
            inputs: match inputs {
                [] => vec![Source::Image],
                inputs => inputs.iter().map(|input| Source::Node(*input)).collect(),
            },
        });
        Network { name: "others".to_owned(), input: Input { height: 11, width: 8 }, nodes: nodes.collect() }
    }

    #[test]
    fn what_is_only_applied_is_not_trained() {
        let pool = Pool::new(1).unwrap();
        let mut network = operations_of_others();
        network.nodes.drain(..2);
        network.nodes[0].inputs = vec![Source::Image];
        network.nodes.truncate(1);
        network.nodes.push(Node {
            name: "fc".to_owned(),
            op: Op::Linear(Linear { out_features: 2, bias: true, init: Init::Xavier }),
            inputs: vec![Source::Node(0)],
        });
        let error = crate::TrainingPlan::new(&pool, &network, 2).unwrap_err();
        assert_eq!(error, PlanError::Untrainable { node: "node2".to_owned(), op: "relu" });
    }

    #[test]
    fn a_network_that_asks_for_more_memory_than_a_machine_has_is_refused_before_it_is_taken() {
        let pool = Pool::new(1).unwrap();
        let huge = Network { input: Input { height: 4096, width: 4096 }, ..operations_of_others() };
        let mut small = huge.clone();
        // Nothing here fixes the size but the slice, which stays within it.
        let error = EmbeddingPlan::new(&pool, &huge, &initialise(&huge, 1), 8).unwrap_err();
        assert!(
            matches!(error, EmbeddingPlanError::Plan(PlanError::Activations { bytes, batch: 8 }) if bytes > ACTIVATION_BYTES_AT_MOST),
            "{error}"
        );
        small.input = Input { height: 16, width: 16 };
        EmbeddingPlan::new(&pool, &small, &initialise(&small, 1), 8).unwrap();

        let convolution = Convolution {
            out_channels: 16_384,
            kernel: [1, 1],
            stride: 1,
            padding: 0,
            groups: 1,
            bias: false,
            init: Init::Constant { value: 0.0 },
        };
        let node = |name: &str, groups, source| Node {
            name: name.to_owned(),
            op: Op::Convolution(Convolution { groups, ..convolution.clone() }),
            inputs: vec![source],
        };
        let grouped = Network {
            name: "grouped".to_owned(),
            input: Input { height: 1, width: 1 },
            nodes: vec![node("wide", 1, Source::Image), node("grouped", 8192, Source::Node(0))],
        };
        let error = EmbeddingPlan::new(&pool, &grouped, &initialise(&grouped, 1), 1).unwrap_err();
        assert!(
            matches!(&error, EmbeddingPlanError::Plan(PlanError::GroupedWeights { node, weights }) if node == "grouped" && *weights == 1 << 28),
            "{error}"
        );
    }

    #[test]
    fn features_are_those_of_the_definition_for_any_number_of_images() {
        for network in [network(), operations_of_others()] {
            check_features(&network);
        }
    }

    fn check_features(network: &Network) {
        let mut weights = initialise(network, 5);
        let mut numbers = Numbers::new(6);
        for tensor in weights.0.values_mut() {
            tensor.values.iter_mut().for_each(|value| *value += 0.1 * numbers.next());
        }
        let pool = Pool::new(2).unwrap();
        let mut plan = EmbeddingPlan::new(&pool, network, &weights, 4).unwrap();
        for images in [4, 1, 3] {
            let bytes: Vec<u8> =
                (0..images * 11 * 8 * 3).map(|_| (128.0 + 127.0 * numbers.next()) as u8).collect();
            let features = plan.forward(&pool, Pixels { bytes: &bytes, mean: [127.5; 3], scale: [128.0; 3] });
            let expected = reference::embedding(network, &weights, &bytes, images);
            assert_eq!(features.len(), expected.len());
            for (actual, expected) in features.iter().zip(expected) {
                assert!((f64::from(*actual) - expected).abs() < 1e-4, "{actual} against {expected}");
            }
        }
    }
}
