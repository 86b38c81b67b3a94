//! Anchors nearer to their own kind than to others.

use super::{FeatureLoss, FeatureLossError, Labelled, above_zero, square_distance};
use crate::loss::parameters::RangeError;

/// Triplet loss with semi-hard mining on unit features `u = x / |x|`:
/// `mean max(0, |u_a - u_p|^2 - |u_a - u_n|^2 + margin)` (FaceNet, arXiv:1503.03832, eq. 3 and 4).
///
/// Every ordered pair of two images of one person is an anchor with its positive. Its negative is the nearest image of
/// another person that is farther from the anchor than the positive is; where all are nearer, the farthest of them
/// (as TensorFlow Addons does), because the hardest ones make features collapse early in training. The mean is over
/// all such pairs, also those whose triplet is already satisfied. The choice of the negative has no gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TripletLoss {
    /// Margin in squared distance, above 0 and below 4, the largest squared distance there is. 0.2 in the paper.
    pub margin: f64,
}

impl TripletLoss {
    /// Checks the margin.
    ///
    /// # Errors
    /// When it is not above 0 and below 4.
    pub fn check(&self) -> Result<(), RangeError> {
        above_zero("triplet", "margin", self.margin)?;
        let (value, bound) =
            (self.margin, "above 0 and below 4, the squared distance of two opposite unit vectors");
        if value < 4.0 {
            Ok(())
        } else {
            Err(RangeError { loss: "triplet", parameter: "margin", value, bound })
        }
    }

    /// The triplets (anchor, positive, negative) of a batch.
    ///
    /// # Errors
    /// See [`FeatureLossError`].
    ///
    /// # Panics
    /// Where lengths disagree.
    pub fn triplets(&self, batch: &Labelled<'_>) -> Result<Vec<[usize; 3]>, FeatureLossError> {
        Ok(mine(batch.labels, &units(batch)?.0, batch.dimension))
    }

    /// Loss and gradient of a batch; `terms` counts the triplets.
    ///
    /// # Errors
    /// See [`FeatureLossError`].
    ///
    /// # Panics
    /// Where lengths disagree.
    pub fn evaluate(&self, batch: &Labelled<'_>) -> Result<FeatureLoss, FeatureLossError> {
        self.check()?;
        let dimension = batch.dimension;
        let (units, norms) = units(batch)?;
        let unit = |sample: usize| &units[sample * dimension..][..dimension];
        let triplets = mine(batch.labels, &units, dimension);
        let count = triplets.len() as f64;
        let mut loss = 0.0;
        let mut d_units = vec![0.0; units.len()];
        for &[anchor, positive, negative] in &triplets {
            let [a, p, n] = [unit(anchor), unit(positive), unit(negative)];
            let excess = square_distance(a, p) - square_distance(a, n) + self.margin;
            if excess <= 0.0 {
                continue;
            }
            loss += excess / count;
            for column in 0..dimension {
                d_units[anchor * dimension + column] += 2.0 * (n[column] - p[column]) / count;
                d_units[positive * dimension + column] += 2.0 * (p[column] - a[column]) / count;
                d_units[negative * dimension + column] += 2.0 * (a[column] - n[column]) / count;
            }
        }
        // Through u = x / |x|: what points along x is lost.
        for (sample, gradient) in d_units.chunks_exact_mut(dimension).enumerate() {
            let unit = unit(sample);
            let along: f64 = gradient.iter().zip(unit).map(|(gradient, u)| gradient * u).sum();
            gradient
                .iter_mut()
                .zip(unit)
                .for_each(|(gradient, u)| *gradient = (*gradient - along * u) / norms[sample]);
        }
        Ok(FeatureLoss { loss, d_features: d_units, terms: triplets.len() })
    }
}

/// Unit features and their norms.
fn units(batch: &Labelled<'_>) -> Result<(Vec<f64>, Vec<f64>), FeatureLossError> {
    let norms = batch.norms()?;
    if let Some(sample) = norms.iter().position(|&norm| norm == 0.0) {
        return Err(FeatureLossError::Zero { sample });
    }
    let units =
        norms.iter().enumerate().flat_map(|(sample, norm)| batch.row(sample).iter().map(move |x| x / norm));
    Ok((units.collect(), norms))
}

fn mine(labels: &[u32], units: &[f64], dimension: usize) -> Vec<[usize; 3]> {
    let unit = |sample: usize| &units[sample * dimension..][..dimension];
    let mut triplets = Vec::new();
    for anchor in 0..labels.len() {
        let distances: Vec<f64> =
            (0..labels.len()).map(|sample| square_distance(unit(anchor), unit(sample))).collect();
        let others = || (0..labels.len()).filter(|&sample| labels[sample] != labels[anchor]);
        let by_distance = |left: &usize, right: &usize| distances[*left].total_cmp(&distances[*right]);
        for positive in
            (0..labels.len()).filter(|&sample| sample != anchor && labels[sample] == labels[anchor])
        {
            let farther =
                others().filter(|&sample| distances[sample] > distances[positive]).min_by(by_distance);
            if let Some(negative) = farther.or_else(|| others().max_by(by_distance)) {
                triplets.push([anchor, positive, negative]);
            }
        }
    }
    triplets
}
