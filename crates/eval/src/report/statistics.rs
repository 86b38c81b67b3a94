//! Thresholds to work with, probabilities and groups, as sections of a report.

use super::evaluation::{percent, range, short_percent};
use super::{Axis, Block, Colour, Numbers, Plot, Section, Series, Shape, Table};
use crate::calibration::Calibration;
use crate::evaluation::{Evaluation, Figure};
use crate::groups::Groups;

/// The sections for which the evaluation has figures.
pub(super) fn statistics_sections(evaluation: &Evaluation) -> Vec<Section> {
    let mut sections = Vec::new();
    if !evaluation.operating_points.is_empty() {
        sections.push(operating(evaluation));
    }
    sections.extend(evaluation.calibration.as_ref().map(calibration));
    sections.extend(evaluation.groups.as_ref().map(groups));
    sections
}

fn with_range(figure: &Figure, write: fn(f64) -> String) -> [String; 2] {
    let interval = figure.interval.map_or_else(|| "none".to_owned(), |interval| range(interval, write));
    [write(figure.value), interval]
}

fn texts<const COUNT: usize>(columns: [&str; COUNT]) -> Vec<String> {
    columns.map(str::to_owned).to_vec()
}

fn operating(evaluation: &Evaluation) -> Section {
    let cosine: fn(f64) -> String = |value| format!("{value:.4}");
    let fine: fn(f64) -> String = |value| format!("{:.3} %", 100.0 * value);
    let rows = evaluation.operating_points.iter().map(|point| {
        let mut row = vec![short_percent(point.far)];
        row.extend(with_range(&point.threshold, cosine));
        match &point.elsewhere {
            Some(elsewhere) => {
                row.extend(with_range(&elsewhere.far, fine));
                row.extend([percent(elsewhere.tar.value)]);
            }
            None => row.extend(["too fine".to_owned(), String::new(), String::new()]),
        }
        row
    });
    let columns = texts(["FAR wanted", "Cosine", "Interval", "FAR elsewhere", "Interval", "TAR elsewhere"]);
    let table = Table { columns, rows: rows.collect(), footer: Vec::new() };
    let shared = evaluation.operating_points.iter().find_map(|point| point.elsewhere);
    let several = match shared.map(|elsewhere| elsewhere.people_in_several_folds) {
        Some(0) => "The folds share no people.".to_owned(),
        Some(1) => "One person occurs in several folds.".to_owned(),
        Some(count) => format!("{count} people occur in several folds, so it is not all about other people."),
        None => String::new(),
    };
    let text = format!(
        "The cosine is chosen on all pairs. \u{201c}Elsewhere\u{201d} is what happens on the pairs of each fold at the \
         threshold that the other folds choose. {several}"
    );
    Section {
        heading: "Which threshold, and does it hold".to_owned(),
        blocks: vec![Block::Table(table), Block::Text(text)],
    }
}

fn calibration(calibration: &Calibration) -> Section {
    let logistic = calibration.of_all;
    let text = format!(
        "Where one person and two are equally likely beforehand, a cosine c means one person with the probability \
         1 / (1 + exp(-({:.3} c {:+.3}))). On pairs that it was not made from, the cost of its log likelihood ratio is \
         {:.4} bits; 0 is perfect and 1 says nothing. Both kinds count for a half.",
        logistic.slope, logistic.offset, calibration.cost
    );
    let rows = calibration.reliability.iter().map(|bin| {
        vec![
            format!("{:.1} \u{2013} {:.1}", bin.from, bin.from + 0.1),
            percent(bin.stated),
            percent(bin.found),
            bin.pairs.to_string(),
        ]
    });
    let columns = texts(["Probability", "Mean stated", "Genuine found", "Pairs"]);
    let table = Table { columns, rows: rows.collect(), footer: Vec::new() };
    let figure = Block::Figure(reliability(calibration));
    Section {
        heading: "What a score means".to_owned(),
        blocks: vec![Block::Text(text), figure, Block::Table(table)],
    }
}

/// Stated against found probability.
fn reliability(calibration: &Calibration) -> super::Figure {
    let share = |name: &str| Axis { numbers: Numbers::Percent, range: Some((0.0, 1.0)), ..Axis::even(name) };
    let found = calibration.reliability.iter().map(|bin| (bin.stated, bin.found));
    let plot = Plot {
        x: share("Probability stated"),
        y: share("Genuine pairs found"),
        series: vec![
            Series {
                name: "perfect".to_owned(),
                colour: Colour::Grey,
                shape: Shape::Line(vec![(0.0, 0.0), (1.0, 1.0)]),
            },
            Series {
                name: "pairs of the other folds".to_owned(),
                colour: Colour::Blue,
                shape: Shape::Line(found.collect()),
            },
        ],
        marks: Vec::new(),
    };
    plot.draw("Reliability: what share of the pairs of each tenth of probability is genuine.")
}

fn groups(groups: &Groups) -> Section {
    let area: fn(f64) -> String = |value| format!("{value:.4}");
    let rows = groups.groups.iter().map(|group| {
        let mut row = vec![group.name.clone(), group.genuine.to_string(), group.impostor.to_string()];
        let figures = [
            (&group.false_accepts, percent as fn(f64) -> String),
            (&group.false_rejects, percent),
            (&group.area, area),
        ];
        for (figure, write) in figures {
            match figure {
                Some(figure) => row.extend(with_range(figure, write)),
                None => row.extend(["none".to_owned(), String::new()]),
            }
        }
        row
    });
    let columns = texts([
        "Group",
        "Genuine",
        "Impostor",
        "False accepts",
        "Interval",
        "False rejects",
        "Interval",
        "Area",
        "Interval",
    ]);
    let table = Table { columns, rows: rows.collect(), footer: Vec::new() };
    let text = format!(
        "One threshold for all, {:.4}, where both error rates are equal over all pairs. Impostor pairs of two groups \
         count for none: {}.",
        groups.threshold, groups.between
    );
    Section { heading: "Groups".to_owned(), blocks: vec![Block::Table(table), Block::Text(text)] }
}
