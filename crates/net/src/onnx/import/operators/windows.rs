//! Operators that move over height and width.

use super::{Inputs, activation, map, optional_constant};
use crate::onnx::import::activation::Activation;
use crate::onnx::import::attributes::{Attributes, axis};
use crate::onnx::import::converter::{Converter, Value};
use crate::{Op, Pool, PoolKind, Rounding, Upsample};

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

/// `Resize` and `Upsample` to the nearest neighbour by a whole factor.
pub(super) fn enlargement(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = map(inputs, 0)?;
    let mode = node.text("mode", "nearest");
    if mode != "nearest" {
        return Err(format!("mode {mode}, where nearest is read"));
    }
    // Opset 9 and 10 have no roi; from 11 on the inputs are image, roi, scales, sizes.
    let first = if converter.operator_set < 11 { 1 } else { 2 };
    let scales = optional_constant(inputs, first)?.filter(|scales| scales.len() > 0);
    let factor = match (scales, optional_constant(inputs, 3)?) {
        (Some(scales), _) => match scales.floats()? {
            [one, channels, rows, columns] if *one == 1.0 && *channels == 1.0 && rows == columns => *rows,
            other => {
                return Err(format!("scales {other:?}, where equal ones of height and width are needed"));
            }
        },
        (None, Some(sizes)) => {
            let (height, width) = (value.shape.height as f32, value.shape.width as f32);
            match sizes.as_integers()? {
                [_, _, rows, columns] if *rows as f32 / height == *columns as f32 / width => {
                    *rows as f32 / height
                }
                other => return Err(format!("sizes {other:?} for {:?}", value.dims)),
            }
        }
        (None, None) => return Err("neither scales nor sizes".to_owned()),
    };
    if !(factor >= 1.0 && factor.fract() == 0.0 && factor <= 256.0) {
        return Err(format!("a factor of {factor}, where a whole one is needed"));
    }
    if converter.operator_set >= 11 {
        let place = node.text("coordinate_transformation_mode", "half_pixel");
        let rounding = node.text("nearest_mode", "round_prefer_floor");
        // Each of these repeats a position `factor` times.
        let repeats = match (place, rounding) {
            ("asymmetric", "floor") => true,
            ("asymmetric", "round_prefer_floor") => factor <= 2.0,
            ("half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil") => true,
            _ => false,
        };
        if !repeats {
            return Err(format!("coordinates {place} with {rounding}"));
        }
    }
    let op = Op::Upsample(Upsample { factor: factor as usize });
    let (source, shape) = converter.push(node, op, vec![value.source], Vec::new())?;
    Ok(Value::Activation(Activation::map(source, shape)))
}
