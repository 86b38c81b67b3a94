//! Bootstrap intervals over people.

use eval::interval::{Bootstrap, People};
use eval::protocol::{FoldOrigin, ImageKey, Kind, Pair, Protocol};
use eval::scores::{Scores, Weights};

use super::made::{crowd, numbers};

fn total(weights: Weights<'_>) -> f64 {
    match weights {
        Weights::Once => unreachable!("replicates have weights"),
        Weights::Each(weights) => weights.iter().sum::<u64>() as f64,
    }
}

#[test]
fn a_pair_counts_as_often_as_its_people_were_drawn() {
    let (protocol, _) = crowd(12, 3, 3, 1);
    let people = People::of(&protocol);
    let (numbers, _) = protocol.people();
    for replicate in 0..50 {
        let weights = people.draw(7, replicate);
        // Genuine pairs show how often each person was drawn.
        let mut drawn = [0; 12];
        for (pair, &weight) in
            protocol.pairs.iter().zip(&weights).filter(|(pair, _)| pair.kind == Kind::Genuine)
        {
            drawn[numbers[pair.first]] = weight;
        }
        assert_eq!(drawn.iter().sum::<u64>(), 12, "as many draws as people");
        for (pair, &weight) in protocol.pairs.iter().zip(&weights) {
            let (first, second) = (numbers[pair.first], numbers[pair.second]);
            let expected = if first == second { drawn[first] } else { drawn[first] * drawn[second] };
            assert_eq!(weight, expected);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_interval_and_another_does_not() {
    let (protocol, _) = crowd(40, 3, 4, 1);
    let people = People::of(&protocol);
    let of = |seed| {
        let bootstrap = Bootstrap { replicates: 300, seed, ..Bootstrap::default() };
        people.intervals(&bootstrap, |weights| vec![Some(total(weights))])
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

/// One genuine pair a person, right with probability one half: the accuracy is a mean of `people` independent coins,
/// whose 95 % interval is 2 x 1.96 x 0.5 / sqrt(people) wide.
#[test]
fn width_over_independent_people_is_that_of_the_binomial() {
    let images = |person: usize| {
        (0..2).map(move |side| ImageKey { person: format!("{person}"), name: format!("{person}/{side}") })
    };
    let pairs = (0..400).map(|person| Pair {
        first: 2 * person,
        second: 2 * person + 1,
        kind: Kind::Genuine,
        fold: 0,
    });
    let protocol = Protocol {
        name: "coins".into(),
        images: (0..400).flat_map(images).collect(),
        pairs: pairs.collect(),
        folds: 1,
        fold_origin: FoldOrigin::File,
    };
    let mut next = numbers(3);
    let right: Vec<f64> = (0..400).map(|_| if next() > 0.0 { 1.0 } else { 0.0 }).collect();
    let mean = right.iter().sum::<f64>() / 400.0;
    let found =
        People::of(&protocol).intervals(&Bootstrap { replicates: 4000, ..Bootstrap::default() }, |weights| {
            let Weights::Each(each) = weights else { unreachable!("replicates have weights") };
            let sum: f64 = right.iter().zip(each).map(|(right, &weight)| right * weight as f64).sum();
            vec![Some(sum / total(weights))]
        });
    let interval = found[0].expect("defined");
    let expected = 2.0 * 1.96 * (mean * (1.0 - mean) / 400.0).sqrt();
    let width = interval.high - interval.low;
    assert!((width / expected - 1.0).abs() < 0.06, "{width} is not {expected}");
    assert!(interval.low < mean && mean < interval.high);
}

#[test]
fn repeating_every_pair_of_a_person_does_not_narrow_the_interval() {
    // The same people with each pair listed five times: a bootstrap over pairs would shrink by the root of five.
    let (protocol, vectors) = crowd(30, 3, 3, 8);
    let mut repeated = protocol.clone();
    repeated.pairs = protocol.pairs.iter().flat_map(|&pair| [pair; 5]).collect();
    let of = |protocol: &Protocol| {
        let scores = Scores::of_pairs(&vectors.cosines(&protocol.pairs), &protocol.pairs).expect("scores");
        let bootstrap = Bootstrap { replicates: 400, ..Bootstrap::default() };
        People::of(protocol)
            .intervals(&bootstrap, |weights| vec![scores.weighted_roc(weights).map(|roc| roc.area())])
    };
    let (once, five) = (of(&protocol)[0].expect("defined"), of(&repeated)[0].expect("defined"));
    assert!((once.low - five.low).abs() < 1e-12 && (once.high - five.high).abs() < 1e-12);
}

#[test]
fn a_figure_that_few_replicates_define_has_no_interval() {
    let (protocol, _) = crowd(10, 2, 2, 1);
    let people = People::of(&protocol);
    let found = people.intervals(&Bootstrap { replicates: 100, ..Bootstrap::default() }, |weights| {
        vec![None, Some(1.0), (total(weights) > 1e9).then_some(1.0)]
    });
    assert_eq!(found[0], None);
    assert_eq!(found[2], None);
    assert_eq!(found[1].map(|interval| (interval.low, interval.high)), Some((1.0, 1.0)));
}

#[derive(serde::Deserialize)]
struct Golden {
    means: Vec<MeanCase>,
}

#[derive(serde::Deserialize)]
struct MeanCase {
    name: String,
    values: Vec<f64>,
    low: f64,
    high: f64,
    deviation: f64,
}

#[test]
fn intervals_of_means_are_those_of_scipy_s_percentile_bootstrap() {
    let golden: Golden =
        serde_json::from_str(include_str!("../golden/intervals.json")).expect("golden cases");
    for case in golden.means {
        let people = People::of_items(0..case.values.len());
        let bootstrap = Bootstrap { replicates: 20_000, level: 0.9, ..Bootstrap::default() };
        let found = people.intervals(&bootstrap, |weights| {
            let Weights::Each(each) = weights else { unreachable!("replicates have weights") };
            let sum: f64 = case.values.iter().zip(each).map(|(value, &weight)| value * weight as f64).sum();
            vec![Some(sum / total(weights))]
        });
        let found = found[0].expect("defined");
        // The end of 20,000 replicates has a standard error of sqrt(0.05 * 0.95 / 20,000) / 0.103 = 0.015 deviations.
        let near = |found: f64, expected: f64| (found - expected).abs() < 0.06 * case.deviation;
        assert!(near(found.low, case.low) && near(found.high, case.high), "{}: {found:?}", case.name);
    }
}
