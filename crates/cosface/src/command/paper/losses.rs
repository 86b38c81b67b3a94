//! Table 2: all losses of the paper, same network, same budget.

use margin::beside::{CenterLoss, ContrastiveLoss, TripletLoss};
use margin::{ArcFaceSlope, LambdaSchedule, Loss};

use super::objective::{Objective, OnFeatures};
use super::page::Page;
use super::recognition::{
    Bench, Contender, From, LMCL_PUBLISHED, Measured, Published, compared, figure, over_seeds,
};

/// Scale of the logits; the default recipe's for small sets.
const S: f64 = 32.0;

/// Each loss with the paper's LFW, YTF, MegaFace rank-1 and verification.
fn rows() -> Vec<(Contender, Published)> {
    // The published fall of lambda ends after 1,700 of 30,000 steps; this one falls as far in a run of 400.
    let lambda = Some(LambdaSchedule { base: 1000.0, gamma: 9.0, power: 1.0, minimum: 5.0 });
    let annealed = |loss| Objective { classes: Some(loss), lambda, features: None };
    let beside = |weight, loss| Objective {
        classes: Some(Loss::Softmax),
        lambda: None,
        features: Some((weight, loss)),
    };
    let contrastive = OnFeatures::Contrastive(ContrastiveLoss { margin: 8.0 });
    let triplet = OnFeatures::Triplet(TripletLoss { margin: 0.2 });
    let center = OnFeatures::Center(CenterLoss { alpha: 0.5 });
    let none = ["", "", "", ""];
    let row = |name: &str, file: &str, objective, published| {
        let contender = Contender {
            name: name.to_owned(),
            file: file.to_owned(),
            objective,
            from: From::Seed,
            people: None,
        };
        (contender, published)
    };
    vec![
        row("softmax", "softmax", Objective::of(Loss::Softmax), ["97.88", "93.1", "54.85", "65.92"]),
        row(
            "softmax + contrastive",
            "contrastive",
            beside(0.02, contrastive),
            ["98.78", "93.5", "65.21", "78.86"],
        ),
        row(
            "triplet",
            "triplet",
            Objective { classes: None, lambda: None, features: Some((1.0, triplet)) },
            ["98.70", "93.4", "64.79", "78.32"],
        ),
        row(
            "L-Softmax, m = 4",
            "l-softmax",
            annealed(Loss::LSoftmax { m: 4, lambda: 5.0 }),
            ["99.10", "94.0", "67.12", "80.42"],
        ),
        row("softmax + center", "center", beside(0.003, center), ["99.05", "94.4", "65.49", "80.14"]),
        row(
            "A-Softmax, m = 4",
            "a-softmax",
            annealed(Loss::SphereFace { m: 4, lambda: 5.0 }),
            ["99.42", "95.0", "72.72", "85.56"],
        ),
        row(
            "A-Softmax, features normalised",
            "a-softmax-normalised",
            annealed(Loss::SphereFaceNormalised { s: S, m: 4, lambda: 5.0 }),
            ["99.32", "95.4", "75.42", "88.82"],
        ),
        row("LMCL, m = 0.35", "lmcl", Objective::of(Loss::CosFace { s: S, m: 0.35 }), LMCL_PUBLISHED),
        row("NSL", "nsl", Objective::of(Loss::Nsl { s: S }), none),
        row(
            "ArcFace, m = 0.5",
            "arcface",
            Objective::of(Loss::ArcFace { s: S, m: 0.5, slope: ArcFaceSlope::Exact }),
            none,
        ),
    ]
}

/// Trains what is missing and describes all; none where it was stopped.
pub(super) fn page(bench: &Bench<'_>) -> anyhow::Result<Option<Page>> {
    let (contenders, published): (Vec<Contender>, Vec<[&str; 4]>) = rows().into_iter().unzip();
    let Some(results) = bench.run("losses", &contenders)? else { return Ok(None) };
    let table = compared("loss", &contenders, &results, &published);
    Ok(Some(Page {
        name: "losses",
        title: "Losses compared (table 2)".to_owned(),
        claim: "LMCL verifies and identifies best of eight losses, plain softmax worst.".to_owned(),
        verdict: verdict(&contenders, &results),
        figures: vec![figure("losses", &contenders, &results, &published)],
        tables: vec![(
            format!(
                "{} Intervals at 95 % over seeds. The paper's numbers are from a 64-layer network on 10,575 people and \
                 other tests: compare the order, not the numbers.",
                bench.describe()
            ),
            table,
        )],
    }))
}

fn verdict(contenders: &[Contender], results: &[Vec<Measured>]) -> String {
    const OF_THE_PAPER: usize = 8;
    const LMCL: usize = 7;
    let tar = |index: usize| over_seeds(&results[index], |measured| measured.tar);
    let Some(lmcl) = tar(LMCL) else { return "Does not hold here: LMCL diverged.".to_owned() };
    let others =
        (0..OF_THE_PAPER).filter(|&index| index != LMCL).filter_map(|index| Some((index, tar(index)?)));
    let best = others.max_by(|left, right| left.1.mean.total_cmp(&right.1.mean));
    let Some((index, best)) = best else { return "Not decided: every other loss diverged.".to_owned() };
    let worst = (0..OF_THE_PAPER)
        .filter_map(|index| Some((index, tar(index)?)))
        .min_by(|left, right| left.1.mean.total_cmp(&right.1.mean));
    let worst = worst.map_or_else(String::new, |(index, worst)| {
        format!(
            "; the worst is {}, {:.1} ± {:.1} %",
            contenders[index].name,
            100.0 * worst.mean,
            100.0 * worst.half
        )
    });
    let numbers = format!(
        "TAR of LMCL is {:.1} ± {:.1} %, that of the best of the paper's other losses, {}, {:.1} ± {:.1} %{worst}",
        100.0 * lmcl.mean,
        100.0 * lmcl.half,
        contenders[index].name,
        100.0 * best.mean,
        100.0 * best.half
    );
    if lmcl.mean - lmcl.half > best.mean + best.half {
        format!("Holds: {numbers}.")
    } else if lmcl.mean + lmcl.half < best.mean - best.half {
        format!("Does not hold here: {numbers}.")
    } else {
        format!("Not decided at this size: {numbers}.")
    }
}
