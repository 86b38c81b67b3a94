//! Networks of other people's ONNX files.
//!
//! Nothing of a file is executed: its nodes are translated, one by one, to the operations that networks here have,
//! and what depends on no image is computed on the way.

mod activation;
mod attributes;
mod constant;
mod converter;
mod operators;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use prost::Message;
use thiserror::Error;

use super::CARD_KEY;
use super::message::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use crate::tensor_file::{FILE_BYTES_AT_MOST, TensorFileError, read_bytes};
use crate::{Card, Input, Network, NetworkError, Node, Op, Shape, Source, Weights, WeightsError};
use activation::{Activation, Order};
use attributes::Attributes;
use converter::{Converter, Value};

/// Versions of the standard operators that are read.
pub const OPERATOR_SETS: std::ops::RangeInclusive<i64> = 9..=21;

/// Name of the node that joins several outputs.
const FEATURE: &str = "feature";

/// Weights may be shared by nodes; all together they may have this many times the bytes of the file.
const EXPANSION_AT_MOST: usize = 4;
/// Values that a small file may need beyond that: slopes and factors that are spread over channels.
const SPREAD_AT_MOST: usize = 1 << 22;

/// A network read from an ONNX file.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxNetwork {
    /// The network, whose feature is the file's only output, or all of them after each other.
    pub network: Network,
    /// Its weights.
    pub weights: Weights,
    /// The outputs in the order of the file.
    pub outputs: Vec<OnnxOutput>,
    /// The card that this program writes into a file.
    pub card: Option<Card>,
}

/// One output of a file.
///
/// Where a file has several, their values lie in the feature one output after another, each in the order height,
/// width, channel of its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxOutput {
    /// Its name.
    pub name: String,
    /// The activation that it is.
    pub shape: Shape,
    /// The dimensions under which the file shows it, for one image.
    pub dimensions: Vec<usize>,
}

/// Why an ONNX file cannot be imported.
#[derive(Debug, Error)]
pub enum OnnxImportError {
    /// The file cannot be read at all.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// The bytes are no ONNX model, or one that asks for too much memory.
    #[error("not an ONNX file that can be read, {problem}: {}", path.display())]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The standard operators are of a version that is not read.
    #[error(
        "ONNX file {} uses operator set {found}, where {} to {} are read; convert it with the onnx package",
        path.display(), OPERATOR_SETS.start(), OPERATOR_SETS.end()
    )]
    OperatorSet {
        /// The path.
        path: PathBuf,
        /// The version that it states.
        found: i64,
    },
    /// The input is no image of three channels, or not of the size asked for.
    #[error("ONNX file {} must take one image of 3 channels: {found}", path.display())]
    Input {
        /// The path.
        path: PathBuf,
        /// What it takes.
        found: String,
    },
    /// Operators, or uses of them, that are not supported: all that the file has.
    #[error("ONNX file {} has what cannot be imported: {}", path.display(), problems.join("; "))]
    Unsupported {
        /// The path.
        path: PathBuf,
        /// Each with the number of its nodes and the name of the first.
        problems: Vec<String>,
    },
    /// The card in the file is damaged.
    #[error("ONNX file {} has a damaged card", path.display())]
    Card {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What was translated is no valid network.
    #[error("ONNX file makes no valid network: {}", path.display())]
    Network {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: NetworkError,
    },
    /// The weights are not finite or do not fit.
    #[error("ONNX file has weights that cannot be used: {}", path.display())]
    Weights {
        /// The path.
        path: PathBuf,
        /// What is wrong with them.
        source: WeightsError,
    },
}

impl OnnxNetwork {
    /// Reads a file; `open` is the size of the image where the file leaves it open.
    ///
    /// # Errors
    /// See [`OnnxImportError`].
    pub fn read(path: &Path, open: Input) -> Result<OnnxNetwork, OnnxImportError> {
        OnnxNetwork::parse(&read_bytes(path, FILE_BYTES_AT_MOST)?, path, open)
    }

