//! The operations of a network on NHWC activations, forward and backward.
//!
//! Gradients towards parameters always add to what is there; those towards an input replace it or add to it
//! ([`Store`](crate::gemm::Store)).

pub(crate) mod activations;
pub(crate) mod arrangement;
pub(crate) mod batch_norm;
pub(crate) mod column;
pub(crate) mod convolution;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod dropout;
pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod finished;
#[cfg(target_arch = "x86_64")]
pub(crate) mod flat;
pub(crate) mod geometry;
pub(crate) mod pointwise;
pub(crate) mod pooling;
pub(crate) mod prelu;
#[cfg(test)]
pub(crate) mod reference;
pub(crate) mod stored;
pub(crate) mod winograd;

pub(crate) use geometry::Geometry;
