//! Whole runs on a tiny set of coloured pictures: learning, interruption, resume, divergence.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use image::{Rgb, RgbImage};
use train::checkpoint::CheckpointError;
use train::diagnosis::Kind;
use train::fit::{FitError, Hooks, Outcome, Training};
use train::images;
use train::journal::{self, Event};
use train::progress::{Progress, Stage};
use train::recipe::{self, CheckedRecipe};
use train::run::RunDirectory;

/// 30 images, batches of 8: no epoch ends where a batch ends.
const PEOPLE: u8 = 6;
const IMAGES_EACH: u8 = 5;

const RECIPE: &str = r#"
[data]
image = [20, 16]
template = "unaligned"
augment = { flip = 0.5, warp = { probability = 0.5 }, colour = { probability = 0.5 } }
sources = [{ tree = "people" }]
[network]
family = "sphereface"
depth = 10
input = [20, 16]
channels = [4, 8, 8, 8]
feature = 8
batch_norm = true
dropout = 0.3
[loss]
name = "cosface"
s = 16
m = 0.2
margin_warm_up = "6 steps"
[optimizer]
learning_rate = 0.05
clip_norm = 3
[schedule]
length = "12 steps"
warm_up = "2 steps"
[run]
seed = 5
batch = 8
threads = 1
checkpoints = { every = "3 steps", keep = 2 }
"#;

/// A directory with pictures and a recipe; each person has a colour, each picture a pattern.
struct Workshop {
    directory: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for person in 0..PEOPLE {
            let folder = directory.path().join(format!("people/p{person}"));
            fs_err::create_dir_all(&folder).unwrap();
            for image in 0..IMAGES_EACH {
                let picture = RgbImage::from_fn(16, 20, |x, y| {
                    let pattern = ((x * 7 + y * 3 + u32::from(image) * 11) % 60) as u8;
                    let colour = [40 * person, 200 - 30 * person, if person % 2 == 0 { 160 } else { 20 }];
                    Rgb(colour.map(|channel: u8| channel.saturating_add(pattern)))
                });
                picture.save(folder.join(format!("{image}.png"))).unwrap();
            }
        }
        fs_err::write(directory.path().join("recipe.toml"), RECIPE).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn recipe(&self, overrides: &[&str]) -> CheckedRecipe {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        recipe::load(&self.path("recipe.toml"), &overrides).unwrap()
    }

    /// Starts a run or takes it up, and calls `watch` with all progress.
    fn train(
        &self,
        run: &str,
        recipe: &CheckedRecipe,
        watch: &mut dyn FnMut(&Progress, &AtomicBool),
    ) -> Result<Outcome, FitError> {
        let images = Arc::new(images::open(recipe, &|_, _| {}).unwrap());
        let training = Training::new(recipe, images, Some("CC0-1.0".to_owned()))?;
        let path = self.path(run);
        let run = match path.exists() {
            true => RunDirectory::resume(&path).unwrap(),
            false => RunDirectory::create(&path, &recipe.to_toml()).unwrap(),
        };
        let stop = AtomicBool::new(false);
        let mut progress = |progress: &Progress| watch(progress, &stop);
        let mut validate = |model: &net::Model| {
            Ok(BTreeMap::from([("parameters".to_owned(), model.weights().len() as f64)]))
        };
        training.run(&run, &stop, &mut Hooks { progress: &mut progress, validate: &mut validate })
    }

    fn train_to_the_end(&self, run: &str, recipe: &CheckedRecipe) {
        let outcome = self.train(run, recipe, &mut |_, _| {}).unwrap();
        assert_eq!(outcome, Outcome::Finished { model: self.path(run).join("model.safetensors") });
    }

