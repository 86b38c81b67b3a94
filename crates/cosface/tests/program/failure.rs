//! Runs that fail in the middle: values that stop being finite, a disk that takes no more.

use std::path::Path;

use crate::invocation::Outcome;
use crate::workshop::{Workshop, files_below};

/// What lets a large learning rate do its harm.
const UNGUARDED: [&str; 6] = [
    "network.batch_norm=false",
    "network.dropout=0",
    "optimizer.clip_norm=inf",
    "loss={name=\"softmax\"}",
    "schedule.warm_up=0 steps",
    "run.checkpoints.every=1 steps",
];

#[test]
fn a_rate_that_is_far_too_high_ends_with_a_diagnosis_and_the_last_good_state() {
    let workshop = Workshop::new();
    let mut settings = UNGUARDED.to_vec();
    settings.push("optimizer.learning_rate=1e6");
    let outcome = workshop.train("wild", &settings).refused(&[
        "training diverged: ",
        " at step ",
        ", learning rate ",
        "loss softmax",
        "images in the batch:",
        "people/p",
        "try: a lower rate: --set optimizer.learning_rate=3.3e5",
        "try: clipping: --set optimizer.clip_norm=5",
        "try: a warm-up of the rate",
        "last good state: ",
    ]);
    assert_eq!(outcome.stderr.matches(".png").count(), 8, "not the images of one batch: {}", outcome.stderr);
    let (_, checkpoint) = outcome.stderr.trim_end().rsplit_once("last good state: ").unwrap();
    for file in ["backbone.safetensors", "head.safetensors", "state.json"] {
        assert!(Path::new(checkpoint).join(file).is_file(), "{checkpoint} has no {file}");
    }
    assert!(!workshop.path("wild/model.safetensors").exists());
    // It is the state before the failure: the run fails at the same step again.
    let first = outcome.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    workshop.resume("wild", &[]).refused(&[first]);
}

#[test]
fn a_diagnosis_names_scale_and_margin_where_the_loss_has_them() {
    let workshop = Workshop::new();
    let mut settings = UNGUARDED.to_vec();
    settings[3] = "loss={name=\"cosface\", s=16, m=0.2}";
    settings.push("optimizer.learning_rate=1e30");
    workshop
        .train("wild", &settings)
        .refused(&["loss cosface, s = 16, m = 0.2", "--set loss.margin_warm_up="]);
}

/// A file can grow no further than the limit, as on a full disk; `ulimit -f` counts in blocks of 512 bytes, and the
/// signal that comes with it is ignored, so that the write fails.
#[cfg(unix)]
fn limited(blocks: u32, arguments: &[String]) -> Outcome {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_cosface")]).args(arguments);
    command.stdin(std::process::Stdio::null()).output().unwrap().into()
}

#[test]
#[cfg(unix)]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before_and_the_run_can_go_on() {
    let workshop = Workshop::new();
    // A network whose checkpoint is larger than anything else that a run writes.
    let wide = "network.feature=1024";
    workshop.train("whole", &[wide]).success();
    workshop.train("run", &[wide]).success();
    fs_err::remove_dir_all(workshop.path("run/checkpoints/step-0000000012")).unwrap();
    fs_err::remove_file(workshop.path("run/model.safetensors")).unwrap();
    let checkpoints = files_below(&workshop.path("run/checkpoints"));
    let smallest = fs_err::metadata(workshop.path("run/checkpoints/step-0000000010/backbone.safetensors"));
    let blocks = smallest.unwrap().len() / 2 / 512;

    let mut arguments = vec!["train".to_owned()];
    arguments.extend(workshop.resuming("run", &[]));
    let continued = format!("continue with: cosface train --resume {}", workshop.path("run").display());
    limited(blocks as u32, &arguments).refused(&[
        "step-0000000012",
        "backbone.safetensors",
        "too large",
        &continued,
    ]);
    assert_eq!(files_below(&workshop.path("run/checkpoints")), checkpoints);
    assert!(!workshop.path("run/model.safetensors").exists());

    workshop.resume("run", &[]).success();
    assert!(workshop.model("run") == workshop.model("whole"), "the models differ");
}

#[test]
#[cfg(unix)]
fn a_run_whose_first_file_cannot_be_written_leaves_no_directory() {
    let workshop = Workshop::new();
    limited(0, &workshop.training("run", &[])).refused(&["run", "too large"]);
    assert!(!workshop.path("run").exists(), "{:?}", files_below(&workshop.path("run")));
}
