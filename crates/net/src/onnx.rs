//! Models as ONNX files, for other runtimes.

mod message;

use std::io;
use std::path::Path;

use prost::Message;
use thiserror::Error;

use crate::{Input, Model, Network, Op, Role, Source, Weights, atomic_file, fold_batch_norm};
use message::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, ValueInfoProto,
};

/// Version of the operators that the file uses.
const OPERATOR_SET: i64 = 13;
/// Version of the file format that came with it.
const FORMAT: i64 = 7;
/// Protocol buffers end at 2 GiB.
const FILE_BYTES_AT_MOST: usize = i32::MAX as usize;
/// Names of the graph's input and output.
const IMAGE: &str = "image";
const FEATURE: &str = "feature";
/// The only dimension that is not fixed.
const BATCH: &str = "batch";

/// What becomes of batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalisation {
    /// Every normalisation is a node.
    Kept,
    /// Normalisation is folded into the layer before it where possible; see [`fold_batch_norm`].
    Folded,
}

/// Why a model cannot be written as ONNX.
#[derive(Debug, Error)]
pub enum OnnxError {
    /// The file system refuses; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The weights do not fit the format.
    #[error("an ONNX file has at most {FILE_BYTES_AT_MOST} bytes, but this model needs: {bytes}")]
    TooLarge {
        /// Bytes needed.
        bytes: usize,
    },
}

/// The bytes of an ONNX file.
///
/// # Shapes
/// Input `image`: batch x 3 x height x width in f32, channels in the card's order, each value already
/// `(pixel - mean) / scale`. Output `feature`: batch x dimension, as the network makes it, neither of unit length nor
/// joined with the flipped image's. The card is in the file's metadata under `cosface.card`, the fingerprint of the
/// model under `cosface.fingerprint`.
///
/// # Errors
/// [`OnnxError::TooLarge`].
pub fn to_onnx(model: &Model, normalisation: Normalisation) -> Result<Vec<u8>, OnnxError> {
    let graph = match normalisation {
        Normalisation::Kept => graph(model.network(), model.weights()),
        Normalisation::Folded => {
            let (network, weights) = fold_batch_norm(model.network(), model.weights());
            graph(&network, &weights)
        }
    };
    let card = serde_json::to_string(model.card()).map_err(io::Error::from)?;
    let metadata = [("cosface.card", card), ("cosface.fingerprint", model.fingerprint().to_string())];
    let file = ModelProto {
        ir_version: FORMAT,
        producer_name: "cosface".to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATOR_SET }],
        metadata_props: metadata
            .into_iter()
            .map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value })
            .collect(),
    };
    let bytes = file.encoded_len();
    if bytes > FILE_BYTES_AT_MOST {
        return Err(OnnxError::TooLarge { bytes });
    }
    Ok(file.encode_to_vec())
}

/// Writes [`to_onnx`]'s bytes aside and renames the file; see [`atomic_file::write`].
///
/// # Errors
/// As [`to_onnx`], or an error of the file system.
pub fn write_onnx(model: &Model, normalisation: Normalisation, path: &Path) -> Result<(), OnnxError> {
    let bytes = to_onnx(model, normalisation)?;
    Ok(atomic_file::write(path, |sink| sink.write_all(&bytes))?)
}

/// A value of the graph: its name, and whether it is batch x channels or batch x channels x height x width.
#[derive(Clone)]
struct Value {
    name: String,
    rank: Rank,
}

#[derive(Clone, Copy, PartialEq)]
enum Rank {
    Vector,
    Map,
}

struct Export<'w> {
    weights: &'w Weights,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

fn graph(network: &Network, weights: &Weights) -> GraphProto {
    let mut export = Export { weights, nodes: Vec::new(), initializers: Vec::new() };
    let image = Value { name: IMAGE.to_owned(), rank: Rank::Map };
    let mut values: Vec<Value> = Vec::new();
    for node in &network.nodes {
        let inputs: Vec<Value> = node
            .inputs
            .iter()
            .map(|source| match source {
                Source::Image => image.clone(),
                Source::Node(index) => values[*index].clone(),
            })
            .collect();
        values.push(export.node(&node.name, &node.op, inputs));
    }
    let last = export.vector(values.swap_remove(values.len() - 1));
    export.push("Identity", FEATURE, vec![last.name], Vec::new());
    let sides = [Input::CHANNELS, network.input.height, network.input.width];
    GraphProto {
        node: export.nodes,
        name: network.name.clone(),
        initializer: export.initializers,
        input: vec![ValueInfoProto::floats(IMAGE, BATCH, &sides)],
        output: vec![ValueInfoProto::floats(FEATURE, BATCH, &[network.feature_dimension()])],
    }
}

