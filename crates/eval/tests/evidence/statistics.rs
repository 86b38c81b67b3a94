//! Comparison, thresholds to work with, calibration and groups.

use std::fmt::Write as _;

use eval::comparison::{ComparisonError, Verdict};
use eval::interval::Bootstrap;
use eval::operating::operating_points;
use eval::protocol::{Kind, NameTable, Pair};
use eval::scores::Scores;
use eval::{Comparison, Evaluation, Rule, ScoredPairs, Vectors};

use super::made::{cosines, crowd, even, numbers, settings};

const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 200, level: 0.95, seed: 1 };

/// Vectors further from what they were, so that a model is worse.
fn blurred(vectors: &Vectors, amount: f64, seed: u64) -> Vectors {
    let mut next = numbers(seed);
    let values = (0..vectors.rows()).flat_map(|row| vectors.row(row).to_vec()).collect::<Vec<f32>>();
    let values = values.into_iter().map(|value| (f64::from(value) + amount * next()) as f32).collect();
    Vectors::new(values, vectors.dimension()).expect("vectors")
}

#[test]
fn scored_pairs_come_back_from_their_file_and_damage_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pairs.tsv");
    let (protocol, vectors) = crowd(20, 3, 4, 2);
    let scored = ScoredPairs::of(&protocol, &vectors, Rule::OtherFolds).expect("scored");
    scored.write(&path).expect("written");
    assert_eq!(ScoredPairs::read(&path).expect("read"), scored);
    let text = fs_err::read_to_string(&path).expect("text");
    for (from, to, problem) in [
        ("fold\tkind", "kind\tfold", "its first line must name the columns"),
        ("1\timpostor", "0\timpostor", "line 2"),
        ("1\timpostor", "1\tother", "line 2"),
    ] {
        fs_err::write(&path, text.replacen(from, to, 1)).expect("a file");
        assert!(ScoredPairs::read(&path).expect_err("refused").to_string().contains(problem), "{to}");
    }
}

#[test]
fn a_model_is_not_told_apart_from_itself() {
    let (protocol, vectors) = crowd(30, 4, 5, 2);
    let scored = ScoredPairs::of(&protocol, &vectors, Rule::OtherFolds).expect("scored");
    let found = Comparison::of(&scored, &scored, &[0.1], &BOOTSTRAP).expect("a comparison");
    assert_eq!((found.verdict, found.mcnemar.p, found.mcnemar.only_first), (Verdict::Undecided, 1.0, 0));
    for difference in found.others.iter().chain([&found.accuracy]) {
        let interval = difference.interval.expect("defined");
        assert_eq!((interval.low, interval.high), (0.0, 0.0), "{}", difference.name);
    }
}

#[test]
fn a_much_worse_model_is_found_worse_whichever_comes_first() {
    let (protocol, vectors) = crowd(60, 4, 5, 2);
    let worse = blurred(&vectors, 3.0, 5);
    let [good, bad] = [&vectors, &worse]
        .map(|vectors| ScoredPairs::of(&protocol, vectors, Rule::OtherFolds).expect("scored"));
    let found = Comparison::of(&good, &bad, &[0.1], &BOOTSTRAP).expect("a comparison");
    assert_eq!(found.verdict, Verdict::First);
    assert!(
        found.sentence("A", "B").starts_with("A is more accurate than B"),
        "{}",
        found.sentence("A", "B")
    );
    let turned = Comparison::of(&bad, &good, &[0.1], &BOOTSTRAP).expect("a comparison");
    assert_eq!((turned.verdict, turned.mcnemar.p), (Verdict::Second, found.mcnemar.p));
    let (one, other) =
        (found.accuracy.interval.expect("defined"), turned.accuracy.interval.expect("defined"));
    assert!((one.low + other.high).abs() < 1e-12 && (one.high + other.low).abs() < 1e-12);
    // The accuracy is that of the evaluation, and only_first - only_second pairs make the difference.
    let expected = eval::Verifier::new(Rule::OtherFolds, &protocol, &vectors).expect("a verifier").verify();
    assert!((found.accuracy.first - expected.accuracy).abs() < 1e-12);
}

