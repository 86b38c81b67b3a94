//! Operators that compute nothing: they name, order, join and cut.

use std::rc::Rc;

use super::{Inputs, activation, constant, flattened, optional_constant, value};
use crate::onnx::import::activation::Activation;
use crate::onnx::import::attributes::{Attributes, axis, size};
use crate::onnx::import::constant::{Constant, check_rank, elements};
use crate::onnx::import::converter::{Converter, Value};
use crate::{Op, Slice, Source, Span};

pub(super) fn convert(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    match node.0.op_type.as_str() {
        "Shape" if node.has("start") || node.has("end") => Err("start or end".to_owned()),
        "Shape" => {
            let dims = dims(value(inputs, 0)?)?;
            Ok(Value::from(Constant::integers(dims.iter().map(|side| *side as i64).collect())))
        }
        "Gather" => {
            let from = constant(inputs, 0)?;
            let axis = axis(node.integer("axis", 0), from.dims.len())?;
            from.gathered(axis, constant(inputs, 1)?).map(Value::from)
        }
        "Concat" => concat(converter, node, inputs),
        "Slice" => slice(converter, node, inputs),
        "Transpose" => transpose(node, value(inputs, 0)?),
        "Flatten" => {
            let sides = dims(value(inputs, 0)?)?;
            let at = match node.integer("axis", 1) {
                whole if whole == sides.len() as i64 => sides.len(),
                value => axis(value, sides.len())?,
            };
            let product = |sides: &[usize]| elements(sides).ok_or("too many elements");
            let flat = vec![product(&sides[..at])?, product(&sides[at..])?];
            with_dims(value(inputs, 0)?, flat)
        }
        "Reshape" => {
            let asked = constant(inputs, 1)?.as_integers()?;
            let from = value(inputs, 0)?;
            with_dims(from, reshaped(dims(from)?, asked, node.integer("allowzero", 0) != 0)?)
        }
        "Squeeze" => {
            let from = value(inputs, 0)?;
            let sides = dims(from)?;
            let axes = axes(node, inputs, sides.len())?;
            let dropped =
                |index: usize| if axes.is_empty() { sides[index] == 1 } else { axes.contains(&index) };
            let kept = (0..sides.len()).filter(|index| !dropped(*index)).map(|index| sides[index]).collect();
            with_dims(from, kept)
        }
        "Unsqueeze" => {
            let from = value(inputs, 0)?;
            let mut sides = dims(from)?.to_vec();
            let count = optional_constant(inputs, 1)?
                .map_or(node.integers("axes").unwrap_or(&[]).len(), Constant::len);
            check_rank(sides.len() + count)?;
            let mut axes = axes(node, inputs, sides.len() + count)?;
            axes.sort_unstable();
            for axis in axes {
                if axis > sides.len() {
                    return Err(format!("axis {axis} of {sides:?}"));
                }
                sides.insert(axis, 1);
            }
            with_dims(from, sides)
        }
        other => Err(format!("{other} has no meaning here")),
    }
}

fn dims(value: &Value) -> Result<&[usize], String> {
    match value {
        Value::Constant(constant) => Ok(&constant.dims),
        Value::Activation(activation) => Ok(&activation.dims),
        Value::Unknown => Err("an unknown value".to_owned()),
    }
}

fn with_dims(value: &Value, dims: Vec<usize>) -> Result<Value, String> {
    match value {
        Value::Constant(constant) => constant.with_dims(dims).map(Value::from),
        Value::Activation(activation) => activation.with_dims(dims).map(Value::Activation),
        Value::Unknown => Ok(Value::Unknown),
    }
}

/// Axes from the second input or, in older files, the attribute.
fn axes(node: Attributes<'_>, inputs: Inputs<'_>, rank: usize) -> Result<Vec<usize>, String> {
    let axes = match optional_constant(inputs, 1)? {
        Some(axes) => axes.as_integers()?,
        None => node.integers("axes").unwrap_or(&[]),
    };
    axes.iter().map(|value| axis(*value, rank)).collect()
}

/// The dimensions that `Reshape` makes: 0 keeps one, -1 takes what is left.
fn reshaped(from: &[usize], asked: &[i64], zero_is_zero: bool) -> Result<Vec<usize>, String> {
    let refused = || format!("a shape of {asked:?} for {from:?}");
    let mut sides = Vec::with_capacity(asked.len());
    for (index, side) in asked.iter().enumerate() {
        sides.push(match side {
            -1 => 1,
            0 if !zero_is_zero => *from.get(index).ok_or_else(refused)?,
            side => size(*side)?,
        });
    }
    let open: Vec<usize> = (0..asked.len()).filter(|index| asked[*index] == -1).collect();
    let total = elements(from).ok_or_else(refused)?;
    match open[..] {
        [] => {}
        [index] => {
            let known = elements(&sides).filter(|known| *known > 0).ok_or_else(refused)?;
            if !total.is_multiple_of(known) {
                return Err(refused());
            }
            sides[index] = total / known;
        }
        _ => return Err(refused()),
    }
    Ok(sides)
}

