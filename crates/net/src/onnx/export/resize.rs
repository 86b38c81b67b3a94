//! `Resize` of a resampling.

use crate::onnx::message::AttributeProto;
use crate::{Coordinates, Extent, Interpolation, Resample};

/// The attributes of `Resize`, but for its extent.
pub(super) fn attributes(resample: &Resample) -> Vec<AttributeProto> {
    let (mode, nearest) = match resample.interpolation {
        Interpolation::Linear => ("linear", None),
        Interpolation::NearestLow => ("nearest", Some("round_prefer_floor")),
        Interpolation::NearestHigh => ("nearest", Some("round_prefer_ceil")),
        Interpolation::Floor => ("nearest", Some("floor")),
        Interpolation::Ceiling => ("nearest", Some("ceil")),
    };
    let coordinates = match resample.coordinates {
        Coordinates::HalfPixel => "half_pixel",
        Coordinates::PytorchHalfPixel => "pytorch_half_pixel",
        Coordinates::Asymmetric => "asymmetric",
        Coordinates::AlignCorners => "align_corners",
    };
    let mut attributes = vec![
        AttributeProto::text("mode", mode),
        AttributeProto::text("coordinate_transformation_mode", coordinates),
    ];
    attributes.extend(nearest.map(|nearest| AttributeProto::text("nearest_mode", nearest)));
    attributes
}

/// The factor for a side: a size is one, too, and the batch that `Resize` would want beside sizes is not known.
pub(super) fn factor(resample: &Resample, axis: usize, from: usize) -> f32 {
    match resample.extent {
        Extent::Factors(factors) => factors[axis],
        Extent::Size(size) => {
            let mut factor = size[axis] as f32 / from as f32;
            // The runtime rounds the product down.
            while ((factor * from as f32) as usize) < size[axis] {
                factor = factor.next_up();
            }
            factor
        }
    }
}
