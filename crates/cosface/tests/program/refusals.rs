//! What wrong input gets: status 1, a message that names file and reason, nothing left behind.

use image::{ImageBuffer, Luma, RgbImage};

use crate::workshop::Workshop;

const TRAIN: [&str; 4] = ["train", "recipe.toml", "--out", "run"];

#[test]
fn data_that_cannot_be_trained_on_is_refused() {
    let workshop = Workshop::with_faces();
    let train = |data: &str| {
        ["train".to_owned(), "--data".to_owned(), data.to_owned(), "--out".to_owned(), "run".to_owned()]
    };
    let refuse = |data: &str, parts: &[&str]| {
        let arguments = train(data);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        workshop.refuse(&arguments, parts, "run");
    };
    fs_err::create_dir_all(workshop.path("nothing")).unwrap();
    refuse("nothing", &["nothing"]);
    refuse("absent", &["absent"]);
    fs_err::create_dir_all(workshop.path("single")).unwrap();
    fs_err::rename(workshop.path("faces/id0008"), workshop.path("single/id0008")).unwrap();
    refuse("single", &["two people", "id0008"]);

    let picture = workshop.path("faces/id0003/0002.png");
    let bytes = fs_err::read(&picture).unwrap();
    fs_err::write(&picture, &bytes[..bytes.len() / 2]).unwrap();
    refuse("faces", &["id0003/0002.png", "truncated"]);
    RgbImage::new(95, 112).save(&picture).unwrap();
    refuse("faces", &["id0003/0002.png", "95"]);
    ImageBuffer::<Luma<u16>, _>::new(96, 112).save(&picture).unwrap();
    refuse("faces", &["id0003/0002.png", "16"]);
    // A header of 60,000 x 60,000 pixels over nothing.
    fs_err::write(&picture, b"P6 60000 60000 255\n").unwrap();
    refuse("faces", &["id0003/0002.png", "60000"]);
    fs_err::write(&picture, "no image").unwrap();
    let ended = workshop.run(&["train", "recipe.toml", "--out", "skipping", "--skip-unreadable"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("skipped") && ended.stderr.contains("id0003/0002.png"), "{}", ended.stderr);
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_bound_or_the_nearest_name() {
    let workshop = Workshop::with_faces();
    let refuse = |set: &str, parts: &[&str]| {
        let arguments: Vec<&str> = TRAIN.into_iter().chain(["--set", set]).collect();
        workshop.refuse(&arguments, parts, "run");
    };
    refuse("loss.margn_warm_up=\"2 epochs\"", &["margn_warm_up", "margin_warm_up"]);
    refuse("loss.s=0", &["loss", "0"]);
    refuse("loss.m=-0.1", &["-0.1"]);
    // Eq. 7 for 8 classes in 16 dimensions: 8 / 7.
    refuse("loss.m=1.5", &["1.5", "1.14"]);
    refuse("network.depth=21", &["21"]);
    workshop.refuse(&["train", "absent.toml", "--out", "run"], &["absent.toml"], "run");
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused() {
    let workshop = Workshop::with_faces();
    workshop.succeed(&TRAIN);
    let embed = ["embed", "broken.safetensors", "faces", "--out", "vectors.safetensors"];
    workshop.refuse(&embed, &["broken.safetensors"], "vectors.safetensors");
    let model = fs_err::read(workshop.path("run/model.safetensors")).unwrap();
    for len in [0, 7, 100, model.len() / 2, model.len() - 1] {
        fs_err::write(workshop.path("broken.safetensors"), &model[..len]).unwrap();
        workshop.refuse(&embed, &["broken.safetensors"], "vectors.safetensors");
    }
    workshop.refuse(&TRAIN, &["run"], "vectors.safetensors");
    let unwritable = ["embed", "run/model.safetensors", "faces", "--out", "absent/vectors.safetensors"];
    workshop.refuse(&unwritable, &["absent"], "absent");

    // A checkpoint of another network: the recipe of the run was changed behind its back.
    let recipe = workshop.path("run/recipe.resolved.toml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    fs_err::write(&recipe, text.replace("feature = 16", "feature = 24")).unwrap();
    workshop.refuse(&["train", "--resume", "run"], &["network"], "vectors.safetensors");
    assert_eq!(workshop.run(&["tarin"]).status, Some(2));
}
