//! The lower bound of s (eq. 6) against what training reaches.

use eval::report::{Axis, Colour, Mark, Numbers, Plot, Spacing};
use margin::Loss;
use margin::bounds::scale_lower_bound;

use super::canvas;
use super::objective::Objective;
use super::page::{Figure, OverSeeds, Page, Table};
use super::recognition::{Bench, Contender, From, Measured, final_loss, over_seeds, percent};

const SCALES: [f64; 5] = [1.0, 4.0, 8.0, 16.0, 64.0];
const POSTERIOR: f64 = 0.9;
const COLOURS: [Colour; 3] = [Colour::Blue, Colour::Orange, Colour::Green];

/// Trains what is missing and describes all; none where it was stopped.
pub(super) fn page(bench: &Bench<'_>) -> anyhow::Result<Option<Page>> {
    let all = bench.people();
    let classes = [all / 8, all / 3, all];
    let settings = || classes.into_iter().flat_map(|people| SCALES.map(|s| (people, s)));
    let contenders: Vec<Contender> = settings()
        .map(|(people, s)| Contender {
            name: format!("{people} people, s = {s}"),
            file: format!("{people}-{s}"),
            objective: Objective::of(Loss::Nsl { s }),
            from: From::Seed,
            people: Some(people),
        })
        .collect();
    let Some(results) = bench.run("scale", &contenders)? else { return Ok(None) };
    let mut rows = Vec::new();
    let (mut losses, mut accuracies, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    let mut below_floor = 0;
    for ((people, of_scales), colour) in classes.iter().zip(results.chunks(SCALES.len())).zip(COLOURS) {
        let bound = scale_lower_bound(*people, POSTERIOR)?;
        marks.push(Mark { at: bound, name: people.to_string() });
        let curve = |figure: fn(&Measured) -> f64| -> Vec<(f64, OverSeeds)> {
            let points = SCALES.iter().zip(of_scales);
            points.filter_map(|(&s, of_seeds)| Some((s, over_seeds(of_seeds, figure)?))).collect()
        };
        let name = format!("{people} people");
        losses.extend(canvas::with_band(&name, colour, &curve(|measured| measured.loss.unwrap_or(f64::NAN))));
        accuracies.extend(canvas::with_band(&name, colour, &curve(|measured| measured.accuracy)));
        for (s, of_seeds) in SCALES.iter().zip(of_scales) {
            // The smallest loss that this scale allows, at P of eq. 6 solved for s.
            let others = (people - 1) as f64;
            let floor = (others * (-s * (1.0 + 1.0 / others)).exp()).ln_1p();
            below_floor +=
                of_seeds.iter().filter(|measured| measured.loss.is_some_and(|loss| loss < floor)).count();
            rows.push(vec![
                name.clone(),
                format!("{s}"),
                format!("{bound:.1}"),
                format!("{floor:.3}"),
                final_loss(of_seeds),
                percent(of_seeds, |measured| measured.accuracy),
            ]);
        }
    }
    let axis = || Axis { spacing: Spacing::Logarithmic, ..Axis::even("scale s") };
    let loss = Plot { x: axis(), y: Axis::even("final loss"), series: losses, marks: marks.clone() };
    let accuracy = Plot {
        x: axis(),
        y: Axis { numbers: Numbers::Percent, ..Axis::even("accuracy on people not in training") },
        series: accuracies,
        marks: Vec::new(),
    };
    let columns = ["people", "s", "paper: bound of s", "smallest loss at s", "final loss", "accuracy, %"];
    let table = Table { columns: columns.map(str::to_owned).to_vec(), rows, footer: Vec::new() };
    Ok(Some(Page {
        name: "scale",
        title: "The scale and its lower bound (eq. 6)".to_owned(),
        claim: format!(
            "below s = (C - 1)/C ln((C - 1) P / (1 - P)) no sample reaches the posterior P = {POSTERIOR}; more classes need \
             a larger s."
        ),
        verdict: match below_floor {
            0 => "Holds: no training got below the smallest loss that its scale allows, and that loss grows with the \
                  number of people."
                .to_owned(),
            count => format!("Does not hold here: {count} trainings got below the smallest loss that their scale allows."),
        },
        figures: vec![
            Figure {
                name: "scale-loss".to_owned(),
                svg: canvas::of_plot(&loss.draw("")),
                caption: format!("Loss at the end of training, NSL. Upright lines: the bound of \
                     eq. 6 at P = {POSTERIOR} for as many people."),
            },
            Figure {
                name: "scale-accuracy".to_owned(),
                svg: canvas::of_plot(&accuracy.draw("")),
                caption: "Verification accuracy of the same networks. Bands are 95 % intervals over seeds.".to_owned(),
            },
        ],
        tables: vec![(
            format!(
                "NSL, no margin; 95 % intervals over seeds. The paper publishes the bound and no measurement. {}",
                bench.describe()
            ),
            table,
        )],
    }))
}
