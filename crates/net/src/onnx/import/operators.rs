//! Which operators there are, and what each becomes.

mod arithmetic;
mod arrangement;
mod layers;
mod resize;
mod windows;

use super::activation::Activation;
use super::attributes::Attributes;
use super::constant::Constant;
use super::converter::{Converter, Value};
use crate::{Clip, Op, PRelu, Tensor};

/// Every operator that is read, of the standard domain.
const KNOWN: [&str; 33] = [
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Div",
    "Dropout",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "PRelu",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Resize",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "Upsample",
];

pub(super) fn is_known(operator: &str, domain: &str) -> bool {
    (domain.is_empty() || domain == "ai.onnx") && KNOWN.contains(&operator)
}

/// The inputs of a node; `None` for one that is left out.
type Inputs<'v> = &'v [Option<Value>];

pub(super) fn convert(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    match node.0.op_type.as_str() {
        "Conv" => layers::convolution(converter, node, inputs),
        "Gemm" => layers::gemm(converter, node, inputs),
        "MatMul" => layers::product(converter, node, inputs),
        "BatchNormalization" => layers::batch_norm(converter, node, inputs),
        "PRelu" => layers::slopes(converter, node, inputs),
        "LeakyRelu" => {
            let value = channels(converter, node, activation(inputs, 0)?)?;
            let slope = node.float("alpha", 0.01);
            converter.spread(value.shape.channels)?;
            let slopes = vec![slope; value.shape.channels];
            let weight = Tensor::new(vec![slopes.len()], slopes);
            unary(converter, node, Op::PRelu(PRelu { init: slope }), &value, vec![("weight", weight)])
        }
        "Relu" => unary(converter, node, Op::Relu, activation(inputs, 0)?, Vec::new()),
        "Sigmoid" => unary(converter, node, Op::Sigmoid, activation(inputs, 0)?, Vec::new()),
        "Clip" => {
            let clip = clip(converter, node, inputs)?;
            unary(converter, node, Op::Clip(clip), activation(inputs, 0)?, Vec::new())
        }
        "Softmax" => softmax(converter, node, inputs),
        "Add" | "Sub" | "Mul" | "Div" => arithmetic::convert(converter, node, inputs),
        "MaxPool" | "AveragePool" => windows::pool(converter, node, inputs),
        "GlobalAveragePool" => windows::global_average(converter, node, inputs, true),
        "ReduceMean" => windows::mean(converter, node, inputs),
        "Resize" | "Upsample" => resize::convert(converter, node, inputs),
        "Dropout" => same(inputs),
        "Identity" => same(inputs),
        "Cast" => match value(inputs, 0)? {
            Value::Constant(constant) => Ok(Value::from(constant.cast(node.integer("to", 0))?)),
            other if node.integer("to", 0) == 1 => Ok(other.clone()),
            _ => Err("other than to float".to_owned()),
        },
        "Constant" => node.constant().map(Value::from),
        _ => arrangement::convert(converter, node, inputs),
    }
}

/// `Identity`, and `Dropout` outside training.
fn same(inputs: Inputs<'_>) -> Result<Value, String> {
    value(inputs, 0).cloned()
}

fn softmax(converter: &mut Converter<'_>, node: Attributes<'_>, inputs: Inputs<'_>) -> Result<Value, String> {
    let value = activation(inputs, 0)?;
    let default = if converter.operator_set < 13 { 1 } else { -1 };
    let axis = super::attributes::axis(node.integer("axis", default), value.dims.len())?;
    // Before version 13 all dimensions from the axis on are one.
    let whole = value.dims[axis..].iter().product::<usize>() == value.dims[axis];
    if value.channel_axis() != Some(axis) || (converter.operator_set < 13 && !whole) {
        return Err(format!("over axis {axis} of {:?}, which is not the channels", value.dims));
    }
    unary(converter, node, Op::Softmax, value, Vec::new())
}

