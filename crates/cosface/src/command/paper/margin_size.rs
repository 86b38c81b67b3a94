//! Figure 5: the effect of the margin's size.

use eval::report::{Axis, Colour, Mark, Numbers, Plot};
use margin::Loss;
use margin::bounds::margin_of_random_centres;

use super::canvas;
use super::objective::Objective;
use super::page::{Figure, OverSeeds, Page, Table};
use super::recognition::{Bench, Contender, FAR, From, Measured, final_loss, over_seeds, percent};

const S: f64 = 32.0;
const MARGINS: [f64; 9] = [0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6];

/// Trains what is missing and describes all; none where it was stopped.
pub(super) fn page(bench: &Bench<'_>) -> anyhow::Result<Option<Page>> {
    let contenders = MARGINS.map(|m| Contender {
        name: format!("m = {m}"),
        file: format!("{m}"),
        objective: Objective::of(Loss::CosFace { s: S, m }),
        from: From::Seed,
        people: None,
    });
    let Some(results) = bench.run("margin", &contenders)? else { return Ok(None) };
    let rows = contenders.iter().zip(MARGINS).zip(&results).map(|((contender, m), of_seeds)| {
        vec![
            contender.name.clone(),
            percent(of_seeds, |measured| measured.accuracy),
            percent(of_seeds, |measured| measured.tar),
            percent(of_seeds, |measured| measured.rank1),
            final_loss(of_seeds),
            published(m).to_owned(),
        ]
    });
    let columns = ["margin", "accuracy, %", "TAR, %", "rank-1, %", "final loss", "paper"];
    let table =
        Table { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect(), footer: Vec::new() };
    let curve = |figure: fn(&Measured) -> f64| -> Vec<(f64, OverSeeds)> {
        let points = MARGINS.iter().zip(&results);
        points.filter_map(|(&m, of_seeds)| Some((m, over_seeds(of_seeds, figure)?))).collect()
    };
    let (accuracy, tar) = (curve(|measured| measured.accuracy), curve(|measured| measured.tar));
    let plot = |name: &str, colour, points: &[(f64, OverSeeds)]| Plot {
        x: Axis::even("margin m"),
        y: Axis { numbers: Numbers::Percent, ..Axis::even("on people not in training") },
        series: canvas::with_band(name, colour, points).into(),
        marks: vec![Mark { at: 0.35, name: "0.35, the paper's".to_owned() }],
    };
    let plots = [
        ("margin-accuracy", plot("accuracy", Colour::Blue, &accuracy)),
        ("margin-tar", plot(&format!("TAR at FAR {FAR}"), Colour::Orange, &tar)),
    ];
    let best = accuracy.iter().max_by(|left, right| left.1.mean.total_cmp(&right.1.mean)).copied();
    let verdict = match (accuracy.first().copied(), best) {
        (Some((0.0, none)), Some((m, best))) => {
            let numbers = format!(
                "accuracy is {:.1} ± {:.1} % at m = 0 and best, {:.1} ± {:.1} %, at m = {m}",
                100.0 * none.mean,
                100.0 * none.half,
                100.0 * best.mean,
                100.0 * best.half
            );
            let diverged =
                MARGINS.iter().zip(&results).find(|(_, of_seeds)| over_seeds(of_seeds, |m| m.tar).is_none());
            let fails = match diverged {
                Some((m, _)) => format!("training first diverges at m = {m}"),
                None => format!("no margin up to {} makes training diverge", MARGINS[MARGINS.len() - 1]),
            };
            if best.mean - best.half > none.mean + none.half {
                format!("The rise holds: {numbers}; {fails}.")
            } else if m == 0.0 {
                format!("Does not hold here: {numbers}; {fails}.")
            } else {
                format!("Not decided at this size: {numbers}; {fails}.")
            }
        }
        _ => "Does not hold here: training diverges without a margin.".to_owned(),
    };
    let random = margin_of_random_centres(bench.people(), 128)?;
    Ok(Some(Page {
        name: "margin",
        title: "The size of the margin (figure 5)".to_owned(),
        claim: "accuracy is worst at m = 0, rises, saturates at 0.35, and beyond 0.45 training fails to converge.".to_owned(),
        verdict,
        figures: plots
            .into_iter()
            .map(|(name, plot)| Figure {
                name: name.to_owned(),
                svg: canvas::of_plot(&plot.draw("")),
                caption: format!(
                    "Bands are 95 % intervals over seeds. Random centres of {} people in 128 dimensions allow m up to \
                     about {random:.2}.",
                    bench.people()
                ),
            })
            .collect(),
        tables: vec![(
            format!("LMCL at s = {S}, margin from the first step on; 95 % intervals over seeds. {}", bench.describe()),
            table,
        )],
    }))
}

/// What the paper says of a margin: figure 5 has curves alone, its table 1 a number for 0.35.
fn published(m: f64) -> &'static str {
    match m {
        0.0 => "the lowest",
        0.35 => "LFW 99.33, YTF 96.1; saturates",
        m if m > 0.45 => "fails to converge",
        _ => "",
    }
}
