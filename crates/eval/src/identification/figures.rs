//! Closed-set CMC and open-set DET.

use serde::{Deserialize, Serialize};

use super::scan::ProbeScores;
use crate::evaluation::Figure;
use crate::interval::{Bootstrap, People};
use crate::roc::FarTooFine;

/// Ranks of the CMC at most.
const RANKS: usize = 100;
/// Points of the stored DET at most.
const DET_POINTS: usize = 500;

/// How well people are found in a gallery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identification {
    /// Probes whose person is in the gallery.
    pub mated: usize,
    /// Probes whose person is not.
    pub non_mated: usize,
    /// People in the gallery.
    pub gallery_people: usize,
    /// Rows of the gallery.
    pub gallery_rows: usize,
    /// Cumulative match characteristic: at position `k - 1` the share of mated probes with fewer than `k` people ahead
    /// of or level with their mate. Empty without mated probes.
    pub cmc: Vec<f64>,
    /// Rank 1, 5 and 10 with their intervals over people, as far as the gallery has so many.
    pub ranks: Vec<RankFigure>,
    /// Detection error trade-off, thinned for drawing; empty without both kinds of probes.
    pub det: Vec<DetPoint>,
    /// The share of mated probes that is missed, at the false positive identification rates that were asked for.
    pub at_fpir: Vec<FnirAtFpir>,
    /// How intervals were made, over the probes' people.
    pub bootstrap: Bootstrap,
}

/// A point of the CMC with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankFigure {
    /// The rank.
    pub rank: usize,
    /// Share of mated probes found at this rank or a better one.
    pub found: Figure,
}

/// Rates of an open-set search at one threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetPoint {
    /// Candidates are reported where their score is at least this.
    pub threshold: f64,
    /// False positive identification rate: non-mated probes whose highest score is reported.
    pub fpir: f64,
    /// False negative identification rate: mated probes whose mate is not reported, at whatever rank.
    pub fnir: f64,
}

/// What is missed at a false positive identification rate, or why that cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FnirAtFpir {
    /// The least that is missed within the rate.
    Read {
        /// The rate that was asked for.
        fpir: f64,
        /// The point that was found.
        point: DetPoint,
        /// The false negative identification rate with its interval.
        fnir: Figure,
    },
    /// The non-mated probes cannot resolve it.
    Refused(FarTooFine),
}

/// Why there are no figures.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum IdentificationError {
    /// There are no probes.
    #[error("there are no probes to search for")]
    NoProbes,
    /// A rate is none.
    #[error("a false positive identification rate must lie above 0 and at most at 1: {0}")]
    NoRate(f64),
}

