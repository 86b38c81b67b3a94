//! MegaFace's protocol: one image of a person among strangers whose number grows.
//!
//! Kemelmacher-Shlizerman et al., The MegaFace benchmark, CVPR 2016: for every two images of a person, one is put among
//! the distractors and the other searches for it. Images of other probe people are not in the gallery.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use super::scan::{product, unit};
use crate::vectors::Vectors;

/// Probes of a task.
const PROBES: usize = 256;
/// Distractors of a tile.
const ROWS: usize = 512;

/// Figures for each number of distractors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distractors {
    /// Probes that took part.
    pub probes: usize,
    /// Their people.
    pub people: usize,
    /// Ordered pairs of two images of a person.
    pub searches: usize,
    /// From few distractors to many.
    pub points: Vec<DistractorsPoint>,
}

/// Figures among the first so many distractors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DistractorsPoint {
    /// Number of distractors.
    pub distractors: usize,
    /// Share of searches in which no distractor scores at least as high as the other image; ties go against.
    pub rank_one: f64,
    /// Impostor pairs: probes times distractors.
    pub impostors: u64,
    /// True accept rate over all searches at the wanted false accept rate, by the conservative rule; absent where the
    /// impostor pairs cannot resolve it.
    pub tar: Option<f64>,
    /// The false accept rate that was asked for.
    pub far: f64,
}

/// Why the protocol cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DistractorsError {
    /// No person has two images.
    #[error("no person has two probes, so there is nothing to search for")]
    NoSearches,
    /// Vectors of two models.
    #[error("probes and distractors must have one dimension, they have {probes} and {distractors}")]
    Dimension {
        /// Dimension of the probes.
        probes: usize,
        /// Dimension of the distractors.
        distractors: usize,
    },
    /// A number of distractors that is not there.
    #[error("there are {there} distractors, asked for: {wanted}")]
    Size {
        /// Distractors that are there.
        there: usize,
        /// The number that was asked for.
        wanted: usize,
    },
    /// A rate is none.
    #[error("a false accept rate must lie above 0 and at most at 1: {0}")]
    NoRate(f64),
    /// A rate for which too many scores would have to be kept.
    #[error(
        "a false accept rate of {far} over {pairs} pairs needs their {scores} highest scores, at most {KEPT_AT_MOST} are kept"
    )]
    Kept {
        /// The rate.
        far: f64,
        /// Impostor pairs.
        pairs: u64,
        /// Scores that the rate asks for.
        scores: usize,
    },
}

/// Highest scores of impostor pairs that are kept for a size; all the others are only counted.
const KEPT_AT_MOST: usize = 1 << 24;

impl Distractors {
    /// Follows the protocol. `sizes` are numbers of distractors, which are taken in the order of their rows; `people`
    /// numbers the person of each probe.
    ///
    /// # Errors
    /// [`DistractorsError`].
    ///
    /// # Panics
    /// Where there is not one person for each probe.
    pub fn of(
        probes: &Vectors,
        people: &[usize],
        distractors: &Vectors,
        sizes: &[usize],
        far: f64,
    ) -> Result<Self, DistractorsError> {
        assert_eq!(probes.rows(), people.len(), "there must be one person for each probe");
        if probes.dimension() != distractors.dimension() {
            let (probes, distractors) = (probes.dimension(), distractors.dimension());
            return Err(DistractorsError::Dimension { probes, distractors });
        }
        if !(far > 0.0 && far <= 1.0) {
            return Err(DistractorsError::NoRate(far));
        }
        let there = distractors.rows();
        if let Some(&wanted) = sizes.iter().find(|&&size| size == 0 || size > there) {
            return Err(DistractorsError::Size { there, wanted });
        }
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable();
        sizes.dedup();
        let genuine = genuine(probes, people);
        if genuine.is_empty() {
            return Err(DistractorsError::NoSearches);
        }
        let taking_part: HashSet<usize> = genuine.iter().map(|&(probe, _)| probe).collect();
        let mut rows: Vec<usize> = taking_part.into_iter().collect();
        rows.sort_unstable();
        let total = |size: usize| rows.len() as u64 * size as u64;
        let kept: Vec<usize> = sizes.iter().map(|&size| (far * total(size) as f64) as usize + 1).collect();
        if let Some((&size, &scores)) = sizes.iter().zip(&kept).find(|(_, kept)| **kept > KEPT_AT_MOST) {
            return Err(DistractorsError::Kept { far, pairs: total(size), scores });
        }
        let (best, highest) = walk(probes, &rows, distractors, &sizes, &kept);
        let points = sizes.iter().enumerate().map(|(index, &size)| {
            let beaten = |probe: usize| {
                let at = rows.binary_search(&probe).expect("it takes part");
                best[at * sizes.len() + index]
            };
            let won = genuine.iter().filter(|&&(probe, score)| score > beaten(probe)).count();
            let impostors = total(size);
            // The score that would be one false accept too many; a threshold lies just above it.
            let tar = (far >= 1.0 / impostors as f64).then(|| {
                let too_many = highest[index].get(kept[index] - 1).copied();
                let accepted = genuine.iter().filter(|&&(_, score)| too_many.is_none_or(|most| score > most));
                accepted.count() as f64 / genuine.len() as f64
            });
            let rank_one = won as f64 / genuine.len() as f64;
            DistractorsPoint { distractors: size, rank_one, impostors, tar, far }
        });
        let points = points.collect();
        let number = rows.iter().map(|&row| people[row]).collect::<HashSet<_>>().len();
        Ok(Self { probes: rows.len(), people: number, searches: genuine.len(), points })
    }
}

