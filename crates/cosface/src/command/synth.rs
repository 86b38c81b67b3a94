//! `cosface synth`: a folder tree of synthetic faces.

use std::path::PathBuf;
use std::sync::Mutex;

use data::synth::{Settings, write_tree};
use face::Template;

use super::terminal::{self, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many people
    #[arg(long)]
    identities: u32,
    /// How many pictures of each
    #[arg(long)]
    images: u32,
    /// Seed of the population
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Number of the first person, to make a second set of other people
    #[arg(long, default_value_t = 0)]
    first: u32,
    /// How much pose, light, expression and the rest vary, from 0 (a passport photograph) to 1.5
    #[arg(long, default_value_t = 1.0)]
    strength: f32,
    /// New or empty folder
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings {
        first: arguments.first,
        identities: arguments.identities,
        images: arguments.images,
        seed: arguments.seed,
        strength: arguments.strength,
        template: Template::HIGH,
    };
    write(&arguments.out, &settings, "faces")?;
    let count = u64::from(arguments.identities) * u64::from(arguments.images);
    terminal::say(&format!("{count} faces: {}", arguments.out.display()));
    Ok(())
}

/// Writes a tree with progress.
pub(crate) fn write(out: &std::path::Path, settings: &Settings, name: &str) -> anyhow::Result<()> {
    let stage = Mutex::new(Stage::start(name, u64::from(settings.identities) * u64::from(settings.images)));
    let show = |done| {
        if let Ok(mut stage) = stage.lock() {
            stage.show(done, "");
        }
    };
    write_tree(out, settings, &show)?;
    if let Ok(stage) = stage.into_inner() {
        stage.finish();
    }
    Ok(())
}
