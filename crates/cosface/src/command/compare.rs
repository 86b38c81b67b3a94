//! `cosface compare`: two evaluations on the same pairs, side by side.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use eval::interval::{Bootstrap, Interval};
use eval::protocol::Kind;
use eval::report::{Report, comparison_sections};
use eval::{Comparison, Evaluation, ScoredPairs};

use super::evaluate::{markdown, markdown_table, summary};
use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory that `evaluate` wrote for the first model
    first: PathBuf,
    /// Directory that `evaluate` wrote for the second model, on the same protocol
    second: PathBuf,
    /// False accept rates at which the true accept rates are compared
    #[arg(long, value_delimiter = ',', default_value = "0.01")]
    far: Vec<f64>,
    /// Directory for the comparison: report.html with both curves, and table.md
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (first, first_pairs) = read(&arguments.first)?;
    let (second, second_pairs) = read(&arguments.second)?;
    ensure!(
        first.verification.rule == second.verification.rule,
        "the accuracies were taken by different rules and cannot be compared, evaluate again with one: {} and {}",
        first.verification.rule,
        second.verification.rule
    );
    let names = [&arguments.first, &arguments.second].map(|path| path.display().to_string());
    let comparison = Comparison::of(&first_pairs, &second_pairs, &arguments.far, &Bootstrap::default())?;
    let sentence = comparison.sentence(&names[0], &names[1]);
    let both = [(names[0].as_str(), &first), (names[1].as_str(), &second)];
    let rows = rows(&comparison);
    let mcnemar = comparison.mcnemar;
    let alone = format!(
        "{} pairs are judged rightly by {} alone, {} by {} alone.",
        mcnemar.only_first, names[0], mcnemar.only_second, names[1]
    );
    if let Some(out) = &arguments.out {
        ensure!(
            !out.is_file(),
            "the comparison is written as a directory, name another than this file: {}",
            out.display()
        );
        fs_err::create_dir_all(out)?;
        let text = format!("{}\n{sentence} {alone}\n\n{}", markdown(&both), markdown_table(&rows));
        net::atomic_file::write(&out.join("table.md"), |file| -> io::Result<()> {
            file.write_all(text.as_bytes())
        })?;
        let report = Report {
            title: format!("{} and {}", names[0], names[1]),
            subtitle: format!("two models on {}, pair by pair", first.protocol.file),
            sections: comparison_sections(both, &comparison),
        };
        report.write(&out.join("report.html"))?;
    }
    terminal::say(&summary(&both));
    terminal::say("");
    terminal::say(&terminal::table(&rows));
    terminal::say("");
    terminal::say(&format!("{sentence} {alone}"));
    if let Some(out) = &arguments.out {
        terminal::say(&format!("report: {}", out.join("report.html").display()));
    }
    Ok(())
}

/// What `evaluate` wrote, all of it by one run.
fn read(directory: &Path) -> anyhow::Result<(Evaluation, ScoredPairs)> {
    let evaluation = Evaluation::read(&directory.join("evaluation.json"))?;
    let listing = directory.join("pairs.tsv");
    ensure!(
        listing.exists(),
        "comparing needs every pair, and {} is not there: evaluate again, for more than a million pairs with --all-pairs",
        listing.display()
    );
    let pairs = ScoredPairs::read(&listing)?;
    let count = |kind| pairs.rows.iter().filter(|row| row.kind == kind).count();
    let protocol = &evaluation.protocol;
    let agree = count(Kind::Genuine) == protocol.genuine
        && count(Kind::Impostor) == protocol.impostor
        && pairs.accuracy().is_some_and(|accuracy| (accuracy - evaluation.accuracy.value).abs() < 1e-9);
    ensure!(
        agree,
        "evaluation.json and pairs.tsv are not of one evaluation, evaluate again: {}",
        directory.display()
    );
    Ok((evaluation, pairs))
}

fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let head = ["", "first", "second", "second - first", "95 % interval over people"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for difference in [&comparison.accuracy].into_iter().chain(&comparison.others) {
        let range = |interval: Interval| format!("{:+.4} to {:+.4}", interval.low, interval.high);
        rows.push(vec![
            difference.name.clone(),
            format!("{:.4}", difference.first),
            format!("{:.4}", difference.second),
            format!("{:+.4}", difference.second - difference.first),
            difference.interval.map_or("none".to_owned(), range),
        ]);
    }
    rows
}
