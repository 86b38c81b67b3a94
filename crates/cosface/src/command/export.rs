//! `cosface export`: a model as an ONNX file.

mod parity;

use std::path::PathBuf;

use net::{Model, Normalisation, write_onnx};

use super::evaluate::fit;
use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file
    model: PathBuf,
    /// ONNX file to write
    #[arg(long)]
    out: PathBuf,
    /// Keep batch normalisation as nodes of its own
    #[arg(long)]
    keep_batch_norm: bool,
    /// Run the file in ONNX Runtime on these aligned crops, or folders of them, and print how its embeddings differ
    /// from the model's; at most 64 crops, evenly spread. A cosine below 0.99999 is an error
    #[arg(long, value_name = "CROPS")]
    check: Vec<PathBuf>,
    /// Python that has onnxruntime, for --check
    #[arg(long, default_value = "python3", requires = "check")]
    python: PathBuf,
    /// What to do with crops of another size than the model's: exact, stretch or crop
    #[arg(long, default_value = "exact", value_parser = fit, requires = "check")]
    resize: data::Fit,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { model: from, out, check, python, resize, .. } = arguments;
    terminal::refuse_overwriting(from, out)?;
    let model = Model::read(from)?;
    let kept = arguments.keep_batch_norm;
    write_onnx(&model, if kept { Normalisation::Kept } else { Normalisation::Folded }, out)?;
    let card = &model.card().preprocessing;
    terminal::say(&format!(
        "{}: input image [batch, 3, {}, {}] of {} with (pixel - mean) / scale, output feature [batch, {}]",
        out.display(),
        card.height,
        card.width,
        card.channel_order,
        model.card().feature_dimension
    ));
    if check.is_empty() { Ok(()) } else { parity::check(from, out, check, *resize, python) }
}
