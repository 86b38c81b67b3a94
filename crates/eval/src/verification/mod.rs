//! Accuracy over folds: each fold is judged with a threshold that its rule chose.

mod rule;
mod threshold;

use serde::{Deserialize, Serialize};

use crate::protocol::{Kind, Pair, Protocol};
use crate::scores::{Scores, ScoresError, Weights};
use crate::vectors::{Vectors, VectorsError};

pub use rule::{Rule, UnknownRule};
use threshold::{Grid, Search};

/// Accuracy of one fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldAccuracy {
    /// Fold, counted from 1.
    pub fold: usize,
    /// Share of the fold's pairs that are judged rightly.
    pub accuracy: f64,
    /// The threshold it was judged with, in [`Rule::threshold_unit`].
    pub threshold: f64,
    /// Genuine pairs in the fold.
    pub genuine: usize,
    /// Impostor pairs in the fold.
    pub impostor: usize,
}

/// Accuracy of a rule over all folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The rule.
    pub rule: Rule,
    /// Mean of the folds' accuracies.
    pub accuracy: f64,
    /// Standard deviation of the folds' accuracies, of the population (divided by the number of folds, as InsightFace
    /// and most peers print it).
    pub standard_deviation: f64,
    /// Standard error of the mean: the sample's standard deviation over the root of the number of folds (as LFW's
    /// tables print it). It ignores that all folds share one model; zero where there is one fold.
    pub standard_error: f64,
    /// Mean of the folds' thresholds.
    pub threshold: f64,
    /// Each fold.
    pub folds: Vec<FoldAccuracy>,
}

/// Why pairs cannot be verified by a rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VerificationError {
    /// The scores themselves are no evidence.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// A vector has no direction left once the mean of the other folds is subtracted.
    #[error("fold {fold}: subtracting the mean of the other folds leaves a vector without direction")]
    Centred {
        /// Fold, counted from 1.
        fold: usize,
        /// Which vector.
        #[source]
        source: VectorsError,
    },
    /// A rule that chooses thresholds on the other folds needs others.
    #[error("rule {rule} needs at least two folds, there are: {folds}")]
    TooFewFolds {
        /// The rule.
        rule: Rule,
        /// Number of folds.
        folds: usize,
    },
    /// A fold without pairs has no accuracy.
    #[error("a fold without a pair has no accuracy, fold: {fold}")]
    EmptyFold {
        /// Fold, counted from 1.
        fold: usize,
    },
    /// The other folds hold pairs of one kind only, which any extreme threshold judges rightly.
    #[error("no threshold for fold {fold}: the other folds hold no pair that is {missing:?}")]
    OneKind {
        /// Fold, counted from 1.
        fold: usize,
        /// The kind that is not there.
        missing: Kind,
    },
    /// SphereFace's rule moves the vectors, so scores alone do not do.
    #[error("rule sphereface subtracts a mean from the vectors and cannot work on scores alone")]
    NeedsVectors,
}

/// Pairs scored and prepared for the threshold searches of a rule, so that bootstrap replicates cost little.
#[derive(Clone, Debug)]
pub struct Verifier {
    rule: Rule,
    pairs: Vec<Pair>,
    folds: usize,
    /// One scoring for all folds, or one for each.
    scorings: Vec<Scoring>,
}

#[derive(Clone, Debug)]
struct Scoring {
    scores: Vec<f64>,
    search: Search,
}

