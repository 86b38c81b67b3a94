//! `cosface train`: a recipe, or a folder of people, to a run directory with a model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail};
use cosface::{Embedder, rule_of};
use data::{Reader, Store, StoreError, Unreadable};
use engine::Pool;
use eval::interval::Bootstrap;
use eval::report::{Axis, Block, Colour, Plot, Report, Section, Series, Shape};
use eval::{Evaluation, ModelIdentity, Protocol, Rule, Settings};
use net::Model;
use train::checkpoint::CheckpointError;
use train::fit::{FitError, Hooks, Outcome, Training};
use train::images::ImagesError;
use train::journal::{self, Event, JournalError};
use train::progress::Progress;
use train::recipe::{self, CheckedRecipe};
use train::run::RunDirectory;

use super::advise;
use super::evaluate::{evaluate, find_images};
use super::interruption;
use super::terminal::{self, Advised, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Recipe; or give --data
    #[arg(required_unless_present_any = ["data", "resume"], conflicts_with = "data")]
    recipe: Option<PathBuf>,
    /// Folder with one folder of aligned 112x96 crops for each person, trained with good defaults
    #[arg(long)]
    data: Option<PathBuf>,
    /// New or empty directory for the run
    #[arg(long, required_unless_present = "resume")]
    out: Option<PathBuf>,
    /// Change a setting of the recipe, as in --set loss.m=0.4 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Leave out images that cannot be read, and list them, in place of refusing to start
    #[arg(long)]
    skip_unreadable: bool,
    /// Continue the run in this directory, by its own recipe. A recipe that is given too must agree with it in all
    /// that the weights depend on, and --out must name the same directory
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// Terms of the finished weights, for the model card
    #[arg(long)]
    licence: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut overrides = arguments.overrides.clone();
    if arguments.skip_unreadable {
        overrides.push("data.unreadable=skip".to_owned());
    }
    let given = match (&arguments.recipe, &arguments.data) {
        (Some(path), _) => Some(recipe::load(path, &overrides)?),
        (None, Some(data)) => Some(recipe::check(&recipe::for_folder(data), &overrides)?),
        (None, None) => None,
    };
    let (recipe, begun) = match (&arguments.resume, &arguments.out, given) {
        (Some(path), out, given) => {
            if let Some(out) = out.as_ref().filter(|out| !is_same(out, path)) {
                let (out, path) = (out.display(), path.display());
                bail!(
                    "a run goes on in its own directory, so --out must be the same as --resume or left out: {out} is not {path}"
                );
            }
            let run = RunDirectory::resume(path)?;
            let begun = recipe::load(&run.recipe(), &[])?;
            let recipe = given.map_or_else(|| recipe::load(&run.recipe(), &overrides), Ok)?;
            recipe.check_continues(&begun)?;
            (recipe, Some(run))
        }
        (None, Some(out), Some(recipe)) => {
            refuse_among_people(&recipe, out)?;
            RunDirectory::check_free(out)?;
            (recipe, None)
        }
        (None, ..) => bail!("give a recipe or --data, and --out; or --resume"),
    };
    // What is refused leaves no run behind that would be in the way of the next attempt.
    let training = prepare(&recipe, arguments.licence.clone())?;
    let run = match (begun, &arguments.out) {
        (Some(run), _) => run,
        (None, Some(out)) => RunDirectory::create(out, &recipe.to_toml_on(engine::Isa::detect()))?,
        (None, None) => bail!("give --out or --resume"),
    };
    let stop = interruption::listen()?;
    let continuing = || {
        // The licence is no part of the recipe, and without it the model would be another.
        let licence = arguments.licence.iter().map(|licence| format!(" --licence {}", quoted(licence)));
        let (run, licence) = (run.path().display().to_string(), licence.collect::<String>());
        format!("continue with: cosface train --resume {}{licence}", quoted(&run))
    };
    let outcome =
        train(&recipe, training, &run, &stop, "train").map_err(|error| match is_of_the_place(&error) {
            true => Advised { error, advice: format!("when that is mended, {}", continuing()) }.into(),
            false => error,
        });
    match outcome? {
        Outcome::Finished { model } => {
            terminal::say(&format!("model: {}", model.display()));
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted { step, steps, checkpoint } => {
            terminal::note(&format!(
                "stopped after step {step} of {steps}; checkpoint: {}",
                checkpoint.display()
            ));
            terminal::note(&continuing());
            Ok(interruption::status())
        }
    }
}

/// Whether a run ended because of files and not of its numbers, so that it can go on when those are mended.
fn is_of_the_place(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(
            FitError::Io(_)
                | FitError::Image(_)
                | FitError::Validation { .. }
                | FitError::Journal(JournalError::Io(_))
                | FitError::Checkpoint(CheckpointError::Io(_))
        )
    )
}

fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path| fs_err::canonicalize(path).ok();
    one == other || place(one).is_some_and(|one| place(other).is_some_and(|other| one == other))
}

/// Refuses a run directory inside a tree of people, where it would be taken for a person.
fn refuse_among_people(recipe: &CheckedRecipe, out: &Path) -> anyhow::Result<()> {
    let place = resolved(out)?;
    for tree in recipe.recipe().data.sources.iter().filter_map(|source| source.tree.as_ref()) {
        // The tree itself is refused because it is not empty.
        if fs_err::canonicalize(tree).is_ok_and(|tree| place != tree && place.starts_with(tree)) {
            bail!(
                "a run in a folder of people would be taken for a person; choose a directory outside of {}: {}",
                tree.display(),
                out.display()
            );
        }
    }
    Ok(())
}

/// A path without links, though its end need not be there yet.
fn resolved(path: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(path).with_context(|| format!("no such place: {}", path.display()))?;
    let resolve = |there: &Path| {
        let rest = path.strip_prefix(there).ok()?;
        Some(fs_err::canonicalize(there).ok()?.join(rest))
    };
    Ok(path.ancestors().find_map(resolve).unwrap_or_else(|| path.clone()))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:@%,".contains(letter);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Opens the images of a recipe, says what is worth knowing of them, and checks everything that can be checked before
/// there is a run.
pub(crate) fn prepare(recipe: &CheckedRecipe, licence: Option<String>) -> anyhow::Result<Training<'_>> {
    let images = open(recipe)?;
    let classes = images.catalogue().identities().len();
    terminal::note(&format!("{} images of {classes} people", images.catalogue().images().len()));
    let training = Training::new(recipe, images, licence)?;
    advise::note(&recipe.loss(), classes, recipe.network().feature_dimension())?;
    check_validation(recipe, &training)?;
    Ok(training)
}

fn open(recipe: &CheckedRecipe) -> anyhow::Result<Arc<Store>> {
    let decoding: RefCell<Option<(Stage, usize)>> = RefCell::new(None);
    let images = train::images::open(recipe, &|more, of| {
        let mut decoding = decoding.borrow_mut();
        let (stage, done) = decoding.get_or_insert_with(|| (Stage::start("decode", of as u64), 0));
        *done += more;
        stage.show(*done as u64, "");
    });
    let images = images.map_err(|error| {
        let of_one_image = matches!(error, ImagesError::Store(StoreError::Read(_)));
        let error = anyhow::Error::new(error);
        match of_one_image {
            true => Advised { error, advice: SKIPPING.to_owned() }.into(),
            false => error,
        }
    })?;
    if let Some((stage, _)) = decoding.into_inner() {
        stage.finish();
    }
    for notice in images.catalogue().notices() {
        terminal::note(&format!("note: {notice}"));
    }
    terminal::list_skipped(images.skipped());
    Ok(Arc::new(images))
}

/// What helps against images that cannot be used.
const SKIPPING: &str = "or leave out and list such images with --skip-unreadable";

/// Reads the pairs and every image of the recipe's validation once: what is wrong with them shows before training and
/// not in the middle of it.
fn check_validation(recipe: &CheckedRecipe, training: &Training<'_>) -> anyhow::Result<()> {
    let Some(validation) = &recipe.recipe().validation else { return Ok(()) };
    let files = find_images(&Protocol::read_lfw(&validation.pairs)?, &validation.tree)?;
    let preparation = Embedder::preparation(&training.card().preprocessing, recipe.recipe().data.resize)?;
    let threads = Pool::new(recipe.recipe().run.threads)?.threads();
    let mut stage = Stage::start("check", files.len() as u64);
    let mut done = 0;
    for batch in Reader::new(files, preparation, CHECKED_TOGETHER, threads, Unreadable::Refuse) {
        done += batch?.files.len() as u64;
        stage.show(done, "images of the validation");
    }
    stage.finish();
    Ok(())
}

