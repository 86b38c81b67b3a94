//! What the replicates of a bootstrap read: the pairs themselves or, of long lists, neighbours in score taken together.
//!
//! IJB-C compares 15.7 million pairs, and a thousand replicates that walk through all of them for each figure take hours.
//! A replicate weighs people, so a pair's weight is a product of two small numbers; the sum of a few neighbours' weights,
//! made in one pass, stands for them in every figure. Neighbours are of one kind and never reach past a pair of the other
//! kind, so the area, the equal error rate and every true accept rate stay exact; a false accept rate or an accuracy is off
//! by at most [`TOGETHER`] pairs.

use std::borrow::Cow;

use crate::interval::People;
use crate::protocol::{Kind, Pair, Protocol};
use crate::scores::Scores;

/// Longer lists than this are condensed.
const LONGEST: usize = 1 << 18;
/// The most pairs that one item stands for.
pub(crate) const TOGETHER: usize = 64;

/// Items with weights: a pair each, or some neighbours.
#[derive(Debug)]
pub(crate) struct Replicates<'a> {
    /// Kind and fold of each item.
    pub(crate) pairs: Cow<'a, [Pair]>,
    /// Score of each item: that of its lowest pair.
    pub(crate) cosines: Cow<'a, [f64]>,
    /// The items by score.
    pub(crate) scores: Cow<'a, Scores>,
    /// Who weighs them.
    pub(crate) people: People,
}

impl<'a> Replicates<'a> {
    /// The pairs themselves.
    pub(crate) fn of_pairs(protocol: &'a Protocol, cosines: &'a [f64], scores: &'a Scores) -> Self {
        Self {
            pairs: Cow::Borrowed(&protocol.pairs),
            cosines: Cow::Borrowed(cosines),
            scores: Cow::Borrowed(scores),
            people: People::of(protocol),
        }
    }

    /// The pairs themselves, or neighbours together where the list is longer than [`LONGEST`].
    pub(crate) fn of(protocol: &'a Protocol, cosines: &'a [f64], scores: &'a Scores) -> Self {
        if protocol.pairs.len() <= LONGEST {
            return Self::of_pairs(protocol, cosines, scores);
        }
        Self::condensed(protocol, scores, TOGETHER)
    }

    /// Neighbours in score of one kind, at most `together` of them, as one item for each fold. Pairs of equal score stay
    /// together, however many they are and of whatever kind.
    pub(crate) fn condensed(protocol: &Protocol, scores: &Scores, together: usize) -> Self {
        let descending = scores.descending();
        let mut pairs: Vec<Pair> = Vec::new();
        let mut cosines: Vec<f64> = Vec::new();
        let mut items = Vec::with_capacity(descending.len());
        // The item of each fold and kind in the run that is being made.
        let mut item_of = vec![None; 2 * protocol.folds];
        let mut run = 0..0;
        let mut close = |run: std::ops::Range<usize>| {
            let Some(lowest) = descending[run.clone()].last() else { return };
            item_of.fill(None);
            for scored in &descending[run] {
                let pair = &protocol.pairs[scored.pair];
                let place = 2 * pair.fold + usize::from(pair.kind == Kind::Genuine);
                let item = *item_of[place].get_or_insert_with(|| {
                    pairs.push(Pair { first: 0, second: 0, ..*pair });
                    cosines.push(lowest.score);
                    pairs.len() - 1
                });
                items.push(item as u32);
            }
        };
        let mut kind = None;
        for group in descending.chunk_by(|left, right| left.score == right.score) {
            let own = group.iter().all(|scored| scored.kind == group[0].kind).then_some(group[0].kind);
            if own.is_none() || own != kind || run.len() + group.len() > together {
                close(run.clone());
                run.start = run.end;
            }
            (kind, run.end) = (own, run.end + group.len());
        }
        close(run);
        let order = descending.iter().map(|scored| scored.pair);
        let people = People::of_pairs_together(protocol, order, items, pairs.len());
        let scores = Scores::of_pairs(&cosines, &pairs).expect("finite scores of both kinds, as before");
        Self { pairs: Cow::Owned(pairs), cosines: Cow::Owned(cosines), scores: Cow::Owned(scores), people }
    }