    /// Everything that two equal runs have in common, as bytes and lines.
    fn remains(&self, run: &str) -> Remains {
        let path = self.path(run);
        let checkpoint = train::checkpoint::newest(&path.join("checkpoints")).unwrap().unwrap();
        Remains {
            model: fs_err::read(path.join("model.safetensors")).unwrap(),
            backbone: fs_err::read(checkpoint.join("backbone.safetensors")).unwrap(),
            head: fs_err::read(checkpoint.join("head.safetensors")).unwrap(),
            journal: fs_err::read_to_string(path.join("journal.jsonl"))
                .unwrap()
                .lines()
                .filter_map(|line| {
                    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                    value.as_object_mut().unwrap().remove("timing");
                    let event = value["event"].as_str().unwrap();
                    ["step", "measures", "evaluation", "finished"].contains(&event).then(|| value.to_string())
                })
                .collect(),
        }
    }
}

#[derive(Debug, PartialEq)]
struct Remains {
    model: Vec<u8>,
    backbone: Vec<u8>,
    head: Vec<u8>,
    journal: Vec<String>,
}

fn stop_at(wanted: u64) -> impl FnMut(&Progress, &AtomicBool) {
    move |progress, stop| stop.store(progress.step >= wanted, Ordering::Relaxed)
}

/// The process dies after a step: the journal has its line, and no checkpoint is written.
fn die_at(wanted: u64) -> impl FnMut(&Progress, &AtomicBool) {
    move |progress, _| {
        if progress.step == wanted && progress.stage == Stage::Training {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }
}

fn losses(journal: &Path) -> Vec<f64> {
    let losses = journal::read(journal).unwrap().into_iter().filter_map(|event| match event {
        Event::Step(record) => Some(record.loss),
        _ => None,
    });
    losses.collect()
}

#[test]
fn a_run_interrupted_after_any_step_and_resumed_equals_an_uninterrupted_one() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&[]);
    workshop.train_to_the_end("whole", &recipe);
    let whole = workshop.remains("whole");
    assert_eq!(whole.journal.len(), 14, "12 steps, the measures and the end");
    for step in [1, 3, 4, 8, 11] {
        let name = format!("interrupted-{step}");
        let outcome = workshop.train(&name, &recipe, &mut stop_at(step)).unwrap();
        let checkpoint = workshop.path(&name).join(format!("checkpoints/step-{step:010}"));
        assert_eq!(outcome, Outcome::Interrupted { step, steps: 12, checkpoint });
        workshop.train_to_the_end(&name, &recipe);
        assert_eq!(workshop.remains(&name), whole, "interrupted after step {step}");
    }
}

#[test]
fn what_a_loss_has_seen_and_where_its_lambda_stands_survive_an_interruption() {
    let workshop = Workshop::new();
    for (name, loss) in [
        (
            "curricularface",
            "loss={name=\"curricularface\", s=16, m=0.5, rate=0.3, margin_warm_up=\"6 steps\"}",
        ),
        ("sub-centres", "loss={name=\"cosface\", s=16, m=0.2, centres=3}"),
        ("adaface", "loss={name=\"adaface\", s=16, m=0.4, h=0.333, rate=0.3}"),
        ("l-softmax", "loss={name=\"l-softmax\", m=2, lambda_schedule={base=100, gamma=2, minimum=1}}"),
        (
            "magface",
            "loss={name=\"magface\", s=16, m_low=0.2, m_high=0.5, norm_low=1, norm_high=10, lambda_g=1}",
        ),
    ] {
        let recipe = workshop.recipe(&[loss]);
        let whole = format!("{name}-whole");
        workshop.train_to_the_end(&whole, &recipe);
        let run = format!("{name}-interrupted");
        workshop.train(&run, &recipe, &mut stop_at(4)).unwrap();
        let state = workshop.path(&run).join("checkpoints/step-0000000004/state.json");
        let state: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(state).unwrap()).unwrap();
        let seen = state["loss"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(
            seen,
            match name {
                "curricularface" => 1,
                "adaface" => 2,
                _ => 0,
            }
        );
        workshop.train_to_the_end(&run, &recipe);
        assert_eq!(workshop.remains(&run), workshop.remains(&whole), "{name}");
    }
}

