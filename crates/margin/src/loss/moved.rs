//! A loss on the way to its full parameters: what schedules move.

use super::{Loss, Scale};

impl Loss {
    /// The loss with a share of its margin, 0 for none and 1 for all of it; nothing for a loss whose margin is a whole
    /// factor on the angle ([`Loss::with_lambda`] moves those) or that has none.
    ///
    /// Cosine and angular margins shrink in proportion; of `combined` the factor `m1` goes to 1, MagFace shrinks both
    /// ends.
    #[must_use]
    pub fn with_margin_share(self, share: f64) -> Option<Self> {
        Some(match self {
            Self::CosFace { s, m } => Self::CosFace { s, m: share * m },
            Self::CosFaceRawFeatures { m } => Self::CosFaceRawFeatures { m: share * m },
            Self::ArcFace { s, m, slope } => Self::ArcFace { s, m: share * m, slope },
            Self::Combined { s, m1, m2, m3 } => {
                Self::Combined { s, m1: 1.0 + share * (m1 - 1.0), m2: share * m2, m3: share * m3 }
            }
            Self::CurricularFace { s, m, rate, t } => Self::CurricularFace { s, m: share * m, rate, t },
            Self::MagFace { s, m_low, m_high, norm_low, norm_high, lambda_g } => Self::MagFace {
                s,
                m_low: share * m_low,
                m_high: share * m_high,
                norm_low,
                norm_high,
                lambda_g,
            },
            Self::AdaFace { s, m, h, rate, norms } => Self::AdaFace { s, m: share * m, h, rate, norms },
            Self::Softmax
            | Self::Nsl { .. }
            | Self::SphereFace { .. }
            | Self::SphereFaceNormalised { .. }
            | Self::LSoftmax { .. } => return None,
        })
    }

    /// The loss with another scale; nothing for a loss whose scale is the feature's norm.
    #[must_use]
    pub fn with_scale(mut self, scale: f64) -> Option<Self> {
        match &mut self {
            Self::Nsl { s }
            | Self::CosFace { s, .. }
            | Self::ArcFace { s, .. }
            | Self::Combined { s, .. }
            | Self::SphereFaceNormalised { s, .. }
            | Self::CurricularFace { s, .. }
            | Self::MagFace { s, .. }
            | Self::AdaFace { s, .. } => *s = scale,
            Self::Softmax
            | Self::CosFaceRawFeatures { .. }
            | Self::SphereFace { .. }
            | Self::LSoftmax { .. } => {
                debug_assert!(matches!(self.scale(), Scale::FeatureNorm), "a fixed scale can be set");
                return None;
            }
        }
        Some(self)
    }

    /// The loss with another weight of the plain cosine; nothing for a loss without one.
    #[must_use]
    pub fn with_lambda(mut self, value: f64) -> Option<Self> {
        match &mut self {
            Self::SphereFace { lambda, .. }
            | Self::SphereFaceNormalised { lambda, .. }
            | Self::LSoftmax { lambda, .. } => *lambda = value,
            _ => return None,
        }
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Loss;

    #[test]
    fn without_its_margin_a_loss_is_normalised_softmax_and_with_all_of_it_itself() {
        let losses = [
            Loss::CosFace { s: 64.0, m: 0.35 },
            Loss::Combined { s: 64.0, m1: 0.9, m2: 0.4, m3: 0.15 },
            Loss::CurricularFace { s: 64.0, m: 0.5, rate: 0.01, t: 0.3 },
            Loss::MagFace {
                s: 64.0,
                m_low: 0.4,
                m_high: 0.8,
                norm_low: 10.0,
                norm_high: 110.0,
                lambda_g: 35.0,
            },
            Loss::AdaFace { s: 64.0, m: 0.4, h: 0.333, rate: 0.01, norms: Default::default() },
        ];
        for loss in losses {
            assert_eq!(loss.with_margin_share(1.0), Some(loss));
            let none = loss.with_margin_share(0.0).unwrap();
            none.check().unwrap();
            for cosine in [-0.9, -0.1, 0.3, 0.99] {
                let target = none.target_of(cosine, 50.0);
                assert!((target.psi - cosine).abs() < 1e-12, "{loss:?}");
            }
        }
        assert_eq!(Loss::SphereFace { m: 4, lambda: 5.0 }.with_margin_share(0.5), None);
    }

    #[test]
    fn scale_and_lambda_move_where_there_are_any() {
        let loss = Loss::SphereFaceNormalised { s: 64.0, m: 4, lambda: 5.0 };
        assert_eq!(loss.with_scale(16.0), Some(Loss::SphereFaceNormalised { s: 16.0, m: 4, lambda: 5.0 }));
        assert_eq!(loss.with_lambda(9.0), Some(Loss::SphereFaceNormalised { s: 64.0, m: 4, lambda: 9.0 }));
        assert_eq!(Loss::Softmax.with_scale(16.0), None);
        assert_eq!(Loss::Softmax.with_lambda(9.0), None);
    }
}
