//! Evaluating embeddings, comparing, identifying and unpacking, as a user does it.

use std::path::Path;

use crate::invocation::{cosface, shared};

/// A file of embeddings, written out by hand: two-dimensional vectors at angles in degrees.
fn embeddings(path: &Path, vectors: &[(String, f64)], flip: &str) {
    let names: Vec<&str> = vectors.iter().map(|(name, _)| name.as_str()).collect();
    let metadata = serde_json::json!({
        "names": serde_json::to_string(&names).unwrap(), "model_fingerprint": "made", "flip_rule": flip,
    });
    let shape = [vectors.len(), 2];
    let tensor =
        serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [0, vectors.len() * 8] });
    let header = serde_json::json!({ "__metadata__": metadata, "embeddings": tensor }).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    for (_, angle) in vectors {
        for value in [angle.to_radians().cos(), angle.to_radians().sin()] {
            bytes.extend((value as f32).to_le_bytes());
        }
    }
    fs_err::write(path, bytes).unwrap();
}

/// Twenty people with two images each: person `p` at `17 p` degrees, the second image `spread` further.
fn crowd(path: &Path, spread: f64) {
    let people = (0..20).flat_map(|person| {
        let at = 17.0 * f64::from(person);
        [(format!("x/p{person}/1.jpg"), at), (format!("x/p{person}/2.jpg"), at + spread)]
    });
    embeddings(path, &people.collect::<Vec<_>>(), "none");
}

/// Each person's two images, and each person's first with the next but one's.
fn pairs() -> String {
    let genuine = (0..20).map(|person| format!("p{person}/1.jpg p{person}/2.jpg 1\r\n"));
    let impostor = (0..20).map(|person| format!("p{person}/1.jpg p{}/1.jpg 0\r\n", (person + 2) % 20));
    genuine.chain(impostor).collect()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn evaluate(&self, embeddings: &str, out: &str, more: &[&str]) -> crate::invocation::Outcome {
        let (embeddings, pairs, out) = (self.path(embeddings), self.path("pairs.txt"), self.path(out));
        let given =
            ["evaluate", "--embeddings", &embeddings, "--pairs", &pairs, "--format", "list", "--out", &out];
        cosface(given.iter().copied().chain(more.iter().copied()))
    }
}

#[test]
fn embeddings_alone_are_evaluated_and_two_models_compared() {
    let place = Place::new();
    crowd(place.0.path().join("good.safetensors").as_path(), 5.0);
    crowd(place.0.path().join("bad.safetensors").as_path(), 40.0);
    fs_err::write(place.path("pairs.txt"), pairs()).unwrap();
    let good = place.evaluate("good.safetensors", "good", &[]).success();
    assert!(good.stdout.contains("100.00 %"), "{}", good.stdout);
    for file in ["evaluation.json", "report.html", "table.md", "pairs.tsv"] {
        assert!(Path::new(&place.path("good")).join(file).exists(), "{file}");
    }
    place.evaluate("bad.safetensors", "bad", &["--far", "0.5"]).success();
    let (good, bad, table) = (place.path("good"), place.path("bad"), place.path("comparison"));
    let compared = cosface(["compare", &good, &bad, "--far", "0.1", "--out", &table]).success();
    assert!(compared.stdout.contains(&format!("{good} is more accurate than {bad}")), "{}", compared.stdout);
    // Rates that only one was asked for stand in their own columns.
    let rows: Vec<&str> = compared.stdout.lines().collect();
    assert!(rows[0].contains("FAR 50 %") && rows[1].ends_with("not asked"), "{}", compared.stdout);
    let read = |name: &str| fs_err::read_to_string(Path::new(&table).join(name)).unwrap();
    assert!(read("table.md").contains("| accuracy |"));
    let page = read("report.html");
    assert!(
        page.contains("is more accurate than") && page.matches("<svg").count() == 2,
        "a wide and a narrow plot"
    );
    cosface(["compare", &good, &bad, "--far", "0.1", "--out", &place.path("pairs.txt")])
        .refused(&["as a directory"]);
    // The pairs of one evaluation and the figures of another, where the accuracies differ.
    fs_err::copy(place.path("bad/pairs.tsv"), place.path("good/pairs.tsv")).unwrap();
    cosface(["compare", &good, &bad, "--far", "0.1"]).refused(&["not of one evaluation", "good"]);
    place.evaluate("good.safetensors", "good", &[]).success();
    // A pair less than the other has.
    let scored = fs_err::read_to_string(place.path("bad/pairs.tsv")).unwrap();
    let (short, _) = scored.trim_end().rsplit_once('\n').unwrap();
    fs_err::write(place.path("bad/pairs.tsv"), format!("{short}\n")).unwrap();
    cosface(["compare", &good, &bad, "--far", "0.1"]).refused(&["not of one evaluation", "bad"]);
    place.evaluate("bad.safetensors", "bad", &["--far", "0.5"]).success();
    cosface(["compare", &good, &bad, "--far", "0.001"]).refused(&["20 impostor pairs", "5e-2", "1e-3"]);
    place.evaluate("good.safetensors", "other", &["--rule", "insightface"]).success();
    cosface(["compare", &place.path("other"), &bad]).refused(&[
        "different rules",
        "insightface",
        "other-folds",
    ]);
}