/// Losses on features beside the one over classes, alone, and a loss over some of the classes.
const WIDER: [(&str, &str); 5] = [
    ("center", "loss={name=\"softmax\", features={name=\"center\", weight=0.1, alpha=0.5}}"),
    ("contrastive", "loss={name=\"softmax\", features={name=\"contrastive\", weight=0.1, margin=4}}"),
    ("triplet", "loss={name=\"softmax\", weight=0, features={name=\"triplet\", weight=1, margin=0.2}}"),
    ("scale", "loss={name=\"cosface\", s=16, m=0.2, scale_warm_up={from=4, length=\"6 steps\"}}"),
    ("sampled", "loss={name=\"cosface\", s=16, m=0.2, sampled=0.5}"),
];

#[test]
fn losses_on_features_and_over_sampled_classes_survive_an_interruption() {
    let workshop = Workshop::new();
    for (name, loss) in WIDER {
        let recipe = workshop.recipe(&[loss, "data.together=3"]);
        let (whole, stopped) = (format!("{name}-whole"), format!("{name}-stopped"));
        workshop.train_to_the_end(&whole, &recipe);
        for stop in [1, 5] {
            workshop.train(&stopped, &recipe, &mut stop_at(stop)).unwrap();
        }
        workshop.train_to_the_end(&stopped, &recipe);
        assert!(workshop.remains(&stopped) == workshop.remains(&whole), "{name}");
    }
}

#[test]
fn a_wider_loss_does_what_its_settings_say() {
    let workshop = Workshop::new();
    let model = |name: &str, loss: &str| {
        workshop.train_to_the_end(name, &workshop.recipe(&[loss, "data.together=3"]));
        workshop.remains(name)
    };
    let plain = model("plain", "loss={name=\"cosface\", s=16, m=0.2}");
    // All classes sampled are the whole head; half of them are not.
    assert!(model("all", "loss={name=\"cosface\", s=16, m=0.2, sampled=1}").model == plain.model);
    assert!(model("half", "loss={name=\"cosface\", s=16, m=0.2, sampled=0.5}").model != plain.model);
    let warmed = "loss={name=\"cosface\", s=16, m=0.2, scale_warm_up={from=4, length=\"4 steps\"}}";
    let scales: Vec<f64> = model("warmed", warmed)
        .journal
        .iter()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["scale"].as_f64())
        .collect();
    assert_eq!(scales[..5], [4.0, 7.0, 10.0, 13.0, 16.0]);
    // A loss over classes of weight 0 leaves the features to the triplets: its own margin changes nothing.
    let triplet = |m: &str| {
        format!(
            "loss={{name=\"cosface\", s=16, m={m}, weight=0, features={{name=\"triplet\", weight=1, margin=0.2}}}}"
        )
    };
    let alone = model("alone", &triplet("0.1"));
    assert!(alone.backbone == model("other", &triplet("0.3")).backbone && alone.backbone != plain.backbone);
}

#[test]
fn a_training_starts_from_the_weights_of_another_and_is_refused_those_of_another_network() {
    let workshop = Workshop::new();
    workshop.train_to_the_end("softmax", &workshop.recipe(&["loss={name=\"softmax\"}"]));
    let raw = "loss={name=\"cosface-raw-features\", m=0.2}";
    let first_loss = |name: &str, more: &[&str]| {
        let overrides: Vec<&str> = [raw].into_iter().chain(more.iter().copied()).collect();
        workshop.train_to_the_end(name, &workshop.recipe(&overrides));
        losses(&workshop.path(name).join("journal.jsonl"))[0]
    };
    let fresh = first_loss("fresh", &[]);
    let from_run = first_loss("from-run", &["run.start=softmax"]);
    let from_model = first_loss("from-model", &["run.start=softmax/model.safetensors"]);
    // A run has the centres, too; a model file has the backbone alone. Fresh features are all but equal.
    assert!(
        from_run != from_model && from_run != fresh && from_model != fresh,
        "{fresh} {from_run} {from_model}"
    );

    // It goes on as any run does.
    let recipe = workshop.recipe(&[raw, "run.start=softmax"]);
    workshop.train("stopped", &recipe, &mut stop_at(4)).unwrap();
    workshop.train_to_the_end("stopped", &recipe);
    assert!(workshop.remains("stopped") == workshop.remains("from-run"));

    let refused = |overrides: &[&str], parts: [&str; 2]| {
        let recipe = workshop.recipe(overrides);
        let error = workshop.train("none", &recipe, &mut |_, _| {}).unwrap_err();
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(!workshop.path("none").exists());
    };
    refused(&["run.start=people"], ["`run.start` cannot be used", "a run directory with a checkpoint"]);
    refused(&["run.start=softmax", "network.feature=6"], ["another network", "fc"]);
    refused(&["run.start=recipe.toml"], ["recipe.toml", "`run.start`"]);
}

