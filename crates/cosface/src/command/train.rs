//! `cosface train`: a recipe, or a folder of people, to a run directory with a model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use cosface::Embedder;
use data::Store;
use engine::Pool;
use eval::interval::Bootstrap;
use eval::report::{Axis, Block, Colour, Plot, Report, Section, Series, Shape};
use eval::{Evaluation, ModelIdentity, Protocol, Rule, Settings};
use net::Model;
use train::fit::{Hooks, Job, Outcome, fit};
use train::journal::{self, Event};
use train::progress::Progress;
use train::recipe::{self, CheckedRecipe};
use train::run::RunDirectory;

use super::advise;
use super::evaluate::{evaluate, find_images, rule_of};
use super::terminal::{self, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Recipe; or give --data
    #[arg(required_unless_present_any = ["data", "resume"], conflicts_with = "data")]
    recipe: Option<PathBuf>,
    /// Folder with one folder of aligned 112x96 crops for each person, trained with good defaults
    #[arg(long)]
    data: Option<PathBuf>,
    /// New or empty directory for the run
    #[arg(long, required_unless_present = "resume", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Change a setting of the recipe, as in --set loss.m=0.4 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Leave out images that cannot be read, and list them, in place of refusing to start
    #[arg(long)]
    skip_unreadable: bool,
    /// Continue the run in this directory, by its own recipe
    #[arg(long, conflicts_with_all = ["recipe", "data"])]
    resume: Option<PathBuf>,
    /// Terms of the finished weights, for the model card
    #[arg(long)]
    licence: Option<String>,
}

