//! The angular margin that grows with the feature's norm, and the penalty of small norms.

use super::{ArcFaceSlope, Penalty, Target, arcface};

/// ArcFace's target at the margin of the norm: `m(a) = m_low + (m_high - m_low) (a - low) / (high - low)`
/// (MagFace, arXiv:2103.06627, eq. 3, and section 4.1 for the line).
pub(super) fn target(cosine: f64, norm: f64, [m_low, m_high]: [f64; 2], [low, high]: [f64; 2]) -> Target {
    let per_norm = (m_high - m_low) / (high - low);
    let m = m_low + per_norm * (norm.clamp(low, high) - low);
    let angular = arcface::target(cosine, m, ArcFaceSlope::Exact);
    let sine = ((1.0 - cosine) * (1.0 + cosine)).sqrt();
    let d_margin = match cosine.acos() + m > std::f64::consts::PI {
        true => -(m.sin() + m * m.cos()),
        false => -(sine * m.cos() + cosine * m.sin()),
    };
    let inside = (low..=high).contains(&norm);
    Target { norm_slope: if inside { d_margin * per_norm } else { 0.0 }, ..angular }
}

/// `lambda_g (a / high^2 + 1 / a)`, which falls with the norm until `high` (eq. 5); flat outside both ends.
pub(super) fn penalty(norm: f64, [low, high]: [f64; 2], lambda_g: f64) -> Penalty {
    let kept = norm.clamp(low, high);
    let inside = kept == norm;
    Penalty {
        value: lambda_g * (kept / (high * high) + 1.0 / kept),
        slope: if inside { lambda_g * (1.0 / (high * high) - 1.0 / (kept * kept)) } else { 0.0 },
    }
}
