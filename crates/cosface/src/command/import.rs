//! `cosface import`: other people's weights to a model file, by a description that is data.

use std::path::PathBuf;

use anyhow::Context;
use net::tensor_file::TensorFile;
use net::{ImportDescription, TorchFile};

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Weights: .safetensors, or a file of torch.save, of which nothing is executed
    weights: PathBuf,
    /// Description: network, preprocessing and new names, as in crates/net/imports
    #[arg(long)]
    description: PathBuf,
    /// Prefix of the tensors inside a torch file, such as net_state_dict
    #[arg(long)]
    under: Option<String>,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    terminal::refuse_overwriting(&arguments.weights, &arguments.out)?;
    let named = || arguments.description.display().to_string();
    let text = fs_err::read_to_string(&arguments.description)?;
    let description: ImportDescription =
        toml::from_str(&text).with_context(|| format!("not the description of an import: {}", named()))?;
    let safetensors = arguments.weights.extension().is_some_and(|ending| ending == "safetensors");
    let tensors = match (safetensors, &arguments.under) {
        (true, _) => TensorFile::read(&arguments.weights)?.tensors,
        (false, Some(prefix)) => TorchFile::read(&arguments.weights)?.under(prefix),
        (false, None) => TorchFile::read(&arguments.weights)?.tensors,
    };
    let created_by = concat!("cosface ", env!("CARGO_PKG_VERSION"), " import").to_owned();
    let model = description
        .import(tensors, created_by)
        .with_context(|| format!("{} does not fit {}", arguments.weights.display(), named()))?;
    model.write(&arguments.out)?;
    terminal::say(&format!("{}, fingerprint {}", arguments.out.display(), model.fingerprint()));
    Ok(())
}
