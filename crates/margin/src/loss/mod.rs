//! The family: one variant for each loss, its target logit, its slope and its scale.

mod adaface;
mod arcface;
mod combined;
mod cosface;
mod curricularface;
mod magface;
mod moved;
mod multiple_angle;
pub(crate) mod parameters;
pub(crate) mod sphereface;
pub(crate) mod state;

pub use adaface::NormStatistics;

/// A margin loss with its parameters, and for the adaptive ones with what they have seen so far.
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
    /// A-Softmax with normalised features: the same with `s` in place of `|x|` (CosFace, table 2).
    SphereFaceNormalised {
        /// Logit scale, > 0.
        s: f64,
        /// Factor on the angle, a whole number >= 1.
        m: u32,
        /// Weight of the plain cosine, >= 0; annealed by [`LambdaSchedule`](crate::LambdaSchedule).
        lambda: f64,
    },
    /// L-Softmax: target logit `|W_y| |x| (lambda c + psi(theta)) / (1 + lambda)`, others `W_j . x`, with psi as in
    /// A-Softmax (arXiv:1612.02295, eq. 4 to 6, and its section 5.1 for lambda). Centres keep their norms.
    LSoftmax {
        /// Factor on the angle, a whole number >= 1. The paper trains with 2 to 4.
        m: u32,
        /// Weight of the plain cosine, >= 0; annealed by [`LambdaSchedule`](crate::LambdaSchedule).
        lambda: f64,
    },
    /// CurricularFace: target logit as in ArcFace; another class that stands above it, `c_j > psi(c_y)`, is hard and
    /// has the logit `s c_j (t + c_j)` (arXiv:2004.00288, eq. 4 to 6).
    ///
    /// The authors' code compares with `cos(theta + m)` also beyond pi, where it rises again; here a class is hard
    /// when it exceeds the target's own logit, guard included.
    CurricularFace {
        /// Logit scale, > 0. The paper trains with 64.
        s: f64,
        /// Margin in radians, 0 to pi. The paper trains with 0.5.
        m: f64,
        /// Share of each new batch in `t`, above 0 to 1. 0.01 in the paper.
        rate: f64,
        /// Running mean of the target cosines, eq. 7: 0 at the start, moved by [`Loss::observe`].
        t: f64,
    },
    /// MagFace: ArcFace whose margin grows with the feature's norm, plus a penalty that rewards large norms
    /// (arXiv:2103.06627, eq. 3 to 5): `m(a)` runs in a straight line from `m_low` at `norm_low` to `m_high` at
    /// `norm_high`, `g(a) = a / norm_high^2 + 1 / a`, and the loss gains `lambda_g g(a)`; a is the norm, kept within
    /// both ends.
    ///
    /// A norm converges to one place where `lambda_g >= s k / (1 / norm_low^2 - 1 / norm_high^2)` with the line's
    /// slope k: 23 for the paper's values.
    MagFace {
        /// Logit scale, > 0. The paper trains with 64.
        s: f64,
        /// Margin in radians at the lowest norm, 0 to pi. 0.45 in the paper.
        m_low: f64,
        /// Margin in radians at the highest norm, `m_low` to pi. 0.8 in the paper.
        m_high: f64,
        /// Lowest norm, > 0. 10 in the paper.
        norm_low: f64,
        /// Highest norm, > `norm_low`. 110 in the paper.
        norm_high: f64,
        /// Weight of the penalty, >= 0. 35 in the paper.
        lambda_g: f64,
    },
    /// AdaFace: target logit `s (cos(theta - m z) - (m z + m))` (arXiv:2204.00964, eq. 10 to 13), where z is the
    /// feature's norm against the batches', `z = h (|x| - mean) / deviation`, kept within -1 and 1. No gradient
    /// passes through z, so that this is not the derivative of its loss along the feature.
    ///
    /// As in the authors' code the norm is kept within 0.001 and 100 first and `theta - m z` within 0 and pi, where the
    /// slope is 0.
    AdaFace {
        /// Logit scale, > 0. The paper trains with 64.
        s: f64,
        /// Margin, in radians and in cosine units, 0 to 1. The paper trains with 0.4.
        m: f64,
        /// How far a deviation moves z, > 0. 0.333 in the paper.
        h: f64,
        /// Share of each new batch in `norms`, above 0 to 1. 0.01 in the paper.
        rate: f64,
        /// Running statistics of the norms, moved by [`Loss::observe`].
        norms: NormStatistics,
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
    /// `d psi / d |x|`; 0 where the margin does not follow the feature's norm.
    pub norm_slope: f64,
}

impl Target {
    fn of_angle(psi: f64, slope: f64) -> Self {
        Self { psi, slope, norm_slope: 0.0 }
    }
}