fn clip(converter: &Converter<'_>, node: Attributes<'_>, inputs: Inputs<'_>) -> Result<Clip, String> {
    if converter.operator_set < 11 {
        let bound =
            |name: &str| node.has(name).then(|| node.float(name, 0.0)).filter(|bound| bound.abs() < f32::MAX);
        return Ok(Clip { low: bound("min"), high: bound("max") });
    }
    let bound = |index: usize| match inputs.get(index) {
        None | Some(None) => Ok(None),
        Some(Some(Value::Constant(constant))) if constant.len() == 1 => {
            Ok(Some(constant.floats()?[0]).filter(|bound| bound.abs() < f32::MAX))
        }
        Some(Some(_)) => Err("bounds that are not constants of one element".to_owned()),
    };
    Ok(Clip { low: bound(1)?, high: bound(2)? })
}

/// An input that must be there.
fn value<'v>(inputs: Inputs<'v>, index: usize) -> Result<&'v Value, String> {
    inputs.get(index).and_then(Option::as_ref).ok_or_else(|| format!("no input {index}"))
}

/// An input that must depend on the image.
fn activation<'v>(inputs: Inputs<'v>, index: usize) -> Result<&'v Activation, String> {
    match value(inputs, index)? {
        Value::Activation(activation) => Ok(activation),
        _ => Err(format!("a constant as input {index}")),
    }
}

/// An input that must not depend on the image.
fn constant<'v>(inputs: Inputs<'v>, index: usize) -> Result<&'v Constant, String> {
    match value(inputs, index)? {
        Value::Constant(constant) => Ok(constant),
        _ => Err(format!("an input {index} that is computed from the image")),
    }
}

/// As [`constant`], for an input that may be left out.
fn optional_constant<'v>(inputs: Inputs<'v>, index: usize) -> Result<Option<&'v Constant>, String> {
    if inputs.get(index).is_some_and(Option::is_some) { constant(inputs, index).map(Some) } else { Ok(None) }
}

/// A map, 1 x channels x height x width.
fn map<'v>(inputs: Inputs<'v>, index: usize) -> Result<&'v Activation, String> {
    let value = activation(inputs, index)?;
    if value.is_map() {
        Ok(value)
    } else {
        Err(format!("an input of {:?} that is no map of channels", value.dims))
    }
}

/// The activation with its channels on an axis of their own; a flattened map is laid out as a vector.
fn channels(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    value: &Activation,
) -> Result<Activation, String> {
    if value.channel_axis().is_some() {
        return Ok(value.clone());
    }
    if value.dims == [1, value.shape.elements()] {
        return flattened(converter, node, value);
    }
    Err(format!("an input of {:?} whose channels are not one of its sides", value.dims))
}

/// The activation as a vector in the order that the graph reads it.
fn flattened(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    value: &Activation,
) -> Result<Activation, String> {
    if value.shape.positions() == 1 {
        return Ok(Activation::vector(value.source, value.shape.channels));
    }
    let op = if value.is_last() { Op::Join } else { Op::Flatten };
    let (source, shape) = converter.push(node, op, vec![value.source], Vec::new())?;
    Ok(Activation::vector(source, shape.channels))
}

/// A node of one input whose output has the input's shape.
fn unary(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    op: Op,
    value: &Activation,
    parameters: Vec<(&str, Tensor)>,
) -> Result<Value, String> {
    let (source, shape) = converter.push(node, op, vec![value.source], parameters)?;
    Ok(Value::Activation(Activation { source, shape, ..value.clone() }))
}

/// A constant as one value for each channel of an activation.
fn per_channel(
    converter: &mut Converter<'_>,
    constant: &Constant,
    value: &Activation,
) -> Result<Vec<f32>, String> {
    let (floats, channels) = (constant.floats()?, value.shape.channels);
    converter.spread(channels)?;
    if let [only] = floats {
        return Ok(vec![*only; channels]);
    }
    let refused = || format!("a constant of {:?} with {:?}", constant.dims, value.dims);
    let axis = value.channel_axis().ok_or_else(refused)?;
    // Shapes are compared from their ends; a dimension of 1 is spread.
    let missing = value.dims.len().checked_sub(constant.dims.len()).ok_or_else(refused)?;
    let fits = constant
        .dims
        .iter()
        .enumerate()
        .all(|(index, side)| *side == if index + missing == axis { channels } else { 1 });
    if fits && floats.len() == channels { Ok(floats.to_vec()) } else { Err(refused()) }
}
