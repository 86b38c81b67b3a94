//! The sections that an evaluation contributes to a report.

use super::statistics::statistics_sections;
use super::{Axis, Block, Colour, Headline, Mark, Numbers, Plot, Section, Series, Shape, Spacing, Table};
use crate::evaluation::{Evaluation, Figure, TarAtFar};
use crate::histogram::Histogram;
use crate::interval::Interval;
use crate::verification::Rule;

/// Headlines, curve, scores, folds and the rules behind them.
pub fn evaluation_sections(evaluation: &Evaluation) -> Vec<Section> {
    let mut sections = vec![headlines(evaluation), curve(evaluation), scores(evaluation), folds(evaluation)];
    sections.extend(statistics_sections(evaluation));
    sections.push(method(evaluation));
    sections
}

fn headlines(evaluation: &Evaluation) -> Section {
    let headline = |name: &str, figure: &Figure, write: fn(f64) -> String| Headline {
        name: name.to_owned(),
        value: write(figure.value),
        note: figure.interval.map_or_else(|| "no interval".to_owned(), |interval| range(interval, write)),
    };
    let mut blocks = Vec::new();
    if evaluation.verification.rule.is_optimistic() {
        blocks.push(Block::Warning(
            "The threshold was chosen on the pairs it is judged on, so the accuracy is optimistic and cannot be \
             compared with figures whose thresholds come from other folds."
                .to_owned(),
        ));
    }
    let mut numbers = vec![
        headline("Accuracy", &evaluation.accuracy, percent),
        headline("Area under the curve", &evaluation.area, |value| format!("{value:.4}")),
        headline("Equal error rate", &evaluation.equal_error_rate, percent),
    ];
    let first_read = evaluation.tar_at_far.iter().find_map(|read| match read {
        TarAtFar::Read { far, tar, .. } => Some((far, tar)),
        TarAtFar::Refused(_) => None,
    });
    if let Some((far, tar)) = first_read {
        numbers.push(headline(&format!("TAR at FAR {}", short_percent(*far)), tar, percent));
    }
    blocks.push(Block::Headlines(numbers));
    let level = short_percent(evaluation.bootstrap.level);
    blocks.push(Block::Text(format!("Below each figure stands its {level} interval, over people.")));
    Section { heading: "Result".to_owned(), blocks }
}

fn curve(evaluation: &Evaluation) -> Section {
    let finest = 1.0 / evaluation.protocol.impostor as f64;
    let far = Axis {
        name: "False accept rate (FAR)".to_owned(),
        spacing: Spacing::Logarithmic,
        numbers: Numbers::Percent,
        range: Some((10.0_f64.powf(finest.log10().floor()), 1.0)),
    };
    let drawn = evaluation.curve.iter().filter(|point| point.far > 0.0);
    let lowest = drawn
        .map(|point| point.tar)
        .chain(evaluation.band.iter().map(|band| band.tar.low))
        .fold(1.0, f64::min);
    let tar = Axis {
        name: "True accept rate (TAR)".to_owned(),
        numbers: Numbers::Percent,
        // Down to the next fifth below all that is drawn.
        range: Some(((5.0 * lowest - 1e-9).floor().max(0.0) / 5.0, 1.0)),
        ..Axis::even("")
    };
    let band = evaluation.band.iter().map(|band| (band.far, band.tar.low, band.tar.high)).collect();
    let line =
        evaluation.curve.iter().filter(|point| point.far > 0.0).map(|point| (point.far, point.tar)).collect();
    let level = short_percent(evaluation.bootstrap.level);
    let plot = Plot {
        x: far,
        y: tar,
        series: vec![
            Series { name: format!("{level} interval"), colour: Colour::Grey, shape: Shape::Band(band) },
            Series { name: evaluation.model.name.clone(), colour: Colour::Blue, shape: Shape::Line(line) },
        ],
        marks: Vec::new(),
    };
    let rows = evaluation.tar_at_far.iter().map(|read| match read {
        TarAtFar::Read { far, point, tar } => vec![
            short_percent(*far),
            percent(tar.value),
            tar.interval.map_or_else(String::new, |interval| range(interval, percent)),
            format!("{} %", significant(100.0 * point.far)),
            format!("{:.4}", point.threshold),
        ],
        TarAtFar::Refused(refused) => vec![
            short_percent(refused.wanted),
            "refused".to_owned(),
            format!("finest: {} %", significant(100.0 * refused.finest)),
            String::new(),
            String::new(),
        ],
    });
    let columns = ["FAR asked for", "TAR", "Interval", "FAR reached", "Cosine"].map(str::to_owned).to_vec();
    let mut blocks = vec![Block::Figure(plot.draw(&format!(
        "ROC of all {} genuine and {} impostor pairs by cosine. One false accept is a FAR of {} %: left of it nothing \
         can be said.",
        evaluation.protocol.genuine,
        evaluation.protocol.impostor,
        significant(100.0 * finest),
    )))];
    blocks.push(Block::Figure(trade_off(evaluation, finest)));
    if !evaluation.tar_at_far.is_empty() {
        blocks.push(Block::Table(Table { columns, rows: rows.collect(), footer: Vec::new() }));
    }
    Section { heading: "How many are recognised, at how many false accepts".to_owned(), blocks }
}

