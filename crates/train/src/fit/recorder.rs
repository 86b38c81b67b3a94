//! Journal and event file, always written together.

use super::error::FitError;
use super::plan::Plan;
use crate::journal::{Event, Journal, Moment};
use crate::run::RunDirectory;
use crate::tensorboard::EventFile;

pub(super) struct Recorder {
    journal: Journal,
    events: EventFile,
}

impl Recorder {
    /// Opens both for a run that goes on after `step`, and writes its first line, or one that it was resumed.
    pub(super) fn open(run: &RunDirectory, plan: &Plan, step: u64) -> Result<Self, FitError> {
        let (journal, kept) = Journal::resume(&run.journal(), step)?;
        let mut recorder = Self { journal, events: EventFile::create(&run.events(), &kept)? };
        let timing = Moment::now();
        recorder.write(&match kept.is_empty() {
            true => plan.start(timing),
            false => Event::Resume { step, timing },
        })?;
        Ok(recorder)
    }

    pub(super) fn write(&mut self, event: &Event) -> Result<(), FitError> {
        self.journal.write(event)?;
        Ok(self.events.write(event)?)
    }

    /// Makes the journal survive a power cut; the event file can be made again from it.
    pub(super) fn sync(&mut self) -> Result<(), FitError> {
        Ok(self.journal.sync()?)
    }
}
