//! The cosine margin; NSL and softmax are its case m = 0.

use super::Target;

/// Target logit of LMCL: `psi(c) = c - m`, with `m` in cosine units (arXiv:1801.09414, eq. 4).
pub(super) fn target(cosine: f64, m: f64) -> Target {
    Target::of_angle(cosine - m, 1.0)
}
