//! Features drawn to the mean of their class.

use super::{FeatureLoss, FeatureLossError, Labelled, above_zero, square_distance};
use crate::loss::parameters::RangeError;

/// Center loss: `1/2 mean_i |x_i - c_{y_i}|^2`, trained with softmax as `L_softmax + weight L_center` (Wen et al.,
/// doi:10.1007/978-3-319-46478-7_31, eq. 2 and 5; the paper writes sums where both losses here are means).
///
/// The centres `c` are not the classifier's weights. No gradient moves them: they follow the features of a batch by
/// [`CenterLoss::follow`], start at 0 and are state that belongs in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CenterLoss {
    /// Share of the way that a centre goes towards its samples, above 0 to 1. 0.5 in the paper.
    pub alpha: f64,
}

impl CenterLoss {
    /// Checks `alpha`.
    ///
    /// # Errors
    /// When it is not above 0 and at most 1.
    pub fn check(&self) -> Result<(), RangeError> {
        above_zero("center", "alpha", self.alpha)?;
        let bound = "above 0 and at most 1";
        let value = self.alpha;
        if value <= 1.0 {
            Ok(())
        } else {
            Err(RangeError { loss: "center", parameter: "alpha", value, bound })
        }
    }

    /// Loss and gradient `(x_i - c_{y_i}) / N`, at centres `[classes, dimension]`.
    ///
    /// # Errors
    /// See [`FeatureLossError`].
    ///
    /// # Panics
    /// Where lengths disagree or a label names no centre.
    pub fn evaluate(&self, batch: &Labelled<'_>, centres: &[f64]) -> Result<FeatureLoss, FeatureLossError> {
        self.check()?;
        batch.norms()?;
        let samples = batch.labels.len();
        let mut result =
            FeatureLoss { loss: 0.0, d_features: vec![0.0; batch.features.len()], terms: samples };
        for (sample, (&label, gradient)) in
            batch.labels.iter().zip(result.d_features.chunks_exact_mut(batch.dimension)).enumerate()
        {
            let (feature, centre) = (batch.row(sample), centre_of(centres, label, batch.dimension));
            result.loss += square_distance(feature, centre) / (2.0 * samples as f64);
            for ((gradient, x), c) in gradient.iter_mut().zip(feature).zip(centre) {
                *gradient = (x - c) / samples as f64;
            }
        }
        Ok(result)
    }

    /// Moves the centres of the batch's classes: `c_j -= alpha sum_{y_i = j} (c_j - x_i) / (1 + n_j)` (eq. 4), where
    /// n_j is the number of samples of class j.
    ///
    /// # Panics
    /// Where lengths disagree or a label names no centre.
    pub fn follow(&self, batch: &Labelled<'_>, centres: &mut [f64]) {
        let dimension = batch.dimension;
        let before: Vec<f64> =
            batch.labels.iter().flat_map(|&label| centre_of(centres, label, dimension)).copied().collect();
        for (sample, &label) in batch.labels.iter().enumerate() {
            let count = batch.labels.iter().filter(|&&other| other == label).count() as f64;
            let centre = &mut centres[label as usize * dimension..][..dimension];
            let old = &before[sample * dimension..][..dimension];
            for ((centre, old), x) in centre.iter_mut().zip(old).zip(batch.row(sample)) {
                *centre -= self.alpha * (old - x) / (1.0 + count);
            }
        }
    }
}

fn centre_of(centres: &[f64], label: u32, dimension: usize) -> &[f64] {
    let start = label as usize * dimension;
    assert!(start + dimension <= centres.len(), "label {label} has no centre");
    &centres[start..start + dimension]
}
