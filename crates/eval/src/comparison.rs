//! Two models on the same pairs.
//!
//! Differences are taken inside each bootstrap replicate, so that what both models find hard cancels; people are
//! resampled, not pairs. McNemar's test looks at the pairs that only one model judges rightly and takes pairs for
//! independent, which they are not where people occur in several; the verdict therefore rests on the interval.

use serde::Serialize;

use crate::interval::{Bootstrap, Interval, People};
use crate::protocol::Kind;
use crate::roc::Roc;
use crate::scored::ScoredPairs;
use crate::scores::{Scores, ScoresError, Weights};

/// A figure of both models and the difference, second less first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// What it measures.
    pub name: String,
    /// Of the first model.
    pub first: f64,
    /// Of the second model.
    pub second: f64,
    /// Interval of the second less the first, over people.
    pub interval: Option<Interval>,
}

/// Pairs that the models judge differently, and how likely so uneven a count is if both are equally good.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct McNemar {
    /// Pairs that only the first model judges rightly.
    pub only_first: u64,
    /// Pairs that only the second model judges rightly.
    pub only_second: u64,
    /// Two-sided exact probability (McNemar 1947, with the binomial in place of its chi-squared limit).
    pub p: f64,
}

/// What the comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The first model is the more accurate one.
    First,
    /// The second model is the more accurate one.
    Second,
    /// The pairs cannot tell them apart.
    Undecided,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Accuracy over the folds, with the thresholds that each model's rule chose.
    pub accuracy: Difference,
    /// Area under the curve, equal error rate and true accept rates, in this order.
    pub others: Vec<Difference>,
    /// The pairs that are judged differently.
    pub mcnemar: McNemar,
    /// What it comes to: by the interval of the accuracy.
    pub verdict: Verdict,
    /// How intervals were made.
    pub bootstrap: Bootstrap,
}

/// Why two models cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ComparisonError {
    /// One has more pairs.
    #[error(
        "both must be evaluated on the same pairs, they have {first} and {second} of them; the first that the other has \
         not is number {}: {pair}", first.min(second) + 1
    )]
    Count {
        /// Pairs of the first.
        first: usize,
        /// Pairs of the second.
        second: usize,
        /// The pair after the last that both have.
        pair: String,
    },
    /// A pair differs.
    #[error("both must be evaluated on the same pairs, number {number} is {first} here and {second} there")]
    Pair {
        /// Which pair, counted from 1.
        number: usize,
        /// The pair in the first.
        first: String,
        /// The pair in the second.
        second: String,
    },
    /// There is nothing to compare.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// A false accept rate that is none or too fine.
    #[error(
        "{impostors} impostor pairs resolve false accept rates from {finest:e} to 1, asked for: {wanted:e}"
    )]
    Far {
        /// The rate.
        wanted: f64,
        /// The finest possible one.
        finest: f64,
        /// Impostor pairs.
        impostors: u64,
    },
}

impl Comparison {
    /// Compares two models on the pairs they share.
    ///
    /// # Errors
    /// Other pairs, or a false accept rate that the pairs cannot resolve.
    ///
    /// # Panics
    /// Where the bootstrap's settings are out of range.
    pub fn of(
        first: &ScoredPairs,
        second: &ScoredPairs,
        fars: &[f64],
        bootstrap: &Bootstrap,
    ) -> Result<Self, ComparisonError> {
        check_same(first, second)?;
        let sides = [Side::of(first)?, Side::of(second)?];
        let impostors = sides[0].scores.count(Kind::Impostor);
        let finest = 1.0 / impostors as f64;
        if let Some(&wanted) = fars.iter().find(|&&far| !(far >= finest && far <= 1.0)) {
            return Err(ComparisonError::Far { wanted, finest, impostors });
        }
        let ones = vec![1; first.rows.len()];
        let whole = sides.each_ref().map(|side| side.figures(Weights::Each(&ones), fars));
        let people = People::of_scored(first);
        let intervals = people.intervals(bootstrap, |weights| {
            let [first, second] = sides.each_ref().map(|side| side.figures(weights, fars));
            first.into_iter().zip(second).map(|(first, second)| Some(second? - first?)).collect()
        });
        let mut names =
            vec!["accuracy".to_owned(), "area under the curve".to_owned(), "equal error rate".to_owned()];
        names.extend(fars.iter().map(|far| format!("TAR at FAR {far}")));
        let [of_first, of_second] = whole;
        let mut differences = Vec::with_capacity(names.len());
        for (name, ((first, second), interval)) in
            names.into_iter().zip(of_first.into_iter().zip(of_second).zip(intervals))
        {
            let (first, second) = (first.unwrap_or(f64::NAN), second.unwrap_or(f64::NAN));
            differences.push(Difference { name, first, second, interval });
        }
        let accuracy = differences.remove(0);
        let verdict = match accuracy.interval {
            Some(interval) if interval.low > 0.0 => Verdict::Second,
            Some(interval) if interval.high < 0.0 => Verdict::First,
            _ => Verdict::Undecided,
        };
        Ok(Self {
            accuracy,
            others: differences,
            mcnemar: mcnemar(first, second),
            verdict,
            bootstrap: *bootstrap,
        })
    }