#[test]
fn a_loss_over_pairs_is_refused_before_there_is_a_run_where_people_have_one_image() {
    let workshop = Workshop::new();
    for person in 0..PEOPLE {
        for image in if person == 2 { 2..IMAGES_EACH } else { 1..IMAGES_EACH } {
            fs_err::remove_file(workshop.path(&format!("people/p{person}/{image}.png"))).unwrap();
        }
    }
    let loss = "loss={name=\"softmax\", features={name=\"triplet\", weight=1, margin=0.2}}";
    let recipe = workshop.recipe(&[loss, "data.together=2", "run.batch=4"]);
    let error = workshop.train("run", &recipe, &mut |_, _| {}).unwrap_err().to_string();
    assert!(
        error.contains("triplet needs at least two people") && error.contains("1 of the 6 people"),
        "{error}"
    );
    assert!(!workshop.path("run").exists());
}

#[test]
fn a_run_killed_between_checkpoints_equals_an_uninterrupted_one() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&["validation={tree=\"people\", pairs=\"pairs.txt\", every=\"5 steps\"}"]);
    workshop.train_to_the_end("whole", &recipe);
    let whole = workshop.remains("whole");
    assert_eq!(whole.journal.len(), 17, "12 steps, the measures, three evaluations and the end");
    for step in [1, 5, 6, 11] {
        let name = format!("killed-{step}");
        let died = catch_unwind(AssertUnwindSafe(|| workshop.train(&name, &recipe, &mut die_at(step))));
        assert!(died.is_err(), "it must die at step {step}");
        // A kill can also cut the last line of the journal.
        let path = workshop.path(&name).join("journal.jsonl");
        let mut bytes = fs_err::read(&path).unwrap();
        bytes.extend(b"{\"event\":\"ste");
        fs_err::write(&path, bytes).unwrap();
        workshop.train_to_the_end(&name, &recipe);
        assert_eq!(workshop.remains(&name), whole, "killed after step {step}");
    }
}

#[test]
fn a_process_killed_again_and_again_still_arrives() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&["run.checkpoints.every=1 steps"]);
    workshop.train_to_the_end("whole", &recipe);
    for step in [2, 3, 7, 12] {
        let died = catch_unwind(AssertUnwindSafe(|| workshop.train("often", &recipe, &mut die_at(step))));
        assert!(died.is_err());
    }
    workshop.train_to_the_end("often", &recipe);
    assert_eq!(workshop.remains("often"), workshop.remains("whole"));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let workshop = Workshop::new();
    workshop.train_to_the_end("one", &workshop.recipe(&[]));
    let two = workshop.recipe(&["run.threads=2", "data.memory_mib=0"]);
    workshop.train_to_the_end("two", &two);
    assert_eq!(workshop.remains("one"), workshop.remains("two"));
    workshop.train("moved", &workshop.recipe(&[]), &mut stop_at(5)).unwrap();
    workshop.train_to_the_end("moved", &two);
    assert_eq!(workshop.remains("one"), workshop.remains("moved"));
}

