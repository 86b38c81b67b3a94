//! `journal.jsonl`: what happened in a run, one JSON object a line, and the source of truth for every plot.
//!
//! Lines are in the order of their steps. Fields that depend on the clock stand together under `timing`; in a
//! resumed run the lines `step`, `measures`, `evaluation` and `finished` equal those of an uninterrupted one in everything
//! else. The lines `start`, `resume`, `checkpoint` and `diverged` tell the story of the process.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::{File, OpenOptions};
use serde::{Deserialize, Serialize};

/// One line of the journal. `step` counts finished updates of the weights: the first line `step` has 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    Start {
        /// 0.
        step: u64,
        /// Version of the program that began it.
        version: String,
        /// Name of the network.
        network: String,
        /// Trained values of the backbone.
        parameters: u64,
        /// Identities, which are the classes of the head.
        classes: u64,
        /// Images in one epoch.
        images: u64,
        /// Updates in the whole run.
        steps: u64,
        /// When.
        timing: Moment,
    },
    /// The weights were updated.
    Step(StepRecord),
    /// What costs too much to look at in every step; every 50 steps and after the last.
    Measures {
        /// Updates done before.
        step: u64,
        /// Mean angle between a feature and the centre of its identity in the last batch, in degrees.
        mean_target_angle: f64,
        /// Largest cosine between the centres of two identities, `max W_i . W_j`: 1 minus it bounds the margin
        /// (CosFace, section 3.4). Of a sample of 512 identities where there are more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        largest_centre_cosine: Option<f64>,
        /// Euclidean norm of the last gradient of each layer before clipping.
        gradient_norms: BTreeMap<String, f64>,
        /// When.
        timing: Moment,
    },
    /// The model was measured on data that it does not learn from.
    Evaluation {
        /// Updates done before.
        step: u64,
        /// What was measured, by name.
        values: BTreeMap<String, f64>,
        /// When.
        timing: Moment,
    },
    /// A checkpoint is complete on the disk.
    Checkpoint {
        /// Updates that it holds.
        step: u64,
        /// When.
        timing: Moment,
    },
    /// A process took the run up again.
    Resume {
        /// Updates that the checkpoint held, 0 when there was none.
        step: u64,
        /// When.
        timing: Moment,
    },
    /// The model is written.
    Finished {
        /// Updates in the whole run.
        step: u64,
        /// When.
        timing: Moment,
    },
    /// A value stopped being finite; the last checkpoint is the last good state.
    Diverged {
        /// Updates done before the one that failed.
        step: u64,
        /// The diagnosis in words.
        reason: String,
        /// When.
        timing: Moment,
    },
}

/// What one update of the weights did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Updates done, this one included.
    pub step: u64,
    /// Epoch that the first image of the batch belongs to, from 0.
    pub epoch: u64,
    /// Mean loss of the batch, before the update.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Margin in force, in the unit of the loss; absent where the loss has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Scale in force; absent where the loss has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Mean cosine between a feature and the centre of its identity, before the update; absent in the journals of
    /// earlier versions for plain softmax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_target_cosine: Option<f64>,
    /// Share of the images whose own logit, margin included, exceeds all others.
    pub satisfied: f64,
    /// Euclidean norm of the backbone's gradient before clipping.
    pub gradient_norm: f64,
    /// When and how fast.
    pub timing: Pace,
}

/// When a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since 1970-01-01 UTC.
    pub unix_seconds: f64,
}

impl Moment {
    /// The present; 0 on a machine whose clock stands before 1970.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Milliseconds are enough for a plot and keep the lines short.
        Self { unix_seconds: since.as_millis() as f64 / 1000.0 }
    }
}

/// When a step was done, and how fast training goes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Seconds since 1970-01-01 UTC.
    pub unix_seconds: f64,
    /// Images trained on per second, this step alone.
    pub images_per_second: f64,
}

