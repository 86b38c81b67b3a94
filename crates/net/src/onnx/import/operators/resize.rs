//! `Resize` and `Upsample`.

use std::fmt::Debug;

use super::{Inputs, map, optional_constant};
use crate::onnx::import::activation::Activation;
use crate::onnx::import::attributes::{Attributes, axis, size};
use crate::onnx::import::converter::{Converter, Value};
use crate::{Coordinates, Extent, Interpolation, Op, Resample, Upsample};

/// `Resize`, and `Upsample` of operator set 9.
pub(super) fn convert(
    converter: &mut Converter<'_>,
    node: Attributes<'_>,
    inputs: Inputs<'_>,
) -> Result<Value, String> {
    let value = map(inputs, 0)?;
    for (attribute, known) in [("antialias", 0), ("exclude_outside", 0)] {
        if node.integer(attribute, known) != known {
            return Err(format!("{attribute} {}", node.integer(attribute, known)));
        }
    }
    let policy = node.text("keep_aspect_ratio_policy", "stretch");
    if policy != "stretch" {
        return Err(format!("keep_aspect_ratio_policy {policy}, where stretch is read"));
    }
    // Operator sets 9 and 10 have no roi; from 11 on the inputs are image, roi, scales, sizes.
    let first = if converter.operator_set < 11 { 1 } else { 2 };
    let scales = optional_constant(inputs, first)?.filter(|scales| scales.len() > 0);
    let extent = match (scales, optional_constant(inputs, 3)?) {
        (Some(scales), _) => Extent::Factors(sides(node, scales.floats()?, [1.0; 2])?),
        (None, Some(sizes)) => {
            let sizes = sizes.as_integers()?;
            let [rows, columns] = sides(node, sizes, [1, value.shape.channels as i64])?;
            let [height, width] = [size(rows)?, size(columns)?];
            let factors =
                [height as f32 / value.shape.height as f32, width as f32 / value.shape.width as f32];
            // A whole factor holds for images of another size, too.
            if factors[0] == factors[1] && factors[0].fract() == 0.0 {
                Extent::Factors(factors)
            } else {
                Extent::Size([height, width])
            }
        }
        (None, None) => return Err("neither scales nor sizes".to_owned()),
    };
    let (coordinates, rounding) = if converter.operator_set < 11 {
        ("asymmetric", "floor")
    } else {
        let place = node.text("coordinate_transformation_mode", "half_pixel");
        (place, node.text("nearest_mode", "round_prefer_floor"))
    };
    let refused = || format!("coordinates {coordinates} with {rounding}");
    let interpolation = match (node.text("mode", "nearest"), rounding) {
        ("linear" | "bilinear", _) => Interpolation::Linear,
        ("nearest", "round_prefer_floor") => Interpolation::NearestLow,
        ("nearest", "round_prefer_ceil") => Interpolation::NearestHigh,
        ("nearest", "floor") => Interpolation::Floor,
        ("nearest", "ceil") => Interpolation::Ceiling,
        ("nearest", _) => return Err(refused()),
        (mode, _) => return Err(format!("mode {mode}, where nearest and linear are read")),
    };
    let coordinates = match coordinates {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "asymmetric" => Coordinates::Asymmetric,
        "align_corners" => Coordinates::AlignCorners,
        _ => return Err(refused()),
    };
    let resample = Resample { extent, coordinates, interpolation };
    let op = repeated(&resample).map_or(Op::Resample(resample), Op::Upsample);
    let (source, shape) = converter.push(node, op, vec![value.source], Vec::new())?;
    Ok(Value::Activation(Activation::map(source, shape)))
}

/// The values of height and width among four, or among those that `axes` names; batch and channels must be `kept`.
fn sides<T: Copy + PartialEq + Debug>(
    node: Attributes<'_>,
    values: &[T],
    kept: [T; 2],
) -> Result<[T; 2], String> {
    let axes = match node.integers("axes") {
        None => vec![0, 1, 2, 3],
        Some(axes) => axes.iter().map(|value| axis(*value, 4)).collect::<Result<Vec<_>, _>>()?,
    };
    let at = |axis: usize| {
        axes.iter().position(|known| *known == axis).and_then(|place| values.get(place).copied())
    };
    let stays = |axis: usize| at(axis).is_none_or(|value| value == kept[axis]);
    match (at(2), at(3)) {
        (Some(rows), Some(columns)) if axes.len() == values.len() && stays(0) && stays(1) => {
            Ok([rows, columns])
        }
        _ => Err(format!("{values:?} for axes {axes:?}, where height and width alone are resized")),
    }
}

/// The enlargement by repetition that a resampling is, where it is one.
fn repeated(resample: &Resample) -> Option<Upsample> {
    let Extent::Factors([factor, other]) = resample.extent else { return None };
    let whole = factor == other && (1.0..=256.0).contains(&factor) && factor.fract() == 0.0;
    let repeats = match (resample.coordinates, resample.interpolation) {
        (Coordinates::Asymmetric, Interpolation::Floor) => true,
        (Coordinates::Asymmetric, Interpolation::NearestLow) => factor <= 2.0,
        (
            Coordinates::HalfPixel | Coordinates::PytorchHalfPixel,
            Interpolation::NearestLow | Interpolation::NearestHigh,
        ) => true,
        _ => false,
    };
    (whole && repeats).then_some(Upsample { factor: factor as usize })
}
