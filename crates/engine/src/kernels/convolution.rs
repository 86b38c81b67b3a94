//! Convolutions without groups, and linear layers, by whichever method costs least for their shapes.

use super::activations::{Activations, OutputGradient};
use super::batch_norm::Parts;
use super::dense;
use super::direct;
use super::epilogue::Epilogue;
use super::finished;
#[cfg(target_arch = "x86_64")]
use super::flat;
use super::geometry::Geometry;
use super::stored::{self, StoredMut};
use super::winograd::{self, Direction, Filters};
use crate::gemm::{Registers, Store};
use crate::pool::Pool;
use crate::precision::Precision;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) algorithm: Algorithm,
    pub(crate) precision: Precision,
    pub(crate) weights: Weights,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// As a product of gathered rows, [`direct`].
    Direct,
    /// So, but forward with weights as they lie: a linear layer of many inputs in training.
    Unpacked,
    /// By minimal filtering, [`winograd`].
    Winograd,
    /// As a product of tiles of a map laid end to end, [`flat`].
    #[cfg(target_arch = "x86_64")]
    Flat,
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
        Method { algorithm: Algorithm::of(pool, geometry, weights, precision), precision, weights }
    }
}

impl Algorithm {
    /// The algorithm that costs less, by shapes alone.
    ///
    /// Counted in multiply-adds for each pair of an input and an output channel. The definition takes one for
    /// each of nine taps and each output position. Minimal filtering takes one for each of 36 elements and each
    /// tile, whose number is rounded up to halves of tiles of registers; but its filters are four times larger.
    /// Measured with AVX-512, to read an element costs as much as 35 multiply-adds where all filters come from
    /// memory, in bf16, whose multiply-adds take half the time, as much as 70; so does to transform it first in f32.
    /// With few channels the transforms of activations, which
    /// this does not count, weigh more than the products.
    fn of(pool: &Pool, geometry: &Geometry, weights: Weights, precision: Precision) -> Algorithm {
        #[cfg(target_arch = "x86_64")]
        if flat::applies(pool.isa(), precision, geometry) {
            return Algorithm::Flat;
        }
        if weights == Weights::Changing && geometry.covers_input() && !geometry.is_dense() {
            return Algorithm::Unpacked;
        }
        let channels = geometry.source.channels.min(geometry.target.channels);
        if !winograd::applies(geometry) || channels < 16 {
            return Algorithm::Direct;
        }
        let element = match (weights, precision) {
            (Weights::Fixed, Precision::F32) => 35,
            (Weights::Fixed, Precision::Bf16) | (Weights::Changing, _) => 70,
        };
        let rows = |count: usize| count.next_multiple_of(Registers::of(pool.isa()).half());
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
        Algorithm::Unpacked => 0,
        Algorithm::Winograd => filters(pool, method.precision, geometry, Direction::Forward).len(),
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => flat::forward_weights_len(geometry),
    }
}

/// Rearranges `weights`, `[taps, in, out]`, for a forward pass; returns them as they lie where that is how they are read.
///
/// # Panics
/// When a length does not fit the sizes.
pub(crate) fn rearrange_forward<'a>(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    weights: &'a [f32],
    rearranged: &'a mut [f32],
) -> &'a [f32] {
    match method.algorithm {
        Algorithm::Direct => {
            direct::forward_panels(pool, method.precision, geometry).pack(pool, weights, rearranged);
        }
        Algorithm::Unpacked => return weights,
        Algorithm::Winograd => {
            filters(pool, method.precision, geometry, Direction::Forward)
                .transform(pool, weights, rearranged);
        }
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => flat::rearrange_forward(pool, geometry, weights, rearranged),
    }
    rearranged
}

/// Floats of workspace that [`forward`] needs.
pub(crate) fn forward_workspace_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    match method.algorithm {
        Algorithm::Direct => 0,
        Algorithm::Unpacked => direct::forward_unpacked_workspace_len(pool, method.precision, geometry),
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => 0,
        Algorithm::Winograd => {
            let shape = filters(pool, method.precision, geometry, Direction::Forward);
            winograd::convolve_workspace_len(pool, geometry, shape)
        }
    }
}

/// `target = epilogue(source * weights)`, the weights rearranged by [`rearrange_forward`]. Where `moments` are asked
/// for, those of parts of the rows are written there as [`batch_norm::measure`](super::batch_norm::measure) does, and
/// the parts are returned.
///
/// # Shapes
/// `source` `[images, height, width, in]`, `target` `[images, height', width', out]`; `workspace` is
/// [`forward_workspace_len`] floats.
#[expect(clippy::too_many_arguments, reason = "a convolution has this many operands")]
pub(crate) fn forward(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    source: Activations<'_>,
    rearranged: &[f32],
    epilogue: Epilogue<'_>,
    mut moments: Option<&mut [f32]>,
    workspace: &mut [f32],
    mut target: StoredMut<'_>,
) -> Option<Parts> {
    assert!(
        source.before.is_none() || is_dense(pool, method, geometry),
        "a normalisation before {geometry:?}"
    );
    let channels = geometry.target.channels;
    let done = match method.algorithm {
        Algorithm::Direct => {
            let moments = moments.as_deref_mut();
            let target = target.reborrow();
            direct::forward(pool, method.precision, geometry, source, rearranged, epilogue, moments, target)
        }
        Algorithm::Unpacked => {
            let (precision, weights) = (method.precision, rearranged);
            direct::forward_unpacked(
                pool,
                precision,
                geometry,
                source.values.floats(),
                weights,
                epilogue,
                workspace,
                target.reborrow().floats(),
            );
            None
        }
        Algorithm::Winograd => {
            let shape = filters(pool, method.precision, geometry, Direction::Forward);
            let (target, store) = (target.reborrow(), Store::Replace);
            let streams =
                stored::streams(pool.isa(), target.len(), store, method.weights == Weights::Changing);
            let finish = winograd::Finish { epilogue, store, streams };
            winograd::convolve(
                pool,
                geometry,
                source.values,
                shape,
                rearranged,
                finish,
                moments.as_deref_mut(),
                workspace,
                target,
            )
        }
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => {
            let target = target.reborrow();
            flat::forward(pool, geometry, source.values, rearranged, epilogue, method.weights, target);
            None
        }
    };
    finished::measured(pool, done, moments, channels, target.as_ref())
}

