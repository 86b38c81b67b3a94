//! From which cosine on two faces are one person's, and who says so.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use cosface::{Embedder, rule_of};
use eval::Evaluation;
use eval::calibration::Logistic;

use super::Arguments;

/// A threshold with what is known of it.
pub(super) struct Threshold {
    pub(super) cosine: f64,
    /// Where it comes from, in words.
    pub(super) origin: String,
    /// Cosine to probability, where an evaluation gives it.
    pub(super) calibration: Option<Logistic>,
}

impl Threshold {
    /// The threshold that is given, that of an evaluation, or the card's.
    pub(super) fn of(arguments: &Arguments, embedder: &Embedder) -> anyhow::Result<Threshold> {
        if let Some(rate) = arguments.far {
            ensure!(rate > 0.0 && rate <= 1.0, "a false accept rate lies above 0 and at most at 1: {rate}");
        }
        if let Some(directory) = &arguments.evaluation {
            return of_evaluation(directory, arguments.far, embedder);
        }
        let stated = |rate| match rate {
            Some(rate) => format!("calibrated for a false accept rate of {rate}"),
            None => "for a false accept rate that nobody stated".to_owned(),
        };
        if let Some(cosine) = arguments.threshold {
            ensure!((-1.0..=1.0).contains(&cosine), "a cosine lies between -1 and 1: {cosine}");
            return Ok(Threshold { cosine, origin: stated(arguments.far), calibration: None });
        }
        ensure!(
            arguments.far.is_none(),
            "--far needs --evaluation, or --threshold that was calibrated for it"
        );
        match &embedder.model().card().calibration {
            Some(calibration) => Ok(Threshold {
                cosine: calibration.threshold,
                origin: stated(Some(calibration.false_accept_rate)),
                calibration: None,
            }),
            None => bail!(
                "the model's card states no threshold, give --evaluation with a directory of `cosface evaluate`, or \
                 --threshold: {}",
                arguments.model.display()
            ),
        }
    }
}

fn of_evaluation(directory: &Path, far: Option<f64>, embedder: &Embedder) -> anyhow::Result<Threshold> {
    let path = directory.join("evaluation.json");
    let evaluation = Evaluation::read(&path)?;
    let (found, model) = (&evaluation.model.fingerprint, embedder.model().fingerprint().to_string());
    ensure!(
        *found == model,
        "this evaluation is of another model, evaluate this one: {} is of {}, {found}, not {model}",
        path.display(),
        evaluation.model.name
    );
    let rule = rule_of(embedder.model().card().preprocessing.flip);
    ensure!(
        evaluation.feature_rule == rule,
        "this evaluation has features by another rule than the model's card, evaluate with --feature {}: {} has {}",
        rule.name(),
        path.display(),
        evaluation.feature_rule.name()
    );
    let points = &evaluation.operating_points;
    let known = || {
        let fars: Vec<String> = points.iter().map(|point| point.far.to_string()).collect();
        if fars.is_empty() { "none".to_owned() } else { fars.join(", ") }
    };
    let point = match far {
        // The strictest that its impostors resolve.
        None => points.iter().min_by(|one, other| one.far.total_cmp(&other.far)),
        Some(far) => points.iter().find(|point| point.far == far),
    };
    let point = point.with_context(|| {
        let wanted = far.map_or_else(String::new, |far| format!(" for a false accept rate of {far}"));
        format!(
            "no threshold{wanted} in this evaluation, it has one for {}; evaluate on pairs that resolve it with --far: {}",
            known(),
            path.display()
        )
    })?;
    let interval = point.threshold.interval;
    let interval = interval
        .map_or_else(String::new, |interval| format!(" ({:.4} to {:.4})", interval.low, interval.high));
    let elsewhere = point.elsewhere.map_or_else(String::new, |elsewhere| {
        format!("; on people it was not chosen on the rate was {:.2e}", elsewhere.far.value)
    });
    Ok(Threshold {
        cosine: point.threshold.value,
        origin: format!(
            "calibrated for a false accept rate of {} on {}{interval}{elsewhere}",
            point.far, evaluation.protocol.file
        ),
        calibration: evaluation.calibration.map(|calibration| calibration.of_all),
    })
}
