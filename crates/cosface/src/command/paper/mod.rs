//! `cosface paper`: the experiments of the CosFace paper (arXiv:1801.09414) on data that anyone can have.
//!
//! - `boundaries` and `wedge` draw figures 2 and 3 from the losses' own code; `toy` trains figure 4.
//! - `scale`, `margin_size` (figure 5), `normalisation` (table 1) and `losses` (table 2) repeat `recognition`: a
//!   training on some people, measured on others.
//! - `objective`: what is minimised. `canvas`, `intervals`: pictures. `page`: what an experiment says, as a page and as text.
//! - `faces`, `training`: small sets of faces in memory, and a training loop over them. `trials`: results that an
//!   interrupted experiment takes up again.

mod boundaries;
mod canvas;
mod faces;
mod intervals;
mod losses;
mod margin_size;
mod normalisation;
mod objective;
mod page;
mod recognition;
mod scale;
mod toy;
mod training;
mod trials;
mod wedge;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;

use super::{interruption, terminal};
use recognition::Bench;
use trials::Trials;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder with one folder of aligned 112x96 crops for each person; synthetic faces unless given
    #[arg(long)]
    data: Option<PathBuf>,
    /// Run this experiment alone (may be repeated); all unless given
    #[arg(long, value_enum)]
    only: Vec<Name>,
    /// Directory for figures, tables and the page; one that holds part of the same experiments is continued
    #[arg(long)]
    out: PathBuf,
    /// How long to train: `small` shows in moments that everything works; its figures say nothing
    #[arg(long, value_enum, default_value_t = Size::Normal)]
    size: Size,
    /// Updates of each training of `scale`, `margin`, `normalisation` and `losses`; 400 with synthetic faces and 800 with
    /// real ones unless given
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: Option<u64>,
    /// First seed of the faces and of training
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Seeds for each setting, over which the intervals are taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=100))]
    seeds: u64,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Decision regions of two classes in the plane of their cosines (fig. 2)
    Boundaries,
    /// Decision regions on the circle (fig. 3)
    Wedge,
    /// Eight people, two-dimensional features (fig. 4)
    Toy,
    /// Loss and accuracy against the scale, with its lower bound (eq. 6)
    Scale,
    /// Accuracy against the margin (fig. 5)
    Margin,
    /// With and without normalised features (table 1)
    Normalisation,
    /// All losses of the paper (table 2)
    Losses,
}

impl Name {
    /// Whether the experiment trains on people and tests on others.
    fn needs_bench(self) -> bool {
        matches!(self, Self::Scale | Self::Margin | Self::Normalisation | Self::Losses)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Size {
    Small,
    Normal,
}

/// What every experiment is given.
struct Setting<'a> {
    arguments: &'a Arguments,
    trials: Trials,
    /// Set to true, it ends the experiment after the step in progress.
    stop: Arc<AtomicBool>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let stop = interruption::listen()?;
    fs_err::create_dir_all(&arguments.out)?;
    let trials = Trials::open(&arguments.out.join("trials"), &fingerprint(arguments))?;
    let setting = Setting { arguments, trials, stop };
    let names = match arguments.only.is_empty() {
        true => Name::value_variants().to_vec(),
        false => arguments.only.clone(),
    };
    let mut pages = Vec::new();
    let mut bench: Option<Bench<'_>> = None;
    for name in names {
        if bench.is_none() && name.needs_bench() {
            bench = Some(Bench::new(&setting)?);
        }
        let page = match (name, &bench) {
            (Name::Scale, Some(bench)) => scale::page(bench)?,
            (Name::Margin, Some(bench)) => margin_size::page(bench)?,
            (Name::Normalisation, Some(bench)) => normalisation::page(bench)?,
            (Name::Losses, Some(bench)) => losses::page(bench)?,
            (Name::Toy, _) => toy::page(&setting)?,
            (Name::Wedge, _) => Some(wedge::page()),
            _ => Some(boundaries::page()),
        };
        let Some(page) = page else {
            terminal::note("stopped; the same command goes on where it stopped");
            return Ok(interruption::status());
        };
        page.write_figures(&arguments.out)?;
        terminal::say(&page.summary());
        pages.push(page);
    }
    let data = if arguments.data.is_some() { "real faces" } else { "synthetic faces" };
    let made = format!(
        "{data}, size {:?}, {} seeds from {}, cosface {}",
        arguments.size,
        arguments.seeds,
        arguments.seed,
        env!("CARGO_PKG_VERSION")
    )
    .to_lowercase();
    page::write(&pages, &made, &arguments.out)?;
    terminal::say(&format!("page: {}", arguments.out.join("paper.html").display()));
    Ok(ExitCode::SUCCESS)
}

/// What trials must have in common to be continued.
fn fingerprint(arguments: &Arguments) -> String {
    let data = match &arguments.data {
        Some(path) => std::path::absolute(path).unwrap_or(path.clone()).display().to_string(),
        None => "synthetic".to_owned(),
    };
    let steps = arguments.steps.map_or_else(String::new, |steps| format!(", {steps} steps"));
    format!("{data}, size {:?}, seed {}{steps}", arguments.size, arguments.seed)
}