/// The same curve by its errors, both on logarithmic axes (DET).
fn trade_off(evaluation: &Evaluation, finest: f64) -> super::Figure {
    let missed = 1.0 / evaluation.protocol.genuine as f64;
    let axis = |name: &str, finest: f64| Axis {
        name: name.to_owned(),
        spacing: Spacing::Logarithmic,
        numbers: Numbers::Percent,
        range: Some((10.0_f64.powf(finest.log10().floor()), 1.0)),
    };
    let line = evaluation
        .curve
        .iter()
        .map(|point| (point.far, 1.0 - point.tar))
        .filter(|(far, miss)| *far > 0.0 && *miss > 0.0);
    let line: Vec<_> = line.collect();
    let empty = if line.is_empty() {
        " The model has no curve here: wherever an impostor pair is accepted, every genuine pair is."
    } else {
        ""
    };
    // An end at 0 is not on the axis; half of one pair stands for it.
    let band = evaluation.band.iter().map(|band| {
        (band.far, (1.0 - band.tar.high).max(0.5 * missed), (1.0 - band.tar.low).max(0.5 * missed))
    });
    let level = short_percent(evaluation.bootstrap.level);
    let diagonal = [(finest.max(missed), finest.max(missed)), (1.0, 1.0)];
    let plot = Plot {
        x: axis("False accept rate (FAR)", finest),
        y: axis("False reject rate (1 - TAR)", missed),
        series: vec![
            Series {
                name: format!("{level} interval"),
                colour: Colour::Grey,
                shape: Shape::Band(band.collect()),
            },
            Series {
                name: "equal rates".to_owned(),
                colour: Colour::Orange,
                shape: Shape::Line(diagonal.to_vec()),
            },
            Series { name: evaluation.model.name.clone(), colour: Colour::Blue, shape: Shape::Line(line) },
        ],
        marks: Vec::new(),
    };
    plot.draw(&format!(
        "DET: the errors of the same curve against each other. Where it crosses the line of equal rates stands the equal \
         error rate.{empty}"
    ))
}

fn scores(evaluation: &Evaluation) -> Section {
    let outline = |histogram: &Histogram| {
        let total = histogram.total() as f64;
        let first = histogram.counts.iter().position(|&count| count > 0).unwrap_or(0);
        let last = histogram.counts.iter().rposition(|&count| count > 0).unwrap_or(0);
        let bins = histogram.counts.iter().enumerate().take(last + 1).skip(first);
        let heights = bins.flat_map(|(bin, &count)| {
            let (low, high) = histogram.edges(bin);
            [(low, count as f64 / total), (high, count as f64 / total)]
        });
        let ends = [(histogram.edges(first).0, 0.0), (histogram.edges(last).1, 0.0)];
        [ends[0]].into_iter().chain(heights).chain([ends[1]]).collect::<Vec<_>>()
    };
    let (genuine, impostor) = (outline(&evaluation.genuine), outline(&evaluation.impostor));
    let all = || genuine.iter().chain(&impostor);
    let filled = all().filter(|(_, share)| *share > 0.0).map(|&(cosine, _)| cosine);
    let lowest = filled.fold(0.0_f64, f64::min);
    let highest = all().map(|&(_, share)| share).fold(0.0, f64::max);
    let rule = evaluation.verification.rule;
    let mark = rule
        .as_cosine(evaluation.verification.threshold)
        .map(|at| Mark { at, name: format!("threshold {at:.3}") });
    let explained = if mark.is_none() {
        "The rule moves the vectors before it compares them, so its threshold has no place here."
    } else {
        "The upright line is the mean threshold of the folds."
    };
    let plot = Plot {
        x: Axis { range: Some(((lowest * 10.0).floor() / 10.0, 1.0)), ..Axis::even("Cosine") },
        y: Axis {
            numbers: Numbers::Percent,
            range: Some((0.0, highest * 1.08)),
            ..Axis::even("Share of the pairs of a kind, in steps of 0.02")
        },
        series: vec![
            Series {
                name: "impostor pairs".to_owned(),
                colour: Colour::Orange,
                shape: Shape::Area(impostor),
            },
            Series { name: "genuine pairs".to_owned(), colour: Colour::Blue, shape: Shape::Area(genuine) },
        ],
        marks: mark.into_iter().collect(),
    };
    let caption = format!("Cosines of genuine and impostor pairs. {explained}");
    Section { heading: "Scores".to_owned(), blocks: vec![Block::Figure(plot.draw(&caption))] }
}