/// Images that one thread checks at a time.
const CHECKED_TOGETHER: usize = 32;

/// Trains with progress, and writes the run's report when it is done.
pub(crate) fn train(
    recipe: &CheckedRecipe,
    training: Training<'_>,
    run: &RunDirectory,
    stop: &AtomicBool,
    name: &str,
) -> anyhow::Result<Outcome> {
    let classes = training.images().catalogue().identities().len();
    let stage: RefCell<Option<Stage>> = RefCell::new(None);
    let mut show = |progress: &Progress| {
        let mut stage = stage.borrow_mut();
        let stage = stage.get_or_insert_with(|| Stage::start(name, progress.steps));
        stage.rename(match progress.stage {
            train::progress::Stage::Training => name,
            train::progress::Stage::Validating => "validate",
            train::progress::Stage::Saving => "save",
        });
        let loss = progress.loss.map_or(String::new(), |loss| format!("loss {loss:.3}"));
        let speed = progress.images_per_second.map_or(String::new(), |speed| format!("{speed:.0} images/s"));
        stage.show_with_time(progress.step, &format!("{loss} {speed}"), progress.time_left);
    };
    let mut validate = |model: &Model| {
        // Measuring shows a bar of its own.
        drop(stage.borrow_mut().take());
        let values = measure(recipe, model).map_err(anyhow::Error::into_boxed_dyn_error)?;
        let text = |(name, value): (&String, &f64)| format!("{name} {value:.4}");
        terminal::note(&format!("validation: {}", values.iter().map(text).collect::<Vec<_>>().join(", ")));
        Ok(values)
    };
    let outcome = training.run(run, stop, &mut Hooks { progress: &mut show, validate: &mut validate });
    // The bar goes away before anything else is said, an error too.
    if let Some(stage) = stage.into_inner() {
        stage.finish();
    }
    let outcome = outcome?;
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
        set_rule: None,
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
    let (mut angles, mut cosines, mut norms) = (Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let Event::Measures { step, mean_target_angle, largest_centre_cosine, gradient_norms, .. } = event
        else {
            continue;
        };
        let step = *step as f64;
        angles.push((step, *mean_target_angle));
        cosines.extend(largest_centre_cosine.map(|cosine| (step, cosine)));
        let (low, high) = gradient_norms
            .values()
            .fold((f64::INFINITY, 0.0_f64), |(low, high), norm| (low.min(*norm), high.max(*norm)));
        norms.push((step, low, high));
    }
    let course = |name: &str, colour, shape| Plot {
        x: Axis::even("step"),
        y: Axis::even(name),
        series: vec![Series { name: String::new(), colour, shape }],
        marks: Vec::new(),
    };
    let angle = course("mean angle to the own centre, °", Colour::Blue, Shape::Line(angles));
    let cosine = course("largest cosine of two centres", Colour::Orange, Shape::Line(cosines));
    let norms = course("gradient norm of a layer", Colour::Purple, Shape::Band(norms));
    let mut blocks = vec![
        Block::Figure(loss.draw("Loss, margin included.")),
        Block::Figure(satisfied.draw("Images whose target logit exceeds all others in spite of the margin.")),
        Block::Figure(rate.draw("Learning rate.")),
    ];
    // One measure is no course.
    if events.iter().filter(|event| matches!(event, Event::Measures { .. })).count() > 1 {
        let compared = "The closest two centres, of 512 people where there are more: 1 minus it bounds m.";
        let layers = "Gradient norms, from the layer with the smallest to that with the largest.";
        blocks.extend([
            Block::Figure(angle.draw("Angle between the images' features and the centres of their people.")),
            Block::Figure(cosine.draw(compared)),
            Block::Figure(norms.draw(layers)),
        ]);
    }
    Section { heading: "Training".to_owned(), blocks }
}
