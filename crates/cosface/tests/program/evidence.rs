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
    fs_err::remove_file(place.path("bad/pairs.tsv")).unwrap();
    cosface(["compare", &good, &bad]).refused(&["bad/pairs.tsv", "is not there", "--all-pairs"]);
    place.evaluate("bad.safetensors", "bad", &["--far", "0.5"]).success();
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
    assert_eq!(json["results"][0]["whole"]["cmc"][0], 1.0);
    // Forty probes with ten rows, of which twenty pairs are of one person.
    let counts = json["results"][0]["impostors"]["counts"].as_array().unwrap();
    assert_eq!(counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 380);
    assert!(html.contains("380 pairs of a probe"), "{html}");
    let among =
        cosface(["identify", "--probes", &probes, "--distractors", &gallery, "--far", "0.01"]).success();
    assert!(among.stdout.contains("40 searches by 40 probes of 20 people"), "{}", among.stdout);
    // Published lists of noise name images that a set may lack; one that names none of it is a mistake.
    let noise = place.path("noise.txt");
    let cleaned = || cosface(["identify", "--probes", &probes, "--gallery", &gallery, "--noise", &noise]);
    fs_err::write(&noise, "nobody/1.jpg\r\n").unwrap();
    cleaned().refused(&["no image of the list of noise", "noise.txt"]);
    fs_err::write(&noise, "nobody/1.jpg\r\np3/2.jpg\r\n").unwrap();
    let outcome = cleaned().success();
    assert!(outcome.stderr.contains("1 of 2 names of the list of noise"), "{outcome:?}");
    assert!(outcome.stdout.contains("cleaned: rank 1"), "{outcome:?}");
}

