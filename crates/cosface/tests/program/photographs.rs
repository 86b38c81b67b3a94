//! From photographs to answers: detect, align, embed, verify.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use image::RgbImage;

use crate::invocation::{Outcome, command, cosface, python, shared};

/// A folder with three photographs of two people, one without a face and one that is none; a detector; a model.
struct Album {
    directory: tempfile::TempDir,
    detector: String,
}

/// Two photographs of one person and one of another; the pair stands in LFW's development test.
const PHOTOGRAPHS: [&str; 3] = [
    "Abdullah_Gul/Abdullah_Gul_0013.jpg",
    "Abdullah_Gul/Abdullah_Gul_0014.jpg",
    "Aaron_Guiel/Aaron_Guiel_0001.jpg",
];

impl Album {
    fn new() -> Option<Album> {
        let photographs = shared("data/faces/lfw-150px-photos")?;
        let detector = shared("data/weights/yunet/yunet_n_dynamic.onnx")?;
        let album = Album {
            directory: tempfile::tempdir().unwrap(),
            detector: detector.to_str().unwrap().to_owned(),
        };
        for name in PHOTOGRAPHS {
            let copy = album.path(&format!("photos/{name}"));
            fs_err::create_dir_all(copy.parent().unwrap()).unwrap();
            fs_err::copy(photographs.join(name), copy).unwrap();
        }
        RgbImage::from_pixel(90, 60, image::Rgb([90, 120, 200])).save(album.path("photos/sky.png")).unwrap();
        fs_err::write(album.path("photos/broken.jpg"), b"no image").unwrap();
        Some(album)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The published MobileFaceNet as a model.
    fn model(&self) -> Option<String> {
        let weights = shared("data/weights/mobilefacenet-casia/068.safetensors")?;
        let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/imports/mobilefacenet_pytorch.toml");
        let (weights, model) = (weights.to_str().unwrap(), self.text("model.safetensors"));
        cosface(["import", weights, "--description", description, "--out", &model]).success();
        Some(model)
    }
}

#[test]
fn faces_are_printed_as_json_and_no_face_is_an_answer() {
    let Some(album) = Album::new() else { return };
    let photograph = album.text(&format!("photos/{}", PHOTOGRAPHS[2]));
    let (sky, drawing) = (album.text("photos/sky.png"), album.text("drawing.png"));
    let outcome = cosface(["detect", &album.detector, &photograph, &sky, "--faces", "central"]).success();
    let lines: Vec<serde_json::Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["faces"].as_array().unwrap().len(), 1);
    // LFW's photographs have the face in the middle, 75; the nose is the third landmark.
    let nose = lines[0]["faces"][0]["landmarks"][2].as_array().unwrap();
    assert!(nose.iter().all(|place| (place.as_f64().unwrap() - 75.0).abs() < 15.0), "{nose:?}");
    assert!(lines[1]["faces"].as_array().unwrap().is_empty());
    cosface(["detect", &album.detector, &photograph, "--draw", &drawing]).success();
    let drawn = image::open(&drawing).unwrap().into_rgb8();
    assert!(
        drawn.pixels().any(|pixel| pixel.0 == [0, 220, 60])
            && drawn.pixels().any(|pixel| pixel.0 == [255, 30, 30])
    );
    cosface(["detect", &album.detector, &photograph, "--draw", &photograph])
        .refused(&["overwrite the input"]);
    cosface(["detect", &photograph, &photograph]).refused(&["not an ONNX file"]);
    // In a folder what cannot be used is named, and the others are answered all the same.
    let outcome = cosface(["detect", &album.detector, &album.text("photos")]);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (Some(1), 4), "{outcome:?}");
    assert!(outcome.stderr.contains("1 of 5 photographs cannot be used"), "{outcome:?}");
    assert!(outcome.stderr.contains("broken.jpg"), "{outcome:?}");
}

#[test]
fn a_tree_is_aligned_resumed_and_what_gives_no_crop_is_listed() {
    let Some(album) = Album::new() else { return };
    let (photos, crops) = (album.text("photos"), album.text("crops"));
    let align = || cosface(["align", &photos, &crops, "--detector", &album.detector]).success().stdout;
    let said = align();
    assert!(said.starts_with("3 crops written, 0 photographs done before, 2 skipped"), "{said}");
    let crop = album.path("crops/Aaron_Guiel/Aaron_Guiel_0001.png");
    assert_eq!(image::open(&crop).unwrap().into_rgb8().dimensions(), (96, 112));
    let list = fs_err::read_to_string(album.path("crops/skipped.tsv")).unwrap();
    assert!(
        list.contains("sky.png\tno face is found") && list.contains("broken.jpg\tcannot use image"),
        "{list}"
    );
    fs_err::remove_file(&crop).unwrap();
    let said = align();
    assert!(said.starts_with("1 crops written, 2 photographs done before, 2 skipped"), "{said}");
    let inside = album.text("photos/crops");
    cosface(["align", &photos, &inside, "--detector", &album.detector]).refused(&["inside the source"]);
    assert!(!album.path("photos/crops").exists());
}