#[test]
fn what_can_be_refused_is_refused_before_a_directory_is_made() {
    let place = Place::new();
    crowd(place.0.path().join("e.safetensors").as_path(), 5.0);
    fs_err::write(place.path("pairs.txt"), pairs()).unwrap();
    let refused = |more: &[&str], parts: &[&str]| {
        place.evaluate("e.safetensors", "out", more).refused(parts);
        assert!(!Path::new(&place.path("out")).exists(), "{more:?}");
    };
    refused(&["--far", "0.1,0"], &["a false accept rate must lie above 0", ": 0"]);
    refused(&["--far", "1.5"], &["1.5"]);
    refused(&["--feature", "summed"], &["image", "summed"]);
    fs_err::write(place.path("groups.tsv"), "p0\ta\n").unwrap();
    refused(&["--groups", &place.path("groups.tsv")], &["table of groups", "p10/1"]);
    fs_err::write(place.path("pairs.txt"), pairs().replace("p3/2", "p3/7")).unwrap();
    refused(&[], &["1 of them are missing", "p3/7"]);
    fs_err::write(place.path("pairs.txt"), pairs().replace("p3/2", "p3/1")).unwrap();
    refused(&[], &["line 4", "an image is paired with itself"]);
}

#[test]
fn two_files_for_one_image_are_refused() {
    let place = Place::new();
    fs_err::create_dir_all(place.path("images/p0")).unwrap();
    for name in ["1.jpg", "1.png", "2.jpg"] {
        fs_err::write(place.path(&format!("images/p0/{name}")), "").unwrap();
    }
    // Ten pairs of a kind so that folds can be cut; all are of the two images.
    let pairs: String = ["1", "0"].map(|label| format!("p0/1.jpg p0/2.jpg {label}\n").repeat(10)).concat();
    fs_err::write(place.path("pairs.txt"), pairs).unwrap();
    let (images, pairs, out) = (place.path("images"), place.path("pairs.txt"), place.path("out"));
    cosface([
        "evaluate",
        "absent.safetensors",
        "--images",
        &images,
        "--pairs",
        &pairs,
        "--format",
        "list",
        "--out",
        &out,
    ])
    .refused(&["two files for one image", "1.jpg", "1.png"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn probes_are_searched_in_a_gallery_and_among_strangers() {
    let place = Place::new();
    crowd(place.0.path().join("probes.safetensors").as_path(), 5.0);
    let gallery: Vec<(String, f64)> =
        (0..10).map(|person| (format!("p{person}/0.jpg"), 17.0 * f64::from(person) + 2.0)).collect();
    embeddings(place.0.path().join("gallery.safetensors").as_path(), &gallery, "none");
    let (probes, gallery, out) =
        (place.path("probes.safetensors"), place.path("gallery.safetensors"), place.path("found.json"));
    let page = place.path("found.html");
    let search = ["identify", "--probes", &probes, "--gallery", &gallery, "--out", &out];
    let found = cosface(search.iter().chain(&["--report", &page])).success();
    let html = fs_err::read_to_string(&page).unwrap();
    assert!(html.contains("CMC: 20 probes") && html.contains("DET: 20 probes"), "{html}");
    assert!(!html.contains("NaN"));
    cosface(search.iter().chain(&["--report", &gallery])).refused(&["overwrite"]);
    assert!(found.stdout.contains("20 probes of people in the gallery, 20 of others"), "{}", found.stdout);
    let text = fs_err::read_to_string(&out).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    // Angles of 2 and 3 degrees to the mate and at least 14 to others.
    assert_eq!(json["whole"]["cmc"][0], 1.0);
    let among =
        cosface(["identify", "--probes", &probes, "--distractors", &gallery, "--far", "0.01"]).success();
    assert!(among.stdout.contains("40 searches by 40 probes of 20 people"), "{}", among.stdout);
    fs_err::write(place.path("noise.txt"), "nobody/1.jpg\n").unwrap();
    cosface(["identify", "--probes", &probes, "--gallery", &gallery, "--noise", &place.path("noise.txt")])
        .refused(&["nobody/1.jpg"]);
}

#[test]
fn a_real_pack_is_unpacked_without_running_it() {
    let Some(pack) = shared("data/packed/small_lfw.bin") else { return };
    let place = Place::new();
    let out = place.path("out");
    let unpacked = cosface(["unpack", pack.to_str().unwrap(), "--out", &out]).success();
    assert!(unpacked.stdout.contains("10 genuine and 0 impostor pairs"), "{}", unpacked.stdout);
    let first = fs_err::read(Path::new(&out).join("images/000000.jpg")).unwrap();
    assert_eq!(first.len(), 4996, "the length that the pack itself states");
    let list = fs_err::read_to_string(Path::new(&out).join("pairs.txt")).unwrap();
    assert_eq!(list.lines().next(), Some("000000.jpg 000001.jpg 1"));
    cosface(["unpack", pack.to_str().unwrap(), "--out", &out]).refused(&["the folder exists"]);
    let text = place.path("text.bin");
    fs_err::write(&text, "no pack").unwrap();
    cosface(["unpack", &text, "--out", &place.path("none")]).refused(&["text.bin"]);
    assert!(!Path::new(&place.path("none")).exists());
}
