//! Figure 4: eight people and features of two dimensions, where a margin can be seen.

use std::f64::consts::TAU;

use data::Augment;
use engine::Pool;
use margin::Loss;
use margin::bounds::margin_upper_bound;
use net::{Architecture, Family, Network};
use serde::{Deserialize, Serialize};

use super::super::terminal::Stage;
use super::canvas::{self, Anchor, Canvas};
use super::faces::{Faces, Wanted};
use super::objective::Objective;
use super::page::{Figure, OverSeeds, Page, Table};
use super::training::{Course, Ended, Side, Start, features, train};
use super::{Setting, Size};

const PEOPLE: usize = 8;

/// Scale of the logits. Eq. 6 asks 8 people for 3.6 at a posterior of 0.9 and for 7.9 at 0.999.
const S: f64 = 16.0;

/// Margins of LMCL; the last one is above the bound of eq. 7, 0.29.
const MARGINS: [f64; 4] = [0.0, 0.1, 0.2, 0.4];

/// Share of a person's images that may lie outside their sector on either side.
const OUTSIDE: f64 = 0.05;

/// What one training left.
#[derive(Serialize, Deserialize)]
struct Result {
    /// `[images, 2]`; empty where training diverged.
    features: Vec<f32>,
    labels: Vec<u32>,
    loss: f64,
    diverged_at: Option<u64>,
}

struct Contender {
    name: String,
    file: String,
    loss: Loss,
}

fn contenders() -> Vec<Contender> {
    let softmax = Contender { name: "softmax".to_owned(), file: "softmax".to_owned(), loss: Loss::Softmax };
    let lmcl = MARGINS.map(|m| Contender {
        name: format!("LMCL, m = {m}"),
        file: format!("lmcl-{m}"),
        loss: Loss::CosFace { s: S, m },
    });
    std::iter::once(softmax).chain(lmcl).collect()
}

/// Trains what is missing and describes all; none where it was stopped.
pub(super) fn page(setting: &Setting<'_>) -> anyhow::Result<Option<Page>> {
    let arguments = setting.arguments;
    let (images, steps) = match arguments.size {
        Size::Small => (6, 8),
        Size::Normal => (50, 300),
    };
    let network = network()?;
    let wanted = Wanted { people: PEOPLE as u32, images, input: [56, 48], strength: 0.7 };
    let mut faces: Option<Faces> = None;
    let pool = Pool::new(arguments.threads)?;
    let contenders = contenders();
    let mut stage = Stage::start("toy", contenders.len() as u64 * arguments.seeds);
    let mut results: Vec<Vec<Result>> = Vec::new();
    for (index, contender) in contenders.iter().enumerate() {
        let mut of_seeds = Vec::new();
        for seed in arguments.seed..arguments.seed + arguments.seeds {
            let name = format!("toy-{}-{seed}", contender.file);
            let result = setting.trials.result(&name, || {
                let faces = match &faces {
                    Some(faces) => faces,
                    None => faces.insert(match &arguments.data {
                        Some(folder) => Faces::real(&wanted, wanted.people, folder)?,
                        None => Faces::synthetic(&wanted, arguments.seed)?,
                    }),
                };
                let course = Course {
                    steps,
                    batch: 64,
                    rate: 0.05,
                    margin_warm_up: steps / 3,
                    augment: Augment::default(),
                    seed,
                };
                one(&pool, &network, faces, contender.loss, &course, setting)
            })?;
            let Some(result) = result else { return Ok(None) };
            of_seeds.push(result);
            stage.show(index as u64 * arguments.seeds + of_seeds.len() as u64, &contender.name);
        }
        results.push(of_seeds);
    }
    stage.finish();
    Ok(Some(describe(&contenders, &results)?))
}

fn network() -> anyhow::Result<Network> {
    let architecture = Architecture {
        input: [56, 48],
        width: Some(0.25),
        feature: 2,
        batch_norm: Some(true),
        ..Architecture::new(Family::SphereFace, Some(4))
    };
    Ok(architecture.build()?)
}

fn one(
    pool: &Pool,
    network: &Network,
    faces: &Faces,
    loss: Loss,
    course: &Course,
    setting: &Setting<'_>,
) -> anyhow::Result<Option<Result>> {
    // In the plane centres cannot pass each other, so that random ones stay in the order they happen to have; they
    // start evenly spread.
    let centres: Vec<f32> = (0..PEOPLE)
        .flat_map(|person| {
            let (sine, cosine) = (TAU * person as f64 / PEOPLE as f64).sin_cos();
            [cosine as f32, sine as f32]
        })
        .collect();
    let start = Start { weights: net::initialise(network, course.seed), centres };
    let labels = faces.labels.clone();
    Ok(match train(pool, network, faces, Objective::of(loss), course, &start, &setting.stop)? {
        Ended::Stopped => None,
        Ended::Diverged { step } => {
            Some(Result { features: Vec::new(), labels, loss: f64::MAX, diverged_at: Some(step) })
        }
        Ended::Trained(trained) => {
            let features = features(pool, network, &trained.weights, faces, Side::Image)?;
            Some(Result { features, labels, loss: trained.loss, diverged_at: None })
        }
    })
}

