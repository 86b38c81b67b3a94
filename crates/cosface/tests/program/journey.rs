//! The whole way: synthetic faces, training, the model's card, vectors, an evaluation.

use std::path::Path;

use safetensors::SafeTensors;

use crate::invocation::cosface;

/// A network that trains in moments.
const TINY: &str = r#"network={family="sphereface", depth=4, input=[28,24], channels=[4,8,8,16], feature=16, batch_norm=true}"#;

const PEOPLE: u32 = 8;
const IMAGES: u32 = 4;

#[test]
fn synthetic_faces_become_a_model_vectors_and_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (faces, run) = (path("faces"), path("run"));
    let (people, images) = (PEOPLE.to_string(), IMAGES.to_string());
    cosface(["synth", "--identities", &people, "--images", &images, "--seed", "7", "--out", &faces])
        .success();

    let trained = cosface([
        "train",
        "--data",
        &faces,
        "--out",
        &run,
        "--set",
        TINY,
        "--set",
        "schedule.length=6 epochs",
        "--set",
        "run.batch=8",
        "--set",
        "loss.s=16",
        "--licence",
        "CC0-1.0",
    ])
    .success();
    assert!(trained.stderr.contains("32 images of 8 people"), "{}", trained.stderr);
    let model = format!("{run}/model.safetensors");
    assert_eq!(trained.stdout, format!("model: {model}\n"));
    assert_report(Path::new(&format!("{run}/report.html")));

    let inspected = cosface(["inspect", &model]).success().stdout;
    let (fingerprint, card) = inspected.strip_prefix("fingerprint ").unwrap().split_once('\n').unwrap();
    let card =
        serde_json::Deserializer::from_str(card).into_iter::<serde_json::Value>().next().unwrap().unwrap();
    assert_eq!(card["feature_dimension"], 16);
    assert_eq!(card["margin"]["loss"], "cosface");
    assert_eq!(card["licence"], "CC0-1.0");
    assert!(inspected.contains("parameters"), "{inspected}");

    assert_embeddings(&model, &faces, &path("vectors.safetensors"), fingerprint);
    assert_evaluation(&model, Path::new(&faces), directory.path(), fingerprint);
}

fn assert_embeddings(model: &str, faces: &str, out: &str, fingerprint: &str) {
    cosface(["embed", model, faces, "--out", out]).success();
    let bytes = fs_err::read(out).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["model_fingerprint"], fingerprint);
    let names: Vec<String> = serde_json::from_str(&metadata["names"]).unwrap();
    assert_eq!(names.len() as u32, PEOPLE * IMAGES);
    assert!(names.is_sorted() && names.iter().all(|name| Path::new(name).is_file()), "{names:?}");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let embeddings = tensors.tensor("embeddings").unwrap();
    // The card's rule concatenates the features of the image and its mirror image.
    assert_eq!(embeddings.shape(), [names.len(), 32]);
    let (values, _) = embeddings.data().as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    for (vector, name) in values.chunks(32).zip(&names) {
        let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        // Each of 32 values is rounded to 2^-24 of itself.
        assert!((norm - 1.0).abs() < 1e-6, "{name}: {norm}");
    }
    assert_ne!(values[..32], values[32..64], "two images have one vector");

    // An image alone gets the vector that it gets among others.
    let alone = format!("{out}.alone");
    cosface(["embed", model, &names[9], "--out", &alone]).success();
    let bytes = fs_err::read(&alone).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    assert!(tensors.tensor("embeddings").unwrap().data() == &embeddings.data()[9 * 128..10 * 128]);
}

fn assert_evaluation(model: &str, faces: &Path, directory: &Path, fingerprint: &str) {
    let tree = directory.join("lfw");
    for person in 0..PEOPLE {
        let folder = tree.join(format!("Person_{person}"));
        fs_err::create_dir_all(&folder).unwrap();
        for image in 1..=IMAGES {
            let source = faces.join(format!("id{:04}/{image:04}.png", person + 1));
            fs_err::copy(source, folder.join(format!("Person_{person}_{image:04}.png"))).unwrap();
        }
    }
    let mut pairs = "4 2\n".to_owned();
    for person in 0..4 {
        let (other, third) = (person + 1, person + 3);
        pairs += &format!("Person_{person}\t1\t2\nPerson_{person}\t3\t4\n");
        pairs += &format!("Person_{person}\t1\tPerson_{other}\t1\nPerson_{person}\t2\tPerson_{third}\t4\n");
    }
    let (file, out) = (directory.join("pairs.txt"), directory.join("evaluation"));
    fs_err::write(&file, pairs).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let arguments =
        ["evaluate", model, "--images", &text(&tree), "--pairs", &text(&file), "--out", &text(&out)];
    let shown = cosface(arguments).success().stdout;
    assert!(shown.contains("accuracy") && shown.contains("report.html"), "{shown}");

    let json = fs_err::read_to_string(out.join("evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(evaluation["model"]["fingerprint"], fingerprint);
    for measure in ["accuracy", "area", "equal_error_rate"] {
        let value = evaluation[measure]["value"].as_f64().unwrap_or_else(|| panic!("no {measure}: {json}"));
        assert!((0.0..=1.0).contains(&value), "{measure}: {value}");
    }
    assert_report(&out.join("report.html"));
}

/// A report reads without JavaScript and without another file.
fn assert_report(path: &Path) {
    let html = fs_err::read_to_string(path).unwrap();
    assert!(html.contains("<svg"), "no figure in {}", path.display());
    for foreign in ["<script", "<link", "src=\"http", "onload="] {
        assert!(!html.contains(foreign), "{foreign} in {}", path.display());
    }
}
