//! ROC, area, equal error rate, TAR at FAR.

use eval::protocol::Kind;
use eval::scores::{Scores, ScoresError, Weights};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use serde::Deserialize;

const KINDS: [Kind; 2] = [Kind::Genuine, Kind::Impostor];

/// Scores on a coarse grid, so that ties within and between the kinds are common.
fn tied() -> impl Strategy<Value = (Vec<f64>, Vec<Kind>)> {
    let pair = (0..12_i32, any::<bool>());
    prop::collection::vec(pair, 2..60).prop_map(|pairs| {
        let mut scores: Vec<f64> = pairs.iter().map(|&(score, _)| f64::from(score) / 12.0).collect();
        let mut kinds: Vec<Kind> = pairs.iter().map(|&(_, genuine)| KINDS[usize::from(!genuine)]).collect();
        scores.extend([0.5, 0.25]);
        kinds.extend(KINDS);
        (scores, kinds)
    })
}

/// Share of the pairs of a kind that a threshold accepts, counted one by one.
fn accepted(scores: &[f64], kinds: &[Kind], kind: Kind, threshold: f64) -> f64 {
    let of_kind: Vec<f64> =
        scores.iter().zip(kinds).filter(|&(_, &found)| found == kind).map(|(&score, _)| score).collect();
    of_kind.iter().filter(|&&score| score >= threshold).count() as f64 / of_kind.len() as f64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn area_is_the_chance_that_a_genuine_pair_beats_an_impostor((scores, kinds) in tied()) {
        let (mut wins, mut contests) = (0.0, 0.0);
        for (genuine, _) in scores.iter().zip(&kinds).filter(|(_, kind)| **kind == Kind::Genuine) {
            for (impostor, _) in scores.iter().zip(&kinds).filter(|(_, kind)| **kind == Kind::Impostor) {
                contests += 1.0;
                wins += if genuine > impostor { 1.0 } else if genuine == impostor { 0.5 } else { 0.0 };
            }
        }
        let found = Scores::new(&scores, &kinds).expect("scores").roc().area();
        assert!((found - wins / contests).abs() < 1e-14, "{found} is not {}", wins / contests);
    }

    #[test]
    fn every_point_of_the_curve_is_what_its_threshold_accepts((scores, kinds) in tied()) {
        let roc = Scores::new(&scores, &kinds).expect("scores").roc();
        for point in roc.points() {
            assert_eq!(point.far, accepted(&scores, &kinds, Kind::Impostor, point.threshold));
            assert_eq!(point.tar, accepted(&scores, &kinds, Kind::Genuine, point.threshold));
        }
        let (first, last) = (roc.points()[0], roc.points()[roc.points().len() - 1]);
        assert_eq!((first.far, first.tar, last.far, last.tar), (0.0, 0.0, 1.0, 1.0));
        let trapezoids: f64 =
            roc.points().windows(2).map(|two| (two[1].far - two[0].far) * (two[1].tar + two[0].tar) / 2.0).sum();
        assert!((trapezoids - roc.area()).abs() < 1e-12);
    }

    #[test]
    fn curve_and_area_do_not_change_under_a_rising_map((scores, kinds) in tied()) {
        let plain = Scores::new(&scores, &kinds).expect("scores").roc();
        let mapped: Vec<f64> = scores.iter().map(|score| (3.0 * score).exp() - 7.0).collect();
        let mapped = Scores::new(&mapped, &kinds).expect("scores").roc();
        assert_eq!(plain.area(), mapped.area());
        let rates = |roc: &eval::roc::Roc| roc.points().iter().map(|point| (point.far, point.tar)).collect::<Vec<_>>();
        assert_eq!(rates(&plain), rates(&mapped));
        assert_eq!(plain.equal_error_rate().rate, mapped.equal_error_rate().rate);
    }

    #[test]
    fn tar_at_far_is_the_best_that_any_threshold_reaches_without_passing_the_far((scores, kinds) in tied(), k in 1..20_u32) {
        let scored = Scores::new(&scores, &kinds).expect("scores");
        let impostors = scored.count(Kind::Impostor);
        let far = (f64::from(k) / impostors as f64).min(1.0);
        let found = scored.roc().at_far(far).expect("resolved");
        let best = scores
            .iter()
            .copied()
            .chain([2.0])
            .filter(|&at| accepted(&scores, &kinds, Kind::Impostor, at) <= far)
            .map(|at| accepted(&scores, &kinds, Kind::Genuine, at))
            .fold(0.0, f64::max);
        assert_eq!(found.tar, best);
        assert!(found.far <= far);
        assert_eq!(found.far, accepted(&scores, &kinds, Kind::Impostor, found.threshold));
    }

    #[test]
    fn a_pair_of_weight_two_is_the_pair_twice((scores, kinds) in tied(), seed in any::<u64>()) {
        let mut next = super::made::numbers(seed);
        let weights: Vec<u64> = scores.iter().map(|_| ((next() + 1.0) * 1.5) as u64).collect();
        let (mut repeated, mut repeated_kinds) = (Vec::new(), Vec::new());
        for ((&score, &kind), &weight) in scores.iter().zip(&kinds).zip(&weights) {
            repeated.extend((0..weight).map(|_| score));
            repeated_kinds.extend((0..weight).map(|_| kind));
        }
        let found = Scores::new(&scores, &kinds).expect("scores").weighted_roc(Weights::Each(&weights));
        let expected = Scores::new(&repeated, &repeated_kinds).ok().map(|scores| scores.roc());
        assert_eq!(found, expected);
    }
}

