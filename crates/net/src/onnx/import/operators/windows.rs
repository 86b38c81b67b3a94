//! Operators that move over height and width.

use super::{Inputs, activation, map, optional_constant};
use crate::onnx::import::activation::Activation;
use crate::onnx::import::attributes::{Attributes, axis};
use crate::onnx::import::converter::{Converter, Value};
use crate::{Op, Pool, PoolKind, Rounding};

pub(super) fn pool(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = map(inputs, 0)?;
    let kind = if node.0.op_type == "MaxPool" { PoolKind::Largest } else { PoolKind::Average };
    let (kernel, stride) = (node.kernel()?, node.stride()?);
    let padding = node.padding([value.shape.height, value.shape.width], kernel, stride)?;
    if kind == PoolKind::Average && padding > 0 && node.integer("count_include_pad", 0) != 0 {
        return Err("count_include_pad with padding".to_owned());
    }
    let rounding = if node.integer("ceil_mode", 0) == 0 { Rounding::Down } else { Rounding::Up };
    let pool = Pool { kind, kernel, stride, padding, rounding };
    let (source, shape) = converter.push(node, Op::Pool(pool), vec![value.source], Vec::new())?;
    Ok(Value::Activation(Activation::map(source, shape)))
}

/// The mean over all positions; `keeps` where the output has a height and a width of 1.
pub(super) fn global_average(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
    keeps: bool,
) -> Result<Value, String> {
    let value = map(inputs, 0)?;
    let (source, shape) = converter.push(node, Op::GlobalAverage, vec![value.source], Vec::new())?;
    Ok(Value::Activation(if keeps {
        Activation::map(source, shape)
    } else {
        Activation::vector(source, shape.channels)
    }))
}

/// `ReduceMean` over height and width.
pub(super) fn mean(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let axes = match optional_constant(inputs, 1)? {
        Some(axes) => axes.as_integers()?,
        None => node.integers("axes").unwrap_or(&[]),
    };
    let rank = activation(inputs, 0)?.dims.len();
    let mut axes = axes.iter().map(|value| axis(*value, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    if axes != [2, 3] {
        return Err(format!("over axes {axes:?}, where height and width are needed"));
    }
    global_average(converter, node, inputs, node.integer("keepdims", 1) != 0)
}
