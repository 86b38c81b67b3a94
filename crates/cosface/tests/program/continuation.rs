//! `cosface train RECIPE --out RUN --resume RUN`: what may change when a run goes on, and what may not.

use crate::invocation::{Outcome, cosface};
use crate::workshop::{Workshop, files_below};

/// A run that has stopped after its first checkpoint, as if it had been killed then.
fn stopped(workshop: &Workshop) {
    workshop.train("run", &["run.checkpoints.every=5 steps", "run.checkpoints.keep=9"]).success();
    fs_err::remove_dir_all(workshop.path("run/checkpoints/step-0000000012")).unwrap();
    fs_err::remove_file(workshop.path("run/model.safetensors")).unwrap();
}

/// Continues it by the recipe file.
fn by_recipe(workshop: &Workshop, out: Option<&str>, settings: &[&str]) -> Outcome {
    let mut arguments = vec!["train".to_owned(), workshop.path("recipe.toml").to_str().unwrap().to_owned()];
    let out = out.map(|out| workshop.path(out).to_str().unwrap().to_owned());
    arguments.extend(out.into_iter().flat_map(|out| ["--out".to_owned(), out]));
    arguments.extend(workshop.resuming("run", settings));
    cosface(arguments)
}

#[test]
fn a_run_goes_on_by_the_recipe_that_it_began_with() {
    let workshop = Workshop::new();
    stopped(&workshop);
    workshop.train("whole", &[]).success();
    by_recipe(&workshop, Some("run"), &[]).success();
    assert!(workshop.model("run") == workshop.model("whole"), "the models differ");
    fs_err::remove_file(workshop.path("run/model.safetensors")).unwrap();
    // Threads, memory, checkpoints and places may change; the images must be the same ones.
    fs_err::rename(workshop.path("people"), workshop.path("moved")).unwrap();
    let moved =
        ["data.sources=[{tree=\"moved\"}]", "run.threads=2", "data.memory_mib=0", "run.checkpoints.keep=1"];
    by_recipe(&workshop, None, &moved).success();
    assert!(workshop.model("run") == workshop.model("whole"), "the models differ");
}

#[test]
fn a_setting_that_changes_the_weights_is_refused_by_its_name() {
    let workshop = Workshop::new();
    stopped(&workshop);
    let before = files_below(&workshop.path("run"));
    let begun = "where the run began with";
    by_recipe(&workshop, Some("run"), &["loss.m=0.25"]).refused(&[
        "--set loss.m=0.25: `loss.m` cannot change within a run: 0.25",
        begun,
        "0.2",
    ]);
    workshop.resume("run", &["network.feature=12"]).refused(&["`network.feature`", ": 12", begun, "8"]);
    workshop.resume("run", &["run.seed=77"]).refused(&["`run.seed`", ": 77", begun, "5"]);
    workshop.resume("run", &["optimizer.decay=all"]).refused(&["`optimizer.decay`", "all", begun, "weights"]);
    // A setting that the run has and the recipe has not.
    let recipe = fs_err::read_to_string(workshop.path("recipe.toml")).unwrap();
    fs_err::write(workshop.path("recipe.toml"), recipe.replace("clip_norm = 3", "")).unwrap();
    by_recipe(&workshop, None, &[]).refused(&["recipe.toml:", "`optimizer.clip_norm`", "inf", begun, "3"]);
    assert_eq!(files_below(&workshop.path("run")), before);
}

#[test]
fn a_run_goes_on_in_its_own_directory_or_not_at_all() {
    let workshop = Workshop::new();
    stopped(&workshop);
    by_recipe(&workshop, Some("other"), &[]).refused(&["--out must be the same as --resume", "other is not"]);
    assert!(!workshop.path("other").exists());
    fs_err::rename(workshop.path("run"), workshop.path("gone")).unwrap();
    by_recipe(&workshop, Some("run"), &[]).refused(&["holds no run to resume", "run"]);
    assert!(!workshop.path("run").exists());
}
