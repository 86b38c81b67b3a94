//! Scores to probabilities.

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::protocol::{Kind, Protocol};

/// Bins of the reliability table: probabilities in steps of a tenth.
const BINS: usize = 10;
/// Newton's steps; from the start that is chosen here it has converged after about ten.
const STEPS: usize = 100;

/// Probability that a pair with a score shows one person, where both kinds are equally likely beforehand:
/// `p = 1 / (1 + exp(-(slope * score + offset)))` (Platt, Probabilistic outputs for support vector machines, 1999).
///
/// Where genuine pairs are `o` times as likely beforehand, the odds `p / (1 - p)` are `o` times as large.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Change of the log odds for one unit of score.
    pub slope: f64,
    /// Log odds at a score of 0.
    pub offset: f64,
}

/// A calibration and how it does on pairs that it was not made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Made from all pairs.
    pub of_all: Logistic,
    /// Cost of the log likelihood ratio in bits, each fold by the calibration of the others; 0 is perfect and 1 says
    /// nothing (Bruemmer and du Preez, Application-independent evaluation of speaker detection, 2006).
    pub cost: f64,
    /// The same pairs by probability.
    pub reliability: Vec<ReliabilityBin>,
}

/// Pairs whose probability lies in one bin; both kinds count for a half, however many pairs there are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge of the bin; it is a tenth wide.
    pub from: f64,
    /// Mean probability in it.
    pub stated: f64,
    /// Share of genuine pairs in it, which should be the mean probability.
    pub found: f64,
    /// Number of pairs in it.
    pub pairs: usize,
}

impl Logistic {
    /// Log odds of a score.
    pub fn log_odds(&self, score: f64) -> f64 {
        self.slope * score + self.offset
    }

    /// Probability of a score.
    pub fn probability(&self, score: f64) -> f64 {
        1.0 / (1.0 + (-self.log_odds(score)).exp())
    }

    /// Fits slope and offset by Newton's method: least mean cross entropy where each kind counts for a half and the
    /// targets are Platt's `(n + 1) / (n + 2)` and `1 / (n + 2)`, which keep it finite where scores separate the kinds.
    /// `None` where a kind is missing or all scores are equal.
    pub fn fit(scored: &[(f64, Kind)]) -> Option<Self> {
        let count = |kind| scored.iter().filter(|(_, of)| *of == kind).count() as f64;
        let (genuine, impostor) = (count(Kind::Genuine), count(Kind::Impostor));
        if genuine == 0.0 || impostor == 0.0 || scored.iter().all(|(score, _)| *score == scored[0].0) {
            return None;
        }
        // Scores around 0 and of size 1, so that the matrix of second derivatives is well conditioned.
        let mean = scored.iter().map(|(score, _)| score).sum::<f64>() / scored.len() as f64;
        let size = scored.iter().map(|(score, _)| (score - mean).abs()).fold(0.0, f64::max);
        let items = || {
            scored.iter().map(|&(score, kind)| match kind {
                Kind::Genuine => ((score - mean) / size, (genuine + 1.0) / (genuine + 2.0), 0.5 / genuine),
                Kind::Impostor => ((score - mean) / size, 1.0 / (impostor + 2.0), 0.5 / impostor),
            })
        };
        let loss = |slope: f64, offset: f64| -> f64 {
            items()
                .map(|(x, target, weight)| {
                    let odds = slope * x + offset;
                    weight * (soft_plus(odds) - target * odds)
                })
                .sum()
        };
        let (mut slope, mut offset, mut current) = (0.0, 0.0, loss(0.0, 0.0));
        for _ in 0..STEPS {
            let (mut gradient, mut second) = ([0.0; 2], [0.0; 3]);
            for (x, target, weight) in items() {
                let p = 1.0 / (1.0 + (-(slope * x + offset)).exp());
                let (error, curve) = (weight * (p - target), weight * p * (1.0 - p));
                gradient = [gradient[0] + error * x, gradient[1] + error];
                second = [second[0] + curve * x * x, second[1] + curve * x, second[2] + curve];
            }
            let determinant = second[0] * second[2] - second[1] * second[1];
            if determinant <= 0.0 {
                break;
            }
            let step = [
                (second[2] * gradient[0] - second[1] * gradient[1]) / determinant,
                (second[0] * gradient[1] - second[1] * gradient[0]) / determinant,
            ];
            // What the step gains is below what sums of so many terms can tell: the last one, and Newton's are then exact.
            if gradient[0] * step[0] + gradient[1] * step[1] < 1e-14 {
                (slope, offset) = (slope - step[0], offset - step[1]);
                break;
            }
            let mut share = 1.0;
            while loss(slope - share * step[0], offset - share * step[1]) > current && share > 1e-10 {
                share /= 2.0;
            }
            (slope, offset) = (slope - share * step[0], offset - share * step[1]);
            current = loss(slope, offset);
        }
        Some(Self { slope: slope / size, offset: offset - slope * mean / size })
    }
}

