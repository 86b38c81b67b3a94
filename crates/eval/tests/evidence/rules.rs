//! Thresholds and accuracies of the named rules.

use eval::protocol::Kind;
use eval::scores::{ScoresError, Weights};
use eval::verification::VerificationError;
use eval::{Protocol, Rule, Vectors, Verifier};
use serde::Deserialize;

use super::made::{cosines, crowd, even, protocol};

/// Share of rightly judged pairs in or outside a fold, by plain counting.
fn accuracy(protocol: &Protocol, scores: &[f64], threshold: f64, takes: impl Fn(usize) -> bool) -> f64 {
    let taken: Vec<_> = protocol.pairs.iter().zip(scores).filter(|(pair, _)| takes(pair.fold)).collect();
    let right = taken.iter().filter(|(pair, score)| (**score >= threshold) == (pair.kind == Kind::Genuine));
    right.count() as f64 / taken.len() as f64
}

/// Every way to cut the scores, from above all to below all.
fn cuts(scores: &[f64]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|left, right| right.total_cmp(left));
    sorted.dedup();
    let mut cuts = vec![1.5];
    cuts.extend(sorted.windows(2).map(|two| f64::midpoint(two[0], two[1])));
    cuts.push(-1.5);
    cuts
}

#[test]
fn no_threshold_does_better_on_the_other_folds_than_the_chosen_one() {
    for (seed, step) in [(1, 1e-9), (2, 0.05), (3, 0.2), (4, 0.5)] {
        let protocol = even(5, 9);
        let scores = cosines(&protocol, seed, step);
        let found = Verifier::from_scores(Rule::OtherFolds, &protocol, &scores).expect("a verifier").verify();
        for row in &found.folds {
            let others = |fold: usize| fold + 1 != row.fold;
            let on_others = accuracy(&protocol, &scores, row.threshold, others);
            let others_only: Vec<f64> = protocol
                .pairs
                .iter()
                .zip(&scores)
                .filter(|(pair, _)| others(pair.fold))
                .map(|(_, &score)| score)
                .collect();
            let best = cuts(&others_only).into_iter().map(|at| accuracy(&protocol, &scores, at, others));
            assert_eq!(on_others, best.fold(0.0, f64::max), "step {step}, fold {}", row.fold);
            assert_eq!(row.accuracy, accuracy(&protocol, &scores, row.threshold, |fold| !others(fold)));
            assert_eq!((row.genuine, row.impostor), (9, 9));
        }
        let mean = found.folds.iter().map(|fold| fold.accuracy).sum::<f64>() / 5.0;
        assert!((found.accuracy - mean).abs() < 1e-15);
    }
}

#[test]
fn of_equally_good_intervals_the_middle_one_is_taken_and_of_it_the_middle() {
    // On the other fold: 0.9 G, 0.7 I, 0.5 G, 0.3 I, 0.1 G. Cutting below 0.9, 0.5 or 0.1 gives 3 of 5 each.
    let (genuine, impostor) = (Kind::Genuine, Kind::Impostor);
    let protocol = protocol(
        &[
            (genuine, 0),
            (impostor, 0),
            (genuine, 0),
            (impostor, 0),
            (genuine, 0),
            (genuine, 1),
            (impostor, 1),
        ],
        2,
    );
    let scores = [0.9, 0.7, 0.5, 0.3, 0.1, 0.4, 0.2];
    let found = Verifier::from_scores(Rule::OtherFolds, &protocol, &scores).expect("a verifier").verify();
    assert!((found.folds[1].threshold - 0.4).abs() < 1e-15, "{}", found.folds[1].threshold);
    assert!((found.folds[0].threshold - 0.3).abs() < 1e-15);
    // A score on the threshold is accepted.
    assert_eq!(found.folds[1].accuracy, 1.0);
}