impl Export<'_> {
    fn node(&mut self, name: &str, op: &Op, mut inputs: Vec<Value>) -> Value {
        let output = format!("{name}.output");
        let first = inputs.swap_remove(0);
        match op {
            Op::Convolution(convolution) => {
                let mut arguments = vec![self.map(first, name).name, self.parameter(name, Role::Weight)];
                if convolution.bias {
                    arguments.push(self.parameter(name, Role::Bias));
                }
                let attributes = vec![
                    AttributeProto::integers("kernel_shape", &convolution.kernel),
                    AttributeProto::integers("strides", &[convolution.stride; 2]),
                    AttributeProto::integers("pads", &[convolution.padding; 4]),
                    AttributeProto::integer("group", convolution.groups),
                ];
                self.push("Conv", &output, arguments, attributes);
                Value { name: output, rank: Rank::Map }
            }
            Op::BatchNorm(norm) => {
                let mut arguments = vec![first.name];
                for role in [Role::Gamma, Role::Beta, Role::RunningMean, Role::RunningVariance] {
                    arguments.push(self.parameter(name, role));
                }
                let attributes = vec![AttributeProto::float("epsilon", norm.epsilon)];
                self.push("BatchNormalization", &output, arguments, attributes);
                Value { name: output, rank: first.rank }
            }
            Op::PRelu(_) => {
                let slope = self.slope(name, first.rank);
                self.push("PRelu", &output, vec![first.name, slope], Vec::new());
                Value { name: output, rank: first.rank }
            }
            Op::Add => {
                let second = inputs.swap_remove(0);
                let (left, right) = if first.rank == second.rank {
                    (first, second)
                } else {
                    (self.vector(first), self.vector(second))
                };
                self.push("Add", &output, vec![left.name, right.name], Vec::new());
                Value { name: output, rank: left.rank }
            }
            Op::Dropout(_) => first,
            Op::Linear(linear) => {
                let mut arguments = vec![self.vector(first).name, self.parameter(name, Role::Weight)];
                if linear.bias {
                    arguments.push(self.parameter(name, Role::Bias));
                }
                self.push("Gemm", &output, arguments, vec![AttributeProto::integer("transB", 1)]);
                Value { name: output, rank: Rank::Vector }
            }
        }
    }

    fn push(&mut self, operator: &str, output: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            input,
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute,
        });
    }

    /// The value as batch x values; a map is flattened in channel, height, width order.
    fn vector(&mut self, value: Value) -> Value {
        if value.rank == Rank::Vector {
            return value;
        }
        let name = format!("{}.flat", value.name);
        if self.nodes.iter().all(|node| node.name != name) {
            self.push("Flatten", &name, vec![value.name], vec![AttributeProto::integer("axis", 1)]);
        }
        Value { name, rank: Rank::Vector }
    }

    /// The value as batch x channels x height x width; a vector has height and width 1.
    fn map(&mut self, value: Value, reader: &str) -> Value {
        if value.rank == Rank::Map {
            return value;
        }
        let (name, shape) = (format!("{reader}.map"), format!("{reader}.map.shape"));
        // 0 keeps a dimension.
        self.initializers.push(TensorProto::integers(&shape, &[0, -1, 1, 1]));
        self.push("Reshape", &name, vec![value.name, shape], Vec::new());
        Value { name, rank: Rank::Map }
    }

    fn parameter(&mut self, node: &str, role: Role) -> String {
        let name = format!("{node}.{}", role.suffix());
        let Some(tensor) = self.weights.get(&name) else { panic!("weights without {name}") };
        self.initializers.push(TensorProto::floats(&name, &tensor.shape, &tensor.values));
        name
    }

    /// One slope for each channel, shaped so that it is spread over a map's height and width.
    fn slope(&mut self, node: &str, rank: Rank) -> String {
        let name = self.parameter(node, Role::Slope);
        if rank == Rank::Map
            && let Some(tensor) = self.initializers.last_mut()
        {
            tensor.dims.extend([1, 1]);
        }
        name
    }
}