#[test]
fn megaface_s_lists_choose_probes_and_distractors() {
    let place = Place::new();
    crowd(place.0.path().join("probes.safetensors").as_path(), 5.0);
    // Strangers at 10.1 and 10.2 degrees from the first person's images, and ninety far from everybody.
    let far: Vec<(String, f64)> = (0..90).map(|index| (format!("flickr/{index}.jpg"), 345.0)).collect();
    let near = [("flickr/near.jpg".to_owned(), 2.5), ("flickr/nearer.jpg".to_owned(), 2.6)];
    let strangers: Vec<(String, f64)> = near.into_iter().chain(far).collect();
    embeddings(place.0.path().join("strangers.safetensors").as_path(), &strangers, "none");
    let list = |name: &str, paths: &[&str], ids: Option<&[&str]>| {
        let list = match ids {
            Some(ids) => serde_json::json!({ "path": paths, "id": ids }),
            None => serde_json::json!({ "path": paths }),
        };
        fs_err::write(place.path(name), list.to_string()).unwrap();
    };
    list("probes.json", &["p0/1.jpg", "p0/2.jpg", "p5/1.jpg", "p5/2.jpg"], Some(&["a", "a", "b", "b"]));
    list("near.json", &["flickr/near.jpg", "flickr/7.jpg"], None);
    list("far.json", &["flickr/1.jpg", "flickr/2.jpg", "flickr/3.jpg"], None);
    let [probes, strangers] = ["probes.safetensors", "strangers.safetensors"].map(|name| place.path(name));
    let [of_probes, near, far, out] =
        ["probes.json", "near.json", "far.json", "found.json"].map(|name| place.path(name));
    let search = ["identify", "--probes", &probes, "--distractors", &strangers, "--probe-list", &of_probes];
    let lists = ["--distractor-list", &near, "--distractor-list", &far, "--far", "0.2", "--out", &out];
    let said = cosface(search.iter().chain(&lists)).success().stdout;
    assert!(said.starts_with("4 searches by 4 probes of 2 people"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(&out).unwrap()).unwrap();
    let point = |list: usize| &json["results"][list]["whole"]["points"][0];
    // The stranger at 2.5 degrees is nearer than the 5 to the mate, for both searches of the first person.
    assert_eq!((point(0)["distractors"].as_u64(), point(0)["rank_one"].as_f64()), (Some(2), Some(0.5)));
    assert_eq!((point(1)["distractors"].as_u64(), point(1)["rank_one"].as_f64()), (Some(3), Some(1.0)));
    assert_eq!(point(1)["impostors"].as_u64(), Some(12));

    list("absent.json", &["flickr/absent.jpg"], None);
    let absent = place.path("absent.json");
    cosface(search.iter().chain(&["--distractor-list", &absent]))
        .refused(&["flickr/absent.jpg", "absent.json"]);
    list("probes.json", &["p0/1.jpg"], None);
    cosface(search).refused(&["needs `id`", "probes.json"]);
    list("probes.json", &["p0/1.jpg"], Some(&["a", "b"]));
    cosface(search).refused(&["1 images and 2 people", "probes.json"]);
    fs_err::write(place.path("probes.json"), "[]").unwrap();
    cosface(search).refused(&["not a JSON object with `path`", "probes.json"]);
}

/// Twelve people with two templates each, 100 + p and 200 + p: a photograph and a video of two frames.
#[test]
fn templates_are_pooled_verified_and_searched_in_both_galleries() {
    let place = Place::new();
    let (mut images, mut media, mut scores) = (Vec::new(), String::new(), String::new());
    for person in 0..12 {
        for (template, turn) in [(100 + person, 0.0), (200 + person, 6.0)] {
            let at = 30.0 * f64::from(person) + turn;
            for (image, (medium, angle)) in [(1, at), (2, at + 2.0), (2, at + 4.0)].into_iter().enumerate() {
                let name = format!("{template}_{image}.jpg");
                images.push((format!("crops/{name}"), angle));
                media += &format!("{name} {template} {medium}\r\n");
                scores += &format!("{name} 1 2 3 4 5 6 7 8 9 10 {}\n", if image == 0 { 0.5 } else { 1.0 });
            }
        }
    }
    embeddings(place.0.path().join("images.safetensors").as_path(), &images, "none");
    let write = |name: &str, text: &str| fs_err::write(place.path(name), text).unwrap();
    write("tid_mid.txt", &media);
    write("scores.txt", &scores);
    let mut pairs = String::new();
    for person in 0..12 {
        pairs += &format!("{} {} 1\n", 100 + person, 200 + person);
        pairs += &format!("{} {} 0\n", 100 + person, 200 + (person + 1) % 12);
    }
    write("pairs.txt", &pairs);
    for (name, people, base) in [("g1.csv", 0..6, 100), ("g2.csv", 6..12, 100), ("mixed.csv", 0..12, 200)] {
        let lines: String = people.map(|person| format!("{},{person},x.jpg\n", base + person)).collect();
        write(name, &format!("TEMPLATE_ID,SUBJECT_ID,FILENAME\n{lines}"));
    }
    let [all, listed] = ["images.safetensors", "tid_mid.txt"].map(|name| place.path(name));
    let pool = |out: &str, more: &[&str]| {
        let of = ["templates", &all, "--media", &listed];
        cosface(of.iter().copied().chain(more.iter().copied()).chain(["--out", &place.path(out)]))
    };
    let said = pool("templates.safetensors", &[]).success().stdout;
    assert!(said.starts_with("24 templates of 72 images in 48 media"), "{said}");
    place.evaluate("templates.safetensors", "result", &["--far", "0.1"]).success();
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_str(&fs_err::read_to_string(place.path(name)).unwrap()).unwrap()
    };
    assert_eq!(json("result/evaluation.json")["accuracy"]["value"], 1.0);
    let cosine = |directory: &str| -> f64 {
        let text = fs_err::read_to_string(place.path(&format!("{directory}/pairs.tsv"))).unwrap();
        text.lines().nth(2).unwrap().split('\t').nth(6).unwrap().parse().unwrap()
    };
    // Both templates of a pair are pooled alike, so the angle between neighbours' templates is 36 degrees.
    assert!((cosine("result") - 36.0_f64.to_radians().cos()).abs() < 1e-6, "{}", cosine("result"));

    for (out, list) in [("g1", "g1.csv"), ("g2", "g2.csv"), ("mixed", "mixed.csv")] {
        let scores = place.path("scores.txt");
        let more = ["--subjects", &place.path(list), "--detector-scores", &scores, "--unit"];
        pool(&format!("{out}.safetensors"), &more).success();
    }
    let [mixed, g1, g2, out] =
        ["mixed.safetensors", "g1.safetensors", "g2.safetensors", "found.json"].map(|name| place.path(name));
    let search =
        ["identify", "--probes", &mixed, "--gallery", &g1, "--gallery", &g2, "--fpir", "0.5", "--out", &out];
    let said = cosface(search).success().stdout;
    assert!(said.contains("g1.safetensors: 6 probes of people in the gallery, 6 of others"), "{said}");
    assert!(
        said.contains("mean over the 2 galleries") && said.contains("missed (FNIR) at FPIR 0.5"),
        "{said}"
    );
    let found = json("found.json");
    for gallery in 0..2 {
        assert_eq!(found["results"][gallery]["whole"]["cmc"][0], 1.0);
        assert_eq!(found["results"][gallery]["whole"]["at_fpir"][0]["read"]["fnir"]["value"], 0.0);
    }

    let refused = |more: &[&str], parts: &[&str]| {
        pool("none.safetensors", more).refused(parts);
        assert!(!Path::new(&place.path("none.safetensors")).exists());
    };
    write("bad.csv", "TEMPLATE_ID,SUBJECT_ID\n100,1\n999,2\n");
    refused(&["--subjects", &place.path("bad.csv")], &["template 999", "tid_mid.txt"]);
    write("bad.csv", "TEMPLATE_ID,SUBJECT_ID\n100,1\n100,2\n");
    refused(&["--subjects", &place.path("bad.csv")], &["bad.csv, line 3", "template 100"]);
    write("bad.txt", "100_0.jpg 0.5\n");
    refused(&["--detector-scores", &place.path("bad.txt")], &["has no 100_1.jpg", "bad.txt"]);
    write("bad.txt", "100_0.jpg -1\n");
    refused(&["--detector-scores", &place.path("bad.txt")], &["bad.txt, line 1", "a score above 0"]);
    write("tid_mid.txt", &format!("{media}absent.jpg 300 1\n"));
    refused(&[], &["1 of 73 listed images have no vector", "absent.jpg"]);
    write("tid_mid.txt", "100_0.jpg 100\n");
    refused(&[], &["tid_mid.txt, line 1", "a medium", "100_0.jpg 100"]);
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
    let left = fs_err::read_dir(place.0.path()).unwrap();
    let aside = left.filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'));
    assert_eq!(aside.count(), 0, "nothing is left aside");
}