impl Verifier {
    /// Scores the pairs of a protocol.
    ///
    /// A fold may lack genuine or impostor pairs; its accuracy is then over what it has.
    ///
    /// # Errors
    /// See [`VerificationError`].
    ///
    /// # Panics
    /// Where `vectors` has not one row for each image of the protocol.
    pub fn new(rule: Rule, protocol: &Protocol, vectors: &Vectors) -> Result<Self, VerificationError> {
        assert_eq!(vectors.rows(), protocol.images.len(), "there must be one vector for each image");
        if rule != Rule::SphereFace {
            return Self::from_scores(rule, protocol, &vectors.cosines(&protocol.pairs));
        }
        check_folds(rule, &protocol.pairs, protocol.folds)?;
        let scorings = (0..protocol.folds).map(|fold| {
            let centred = centred(vectors, protocol, fold)
                .map_err(|source| VerificationError::Centred { fold: fold + 1, source })?;
            let scores = centred.cosines(&protocol.pairs);
            let search = Search::Cosine(Grid::cosines(&scores, &protocol.pairs));
            Ok(Scoring { scores, search })
        });
        let scorings = scorings.collect::<Result<_, VerificationError>>()?;
        Ok(Self { rule, pairs: protocol.pairs.clone(), folds: protocol.folds, scorings })
    }

    /// Takes the cosine of each pair, in the order of the protocol.
    ///
    /// # Errors
    /// See [`VerificationError`]; the rule `sphereface` needs vectors.
    ///
    /// # Panics
    /// Where there is not one cosine for each pair.
    pub fn from_scores(rule: Rule, protocol: &Protocol, cosines: &[f64]) -> Result<Self, VerificationError> {
        Self::of_items(rule, &protocol.pairs, protocol.folds, cosines)
    }

    /// As [`Verifier::from_scores`] for pairs, or items that stand for several, of which kind and fold alone count.
    pub(crate) fn of_items(
        rule: Rule,
        pairs: &[Pair],
        folds: usize,
        cosines: &[f64],
    ) -> Result<Self, VerificationError> {
        let scores = Scores::of_pairs(cosines, pairs)?;
        check_folds(rule, pairs, folds)?;
        let scoring = match rule {
            Rule::OtherFolds | Rule::BestOnTest => {
                Scoring { scores: cosines.to_vec(), search: Search::Exact(scores) }
            }
            Rule::InsightFace => {
                let distances: Vec<f64> = cosines.iter().map(|cosine| 2.0 - 2.0 * cosine).collect();
                let search = Search::Distance(Grid::distances(&distances));
                Scoring { scores: distances, search }
            }
            Rule::SphereFace => return Err(VerificationError::NeedsVectors),
        };
        Ok(Self { rule, pairs: pairs.to_vec(), folds, scorings: vec![scoring] })
    }