impl Calibration {
    /// Calibrates the scores of a protocol; `None` where a fold's others hold one kind only or all scores are equal, so
    /// that there is nothing to calibrate on.
    ///
    /// # Panics
    /// Where there is not one score for each pair.
    pub fn of(protocol: &Protocol, cosines: &[f64]) -> Option<Self> {
        assert_eq!(cosines.len(), protocol.pairs.len(), "there must be one score for each pair");
        let scored = |keep: &dyn Fn(usize) -> bool| -> Vec<(f64, Kind)> {
            let pairs = cosines.iter().zip(&protocol.pairs).filter(|(_, pair)| keep(pair.fold));
            pairs.map(|(&score, pair)| (score, pair.kind)).collect()
        };
        // The last is that of all pairs.
        let fits: Vec<Logistic> = (0..=protocol.folds)
            .into_par_iter()
            .map(|held| Logistic::fit(&scored(&|fold| fold != held)))
            .collect::<Option<_>>()?;
        let of_all = *fits.last()?;
        let odds: Vec<(f64, Kind)> = cosines
            .iter()
            .zip(&protocol.pairs)
            .map(|(&score, pair)| (fits[pair.fold].log_odds(score), pair.kind))
            .collect();
        let count = |kind| odds.iter().filter(|(_, of)| *of == kind).count() as f64;
        let (genuine, impostor) = (count(Kind::Genuine), count(Kind::Impostor));
        let weight = |kind| 0.5 / if kind == Kind::Genuine { genuine } else { impostor };
        let cost = odds
            .iter()
            .map(|&(odds, kind)| weight(kind) * soft_plus(if kind == Kind::Genuine { -odds } else { odds }));
        let cost = cost.sum::<f64>() / std::f64::consts::LN_2;
        Some(Self { of_all, cost, reliability: reliability(&odds, weight) })
    }
}

fn reliability(odds: &[(f64, Kind)], weight: impl Fn(Kind) -> f64) -> Vec<ReliabilityBin> {
    let mut bins = vec![(0.0, 0.0, 0.0, 0); BINS];
    for &(odds, kind) in odds {
        let probability = 1.0 / (1.0 + (-odds).exp());
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += weight(kind);
        bin.1 += weight(kind) * probability;
        bin.2 += if kind == Kind::Genuine { weight(kind) } else { 0.0 };
        bin.3 += 1;
    }
    let bins = bins.into_iter().enumerate().filter(|(_, bin)| bin.3 > 0);
    bins.map(|(index, (weight, stated, found, pairs))| ReliabilityBin {
        from: index as f64 / BINS as f64,
        stated: stated / weight,
        found: found / weight,
        pairs,
    })
    .collect()
}

/// `ln(1 + exp(x))` without overflow.
fn soft_plus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Logistic;
    use crate::protocol::Kind;

    #[derive(Deserialize)]
    struct Golden {
        genuine: Vec<f64>,
        impostor: Vec<f64>,
        slope: f64,
        offset: f64,
    }

    #[test]
    fn the_fit_is_that_of_scipys_minimiser_also_where_scores_separate_the_kinds() {
        let golden: Vec<Golden> =
            serde_json::from_str(include_str!("../tests/golden/logistic.json")).expect("golden cases");
        for case in golden {
            let of = |scores: &[f64], kind| scores.iter().map(|&score| (score, kind)).collect::<Vec<_>>();
            let scored = [of(&case.genuine, Kind::Genuine), of(&case.impostor, Kind::Impostor)].concat();
            let found = Logistic::fit(&scored).expect("a fit");
            // The minimiser stops at a gradient of 1e-9; slopes are of the order of 10.
            assert!((found.slope - case.slope).abs() < 1e-4 * case.slope.abs(), "{found:?} {}", case.slope);
            assert!(
                (found.offset - case.offset).abs() < 1e-4 * case.slope.abs(),
                "{found:?} {}",
                case.offset
            );
        }
    }

    #[test]
    fn nothing_is_fitted_to_one_kind_or_one_score() {
        let (genuine, impostor) = (Kind::Genuine, Kind::Impostor);
        assert_eq!(Logistic::fit(&[(0.1, genuine), (0.2, genuine)]), None);
        assert_eq!(Logistic::fit(&[(0.1, genuine), (0.1, impostor)]), None);
        assert_eq!(Logistic::fit(&[]), None);
    }
}