/// The sector of a person: where their images lie but for [`OUTSIDE`] at each end, in radians around their mean.
struct Sector {
    middle: f64,
    low: f64,
    high: f64,
}

fn sectors(result: &Result) -> Vec<Sector> {
    (0..PEOPLE as u32)
        .map(|person| {
            let angles: Vec<f64> = result
                .features
                .chunks_exact(2)
                .zip(&result.labels)
                .filter(|(_, label)| **label == person)
                .map(|(feature, _)| f64::from(feature[1]).atan2(f64::from(feature[0])))
                .collect();
            let (sines, cosines) = angles
                .iter()
                .fold((0.0, 0.0), |(sines, cosines), angle| (sines + angle.sin(), cosines + angle.cos()));
            let middle = sines.atan2(cosines);
            let mut around: Vec<f64> = angles.iter().map(|angle| turned(angle - middle)).collect();
            around.sort_by(f64::total_cmp);
            let at = |share: f64| around[((around.len() - 1) as f64 * share).round() as usize];
            Sector { middle, low: at(OUTSIDE), high: at(1.0 - OUTSIDE) }
        })
        .collect()
}

/// An angle from -pi to pi.
fn turned(angle: f64) -> f64 {
    angle - TAU * (angle / TAU).round()
}

/// Gaps between neighbours' sectors on the circle, in degrees; negative where they overlap.
fn gaps(result: &Result) -> Vec<f64> {
    let mut sectors = sectors(result);
    sectors.sort_by(|left, right| left.middle.total_cmp(&right.middle));
    let gap = |index: usize| {
        let (this, next) = (&sectors[index], &sectors[(index + 1) % PEOPLE]);
        let apart = (next.middle - this.middle).rem_euclid(TAU);
        (apart + next.low - this.high).to_degrees()
    };
    (0..PEOPLE).map(gap).collect()
}

fn mean_gap(result: &Result) -> f64 {
    gaps(result).iter().sum::<f64>() / PEOPLE as f64
}

fn smallest_gap(result: &Result) -> f64 {
    gaps(result).into_iter().fold(f64::INFINITY, f64::min)
}

/// Mean width of the sectors, in degrees.
fn spread(result: &Result) -> f64 {
    sectors(result).iter().map(|sector| (sector.high - sector.low).to_degrees()).sum::<f64>() / PEOPLE as f64
}

fn describe(contenders: &[Contender], results: &[Vec<Result>]) -> anyhow::Result<Page> {
    let bound = margin_upper_bound(PEOPLE, 2)?.ceiling();
    let trained = |of_seeds: &[Result], figure: fn(&Result) -> f64| -> Option<OverSeeds> {
        let values: Vec<f64> =
            of_seeds.iter().filter(|result| result.diverged_at.is_none()).map(figure).collect();
        (values.len() == of_seeds.len()).then(|| OverSeeds::of(&values))
    };
    let rows = contenders.iter().zip(results).map(|(contender, of_seeds)| {
        let cell = |figure| trained(of_seeds, figure).map_or("diverged".to_owned(), |value| value.text(1));
        let loss =
            trained(of_seeds, |result| result.loss).map_or("diverged".to_owned(), |value| value.text(3));
        vec![contender.name.clone(), cell(mean_gap), cell(smallest_gap), cell(spread), loss]
    });
    let columns =
        ["loss", "mean gap, °", "smallest gap, °", "width of a person, °", "final loss"].map(str::to_owned);
    let table = Table { columns: columns.to_vec(), rows: rows.collect(), footer: Vec::new() };
    let gaps: Vec<Option<OverSeeds>> = results.iter().map(|of_seeds| trained(of_seeds, mean_gap)).collect();
    let verdict = match gaps[1..4] {
        [Some(none), Some(some), Some(more)] => {
            let grows = none.mean < some.mean && some.mean < more.mean;
            let beyond = more.mean - more.half > none.mean + none.half;
            let means = format!(
                "{:.1}, {:.1} and {:.1} degrees at m = 0, 0.1 and 0.2",
                none.mean, some.mean, more.mean
            );
            let merged =
                results[4].iter().filter(|result| result.diverged_at.is_some() || smallest_gap(result) < 0.0);
            let above = format!(
                "above the bound {bound:.2}, at m = {}, people fall together or training diverges with {} of {} seeds",
                MARGINS[3],
                merged.count(),
                results[4].len()
            );
            let softmax = gaps[0].map_or("diverged".to_owned(), |gap| format!("{:.1}", gap.mean));
            match (grows, beyond) {
                (true, true) => format!(
                    "Holds: the gap between neighbours grows with m, {means} (softmax: {softmax}); {above}."
                ),
                (true, false) => {
                    format!(
                        "Not decided: the gap grows in the mean, {means}, but the intervals overlap (softmax: {softmax}); {above}."
                    )
                }
                (false, _) => {
                    format!("Does not hold here: the gap is {means} (softmax: {softmax}); {above}.")
                }
            }
        }
        _ => "Not decided: training diverged at a margin below the bound.".to_owned(),
    };
    Ok(Page {
        name: "toy",
        title: "Eight people in two dimensions (figure 4)".to_owned(),
        claim: format!(
            "the gap between classes widens with m, which is bounded by 1 - cos(pi / 4) = {bound:.2} for eight classes \
             in the plane."
        ),
        verdict,
        figures: vec![Figure {
            name: "toy".to_owned(),
            svg: draw(contenders, results),
            caption: "Features of the training images, a colour for each person, first seed. Above in the plane, below \
                      their directions on the circle; a coloured arc holds 90 % of a person's images."
                .to_owned(),
        }],
        tables: vec![(
            "Over all seeds, with 95 % intervals: gaps between the sectors of neighbours on the circle, each sector \
             holding 90 % of a person's images; negative where sectors overlap."
                .to_owned(),
            table,
        )],
    })
}

