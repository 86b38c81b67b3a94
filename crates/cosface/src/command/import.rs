//! `cosface import`: other people's weights to a model file, by a description that is data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use net::tensor_file::{Array, TensorFile};
use net::{ImportDescription, Input, Model, OnnxDescription, OnnxNetwork, TorchFile};

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Weights: .safetensors, a file of torch.save, or an .onnx network; nothing in it is executed
    weights: PathBuf,
    /// Description in TOML. Of weights: network, preprocessing and new names, as in crates/net/imports. Of an ONNX
    /// network: preprocessing and licence; not needed for one that `cosface export` wrote, which has its card inside
    #[arg(long)]
    description: Option<PathBuf>,
    /// Prefix of the tensors inside a torch file, such as net_state_dict
    #[arg(long)]
    under: Option<String>,
    /// Model file to write
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    terminal::refuse_overwriting(&arguments.weights, &arguments.out)?;
    let created_by = concat!("cosface ", env!("CARGO_PKG_VERSION"), " import").to_owned();
    let onnx = arguments.weights.extension().is_some_and(|ending| ending == "onnx");
    let model = match &arguments.description {
        Some(description) if onnx => {
            let described: OnnxDescription = parsed(description)?;
            let network = OnnxNetwork::read(&arguments.weights, described.input())?;
            let made = described.import(network, created_by);
            made.with_context(|| unfit(&arguments.weights, description))?
        }
        Some(description) => {
            let described: ImportDescription = parsed(description)?;
            let made = described.import(tensors(arguments)?, created_by);
            made.with_context(|| unfit(&arguments.weights, description))?
        }
        None if onnx => with_card_inside(&arguments.weights)?,
        None => {
            bail!("weights need --description, which says what they are: {}", arguments.weights.display())
        }
    };
    model.write(&arguments.out)?;
    terminal::say(&format!("{}, fingerprint {}", arguments.out.display(), model.fingerprint()));
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs_err::read_to_string(path)?;
    toml::from_str(&text).with_context(|| format!("not the description of an import: {}", path.display()))
}

fn unfit(weights: &Path, description: &Path) -> String {
    format!("{} does not fit {}", weights.display(), description.display())
}

fn tensors(arguments: &Arguments) -> anyhow::Result<BTreeMap<String, Array>> {
    let safetensors = arguments.weights.extension().is_some_and(|ending| ending == "safetensors");
    Ok(match (safetensors, &arguments.under) {
        (true, _) => TensorFile::read(&arguments.weights)?.tensors,
        (false, Some(prefix)) => TorchFile::read(&arguments.weights)?.under(prefix),
        (false, None) => TorchFile::read(&arguments.weights)?.tensors,
    })
}

/// The model of a file that this program exported.
fn with_card_inside(path: &Path) -> anyhow::Result<Model> {
    let Some(card) = OnnxNetwork::read_card(path)? else {
        bail!(
            "the file does not say how images must be prepared nor its licence; give both with --description: {}",
            path.display()
        );
    };
    let input = Input { height: card.preprocessing.height, width: card.preprocessing.width };
    let OnnxNetwork { network, weights, .. } = OnnxNetwork::read(path, input)?;
    let network = net::Network { name: card.network.clone(), ..network };
    Model::new(network, weights, card).with_context(|| format!("the card does not fit: {}", path.display()))
}