#[test]
fn another_seed_gives_another_run() {
    let workshop = Workshop::new();
    workshop.train_to_the_end("first", &workshop.recipe(&[]));
    workshop.train_to_the_end("second", &workshop.recipe(&["run.seed=6"]));
    let (first, second) = (workshop.remains("first"), workshop.remains("second"));
    assert_ne!(first.model, second.model);
    assert_ne!(first.head, second.head);
    assert_ne!(first.journal, second.journal);
}

#[test]
fn training_learns_to_tell_coloured_people_apart() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&[
        "schedule.length=160 steps",
        "run.checkpoints.every=160 steps",
        "run.batch=24",
        "network.dropout=0",
        "data.augment={flip=0.5}",
        "optimizer.learning_rate=0.03",
    ]);
    workshop.train_to_the_end("run", &recipe);
    let events = journal::read(&workshop.path("run/journal.jsonl")).unwrap();
    let satisfied: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Step(record) => Some(record.satisfied),
            _ => None,
        })
        .collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    // Six people: chance is one in six. Five seeds ended at 0.99 or more; with batches of 8 and a rate of 0.1 the
    // end depended on rounding.
    assert!(satisfied[0] < 0.5, "{satisfied:?}");
    assert!(mean(&satisfied[152..]) > 0.9, "{satisfied:?}");
}

#[test]
fn parts_of_a_batch_average_to_the_whole_batch() {
    let workshop = Workshop::new();
    let common = [
        "network.batch_norm=false",
        "network.dropout=0",
        // Clipping would hide a wrong length of the gradient.
        "optimizer.clip_norm=inf",
        "schedule.length=3 steps",
        "schedule.warm_up=0 steps",
    ];
    let mut models = Vec::new();
    for accumulate in ["optimizer.accumulate=1", "optimizer.accumulate=2", "optimizer.accumulate=4"] {
        let mut overrides = common.to_vec();
        overrides.push(accumulate);
        workshop.train_to_the_end(accumulate, &workshop.recipe(&overrides));
        let remains = workshop.path(accumulate).join("checkpoints");
        let checkpoint = train::checkpoint::newest(&remains).unwrap().unwrap();
        let mut values = Vec::new();
        for file in ["backbone.safetensors", "head.safetensors"] {
            let file = net::tensor_file::TensorFile::read(&checkpoint.join(file)).unwrap();
            for (name, array) in file.tensors {
                let net::tensor_file::Values::F32(array) = array.values else { panic!("{name} is not f32") };
                values.push((name, array));
            }
        }
        models.push(values);
    }
    // Sums over 8 images in another order differ by a few units of 2^-24 of their largest term. Terms of a gradient
    // cancel, which costs up to three digits more; a sum in place of a mean would differ by a factor of 2 or 4.
    const SUMMATION: f32 = 1e-3;
    for parts in &models[1..] {
        for ((name, whole), (_, parts)) in models[0].iter().zip(parts) {
            let largest = whole.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (whole, parts) in whole.iter().zip(parts) {
                assert!((whole - parts).abs() <= SUMMATION * largest, "{name}: {whole} and {parts}");
            }
        }
    }
}

