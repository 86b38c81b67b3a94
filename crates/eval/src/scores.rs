//! Scored pairs in descending order, the form in which curves and thresholds read them.

use crate::protocol::{Kind, Pair};

/// Scores of pairs, highest first, with at least one pair of each kind.
///
/// A pair is accepted where its score is at least the threshold. A weight for each pair, in the order in which the pairs
/// were given, says how often it counts; a bootstrap replicate is nothing but other weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    descending: Vec<Scored>,
}

/// One pair with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f64,
    pub(crate) kind: Kind,
    /// Position in the order in which the pairs were given.
    pub(crate) pair: usize,
}

/// Why numbers are not [`Scores`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScoresError {
    /// A score is not finite.
    #[error("a score must be finite, unlike that of pair {pair}: {score}")]
    NotFinite {
        /// The pair, counted from 0.
        pair: usize,
        /// Its score.
        score: f64,
    },
    /// There is no pair of one kind, so there is nothing to tell apart.
    #[error("telling pairs apart needs both kinds, there is no pair that is {0:?}")]
    OneKind(Kind),
}

impl Scores {
    /// Sorts scores of pairs.
    ///
    /// # Errors
    /// A score that is not finite, or no pair of one of the kinds.
    ///
    /// # Panics
    /// Where there is not one kind for each score.
    pub fn new(scores: &[f64], kinds: &[Kind]) -> Result<Self, ScoresError> {
        assert_eq!(scores.len(), kinds.len(), "there must be one kind for each score");
        let mut descending = Vec::with_capacity(scores.len());
        for (pair, (&score, &kind)) in scores.iter().zip(kinds).enumerate() {
            if !score.is_finite() {
                return Err(ScoresError::NotFinite { pair, score });
            }
            descending.push(Scored { score, kind, pair });
        }
        for kind in [Kind::Genuine, Kind::Impostor] {
            if !kinds.contains(&kind) {
                return Err(ScoresError::OneKind(kind));
            }
        }
        descending.sort_by(|left, right| right.score.total_cmp(&left.score));
        Ok(Self { descending })
    }

    /// Sorts scores of the pairs of a protocol.
    ///
    /// # Errors
    /// As [`Scores::new`].
    ///
    /// # Panics
    /// Where there is not one score for each pair.
    pub fn of_pairs(scores: &[f64], pairs: &[Pair]) -> Result<Self, ScoresError> {
        let kinds: Vec<Kind> = pairs.iter().map(|pair| pair.kind).collect();
        Self::new(scores, &kinds)
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.descending.len()
    }

    /// Never true: there is a pair of each kind.
    pub fn is_empty(&self) -> bool {
        self.descending.is_empty()
    }

    /// Number of pairs of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.descending.iter().filter(|scored| scored.kind == kind).count() as u64
    }

    /// Scores of the pairs of a kind, highest first.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = f64> {
        self.descending.iter().filter(move |scored| scored.kind == kind).map(|scored| scored.score)
    }

    pub(crate) fn descending(&self) -> &[Scored] {
        &self.descending
    }

    /// Walks down through groups of equal scores, with the weight of each kind in the group.
    ///
    /// Groups without weight are left out: in this replicate they do not exist.
    pub(crate) fn groups<'a>(&'a self, weights: Weights<'a>) -> impl Iterator<Item = Group> + 'a {
        self.descending
            .chunk_by(|left, right| left.score == right.score)
            .map(move |group| {
                let mut sum = Group { score: group[0].score, genuine: 0, impostor: 0 };
                for scored in group {
                    match scored.kind {
                        Kind::Genuine => sum.genuine += weights.of(scored.pair),
                        Kind::Impostor => sum.impostor += weights.of(scored.pair),
                    }
                }
                sum
            })
            .filter(|group| group.genuine + group.impostor > 0)
    }
}

/// Pairs of equal score.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) score: f64,
    pub(crate) genuine: u64,
    pub(crate) impostor: u64,
}

/// How often each pair counts.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// Every pair once.
    Once,
    /// Each pair as often as said, in the order in which the pairs were given.
    Each(&'a [u64]),
}

impl Weights<'_> {
    pub(crate) fn of(self, pair: usize) -> u64 {
        match self {
            Self::Once => 1,
            Self::Each(weights) => weights[pair],
        }
    }
}
