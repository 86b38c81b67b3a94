//! Three margins at once: a factor on the angle, an angle, and a cosine.

use super::{Target, multiple_angle};

/// Target logit `psi = cos(m1 theta + m2) - m3` (arXiv:1801.07698, eq. 4).
///
/// Beyond `m1 theta + m2 = pi`, where the paper is silent, the angular part continues as in SphereFace: with
/// `m2 = m3 = 0` and a whole `m1` this is SphereFace's psi, with `m1 = 1` it is ArcFace up to that point.
pub(super) fn target(cosine: f64, m1: f64, m2: f64, m3: f64) -> Target {
    let angular = multiple_angle::target(cosine, m1, m2);
    Target { psi: angular.psi - m3, ..angular }
}
