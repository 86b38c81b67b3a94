//! The angular margin with its guard beyond pi.

use super::{ArcFaceSlope, Target};

/// Target logit of ArcFace: `psi = cos(theta + m)` while `theta + m <= pi`, else `c - m sin m`, with `m` in
/// radians (arXiv:1801.07698, eq. 3).
///
/// Without the guard `cos(theta + m)` rises again beyond pi and rewards the worst samples. The guard's value lies
/// below -1, so the target still falls with the angle, with a step at the joint.
pub(super) fn target(cosine: f64, m: f64, slope: ArcFaceSlope) -> Target {
    if cosine.acos() + m > std::f64::consts::PI {
        return Target::of_angle(cosine - m * m.sin(), 1.0);
    }
    let sine = ((1.0 - cosine) * (1.0 + cosine)).sqrt();
    let exact = if sine > 0.0 { m.cos() + cosine * m.sin() / sine } else { m.cos() };
    let slope = match slope {
        ArcFaceSlope::Exact => exact,
        ArcFaceSlope::Detached => 1.0,
    };
    Target::of_angle(cosine * m.cos() - sine * m.sin(), slope)
}
