//! From nothing to an evaluation, one command after the other.

use net::tensor_file::{TensorFile, Values};

use crate::workshop::{Workshop, shared};

/// The test faces as LFW names them, and a pair file without folds.
fn lfw_like(workshop: &Workshop) {
    workshop.succeed(&["synth", "--identities", "10", "--images", "3", "--first", "50", "--out", "others"]);
    let mut genuine = String::from("10\n");
    let mut impostor = String::new();
    for person in 0..10 {
        for image in 1..=3 {
            let from = workshop.path(&format!("others/id{:04}/{image:04}.png", 51 + person));
            let folder = workshop.path(&format!("lfw/P{person}"));
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::copy(from, folder.join(format!("P{person}_{image:04}.png"))).unwrap();
        }
        genuine += &format!("P{person}\t1\t2\n");
        impostor += &format!("P{person}\t1\tP{}\t3\n", (person + 1) % 10);
    }
    fs_err::write(workshop.path("pairs.txt"), genuine + &impostor).unwrap();
}

#[test]
fn a_recogniser_is_trained_inspected_used_and_measured() {
    let workshop = Workshop::with_faces();
    workshop.succeed(&["train", "recipe.toml", "--out", "run", "--licence", "CC0-1.0"]);
    for file in ["model.safetensors", "journal.jsonl", "recipe.resolved.toml", "report.html"] {
        assert!(workshop.path("run").join(file).is_file(), "no {file}");
    }

    let card = workshop.succeed(&["inspect", "run/model.safetensors"]);
    assert!(card.contains("CC0-1.0") && card.contains("cosface") && card.contains("multiply-adds"), "{card}");
    let cost = workshop.succeed(&["inspect", "recipe.toml", "--classes", "1000000"]);
    assert!(cost.contains("1000000 classes"), "{cost}");

    workshop.succeed(&[
        "embed",
        "run/model.safetensors",
        "faces/id0001",
        "faces/id0002",
        "--out",
        "vectors.safetensors",
    ]);
    let file = TensorFile::read(&workshop.path("vectors.safetensors")).unwrap();
    let embeddings = &file.tensors["embeddings"];
    assert_eq!(embeddings.shape, [12, 32], "twelve images, twice the feature dimension");
    let Values::F32(values) = &embeddings.values else { panic!("embeddings are f32") };
    for vector in values.chunks_exact(32) {
        let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
    let names: Vec<String> = serde_json::from_str(&file.metadata["names"]).unwrap();
    assert!(names[0].ends_with("id0001/0001.png") && names[11].ends_with("id0002/0006.png"));
    assert!(card.contains(&file.metadata["model_fingerprint"]));

    lfw_like(&workshop);
    let arguments =
        ["evaluate", "run/model.safetensors", "--images", "lfw", "--pairs", "pairs.txt", "--out", "result"];
    workshop.succeed(&arguments);
    let text = fs_err::read_to_string(workshop.path("result/evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(evaluation["protocol"]["images"], 30);
    assert_eq!(evaluation["model"]["fingerprint"], file.metadata["model_fingerprint"]);
    let report = fs_err::read_to_string(workshop.path("result/report.html")).unwrap();
    assert!(report.contains("<svg") && !report.contains("<script"));

    fs_err::copy(workshop.path("lfw/P4/P4_0001.png"), workshop.path("lfw/P5/P5_0002.jpg")).unwrap();
    let twice =
        ["evaluate", "run/model.safetensors", "--images", "lfw", "--pairs", "pairs.txt", "--out", "twice"];
    workshop.refuse(&twice, &["P5_0002.png", "P5_0002.jpg"], "twice");

    fs_err::remove_file(workshop.path("lfw/P3/P3_0002.png")).unwrap();
    let missing =
        ["evaluate", "run/model.safetensors", "--images", "lfw", "--pairs", "pairs.txt", "--out", "again"];
    workshop.refuse(&missing, &["P3/P3_0002"], "again");
}

#[test]
fn threads_change_no_bit_of_a_model() {
    let workshop = Workshop::with_faces();
    for threads in ["1", "2"] {
        let set = format!("run.threads={threads}");
        workshop.succeed(&["train", "recipe.toml", "--out", threads, "--set", &set]);
    }
    let model = |run: &str| fs_err::read(workshop.path(run).join("model.safetensors")).unwrap();
    assert_eq!(model("1"), model("2"));
}

#[test]
fn a_published_model_is_imported_from_either_of_its_files_alike() {
    let Some(weights) = shared("data/weights/mobilefacenet-casia") else { return };
    let workshop = Workshop::empty();
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/imports/mobilefacenet_pytorch.toml");
    for (file, out) in [("068.safetensors", "a.safetensors"), ("068.ckpt", "b.safetensors")] {
        let path = weights.join(file);
        let mut arguments =
            vec!["import", path.to_str().unwrap(), "--description", description, "--out", out];
        if file.ends_with("ckpt") {
            arguments.extend(["--under", "net_state_dict"]);
        }
        workshop.succeed(&arguments);
    }
    let model = |name: &str| fs_err::read(workshop.path(name)).unwrap();
    assert_eq!(model("a.safetensors"), model("b.safetensors"));
}