fn transpose(node: Attributes<'_>, value: &Value) -> Result<Value, String> {
    let rank = dims(value)?.len();
    let order = match node.integers("perm") {
        Some(order) => order.iter().map(|value| axis(*value, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(format!("perm {order:?} of {rank} dimensions"));
    }
    match value {
        Value::Constant(constant) => Ok(Value::from(constant.transposed(&order))),
        Value::Activation(activation) => activation.transposed(&order).map(Value::Activation),
        Value::Unknown => Ok(Value::Unknown),
    }
}

fn concat(converter: &mut Converter<'_>, node: Attributes<'_>, inputs: Inputs<'_>) -> Result<Value, String> {
    let parts: Vec<&Value> = (0..inputs.len()).map(|index| value(inputs, index)).collect::<Result<_, _>>()?;
    let constants: Vec<Rc<Constant>> = parts
        .iter()
        .filter_map(
            |part| if let Value::Constant(constant) = part { Some(Rc::clone(constant)) } else { None },
        )
        .collect();
    if constants.len() == parts.len() {
        return Constant::concatenated(&constants).map(Value::from);
    }
    let parts: Vec<&Activation> =
        (0..inputs.len()).map(|index| activation(inputs, index)).collect::<Result<_, _>>()?;
    let first = parts[0];
    let axis = axis(node.integer("axis", 1), first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = 0;
    for part in &parts {
        let others = |dims: &[usize]| [&dims[..axis], &dims[axis + 1..]].concat();
        if part.dims.len() != dims.len() || others(&part.dims) != others(&dims) {
            return Err(format!("parts of {:?} and {:?}", first.dims, part.dims));
        }
        dims[axis] += part.dims[axis];
    }
    let sources = |parts: &[&Activation]| parts.iter().map(|part| part.source).collect::<Vec<Source>>();
    let by_channel = parts.iter().all(|part| {
        part.channel_axis() == Some(axis)
            && (part.order == first.order || part.is_plain())
            && part.shape.positions() == first.shape.positions()
    });
    if by_channel {
        let (source, shape) = converter.push(node, Op::Concat, sources(&parts), Vec::new())?;
        return Ok(Value::Activation(Activation { source, shape, order: first.order, dims }));
    }
    if dims[..axis].iter().any(|side| *side != 1) {
        return Err(format!("along axis {axis} of {:?}", first.dims));
    }
    // Nothing before the axis: the parts lie after each other.
    let mut laid = Vec::new();
    for part in parts {
        let flat = if part.is_last() { part.clone() } else { flattened(converter, node, part)? };
        laid.push(flat.source);
    }
    let (source, shape) = converter.push(node, Op::Join, laid, Vec::new())?;
    Activation::vector(source, shape.channels).with_dims(dims).map(Value::Activation)
}

fn slice(converter: &mut Converter<'_>, node: Attributes<'_>, inputs: Inputs<'_>) -> Result<Value, String> {
    let from = value(inputs, 0)?;
    let sides = dims(from)?.to_vec();
    let list = |index: usize, name: &str| match optional_constant(inputs, index)? {
        Some(list) => list.as_integers().map(|list| Some(list.to_vec())),
        None => Ok(node.integers(name).map(<[i64]>::to_vec)),
    };
    let starts = list(1, "starts")?.ok_or("no starts")?;
    let ends = list(2, "ends")?.ok_or("no ends")?;
    let axes = list(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return Err("starts, ends, axes and steps of unequal lengths".to_owned());
    }
    let mut spans: Vec<Span> = sides.iter().map(|side| Span::whole(*side)).collect();
    for (((start, end), at), step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let at = axis(*at, sides.len())?;
        let side = sides[at] as i64;
        let place =
            |value: i64| if value < 0 { value.saturating_add(side) } else { value }.clamp(0, side) as usize;
        let step = usize::try_from(*step).ok().filter(|step| *step > 0);
        let step = step.ok_or("a step that is not above 0")?;
        spans[at] = Span { start: place(*start), end: place(*end), step };
    }
    match from {
        Value::Constant(constant) => match (&spans[..], constant.dims.len()) {
            ([span], 1) => {
                let indices = (span.start..span.end).step_by(span.step).map(|index| index as i64).collect();
                constant.gathered(0, &Constant::integers(indices)).map(Value::from)
            }
            _ => Err(format!("a constant of {:?}", constant.dims)),
        },
        Value::Activation(value)
            if spans.first() == Some(&Span::whole(1)) && (value.is_map() || value.is_vector()) =>
        {
            let rest = |index: usize| spans.get(index).copied().unwrap_or(Span::whole(1));
            let op = Op::Slice(Slice { channels: spans[1], rows: rest(2), columns: rest(3) });
            let (source, shape) = converter.push(node, op, vec![value.source], Vec::new())?;
            Ok(Value::Activation(if value.is_map() {
                Activation::map(source, shape)
            } else {
                Activation::vector(source, shape.channels)
            }))
        }
        _ => Err(format!("a part of {sides:?}")),
    }
}