    /// Accuracy over all folds.
    pub fn verify(&self) -> Verification {
        let (mut folds, mut right) = (Vec::with_capacity(self.folds), vec![false; self.pairs.len()]);
        for fold in 0..self.folds {
            let threshold = self.threshold(fold, Weights::Once).expect("both kinds are in the other folds");
            self.judge(fold, threshold, &mut right);
            let inside = || self.pairs.iter().zip(&right).filter(|(pair, _)| pair.fold == fold);
            let count = |kind| inside().filter(|(pair, _)| pair.kind == kind).count();
            let (genuine, impostor) = (count(Kind::Genuine), count(Kind::Impostor));
            let rights = inside().filter(|&(_, &right)| right).count();
            let accuracy = rights as f64 / (genuine + impostor) as f64;
            folds.push(FoldAccuracy { fold: fold + 1, accuracy, threshold, genuine, impostor });
        }
        let count = folds.len() as f64;
        let mean = |value: fn(&FoldAccuracy) -> f64| folds.iter().map(value).sum::<f64>() / count;
        let accuracy = mean(|fold| fold.accuracy);
        let squares: f64 = folds.iter().map(|fold| (fold.accuracy - accuracy).powi(2)).sum();
        Verification {
            rule: self.rule,
            accuracy,
            standard_deviation: (squares / count).sqrt(),
            standard_error: if folds.len() > 1 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 },
            threshold: mean(|fold| fold.threshold),
            folds,
        }
    }

    /// Whether each pair is judged rightly, in the order of the protocol.
    pub fn decisions(&self) -> Vec<bool> {
        let mut right = vec![false; self.pairs.len()];
        for fold in 0..self.folds {
            let threshold = self.threshold(fold, Weights::Once).expect("both kinds are in the other folds");
            self.judge(fold, threshold, &mut right);
        }
        right
    }

    /// Mean accuracy over the folds of a bootstrap replicate, thresholds chosen anew from its weights; `None` where
    /// no fold has both weight and a threshold. A fold without weight is not in the replicate.
    ///
    /// # Panics
    /// Where a weight is missing.
    pub fn weighted_accuracy(&self, weights: Weights<'_>) -> Option<f64> {
        let (mut sum, mut folds) = (0.0, 0_u32);
        let mut right = vec![false; self.pairs.len()];
        for fold in 0..self.folds {
            let Some(threshold) = self.threshold(fold, weights) else { continue };
            self.judge(fold, threshold, &mut right);
            let (mut total, mut rights) = (0, 0);
            for (index, _) in self.pairs.iter().enumerate().filter(|(_, pair)| pair.fold == fold) {
                total += weights.of(index);
                rights += if right[index] { weights.of(index) } else { 0 };
            }
            if total > 0 {
                sum += rights as f64 / total as f64;
                folds += 1;
            }
        }
        (folds > 0).then(|| sum / f64::from(folds))
    }

    fn threshold(&self, fold: usize, weights: Weights<'_>) -> Option<f64> {
        let search = &self.scoring(fold).search;
        match self.rule {
            Rule::BestOnTest => search.best(&self.pairs, weights, |_| true),
            _ => search.best(&self.pairs, weights, |pair| pair.fold != fold),
        }
    }

    fn judge(&self, fold: usize, threshold: f64, right: &mut [bool]) {
        let Scoring { scores, search } = self.scoring(fold);
        for ((pair, &score), right) in self.pairs.iter().zip(scores).zip(right) {
            if pair.fold == fold {
                *right = search.is_right(score, pair.kind, threshold);
            }
        }
    }

    fn scoring(&self, fold: usize) -> &Scoring {
        if self.scorings.len() == 1 { &self.scorings[0] } else { &self.scorings[fold] }
    }
}

fn check_folds(rule: Rule, pairs: &[Pair], folds: usize) -> Result<(), VerificationError> {
    let elsewhere = |fold: usize, kind: Kind| {
        pairs.iter().any(|pair| pair.kind == kind && (rule == Rule::BestOnTest || pair.fold != fold))
    };
    if folds < 2 && rule != Rule::BestOnTest {
        return Err(VerificationError::TooFewFolds { rule, folds });
    }
    for fold in 0..folds {
        if !pairs.iter().any(|pair| pair.fold == fold) {
            return Err(VerificationError::EmptyFold { fold: fold + 1 });
        }
        for missing in [Kind::Genuine, Kind::Impostor] {
            if !elsewhere(fold, missing) {
                return Err(VerificationError::OneKind { fold: fold + 1, missing });
            }
        }
    }
    Ok(())
}

/// Vectors minus the mean of both vectors of every pair outside the fold, each as often as it occurs in pairs.
fn centred(vectors: &Vectors, protocol: &Protocol, fold: usize) -> Result<Vectors, VectorsError> {
    let mut mean = vec![0.0_f64; vectors.dimension()];
    let mut count = 0.0;
    for pair in protocol.pairs.iter().filter(|pair| pair.fold != fold) {
        for row in [pair.first, pair.second] {
            count += 1.0;
            mean.iter_mut().zip(vectors.row(row)).for_each(|(mean, &value)| *mean += f64::from(value));
        }
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
    let rows = 0..vectors.rows();
    let moved = rows.flat_map(|row| {
        let moved = vectors.row(row).iter().zip(&mean);
        moved.map(|(&value, &mean)| (f64::from(value) - mean) as f32).collect::<Vec<_>>()
    });
    Vectors::new(moved.collect(), vectors.dimension())
}
