//! `cosface export`: a model as an ONNX file.

use std::path::PathBuf;

use net::{Model, Normalisation, write_onnx};

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
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    terminal::refuse_overwriting(&arguments.model, &arguments.out)?;
    let model = Model::read(&arguments.model)?;
    let kept = arguments.keep_batch_norm;
    write_onnx(&model, if kept { Normalisation::Kept } else { Normalisation::Folded }, &arguments.out)?;
    let card = &model.card().preprocessing;
    terminal::say(&format!(
        "{}: input image [batch, 3, {}, {}] of {} with (pixel - mean) / scale, output feature [batch, {}]",
        arguments.out.display(),
        card.height,
        card.width,
        card.channel_order,
        model.card().feature_dimension
    ));
    Ok(())
}