/// What another class's cosine becomes before the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Other {
    /// In cosine units; the cosine itself for all losses but CurricularFace.
    pub value: f64,
    /// `d value / d c`.
    pub slope: f64,
}

/// A term of the loss that depends on the feature's norm alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Added to the loss of the sample.
    pub value: f64,
    /// `d value / d |x|`.
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
    pub const NAMES: [&'static str; 13] = [
        "softmax",
        "nsl",
        "cosface",
        "cosface-raw-features",
        "arcface",
        "arcface-detached",
        "combined",
        "sphereface",
        "sphereface-normalised",
        "l-softmax",
        "curricularface",
        "magface",
        "adaface",
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
            Self::SphereFaceNormalised { .. } => "sphereface-normalised",
            Self::LSoftmax { .. } => "l-softmax",
            Self::CurricularFace { .. } => "curricularface",
            Self::MagFace { .. } => "magface",
            Self::AdaFace { .. } => "adaface",
        }
    }

    /// Whether class centres enter the logits as unit vectors; softmax and L-Softmax use them as they are.
    pub fn normalises_weights(&self) -> bool {
        !matches!(self, Self::Softmax | Self::LSoftmax { .. })
    }

    /// Whether the target logit needs the angle between the feature and its class centre, which zero vectors do not
    /// have; plain softmax alone does not.
    pub fn needs_directions(&self) -> bool {
        !matches!(self, Self::Softmax)
    }

    /// What multiplies the cosines of a sample.
    pub fn scale(&self) -> Scale {
        match *self {
            Self::Softmax
            | Self::LSoftmax { .. }
            | Self::CosFaceRawFeatures { .. }
            | Self::SphereFace { .. } => Scale::FeatureNorm,
            Self::Nsl { s }
            | Self::CosFace { s, .. }
            | Self::ArcFace { s, .. }
            | Self::Combined { s, .. }
            | Self::SphereFaceNormalised { s, .. }
            | Self::CurricularFace { s, .. }
            | Self::MagFace { s, .. }
            | Self::AdaFace { s, .. } => Scale::Fixed(s),
        }
    }

    /// `psi` and its slopes at the target cosine, for a feature of norm `norm`.
    ///
    /// A cosine that rounding carried past 1 or -1 counts as 1 or -1. There `theta` has no derivative: where a
    /// margin is added to the angle the true slope is infinite, while the direction it multiplies vanishes. The
    /// regular part of the slope is returned (`cos m` for ArcFace), so the slope is always finite and the gradient
    /// at the cusp is zero, which is a subgradient. The cosine margins have slope 1 everywhere.
    pub fn target_of(&self, cosine: f64, norm: f64) -> Target {
        let cosine = cosine.clamp(-1.0, 1.0);
        match *self {
            Self::Softmax | Self::Nsl { .. } => cosface::target(cosine, 0.0),
            Self::CosFace { m, .. } | Self::CosFaceRawFeatures { m } => cosface::target(cosine, m),
            Self::ArcFace { m, slope, .. } => arcface::target(cosine, m, slope),
            Self::CurricularFace { m, .. } => arcface::target(cosine, m, ArcFaceSlope::Exact),
            Self::Combined { m1, m2, m3, .. } => combined::target(cosine, m1, m2, m3),
            Self::SphereFace { m, lambda }
            | Self::SphereFaceNormalised { m, lambda, .. }
            | Self::LSoftmax { m, lambda } => sphereface::target(cosine, m, lambda),
            Self::MagFace { m_low, m_high, norm_low, norm_high, .. } => {
                magface::target(cosine, norm, [m_low, m_high], [norm_low, norm_high])
            }
            Self::AdaFace { m, h, norms, .. } => adaface::target(cosine, m, norms.position(norm, h)),
        }
    }

    /// [`Loss::target_of`] for a loss whose margin does not follow the feature's norm.
    ///
    /// # Panics
    /// For MagFace and AdaFace.
    pub fn target(&self, cosine: f64) -> Target {
        let follows_norm = matches!(self, Self::MagFace { .. } | Self::AdaFace { .. });
        assert!(!follows_norm, "the margin of {} needs the norm of the feature", self.name());
        self.target_of(cosine, f64::NAN)
    }

    /// What the cosine to another class becomes, beside a target of `psi`.
    pub fn other(&self, cosine: f64, psi: f64) -> Other {
        match *self {
            Self::CurricularFace { t, .. } if cosine > psi => curricularface::hard(cosine, t),
            _ => Other { value: cosine, slope: 1.0 },
        }
    }

    /// The term of the loss that depends on the feature's norm alone; 0 for all losses but MagFace.
    pub fn penalty(&self, norm: f64) -> Penalty {
        match *self {
            Self::MagFace { norm_low, norm_high, lambda_g, .. } => {
                magface::penalty(norm, [norm_low, norm_high], lambda_g)
            }
            _ => Penalty::default(),
        }
    }
}
