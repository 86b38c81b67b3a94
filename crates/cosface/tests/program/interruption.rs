//! Runs that end before their time, from the outside: the process is really killed.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::invocation::{Outcome, command};
use crate::workshop::Workshop;

/// Long enough that the process is still at work when the signal arrives.
const LONG: &str = "schedule.length=400 steps";

#[test]
fn a_process_killed_in_training_and_resumed_gives_the_same_model_bit_for_bit() {
    let workshop = Workshop::new();
    workshop.train("whole", &[LONG]).success();
    let mut process = start(&workshop, "killed");
    process.kill().unwrap();
    assert_eq!(Outcome::from(process.wait_with_output().unwrap()).status, None, "it ended before the kill");
    assert!(!workshop.path("killed/model.safetensors").exists());

    workshop.resume("killed", &[]).success();
    assert!(workshop.model("killed") == workshop.model("whole"), "the models differ");
}

#[test]
#[cfg(unix)]
fn ctrl_c_says_how_to_resume_and_a_second_process_is_kept_out_until_then() {
    let workshop = Workshop::new();
    workshop.train("whole", &[LONG]).success();
    let process = start(&workshop, "stopped");
    let in_use = ["another process is working in this run directory", "stopped"];
    workshop.resume("stopped", &[]).refused(&in_use);
    workshop.train("stopped", &[LONG]).refused(&in_use);

    let id = process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let outcome = Outcome::from(process.wait_with_output().unwrap());
    assert_eq!(outcome.status, Some(130), "{}", outcome.stderr);
    let run = workshop.path("stopped");
    let advice = format!("continue with: cosface train --resume {}", run.display());
    assert!(outcome.stderr.contains(&advice), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("of 400; checkpoint: "), "{}", outcome.stderr);
    assert!(!run.join("model.safetensors").exists());

    // Resumed with another number of threads, which must not matter.
    workshop.resume("stopped", &["run.threads=2"]).success();
    assert!(workshop.model("stopped") == workshop.model("whole"), "the models differ");
}

#[test]
fn two_threads_give_the_bits_of_one_and_another_seed_gives_others() {
    let workshop = Workshop::new();
    workshop.train("one", &[]).success();
    workshop.train("two", &["run.threads=2"]).success();
    workshop.train("seed", &["run.seed=6"]).success();
    assert!(workshop.model("one") == workshop.model("two"), "the models differ");
    assert!(workshop.model("one") != workshop.model("seed"), "the seed is not used");
}

/// Starts a run and returns when it has done some steps beyond its second checkpoint.
fn start(workshop: &Workshop, run: &str) -> Child {
    let mut process = command(workshop.training(run, &[LONG])).spawn().unwrap();
    let journal = workshop.path(run).join("journal.jsonl");
    let started = Instant::now();
    while steps(&journal) < 13 {
        assert!(process.try_wait().unwrap().is_none(), "the run ended at once");
        assert!(started.elapsed() < Duration::from_mins(1), "no step in a minute");
        std::thread::yield_now();
    }
    process
}

fn steps(journal: &Path) -> usize {
    fs_err::read_to_string(journal).map_or(0, |text| text.matches(r#""event":"step""#).count())
}
