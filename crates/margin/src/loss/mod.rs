//! The family: one variant for each loss, its target logit, its slope and its scale.

mod arcface;
mod combined;
mod cosface;
mod multiple_angle;
pub(crate) mod parameters;
pub(crate) mod sphereface;

/// A margin loss with its parameters.
///
/// `theta` is the angle between a feature and a class centre, `c = cos(theta)`; `s` is a logit scale, and the unit
/// of every `m` is said at its variant, because the papers use the same letter for three different things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Softmax cross-entropy over `W_j . x`, nothing normalised, no bias (CosFace, arXiv:1801.09414, eq. 1 and 2).
    Softmax,
    /// Normalised softmax, all logits `s c` (CosFace, eq. 3).
    Nsl {
        /// Logit scale, > 0.
        s: f64,
    },
    /// LMCL, the large margin cosine loss: target logit `s (c - m)` (CosFace, eq. 4).
    CosFace {
        /// Logit scale, > 0. The paper trains with 64.
        s: f64,
        /// Margin in cosine units, 0 to 2. The paper trains with 0.35 (section 4.2).
        m: f64,
    },
    /// LMCL without feature normalisation: target logit `|x| (c - m)`, others `|x| c` (CosFace, table 1).
    CosFaceRawFeatures {
        /// Margin in cosine units, 0 to 2.
        m: f64,
    },
    /// ArcFace: target logit `s cos(theta + m)` while `theta + m <= pi`, else `s (c - m sin m)`
    /// (arXiv:1801.07698, eq. 3, and the guard of its authors' code).
    ArcFace {
        /// Logit scale, > 0. The paper trains with 64.
        s: f64,
        /// Margin in radians, 0 to pi. The paper trains with 0.5.
        m: f64,
        /// Whether the gradient passes through the margin.
        slope: ArcFaceSlope,
    },
    /// Three margins at once: target logit `s (cos(m1 theta + m2) - m3)` (arXiv:1801.07698, eq. 4), continued
    /// beyond `m1 theta + m2 = pi` the way SphereFace does, so that it stays continuous and falling.
    Combined {
        /// Logit scale, > 0.
        s: f64,
        /// Factor on the angle, > 0; 1 is no margin.
        m1: f64,
        /// Margin in radians, 0 to pi.
        m2: f64,
        /// Margin in cosine units, 0 to 2.
        m3: f64,
    },
    /// A-Softmax: target logit `|x| (lambda c + psi(theta)) / (1 + lambda)` with
    /// `psi = (-1)^k cos(m theta) - 2k` on `[k pi / m, (k + 1) pi / m]` (SphereFace, arXiv:1704.08063, eq. 7).
    SphereFace {
        /// Factor on the angle, a whole number >= 1. The paper trains with 4.
        m: u32,
        /// Weight of the plain cosine, >= 0; annealed by [`LambdaSchedule`](crate::LambdaSchedule).
        lambda: f64,
    },
}

/// How the gradient of ArcFace treats its margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ArcFaceSlope {
    /// The derivative of the loss: `sin(theta + m) / sin(theta)`.
    #[default]
    Exact,
    /// One, as where the margin is added outside the autograd graph (InsightFace's `arcface_torch`). It is not the
    /// derivative of the loss it trains.
    Detached,
}

/// Target of one sample before the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// `psi(c)`, in cosine units.
    pub psi: f64,
    /// `d psi / d c`.
    pub slope: f64,
}

/// What multiplies the cosines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// The same number for every sample: features are normalised.
    Fixed(f64),
    /// The norm of the sample's own feature: features are not normalised. Where the weights are not normalised
    /// either ([`Loss::normalises_weights`]), the norm of each class centre multiplies too.
    FeatureNorm,
}

impl Loss {
    /// Every name that [`Loss::from_parameters`] knows.
    pub const NAMES: [&'static str; 8] = [
        "softmax",
        "nsl",
        "cosface",
        "cosface-raw-features",
        "arcface",
        "arcface-detached",
        "combined",
        "sphereface",
    ];

    /// Name in recipes and case files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Softmax => "softmax",
            Self::Nsl { .. } => "nsl",
            Self::CosFace { .. } => "cosface",
            Self::CosFaceRawFeatures { .. } => "cosface-raw-features",
            Self::ArcFace { slope: ArcFaceSlope::Exact, .. } => "arcface",
            Self::ArcFace { slope: ArcFaceSlope::Detached, .. } => "arcface-detached",
            Self::Combined { .. } => "combined",
            Self::SphereFace { .. } => "sphereface",
        }
    }

    /// Whether class centres enter the logits as unit vectors; only plain softmax uses them as they are.
    pub fn normalises_weights(&self) -> bool {
        !matches!(self, Self::Softmax)
    }

    /// What multiplies the cosines of a sample.
    pub fn scale(&self) -> Scale {
        match *self {
            Self::Softmax | Self::CosFaceRawFeatures { .. } | Self::SphereFace { .. } => Scale::FeatureNorm,
            Self::Nsl { s }
            | Self::CosFace { s, .. }
            | Self::ArcFace { s, .. }
            | Self::Combined { s, .. } => Scale::Fixed(s),
        }
    }

    /// `psi` and its slope at the target cosine.
    ///
    /// A cosine that rounding carried past 1 or -1 counts as 1 or -1. There `theta` has no derivative: where a
    /// margin is added to the angle the true slope is infinite, while the direction it multiplies vanishes. The
    /// regular part of the slope is returned (`cos m` for ArcFace), so the slope is always finite and the gradient
    /// at the cusp is zero, which is a subgradient. The cosine margins have slope 1 everywhere.
    pub fn target(&self, cosine: f64) -> Target {
        let cosine = cosine.clamp(-1.0, 1.0);
        match *self {
            Self::Softmax | Self::Nsl { .. } => cosface::target(cosine, 0.0),
            Self::CosFace { m, .. } | Self::CosFaceRawFeatures { m } => cosface::target(cosine, m),
            Self::ArcFace { m, slope, .. } => arcface::target(cosine, m, slope),
            Self::Combined { m1, m2, m3, .. } => combined::target(cosine, m1, m2, m3),
            Self::SphereFace { m, lambda } => sphereface::target(cosine, m, lambda),
        }
    }
}
