//! A network as an ONNX graph.

mod resize;

use super::message::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::{Input, Network, Op, Pool, PoolKind, Role, Rounding, Shape, Source, Weights};

/// Names of the graph's input and output.
const IMAGE: &str = "image";
const FEATURE: &str = "feature";
/// The only dimension that is not fixed.
const BATCH: &str = "batch";

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

/// The network as a graph, from `image` to `feature`.
pub(super) fn graph(network: &Network, weights: &Weights) -> GraphProto {
    let mut export = Export { weights, nodes: Vec::new(), initializers: Vec::new() };
    let image = Value { name: IMAGE.to_owned(), rank: Rank::Map };
    let mut values: Vec<Value> = Vec::new();
    let shapes = network.shapes();
    for node in &network.nodes {
        let inputs: Vec<Value> = node
            .inputs
            .iter()
            .map(|source| match source {
                Source::Image => image.clone(),
                Source::Node(index) => values[*index].clone(),
            })
            .collect();
        values.push(export.node(&node.name, &node.op, network.shape_of(node.inputs[0], &shapes), inputs));
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
        sparse_initializer: Vec::new(),
    }
}

impl Export<'_> {
    /// One node; `shape` is that of its first input.
    fn node(&mut self, name: &str, op: &Op, shape: Shape, mut inputs: Vec<Value>) -> Value {
        let output = format!("{name}.output");
        let first = inputs.remove(0);
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
                let slope = self.per_channel(name, Role::Slope, first.rank);
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
            Op::Relu => self.elementwise("Relu", output, first, Vec::new(), Vec::new()),
            Op::Sigmoid => self.elementwise("Sigmoid", output, first, Vec::new(), Vec::new()),
            Op::Softmax => {
                let axis = vec![AttributeProto::integer("axis", 1)];
                self.elementwise("Softmax", output, first, Vec::new(), axis)
            }
            Op::Clip(clip) => {
                let mut bounds = Vec::new();
                for (which, bound) in [("low", clip.low), ("high", clip.high)] {
                    // An empty name leaves an argument out.
                    bounds.push(bound.map_or_else(String::new, |bound| {
                        let constant = format!("{name}.{which}");
                        self.initializers.push(TensorProto::floats(&constant, &[], &[bound]));
                        constant
                    }));
                }
                self.elementwise("Clip", output, first, bounds, Vec::new())
            }
            Op::Affine => {
                let (scale, shift) = (
                    self.per_channel(name, Role::Gamma, first.rank),
                    self.per_channel(name, Role::Beta, first.rank),
                );
                let scaled =
                    self.elementwise("Mul", format!("{name}.scaled"), first, vec![scale], Vec::new());
                self.elementwise("Add", output, scaled, vec![shift], Vec::new())
            }
            Op::Multiply => {
                let second = inputs.swap_remove(0);
                let (left, right) = if first.rank == second.rank {
                    (first, second)
                } else if first.rank == Rank::Map {
                    let second = self.map(second, name);
                    (first, second)
                } else {
                    (first, self.vector(second))
                };
                self.push("Mul", &output, vec![left.name, right.name], Vec::new());
                Value { name: output, rank: left.rank }
            }
            Op::Concat => {
                let all: Vec<Value> = std::iter::once(first).chain(inputs).collect();
                let rank =
                    if all.iter().any(|value| value.rank == Rank::Map) { Rank::Map } else { Rank::Vector };
                let names = all.into_iter().enumerate().map(|(index, value)| match rank {
                    Rank::Map => self.map(value, &format!("{name}.{index}")).name,
                    Rank::Vector => value.name,
                });
                let names = names.collect();
                self.push("Concat", &output, names, vec![AttributeProto::integer("axis", 1)]);
                Value { name: output, rank }
            }
            Op::Join => {
                let mut names = Vec::new();
                for (index, value) in std::iter::once(first).chain(inputs).enumerate() {
                    if value.rank == Rank::Vector {
                        names.push(value.name);
                        continue;
                    }
                    let (turned, flat) = (format!("{name}.{index}.turned"), format!("{name}.{index}.flat"));
                    let order = vec![AttributeProto::integers("perm", &[0, 2, 3, 1])];
                    self.push("Transpose", &turned, vec![value.name], order);
                    self.push("Flatten", &flat, vec![turned], vec![AttributeProto::integer("axis", 1)]);
                    names.push(flat);
                }
                self.push("Concat", &output, names, vec![AttributeProto::integer("axis", 1)]);
                Value { name: output, rank: Rank::Vector }
            }
            Op::Flatten => self.vector(first),
            Op::Pool(pool) => {
                let (kind, attributes) = pooling(pool);
                let map = self.map(first, name);
                self.push(kind, &output, vec![map.name], attributes);
                Value { name: output, rank: Rank::Map }
            }
            Op::GlobalAverage => {
                let map = self.map(first, name);
                self.push("GlobalAveragePool", &output, vec![map.name], Vec::new());
                Value { name: output, rank: Rank::Map }
            }
            Op::Upsample(upsample) => {
                let map = self.map(first, name);
                let (scales, factor) = (format!("{name}.scales"), upsample.factor as f32);
                self.initializers.push(TensorProto::floats(&scales, &[4], &[1.0, 1.0, factor, factor]));
                let attributes = vec![
                    AttributeProto::text("mode", "nearest"),
                    AttributeProto::text("coordinate_transformation_mode", "asymmetric"),
                    AttributeProto::text("nearest_mode", "floor"),
                ];
                self.push("Resize", &output, vec![map.name, String::new(), scales], attributes);
                Value { name: output, rank: Rank::Map }
            }
            Op::Resample(resample) => {
                let map = self.map(first, name);
                let [rows, columns] = [(0, shape.height), (1, shape.width)]
                    .map(|(axis, side)| resize::factor(resample, axis, side));
                let scales = format!("{name}.scales");
                self.initializers.push(TensorProto::floats(&scales, &[4], &[1.0, 1.0, rows, columns]));
                self.push(
                    "Resize",
                    &output,
                    vec![map.name, String::new(), scales],
                    resize::attributes(resample),
                );
                Value { name: output, rank: Rank::Map }
            }
            Op::Slice(slice) => {
                let map = self.map(first, name);
                let spans = [slice.channels, slice.rows, slice.columns];
                let mut arguments = vec![map.name];
                for (which, values) in [
                    ("starts", spans.map(|span| span.start as i64)),
                    ("ends", spans.map(|span| span.end as i64)),
                    ("axes", [1, 2, 3]),
                    ("steps", spans.map(|span| span.step as i64)),
                ] {
                    let constant = format!("{name}.{which}");
                    self.initializers.push(TensorProto::integers(&constant, &values));
                    arguments.push(constant);
                }
                self.push("Slice", &output, arguments, Vec::new());
                Value { name: output, rank: Rank::Map }
            }
        }
    }

    /// A node whose output has the rank of its first input, with further inputs.
    fn elementwise(
        &mut self,
        operator: &str,
        output: String,
        first: Value,
        others: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) -> Value {
        let arguments = std::iter::once(first.name).chain(others).collect();
        self.push(operator, &output, arguments, attributes);
        Value { name: output, rank: first.rank }
    }

    fn push(&mut self, operator: &str, output: &str, input: Vec<String>, attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            input,
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: operator.to_owned(),
            attribute,
            domain: String::new(),
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

    /// One value for each channel, shaped so that it is spread over a map's height and width.
    fn per_channel(&mut self, node: &str, role: Role, rank: Rank) -> String {
        let name = self.parameter(node, role);
        if rank == Rank::Map
            && let Some(tensor) = self.initializers.last_mut()
        {
            tensor.dims.extend([1, 1]);
        }
        name
    }
}

fn pooling(pool: &Pool) -> (&'static str, Vec<AttributeProto>) {
    let kind = match pool.kind {
        PoolKind::Largest => "MaxPool",
        PoolKind::Average => "AveragePool",
    };
    let attributes = vec![
        AttributeProto::integers("kernel_shape", &pool.kernel),
        AttributeProto::integers("strides", &[pool.stride; 2]),
        AttributeProto::integers("pads", &[pool.padding; 4]),
        AttributeProto::integer("ceil_mode", usize::from(pool.rounding == Rounding::Up)),
    ];
    (kind, attributes)
}
