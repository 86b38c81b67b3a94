//! Sums and products, of activations and with constants.

use super::{Inputs, channels, per_channel, value};
use crate::onnx::import::activation::Activation;
use crate::onnx::import::attributes::Attributes;
use crate::onnx::import::constant::Constant;
use crate::onnx::import::converter::{Converter, Value};
use crate::{Op, Source, Tensor};

pub(super) fn convert(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let operator = node.0.op_type.as_str();
    match (value(inputs, 0)?, value(inputs, 1)?) {
        (Value::Constant(left), Value::Constant(right)) => folded(operator, left, right).map(Value::from),
        (Value::Activation(left), Value::Constant(right)) => {
            let left = channels(converter, node, left)?;
            let constant = per_channel(converter, right, &left)?;
            let ones = || vec![1.0; constant.len()];
            let zeros = vec![0.0; constant.len()];
            let negative = || constant.iter().map(|value| -value).collect();
            let inverse = || constant.iter().map(|value| 1.0 / value).collect();
            let (factor, shift) = match operator {
                "Add" => (ones(), constant),
                "Sub" => (ones(), negative()),
                "Mul" => (constant, zeros),
                _ => (inverse(), zeros),
            };
            affine(converter, node, &node.0.input[0], &left, factor, shift)
        }
        (Value::Constant(left), Value::Activation(right)) => {
            let right = channels(converter, node, right)?;
            let constant = per_channel(converter, left, &right)?;
            let len = constant.len();
            let (factor, shift) = match operator {
                "Add" => (vec![1.0; len], constant),
                "Sub" => (vec![-1.0; len], constant),
                "Mul" => (constant, vec![0.0; len]),
                _ => return Err("a constant divided by an activation".to_owned()),
            };
            affine(converter, node, &node.0.input[1], &right, factor, shift)
        }
        (Value::Activation(left), Value::Activation(right)) => both(converter, node, left, right),
        _ => Ok(Value::Unknown),
    }
}

fn folded(operator: &str, left: &Constant, right: &Constant) -> Result<Constant, String> {
    match operator {
        "Add" => left.paired(right, |a, b| a + b, i64::checked_add),
        "Sub" => left.paired(right, |a, b| a - b, i64::checked_sub),
        "Mul" => left.paired(right, |a, b| a * b, i64::checked_mul),
        _ => left.paired(right, |a, b| a / b, i64::checked_div),
    }
}

/// `y = factor x + shift` for each channel. What reads an affine map or a layer without a bias that nobody else reads
/// becomes a part of it.
fn affine(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    name: &str,
    value: &Activation,
    factor: Vec<f32>,
    shift: Vec<f32>,
) -> Result<Value, String> {
    let len = factor.len();
    if let Source::Node(index) = value.source
        && converter.is_read_once(name)
    {
        let before = &mut converter.nodes[index];
        let (weight, bias) = (format!("{}.weight", before.name), format!("{}.bias", before.name));
        match &mut before.op {
            Op::Affine => {
                let mut change = |name: &str, shift: &[f32]| {
                    if let Some(tensor) = converter.weights.get_mut(name) {
                        for ((value, factor), shift) in tensor.values.iter_mut().zip(&factor).zip(shift) {
                            *value = *value * factor + shift;
                        }
                    }
                };
                change(&weight, &vec![0.0; len]);
                change(&bias, &shift);
                return Ok(Value::Activation(value.clone()));
            }
            Op::Linear(linear) if !linear.bias && factor.iter().all(|factor| *factor == 1.0) => {
                linear.bias = true;
                converter.weights.insert(bias, Tensor::new(vec![len], shift));
                return Ok(Value::Activation(value.clone()));
            }
            _ => {}
        }
    }
    let parameters =
        vec![("weight", Tensor::new(vec![len], factor)), ("bias", Tensor::new(vec![len], shift))];
    super::unary(converter, node, Op::Affine, value, parameters)
}

fn both(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    left: &Activation,
    right: &Activation,
) -> Result<Value, String> {
    let alike = left.dims == right.dims
        && left.shape == right.shape
        && (left.order == right.order || left.is_plain());
    let spread = |map: &Activation, vector: &Activation| {
        map.is_map() && vector.dims == [1, map.shape.channels, 1, 1] && vector.shape.positions() == 1
    };
    let (op, first, second) = match node.0.op_type.as_str() {
        "Add" if alike => (Op::Add, left, right),
        "Mul" if alike || spread(left, right) => (Op::Multiply, left, right),
        "Mul" if spread(right, left) => (Op::Multiply, right, left),
        _ => return Err(format!("activations of {:?} and {:?}", left.dims, right.dims)),
    };
    let (source, shape) = converter.push(node, op, vec![first.source, second.source], Vec::new())?;
    Ok(Value::Activation(Activation { source, shape, ..first.clone() }))
}
