//! `cosface loss`: a loss and its gradients from a file, so that any language can check itself against the program.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use engine::{Centres, Head, Pool, Precision};
use margin::{Evaluation, Loss, Parameters, Problem, evaluate};
use net::tensor_file::{self, Array, NamedArray, TensorFile, Values, ValuesRef};

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// File with features [n, d], weights [c, d], labels [n] and, as metadata, loss, s, m (m1, m2, m3, lambda and so
    /// on), and what an adaptive loss has seen (t, or norm_mean and norm_deviation)
    case: PathBuf,
    /// File to write: loss, loss_each, d_features, d_weights
    #[arg(long)]
    out: PathBuf,
    /// The exact definition, or the head that training uses
    #[arg(long, value_enum, default_value_t = Engine::F64)]
    engine: Engine,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    /// The definition in 64-bit floating point.
    F64,
    /// The margin head in 32-bit floating point.
    F32,
    /// The margin head with the operands of its products rounded to bf16.
    Bf16,
}

/// A case as it is read.
struct Case {
    features: Vec<f64>,
    weights: Vec<f64>,
    labels: Vec<u32>,
    samples: usize,
    classes: usize,
    dimension: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.case.display();
    terminal::refuse_overwriting(&arguments.case, &arguments.out)?;
    let file = TensorFile::read(&arguments.case)?;
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let name = text("loss").with_context(|| format!("the metadata names no `loss`: {path}"))?;
    let loss = Parameters::from_text(text)
        .and_then(|parameters| Loss::from_parameters(name, &parameters))
        .with_context(|| format!("the metadata describes no loss: {path}"))?;
    let loss = with_state(loss, text).with_context(|| format!("the metadata describes no loss: {path}"))?;
    let case = Case::of(&file).with_context(|| format!("no case of a loss: {path}"))?;
    let problem = case.problem();
    // The definition also says which input has no loss at all.
    let exact = evaluate(&loss, &problem).with_context(|| format!("the loss is not defined for {path}"))?;
    let result = match arguments.engine {
        Engine::F64 => exact,
        Engine::F32 => case.by_head(&loss, Precision::F32)?,
        Engine::Bf16 => case.by_head(&loss, Precision::Bf16)?,
    };
    write(arguments, &case, &result)?;
    terminal::say(&format!("{} loss {}", loss.name(), result.loss));
    Ok(())
}

/// An adaptive loss with what it has seen, where the metadata says it (`t`, or `norm_mean` and `norm_deviation`).
fn with_state<'t>(loss: Loss, text: impl Fn(&str) -> Option<&'t str>) -> anyhow::Result<Loss> {
    let mut seen = BTreeMap::new();
    for (name, _) in loss.state() {
        if let Some(text) = text(name) {
            let value = text.trim().parse::<f64>();
            seen.insert(name, value.with_context(|| format!("{name} is not a number: {text}"))?);
        }
    }
    match seen.is_empty() {
        true => Ok(loss),
        false => Ok(loss.with_state(|name| seen.get(name).copied())?),
    }
}

impl Case {
    fn of(file: &TensorFile) -> anyhow::Result<Case> {
        let array = |name: &str| file.tensors.get(name).with_context(|| format!("missing tensor: {name}"));
        let (features, weights, labels) = (array("features")?, array("weights")?, array("labels")?);
        let [samples, dimension] = matrix("features", features)?;
        let [classes, width] = matrix("weights", weights)?;
        ensure!(width == dimension, "features have dimension {dimension} and weights: {width}");
        ensure!(labels.shape == [samples], "labels must have shape [{samples}]: {:?}", labels.shape);
        let Values::I64(values) = &labels.values else { bail!("labels must be 64-bit integers") };
        let label = |value: &i64| u32::try_from(*value).with_context(|| format!("not a label: {value}"));
        Ok(Case {
            features: wide("features", features)?,
            weights: wide("weights", weights)?,
            labels: values.iter().map(label).collect::<anyhow::Result<_>>()?,
            samples,
            classes,
            dimension,
        })
    }

    fn problem(&self) -> Problem<'_> {
        Problem {
            features: &self.features,
            weights: &self.weights,
            labels: &self.labels,
            samples: self.samples,
            classes: self.classes,
            dimension: self.dimension,
        }
    }

    fn by_head(&self, loss: &Loss, precision: Precision) -> anyhow::Result<Evaluation> {
        let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<f32>>();
        let pool = Pool::new(0)?;
        let mut head = Head::zeros(self.classes, self.dimension);
        head.set_precision(precision);
        head.weights_mut().copy_from_slice(&narrow(&self.weights));
        let features = narrow(&self.features);
        let rows = [("feature", &features[..]), ("class centre", head.weights())];
        for (name, values) in rows {
            for (row, values) in values.chunks_exact(self.dimension).enumerate() {
                let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
                let directed = norm >= engine::SHORTEST || !loss.normalises_weights();
                ensure!(
                    norm.is_finite() && directed,
                    "too large or too small for 32 bits, use --engine f64: {name} {row}"
                );
            }
        }
        let (mut d_features, mut d_weights) = (vec![0.0; features.len()], vec![0.0; self.weights.len()]);
        let centres = Centres::AddGradient(&mut d_weights);
        let output = head.step(&pool, loss, &features, &self.labels, &mut d_features, centres);
        Ok(Evaluation {
            loss: output.loss,
            loss_each: output.samples.iter().map(|sample| sample.loss).collect(),
            d_features: d_features.into_iter().map(f64::from).collect(),
            d_weights: d_weights.into_iter().map(f64::from).collect(),
        })
    }
}

fn matrix(name: &str, array: &Array) -> anyhow::Result<[usize; 2]> {
    match array.shape[..] {
        [rows, columns] if columns > 0 => Ok([rows, columns]),
        _ => bail!("{name} must be a matrix: {:?}", array.shape),
    }
}

fn wide(name: &str, array: &Array) -> anyhow::Result<Vec<f64>> {
    match &array.values {
        Values::F64(values) => Ok(values.clone()),
        Values::F32(values) => Ok(values.iter().map(|value| f64::from(*value)).collect()),
        Values::I64(_) => bail!("{name} must be floating point"),
    }
}

fn write(arguments: &Arguments, case: &Case, result: &Evaluation) -> anyhow::Result<()> {
    let (loss, samples) = ([result.loss], [case.samples]);
    let (features, weights) = ([case.samples, case.dimension], [case.classes, case.dimension]);
    let arrays = [
        NamedArray { name: "loss", shape: &[1], values: ValuesRef::F64(&loss) },
        NamedArray { name: "loss_each", shape: &samples, values: ValuesRef::F64(&result.loss_each) },
        NamedArray { name: "d_features", shape: &features, values: ValuesRef::F64(&result.d_features) },
        NamedArray { name: "d_weights", shape: &weights, values: ValuesRef::F64(&result.d_weights) },
    ];
    Ok(tensor_file::write(&arguments.out, &BTreeMap::new(), &arrays)?)
}
