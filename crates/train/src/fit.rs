//! The training loop.

mod error;
mod plan;
mod recorder;
mod start;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data::{Loader, Store};
use net::{Card, Model};

pub use error::{FitError, StartError};

use crate::checkpoint::{self, State};
use crate::journal::{Event, Moment};
use crate::learner::Learner;
use crate::progress::{Progress, Speed, Stage};
use crate::recipe::CheckedRecipe;
use crate::run::RunDirectory;
use plan::Plan;
use recorder::Recorder;

/// A training that can begin: the recipe suits its images, and backbone, head and optimizers have their memory.
///
/// It is made before there is a run directory, so that what cannot be trained leaves none behind.
pub struct Training<'t> {
    recipe: &'t CheckedRecipe,
    images: Arc<Store>,
    plan: Plan,
    learner: Learner,
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

impl<'t> Training<'t> {
    /// Prepares a training of `recipe` on the images that it names; see [`crate::images::open`]. `licence` states the
    /// terms of the finished weights, for the model card.
    ///
    /// # Errors
    /// A loss, a schedule or a landmark template that does not suit the images, and a network that cannot be trained.
    pub fn new(
        recipe: &'t CheckedRecipe,
        images: Arc<Store>,
        licence: Option<String>,
    ) -> Result<Self, FitError> {
        let plan = Plan::new(recipe, &images, licence)?;
        let mut learner = Learner::new(recipe, plan.classes)?;
        if let Some(path) = &recipe.recipe().run.start {
            start::take(path, recipe.network(), &plan.identity, &mut learner)?;
        }
        Ok(Self { recipe, images, plan, learner })
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &Store {
        &self.images
    }

    /// What the card of the model will say.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.plan.card
    }

    /// Trains until the end of the schedule, or until `stop` is set: then the run ends after the step in progress,
    /// with a checkpoint. A run that the directory holds is continued from its newest checkpoint.
    ///
    /// A resumed run is the uninterrupted one bit for bit: every random number is derived from the seed and the step
    /// or image it is for, and the rest of the state is in the checkpoint.
    ///
    /// # Errors
    /// Everything that [`FitError`] lists. A value that is not finite ends the run with a diagnosis; the last
    /// checkpoint stays as the last good state.
    pub fn run(
        self,
        run: &RunDirectory,
        stop: &AtomicBool,
        hooks: &mut Hooks<'_>,
    ) -> Result<Outcome, FitError> {
        let Self { recipe, images, plan, mut learner } = self;
        let (mut step, mut saved) = (0, None);
        if let Some(path) = checkpoint::newest(&run.checkpoints())? {
            let checkpoint = checkpoint::read(&path, &plan.identity)?;
            step = checkpoint.state.step;
            learner.restore(recipe.network(), recipe.loss(), checkpoint)?;
            saved = Some((step, path));
        }
        let mut recorder = Recorder::open(run, &plan, step)?;
        let mut loader =
            Loader::new(Arc::clone(&images), plan.loader(learner.threads()), plan.position(step));
        let mut speed = Speed::start();
        let mut report = Progress::at(step, plan.steps);
        let keep = recipe.recipe().run.checkpoints.keep;
        let save = |learner: &Learner, recorder: &mut Recorder, step| {
            save(&run.checkpoints(), keep, &plan, learner, recorder, step)
        };

        while step < plan.steps && !stop.load(Ordering::Relaxed) {
            let (learning_rate, loss) = (plan.schedule.learning_rate(step), plan.losses.at(step));
            let parts = (0..plan.parts).map(|_| loader.next_batch()).collect::<Result<Vec<_>, _>>()?;
            let update = match learner.update(step, &parts, learning_rate, &loss) {
                Ok(update) => update,
                Err(first) => {
                    let saved = saved.map(|(_, path)| path);
                    let diagnosis = plan.diagnose(recipe, images.catalogue(), first, step, &parts, saved);
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

            if plan.measures_after(step) {
                recorder.write(&Event::Measures {
                    step,
                    mean_target_angle: update.mean_angle,
                    largest_centre_cosine: learner.largest_centre_cosine(step),
                    gradient_norms: learner.gradient_norms(),
                    timing: Moment::now(),
                })?;
            }
            if plan.validates_after(step) {
                report.enter(Stage::Validating, hooks.progress);
                let values = (hooks.validate)(&plan.model(recipe, &learner)?)
                    .and_then(all_finite)
                    .map_err(|source| FitError::Validation { step, source })?;
                recorder.write(&Event::Evaluation { step, values, timing: Moment::now() })?;
                speed.skip();
            }
            if plan.saves_after(step) {
                report.enter(Stage::Saving, hooks.progress);
                saved = Some((step, save(&learner, &mut recorder, step)?));
                speed.skip();
            }
        }

        if step < plan.steps {
            let checkpoint = match saved {
                Some((at, path)) if at == step => path,
                _ => save(&learner, &mut recorder, step)?,
            };
            return Ok(Outcome::Interrupted { step, steps: plan.steps, checkpoint });
        }
        report.enter(Stage::Saving, hooks.progress);
        let model = run.model();
        plan.model(recipe, &learner)?.write(&model)?;
        recorder.write(&Event::Finished { step, timing: Moment::now() })?;
        Ok(Outcome::Finished { model })
    }
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
    directory: &Path,
    keep: usize,
    plan: &Plan,
    learner: &Learner,
    recorder: &mut Recorder,
    step: u64,
) -> Result<PathBuf, FitError> {
    recorder.sync()?;
    let position = plan.position(step);
    let state = State {
        step,
        epoch: position.epoch,
        offset: position.offset,
        identity: plan.identity.clone(),
        loss: learner.seen().values().clone(),
    };
    let path = learner.save(|backbone, head| checkpoint::write(directory, &state, backbone, head))?;
    checkpoint::prune(directory, keep)?;
    recorder.write(&Event::Checkpoint { step, timing: Moment::now() })?;
    Ok(path)
}
