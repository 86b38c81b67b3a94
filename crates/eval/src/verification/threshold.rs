//! Searches for the best threshold, each exactly as its rule says.

use crate::protocol::{Kind, Pair};
use crate::scores::{Scores, Weights};

/// Spacing of InsightFace's thresholds; `0.01 * i` for i below 400 is what `numpy.arange(0, 4, 0.01)` holds.
const DISTANCE_STEP: f64 = 0.01;
const DISTANCES: usize = 400;
/// SphereFace's thresholds are `i / 10000` for i from -10000 to 10000.
const COSINE_STEPS: i32 = 10_000;

/// Scores of every pair prepared for one kind of search.
#[derive(Clone, Debug)]
pub(super) enum Search {
    /// Any threshold; accepted where the score is at least it.
    Exact(Scores),
    /// A grid of squared distances; accepted where the distance is below.
    Distance(Grid),
    /// A grid of cosines; accepted where the cosine is above, and wrong where it is equal.
    Cosine(Grid),
}

impl Search {
    /// The threshold that is best on the pairs for which `training` holds; `None` where they have no weight.
    pub(super) fn best(
        &self,
        pairs: &[Pair],
        weights: Weights<'_>,
        training: impl Fn(&Pair) -> bool,
    ) -> Option<f64> {
        let weight = |pair: usize| if training(&pairs[pair]) { weights.of(pair) } else { 0 };
        match self {
            Self::Exact(scores) => best_cut(scores, weight),
            Self::Distance(grid) => {
                let right = grid.right(pairs, weight)?;
                let best = right.iter().max()?;
                let first = right.iter().position(|right| right == best)?;
                Some(grid.thresholds[first])
            }
            Self::Cosine(grid) => {
                let right = grid.right(pairs, weight)?;
                let best = right.iter().max()?;
                let maximisers = right.iter().zip(&grid.thresholds).filter(|(right, _)| right == &best);
                let (count, sum) = maximisers.fold((0, 0.0), |(count, sum), (_, at)| (count + 1, sum + at));
                Some(sum / f64::from(count))
            }
        }
    }

    /// Whether each pair is judged rightly at a threshold.
    pub(super) fn is_right(&self, score: f64, kind: Kind, threshold: f64) -> bool {
        match (self, kind) {
            (Self::Exact(_), Kind::Genuine) => score >= threshold,
            (Self::Exact(_), Kind::Impostor) => score < threshold,
            (Self::Distance(_), Kind::Genuine) => score < threshold,
            (Self::Distance(_), Kind::Impostor) => score >= threshold,
            (Self::Cosine(_), Kind::Genuine) => score > threshold,
            (Self::Cosine(_), Kind::Impostor) => score < threshold,
        }
    }
}

/// For each pair, at which thresholds of a grid it is judged rightly: a run from the first or to the last.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    thresholds: Vec<f64>,
    /// A pair is right at thresholds below this position ...
    turns: Vec<usize>,
    /// ... if its kind is this, else from it on.
    right_below: Kind,
}

impl Grid {
    pub(super) fn distances(distances: &[f64]) -> Self {
        let thresholds: Vec<f64> = (0..DISTANCES).map(|step| step as f64 * DISTANCE_STEP).collect();
        // Accepted at the thresholds above the distance.
        let turns =
            distances.iter().map(|&distance| thresholds.partition_point(|&at| at <= distance)).collect();
        Self { thresholds, turns, right_below: Kind::Impostor }
    }

    pub(super) fn cosines(cosines: &[f64], pairs: &[Pair]) -> Self {
        let thresholds: Vec<f64> =
            (-COSINE_STEPS..=COSINE_STEPS).map(|step| f64::from(step) / f64::from(COSINE_STEPS)).collect();
        let turns = cosines.iter().zip(pairs).map(|(&cosine, pair)| match pair.kind {
            Kind::Genuine => thresholds.partition_point(|&at| at < cosine),
            Kind::Impostor => thresholds.partition_point(|&at| at <= cosine),
        });
        let turns = turns.collect();
        Self { thresholds, turns, right_below: Kind::Genuine }
    }

