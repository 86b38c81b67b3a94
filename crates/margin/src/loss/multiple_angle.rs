//! `cos(factor theta + offset)` continued beyond pi so that it keeps falling.

use std::f64::consts::PI;

use super::Target;

/// `psi = (-1)^k cos(phi) - 2k` with `phi = factor theta + offset`, on `k pi <= phi <= (k + 1) pi`
/// (SphereFace, arXiv:1704.08063, eq. 6 and 7, there for a whole `factor` and no `offset`).
///
/// The slope is `(-1)^k factor sin(phi) / sin(theta)`. At `theta = 0` and `theta = pi` it splits into a regular
/// part, which is returned, and `sin` of the phase over `sin(theta)`, which is zero or has no limit.
pub(super) fn target(cosine: f64, factor: f64, offset: f64) -> Target {
    let theta = cosine.acos();
    let phase = factor * theta + offset;
    let half_turns = ((factor * (theta / PI) + offset / PI).ceil() - 1.0).max(0.0);
    let sign = if half_turns % 2.0 == 0.0 { 1.0 } else { -1.0 };
    let sine = ((1.0 - cosine) * (1.0 + cosine)).sqrt();
    let slope = if sine > 0.0 {
        factor * phase.sin() / sine
    } else if cosine > 0.0 {
        factor * factor * offset.cos()
    } else {
        -factor * factor * phase.cos()
    };
    Target::of_angle(sign * phase.cos() - 2.0 * half_turns, sign * slope)
}