/// Whether [`dense::gradients`] is how the gradients are computed, which takes a pending one and activations with a
/// normalisation before them.
pub(crate) fn is_dense(pool: &Pool, method: Method, geometry: &Geometry) -> bool {
    method.algorithm == Algorithm::Direct && dense::applies(pool.isa(), method.precision, geometry)
}

/// Whether both passes take and make bf16 where they lie in memory.
pub(crate) fn takes_bf16(pool: &Pool, method: Method, geometry: &Geometry) -> bool {
    match method.algorithm {
        Algorithm::Winograd => true,
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => true,
        Algorithm::Direct | Algorithm::Unpacked => is_dense(pool, method, geometry),
    }
}

/// Floats that [`gradients`] needs for rearranged weights, transforms and sums.
pub(crate) fn gradients_workspace_len(pool: &Pool, method: Method, geometry: &Geometry) -> usize {
    let precision = method.precision;
    match method.algorithm {
        Algorithm::Direct if is_dense(pool, method, geometry) => {
            dense::workspace_len(pool.isa(), precision, geometry)
        }
        Algorithm::Direct | Algorithm::Unpacked => {
            let panels = direct::input_gradient_panels_len(pool, precision, geometry);
            panels.max(direct::weight_gradient_workspace_len(pool, precision, geometry))
        }
        Algorithm::Winograd => {
            let shape = filters(pool, precision, geometry, Direction::Backward);
            let input = shape.len() + winograd::convolve_workspace_len(pool, geometry, shape);
            input.max(winograd::workspace_len(pool, precision, geometry))
        }
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => {
            flat::input_gradient_workspace_len(geometry).max(flat::weight_gradient_workspace_len(geometry))
        }
    }
}

/// `d_weights (=|+=) transposed source * d_target`, the gradient with respect to the weights, and, where it is wanted,
/// `d_source (=|+=) d_target * transposed weights`, that with respect to the activations.
///
/// A gradient that is pending in a normalisation after this is written on the way, see [`is_dense`]; so are the
/// activations where a normalisation comes before them, and what is returned then is as in [`dense::gradients`].
///
/// # Shapes
/// `weights` and `d_weights` `[taps, in, out]`; `workspace` is [`gradients_workspace_len`] floats.
///
/// # Panics
/// When a normalisation before or after is not taken, or a length does not fit.
#[expect(clippy::too_many_arguments, reason = "two gradients have this many operands")]
pub(crate) fn gradients(
    pool: &Pool,
    method: Method,
    geometry: &Geometry,
    source: Activations<'_>,
    d_target: OutputGradient<'_>,
    weights: &[f32],
    workspace: &mut [f32],
    partials: &mut [f32],
    d_weights: (&mut [f32], Store),
    d_source: Option<(StoredMut<'_>, Store)>,
) -> Option<usize> {
    let precision = method.precision;
    if is_dense(pool, method, geometry) {
        return dense::gradients(
            pool, precision, geometry, source, d_target, weights, workspace, partials, d_weights, d_source,
        );
    }
    assert!(source.before.is_none() && d_target.pending.is_none(), "a normalisation beside {geometry:?}");
    let (source, d_target) = (source.values, d_target.values);
    match method.algorithm {
        Algorithm::Direct | Algorithm::Unpacked => {
            let (source, d_target) = (source.floats(), d_target.floats());
            direct::weight_gradient(pool, precision, geometry, source, d_target, workspace, d_weights);
            if let Some((d_source, store)) = d_source {
                let d_source = d_source.floats();
                direct::input_gradient(
                    pool, precision, geometry, d_target, weights, workspace, d_source, store,
                );
            }
        }
        Algorithm::Winograd => {
            winograd::weight_gradient(pool, precision, geometry, source, d_target, workspace, d_weights);
            if let Some((d_source, store)) = d_source {
                let shape = filters(pool, precision, geometry, Direction::Backward);
                let (filters, workspace) = workspace.split_at_mut(shape.len());
                shape.transform(pool, weights, filters);
                let streams = stored::streams(pool.isa(), d_source.len(), store, true);
                let finish = winograd::Finish { epilogue: Epilogue::default(), store, streams };
                winograd::convolve(
                    pool, geometry, d_target, shape, filters, finish, None, workspace, d_source,
                );
            }
        }
        #[cfg(target_arch = "x86_64")]
        Algorithm::Flat => {
            flat::weight_gradient(pool, geometry, source, d_target, workspace, d_weights);
            if let Some((d_source, store)) = d_source {
                flat::input_gradient(pool, geometry, d_target, weights, workspace, d_source, store);
            }
        }
    }
    None
}