#[test]
fn divergence_is_diagnosed_and_the_last_good_checkpoint_stays() {
    let workshop = Workshop::new();
    let settings = [
        "network.batch_norm=false",
        "network.dropout=0",
        "optimizer.clip_norm=inf",
        "schedule.warm_up=0 steps",
    ];
    let mut overrides = settings.to_vec();
    // The rate explodes at step 4, after the checkpoint of step 3.
    overrides.extend([
        "loss={name=\"softmax\"}",
        "schedule.shape={kind=\"step\", at=[\"4 steps\"], factor=1e-30}",
    ]);
    overrides.push("optimizer.learning_rate=0.01");
    workshop.train_to_the_end("tame", &workshop.recipe(&overrides));

    *overrides.last_mut().unwrap() = "optimizer.learning_rate=1e25";
    let recipe = workshop.recipe(&overrides);
    let error = workshop.train("wild", &recipe, &mut |_, _| {}).unwrap_err();
    let FitError::Diverged(diagnosis) = error else { panic!("not a divergence: {error}") };
    assert_eq!(diagnosis.step, 1, "{diagnosis}");
    assert_eq!(diagnosis.first.kind, Kind::Features, "{diagnosis}");
    assert!(!diagnosis.first.value.is_finite());
    assert_eq!(diagnosis.learning_rate, 1e25);
    assert_eq!(diagnosis.images.len(), 8);
    assert!(diagnosis.images.iter().all(|path| path.is_file()));
    assert!(diagnosis.advice.iter().any(|advice| advice.contains("optimizer.learning_rate=")), "{diagnosis}");
    assert!(diagnosis.advice.iter().any(|advice| advice.contains("clip_norm")), "{diagnosis}");
    assert_eq!(diagnosis.checkpoint, None);
    let events = journal::read(&workshop.path("wild/journal.jsonl")).unwrap();
    assert!(matches!(events.last(), Some(Event::Diverged { step: 1, .. })));
    assert!(!workshop.path("wild/model.safetensors").exists());
}

#[test]
fn a_checkpoint_before_the_divergence_is_named_and_can_be_resumed() {
    let workshop = Workshop::new();
    let mut overrides = vec![
        "network.batch_norm=false",
        "network.dropout=0",
        "optimizer.clip_norm=inf",
        "run.checkpoints.every=1 steps",
        "loss={name=\"softmax\"}",
        "schedule.warm_up=0 steps",
    ];
    overrides.push("optimizer.learning_rate=1e25");
    let recipe = workshop.recipe(&overrides);
    for _ in 0..2 {
        let error = workshop.train("wild", &recipe, &mut |_, _| {}).unwrap_err();
        let FitError::Diverged(diagnosis) = error else { panic!("not a divergence: {error}") };
        assert_eq!(diagnosis.checkpoint, Some(workshop.path("wild/checkpoints/step-0000000001")));
        assert_eq!(losses(&workshop.path("wild/journal.jsonl")).len(), 1);
    }
}

#[test]
fn a_finished_run_taken_up_again_writes_the_same_model() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&[]);
    workshop.train_to_the_end("run", &recipe);
    let before = workshop.remains("run");
    // As if the process had died between the last checkpoint and the model.
    fs_err::remove_file(workshop.path("run/model.safetensors")).unwrap();
    workshop.train_to_the_end("run", &recipe);
    assert_eq!(workshop.remains("run"), before);
}

#[test]
fn a_run_is_not_resumed_with_another_network_recipe_or_data() {
    let workshop = Workshop::new();
    workshop.train("run", &workshop.recipe(&[]), &mut stop_at(2)).unwrap();
    let refusal = |overrides: &[&str]| {
        let error = workshop.train("run", &workshop.recipe(overrides), &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, FitError::Checkpoint(CheckpointError::OtherRun { .. })), "{error}");
        error.to_string()
    };
    assert!(refusal(&["network.feature=16"]).contains("another network"));
    assert!(refusal(&["optimizer.learning_rate=0.06"]).contains("another recipe"));
    assert!(refusal(&["data.minimum_images=1", "run.seed=9"]).contains("another recipe"));
    fs_err::remove_file(workshop.path("people/p0/0.png")).unwrap();
    assert!(refusal(&[]).contains("another data set"));
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_one_before_still_works() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&[]);
    workshop.train_to_the_end("whole", &recipe);
    workshop.train("run", &recipe, &mut stop_at(7)).unwrap();
    let newest = workshop.path("run/checkpoints/step-0000000007");
    let head = newest.join("head.safetensors");
    let bytes = fs_err::read(&head).unwrap();
    fs_err::write(&head, &bytes[..bytes.len() / 2]).unwrap();
    let error = workshop.train("run", &recipe, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, FitError::Checkpoint(CheckpointError::Size { .. })), "{error}");
    assert!(error.to_string().contains("delete the checkpoint"), "{error}");
    fs_err::remove_dir_all(&newest).unwrap();
    workshop.train_to_the_end("run", &recipe);
    assert_eq!(workshop.remains("run"), workshop.remains("whole"));
}