impl Event {
    /// Updates done when the line was written.
    #[must_use]
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Start { step, .. }
            | Self::Measures { step, .. }
            | Self::Evaluation { step, .. }
            | Self::Checkpoint { step, .. }
            | Self::Resume { step, .. }
            | Self::Finished { step, .. }
            | Self::Diverged { step, .. } => *step,
        }
    }
}

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A complete line that is no event: not the work of a crash, which can only cut the last line.
    #[error("line {line} of the journal is not an event: {}", path.display())]
    Corrupt {
        /// The journal.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The journal ends before the checkpoint that is resumed.
    #[error(
        "the journal ends at step {last} but the checkpoint holds step {checkpoint}, so it is not this run's: {}",
        path.display()
    )]
    Behind {
        /// The journal.
        path: PathBuf,
        /// Last step in the journal.
        last: u64,
        /// Step of the checkpoint.
        checkpoint: u64,
    },
}

/// A journal open for writing.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

impl Journal {
    /// Starts a journal.
    ///
    /// # Errors
    /// A file that exists or cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        Ok(Self { file: OpenOptions::new().write(true).create_new(true).open(path)? })
    }

    /// Takes up the journal of a run that continues after `step` updates, and returns the lines it keeps.
    ///
    /// What was written after that step is cut off, and so is a last line that a crash tore.
    ///
    /// # Errors
    /// A journal that cannot be read or written, is corrupt, or ends before `step`.
    pub fn resume(path: &Path, step: u64) -> Result<(Self, Vec<Event>), JournalError> {
        // A run that was killed before its first line has no journal yet.
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut events = Vec::new();
        let mut keep = 0;
        for line in lines(path, &mut file)? {
            // The end of a run that is taken up again is not its end.
            if line.event.step() > step
                || matches!(line.event, Event::Diverged { .. } | Event::Finished { .. })
            {
                break;
            }
            keep = line.end;
            events.push(line.event);
        }
        let last = events.iter().rev().find(|event| matches!(event, Event::Step(_))).map_or(0, Event::step);
        if last < step {
            return Err(JournalError::Behind { path: path.to_owned(), last, checkpoint: step });
        }
        file.set_len(keep)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(keep))?;
        Ok((Self { file }, events))
    }

    /// Adds a line; it reaches the operating system before this returns, so that a killed process loses none.
    ///
    /// # Errors
    /// A file that cannot be written, a full disk among them.
    pub fn write(&mut self, event: &Event) -> Result<(), JournalError> {
        let mut line = serde_json::to_string(event).expect("an event has no key that JSON cannot say");
        line.push('\n');
        Ok(self.file.write_all(line.as_bytes())?)
    }

    /// Makes every line survive a power cut.
    ///
    /// # Errors
    /// A file that cannot be synced.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        Ok(self.file.sync_data()?)
    }
}

/// Reads every complete line of a journal, that of a run in progress too.
///
/// # Errors
/// A journal that cannot be read or has a complete line that is no event.
pub fn read(path: &Path) -> Result<Vec<Event>, JournalError> {
    let mut file = File::open(path)?;
    Ok(lines(path, &mut file)?.into_iter().map(|line| line.event).collect())
}

struct Line {
    event: Event,
    /// Offset of the byte after the line.
    end: u64,
}