fn draw(contenders: &[Contender], results: &[Vec<Result>]) -> String {
    const COLUMN: f64 = 190.0;
    canvas::picture(20.0 + COLUMN * contenders.len() as f64, 440.0, |canvas| {
        for (index, (contender, of_seeds)) in contenders.iter().zip(results).enumerate() {
            let middle = 10.0 + COLUMN * (index as f64 + 0.5);
            let above = matches!(contender.loss, Loss::CosFace { m, .. } if m > 0.29);
            canvas.text(&contender.name, (middle, 14.0), Anchor::Middle, 16.0);
            if above {
                canvas.text("above the bound", (middle, 33.0), Anchor::Middle, 13.0);
            }
            match &of_seeds[0] {
                result if result.diverged_at.is_some() => {
                    canvas.text("diverged", (middle, 130.0), Anchor::Middle, 14.0);
                }
                result => {
                    plane(canvas, result, (middle, 130.0));
                    circle(canvas, result, (middle, 330.0));
                }
            }
        }
    })
}

fn plane(canvas: &Canvas<'_>, result: &Result, centre: (f64, f64)) {
    const REACH: f64 = 84.0;
    let norms =
        result.features.chunks_exact(2).map(|feature| f64::from(feature[0]).hypot(f64::from(feature[1])));
    let largest = norms.fold(1e-12, f64::max);
    canvas.line(&[(centre.0 - REACH, centre.1), (centre.0 + REACH, centre.1)], canvas::FAINT, 1.0);
    canvas.line(&[(centre.0, centre.1 - REACH), (centre.0, centre.1 + REACH)], canvas::FAINT, 1.0);
    for (feature, label) in result.features.chunks_exact(2).zip(&result.labels) {
        let [x, y] = [feature[0], feature[1]].map(|value| REACH * f64::from(value) / largest);
        canvas.dot((centre.0 + x, centre.1 - y), 1.8, canvas::PEOPLE[*label as usize]);
    }
}

fn circle(canvas: &Canvas<'_>, result: &Result, centre: (f64, f64)) {
    const RADIUS: f64 = 72.0;
    let at = |angle: f64, radius: f64| (centre.0 + radius * angle.cos(), centre.1 - radius * angle.sin());
    canvas.circle(centre, RADIUS, canvas::FAINT, 1.0);
    for (feature, label) in result.features.chunks_exact(2).zip(&result.labels) {
        let angle = f64::from(feature[1]).atan2(f64::from(feature[0]));
        canvas.dot(at(angle, RADIUS), 1.8, canvas::PEOPLE[*label as usize]);
    }
    for (sector, colour) in sectors(result).iter().zip(canvas::PEOPLE) {
        let arc: Vec<_> = (0..=24)
            .map(|step| {
                let share = f64::from(step) / 24.0;
                at(sector.middle + sector.low + share * (sector.high - sector.low), RADIUS + 10.0)
            })
            .collect();
        canvas.line(&arc, colour, 4.0);
        canvas.line(&[centre, at(sector.middle, RADIUS - 6.0)], colour, 1.2);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::{PEOPLE, Result, mean_gap, smallest_gap, spread};

    #[test]
    fn gap_and_width_are_those_of_evenly_spread_people() {
        // 101 images of each person evenly over 20 degrees: 90 % of them span 18, and 45 - 18 lie between neighbours.
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for person in 0..PEOPLE as u32 {
            for image in 0..101 {
                // The first person lies across the angle pi, where the numbers jump.
                let angle = std::f64::consts::PI
                    + TAU * f64::from(person) / PEOPLE as f64
                    + (f64::from(image) * 0.2 - 10.0).to_radians();
                let norm = 1.0 + f64::from(image % 7);
                features.extend([(norm * angle.cos()) as f32, (norm * angle.sin()) as f32]);
                labels.push(person);
            }
        }
        let result = Result { features, labels, loss: 0.0, diverged_at: None };
        assert!((spread(&result) - 18.0).abs() < 1e-3, "{}", spread(&result));
        assert!((mean_gap(&result) - 27.0).abs() < 1e-3, "{}", mean_gap(&result));
        assert!((smallest_gap(&result) - 27.0).abs() < 1e-3);
    }
}
