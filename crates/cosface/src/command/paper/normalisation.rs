//! Table 1: LMCL with and without normalised features.

use margin::Loss;

use super::objective::Objective;
use super::page::Page;
use super::recognition::{Bench, Contender, From, LMCL_PUBLISHED, compared, figure, over_seeds};

const M: f64 = 0.35;

/// Trains what is missing and describes all; none where it was stopped.
pub(super) fn page(bench: &Bench<'_>) -> anyhow::Result<Option<Page>> {
    let contender = |name: &str, file: &str, loss, from| Contender {
        name: name.to_owned(),
        file: file.to_owned(),
        objective: Objective::of(loss),
        from,
        people: None,
    };
    let contenders = [
        contender(
            "without, from softmax",
            "raw-from-softmax",
            Loss::CosFaceRawFeatures { m: M },
            From::Softmax,
        ),
        contender("without, from the start", "raw", Loss::CosFaceRawFeatures { m: M }, From::Seed),
        contender("with", "normalised", Loss::CosFace { s: 32.0, m: M }, From::Seed),
        contender(
            "with, from softmax",
            "normalised-from-softmax",
            Loss::CosFace { s: 32.0, m: M },
            From::Softmax,
        ),
    ];
    let Some(results) = bench.run("normalisation", &contenders)? else { return Ok(None) };
    let published = [["99.10", "93.1", "75.10", "88.65"], [""; 4], LMCL_PUBLISHED, [""; 4]];
    let table = compared("normalised features", &contenders, &results, &published);
    let tar = |index: usize| over_seeds(&results[index], |measured| measured.tar);
    // Both from softmax, so that both have had the same number of steps.
    let verdict = match (tar(0), tar(3)) {
        (Some(without), Some(with)) => {
            let fresh = match tar(1) {
                Some(fresh) => format!("{:.1} ± {:.1} %", 100.0 * fresh.mean, 100.0 * fresh.half),
                None => "diverges".to_owned(),
            };
            let numbers = format!(
                "from the same softmax models, TAR is {:.1} ± {:.1} % without and {:.1} ± {:.1} % with normalisation; \
                 without it and not from softmax, {fresh}",
                100.0 * without.mean,
                100.0 * without.half,
                100.0 * with.mean,
                100.0 * with.half
            );
            if with.mean - with.half > without.mean + without.half {
                format!("Holds: {numbers}.")
            } else if with.mean + with.half < without.mean - without.half {
                format!("Does not hold here: {numbers}.")
            } else {
                format!("Not decided at this size: {numbers}.")
            }
        }
        (None, Some(_)) => "Holds: without normalisation training diverges.".to_owned(),
        _ => "Does not hold here: training with normalisation diverges.".to_owned(),
    };
    Ok(Some(Page {
        name: "normalisation",
        title: "Features normalised or not (table 1)".to_owned(),
        claim: "normalising the features too makes LMCL better on every test; without it training needs a softmax model to \
                start from."
            .to_owned(),
        verdict,
        figures: vec![figure("normalisation", &contenders, &results, &published)],
        tables: vec![(
            format!(
                "LMCL at m = {M}, with 95 % intervals over seeds. {} The rows from softmax have trained twice as long. The \
                 paper's numbers are from another network, other people and other tests: compare the order.",
                bench.describe()
            ),
            table,
        )],
    }))
}
