//! Bootstrap intervals over people.
//!
//! Pairs share people, so pairs are not independent and resampling them makes intervals too narrow. Here people are
//! drawn with replacement; a genuine pair counts as often as its person was drawn, an impostor pair as often as the
//! product of its two people's counts. (The "subsets bootstrap" of Bolle, Ratha and Pankanti, Evaluating
//! authentication systems using bootstrap confidence intervals, 1999, in its two-way form.)

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use crate::protocol::Protocol;
use crate::scored::ScoredPairs;
use crate::scores::Weights;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Number of replicates.
    pub replicates: usize,
    /// Share of replicates inside the interval.
    pub level: f64,
    /// Seed; replicate `i` has the random numbers of stream `i`, whatever thread makes it.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 1000 replicates (Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3), 95 %, seed 1801.
    fn default() -> Self {
        Self { replicates: 1000, level: 0.95, seed: 1801 }
    }
}

/// A percentile interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The people of a protocol, ready to be resampled.
#[derive(Clone, Debug)]
pub struct People {
    count: usize,
    /// The two people of each pair; one twice for a genuine pair.
    pairs: Vec<(u32, u32)>,
    /// Where some pairs are weighed together: what each pair belongs to.
    together: Option<Together>,
}

#[derive(Clone, Debug)]
struct Together {
    /// Number of items.
    count: usize,
    /// The item of each pair.
    items: Vec<u32>,
}

impl People {
    /// The people behind each pair of a protocol.
    pub fn of(protocol: &Protocol) -> Self {
        let (people, count) = protocol.people();
        let person = |row: usize| people[row] as u32;
        let pairs = protocol.pairs.iter().map(|pair| (person(pair.first), person(pair.second))).collect();
        Self { count, pairs, together: None }
    }

    /// The people behind items of several pairs: `items` names that of each pair in `order`, and a weight is the sum of
    /// those of its pairs.
    pub(crate) fn of_pairs_together(
        protocol: &Protocol,
        order: impl Iterator<Item = usize>,
        items: Vec<u32>,
        count: usize,
    ) -> Self {
        let whole = Self::of(protocol);
        let pairs = order.map(|pair| whole.pairs[pair]).collect();
        Self { count: whole.count, pairs, together: Some(Together { count, items }) }
    }

    /// The people behind each scored pair.
    pub fn of_scored(pairs: &ScoredPairs) -> Self {
        let mut numbers = HashMap::new();
        let mut number = |person| {
            let next = numbers.len() as u32;
            *numbers.entry(person).or_insert(next)
        };
        let rows = pairs.rows.iter().map(|row| (row.first_person.as_str(), row.second_person.as_str()));
        let pairs = rows.map(|(first, second)| (number(first), number(second))).collect();
        Self { count: numbers.len(), pairs, together: None }
    }

    /// One person behind each item, such as a probe: it counts as often as the person was drawn.
    pub fn of_items<T: Eq + std::hash::Hash>(people: impl IntoIterator<Item = T>) -> Self {
        let mut numbers = HashMap::new();
        let items = people.into_iter().map(|person| {
            let next = numbers.len() as u32;
            *numbers.entry(person).or_insert(next)
        });
        let pairs = items.map(|number| (number, number)).collect();
        Self { count: numbers.len(), pairs, together: None }
    }

    /// Number of people.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Weight of each pair, or of each item of several pairs, in one replicate.
    pub fn draw(&self, seed: u64, replicate: u64) -> Vec<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(replicate);
        let mut drawn = vec![0_u64; self.count];
        for _ in 0..self.count {
            drawn[random.random_range(0..self.count)] += 1;
        }
        let weight = |&(first, second): &(u32, u32)| {
            let (one, other) = (drawn[first as usize], drawn[second as usize]);
            if first == second { one } else { one * other }
        };
        let Some(together) = &self.together else { return self.pairs.iter().map(weight).collect() };
        let mut sums = vec![0; together.count];
        for (pair, &item) in self.pairs.iter().zip(&together.items) {
            sums[item as usize] += weight(pair);
        }
        sums
    }

    /// Percentile intervals of several figures from the same replicates.
    ///
    /// `figures` returns one value for each figure, `None` where a replicate does not define it; such replicates are
    /// left out of that figure's interval. A figure that fewer than half of the replicates define has no interval.
    ///
    /// # Panics
    /// Where `level` is not strictly between 0 and 1, there are no replicates, or `figures` changes its length.
    pub fn intervals(
        &self,
        bootstrap: &Bootstrap,
        figures: impl Fn(Weights<'_>) -> Vec<Option<f64>> + Sync,
    ) -> Vec<Option<Interval>> {
        assert!(bootstrap.level > 0.0 && bootstrap.level < 1.0, "a level lies strictly between 0 and 1");
        assert!(bootstrap.replicates > 0, "an interval needs replicates");
        let replicates: Vec<Vec<Option<f64>>> = (0..bootstrap.replicates as u64)
            .into_par_iter()
            .map(|replicate| figures(Weights::Each(&self.draw(bootstrap.seed, replicate))))
            .collect();
        let count = replicates[0].len();
        assert!(replicates.iter().all(|values| values.len() == count), "each replicate has the same figures");
        (0..count)
            .map(|figure| {
                let mut values: Vec<f64> = replicates.iter().filter_map(|values| values[figure]).collect();
                if values.len() * 2 < bootstrap.replicates {
                    return None;
                }
                values.sort_by(f64::total_cmp);
                let outside = (1.0 - bootstrap.level) / 2.0;
                Some(Interval { low: quantile(&values, outside), high: quantile(&values, 1.0 - outside) })
            })
            .collect()
    }
}

/// Quantile of ascending values, linear between neighbours (type 7 of Hyndman and Fan, the default of NumPy and R).
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let place = share * (ascending.len() - 1) as f64;
    let (below, step) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(ascending.len() - 1);
    ascending[below] + step * (ascending[above] - ascending[below])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::quantile;

    #[derive(Deserialize)]
    struct Golden {
        quantiles: Quantiles,
    }

    #[derive(Deserialize)]
    struct Quantiles {
        values: Vec<f64>,
        shares: Vec<f64>,
        quantiles: Vec<f64>,
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        let golden: Golden =
            serde_json::from_str(include_str!("../tests/golden/intervals.json")).expect("golden cases");
        let Quantiles { values, shares, quantiles } = golden.quantiles;
        for (&share, expected) in shares.iter().zip(quantiles) {
            let found = quantile(&values, share);
            assert!((found - expected).abs() < 1e-12, "{share}: {found} {expected}");
        }
    }
}
