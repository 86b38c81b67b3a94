//! Why a run stopped being finite, and what to try.

use std::fmt;
use std::path::PathBuf;

/// A tensor of one step, in the order in which the step makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A trained value or running statistic of the backbone, before the step.
    Parameter,
    /// The features that the network made of the batch.
    Features,
    /// The loss of the head.
    Loss,
    /// The gradient of the loss with respect to the features.
    FeatureGradient,
    /// The gradient with respect to a trained value of the backbone.
    Gradient,
    /// A class centre, when the loss is not finite.
    Centres,
}

/// The first value that is not finite.
#[derive(Clone, Debug, PartialEq)]
pub struct BadValue {
    /// What kind of tensor holds it.
    pub kind: Kind,
    /// Name of the tensor.
    pub name: String,
    /// Its place in the tensor.
    pub index: usize,
    /// Infinite or not a number.
    pub value: f64,
}

impl BadValue {
    /// The first value of `values` that is not finite.
    pub(crate) fn find(kind: Kind, name: &str, values: &[f32]) -> Option<Self> {
        let index = values.iter().position(|value| !value.is_finite())?;
        Some(Self { kind, name: name.to_owned(), index, value: values[index].into() })
    }
}

impl BadValue {
    /// Features of which a loss on them could make nothing; the index is that of the sample.
    pub(crate) fn of_features(error: &margin::beside::FeatureLossError) -> Self {
        use margin::beside::FeatureLossError::{NotFinite, OutOfRange, Zero};
        let (index, value) = match error {
            Zero { sample } => (*sample, 0.0),
            NotFinite { sample } => (*sample, f64::INFINITY),
            // Checked with the recipe.
            OutOfRange(error) => (0, error.value),
        };
        Self { kind: Kind::Features, name: "norm of the features".to_owned(), index, value }
    }
}

impl fmt::Display for BadValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            Kind::Parameter => "parameter",
            Kind::Features => "features",
            Kind::Loss => "loss",
            Kind::FeatureGradient => "gradient of the features",
            Kind::Gradient => "gradient of",
            Kind::Centres => "class centres",
        };
        match self.kind {
            Kind::Parameter | Kind::Gradient => {
                write!(out, "{what} {}[{}] is {}", self.name, self.index, self.value)
            }
            Kind::Loss => write!(out, "{what} is {}", self.value),
            _ => write!(out, "{what}[{}] is {}", self.index, self.value),
        }
    }
}

/// Everything known about the step that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Updates done before the one that failed.
    pub step: u64,
    /// The first value that went bad.
    pub first: BadValue,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Loss in force, its `s` and `m` among its parameters.
    pub loss: margin::Loss,
    /// Images in the batch.
    pub images: Vec<PathBuf>,
    /// What to try, the most promising first.
    pub advice: Vec<String>,
    /// The last good checkpoint, if there is one.
    pub checkpoint: Option<PathBuf>,
}

impl Diagnosis {
    /// One line: what went bad where, at which settings.
    #[must_use]
    pub fn summary(&self) -> String {
        let parameters = self.loss.parameters();
        let mut text = format!(
            "{} at step {}, learning rate {}, loss {}",
            self.first,
            self.step,
            self.learning_rate,
            self.loss.name()
        );
        for (letter, value) in [("s", parameters.s), ("m", parameters.m)] {
            if let Some(value) = value {
                text += &format!(", {letter} = {value}");
            }
        }
        text
    }
}

impl fmt::Display for Diagnosis {
    /// The summary, the images, what to try and the checkpoint, each on lines of their own; what to do comes last,
    /// where it stays in sight.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.summary())?;
        writeln!(out, "  images in the batch:")?;
        self.images.iter().try_for_each(|path| writeln!(out, "    {}", path.display()))?;
        for advice in &self.advice {
            writeln!(out, "  try: {advice}")?;
        }
        match &self.checkpoint {
            Some(path) => write!(out, "  last good state: {}", path.display()),
            None => write!(out, "  there is no checkpoint yet"),
        }
    }
}

/// Settings of the run that advice depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) learning_rate: f64,
    pub(crate) loss: margin::Loss,
    /// Whether the gradient is clipped, and the rate and the margin grow at the start.
    pub(crate) clips: bool,
    pub(crate) warms_up: bool,
    pub(crate) margin_warms_up: bool,
}

/// What to try against divergence, given what failed and what is in use already.
pub(crate) fn advice(first: &BadValue, circumstances: Circumstances) -> Vec<String> {
    let Circumstances { learning_rate, loss, clips, warms_up, margin_warms_up } = circumstances;
    let mut advice = Vec::new();
    if first.kind == Kind::Parameter {
        advice.push("resume from an earlier checkpoint: the weights were bad before this step".to_owned());
    }
    advice.push(format!("a lower rate: --set optimizer.learning_rate={:.1e}", learning_rate / 3.0));
    if !warms_up {
        advice.push("a warm-up of the rate: --set schedule.warm_up=\"1 epoch\"".to_owned());
    }
    if !clips {
        advice.push("clipping: --set optimizer.clip_norm=5".to_owned());
    }
    if !margin_warms_up && loss.parameters().m.is_some_and(|m| m > 0.0) {
        advice.push("a warm-up of the margin: --set loss.margin_warm_up=\"5 epochs\"".to_owned());
    }
    if matches!(loss.scale(), margin::Scale::FeatureNorm) {
        advice.push("a loss with normalised features and a fixed s, such as cosface".to_owned());
    }
    if matches!(first.kind, Kind::Features | Kind::Loss | Kind::FeatureGradient) {
        advice.push("a look at the images above: a blank one has no direction".to_owned());
    }
    advice
}