#[test]
fn only_the_newest_checkpoints_stay_and_the_model_carries_its_card() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&[]);
    workshop.train_to_the_end("run", &recipe);
    let mut names: Vec<_> = fs_err::read_dir(workshop.path("run/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["step-0000000009", "step-0000000012"]);
    let model = net::Model::read(&workshop.path("run/model.safetensors")).unwrap();
    let card = model.card();
    assert_eq!((card.preprocessing.height, card.preprocessing.width), (20, 16));
    assert_eq!(card.licence.as_deref(), Some("CC0-1.0"));
    let data = card.data.as_ref().unwrap();
    assert_eq!((data.identities, data.images), (6, 30));
    let margin = card.margin.as_ref().unwrap();
    assert_eq!((margin.loss.as_str(), margin.parameters["m"]), ("cosface", 0.2));
}

#[test]
fn a_measurement_that_is_not_finite_ends_the_run_by_name() {
    let workshop = Workshop::new();
    let recipe = workshop.recipe(&["validation={tree=\"people\", pairs=\"pairs.txt\", every=\"5 steps\"}"]);
    let run = RunDirectory::create(&workshop.path("run"), &recipe.to_toml()).unwrap();
    let images = Arc::new(images::open(&recipe, &|_, _| {}).unwrap());
    let training = Training::new(&recipe, images, None).unwrap();
    let mut validate = |_: &net::Model| Ok(BTreeMap::from([("accuracy".to_owned(), f64::NAN)]));
    let mut hooks = Hooks { progress: &mut |_| {}, validate: &mut validate };
    let error = training.run(&run, &AtomicBool::new(false), &mut hooks).unwrap_err();
    assert!(matches!(error, FitError::Validation { step: 5, .. }), "{error}");
    // The journal stays readable, and the checkpoint of step 3 can be resumed.
    assert_eq!(losses(&run.journal()).len(), 5);
}

#[test]
fn progress_tells_every_step_and_what_is_left() {
    let workshop = Workshop::new();
    let mut told = Vec::new();
    workshop.train("run", &workshop.recipe(&[]), &mut |progress, _| told.push(progress.clone())).unwrap();
    let steps: Vec<u64> = told.iter().filter(|p| p.stage == Stage::Training).map(|p| p.step).collect();
    assert_eq!(steps, (1..=12).collect::<Vec<_>>());
    assert_eq!(told.iter().filter(|p| p.stage == Stage::Saving).count(), 5, "four checkpoints and the model");
    // 30 images in an epoch: the fourth batch of 8 begins in the first epoch, the fifth in the second.
    assert_eq!(told.iter().find(|p| p.step == 4).unwrap().epoch, 0);
    assert_eq!(told.iter().find(|p| p.step == 5).unwrap().epoch, 1);
    let last = told.last().unwrap();
    assert_eq!((last.steps, last.time_left), (12, Some(std::time::Duration::ZERO)));
    assert!(last.loss.is_some() && last.images_per_second.is_some());
}

#[test]
fn a_schedule_or_a_margin_that_the_images_cannot_carry_is_refused_before_there_is_a_run() {
    let workshop = Workshop::new();
    let refusal = |overrides: &[&str]| {
        let error = workshop.train(overrides[0], &workshop.recipe(overrides), &mut |_, _| {}).unwrap_err();
        assert!(!workshop.path(overrides[0]).exists(), "a run is in the way of the next attempt");
        error.to_string()
    };
    assert!(refusal(&["schedule.length=0.1 epochs"]).contains("less than one step"));
    assert!(refusal(&["schedule.warm_up=12 steps"]).contains("shorter than the 12 steps"));
    assert!(refusal(&["loss.m=1.5"]).contains("at most 1.2000 for C = 6 people and K = 8"));
    assert!(refusal(&["data.template=112x96"]).contains("no valid model"));
}
