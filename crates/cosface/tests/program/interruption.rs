//! Runs that end early, and runs that meet.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::workshop::Workshop;

/// Starts a run of many steps.
fn start(workshop: &Workshop, run: &str) -> Child {
    let arguments = ["train", "recipe.toml", "--out", run, "--set", "schedule.length=\"300 steps\""];
    workshop.command(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// Waits until the journal has as many steps, or the process ends.
fn wait_for(child: &mut Child, journal: &Path, steps: usize) {
    while child.try_wait().unwrap().is_none() {
        let text = fs_err::read_to_string(journal).unwrap_or_default();
        if text.matches("\"event\":\"step\"").count() >= steps {
            break;
        }
        std::thread::yield_now();
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn killed_and_stopped_runs_resume_to_the_model_of_an_uninterrupted_one() {
    let workshop = Workshop::with_faces();
    let journal = |run: &str| workshop.path(run).join("journal.jsonl");
    assert!(start(&workshop, "whole").wait().unwrap().success());

    let mut killed = start(&workshop, "killed");
    wait_for(&mut killed, &journal("killed"), 24);
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success(), "the run ended before it was killed");
    workshop.succeed(&["train", "--resume", "killed"]);

    let mut stopped = start(&workshop, "stopped");
    wait_for(&mut stopped, &journal("stopped"), 17);
    signal(&stopped, "-INT");
    assert_eq!(stopped.wait().unwrap().code(), Some(130));
    workshop.succeed(&["train", "--resume", "stopped"]);

    let model = |run: &str| fs_err::read(workshop.path(run).join("model.safetensors")).unwrap();
    assert_eq!(model("whole"), model("killed"));
    assert_eq!(model("whole"), model("stopped"));
}

#[test]
fn a_second_run_in_a_directory_is_refused_while_the_first_goes_on() {
    let workshop = Workshop::with_faces();
    let mut first = start(&workshop, "run");
    wait_for(&mut first, &workshop.path("run/journal.jsonl"), 1);
    workshop.refuse(&["train", "--resume", "run"], &["another process", "run"], "run/model.safetensors");
    first.kill().unwrap();
    first.wait().unwrap();
}
