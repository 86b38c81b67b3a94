//! Where the scale and the margin of a loss stand against the bounds.

use crate::Loss;
use crate::bounds::{
    BoundsError, MarginBound, WeightsBound, margin_of_random_centres, margin_upper_bound, scale_lower_bound,
};
use crate::loss::Scale;

/// Bounds for a number of classes, and where a loss stands against them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Advice {
    /// Number of classes, C.
    pub classes: usize,
    /// Feature dimension, K.
    pub dimension: usize,
    /// The posterior P that a sample at its class centre should reach.
    pub posterior: f64,
    /// Smallest scale that can reach it, without a margin (eq. 6).
    pub scale_at_least: f64,
    /// Largest cosine margin for evenly spread centres (eq. 7).
    pub margin_at_most: MarginBound,
    /// Largest cosine margin that centres drawn at random typically allow.
    pub margin_of_random_centres: f64,
    /// What given centres allow, where there are any.
    pub weights: Option<WeightsBound>,
    /// The scale of the loss; `None` where features are not normalised.
    pub scale: Option<ScaleStanding>,
    /// The margin of the loss at a class centre; `None` where centres are not normalised.
    pub margin: Option<MarginStanding>,
}

impl Advice {
    /// Whether no sample can reach the wanted posterior even at its class centre.
    #[must_use]
    pub fn scale_is_too_small(&self) -> bool {
        self.scale.is_some_and(|scale| scale.verdict == ScaleVerdict::TooSmall)
    }
}

/// A scale and what it can reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleStanding {
    /// The scale s.
    pub scale: f64,
    /// Largest posterior that a sample can have: at its class centre, the others as far away as they can all be,
    /// `1 / (1 + (C - 1) e^(-s C / (C - 1)))`.
    pub largest_posterior: f64,
    /// The smallest loss of that sample, margin included: `ln(1 + (C - 1) e^(-s (psi(1) + 1 / (C - 1))))`.
    pub smallest_loss: f64,
    /// Against eq. 6.
    pub verdict: ScaleVerdict,
}

/// A scale against eq. 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleVerdict {
    /// Below the bound: even a perfect sample stays below the wanted posterior.
    TooSmall,
    /// At the bound or above.
    Enough,
}

/// A margin and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarginStanding {
    /// By how much the margin lowers the target cosine at a class centre, `1 - psi(1)`, in cosine units: m itself for
    /// LMCL, `1 - cos m` for ArcFace, 0 for a factor on the angle.
    pub margin: f64,
    /// Against eq. 7 and the given centres.
    pub verdict: MarginVerdict,
}

/// A margin against the bounds, from the mildest to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarginVerdict {
    /// There is no margin at a class centre.
    None,
    /// Every bound allows it.
    Within,
    /// Centres drawn at random stand closer together: training must spread them first.
    AboveRandomCentres,
    /// The given centres stand closer together: these classes cannot all satisfy it.
    AboveGivenCentres,
    /// No centres in this dimension can satisfy it.
    AboveBound,
}

/// Sets a loss against eq. 6 and 7 of CosFace (arXiv:1801.09414), and against given centres where there are any.
///
/// A sample at its class centre satisfies the margin of any loss of the family where `psi(1) >= W_i . W_j` for every
/// other class, which for LMCL is the paper's `m <= 1 - max W_i . W_j`.
///
/// # Errors
/// Fewer than two classes, dimension 0, or a posterior not strictly between 0 and 1.
pub fn advise(
    loss: &Loss,
    classes: usize,
    dimension: usize,
    posterior: f64,
    weights: Option<WeightsBound>,
) -> Result<Advice, BoundsError> {
    let scale_at_least = scale_lower_bound(classes, posterior)?;
    let margin_at_most = margin_upper_bound(classes, dimension)?;
    let random = margin_of_random_centres(classes, dimension)?;
    let others = (classes - 1) as f64;
    let margin = match *loss {
        Loss::CosFace { m, .. } | Loss::CosFaceRawFeatures { m } => m,
        // A margin that follows the norm is taken at a norm of 0, where MagFace's is smallest.
        _ => 1.0 - loss.target_of(1.0, 0.0).psi,
    };
    // ln(1 + (C - 1) e^-gap) without overflow.
    let loss_at = |gap: f64| {
        let excess = others.ln() - gap;
        if excess > 0.0 { excess + (-excess).exp().ln_1p() } else { excess.exp().ln_1p() }
    };
    let scale = match loss.scale() {
        Scale::FeatureNorm => None,
        Scale::Fixed(s) => Some(ScaleStanding {
            scale: s,
            largest_posterior: (-loss_at(s * (1.0 + 1.0 / others))).exp(),
            smallest_loss: loss_at(s * (1.0 - margin + 1.0 / others)),
            verdict: if s < scale_at_least { ScaleVerdict::TooSmall } else { ScaleVerdict::Enough },
        }),
    };
    let verdict = if margin <= 0.0 {
        MarginVerdict::None
    } else if margin > margin_at_most.ceiling() {
        MarginVerdict::AboveBound
    } else if weights.is_some_and(|weights| margin > weights.margin) {
        MarginVerdict::AboveGivenCentres
    } else if weights.is_none() && margin > random {
        MarginVerdict::AboveRandomCentres
    } else {
        MarginVerdict::Within
    };
    Ok(Advice {
        classes,
        dimension,
        posterior,
        scale_at_least,
        margin_at_most,
        margin_of_random_centres: random,
        weights,
        scale,
        margin: loss.normalises_weights().then_some(MarginStanding { margin, verdict }),
    })
}