fn folds(evaluation: &Evaluation) -> Section {
    let verification = &evaluation.verification;
    let columns = ["Fold", "Accuracy", "Threshold", "Genuine", "Impostor"].map(str::to_owned).to_vec();
    let rows = verification.folds.iter().map(|fold| {
        vec![
            fold.fold.to_string(),
            percent(fold.accuracy),
            format!("{:.4}", fold.threshold),
            fold.genuine.to_string(),
            fold.impostor.to_string(),
        ]
    });
    let footer = vec![
        "Mean".to_owned(),
        percent(verification.accuracy),
        format!("{:.4}", verification.threshold),
        evaluation.protocol.genuine.to_string(),
        evaluation.protocol.impostor.to_string(),
    ];
    let spread = format!(
        "Standard deviation over the folds {:.2} points (population), standard error of the mean {:.2} points. \
         Thresholds are in the unit of the rule: {}.",
        100.0 * verification.standard_deviation,
        100.0 * verification.standard_error,
        verification.rule.threshold_unit(),
    );
    Section {
        heading: "Fold by fold".to_owned(),
        blocks: vec![Block::Table(Table { columns, rows: rows.collect(), footer }), Block::Text(spread)],
    }
}

fn method(evaluation: &Evaluation) -> Section {
    let protocol = &evaluation.protocol;
    let bootstrap = &evaluation.bootstrap;
    let rule: Rule = evaluation.verification.rule;
    let feature = evaluation.feature_rule;
    let mut facts = vec![
        ("Model", format!("{}, fingerprint {}", evaluation.model.name, evaluation.model.fingerprint)),
        (
            "Protocol",
            format!(
                "{}: {} genuine and {} impostor pairs of {} images of {} people, {} folds. {}",
                protocol.file,
                protocol.genuine,
                protocol.impostor,
                protocol.images,
                protocol.people,
                protocol.folds,
                protocol.fold_origin.in_words()
            ),
        ),
        ("Feature", format!("{feature}, dimension {}. {}", evaluation.dimension, feature.in_words())),
        ("Accuracy", format!("Rule {rule}. {}", rule.in_words())),
        (
            "TAR at FAR",
            "The largest TAR whose FAR is at most the one asked for, without interpolation. A FAR finer than one \
             impostor pair is refused."
                .to_owned(),
        ),
        ("Equal error rate", "Where FAR and 1 - TAR cross, on straight lines between the points.".to_owned()),
        (
            "Intervals",
            format!(
                "The middle {} of {} replicates (seed {}) that draw people with replacement. An impostor pair counts \
                 as often as the product of its two people's counts; thresholds are chosen anew each time.",
                short_percent(bootstrap.level),
                bootstrap.replicates,
                bootstrap.seed
            ),
        ),
    ];
    if let Some(rule) = evaluation.set_rule {
        facts.insert(3, ("Sets", format!("Rule {rule}. {}", rule.in_words())));
    }
    if let (Some(pairs), Some((_, intervals))) = (evaluation.pairs_together, facts.last_mut()) {
        *intervals += &format!(
            " The list is long: a replicate weighs up to {pairs} pairs of one kind with neighbouring scores together. Its \
             accuracy and false accept rate are off by at most so many pairs, its other figures are exact."
        );
    }
    let facts = facts.into_iter().map(|(term, meaning)| (term.to_owned(), meaning)).collect();
    Section { heading: "How this was measured".to_owned(), blocks: vec![Block::Facts(facts)] }
}

pub(super) fn percent(value: f64) -> String {
    format!("{:.2} %", 100.0 * value)
}

/// A rate that someone chose, in as few digits as it was chosen with.
pub(super) fn short_percent(value: f64) -> String {
    let text = format!("{:.8}", 100.0 * value);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Three significant digits.
pub(super) fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 12) as usize;
    format!("{value:.digits$}")
}

pub(super) fn range(interval: Interval, write: fn(f64) -> String) -> String {
    let (low, high) = (write(interval.low), write(interval.high));
    format!("{} \u{2013} {high}", low.trim_end_matches(" %"))
}
