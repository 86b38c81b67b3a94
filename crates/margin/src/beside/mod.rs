//! Losses on features themselves, which need no class logits: trained beside softmax, or alone.
//!
//! The paper compares LMCL with them (arXiv:1801.09414, table 2).

mod center;
mod contrastive;
mod triplet;

pub use center::CenterLoss;
pub use contrastive::ContrastiveLoss;
pub use triplet::TripletLoss;

use std::error::Error;
use std::fmt;

use crate::loss::parameters::RangeError;

/// A batch of features and the right answers.
///
/// # Shapes
/// `features` is `[samples, dimension]`, row-major, raw; `labels` is `[samples]`.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Raw features `x_i`.
    pub features: &'a [f64],
    /// Class of each sample.
    pub labels: &'a [u32],
    /// Feature dimension, D.
    pub dimension: usize,
}

/// Loss of a batch with its gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureLoss {
    /// The loss, as each one's documentation averages it.
    pub loss: f64,
    /// Its gradient with respect to the raw features, `[samples, dimension]`.
    pub d_features: Vec<f64>,
    /// Number of terms in the mean: samples, pairs or triplets. 0 where the batch holds none, the loss is then 0.
    pub terms: usize,
}

/// Why a batch has no loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FeatureLossError {
    /// A parameter is out of range.
    OutOfRange(RangeError),
    /// A feature is not finite, or so large that its norm is not.
    NotFinite {
        /// Row of the sample.
        sample: usize,
    },
    /// A feature is zero and the loss needs its direction.
    Zero {
        /// Row of the sample.
        sample: usize,
    },
}

impl fmt::Display for FeatureLossError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(error) => error.fmt(formatter),
            Self::NotFinite { sample } => {
                write!(formatter, "the norm of a feature is not finite, at sample: {sample}")
            }
            Self::Zero { sample } => {
                write!(formatter, "a zero feature has no direction, at sample: {sample}")
            }
        }
    }
}

impl Error for FeatureLossError {}

impl From<RangeError> for FeatureLossError {
    fn from(error: RangeError) -> Self {
        Self::OutOfRange(error)
    }
}

impl<'a> Labelled<'a> {
    fn row(&self, sample: usize) -> &'a [f64] {
        &self.features[sample * self.dimension..][..self.dimension]
    }

    /// Norms of the features, all finite.
    ///
    /// # Panics
    /// Where the lengths disagree.
    fn norms(&self) -> Result<Vec<f64>, FeatureLossError> {
        let samples = self.labels.len();
        assert_eq!(self.features.len(), samples * self.dimension, "features must be samples x dimension");
        let norm = |sample| self.row(sample).iter().map(|value| value * value).sum::<f64>().sqrt();
        (0..samples)
            .map(|sample| match norm(sample) {
                norm if norm.is_finite() => Ok(norm),
                _ => Err(FeatureLossError::NotFinite { sample }),
            })
            .collect()
    }
}

/// Refuses a parameter that is not above 0 and finite.
fn above_zero(loss: &'static str, parameter: &'static str, value: f64) -> Result<(), RangeError> {
    match value > 0.0 && value.is_finite() {
        true => Ok(()),
        false => Err(RangeError { loss, parameter, value, bound: "above 0 and finite" }),
    }
}

fn square_distance(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| (left - right).powi(2)).sum()
}