impl Identification {
    /// The figures of a search. `people` numbers the person of each probe.
    ///
    /// # Errors
    /// [`IdentificationError`].
    ///
    /// # Panics
    /// Where there is not one person for each probe, or the bootstrap's settings are out of range.
    pub fn of(
        probes: &[ProbeScores],
        people: &[usize],
        (gallery_people, gallery_rows): (usize, usize),
        fpirs: &[f64],
        bootstrap: &Bootstrap,
    ) -> Result<Self, IdentificationError> {
        assert_eq!(probes.len(), people.len(), "there must be one person for each probe");
        if probes.is_empty() {
            return Err(IdentificationError::NoProbes);
        }
        if let Some(&fpir) = fpirs.iter().find(|&&fpir| !(fpir > 0.0 && fpir <= 1.0)) {
            return Err(IdentificationError::NoRate(fpir));
        }
        let mated = probes.iter().filter(|probe| probe.mate.is_some()).count();
        let non_mated = probes.len() - mated;
        let ones = vec![1; probes.len()];
        let last = RANKS.min(gallery_people);
        let cmc = (1..=last).filter_map(|rank| found_at(probes, rank, &ones)).collect();
        let named: Vec<usize> = [1, 5, 10].into_iter().filter(|&rank| rank <= last).collect();
        let finest = 1.0 / non_mated as f64;
        let resolved: Vec<f64> = fpirs.iter().copied().filter(|&fpir| fpir >= finest).collect();
        let figures = |weights: &[u64]| -> Vec<Option<f64>> {
            let curve = curve(probes, weights);
            let ranks = named.iter().map(|&rank| found_at(probes, rank, weights));
            let missed = resolved.iter().map(|&fpir| Some(at(curve.as_deref()?, fpir).fnir));
            ranks.chain(missed).collect()
        };
        let values = figures(&ones);
        let intervals = People::of_items(people).intervals(bootstrap, |weights| {
            let weights: Vec<u64> = (0..probes.len()).map(|probe| weights.of(probe)).collect();
            figures(&weights)
        });
        let figure = |index: usize| values[index].map(|value| Figure { value, interval: intervals[index] });
        let ranks = named.iter().enumerate();
        let ranks = ranks.filter_map(|(index, &rank)| Some(RankFigure { rank, found: figure(index)? }));
        let curve = curve(probes, &ones).unwrap_or_default();
        let mut at_fpir = Vec::new();
        let mut next = named.len();
        for &fpir in fpirs.iter().filter(|_| mated > 0) {
            if fpir < finest {
                let impostors = non_mated as u64;
                at_fpir.push(FnirAtFpir::Refused(FarTooFine { wanted: fpir, finest, impostors }));
            } else {
                let read = figure(next).map(|fnir| FnirAtFpir::Read { fpir, point: at(&curve, fpir), fnir });
                at_fpir.extend(read);
                next += 1;
            }
        }
        Ok(Self {
            mated,
            non_mated,
            gallery_people,
            gallery_rows,
            cmc,
            ranks: ranks.collect(),
            det: thinned(&curve),
            at_fpir,
            bootstrap: *bootstrap,
        })
    }
}

/// Share of the weight of mated probes with fewer than `rank` people ahead; `None` where there is no such weight.
fn found_at(probes: &[ProbeScores], rank: usize, weights: &[u64]) -> Option<f64> {
    let (mut found, mut all) = (0, 0);
    for (probe, &weight) in probes.iter().zip(weights).filter(|(probe, _)| probe.mate.is_some()) {
        found += if probe.ahead < rank { weight } else { 0 };
        all += weight;
    }
    (all > 0).then(|| found as f64 / all as f64)
}

/// One point for each score that matters, from the highest down, after one at which nothing is reported; `None` where a
/// kind of probe has no weight.
fn curve(probes: &[ProbeScores], weights: &[u64]) -> Option<Vec<DetPoint>> {
    let mut scores: Vec<(f64, bool, u64)> = probes
        .iter()
        .zip(weights)
        .filter(|(_, weight)| **weight > 0)
        .map(|(probe, &weight)| {
            (f64::from(probe.mate.unwrap_or(probe.stranger)), probe.mate.is_some(), weight)
        })
        .collect();
    scores.sort_by(|left, right| right.0.total_cmp(&left.0));
    let all = |mated: bool| scores.iter().filter(|score| score.1 == mated).map(|score| score.2).sum::<u64>();
    let (mated, non_mated) = (all(true), all(false));
    if mated == 0 || non_mated == 0 {
        return None;
    }
    let mut points = vec![DetPoint { threshold: scores[0].0.next_up(), fpir: 0.0, fnir: 1.0 }];
    let (mut reported, mut false_positives) = (0, 0);
    for group in scores.chunk_by(|left, right| left.0 == right.0) {
        for &(_, is_mated, weight) in group {
            *(if is_mated { &mut reported } else { &mut false_positives }) += weight;
        }
        points.push(DetPoint {
            threshold: group[0].0,
            fpir: false_positives as f64 / non_mated as f64,
            fnir: (mated - reported) as f64 / mated as f64,
        });
    }
    Some(points)
}

/// The last point within the rate, which misses least.
fn at(curve: &[DetPoint], fpir: f64) -> DetPoint {
    curve[curve.partition_point(|point| point.fpir <= fpir) - 1]
}

fn thinned(curve: &[DetPoint]) -> Vec<DetPoint> {
    let step = curve.len().div_ceil(DET_POINTS).max(1);
    let last = curve.len().saturating_sub(1);
    let kept = curve.iter().enumerate().filter(|(index, _)| index % step == 0 || *index == last);
    kept.map(|(_, point)| *point).collect()
}
