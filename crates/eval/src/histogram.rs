//! Counts of cosines in equal bins.

use serde::{Deserialize, Serialize};

/// How many cosines fall in each of equal bins from -1 to 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Counts from the lowest bin to the highest. A bin holds its lower edge; the last one holds 1 too.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// An empty histogram.
    ///
    /// # Panics
    /// Where `bins` is 0.
    pub fn empty(bins: usize) -> Self {
        assert!(bins > 0, "a histogram needs a bin");
        Self { counts: vec![0; bins] }
    }

    /// Counts cosines.
    ///
    /// # Panics
    /// Where `bins` is 0 or a cosine lies outside -1..1.
    pub fn of(cosines: impl IntoIterator<Item = f64>, bins: usize) -> Self {
        let mut histogram = Self::empty(bins);
        for cosine in cosines {
            histogram.add(cosine);
        }
        histogram
    }

    /// Counts one cosine.
    ///
    /// # Panics
    /// Where it lies outside -1..1.
    pub fn add(&mut self, cosine: f64) {
        assert!((-1.0..=1.0).contains(&cosine), "a cosine lies in -1..1: {cosine}");
        let bins = self.counts.len();
        let bin = ((cosine + 1.0) / 2.0 * bins as f64) as usize;
        self.counts[bin.min(bins - 1)] += 1;
    }

    /// Adds the counts of another histogram.
    ///
    /// # Panics
    /// Where it has another number of bins.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.counts.len(), other.counts.len(), "histograms must have the same bins");
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
    }

    /// Sum of all counts.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Lower and upper edge of a bin.
    pub fn edges(&self, bin: usize) -> (f64, f64) {
        let edge = |bin: usize| 2.0 * bin as f64 / self.counts.len() as f64 - 1.0;
        (edge(bin), edge(bin + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn a_bin_holds_its_lower_edge_and_the_last_holds_one() {
        let histogram = Histogram::of([-1.0, -0.51, -0.5, 0.0, 0.499, 0.5, 1.0], 4);
        assert_eq!(histogram.counts, [2, 1, 2, 2]);
        assert_eq!(histogram.edges(0), (-1.0, -0.5));
        assert_eq!(histogram.edges(3), (0.5, 1.0));
    }

    #[test]
    fn merged_histograms_count_everything() {
        let mut left = Histogram::of([-0.9, 0.9], 2);
        left.merge(&Histogram::of([0.1], 2));
        assert_eq!(left.counts, [1, 2]);
        assert_eq!(left.total(), 3);
    }

    #[test]
    #[should_panic(expected = "a cosine lies in -1..1")]
    fn a_number_that_is_no_cosine_is_a_bad_call() {
        Histogram::of([f64::NAN], 2);
    }
}
