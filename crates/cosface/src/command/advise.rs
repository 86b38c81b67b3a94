//! `cosface advise`: which scale and margin suit a number of people, and where chosen ones stand.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use margin::Loss;
use margin::advice::{Advice, MarginVerdict, ScaleVerdict, advise};
use margin::bounds::{MarginBound, WeightsBound, margin_upper_bound_of};
use net::tensor_file::{TensorFile, Values};
use serde_json::{Value, json};

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Number of people, C; that of the head unless given
    #[arg(long, required_unless_present = "weights")]
    classes: Option<usize>,
    /// Feature dimension, K; that of the head unless given
    #[arg(long, required_unless_present = "weights")]
    dim: Option<usize>,
    /// Posterior that a sample at its class centre should reach, strictly between 0 and 1
    #[arg(long, default_value_t = POSTERIOR)]
    posterior: f64,
    /// Scale of the logits; the paper trains with 64
    #[arg(long, default_value_t = 64.0)]
    s: f64,
    /// Margin of LMCL in cosine units; the paper trains with 0.35
    #[arg(long, default_value_t = 0.35)]
    m: f64,
    /// head.safetensors of a checkpoint: what its class centres allow
    #[arg(long, value_name = "HEAD")]
    weights: Option<PathBuf>,
    /// One JSON object in place of words
    #[arg(long)]
    json: bool,
}

/// Posterior at which `train` evaluates eq. 6.
const POSTERIOR: f64 = 0.9;

/// Largest margin with which the paper's training converged (fig. 5).
const LARGEST_THAT_CONVERGED: f64 = 0.45;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let loss = Loss::CosFace { s: arguments.s, m: arguments.m };
    loss.check()?;
    let head = arguments.weights.as_deref().map(read_centres).transpose()?;
    let (classes, dimension) = match (&head, arguments.classes, arguments.dim) {
        (Some(head), classes, dim) => {
            for (name, given, own) in [("--classes", classes, head.classes), ("--dim", dim, head.dimension)] {
                let fits = given.is_none_or(|given| given == own);
                ensure!(fits, "{name} is not that of the head, leave it out: the head has {own}");
            }
            (head.classes, head.dimension)
        }
        (None, Some(classes), Some(dim)) => (classes, dim),
        (None, _, _) => bail!("give --classes and --dim, or --weights"),
    };
    let bound = head
        .map(|head| margin_upper_bound_of(&head.values, head.classes, head.dimension))
        .transpose()
        .context("the head's centres have no bound")?;
    let advice = advise(&loss, classes, dimension, arguments.posterior, bound)?;
    match arguments.json {
        true => terminal::say(&serde_json::to_string_pretty(&to_json(&loss, &advice))?),
        false => lines(&loss, &advice).iter().for_each(|line| terminal::say(&line.text)),
    }
    Ok(())
}

/// Says at the start of training where the loss of a recipe stands; what is out of range is a warning.
pub(crate) fn note(loss: &Loss, classes: usize, dimension: usize) -> anyhow::Result<()> {
    for line in lines(loss, &advise(loss, classes, dimension, POSTERIOR, None)?) {
        match line.tone {
            Tone::Fact => {}
            Tone::Fine => terminal::note(&line.text),
            Tone::Warning => terminal::note(&format!("warning: {}", line.text)),
        }
    }
    Ok(())
}

/// A sentence of advice.
struct Line {
    tone: Tone,
    text: String,
}

/// What a sentence is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    /// A bound.
    Fact,
    /// A chosen value that is in range.
    Fine,
    /// A chosen value that is not.
    Warning,
}

