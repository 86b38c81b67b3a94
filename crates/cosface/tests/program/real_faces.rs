//! A small real set: ten photographs each of forty people (ORL), thirty of them to train on and ten to measure.

use std::fmt::Write as _;

use crate::invocation::{cosface, shared};

const RECIPE: &str = r#"
[data]
resize = "stretch"
augment = { flip = 0.5, warp = { probability = 0.5 } }
sources = [{ list = "train.txt" }]
[network]
family = "sphereface"
depth = 10
input = [28, 24]
channels = [8, 16, 32, 32]
feature = 64
batch_norm = true
[loss]
name = "cosface"
s = 16
m = 0.2
margin_warm_up = "2 epochs"
[optimizer]
learning_rate = 0.1
clip_norm = 5
[schedule]
length = "30 epochs"
[run]
batch = 25
seed = 1
threads = 2
"#;

#[test]
fn training_on_thirty_real_people_tells_ten_others_apart() {
    let Some(faces) = shared("data/faces/orl") else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let mut list = String::new();
    for person in 1..=30 {
        for image in 1..=10 {
            writeln!(list, "{}/s{person}/{image}.pgm\ts{person}", faces.display()).unwrap();
        }
    }
    fs_err::write(path("train.txt"), list).unwrap();
    fs_err::write(path("recipe.toml"), RECIPE).unwrap();
    for person in 31..=40 {
        fs_err::create_dir_all(path(&format!("test/s{person}"))).unwrap();
        for image in 1..=10 {
            let copy = path(&format!("test/s{person}/s{person}_{image:04}.pgm"));
            fs_err::copy(faces.join(format!("s{person}/{image}.pgm")), copy).unwrap();
        }
    }
    fs_err::write(path("pairs.txt"), pairs()).unwrap();

    let area = |run: &str, settings: &[&str]| -> f64 {
        let recipe = [path("recipe.toml"), "--out".to_owned(), path(run)];
        let settings = settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]);
        cosface(["train".to_owned()].into_iter().chain(recipe).chain(settings)).success();
        let (model, out) = (path(&format!("{run}/model.safetensors")), path(&format!("{run}-evaluation")));
        cosface([
            "evaluate",
            &model,
            "--images",
            &path("test"),
            "--pairs",
            &path("pairs.txt"),
            "--out",
            &out,
            "--resize",
            "stretch",
        ])
        .success();
        let text = fs_err::read_to_string(format!("{out}/evaluation.json")).unwrap();
        let evaluation: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(evaluation["accuracy"]["value"].as_f64().unwrap() > ACCURACY, "{evaluation}");
        evaluation["area"]["value"].as_f64().unwrap()
    };
    let trained = area("trained", &[]);
    let untrained = area("untrained", &["schedule.length=1 steps", "optimizer.learning_rate=1e-9"]);
    assert!(trained > AREA, "{trained}");
    assert!(trained > untrained + LEARNED, "trained {trained}, random weights {untrained}");
}

/// With seeds 1 to 3 this recipe reaches 86 to 88 %. Random weights reach 76 to 83 % on photographs as alike as these,
/// so accuracy alone shows only that images and pairs go together.
const ACCURACY: f64 = 0.7;

/// Area under the ROC: 0.917 to 0.944 with seeds 1 to 3, and 0.857 to 0.899 for random weights.
const AREA: f64 = 0.9;

/// What training must add to that area: 0.074 with seed 1, 0.04 or more with 2 and 3.
const LEARNED: f64 = 0.03;

/// A fold for each person: twenty pairs of that person, twenty of that person and another.
fn pairs() -> String {
    let mut text = "10 20\n".to_owned();
    let genuine: Vec<(u32, u32)> =
        (1..=10).flat_map(|one| (one + 1..=10).map(move |other| (one, other))).collect();
    for fold in 0..10 {
        let person = 31 + fold;
        for pair in 0..20 {
            let (one, other) = genuine[7 * pair % genuine.len()];
            writeln!(text, "s{person}\t{one}\t{other}").unwrap();
        }
        for pair in 0..20 {
            let other = 31 + (fold + 1 + pair % 9) % 10;
            let (one, two) = (pair % 10 + 1, (3 * pair + pair / 9) % 10 + 1);
            writeln!(text, "s{person}\t{one}\ts{other}\t{two}").unwrap();
        }
    }
    text
}