#[test]
fn equal_error_rate_is_where_the_straight_lines_cross() {
    // Thresholds 0.9, 0.6, 0.4, 0.1 give (FAR, FRR) = (0, 1/2), (1/3, 1/2), (1/3, 0), (2/3, 0); FAR = FRR on the third
    // line, at 1/3.
    let scores = [0.9, 0.4, 0.6, 0.1, 0.0];
    let kinds = [Kind::Genuine, Kind::Genuine, Kind::Impostor, Kind::Impostor, Kind::Impostor];
    let found = Scores::new(&scores, &kinds).expect("scores").roc().equal_error_rate();
    assert!((found.rate - 1.0 / 3.0).abs() < 1e-15);
    assert!((found.threshold - (0.6 + (0.4 - 0.6) / 3.0)).abs() < 1e-15, "{}", found.threshold);
    let perfect = Scores::new(&[0.9, 0.1], &KINDS).expect("scores").roc();
    assert_eq!(perfect.equal_error_rate().rate, 0.0);
    assert_eq!(perfect.area(), 1.0);
    let inverted = Scores::new(&[0.1, 0.9], &KINDS).expect("scores").roc();
    assert_eq!((inverted.equal_error_rate().rate, inverted.area()), (1.0, 0.0));
}

#[test]
fn all_scores_equal_tell_nothing_apart() {
    let kinds: Vec<Kind> = KINDS.into_iter().cycle().take(10).collect();
    let roc = Scores::new(&[0.5; 10], &kinds).expect("scores").roc();
    assert_eq!(roc.area(), 0.5);
    assert_eq!(roc.equal_error_rate().rate, 0.5);
    assert_eq!(roc.at_far(0.9).expect("resolved").tar, 0.0);
    assert_eq!(roc.at_far(1.0).expect("resolved").tar, 1.0);
}

#[test]
fn a_far_below_one_impostor_pair_is_refused_with_the_finest() {
    let mut kinds = vec![Kind::Impostor; 500];
    kinds[0] = Kind::Genuine;
    let scores: Vec<f64> = (0..500).map(|index| 1.0 - f64::from(index) / 500.0).collect();
    let roc = Scores::new(&scores, &kinds).expect("scores").roc();
    let error = roc.at_far(0.9 / 499.0).expect_err("too fine");
    assert_eq!((error.finest, error.impostors), (1.0 / 499.0, 499));
    assert!(
        error.to_string().starts_with("499 impostor pairs resolve no false accept rate finer than 2.004")
    );
    assert_eq!(roc.at_far(error.finest).expect("resolved").far, 1.0 / 499.0);
}

#[test]
fn scores_that_are_no_evidence_are_refused() {
    for score in [f64::NAN, f64::INFINITY] {
        let found = Scores::new(&[0.1, score], &KINDS);
        assert!(matches!(found, Err(ScoresError::NotFinite { pair: 1, .. })), "{found:?}");
    }
    let found = Scores::new(&[0.1, 0.2], &[Kind::Genuine; 2]);
    assert_eq!(found, Err(ScoresError::OneKind(Kind::Impostor)));
    assert_eq!(Scores::new(&[], &[]), Err(ScoresError::OneKind(Kind::Genuine)));
}

#[derive(Deserialize)]
struct Golden {
    scores: Vec<f64>,
    genuine: Vec<bool>,
    far: Vec<f64>,
    tar: Vec<f64>,
    thresholds: Vec<f64>,
    area: f64,
}

#[test]
fn curve_and_area_agree_with_scikit_learn() {
    let cases: Vec<Golden> = serde_json::from_str(include_str!("../golden/roc.json")).expect("golden cases");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let kinds: Vec<Kind> = case.genuine.iter().map(|&genuine| KINDS[usize::from(!genuine)]).collect();
        let roc = Scores::new(&case.scores, &kinds).expect("scores").roc();
        assert_eq!(roc.points().len(), case.far.len());
        assert!((roc.area() - case.area).abs() < 1e-12, "{} is not {}", roc.area(), case.area);
        for (index, point) in roc.points().iter().enumerate() {
            assert_eq!((point.far, point.tar), (case.far[index], case.tar[index]));
            // Its first threshold is infinite; ours is the next number above the highest score.
            if index > 0 {
                assert_eq!(point.threshold, case.thresholds[index - 1]);
            }
        }
    }
}

#[test]
fn thinning_keeps_the_ends_the_order_and_the_shape() {
    let mut next = super::made::numbers(4);
    let kinds: Vec<Kind> = KINDS.into_iter().cycle().take(20_000).collect();
    let scores: Vec<f64> =
        kinds.iter().map(|&kind| next() + if kind == Kind::Genuine { 0.8 } else { 0.0 }).collect();
    let roc = Scores::new(&scores, &kinds).expect("scores").roc();
    let drawn = roc.drawn(1e-2);
    assert!(drawn.len() < 500, "{} points", drawn.len());
    assert_eq!((drawn[0], drawn[drawn.len() - 1]), (roc.points()[0], roc.points()[roc.points().len() - 1]));
    assert!(drawn.is_sorted_by(|left, right| left.far <= right.far && left.tar <= right.tar));
    let first = roc.points().iter().find(|point| point.far > 0.0).expect("a false accept");
    assert!(drawn.contains(first));
    for point in roc.points() {
        let after = drawn.partition_point(|drawn| drawn.threshold > point.threshold).min(drawn.len() - 1);
        let near = &drawn[after];
        assert!((near.tar - point.tar).abs() < 0.0101, "{point:?} is far from {near:?}");
    }
}