#[test]
fn two_photographs_of_one_person_are_told_from_those_of_two() {
    let Some(album) = Album::new() else { return };
    let Some(model) = album.model() else { return };
    let [first, second, other] = PHOTOGRAPHS.map(|name| album.text(&format!("photos/{name}")));
    let verify =
        |one: &str, two: &str, rest: &[&str]| cosface(["verify", &model, one, two].iter().chain(rest));
    let settings = ["--detector", &album.detector, "--threshold", "0.3", "--far", "0.001"];
    let said = verify(&first, &second, &settings).success().stdout;
    assert!(
        said.starts_with("the same person: cosine 0.") && said.contains("accept rate of 0.001"),
        "{said}"
    );
    let outcome = verify(&first, &other, &settings);
    assert_eq!(outcome.status, Some(3), "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("not the same person"), "{}", outcome.stdout);
    let sky = album.text("photos/sky.png");
    verify(&first, &sky, &settings).refused(&["no face is found", "sky.png"]);
    verify(&first, &other, &settings[..2]).refused(&["states no threshold"]);
    verify(&first, &other, &["--threshold", "0.3"]).refused(&["give --detector"]);
    verify(&first, &other, &["--threshold", "1.5"]).refused(&["between -1 and 1"]);
    let vectors = album.text("vectors.safetensors");
    let embed = ["embed", &model, &first, &other, "--detector", &album.detector, "--out", &vectors];
    let said = cosface(embed).success().stdout;
    assert!(said.starts_with("2 embeddings of dimension 256"), "{said}");
}

#[test]
fn an_exported_model_comes_back_and_foreign_networks_need_a_description() {
    let Some(album) = Album::new() else { return };
    let Some(model) = album.model() else { return };
    let (onnx, back) = (album.text("model.onnx"), album.text("back.safetensors"));
    cosface(["export", &model, "--out", &onnx, "--keep-batch-norm"]).success();
    cosface(["import", &onnx, "--out", &back]).success();
    let shown = |model: &str| cosface(["inspect", model]).success().stdout;
    let card = |text: &str| text[text.find('{').unwrap()..=text.rfind('}').unwrap()].to_owned();
    assert_eq!(card(&shown(&model)), card(&shown(&back)));
    cosface(["import", &album.detector, "--out", &back]).refused(&["licence", "--description"]);
}

/// Ready-made crops of six of LFW's people with three images or more, three of each, copied into a folder of the album.
fn crops(album: &Album) -> Option<String> {
    let all = shared("data/faces/lfw-112x96")?;
    let images = |person: &std::path::Path| {
        let mut images: Vec<PathBuf> =
            fs_err::read_dir(person).unwrap().map(|entry| entry.unwrap().path()).collect();
        images.sort();
        images
    };
    let mut people: Vec<PathBuf> =
        fs_err::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    people.retain(|person| person.is_dir() && images(person).len() >= 3);
    people.sort();
    for person in people.iter().take(6) {
        let folder = album.path("ready").join(person.file_name().unwrap());
        fs_err::create_dir_all(&folder).unwrap();
        for image in images(person).iter().take(3) {
            fs_err::copy(image, folder.join(image.file_name().unwrap())).unwrap();
        }
    }
    Some(album.text("ready"))
}

#[test]
fn a_threshold_of_an_evaluation_is_taken_for_its_model_alone() {
    let Some(album) = Album::new() else { return };
    let (Some(model), Some(people)) = (album.model(), crops(&album)) else { return };
    let (pairs, result) = (album.text("pairs.txt"), album.text("result"));
    cosface(["pairs", &people, "--out", &pairs]).success();
    let evaluate = |out: &str, feature: &str| {
        let of = ["evaluate", &model, "--images", &people, "--pairs", &pairs, "--format", "list"];
        cosface(of.iter().chain(&["--far", "0.1", "--far", "0.2", "--feature", feature, "--out", out]))
            .success();
    };
    evaluate(&result, "concatenated");
    let evaluation: serde_json::Value =
        serde_json::from_str(&fs_err::read_to_string(album.path("result/evaluation.json")).unwrap()).unwrap();
    let point = &evaluation["operating_points"][0];
    assert_eq!(point["far"], 0.1);
    let threshold = format!("threshold {:.4}", point["threshold"]["value"].as_f64().unwrap());

    let [first, second, other] = PHOTOGRAPHS.map(|name| album.text(&format!("photos/{name}")));
    let verify = |two: &str, rest: &[&str]| {
        let of = ["verify", &model, &first, two, "--detector", &album.detector, "--evaluation", &result];
        cosface(of.iter().chain(rest))
    };
    let said = verify(&second, &[]).success().stdout;
    assert!(said.contains(&threshold) && said.contains("rate of 0.1 on pairs.txt"), "{said}");
    let probability = |said: &str| -> f64 {
        let number = said.split("one person: ").nth(1).unwrap().split(',').next().unwrap();
        number.parse().unwrap()
    };
    let different = verify(&other, &["--far", "0.2"]);
    assert_eq!(different.status, Some(3), "{different:?}");
    assert!(probability(&said) > 0.9 && probability(&different.stdout) < 0.1, "{said}{}", different.stdout);

    verify(&other, &["--far", "0.01"]).refused(&[
        "rate of 0.01",
        "it has one for 0.1, 0.2",
        "evaluation.json",
    ]);
    verify(&other, &["--far", "2"]).refused(&["at most at 1: 2"]);
    let file = album.path("result/evaluation.json");
    let text = fs_err::read_to_string(&file).unwrap();
    let fingerprint = evaluation["model"]["fingerprint"].as_str().unwrap();
    fs_err::write(&file, text.replace(fingerprint, &fingerprint.replace(&fingerprint[..8], "00000000")))
        .unwrap();
    verify(&other, &[]).refused(&["of another model", "evaluation.json"]);
    evaluate(&album.text("image"), "image");
    fs_err::copy(album.path("image/evaluation.json"), &file).unwrap();
    verify(&other, &[]).refused(&["another rule", "--feature concatenated"]);
    fs_err::remove_file(&file).unwrap();
    verify(&other, &[]).refused(&["evaluation.json"]);
    let model_alone = ["verify", &model, &first, &other, "--detector", &album.detector, "--far", "0.1"];
    cosface(model_alone).refused(&["--far needs --evaluation"]);
}

#[test]
fn an_exported_file_computes_the_same_in_onnx_runtime() {
    let Some(album) = Album::new() else { return };
    let (Some(model), Some(people)) = (album.model(), crops(&album)) else { return };
    let (onnx, absent) = (album.text("model.onnx"), album.text("no/python"));
    let export = |python: &str, rest: &[&str]| {
        let of = ["export", &model, "--out", &onnx, "--check", &people, "--python", python];
        cosface(of.iter().chain(rest))
    };
    export(&absent, &[]).refused(&["cannot run Python", "no/python"]);
    let Some(python) = python("COSFACE_TEST_ONNX_RUNTIME_PYTHON") else { return };
    for rest in [&[][..], &["--keep-batch-norm"]] {
        let said = export(&python, rest).success().stdout;
        assert!(said.contains("on 18 crops") && said.contains("least cosine: "), "{said}");
        let cosine = said.split("least cosine: ").nth(1).unwrap().split(' ').next().unwrap();
        assert!(cosine.parse::<f64>().unwrap() >= 0.99999, "{said}");
    }
    let left: Vec<_> = fs_err::read_dir(album.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".check"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_while_aligning_leaves_whole_crops_and_the_same_command_goes_on() {
    let Some(album) = Album::new() else { return };
    let Some(photographs) = shared("data/faces/lfw-150px-photos") else { return };
    // As many photographs as take longer than a signal.
    let original = photographs.join(PHOTOGRAPHS[2]);
    for index in 0..300 {
        fs_err::copy(&original, album.path(&format!("photos/Aaron_Guiel/{index}.jpg"))).unwrap();
    }
    let align = ["align", &album.text("photos"), &album.text("crops"), "--detector", &album.detector];
    let process = command(align).spawn().unwrap();
    let began = Instant::now();
    while !album.path("crops/Aaron_Guiel").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "no crop is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap().success());
    let outcome = Outcome::from(process.wait_with_output().unwrap());
    assert_eq!(outcome.status, Some(130), "{outcome:?}");
    assert!(outcome.stderr.contains("of 305 photographs to go, the same command goes on"), "{outcome:?}");
    assert!(!album.path("crops/skipped.tsv").exists());
    let names = || -> Vec<String> {
        let entries = fs_err::read_dir(album.path("crops/Aaron_Guiel")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let before = names();
    assert!(!before.is_empty() && before.iter().all(|name| name.ends_with(".png") && !name.starts_with('.')));
    let said = cosface(align).success().stdout;
    assert!(said.contains("2 skipped") && !said.contains(" 0 photographs done before"), "{said}");
    assert_eq!(names().len(), 301);
}