#[test]
fn an_extreme_threshold_still_accepts_or_rejects_everything() {
    let (genuine, impostor) = (Kind::Genuine, Kind::Impostor);
    let protocol =
        protocol(&[(genuine, 0), (impostor, 0), (impostor, 0), (genuine, 1), (genuine, 1), (impostor, 1)], 2);
    // Fold 1's pairs all score 1 and so do fold 0's: rejecting all is best for fold 0's, accepting all for fold 1's.
    let found = Verifier::from_scores(Rule::OtherFolds, &protocol, &[1.0; 6]).expect("a verifier").verify();
    assert!(found.folds[1].threshold > 1.0);
    assert_eq!(found.folds[1].accuracy, 1.0 / 3.0);
    assert!(found.folds[0].threshold <= 1.0);
    assert_eq!(found.folds[0].accuracy, 1.0 / 3.0);
    let found = Verifier::from_scores(Rule::OtherFolds, &protocol, &[-1.0; 6]).expect("a verifier").verify();
    assert!(found.folds[1].threshold > -1.0 && found.folds[0].threshold <= -1.0);
}

#[test]
fn best_on_test_is_marked_and_never_below_a_rule_that_has_not_seen_the_answers() {
    assert!(Rule::BestOnTest.is_optimistic() && !Rule::OtherFolds.is_optimistic());
    for seed in 0..10 {
        let protocol = even(5, 8);
        let scores = cosines(&protocol, seed, 1e-9);
        let of = |rule| Verifier::from_scores(rule, &protocol, &scores).expect("a verifier").verify();
        let (honest, optimistic) = (of(Rule::OtherFolds), of(Rule::BestOnTest));
        assert!(optimistic.accuracy >= honest.accuracy);
        let best = cuts(&scores).into_iter().map(|at| accuracy(&protocol, &scores, at, |_| true));
        assert!((optimistic.accuracy - best.fold(0.0, f64::max)).abs() < 1e-12);
    }
}

#[derive(Deserialize)]
struct Golden {
    vectors: Vec<Vec<f32>>,
    pairs: Vec<(bool, usize)>,
    insightface: GoldenRule,
    sphereface: GoldenRule,
}

#[derive(Deserialize)]
struct GoldenRule {
    thresholds: Vec<f64>,
    accuracies: Vec<f64>,
    mean: f64,
    std: f64,
}

#[test]
fn published_rules_agree_with_their_restatement_in_numpy() {
    let golden: Golden =
        serde_json::from_str(include_str!("../golden/verification.json")).expect("golden cases");
    let kind = |genuine| if genuine { Kind::Genuine } else { Kind::Impostor };
    let pairs: Vec<_> = golden.pairs.iter().map(|&(genuine, fold)| (kind(genuine), fold)).collect();
    let protocol = protocol(&pairs, 5);
    let vectors = Vectors::from_rows(golden.vectors.iter().map(Vec::as_slice)).expect("vectors");
    for (rule, expected) in [(Rule::InsightFace, &golden.insightface), (Rule::SphereFace, &golden.sphereface)]
    {
        let found = Verifier::new(rule, &protocol, &vectors).expect("a verifier").verify();
        for (row, (threshold, accuracy)) in
            found.folds.iter().zip(expected.thresholds.iter().zip(&expected.accuracies))
        {
            assert!(
                (row.threshold - threshold).abs() < 1e-12,
                "{rule}, fold {}: {}",
                row.fold,
                row.threshold
            );
            assert!((row.accuracy - accuracy).abs() < 1e-12, "{rule}, fold {}: {}", row.fold, row.accuracy);
        }
        assert!((found.accuracy - expected.mean).abs() < 1e-12);
        assert!((found.standard_deviation - expected.std).abs() < 1e-12);
        assert!((found.standard_error - expected.std / 2.0).abs() < 1e-12, "sqrt(5 / 4) / sqrt(5) is a half");
    }
}

#[test]
fn decisions_and_unit_weights_give_the_accuracy_back() {
    let (protocol, vectors) = crowd(30, 4, 5, 9);
    for rule in Rule::ALL {
        let verifier = Verifier::new(rule, &protocol, &vectors).expect("a verifier");
        let found = verifier.verify();
        let decisions = verifier.decisions();
        for row in &found.folds {
            let fold = protocol.pairs.iter().zip(&decisions).filter(|(pair, _)| pair.fold + 1 == row.fold);
            let (right, all) =
                fold.fold((0.0, 0.0), |(right, all), (_, &is)| (right + f64::from(u8::from(is)), all + 1.0));
            assert_eq!(row.accuracy, right / all, "{rule}");
        }
        let ones = vec![1; protocol.pairs.len()];
        let weighted = verifier.weighted_accuracy(Weights::Each(&ones)).expect("defined");
        assert!((weighted - found.accuracy).abs() < 1e-15, "{rule}");
    }
}

