//! Pairs drawn together or pushed apart.

use super::{FeatureLoss, FeatureLossError, Labelled, above_zero, square_distance};
use crate::loss::parameters::RangeError;

/// Contrastive loss: `1/2 d^2` for a pair of one person, `1/2 max(0, margin - d)^2` for a pair of two, with the
/// distance `d = |x_i - x_j|` of raw features (DeepID2, arXiv:1406.4773, eq. 4, after Hadsell et al.).
///
/// The paper draws pairs; here all pairs of a batch count, the mean over those of one person plus the mean over those
/// of two, which is what equally many draws of each kind expect. Two people at one point have no direction apart:
/// the gradient of that pair is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContrastiveLoss {
    /// Distance beyond which two people are left alone, > 0, in the unit of the features.
    pub margin: f64,
}

impl ContrastiveLoss {
    /// Checks the margin.
    ///
    /// # Errors
    /// When it is not above 0 and finite.
    pub fn check(&self) -> Result<(), RangeError> {
        above_zero("contrastive", "margin", self.margin)
    }

    /// Loss and gradient of a batch; `terms` counts the pairs of one person.
    ///
    /// # Errors
    /// See [`FeatureLossError`].
    ///
    /// # Panics
    /// Where lengths disagree.
    pub fn evaluate(&self, batch: &Labelled<'_>) -> Result<FeatureLoss, FeatureLossError> {
        self.check()?;
        batch.norms()?;
        let (samples, dimension) = (batch.labels.len(), batch.dimension);
        let pairs =
            || (0..samples).flat_map(move |first| (first + 1..samples).map(move |second| (first, second)));
        let same = |(first, second): (usize, usize)| batch.labels[first] == batch.labels[second];
        let genuine = pairs().filter(|&pair| same(pair)).count();
        let impostor = pairs().count() - genuine;
        let mut result =
            FeatureLoss { loss: 0.0, d_features: vec![0.0; batch.features.len()], terms: genuine };
        for (first, second) in pairs() {
            let (left, right) = (batch.row(first), batch.row(second));
            let square = square_distance(left, right);
            let distance = square.sqrt();
            // The gradient is `factor (x_i - x_j)` for one of the pair and its opposite for the other.
            let (loss, factor) = if same((first, second)) {
                (0.5 * square / genuine as f64, 1.0 / genuine as f64)
            } else {
                let short = (self.margin - distance).max(0.0);
                let factor = if distance > 0.0 { -short / distance } else { 0.0 };
                (0.5 * short * short / impostor as f64, factor / impostor as f64)
            };
            result.loss += loss;
            for (column, (left, right)) in left.iter().zip(right).enumerate() {
                let value = factor * (left - right);
                result.d_features[first * dimension + column] += value;
                result.d_features[second * dimension + column] -= value;
            }
        }
        Ok(result)
    }
}
