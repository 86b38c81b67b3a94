//! Convolutions without groups, and linear layers, by whichever method costs least for their shapes.

use super::direct;
use super::geometry::Geometry;
use super::winograd::{self, Direction, Filters};
use crate::gemm::{Registers, Store};
use crate::pool::Pool;
use crate::precision::Precision;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    algorithm: Algorithm,
    precision: Precision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    /// As a product of gathered rows, [`direct`].
    Direct,
    /// By minimal filtering, [`winograd`].
    Winograd,
}

/// Whether weights are rearranged once or for every batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Those of a finished network.
    Fixed,
    /// Those of a network in training.
    Changing,
}

impl Method {
    /// That whose algorithm costs less, with operands in `precision`.
    pub(crate) fn of(pool: &Pool, geometry: &Geometry, weights: Weights, precision: Precision) -> Method {
        Method { algorithm: Algorithm::of(pool, geometry, weights), precision }
    }
}

impl Algorithm {
    /// The algorithm that costs less, by shapes alone.
    ///
    /// Counted in multiply-adds for each pair of an input and an output channel. The definition takes one for
    /// each of nine taps and each output position. Minimal filtering takes one for each of 36 elements and each
    /// tile, whose number is rounded up to whole tiles of registers; but its filters are four times larger.
    /// Measured with AVX-512, to read an element costs as much as 35 multiply-adds where all filters come from
    /// memory, and to transform it first as much again. With few channels the transforms of activations, which
    /// this does not count, weigh more than the products.
    fn of(pool: &Pool, geometry: &Geometry, weights: Weights) -> Algorithm {
        let channels = geometry.source.channels.min(geometry.target.channels);
        if !winograd::applies(geometry) || channels < 16 {
            return Algorithm::Direct;
        }
        let element = match weights {
            Weights::Fixed => 35,
            Weights::Changing => 70,
        };
        let rows = |count: usize| count.next_multiple_of(Registers::of(pool.isa()).rows);
        let filtering = 36 * (rows(winograd::count_tiles(geometry)) + element);
        let definition = 9 * (rows(geometry.images * geometry.target.positions()) + element);
        if filtering < definition { Algorithm::Winograd } else { Algorithm::Direct }
    }
}

fn filters(pool: &Pool, precision: Precision, geometry: &Geometry, direction: Direction) -> Filters {
    Filters::new(pool, precision, geometry.source.channels, geometry.target.channels, direction)
}

/// Floats of the weights rearranged for a forward pass.
pub(crate) fn forward_weights_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method.algorithm {
        Algorithm::Direct => direct::forward_panels(pool, method.precision, geometry).len(),
        Algorithm::Winograd => filters(pool, method.precision, geometry, Direction::Forward).len(),
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
    match method.algorithm {
        Algorithm::Direct => {
            direct::forward_panels(pool, method.precision, geometry).pack(pool, weights, rearranged);
        }
        Algorithm::Winograd => {
            filters(pool, method.precision, geometry, Direction::Forward)
                .transform(pool, weights, rearranged);
        }
    }
}

/// Floats of workspace that [`forward`] needs.
pub(crate) fn forward_workspace_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method.algorithm {
        Algorithm::Direct => 0,
        Algorithm::Winograd => {
            let shape = filters(pool, method.precision, geometry, Direction::Forward);
            winograd::convolve_workspace_len(pool, geometry, shape)
        }
    }
}

/// `target = source * weights (+ bias)`, the weights rearranged by [`rearrange_forward`].
///
/// # Shapes
/// `source` `[images, height, width, in]`, `target` `[images, height', width', out]`, `bias` `[out]`;
/// `workspace` is [`forward_workspace_len`] floats.
#[expect(clippy::too_many_arguments, reason = "a convolution has this many operands")]
pub(crate) fn forward(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    source: &[f32],
    rearranged: &[f32],
    bias: Option<&[f32]>,
    workspace: &mut [f32],
    target: &mut [f32],
) {
    match method.algorithm {
        Algorithm::Direct => {
            direct::forward(pool, method.precision, geometry, source, rearranged, bias, target);
        }
        Algorithm::Winograd => {
            let shape = filters(pool, method.precision, geometry, Direction::Forward);
            let store = Store::Replace;
            winograd::convolve(pool, geometry, source, shape, rearranged, bias, workspace, target, store);
        }
    }
}

/// Floats that [`input_gradient`] needs for rearranged weights and transforms.
pub(crate) fn input_gradient_workspace_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method.algorithm {
        Algorithm::Direct => direct::input_gradient_panels_len(pool, method.precision, geometry),
        Algorithm::Winograd => {
            let shape = filters(pool, method.precision, geometry, Direction::Backward);
            shape.len() + winograd::convolve_workspace_len(pool, geometry, shape)
        }
    }
}

/// `d_source (=|+=) d_target * transposed weights`: the gradient with respect to the activations.
///
/// # Shapes
/// `weights` `[taps, in, out]`; `workspace` is [`input_gradient_workspace_len`] floats.
#[expect(clippy::too_many_arguments, reason = "a gradient has this many operands")]
pub(crate) fn input_gradient(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    d_target: &[f32],
    weights: &[f32],
    workspace: &mut [f32],
    d_source: &mut [f32],
    store: Store,
) {
    match method.algorithm {
        Algorithm::Direct => {
            direct::input_gradient(
                pool,
                method.precision,
                geometry,
                d_target,
                weights,
                workspace,
                d_source,
                store,
            );
        }
        Algorithm::Winograd => {
            let shape = filters(pool, method.precision, geometry, Direction::Backward);
            let (filters, workspace) = workspace.split_at_mut(shape.len());
            shape.transform(pool, weights, filters);
            winograd::convolve(pool, geometry, d_target, shape, filters, None, workspace, d_source, store);
        }
    }
}

/// Floats that [`weight_gradient`] needs for what it sums.
pub(crate) fn weight_gradient_workspace_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method.algorithm {
        Algorithm::Direct => 0,
        Algorithm::Winograd => winograd::workspace_len(pool, method.precision, geometry),
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
    match method.algorithm {
        Algorithm::Direct => {
            direct::weight_gradient(pool, method.precision, geometry, source, d_target, d_weights);
        }
        Algorithm::Winograd => {
            winograd::weight_gradient(
                pool,
                method.precision,
                geometry,
                source,
                d_target,
                workspace,
                d_weights,
            );
        }
    }
}