/// Status of a process that ended on the user's interruption.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut overrides = arguments.overrides.clone();
    if arguments.skip_unreadable {
        overrides.push("data.unreadable=skip".to_owned());
    }
    let (run, recipe, images) = match (&arguments.resume, &arguments.out) {
        (Some(path), _) => {
            let run = RunDirectory::resume(path)?;
            let recipe = recipe::load(&run.recipe(), &overrides)?;
            let images = open(&recipe)?;
            (run, recipe, images)
        }
        (None, Some(out)) => {
            let recipe = match (&arguments.recipe, &arguments.data) {
                (Some(path), _) => recipe::load(path, &overrides)?,
                (None, Some(data)) => recipe::check(&recipe::for_folder(data), &overrides)?,
                (None, None) => bail!("give a recipe or --data"),
            };
            // What is refused leaves no run behind that would be in the way of the next attempt.
            let images = open(&recipe)?;
            (RunDirectory::create(out, &recipe.to_toml())?, recipe, images)
        }
        (None, None) => bail!("give --out or --resume"),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot listen for Ctrl-C")?;
    match train(&recipe, images, &run, &stop, arguments.licence.clone(), "train")? {
        Outcome::Finished { model } => {
            terminal::say(&format!("model: {}", model.display()));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { step, steps, checkpoint } => {
            terminal::note(&format!(
                "stopped after step {step} of {steps}; checkpoint: {}",
                checkpoint.display()
            ));
            terminal::note(&format!("continue with: cosface train --resume {}", run.path().display()));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Opens the images of a recipe, says what is worth knowing of them, and checks the loss against their number.
pub(crate) fn open(recipe: &CheckedRecipe) -> anyhow::Result<Arc<Store>> {
    let decoding: RefCell<Option<(Stage, usize)>> = RefCell::new(None);
    let images = train::images::open(recipe, &|more, of| {
        let mut decoding = decoding.borrow_mut();
        let (stage, done) = decoding.get_or_insert_with(|| (Stage::start("decode", of as u64), 0));
        *done += more;
        stage.show(*done as u64, "");
    })?;
    if let Some((stage, _)) = decoding.into_inner() {
        stage.finish();
    }
    let catalogue = images.catalogue();
    for notice in catalogue.notices() {
        terminal::note(&format!("note: {notice}"));
    }
    for skipped in images.skipped() {
        terminal::note(&format!("skipped: {skipped}"));
    }
    let classes = catalogue.identities().len();
    terminal::note(&format!("{} images of {classes} people", catalogue.images().len()));
    recipe.check_classes(classes)?;
    advise::note(&recipe.loss(), classes, recipe.network().feature_dimension())?;
    Ok(Arc::new(images))
}

/// Trains with progress, and writes the run's report when it is done.
pub(crate) fn train(
    recipe: &CheckedRecipe,
    images: Arc<Store>,
    run: &RunDirectory,
    stop: &AtomicBool,
    licence: Option<String>,
    name: &str,
) -> anyhow::Result<Outcome> {
    let classes = images.catalogue().identities().len();
    let mut stage: Option<Stage> = None;
    let mut show = |progress: &Progress| {
        let stage = stage.get_or_insert_with(|| Stage::start(name, progress.steps));
        let loss = progress.loss.map_or(String::new(), |loss| format!("loss {loss:.3}"));
        let speed = progress.images_per_second.map_or(String::new(), |speed| format!("{speed:.0} images/s"));
        stage.show(progress.step, &format!("{loss} {speed}"));
    };
    let mut validate = |model: &Model| measure(recipe, model).map_err(anyhow::Error::into_boxed_dyn_error);
    let job = Job { recipe, images, run, stop, licence };
    let outcome = fit(&job, &mut Hooks { progress: &mut show, validate: &mut validate })?;
    if let Some(stage) = stage {
        stage.finish();
    }
    if let Outcome::Finished { .. } = outcome {
        let subtitle = format!("{} on {classes} people", recipe.network().name);
        let sections = vec![training_section(&journal::read(&run.journal())?)];
        Report { title: "Training".to_owned(), subtitle, sections }.write(&run.report())?;
    }
    Ok(outcome)
}

/// What the recipe's validation measures of a model.
fn measure(recipe: &CheckedRecipe, model: &Model) -> anyhow::Result<BTreeMap<String, f64>> {
    let Some(validation) = &recipe.recipe().validation else { bail!("the recipe has no [validation]") };
    let protocol = Protocol::read_lfw(&validation.pairs)?;
    let files = find_images(&protocol, &validation.tree)?;
    let settings = Settings {
        model: ModelIdentity {
            name: model.card().network.clone(),
            fingerprint: model.fingerprint().to_string(),
        },
        feature_rule: rule_of(model.card().preprocessing.flip),
        rule: Rule::OtherFolds,
        fars: vec![0.01],
        bootstrap: Bootstrap { replicates: 100, ..Bootstrap::default() },
    };
    let mut embedder = Embedder::new(model.clone(), Pool::new(recipe.recipe().run.threads)?)?;
    let evaluation: Evaluation =
        evaluate(&mut embedder, &protocol, files, recipe.recipe().data.resize, &settings)?;
    Ok(BTreeMap::from([
        ("accuracy".to_owned(), evaluation.accuracy.value),
        ("area".to_owned(), evaluation.area.value),
        ("equal_error_rate".to_owned(), evaluation.equal_error_rate.value),
    ]))
}

/// Curves of a run, for a report.
pub(crate) fn training_section(events: &[Event]) -> Section {
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Step(record) => Some(record),
            _ => None,
        })
        .collect();
    // A window of about a fiftieth of the run makes the course visible; the single losses stay behind it.
    let window = (steps.len() / 50).max(1);
    let raw: Vec<(f64, f64)> = steps.iter().map(|record| (record.step as f64, record.loss)).collect();
    let mean = |values: &[(f64, f64)]| values.iter().map(|value| value.1).sum::<f64>() / values.len() as f64;
    let smooth = raw.windows(window).map(|values| (values[values.len() - 1].0, mean(values))).collect();
    let line =
        |name: &str, colour, points| Series { name: name.to_owned(), colour, shape: Shape::Line(points) };
    let loss = Plot {
        x: Axis::even("step"),
        y: Axis::even("loss"),
        series: vec![line("each step", Colour::Grey, raw), line("moving average", Colour::Blue, smooth)],
        marks: Vec::new(),
    };
    let rate = steps.iter().map(|record| (record.step as f64, record.learning_rate)).collect();
    let rate = Plot {
        x: Axis::even("step"),
        y: Axis::even("learning rate"),
        series: vec![line("", Colour::Blue, rate)],
        marks: Vec::new(),
    };
    let satisfied = steps.iter().map(|record| (record.step as f64, record.satisfied)).collect();
    let satisfied = Plot {
        x: Axis::even("step"),
        y: Axis::even("share of images that satisfy the margin"),
        series: vec![line("", Colour::Green, satisfied)],
        marks: Vec::new(),
    };
    Section {
        heading: "Training".to_owned(),
        blocks: vec![
            Block::Figure(loss.draw("Loss, margin included.")),
            Block::Figure(
                satisfied.draw("Images whose target logit exceeds all others in spite of the margin."),
            ),
            Block::Figure(rate.draw("Learning rate.")),
        ],
    }
}