    /// Translates the bytes of a file; errors name `path`.
    ///
    /// # Errors
    /// See [`OnnxImportError`]. Every operator that is not supported is named in one error.
    pub fn parse(bytes: &[u8], path: &Path, open: Input) -> Result<OnnxNetwork, OnnxImportError> {
        let damaged = |problem: String| OnnxImportError::Damaged { path: path.to_owned(), problem };
        let model = decoded(bytes, path)?;
        let graph = model.graph.as_ref().ok_or_else(|| damaged("it has no graph".to_owned()))?;
        let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        let operator_set = model.opset_import.iter().find(|set| standard(&set.domain));
        let operator_set = operator_set.map_or(1, |set| set.version);
        if !OPERATOR_SETS.contains(&operator_set) {
            return Err(OnnxImportError::OperatorSet { path: path.to_owned(), found: operator_set });
        }
        let card = card(&model, path)?;
        let (image_name, image) =
            image(graph, open).map_err(|found| OnnxImportError::Input { path: path.to_owned(), found })?;
        let budget = EXPANSION_AT_MOST * (bytes.len() / size_of::<f32>()) + SPREAD_AT_MOST;
        let mut converter = Converter::new(graph, operator_set, image_name, image, budget);
        for node in &graph.node {
            converter.convert(node);
        }
        if !graph.sparse_initializer.is_empty() {
            converter.problems.insert("sparse weights".to_owned(), Vec::new());
        }
        let outputs = outputs(&mut converter, graph);
        if !converter.problems.is_empty() {
            let problems = listed(&converter.problems);
            return Err(OnnxImportError::Unsupported { path: path.to_owned(), problems });
        }
        finish(converter, outputs, graph, card, path)
    }

    /// The card in a file, which this program writes and others do not.
    ///
    /// # Errors
    /// A file that is no ONNX file, or a card that is damaged.
    pub fn read_card(path: &Path) -> Result<Option<Card>, OnnxImportError> {
        card(&decoded(&read_bytes(path, FILE_BYTES_AT_MOST)?, path)?, path)
    }

    /// The same network for images of another size, where it has no layer that fixes the size.
    ///
    /// # Errors
    /// When the network is not valid at that size, or a fully connected layer fixes another.
    pub fn at(&self, input: Input) -> Result<OnnxNetwork, OnnxImportError> {
        let path = || PathBuf::from(&self.network.name);
        let mut other = self.clone();
        other.network.input = input;
        other.network.check().map_err(|source| OnnxImportError::Network { path: path(), source })?;
        other
            .weights
            .check(&other.network)
            .map_err(|source| OnnxImportError::Weights { path: path(), source })?;
        if let Some(last) = other.network.nodes.last()
            && last.op == Op::Join
            && last.inputs.len() == other.outputs.len()
        {
            let shapes = other.network.shapes();
            for (output, source) in other.outputs.iter_mut().zip(&last.inputs) {
                output.shape = other.network.shape_of(*source, &shapes);
            }
        }
        Ok(other)
    }
}

/// The message, once its parts are counted.
fn decoded(bytes: &[u8], path: &Path) -> Result<ModelProto, OnnxImportError> {
    let damaged = |problem: String| OnnxImportError::Damaged { path: path.to_owned(), problem };
    scan::check(bytes).map_err(|damage| {
        damaged(match damage {
            scan::Damage::Truncated => "it ends too early".to_owned(),
            scan::Damage::WireType(kind) => format!("it has a field of wire type {kind}"),
            scan::Damage::TooManyParts => format!("it has more than {} parts", scan::PARTS_AT_MOST),
        })
    })?;
    ModelProto::decode(bytes).map_err(|error| damaged(error.to_string()))
}

fn card(model: &ModelProto, path: &Path) -> Result<Option<Card>, OnnxImportError> {
    let card = model.metadata_props.iter().find(|entry| entry.key == CARD_KEY);
    let card = card.map(|entry| serde_json::from_str(&entry.value)).transpose();
    card.map_err(|source| OnnxImportError::Card { path: path.to_owned(), source })
}

fn listed(problems: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let line = |(problem, names): (&String, &Vec<String>)| match &names[..] {
        [] => problem.clone(),
        [only] => format!("{problem} (node {only})"),
        [first, ..] => format!("{problem} ({} nodes, the first is {first})", names.len()),
    };
    problems.iter().map(line).collect()
}

/// The one input that is no weight, and the image that it stands for.
fn image(graph: &GraphProto, open: Input) -> Result<(&str, Activation), String> {
    let weights: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let is_weight = |input: &ValueInfoProto| weights.contains(input.name.as_str());
    let mut inputs = graph.input.iter().filter(|input| !is_weight(input));
    let (Some(input), None) = (inputs.next(), inputs.next()) else {
        return Err(format!("{} inputs", graph.input.iter().filter(|input| !is_weight(input)).count()));
    };
    let dims = input.dimensions().unwrap_or_default();
    let text =
        dims.iter().map(|side| side.map_or("?".to_owned(), |side| side.to_string())).collect::<Vec<_>>();
    let refused = || format!("{} of {}", input.name, text.join("x"));
    let [batch, sides @ ..] = &dims[..] else { return Err(refused()) };
    if !matches!(batch, None | Some(1)) {
        return Err(refused());
    }
    let side = |side: Option<i64>, open: usize| side.map_or(Some(open), |side| usize::try_from(side).ok());
    let (order, height, width) = match sides {
        [Some(3), height, width] => (Order::ChannelsFirst, height, width),
        [height, width, Some(3)] => (Order::ChannelsLast, height, width),
        [None, height, width] => (Order::ChannelsFirst, height, width),
        _ => return Err(refused()),
    };
    let (Some(height), Some(width)) = (side(*height, open.height), side(*width, open.width)) else {
        return Err(refused());
    };
    let sides = 1..=crate::SIDE_AT_MOST;
    if !sides.contains(&height) || !sides.contains(&width) {
        return Err(refused());
    }
    let shape = Shape { height, width, channels: Input::CHANNELS };
    let mut image = Activation::map(Source::Image, shape);
    if order == Order::ChannelsLast {
        image.order = order;
        image.dims = vec![1, height, width, Input::CHANNELS];
    }
    Ok((&input.name, image))
}

