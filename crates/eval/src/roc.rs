//! The ROC curve and the figures read from it.

use serde::{Deserialize, Serialize};

use crate::scores::{Scores, Weights};

/// Rates at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Pairs are accepted where their score is at least this.
    pub threshold: f64,
    /// False accept rate: the share of impostor pairs that are accepted.
    pub far: f64,
    /// True accept rate: the share of genuine pairs that are accepted.
    pub tar: f64,
}

/// The whole curve: one point for each distinct score, after a first one at which nothing is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    points: Vec<RocPoint>,
    impostors: u64,
    /// Pairs of genuine and impostor in the right order, ties for half, times 2.
    twice_ordered: u128,
    genuine: u64,
}

/// A figure cannot be read because too few impostor pairs stand behind it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error(
    "{impostors} impostor pairs resolve no false accept rate finer than {finest:e}, asked for: {wanted:e}"
)]
pub struct FarTooFine {
    /// The rate that was asked for.
    pub wanted: f64,
    /// The finest that the impostor pairs resolve: one of them.
    pub finest: f64,
    /// Number of impostor pairs.
    pub impostors: u64,
}

/// Where false accepts and false rejects are equally frequent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EqualErrorRate {
    /// The common rate.
    pub rate: f64,
    /// The threshold, interpolated like the rate.
    pub threshold: f64,
}

impl Scores {
    /// The ROC curve.
    pub fn roc(&self) -> Roc {
        self.weighted_roc(Weights::Once).expect("there is a pair of each kind")
    }

    /// The ROC curve of a bootstrap replicate; `None` where a kind has no weight.
    ///
    /// # Panics
    /// Where a weight is missing.
    pub fn weighted_roc(&self, weights: Weights<'_>) -> Option<Roc> {
        let (mut genuine, mut impostor) = (0, 0);
        let mut twice_ordered = 0;
        let mut counts = Vec::new();
        for group in self.groups(weights) {
            let above = u128::from(2 * genuine + group.genuine);
            twice_ordered += above * u128::from(group.impostor);
            genuine += group.genuine;
            impostor += group.impostor;
            counts.push((group.score, genuine, impostor));
        }
        if genuine == 0 || impostor == 0 {
            return None;
        }
        let mut points = Vec::with_capacity(counts.len() + 1);
        points.push(RocPoint { threshold: counts[0].0.next_up(), far: 0.0, tar: 0.0 });
        points.extend(counts.into_iter().map(|(threshold, true_accepts, false_accepts)| RocPoint {
            threshold,
            far: false_accepts as f64 / impostor as f64,
            tar: true_accepts as f64 / genuine as f64,
        }));
        Some(Roc { points, impostors: impostor, twice_ordered, genuine })
    }
}

impl Roc {
    /// The points, by falling threshold, from (0, 0) to (1, 1).
    pub fn points(&self) -> &[RocPoint] {
        &self.points
    }

    /// Area under the curve: the probability that a genuine pair scores above an impostor pair, ties counted half
    /// (the Mann-Whitney statistic, which is the trapezoidal area).
    pub fn area(&self) -> f64 {
        self.twice_ordered as f64 / (2.0 * self.genuine as f64 * self.impostors as f64)
    }

    /// Equal error rate, on straight lines between the points of the curve.
    pub fn equal_error_rate(&self) -> EqualErrorRate {
        // FAR - FRR rises from -1 at the first point to 1 at the last.
        let difference = |point: &RocPoint| point.far - (1.0 - point.tar);
        let after = self.points.partition_point(|point| difference(point) < 0.0);
        let (before, after) = (&self.points[after - 1], &self.points[after]);
        let step = -difference(before) / (difference(after) - difference(before));
        EqualErrorRate {
            rate: before.far + step * (after.far - before.far),
            threshold: before.threshold + step * (after.threshold - before.threshold),
        }
    }

    /// The point with the largest TAR whose FAR is at most `far` (the conservative rule, without interpolation).
    ///
    /// The FAR of that point is what it is, often below the one asked for.
    ///
    /// # Errors
    /// [`FarTooFine`] where fewer than one impostor pair would be accepted.
    ///
    /// # Panics
    /// Where `far` is not above 0 and at most 1.
    pub fn at_far(&self, far: f64) -> Result<RocPoint, FarTooFine> {
        assert!(far > 0.0 && far <= 1.0, "a false accept rate lies above 0 and at most at 1: {far}");
        let finest = 1.0 / self.impostors as f64;
        if far < finest {
            return Err(FarTooFine { wanted: far, finest, impostors: self.impostors });
        }
        let after = self.points.partition_point(|point| point.far <= far);
        Ok(self.points[after - 1])
    }

    /// TAR at a FAR by the conservative rule, also where the FAR is finer than one impostor pair. For the replicates
    /// of an interval whose estimate was not refused.
    pub(crate) fn tar_at(&self, far: f64) -> f64 {
        self.points[self.points.partition_point(|point| point.far <= far) - 1].tar
    }

    /// The corners of the curve, thinned so that no two neighbours are closer than `step` in FAR and in TAR. FAR below
    /// a tenth is compared on a logarithmic axis with the same step. For drawing only.
    pub fn drawn(&self, step: f64) -> Vec<RocPoint> {
        let place = |far: f64| if far < 0.1 { (far.max(1e-12) / 0.1).log10() / 4.0 } else { far };
        let mut drawn: Vec<RocPoint> = Vec::new();
        for (index, &point) in self.points.iter().enumerate() {
            let ends = index == 0 || index + 1 == self.points.len();
            let far_enough = drawn.last().is_none_or(|last| {
                (point.tar - last.tar).abs() >= step || (place(point.far) - place(last.far)).abs() >= step
            });
            // The first point with a false accept is where a logarithmic axis begins.
            let first_false_accept = point.far > 0.0 && drawn.last().is_some_and(|last| last.far == 0.0);
            if ends || far_enough || first_false_accept {
                drawn.push(point);
            }
        }
        drawn
    }
}
