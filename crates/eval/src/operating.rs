//! A threshold for a wanted false accept rate, how sure it is, and how it holds on other people.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::evaluation::Figure;
use crate::interval::Bootstrap;
use crate::protocol::{Kind, Pair, Protocol};
use crate::replicates::Replicates;
use crate::scores::{Scores, Weights};

/// A threshold that someone can work with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// The false accept rate that was asked for.
    pub far: f64,
    /// The lowest score at which all pairs together stay within it: pairs are accepted from this cosine on.
    pub threshold: Figure,
    /// What happens on pairs that the threshold was not chosen on; absent where the other folds of some fold cannot
    /// resolve the rate.
    pub elsewhere: Option<Elsewhere>,
}

/// Rates of each fold at the threshold that its other folds chose, over all folds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// False accept rate; above the one asked for where thresholds do not carry over.
    pub far: Figure,
    /// True accept rate.
    pub tar: Figure,
    /// People who occur in more than one fold, and so were seen when the threshold was chosen.
    pub people_in_several_folds: usize,
}

/// Operating points for the false accept rates that the impostor pairs resolve.
///
/// # Panics
/// Where there is not one score for each pair, a rate is not above 0 and at most 1, or the bootstrap's settings are out
/// of range.
pub fn operating_points(
    protocol: &Protocol,
    scores: &Scores,
    fars: &[f64],
    bootstrap: &Bootstrap,
) -> Vec<OperatingPoint> {
    points_by(protocol, scores, &Replicates::of_pairs(protocol, &[], scores), fars, bootstrap)
}

/// As [`operating_points`], with intervals by given replicates.
pub(crate) fn points_by(
    protocol: &Protocol,
    scores: &Scores,
    replicates: &Replicates<'_>,
    fars: &[f64],
    bootstrap: &Bootstrap,
) -> Vec<OperatingPoint> {
    let finest = 1.0 / protocol.count(Kind::Impostor) as f64;
    let fars: Vec<f64> = fars.iter().copied().filter(|&far| far >= finest).collect();
    let of = |pairs: &[Pair], scores: &Scores, weights: Weights<'_>| -> Vec<Option<f64>> {
        let points = fars.iter().flat_map(|&far| {
            let everyone = threshold(scores, far, |pair| weights.of(pair));
            let rates = elsewhere(pairs, protocol.folds, scores, far, weights);
            [everyone, rates.map(|rates| rates.0), rates.map(|rates| rates.1)]
        });
        points.collect()
    };
    let values = of(&protocol.pairs, scores, Weights::Once);
    let intervals =
        replicates.people.intervals(bootstrap, |weights| of(&replicates.pairs, &replicates.scores, weights));
    let several = people_in_several_folds(protocol);
    let figure = |at: usize| values[at].map(|value| Figure { value, interval: intervals[at] });
    let point = |(index, &far): (usize, &f64)| {
        let threshold = figure(3 * index)?;
        let elsewhere = figure(3 * index + 1).zip(figure(3 * index + 2));
        let elsewhere = elsewhere.map(|(far, tar)| Elsewhere { far, tar, people_in_several_folds: several });
        Some(OperatingPoint { far, threshold, elsewhere })
    };
    fars.iter().enumerate().filter_map(point).collect()
}

/// The lowest score from which on at most `far` of the impostor weight is accepted; `None` where the weight cannot
/// resolve the rate.
fn threshold(scores: &Scores, far: f64, weight: impl Fn(usize) -> u64) -> Option<f64> {
    let impostors = scores.descending().iter().filter(|scored| scored.kind == Kind::Impostor);
    let total: u64 = impostors.map(|scored| weight(scored.pair)).sum();
    if total == 0 || far < 1.0 / total as f64 {
        return None;
    }
    let mut accepted = 0;
    let mut lowest = scores.descending()[0].score.next_up();
    for group in scores.descending().chunk_by(|left, right| left.score == right.score) {
        let mut present = 0;
        for scored in group {
            let weight = weight(scored.pair);
            present += weight;
            accepted += if scored.kind == Kind::Impostor { weight } else { 0 };
        }
        if accepted as f64 / total as f64 > far {
            break;
        }
        if present > 0 {
            lowest = group[0].score;
        }
    }
    Some(lowest)
}

/// False and true accept rate over all folds, each at the threshold of its other folds.
fn elsewhere(
    pairs: &[Pair],
    folds: usize,
    scores: &Scores,
    far: f64,
    weights: Weights<'_>,
) -> Option<(f64, f64)> {
    if folds < 2 {
        return None;
    }
    let fold = |pair: usize| pairs[pair].fold;
    let thresholds = (0..folds)
        .map(|held| threshold(scores, far, |pair| if fold(pair) == held { 0 } else { weights.of(pair) }));
    let thresholds: Vec<f64> = thresholds.collect::<Option<_>>()?;
    let mut sums = [(0_u64, 0_u64); 2];
    for scored in scores.descending() {
        let weight = weights.of(scored.pair);
        let sum = &mut sums[usize::from(scored.kind == Kind::Genuine)];
        sum.0 += if scored.score >= thresholds[fold(scored.pair)] { weight } else { 0 };
        sum.1 += weight;
    }
    let [impostor, genuine] = sums.map(|(accepted, all)| (all > 0).then(|| accepted as f64 / all as f64));
    impostor.zip(genuine)
}

fn people_in_several_folds(protocol: &Protocol) -> usize {
    let mut folds: HashMap<&str, (usize, bool)> = HashMap::new();
    for pair in &protocol.pairs {
        for row in [pair.first, pair.second] {
            let (first, several) =
                folds.entry(protocol.images[row].person.as_str()).or_insert((pair.fold, false));
            *several |= *first != pair.fold;
        }
    }
    folds.values().filter(|(_, several)| *several).count()
}
