//! `cosface inspect`: a model's card, a recipe's cost, or this processor.

use std::path::{Path, PathBuf};

use anyhow::bail;
use engine::{Isa, Pool, Precision};
use net::{Cost, Model, Network, Storage};

use super::terminal::{self, table};

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Arguments {
    /// Model file or recipe
    #[arg(required_unless_present = "cpu")]
    file: Option<PathBuf>,
    /// Number of classes for the cost of the margin head
    #[arg(long, default_value_t = 1000)]
    classes: u64,
    /// Instruction sets of this processor, and the one that is used
    #[arg(long)]
    cpu: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.cpu {
        processor()?;
    }
    match &arguments.file {
        None => Ok(()),
        Some(path) => match path.extension().and_then(|ending| ending.to_str()) {
            Some("safetensors") => model(path, arguments.classes),
            Some("toml") => recipe(path, arguments.classes),
            _ => bail!("expected a model (.safetensors) or a recipe (.toml): {}", path.display()),
        },
    }
}

fn processor() -> anyhow::Result<()> {
    let pool = Pool::new(0)?;
    for isa in Isa::ALL {
        let state = match (isa.is_available(), isa == pool.isa()) {
            (_, true) => "used",
            (true, false) => "available",
            (false, _) => "not on this processor",
        };
        terminal::say(&format!("{:<12}{state}", isa.name()));
    }
    terminal::say(&format!("{} is the fastest precision", Precision::fastest(pool.isa())));
    terminal::say(&format!("{} threads", pool.threads()));
    Ok(())
}

fn model(path: &Path, classes: u64) -> anyhow::Result<()> {
    let model = Model::read(path)?;
    terminal::say(&format!("fingerprint {}", model.fingerprint()));
    terminal::say(&serde_json::to_string_pretty(model.card())?);
    cost(model.network(), 1, classes);
    Ok(())
}

fn recipe(path: &Path, classes: u64) -> anyhow::Result<()> {
    let recipe = train::recipe::load(path, &[])?;
    cost(recipe.network(), recipe.recipe().run.batch as u64, classes);
    let isa = Isa::detect();
    let precision = recipe.recipe().run.precision.on(isa);
    terminal::say(&format!(
        "trains on this processor in {precision}, products in {}",
        precision.of_products(isa)
    ));
    Ok(())
}

fn cost(network: &Network, batch: u64, classes: u64) {
    let cost = Cost::of(network);
    let memory = cost.training_memory(batch, classes, Storage::F32);
    let million = |value: u64| format!("{:.2} M", value as f64 / 1e6);
    let mebibytes = |value: u64| format!("{:.1} MiB", value as f64 / f64::from(1u32 << 20));
    let rows = [
        ("network", network.name.clone()),
        ("input", format!("{} x {}", network.input.height, network.input.width)),
        ("feature dimension", cost.feature_dimension.to_string()),
        ("parameters", million(cost.parameters)),
        ("multiply-adds an image", million(cost.multiply_adds)),
        ("", String::new()),
        ("training, f32", format!("batch {batch}, {classes} classes")),
        ("weights", mebibytes(memory.weights)),
        ("gradients", mebibytes(memory.gradients)),
        ("momentum", mebibytes(memory.momentum)),
        ("activations", mebibytes(memory.activations)),
        ("margin head", mebibytes(memory.head)),
        ("total", mebibytes(memory.total())),
    ];
    terminal::say(&table(&rows.map(|(name, value)| vec![name.to_owned(), value])));
}