    /// Weight that is judged rightly at each threshold; `None` where there is no weight.
    fn right(&self, pairs: &[Pair], weight: impl Fn(usize) -> u64) -> Option<Vec<u64>> {
        let mut gains = vec![0_u64; self.thresholds.len() + 1];
        let mut losses = vec![0_u64; self.thresholds.len() + 1];
        let mut total = 0;
        for (index, (&turn, pair)) in self.turns.iter().zip(pairs).enumerate() {
            let weight = weight(index);
            total += weight;
            if pair.kind == self.right_below {
                gains[0] += weight;
                losses[turn] += weight;
            } else {
                gains[turn] += weight;
            }
        }
        let mut right = 0;
        let sums = gains.iter().zip(&losses).map(|(gain, loss)| {
            right = right + gain - loss;
            right
        });
        let sums: Vec<u64> = sums.take(self.thresholds.len()).collect();
        (total > 0).then_some(sums)
    }
}

/// Walks down through the scores; the best cuts lie between groups of equal scores.
fn best_cut(scores: &Scores, weight: impl Fn(usize) -> u64) -> Option<f64> {
    // Right decisions less the weight of all impostors, so that the cut above everything has 0.
    let (mut right, mut best) = (0_i64, 0_i64);
    // Each best cut accepts from `accepted` upwards and rejects from `rejected` downwards; None is beyond all scores.
    let mut cuts: Vec<(Option<f64>, Option<f64>)> = Vec::new();
    let mut accepted: Option<f64> = None;
    let mut weigh = |accepted: Option<f64>, rejected: Option<f64>, right: i64| {
        if right > best {
            cuts.clear();
            best = right;
        }
        if right == best {
            cuts.push((accepted, rejected));
        }
    };
    for group in scores.descending().chunk_by(|left, right| left.score == right.score) {
        let (mut gain, mut present) = (0_i64, false);
        for scored in group {
            let weight = weight(scored.pair);
            present |= weight > 0;
            match scored.kind {
                Kind::Genuine => gain += weight as i64,
                Kind::Impostor => gain -= weight as i64,
            }
        }
        if present {
            weigh(accepted, Some(group[0].score), right);
            right += gain;
            accepted = Some(group[0].score);
        }
    }
    accepted?;
    weigh(accepted, None, right);
    // Cuts fall in threshold, so of two in the middle the later is the lower.
    let (accepted, rejected) = cuts[cuts.len() / 2];
    Some(between(rejected, accepted))
}

/// A threshold that accepts `accepted` and rejects `rejected`, midway; cosines bound it where one is absent.
fn between(rejected: Option<f64>, accepted: Option<f64>) -> f64 {
    let high = accepted.unwrap_or_else(|| rejected.map_or(1.0, |score| score.max(1.0)).next_up());
    let low = rejected.unwrap_or_else(|| high.min(-1.0));
    let middle = low + (high - low) / 2.0;
    if middle > low { middle } else { high }
}

#[cfg(test)]
mod tests {
    use super::{Grid, Search};
    use crate::protocol::{Kind, Pair};
    use crate::scores::Weights;

    fn pairs() -> [Pair; 2] {
        [Kind::Genuine, Kind::Impostor].map(|kind| Pair { first: 0, second: 1, kind, fold: 0 })
    }

    #[test]
    fn a_distance_equal_to_the_threshold_is_not_accepted() {
        // At distance 0 the threshold 0 rejects, so the first threshold that accepts the genuine pair is 0.01.
        let search = Search::Distance(Grid::distances(&[0.0, 2.0]));
        assert_eq!(search.best(&pairs(), Weights::Once, |_| true), Some(0.01));
        assert!(!search.is_right(0.5, Kind::Genuine, 0.5) && search.is_right(0.5, Kind::Impostor, 0.5));
    }

    #[test]
    fn a_cosine_equal_to_the_threshold_is_wrong_either_way() {
        // Both are right strictly between 0.5 and 0.5003, at 0.5001 and 0.5002.
        let search = Search::Cosine(Grid::cosines(&[0.5003, 0.5], &pairs()));
        let found = search.best(&pairs(), Weights::Once, |_| true).expect("pairs");
        assert!((found - 0.500_15).abs() < 1e-12, "{found}");
        assert!(!search.is_right(0.5, Kind::Genuine, 0.5) && !search.is_right(0.5, Kind::Impostor, 0.5));
    }
}