    /// The verdict in a sentence, with the names of the models.
    pub fn sentence(&self, first: &str, second: &str) -> String {
        let percent = |value: f64| format!("{:.2} %", 100.0 * value);
        let points = |value: f64| format!("{:+.2}", 100.0 * value);
        let Difference { first: of_first, second: of_second, interval, .. } = &self.accuracy;
        let level = percent(self.bootstrap.level).replace(".00", "");
        let range = interval.map_or("no interval".to_owned(), |interval| {
            format!("{level} interval over people {} to {}", points(interval.low), points(interval.high))
        });
        let figures = format!(
            "{first} {}, {second} {}, difference {} points, {range}; McNemar p = {:.2e}",
            percent(*of_first),
            percent(*of_second),
            points(of_second - of_first),
            self.mcnemar.p
        );
        match self.verdict {
            Verdict::Second => format!("{second} is more accurate than {first} on these pairs ({figures})."),
            Verdict::First => format!("{first} is more accurate than {second} on these pairs ({figures})."),
            Verdict::Undecided => format!("These pairs cannot tell {first} and {second} apart ({figures})."),
        }
    }
}

/// One model's pairs, ready for replicates.
struct Side {
    scores: Scores,
    folds: usize,
    /// Fold from 0 and judgement of each pair.
    judged: Vec<(usize, bool)>,
}

impl Side {
    fn of(pairs: &ScoredPairs) -> Result<Self, ScoresError> {
        let cosines: Vec<f64> = pairs.rows.iter().map(|row| row.cosine).collect();
        let kinds: Vec<Kind> = pairs.rows.iter().map(|row| row.kind).collect();
        let judged: Vec<(usize, bool)> = pairs.rows.iter().map(|row| (row.fold - 1, row.right)).collect();
        let folds = judged.iter().map(|&(fold, _)| fold + 1).max().unwrap_or(0);
        Ok(Self { scores: Scores::new(&cosines, &kinds)?, folds, judged })
    }

    fn figures(&self, weights: Weights<'_>, fars: &[f64]) -> Vec<Option<f64>> {
        let roc = self.scores.weighted_roc(weights);
        let of_roc = |figure: &dyn Fn(&Roc) -> f64| roc.as_ref().map(figure);
        let mut figures =
            vec![self.accuracy(weights), of_roc(&Roc::area), of_roc(&|roc| roc.equal_error_rate().rate)];
        figures.extend(fars.iter().map(|&far| of_roc(&|roc| roc.tar_at(far))));
        figures
    }

    /// Mean over the folds that have weight.
    fn accuracy(&self, weights: Weights<'_>) -> Option<f64> {
        let mut sums = vec![(0_u64, 0_u64); self.folds];
        for (index, &(fold, right)) in self.judged.iter().enumerate() {
            let weight = weights.of(index);
            sums[fold].0 += weight * u64::from(right);
            sums[fold].1 += weight;
        }
        let folds: Vec<f64> =
            sums.iter().filter(|sum| sum.1 > 0).map(|sum| sum.0 as f64 / sum.1 as f64).collect();
        (!folds.is_empty()).then(|| folds.iter().sum::<f64>() / folds.len() as f64)
    }
}

fn check_same(first: &ScoredPairs, second: &ScoredPairs) -> Result<(), ComparisonError> {
    let show = |row: &crate::scored::ScoredPair| {
        format!("{} with {} ({:?}, fold {})", row.first, row.second, row.kind, row.fold)
    };
    for (index, (one, other)) in first.rows.iter().zip(&second.rows).enumerate() {
        let same = (one.fold, one.kind, &one.first, &one.second, &one.first_person, &one.second_person)
            == (
                other.fold,
                other.kind,
                &other.first,
                &other.second,
                &other.first_person,
                &other.second_person,
            );
        if !same {
            return Err(ComparisonError::Pair { number: index + 1, first: show(one), second: show(other) });
        }
    }
    let (first, second) = (&first.rows, &second.rows);
    match first.get(second.len()).or(second.get(first.len())) {
        None => Ok(()),
        Some(pair) => {
            Err(ComparisonError::Count { first: first.len(), second: second.len(), pair: show(pair) })
        }
    }
}

fn mcnemar(first: &ScoredPairs, second: &ScoredPairs) -> McNemar {
    let judged = || first.rows.iter().zip(&second.rows).map(|(first, second)| (first.right, second.right));
    let only_first = judged().filter(|&(first, second)| first && !second).count() as u64;
    let only_second = judged().filter(|&(first, second)| !first && second).count() as u64;
    McNemar { only_first, only_second, p: even_binomial(only_first, only_second) }
}

/// Two-sided probability of so uneven a split of `left + right` fair coins.
fn even_binomial(left: u64, right: u64) -> f64 {
    let (total, few) = (left + right, left.min(right));
    // Logarithm of C(total, count) / 2^total, from count to count.
    let mut term = -(total as f64) * std::f64::consts::LN_2;
    let mut sum = 0.0;
    for count in 0..=few {
        sum += term.exp();
        term += ((total - count) as f64 / (count + 1) as f64).ln();
    }
    (2.0 * sum).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::even_binomial;

    #[test]
    fn the_probability_is_that_of_scipy() {
        // scipy.stats.binomtest(k, n, 0.5).pvalue, made by tests/golden/make_comparison_cases.py
        let golden: Vec<(u64, u64, f64)> =
            serde_json::from_str(include_str!("../tests/golden/mcnemar.json")).expect("golden cases");
        assert!(golden.len() > 5);
        for (left, right, p) in golden {
            assert!(
                (even_binomial(left, right) - p).abs() <= 1e-9 * p,
                "{left} {right}: {}",
                even_binomial(left, right)
            );
            assert_eq!(even_binomial(left, right), even_binomial(right, left));
        }
    }
}