#[test]
fn weights_count_pairs_as_often_as_they_say() {
    let protocol = even(3, 6);
    let scores = cosines(&protocol, 12, 0.1);
    let weights: Vec<u64> = (0..scores.len() as u64).map(|index| (index * 7 + 3) % 4).collect();
    let (mut pairs, mut repeated) = (Vec::new(), Vec::new());
    for ((pair, &score), &weight) in protocol.pairs.iter().zip(&scores).zip(&weights) {
        pairs.extend((0..weight).map(|_| (pair.kind, pair.fold)));
        repeated.extend((0..weight).map(|_| score));
    }
    let twin = super::made::protocol(&pairs, 3);
    for rule in [Rule::OtherFolds, Rule::InsightFace, Rule::BestOnTest] {
        let verifier = Verifier::from_scores(rule, &protocol, &scores).expect("a verifier");
        let found = verifier.weighted_accuracy(Weights::Each(&weights)).expect("defined");
        let expected = Verifier::from_scores(rule, &twin, &repeated).expect("a verifier").verify();
        assert!((found - expected.accuracy).abs() < 1e-12, "{rule}: {found} is not {}", expected.accuracy);
    }
}

#[test]
fn a_fold_without_genuine_pairs_is_judged_on_what_it_has() {
    let (genuine, impostor) = (Kind::Genuine, Kind::Impostor);
    let protocol = protocol(
        &[(genuine, 0), (impostor, 0), (impostor, 1), (impostor, 1), (genuine, 2), (impostor, 2)],
        3,
    );
    let scores = [0.9, 0.1, 0.2, 0.8, 0.7, 0.3];
    let found = Verifier::from_scores(Rule::OtherFolds, &protocol, &scores).expect("a verifier").verify();
    assert_eq!((found.folds[1].genuine, found.folds[1].impostor, found.folds[1].accuracy), (0, 2, 0.5));
}

#[test]
fn folds_that_support_no_threshold_are_refused() {
    let (genuine, impostor) = (Kind::Genuine, Kind::Impostor);
    let refused = |pairs: &[(Kind, usize)], folds| {
        let scores = vec![0.5; pairs.len()];
        Verifier::from_scores(Rule::OtherFolds, &protocol(pairs, folds), &scores)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refused(&[(genuine, 0), (impostor, 0)], 1),
        "rule other-folds needs at least two folds, there are: 1"
    );
    assert_eq!(
        refused(&[(genuine, 0), (impostor, 0)], 2),
        "no threshold for fold 1: the other folds hold no pair that is Genuine"
    );
    assert_eq!(
        refused(&[(genuine, 0), (impostor, 0), (impostor, 1), (genuine, 1)], 3),
        "a fold without a pair has no accuracy, fold: 3"
    );
    assert_eq!(
        refused(&[(genuine, 0), (impostor, 0), (impostor, 1)], 2),
        "no threshold for fold 1: the other folds hold no pair that is Genuine"
    );
    let even = even(2, 2);
    let found = Verifier::from_scores(Rule::SphereFace, &even, &[0.5; 8]).map(|_| ());
    assert_eq!(found, Err(VerificationError::NeedsVectors));
    let mut scores = [0.5; 8];
    scores[3] = f64::NAN;
    let found = Verifier::from_scores(Rule::OtherFolds, &even, &scores).map(|_| ());
    assert!(matches!(found, Err(VerificationError::Scores(ScoresError::NotFinite { pair: 3, .. }))));
}

#[test]
fn a_vector_that_is_the_mean_itself_is_refused() {
    let vectors = Vectors::from_rows((0..32).map(|_| &[1.0, 2.0][..])).expect("vectors");
    let error = Verifier::new(Rule::SphereFace, &even(2, 4), &vectors).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "fold 1: subtracting the mean of the other folds leaves a vector without direction"
    );
}