fn lines(loss: &Loss, advice: &Advice) -> Vec<Line> {
    let Advice { classes, dimension, posterior, scale_at_least: least, .. } = *advice;
    let random = advice.margin_of_random_centres;
    let line = |tone, text| Line { tone, text };
    let mut lines = vec![
        line(Tone::Fact, format!("{classes} classes, {dimension} feature dimensions")),
        line(
            Tone::Fact,
            match least > 0.0 {
                true => {
                    format!("bound of s: at least {least:.2} for a posterior of {posterior} (CosFace, eq. 6)")
                }
                false => {
                    format!("bound of s: none, a uniform guess reaches a posterior of {posterior} (eq. 6)")
                }
            },
        ),
        line(Tone::Fact, format!("bound of m: {} (CosFace, eq. 7)", advice.margin_at_most)),
    ];
    if let MarginBound::MuchSmallerThan(_) = advice.margin_at_most {
        let text = format!("centres drawn at random typically allow m up to about {random:.2}");
        lines.push(line(Tone::Fact, text));
    }
    if let Some(WeightsBound { margin, closest: (first, second) }) = advice.weights {
        let text =
            format!("the given centres allow m up to {margin:.4}; classes {first} and {second} are closest");
        lines.push(line(Tone::Fact, text));
    }
    lines.push(match advice.scale {
        None => line(
            Tone::Fine,
            format!("loss {} has no fixed s: the feature's own norm is the scale", loss.name()),
        ),
        Some(standing) => {
            let (scale, reached) = (standing.scale, standing.largest_posterior);
            match standing.verdict {
                ScaleVerdict::TooSmall => line(
                    Tone::Warning,
                    format!(
                        "s = {scale} is below {least:.2}, which {classes} classes need for a posterior of {posterior} \
                         (CosFace, eq. 6); even a sample at its class centre reaches only {reached:.4}, so the loss \
                         stays above {:.3} and training keeps pulling at samples that are already right",
                        standing.smallest_loss
                    ),
                ),
                ScaleVerdict::Enough => line(
                    Tone::Fine,
                    format!(
                        "s = {scale} is large enough, eq. 6 asks for {least:.2}: the loss can fall to {:.1e}",
                        standing.smallest_loss
                    ),
                ),
            }
        }
    });
    if let Some(standing) = advice.margin {
        let m = match loss {
            Loss::CosFace { m, .. } | Loss::CosFaceRawFeatures { m } => format!("m = {m}"),
            _ => format!(
                "loss {} takes {:.3} from the cosine at a class centre, which",
                loss.name(),
                standing.margin
            ),
        };
        let bound = advice.margin_at_most;
        lines.push(match standing.verdict {
            MarginVerdict::None => {
                line(Tone::Fine, "no margin at a class centre: nothing pushes classes apart there".to_owned())
            }
            MarginVerdict::Within => {
                let paper = match standing.margin > LARGEST_THAT_CONVERGED {
                    true => "the paper's training failed to converge beyond 0.45 (fig. 5)",
                    false => "the paper's accuracy saturates at 0.35 (fig. 5)",
                };
                line(Tone::Fine, format!("{m} is within its bounds; {paper}"))
            }
            MarginVerdict::AboveRandomCentres => line(
                Tone::Fine,
                format!(
                    "{m} is within eq. 7 but above the {random:.3} that random centres allow: training must spread \
                     the centres first; a margin warm-up helps"
                ),
            ),
            MarginVerdict::AboveGivenCentres => line(
                Tone::Warning,
                format!("{m} is above what the given centres allow: their closest classes cannot both satisfy it"),
            ),
            MarginVerdict::AboveBound => line(
                Tone::Warning,
                format!(
                    "{m} is out of range, it must be {bound} (CosFace, eq. 7): no arrangement of centres satisfies \
                     it, so every sample keeps a loss and training may not converge"
                ),
            ),
        });
    }
    lines
}

fn to_json(loss: &Loss, advice: &Advice) -> Value {
    let (rule, value) = match advice.margin_at_most {
        MarginBound::Exact(value) => ("at most", value),
        MarginBound::MuchSmallerThan(value) => ("much smaller than", value),
    };
    json!({
        "classes": advice.classes,
        "dimension": advice.dimension,
        "posterior": advice.posterior,
        "loss": loss.name(),
        "scale": {
            "at_least": advice.scale_at_least,
            "chosen": advice.scale.map(|standing| standing.scale),
            "largest_posterior": advice.scale.map(|standing| standing.largest_posterior),
            "smallest_loss": advice.scale.map(|standing| standing.smallest_loss),
            "verdict": advice.scale.map(|standing| match standing.verdict {
                ScaleVerdict::TooSmall => "too small",
                ScaleVerdict::Enough => "enough",
            }),
        },
        "margin": {
            "rule": rule,
            "bound": value,
            "random_centres": advice.margin_of_random_centres,
            "given_centres": advice.weights.map(|bound| bound.margin),
            "closest_classes": advice.weights.map(|bound| [bound.closest.0, bound.closest.1]),
            "chosen": advice.margin.map(|standing| standing.margin),
            "verdict": advice.margin.map(|standing| match standing.verdict {
                MarginVerdict::None => "none",
                MarginVerdict::Within => "within",
                MarginVerdict::AboveRandomCentres => "above random centres",
                MarginVerdict::AboveGivenCentres => "above given centres",
                MarginVerdict::AboveBound => "above bound",
            }),
        },
        "words": lines(loss, advice).into_iter().map(|line| line.text).collect::<Vec<_>>(),
    })
}

/// Class centres of a checkpoint.
struct Centres {
    classes: usize,
    dimension: usize,
    values: Vec<f64>,
}

/// Reads `centres`, or `weights` as the case files of `cosface loss` have them.
fn read_centres(path: &Path) -> anyhow::Result<Centres> {
    let file = TensorFile::read(path)?;
    let array = file.tensors.get("centres").or_else(|| file.tensors.get("weights")).with_context(|| {
        format!("no array `centres` in this file, give head.safetensors of a checkpoint: {}", path.display())
    })?;
    let [classes, dimension] = array.shape[..] else {
        bail!("centres must be a matrix, their shape is {:?}: {}", array.shape, path.display())
    };
    let values = match &array.values {
        Values::F64(values) => values.clone(),
        Values::F32(values) => values.iter().map(|value| f64::from(*value)).collect(),
        Values::I64(_) => bail!("centres must be floating point: {}", path.display()),
    };
    Ok(Centres { classes, dimension, values })
}
