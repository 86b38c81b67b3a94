//! The sections of two evaluations side by side.

use super::{Axis, Block, Colour, Numbers, Plot, Section, Series, Shape, Spacing, Table};
use crate::comparison::Comparison;
use crate::evaluation::Evaluation;

/// The verdict, both curves in one plot, and the differences. Each evaluation comes with its name.
pub fn comparison_sections(both: [(&str, &Evaluation); 2], comparison: &Comparison) -> Vec<Section> {
    let mcnemar = comparison.mcnemar;
    let verdict = Section {
        heading: "Verdict".to_owned(),
        blocks: vec![
            Block::Text(comparison.sentence(both[0].0, both[1].0)),
            Block::Text(format!(
                "{} pairs are judged rightly by {} alone, {} by {} alone. The interval resamples people and takes the \
                 difference within each replicate; McNemar's test takes pairs for independent and is the more confident \
                 one.",
                mcnemar.only_first, both[0].0, mcnemar.only_second, both[1].0
            )),
        ],
    };
    vec![verdict, curves(both), differences(both, comparison)]
}

fn curves(both: [(&str, &Evaluation); 2]) -> Section {
    let finest = 1.0 / both[0].1.protocol.impostor as f64;
    let points = |evaluation: &Evaluation| -> Vec<(f64, f64)> {
        evaluation.curve.iter().filter(|point| point.far > 0.0).map(|point| (point.far, point.tar)).collect()
    };
    let lowest =
        both.iter().flat_map(|(_, evaluation)| points(evaluation)).map(|(_, tar)| tar).fold(1.0, f64::min);
    let mut series = Vec::new();
    for ((name, evaluation), colour) in both.into_iter().zip([Colour::Blue, Colour::Orange]) {
        series.push(Series { name: name.to_owned(), colour, shape: Shape::Line(points(evaluation)) });
    }
    let plot = Plot {
        x: Axis {
            name: "False accept rate (FAR)".to_owned(),
            spacing: Spacing::Logarithmic,
            numbers: Numbers::Percent,
            range: Some((10.0_f64.powf(finest.log10().floor()), 1.0)),
        },
        y: Axis {
            numbers: Numbers::Percent,
            range: Some(((5.0 * lowest - 1e-9).floor().max(0.0) / 5.0, 1.0)),
            ..Axis::even("True accept rate (TAR)")
        },
        series,
        marks: Vec::new(),
    };
    let caption = "ROC of both on the same pairs. Their intervals overlap more than that of the difference below tells.";
    Section { heading: "Curves".to_owned(), blocks: vec![Block::Figure(plot.draw(caption))] }
}

fn differences(both: [(&str, &Evaluation); 2], comparison: &Comparison) -> Section {
    let rows = [&comparison.accuracy].into_iter().chain(&comparison.others).map(|difference| {
        let interval = difference.interval;
        vec![
            difference.name.clone(),
            format!("{:.4}", difference.first),
            format!("{:.4}", difference.second),
            format!("{:+.4}", difference.second - difference.first),
            interval.map_or("none".to_owned(), |interval| {
                format!("{:+.4} to {:+.4}", interval.low, interval.high)
            }),
        ]
    });
    let columns = ["Figure", both[0].0, both[1].0, "Second less first", "Interval over people"];
    let table =
        Table { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect(), footer: Vec::new() };
    Section { heading: "Differences".to_owned(), blocks: vec![Block::Table(table)] }
}
