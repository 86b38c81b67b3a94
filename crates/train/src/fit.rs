//! The training loop.

mod error;
mod plan;
mod recorder;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data::{Loader, Store};
use net::Model;

pub use error::FitError;

use crate::checkpoint::{self, State};
use crate::journal::{Event, Moment};
use crate::learner::Learner;
use crate::progress::{Progress, Speed, Stage};
use crate::recipe::CheckedRecipe;
use crate::run::RunDirectory;
use plan::Plan;
use recorder::Recorder;

/// What is to be trained, on what, and where it is kept.
pub struct Job<'j> {
    /// The recipe, which the run directory holds too.
    pub recipe: &'j CheckedRecipe,
    /// The images that the recipe names; see [`crate::images::open`].
    pub images: Arc<Store>,
    /// The directory; a run that it holds is continued from its newest checkpoint.
    pub run: &'j RunDirectory,
    /// Set to true, it ends the run after the step in progress, with a checkpoint.
    pub stop: &'j AtomicBool,
    /// Terms of the finished weights, for the model card.
    pub licence: Option<String>,
}

/// What a caller does while a run goes on.
pub struct Hooks<'h> {
    /// Called after every step and at every change of the stage.
    pub progress: &'h mut dyn FnMut(&Progress),
    /// Measures a model, at the times that the recipe's `validation` says; what it returns goes into the journal.
    pub validate: &'h mut Validate<'h>,
}

/// A measurement: values by name, or the caller's error.
pub type Validate<'h> = dyn FnMut(&Model) -> Result<BTreeMap<String, f64>, HookError> + 'h;

/// Any error of a caller's own.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The model is written.
    Finished {
        /// `model.safetensors` in the run directory.
        model: PathBuf,
    },
    /// It was stopped, and can be resumed from `checkpoint`.
    Interrupted {
        /// Updates done.
        step: u64,
        /// Updates in the whole run.
        steps: u64,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
}

/// Trains until the end of the schedule, or until `job.stop` is set.
///
/// A resumed run is the uninterrupted one bit for bit: every random number is derived from the seed and the step or
/// image it is for, and the rest of the state is in the checkpoint.
///
/// # Errors
/// Everything that [`FitError`] lists. A value that is not finite ends the run with a diagnosis; the last checkpoint
/// stays as the last good state.
pub fn fit(job: &Job<'_>, hooks: &mut Hooks<'_>) -> Result<Outcome, FitError> {
    let plan = Plan::new(job.recipe, &job.images)?;
    let mut learner = Learner::new(job.recipe, plan.classes)?;
    let (mut step, mut saved) = (0, None);
    if let Some(path) = checkpoint::newest(&job.run.checkpoints())? {
        let checkpoint = checkpoint::read(&path, &plan.identity)?;
        step = checkpoint.state.step;
        learner.restore(job.recipe.network(), checkpoint)?;
        saved = Some((step, path));
    }
    let mut recorder = Recorder::open(job.run, &plan, step)?;
    let mut loader =
        Loader::new(Arc::clone(&job.images), plan.loader(learner.threads()), plan.position(step));
    let mut speed = Speed::start();
    let mut report = Progress::at(step, plan.steps);

    while step < plan.steps && !job.stop.load(Ordering::Relaxed) {
        let (learning_rate, loss) = (plan.schedule.learning_rate(step), plan.losses.at(step));
        let parts = (0..plan.parts).map(|_| loader.next_batch()).collect::<Result<Vec<_>, _>>()?;
        let update = match learner.update(step, &parts, learning_rate, &loss) {
            Ok(update) => update,
            Err(first) => {
                let diagnosis = plan.diagnose(job, first, step, &parts, saved.map(|(_, path)| path));
                recorder.write(&Event::Diverged {
                    step,
                    reason: diagnosis.summary(),
                    timing: Moment::now(),
                })?;
                return Err(FitError::Diverged(Box::new(diagnosis)));
            }
        };
        step += 1;
        recorder.write(&plan.record(step, &update, learning_rate, &loss, speed.step()))?;
        report.training(step, parts[0].from.epoch, update.loss, &speed, plan.batch);
        (hooks.progress)(&report);

        if plan.validates_after(step) {
            report.enter(Stage::Validating, hooks.progress);
            let values = (hooks.validate)(&plan.model(job, &learner)?)
                .and_then(all_finite)
                .map_err(|source| FitError::Validation { step, source })?;
            recorder.write(&Event::Evaluation { step, values, timing: Moment::now() })?;
            speed.skip();
        }
        if plan.saves_after(step) {
            report.enter(Stage::Saving, hooks.progress);
            saved = Some((step, save(job, &plan, &learner, &mut recorder, step)?));
            speed.skip();
        }
    }

    if step < plan.steps {
        let checkpoint = match saved {
            Some((at, path)) if at == step => path,
            _ => save(job, &plan, &learner, &mut recorder, step)?,
        };
        return Ok(Outcome::Interrupted { step, steps: plan.steps, checkpoint });
    }
    report.enter(Stage::Saving, hooks.progress);
    let model = job.run.model();
    plan.model(job, &learner)?.write(&model)?;
    recorder.write(&Event::Finished { step, timing: Moment::now() })?;
    Ok(Outcome::Finished { model })
}

/// JSON has no word for a value that is not finite, and a plot no place.
fn all_finite(values: BTreeMap<String, f64>) -> Result<BTreeMap<String, f64>, HookError> {
    match values.iter().find(|(_, value)| !value.is_finite()) {
        Some((name, value)) => Err(format!("{name} is not finite: {value}").into()),
        None => Ok(values),
    }
}

/// Writes a checkpoint; the journal reaches the disk first, so that it never ends before its checkpoint.
fn save(
    job: &Job<'_>,
    plan: &Plan,
    learner: &Learner,
    recorder: &mut Recorder,
    step: u64,
) -> Result<PathBuf, FitError> {
    recorder.sync()?;
    let position = plan.position(step);
    let state =
        State { step, epoch: position.epoch, offset: position.offset, identity: plan.identity.clone() };
    let directory = job.run.checkpoints();
    let path = learner.save(|backbone, head| checkpoint::write(&directory, &state, backbone, head))?;
    checkpoint::prune(&directory, job.recipe.recipe().run.checkpoints.keep)?;
    recorder.write(&Event::Checkpoint { step, timing: Moment::now() })?;
    Ok(path)
}