#[test]
fn pairing_narrows_the_interval_of_a_difference() {
    let (protocol, vectors) = crowd(60, 4, 5, 2);
    let near = blurred(&vectors, 0.05, 5);
    let [one, other] = [&vectors, &near]
        .map(|vectors| ScoredPairs::of(&protocol, vectors, Rule::OtherFolds).expect("scored"));
    let found = Comparison::of(&one, &other, &[], &BOOTSTRAP).expect("a comparison").accuracy;
    let paired = found.interval.expect("defined");
    let settings = eval::Settings { bootstrap: BOOTSTRAP, ..settings() };
    let alone = Evaluation::of(&protocol, &vectors, &settings).expect("an evaluation").accuracy;
    let alone = alone.interval.expect("defined");
    assert!(paired.high - paired.low < 0.7 * (alone.high - alone.low), "{paired:?} {alone:?}");
}

#[test]
fn other_pairs_and_rates_that_cannot_be_resolved_are_refused() {
    let (protocol, vectors) = crowd(30, 4, 5, 2);
    let scored = ScoredPairs::of(&protocol, &vectors, Rule::OtherFolds).expect("scored");
    let mut short = scored.clone();
    short.rows.pop();
    let error = Comparison::of(&scored, &short, &[], &BOOTSTRAP).unwrap_err();
    let last = scored.rows.last().unwrap();
    assert!(matches!(error, ComparisonError::Count { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&format!("number {}: {} with {}", scored.rows.len(), last.first, last.second)),
        "{text}"
    );
    let mut other = scored.clone();
    other.rows[7].first += "x";
    assert!(matches!(
        Comparison::of(&scored, &other, &[], &BOOTSTRAP),
        Err(ComparisonError::Pair { number: 8, .. })
    ));
    for far in [0.0, 1e-6, 2.0, f64::NAN] {
        let found = Comparison::of(&scored, &scored, &[far], &BOOTSTRAP);
        assert!(matches!(found, Err(ComparisonError::Far { impostors: 120, .. })), "{far}");
    }
}

#[test]
fn a_threshold_of_other_folds_is_judged_on_pairs_that_did_not_choose_it() {
    let protocol = even(5, 40);
    let scores = cosines(&protocol, 3, 0.01);
    let sorted = Scores::of_pairs(&scores, &protocol.pairs).expect("scores");
    let points = operating_points(&protocol, &sorted, &[0.1, 1e-6], &BOOTSTRAP);
    assert_eq!(points.len(), 1, "1e-6 is too fine");
    let point = points[0];
    assert_eq!(point.threshold.value, sorted.roc().at_far(0.1).expect("resolved").threshold);
    // By brute force: for each fold the lowest score at which the others stay within the rate.
    let (mut accepted, mut all) = ([0.0; 2], [0.0; 2]);
    for fold in 0..5 {
        let impostors = |at: f64| {
            let others = protocol.pairs.iter().zip(&scores).filter(|(pair, _)| pair.fold != fold);
            let others = others.filter(|(pair, _)| pair.kind == Kind::Impostor);
            others.filter(|&(_, &score)| score >= at).count() as f64 / 160.0
        };
        let others = protocol.pairs.iter().zip(&scores).filter(|(pair, _)| pair.fold != fold);
        let lowest =
            others.map(|(_, &score)| score).filter(|&at| impostors(at) <= 0.1).fold(f64::MAX, f64::min);
        for (pair, &score) in protocol.pairs.iter().zip(&scores).filter(|(pair, _)| pair.fold == fold) {
            let kind = usize::from(pair.kind == Kind::Genuine);
            all[kind] += 1.0;
            accepted[kind] += f64::from(u8::from(score >= lowest));
        }
    }
    let elsewhere = point.elsewhere.expect("five folds");
    assert!((elsewhere.far.value - accepted[0] / all[0]).abs() < 1e-12, "{elsewhere:?}");
    assert!((elsewhere.tar.value - accepted[1] / all[1]).abs() < 1e-12, "{elsewhere:?}");
    assert_eq!(elsewhere.people_in_several_folds, 0);
    let interval = point.threshold.interval.expect("defined");
    assert!(interval.low < point.threshold.value && point.threshold.value < interval.high, "{point:?}");
}

#[test]
fn a_threshold_that_accepts_no_impostor_is_above_them_all() {
    let protocol = even(2, 2);
    let scores = [0.5, 0.4, 0.9, 0.9, 0.6, 0.3, 0.9, 0.9];
    let sorted = Scores::of_pairs(&scores, &protocol.pairs).expect("scores");
    let point = operating_points(&protocol, &sorted, &[0.5], &BOOTSTRAP)[0];
    // All four impostors score 0.9, the highest: accepting one accepts all.
    assert_eq!(point.threshold.value, 0.9_f64.next_up());
}

#[test]
fn calibrated_probabilities_mean_what_they_say() {
    let (protocol, vectors) = crowd(200, 4, 5, 2);
    let found = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    let calibration = found.calibration.expect("both kinds");
    assert!(calibration.of_all.slope > 0.0 && calibration.cost > 0.0 && calibration.cost < 1.0);
    assert_eq!(calibration.reliability.iter().map(|bin| bin.pairs).sum::<usize>(), protocol.pairs.len());
    for bin in calibration.reliability.iter().filter(|bin| bin.pairs > 100) {
        assert!((bin.stated - bin.found).abs() < 0.1, "{bin:?}");
        assert!((bin.from..=bin.from + 0.1).contains(&bin.stated), "{bin:?}");
    }
    // Scores that say nothing cost one bit.
    let nothing = blurred(&vectors, 1e6, 9);
    let found = Evaluation::of(&protocol, &nothing, &settings()).expect("an evaluation");
    let cost = found.calibration.expect("both kinds").cost;
    assert!((cost - 1.0).abs() < 0.05, "{cost}");
}

#[test]
fn equal_scores_have_no_calibration_and_every_other_figure() {
    let protocol = even(2, 4);
    let vectors = Vectors::from_rows((0..32).map(|_| &[1.0, 2.0][..])).expect("vectors");
    let found = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    assert_eq!((found.area.value, found.equal_error_rate.value, found.calibration), (0.5, 0.5, None));
}

#[test]
fn groups_are_judged_at_one_threshold_by_their_own_pairs() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("groups.tsv");
    let (protocol, vectors) = crowd(40, 4, 5, 2);
    let mut text = String::new();
    (0..40).for_each(|person| writeln!(text, "p{person}\tgroup {}", person / 20).expect("text"));
    fs_err::write(&path, text).expect("a file");
    let table = NameTable::read(&path).expect("a table");
    let mut found = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    found.add_groups(&protocol, &vectors, &table).expect("groups");
    let groups = found.groups.expect("groups");
    assert_eq!(groups.threshold, found.equal_error.threshold);
    // People compare with the next one: p19 with p20 and p39 with p0 are of two groups, four pairs each.
    assert_eq!((groups.groups.len(), groups.between), (2, 8));
    let cosines = vectors.cosines(&protocol.pairs);
    for (index, group) in groups.groups.iter().enumerate() {
        let inside = |pair: &Pair| [pair.first, pair.second].iter().all(|&row| row / 4 / 20 == index);
        let accepted = |kind: Kind| {
            let of: Vec<bool> = protocol
                .pairs
                .iter()
                .zip(&cosines)
                .filter(|(pair, _)| pair.kind == kind && inside(pair))
                .map(|(_, &cosine)| cosine >= groups.threshold)
                .collect();
            of.iter().filter(|&&accepted| accepted).count() as f64 / of.len() as f64
        };
        assert_eq!((group.genuine, group.impostor), (120, 76));
        assert!((group.false_accepts.expect("impostors").value - accepted(Kind::Impostor)).abs() < 1e-12);
        assert!((group.false_rejects.expect("genuine").value - 1.0 + accepted(Kind::Genuine)).abs() < 1e-12);
        assert!(group.area.expect("both").interval.is_some());
    }
    fs_err::write(&path, "p0\tgroup 0\n").expect("a file");
    let mut found = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    assert!(found.add_groups(&protocol, &vectors, &NameTable::read(&path).expect("a table")).is_err());
}
