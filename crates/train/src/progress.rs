//! What a caller may show while a run goes on.

use std::time::{Duration, Instant};

/// What the run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Updating the weights.
    Training,
    /// Measuring the model on other people.
    Validating,
    /// Writing a checkpoint or the model.
    Saving,
}

/// State of a run, after every step and at every change of the stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Updates done.
    pub step: u64,
    /// Updates in the whole run.
    pub steps: u64,
    /// Epoch of the last update, from 0.
    pub epoch: u64,
    /// Loss of the last update; `None` before the first of this process.
    pub loss: Option<f64>,
    /// Images per second, averaged over about the last 20 steps; `None` before the first.
    pub images_per_second: Option<f64>,
    /// Time that training still takes at that speed.
    pub time_left: Option<Duration>,
}

impl Progress {
    pub(crate) fn at(step: u64, steps: u64) -> Self {
        let stage = Stage::Training;
        Self { stage, step, steps, epoch: 0, loss: None, images_per_second: None, time_left: None }
    }

    pub(crate) fn training(&mut self, step: u64, epoch: u64, loss: f64, speed: &Speed, batch: usize) {
        *self = Self {
            stage: Stage::Training,
            step,
            steps: self.steps,
            epoch,
            loss: Some(loss),
            images_per_second: speed.images_per_second(batch),
            time_left: speed.time_for(self.steps - step),
        };
    }

    pub(crate) fn enter(&mut self, stage: Stage, tell: &mut dyn FnMut(&Self)) {
        self.stage = stage;
        tell(self);
    }
}

/// Speed of training from the times of its steps.
#[derive(Debug)]
pub(crate) struct Speed {
    last: Instant,
    seconds_per_step: Option<f64>,
}

/// Weight of a new step in the running mean, which forgets half of the past in 14 steps.
const FRESHNESS: f64 = 0.05;

impl Speed {
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), seconds_per_step: None }
    }

    /// Takes the time since the last call as that of one step, and returns it in seconds.
    pub(crate) fn step(&mut self) -> f64 {
        let now = Instant::now();
        // A clock too coarse to see the step must not make the speed infinite.
        let seconds = now.duration_since(self.last).as_secs_f64().max(1e-9);
        self.last = now;
        let mean = self.seconds_per_step.unwrap_or(seconds);
        self.seconds_per_step = Some(mean + FRESHNESS * (seconds - mean));
        seconds
    }

    /// Leaves the time since the last call out of the speed: something else than training was done.
    pub(crate) fn skip(&mut self) {
        self.last = Instant::now();
    }

    pub(crate) fn images_per_second(&self, batch: usize) -> Option<f64> {
        self.seconds_per_step.map(|seconds| batch as f64 / seconds)
    }

    pub(crate) fn time_for(&self, steps: u64) -> Option<Duration> {
        self.seconds_per_step.map(|seconds| Duration::from_secs_f64(seconds * steps as f64))
    }
}
