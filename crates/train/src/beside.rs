//! A loss on the features themselves, beside the one over classes: center, contrastive, triplet.

use margin::beside::{CenterLoss, ContrastiveLoss, FeatureLossError, Labelled, TripletLoss};

use crate::recipe::{FeatureLossName, FeatureSettings};

/// The loss with its weight, and what it keeps.
pub(crate) struct Beside {
    weight: f64,
    loss: Loss,
    /// Means that [`CenterLoss`] follows, `[classes, dimension]`; empty for other losses.
    means: Vec<f64>,
}

enum Loss {
    Center(CenterLoss),
    Contrastive(ContrastiveLoss),
    Triplet(TripletLoss),
}

impl Beside {
    /// For checked settings.
    pub(crate) fn new(settings: &FeatureSettings, classes: usize, dimension: usize) -> Beside {
        let margin = settings.margin.unwrap_or_default();
        let (loss, means) = match settings.name {
            FeatureLossName::Center => {
                (Loss::Center(CenterLoss { alpha: settings.alpha.unwrap_or_default() }), classes * dimension)
            }
            FeatureLossName::Contrastive => (Loss::Contrastive(ContrastiveLoss { margin }), 0),
            FeatureLossName::Triplet => (Loss::Triplet(TripletLoss { margin }), 0),
        };
        Beside { weight: settings.weight, loss, means: vec![0.0; means] }
    }

    /// The weighted loss of a batch; its gradient is added to `d_features`, and the means move.
    pub(crate) fn add(
        &mut self,
        features: &[f32],
        labels: &[u32],
        d_features: &mut [f32],
    ) -> Result<f64, FeatureLossError> {
        let wide: Vec<f64> = features.iter().map(|value| f64::from(*value)).collect();
        let batch = Labelled { features: &wide, labels, dimension: features.len() / labels.len() };
        let found = match &self.loss {
            Loss::Center(center) => {
                let found = center.evaluate(&batch, &self.means)?;
                center.follow(&batch, &mut self.means);
                found
            }
            Loss::Contrastive(contrastive) => contrastive.evaluate(&batch)?,
            Loss::Triplet(triplet) => triplet.evaluate(&batch)?,
        };
        for (into, value) in d_features.iter_mut().zip(found.d_features) {
            *into += (self.weight * value) as f32;
        }
        Ok(self.weight * found.loss)
    }

    /// The means, which a checkpoint holds; none for losses that keep nothing.
    pub(crate) fn means(&self) -> Option<&[f64]> {
        (!self.means.is_empty()).then_some(&self.means)
    }

    /// Takes over the means of a checkpoint, as many as [`Beside::means`] has.
    pub(crate) fn set_means(&mut self, means: &[f64]) {
        self.means.copy_from_slice(means);
    }
}