fn lines(path: &Path, file: &mut File) -> Result<Vec<Line>, JournalError> {
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    let mut bytes = Vec::new();
    let mut end = 0;
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes)?;
        // The end of the file, or a last line without its end.
        if bytes.last() != Some(&b'\n') {
            return Ok(lines);
        }
        end += length as u64;
        let event = serde_json::from_slice(&bytes).map_err(|source| JournalError::Corrupt {
            path: path.to_owned(),
            line: lines.len() + 1,
            source,
        })?;
        lines.push(Line { event, end });
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Journal, JournalError, Moment, Pace, StepRecord, read};

    fn step(step: u64, loss: f64) -> Event {
        Event::Step(StepRecord {
            step,
            epoch: 0,
            loss,
            learning_rate: 0.1,
            margin: Some(0.35),
            scale: None,
            mean_target_cosine: Some(0.25),
            satisfied: 0.5,
            gradient_norm: 1.0 / 3.0,
            timing: Pace { unix_seconds: 1.5, images_per_second: 27.0 },
        })
    }

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint { step, timing: Moment { unix_seconds: 2.0 } }
    }

    #[test]
    fn a_line_is_one_json_object_with_its_clock_under_timing() {
        let line = serde_json::to_string(&step(7, 1.25)).unwrap();
        assert_eq!(
            line,
            "{\"event\":\"step\",\"step\":7,\"epoch\":0,\"loss\":1.25,\"learning_rate\":0.1,\"margin\":0.35,\
             \"mean_target_cosine\":0.25,\"satisfied\":0.5,\"gradient_norm\":0.3333333333333333,\
             \"timing\":{\"unix_seconds\":1.5,\"images_per_second\":27.0}}"
        );
    }

    #[test]
    fn losses_come_back_bit_for_bit() {
        for bits in
            [0x3FB9_9999_9999_999A, 0x4009_21FB_5444_2D18, 0x0000_0000_0000_0001, 0x7FEF_FFFF_FFFF_FFFF]
        {
            let event = step(1, f64::from_bits(bits));
            let line = serde_json::to_string(&event).unwrap();
            let Event::Step(back) = serde_json::from_str(&line).unwrap() else { panic!("not a step") };
            assert_eq!(back.loss.to_bits(), bits);
        }
    }

    #[test]
    fn resume_cuts_what_came_after_the_checkpoint_and_goes_on_from_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut journal = Journal::create(&path).unwrap();
        for event in [step(1, 3.0), step(2, 2.0), checkpoint(2), step(3, 1.0)] {
            journal.write(&event).unwrap();
        }
        drop(journal);
        let (mut journal, kept) = Journal::resume(&path, 2).unwrap();
        assert_eq!(kept, [step(1, 3.0), step(2, 2.0), checkpoint(2)]);
        assert_eq!(read(&path).unwrap(), kept);
        journal.write(&step(3, 0.5)).unwrap();
        journal.sync().unwrap();
        assert_eq!(read(&path).unwrap(), [step(1, 3.0), step(2, 2.0), checkpoint(2), step(3, 0.5)]);
    }

    #[test]
    fn a_line_torn_by_a_crash_is_dropped_wherever_it_was_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let whole = format!("{}\n", serde_json::to_string(&step(1, 3.0)).unwrap());
        let torn = serde_json::to_string(&step(2, 2.0)).unwrap();
        for cut in [1, 10, torn.len() - 1, torn.len()] {
            fs_err::write(&path, format!("{whole}{}", &torn[..cut])).unwrap();
            assert_eq!(read(&path).unwrap(), [step(1, 3.0)]);
            let (mut journal, kept) = Journal::resume(&path, 1).unwrap();
            assert_eq!(kept, [step(1, 3.0)]);
            journal.write(&step(2, 2.0)).unwrap();
            assert_eq!(fs_err::read_to_string(&path).unwrap(), format!("{whole}{torn}\n"));
        }
    }

    #[test]
    fn a_broken_line_in_the_middle_is_reported_by_its_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let line = serde_json::to_string(&step(1, 3.0)).unwrap();
        fs_err::write(&path, format!("{line}\n{{\"event\":\"nap\"}}\n{line}\n")).unwrap();
        assert!(matches!(read(&path), Err(JournalError::Corrupt { line: 2, .. })));
    }

    #[test]
    fn a_journal_that_ends_before_the_checkpoint_is_not_this_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        Journal::create(&path).unwrap().write(&step(1, 3.0)).unwrap();
        let error = Journal::resume(&path, 4).unwrap_err();
        assert!(matches!(error, JournalError::Behind { last: 1, checkpoint: 4, .. }), "{error}");
    }

    #[test]
    fn a_run_killed_before_its_first_line_resumes_with_an_empty_journal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let (_, kept) = Journal::resume(&path, 0).unwrap();
        assert!(kept.is_empty());
        assert!(path.exists());
    }
}