/// The file's outputs, each with the activation that it is; what is none is noted.
fn outputs(converter: &mut Converter<'_>, graph: &GraphProto) -> Vec<(OnnxOutput, Activation)> {
    let mut found = Vec::new();
    for output in &graph.output {
        let problem = match converter.value(&output.name) {
            Ok(Some(Value::Activation(value))) => {
                let (name, dimensions) = (output.name.clone(), value.dims.clone());
                found.push((OnnxOutput { name, shape: value.shape, dimensions }, value));
                continue;
            }
            // The node that should have made it is noted already.
            Ok(Some(Value::Unknown)) => continue,
            Ok(_) => format!("output {} that does not depend on the image", output.name),
            Err(problem) => problem,
        };
        converter.problems.insert(problem, Vec::new());
    }
    if found.is_empty() && converter.problems.is_empty() {
        converter.problems.insert("a graph without outputs".to_owned(), Vec::new());
    }
    found
}

/// The network up to its feature, without nodes that do not lead there.
fn finish(
    mut converter: Converter<'_>,
    outputs: Vec<(OnnxOutput, Activation)>,
    graph: &GraphProto,
    card: Option<Card>,
    path: &Path,
) -> Result<OnnxNetwork, OnnxImportError> {
    let refused =
        |problem: String| OnnxImportError::Unsupported { path: path.to_owned(), problems: vec![problem] };
    let last = match &outputs[..] {
        [(_, only)] if only.shape.positions() == 1 => only.source,
        outputs => {
            let sources = outputs.iter().map(|(_, value)| value.source).collect();
            let flat = |value: &Activation| value.dims.len() == 2 && !value.is_last();
            let op = if matches!(outputs, [(_, only)] if flat(only)) { Op::Flatten } else { Op::Join };
            let like = NodeProto { name: FEATURE.to_owned(), ..NodeProto::default() };
            converter.push(Attributes(&like), op, sources, Vec::new()).map_err(refused)?.0
        }
    };
    let Source::Node(last) = last else {
        return Err(refused("an output that is the input".to_owned()));
    };
    let input = converter.input();
    let (nodes, weights) = leading_to(last, converter.nodes, converter.weights);
    let name = if graph.name.is_empty() { "onnx".to_owned() } else { graph.name.clone() };
    let network = Network { name, input, nodes };
    network.check().map_err(|source| OnnxImportError::Network { path: path.to_owned(), source })?;
    weights.check(&network).map_err(|source| OnnxImportError::Weights { path: path.to_owned(), source })?;
    let outputs = outputs.into_iter().map(|(output, _)| output).collect();
    Ok(OnnxNetwork { network, weights, outputs, card })
}

/// The nodes that node `last` depends on, up to it, and their weights.
fn leading_to(last: usize, nodes: Vec<Node>, weights: Weights) -> (Vec<Node>, Weights) {
    let mut needed = vec![false; nodes.len()];
    needed[last] = true;
    for index in (0..=last).rev().filter(|index| *index < nodes.len()) {
        if needed[index] {
            for source in &nodes[index].inputs {
                if let Source::Node(source) = source {
                    needed[*source] = true;
                }
            }
        }
    }
    let mut places = vec![0; nodes.len()];
    let mut kept: Vec<Node> = Vec::new();
    for (index, mut node) in nodes.into_iter().enumerate().filter(|(index, _)| needed[*index]) {
        for source in &mut node.inputs {
            if let Source::Node(source) = source {
                *source = places[*source];
            }
        }
        places[index] = kept.len();
        kept.push(node);
    }
    let names: BTreeSet<&str> = kept.iter().map(|node| node.name.as_str()).collect();
    let owner = |name: &str| name.rsplit_once('.').map_or("", |(node, _)| node).to_owned();
    let weights = weights.0.into_iter().filter(|(name, _)| names.contains(owner(name).as_str()));
    let weights = Weights(weights.collect());
    (kept, weights)
}