/// The probe of each search and its score with the other image.
fn genuine(probes: &Vectors, people: &[usize]) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..people.len()).collect();
    order.sort_by_key(|&row| people[row]);
    let mut searches = Vec::new();
    for person in order.chunk_by(|&left, &right| people[left] == people[right]) {
        let units: Vec<f32> = person.iter().flat_map(|&row| unit(probes.row(row))).collect();
        let scores = product(&units, &units, probes.dimension());
        for (probe, &row) in person.iter().enumerate() {
            let others = (0..person.len()).filter(|&other| other != probe);
            searches.extend(others.map(|other| (row, scores[[other, probe]])));
        }
    }
    searches
}

/// For each probe and size the best distractor's score, `[probes, sizes]`, and for each size the highest scores of all
/// probes, as many as are kept, from the highest down.
fn walk(
    probes: &Vectors,
    rows: &[usize],
    distractors: &Vectors,
    sizes: &[usize],
    kept: &[usize],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let blocks: Vec<(Vec<f32>, Vec<Vec<f32>>)> = (0..rows.len().div_ceil(PROBES))
        .into_par_iter()
        .with_max_len(1)
        .map(|block| {
            let rows = &rows[block * PROBES..((block + 1) * PROBES).min(rows.len())];
            walk_block(probes, rows, distractors, sizes, kept)
        })
        .collect();
    let mut best = Vec::new();
    let mut highest = vec![Vec::new(); sizes.len()];
    for (block, scores) in blocks {
        best.extend(block);
        highest.iter_mut().zip(scores).for_each(|(all, scores)| all.extend(scores));
    }
    for (scores, &kept) in highest.iter_mut().zip(kept) {
        scores.sort_by(|left: &f32, right| right.total_cmp(left));
        scores.truncate(kept);
    }
    (best, highest)
}

fn walk_block(
    probes: &Vectors,
    rows: &[usize],
    distractors: &Vectors,
    sizes: &[usize],
    kept: &[usize],
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let units: Vec<f32> = rows.iter().flat_map(|&row| unit(probes.row(row))).collect();
    let mut running = vec![f32::NEG_INFINITY; rows.len()];
    let mut best = vec![f32::NEG_INFINITY; rows.len() * sizes.len()];
    let mut highest = Vec::with_capacity(sizes.len());
    // Scores so far, the lowest on top; order of f32 is that of its bits once the sign is folded in.
    let mut heap: BinaryHeap<Reverse<i32>> = BinaryHeap::new();
    let most = kept.last().copied().unwrap_or(1);
    let mut from = 0;
    for (index, &size) in sizes.iter().enumerate() {
        for start in (from..size).step_by(ROWS) {
            let tile = start..(start + ROWS).min(size);
            let tile: Vec<f32> = tile.flat_map(|row| unit(distractors.row(row))).collect();
            let scores = product(&tile, &units, probes.dimension());
            for row in scores.rows() {
                for (running, &score) in running.iter_mut().zip(row) {
                    *running = running.max(score);
                    let ordered = ordered(score);
                    if heap.len() < most {
                        heap.push(Reverse(ordered));
                    } else if heap.peek().is_some_and(|lowest| lowest.0 < ordered) {
                        heap.pop();
                        heap.push(Reverse(ordered));
                    }
                }
            }
        }
        from = size;
        running.iter().enumerate().for_each(|(probe, &score)| best[probe * sizes.len() + index] = score);
        let mut scores: Vec<i32> = heap.iter().map(|score| score.0).collect();
        scores.sort_unstable_by_key(|&score| Reverse(score));
        scores.truncate(kept[index]);
        highest.push(scores.into_iter().map(score_of).collect());
    }
    (best, highest)
}

/// A number with the order of the scores.
fn ordered(score: f32) -> i32 {
    let bits = score.to_bits() as i32;
    bits ^ ((bits >> 31) & i32::MAX)
}

fn score_of(ordered: i32) -> f32 {
    f32::from_bits((ordered ^ ((ordered >> 31) & i32::MAX)) as u32)
}