    /// The most pairs that an item stands for, where neighbours were taken together.
    pub(crate) fn together(&self) -> Option<usize> {
        matches!(self.pairs, Cow::Owned(_)).then_some(TOGETHER)
    }
}

#[cfg(test)]
mod tests {
    use super::Replicates;
    use crate::interval::People;
    use crate::protocol::{FoldOrigin, ImageKey, Kind, Pair, Protocol};
    use crate::scores::{Scores, Weights};
    use crate::verification::{Rule, Verifier};

    /// 60 people with 4 images each in 5 folds, everyone compared with everyone; scores in steps, so that many are equal.
    fn protocol(step: f64) -> (Protocol, Vec<f64>) {
        let mut state = 7_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1_u64 << 24) as f64
        };
        let images = (0..240)
            .map(|image| ImageKey { person: format!("{}", image / 4), name: format!("{image}") })
            .collect();
        let (mut pairs, mut cosines) = (Vec::new(), Vec::new());
        for first in 0..240 {
            for second in first + 1..240 {
                let kind = if first / 4 == second / 4 { Kind::Genuine } else { Kind::Impostor };
                pairs.push(Pair { first, second, kind, fold: (first + second) % 5 });
                let centre = if kind == Kind::Genuine { 0.5 } else { 0.2 };
                cosines.push(((centre + 0.6 * (next() - 0.5)) / step).round() * step);
            }
        }
        let fold_origin = FoldOrigin::File;
        (Protocol { name: "made".into(), images, pairs, folds: 5, fold_origin }, cosines)
    }

    #[test]
    fn rates_are_those_of_the_pairs_and_accuracy_is_off_by_at_most_the_pairs_of_an_item() {
        for (step, together) in [(1e-9, 64), (1e-9, 1), (0.01, 64), (0.2, 3)] {
            let (protocol, cosines) = protocol(step);
            let scores = Scores::of_pairs(&cosines, &protocol.pairs).expect("scores");
            let condensed = Replicates::condensed(&protocol, &scores, together);
            assert!(condensed.pairs.len() <= protocol.pairs.len(), "no more items than pairs");
            if together == 64 {
                assert!(condensed.pairs.len() < protocol.pairs.len() / 3, "{}", condensed.pairs.len());
            }
            let whole = People::of(&protocol);
            let verifier = Verifier::from_scores(Rule::OtherFolds, &protocol, &cosines).expect("a verifier");
            let items = Verifier::of_items(Rule::OtherFolds, &condensed.pairs, 5, &condensed.cosines)
                .expect("a verifier");
            for replicate in 0..20 {
                let (weights, together_weights) =
                    (whole.draw(3, replicate), condensed.people.draw(3, replicate));
                assert_eq!(weights.iter().sum::<u64>(), together_weights.iter().sum::<u64>());
                let roc = scores.weighted_roc(Weights::Each(&weights)).expect("a curve");
                let found = condensed.scores.weighted_roc(Weights::Each(&together_weights)).expect("a curve");
                assert!((roc.area() - found.area()).abs() < 1e-15);
                let (rate, other) = (roc.equal_error_rate().rate, found.equal_error_rate().rate);
                assert!((rate - other).abs() < 1e-12, "{rate} {other}");
                for far in [1e-3, 1e-2, 0.1, 0.5] {
                    assert_eq!(roc.tar_at(far), found.tar_at(far), "at {far}");
                }
                let accuracy = verifier.weighted_accuracy(Weights::Each(&weights)).expect("an accuracy");
                let near = items.weighted_accuracy(Weights::Each(&together_weights)).expect("an accuracy");
                // The heaviest pairs of a replicate count some 16 times, a fold has 5,700.
                assert!((accuracy - near).abs() < 64.0 * 16.0 / 5_700.0, "{accuracy} {near}");
            }
        }
    }
}
