//! Convolutions without groups, and linear layers, by whichever method costs least for their shapes.

use super::direct;
use super::geometry::Geometry;
use super::winograd::{self, Direction, Filters};
use crate::gemm::Store;
use crate::pool::Pool;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// As a product of gathered rows, [`direct`].
    Direct,
    /// By minimal filtering, [`winograd`].
    Winograd,
}

impl Method {
    /// The method for the forward pass and the gradient towards the input.
    pub(crate) fn of(geometry: &Geometry) -> Method {
        let channels = geometry.source.channels.min(geometry.target.channels);
        if winograd::applies(geometry) && channels >= 16 { Method::Winograd } else { Method::Direct }
    }
}

fn filters(pool: &Pool, geometry: &Geometry, direction: Direction) -> Filters {
    Filters::new(pool, geometry.source.channels, geometry.target.channels, direction)
}

/// Floats of the weights rearranged for a forward pass.
pub(crate) fn forward_weights_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method {
        Method::Direct => direct::forward_panels(pool, geometry).len(),
        Method::Winograd => filters(pool, geometry, Direction::Forward).len(),
    }
}

/// Rearranges `weights`, `[taps, in, out]`, for a forward pass.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn rearrange_forward(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    weights: &[f32],
    rearranged: &mut [f32],
) {
    match method {
        Method::Direct => direct::forward_panels(pool, geometry).pack(pool, weights, rearranged),
        Method::Winograd => {
            filters(pool, geometry, Direction::Forward).transform(pool, weights, rearranged);
        }
    }
}

/// `target = source * weights (+ bias)`, the weights rearranged by [`rearrange_forward`].
///
/// # Shapes
/// `source` `[images, height, width, in]`, `target` `[images, height', width', out]`, `bias` `[out]`.
pub(crate) fn forward(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    source: &[f32],
    rearranged: &[f32],
    bias: Option<&[f32]>,
    target: &mut [f32],
) {
    match method {
        Method::Direct => direct::forward(pool, geometry, source, rearranged, bias, target),
        Method::Winograd => {
            let shape = filters(pool, geometry, Direction::Forward);
            winograd::convolve(pool, geometry, source, shape, rearranged, bias, target, Store::Replace);
        }
    }
}

/// Floats that [`input_gradient`] needs for rearranged weights.
pub(crate) fn input_gradient_weights_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method {
        Method::Direct => direct::input_gradient_panels_len(pool, geometry),
        Method::Winograd => filters(pool, geometry, Direction::Backward).len(),
    }
}

/// `d_source (=|+=) d_target * transposed weights`: the gradient with respect to the activations.
///
/// # Shapes
/// `weights` `[taps, in, out]`; `scratch` is [`input_gradient_weights_len`] floats.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn input_gradient(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    d_target: &[f32],
    weights: &[f32],
    scratch: &mut [f32],
    d_source: &mut [f32],
    store: Store,
) {
    match method {
        Method::Direct => {
            direct::input_gradient(pool, geometry, d_target, weights, scratch, d_source, store);
        }
        Method::Winograd => {
            let shape = filters(pool, geometry, Direction::Backward);
            shape.transform(pool, weights, scratch);
            winograd::convolve(pool, geometry, d_target, shape, scratch, None, d_source, store);
        }
    }
}

/// Floats that [`weight_gradient`] needs for what it sums.
pub(crate) fn weight_gradient_workspace_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method {
        Method::Direct => 0,
        Method::Winograd => winograd::workspace_len(pool, geometry),
    }
}

/// `d_weights += transposed source * d_target`: the gradient with respect to the weights, `[taps, in, out]`.
///
/// `workspace` is [`weight_gradient_workspace_len`] floats.
pub(crate) fn weight_gradient(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    source: &[f32],
    d_target: &[f32],
    workspace: &mut [f32],
    d_weights: &mut [f32],
) {
    match method {
        Method::Direct => direct::weight_gradient(pool, geometry, source, d_target, d_weights),
        Method::Winograd => {
            winograd::weight_gradient(pool, geometry, source, d_target, workspace, d_weights);
        }
    }
}
