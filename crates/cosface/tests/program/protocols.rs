//! The official lists of pairs, evaluated from vectors alone; each figure against a plain definition of it here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::invocation::{cosface, shared};

const DIMENSION: usize = 8;

/// Numbers in -1..1 that a text stands for (FNV-1a, then SplitMix64).
fn numbers(text: &str) -> [f64; DIMENSION] {
    let seed = text.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    std::array::from_fn(|index| {
        let mut mixed = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    })
}

/// A vector for an image: that of the person and something of its own.
fn vector(person: &str, image: &str) -> [f32; DIMENSION] {
    let (person, own) = (numbers(person), numbers(image));
    std::array::from_fn(|index| (person[index] + 0.9 * own[index]) as f32)
}

fn write_embeddings(path: &Path, vectors: &BTreeMap<String, [f32; DIMENSION]>) {
    let names: Vec<&String> = vectors.keys().collect();
    let metadata = serde_json::json!({
        "names": serde_json::to_string(&names).unwrap(), "model_fingerprint": "made", "flip_rule": "none",
    });
    let shape = [vectors.len(), DIMENSION];
    let offsets = [0, vectors.len() * 4 * DIMENSION];
    let tensor = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": offsets });
    let header = serde_json::json!({ "__metadata__": metadata, "embeddings": tensor }).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vectors.values().flatten().flat_map(|value| value.to_le_bytes()));
    fs_err::write(path, bytes).unwrap();
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let product =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum() };
    product(left, right) / (product(left, left) * product(right, right)).sqrt()
}

/// A pair as the test reads it from the official file: two names and whether they are one person.
struct Pair {
    first: String,
    second: String,
    genuine: bool,
}

/// The share of genuine and impostor pairs in the right order, pair by pair.
fn area(cosines: &[(f64, bool)]) -> f64 {
    let of =
        |kind: bool| cosines.iter().filter(move |(_, genuine)| *genuine == kind).map(|(cosine, _)| *cosine);
    let impostors: Vec<f64> = of(false).collect();
    let (mut right, mut count) = (0.0, 0.0);
    for genuine in of(true) {
        for &impostor in &impostors {
            right += if genuine > impostor { 1.0 } else { 0.0 };
            right += if genuine == impostor { 0.5 } else { 0.0 };
            count += 1.0;
        }
    }
    right / count
}

/// Evaluates vectors that the names of the pairs stand for and compares counts, folds and area.
fn check(format: &str, list: &Path, pairs: &[Pair], folds: usize, more: &[&str]) -> serde_json::Value {
    let directory = tempfile::tempdir().unwrap();
    let (file, out) = (directory.path().join("e.safetensors"), directory.path().join("out"));
    let person = |name: &str| name.split('/').next().unwrap().to_owned();
    let names: BTreeSet<&String> = pairs.iter().flat_map(|pair| [&pair.first, &pair.second]).collect();
    let sets = format == "ytf";
    // Frames of different length: each has one vote all the same.
    let frame = |name: &str, index: usize| {
        vector(&person(name), &format!("{name}/{index}")).map(|value| value * (1 + 4 * index) as f32)
    };
    let of = |name: &str| -> Vec<f32> {
        if !sets {
            return vector(&person(name), name).to_vec();
        }
        let mut mean = [0.0_f64; DIMENSION];
        for index in 0..3 {
            let frame = frame(name, index);
            let length = frame.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
            mean.iter_mut().zip(frame).for_each(|(mean, value)| *mean += f64::from(value) / length);
        }
        mean.map(|value| value as f32).to_vec()
    };
    let mut vectors = BTreeMap::new();
    for name in names {
        if sets {
            vectors.extend((0..3).map(|index| (format!("frames/{name}/{index}.jpg"), frame(name, index))));
        } else {
            vectors.insert(format!("crops/{name}.jpg"), vector(&person(name), name));
        }
    }
    write_embeddings(&file, &vectors);
    let (file, out_text) = (file.to_str().unwrap(), out.to_str().unwrap());
    let list = list.to_str().unwrap();
    let given = ["evaluate", "--embeddings", file, "--pairs", list, "--format", format, "--out", out_text];
    cosface(given.iter().chain(more)).success();
    let read = |name: &str| fs_err::read_to_string(out.join(name)).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&read("evaluation.json")).unwrap();
    let protocol = &evaluation["protocol"];
    let genuine = pairs.iter().filter(|pair| pair.genuine).count();
    assert_eq!(protocol["genuine"], genuine, "{format}");
    assert_eq!(protocol["impostor"], pairs.len() - genuine, "{format}");
    assert_eq!(protocol["folds"], folds, "{format}");
    let cosines: Vec<(f64, bool)> =
        pairs.iter().map(|pair| (cosine(&of(&pair.first), &of(&pair.second)), pair.genuine)).collect();
    let (found, expected) = (evaluation["area"]["value"].as_f64().unwrap(), area(&cosines));
    // Means of frames are rounded to f32, which may exchange pairs of almost equal score.
    assert!((found - expected).abs() < if sets { 1e-5 } else { 1e-12 }, "{format}: {found} {expected}");
    assert!((0.6..0.999).contains(&found), "{format}: an area that says something, {found}");
    for file in ["table.md", "report.html"] {
        let named = read(file).contains("mean of their unit vectors");
        assert_eq!(named, sets, "{file} of {format} names the rule of sets, if there is one");
    }
    assert_eq!(evaluation["set_rule"].as_str(), sets.then_some("mean-of-units"));
    evaluation
}

fn lines(path: &Path) -> Vec<String> {
    fs_err::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

fn lfw(path: &Path, skip: usize) -> Vec<Pair> {
    let image =
        |person: &str, number: &str| format!("{person}/{person}_{:04}", number.parse::<u32>().unwrap());
    let read = |line: &String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [person, one, other] => {
                Pair { first: image(person, one), second: image(person, other), genuine: true }
            }
            [person, one, another, other] => {
                Pair { first: image(person, one), second: image(another, other), genuine: false }
            }
            _ => panic!("a pair of LFW: {line}"),
        }
    };
    lines(path).iter().skip(skip).map(read).collect()
}

#[test]
fn both_views_of_lfw_are_evaluated_as_their_files_say() {
    let Some(folder) = shared("data/protocols/lfw") else { return };
    let view_2 = check("lfw", &folder.join("pairs.txt"), &lfw(&folder.join("pairs.txt"), 1), 10, &[]);
    assert_eq!(view_2["protocol"]["fold_origin"], "file");
    let test = folder.join("pairsDevTest.txt");
    let view_1 = check("lfw", &test, &lfw(&test, 1), 10, &["--rule", "insightface"]);
    assert_eq!(view_1["protocol"]["fold_origin"], "cut-in-ten");
    assert_eq!(view_1["verification"]["rule"], "insightface");
}

#[test]
fn both_protocols_of_cfp_are_evaluated_as_their_files_say() {
    let Some(folder) = shared("data/protocols/cfp") else { return };
    let folder = folder.join("Protocol");
    let images = |list: &str| -> Vec<String> {
        let name = |line: &String| {
            let path = line.split_whitespace().last().unwrap();
            path.trim_start_matches("../Data/Images/").trim_end_matches(".jpg").to_owned()
        };
        lines(&folder.join(list)).iter().map(name).collect()
    };
    let (frontal, profile) = (images("Pair_list_F.txt"), images("Pair_list_P.txt"));
    for (format, split, second) in [("cfp-ff", "FF", &frontal), ("cfp-fp", "FP", &profile)] {
        let mut pairs = Vec::new();
        for fold in 1..=10 {
            for (file, genuine) in [("same.txt", true), ("diff.txt", false)] {
                let path = folder.join("Split").join(split).join(format!("{fold:02}")).join(file);
                for line in lines(&path).iter().filter(|line| !line.trim().is_empty()) {
                    let (one, other) = line.split_once(',').unwrap();
                    let at = |text: &str| text.trim().parse::<usize>().unwrap() - 1;
                    let (first, second) = (frontal[at(one)].clone(), second[at(other)].clone());
                    pairs.push(Pair { first, second, genuine });
                }
            }
        }
        assert_eq!(pairs.len(), 7000);
        check(format, &folder, &pairs, 10, &["--rule", "best-on-test"]);
    }
}

#[test]
fn youtube_faces_compares_sets_of_frames_by_a_rule_that_is_named() {
    let Some(list) = shared("data/protocols/ytf/splits.txt") else { return };
    let read = |line: &String| -> Option<Pair> {
        let columns: Vec<&str> = line.split(',').map(str::trim).collect();
        let [_, _, first, second, label] = columns[..] else { return None };
        Some(Pair { first: first.to_owned(), second: second.to_owned(), genuine: label == "1" })
    };
    let pairs: Vec<Pair> =
        lines(&list).iter().filter_map(read).filter(|pair| pair.first.contains('/')).collect();
    assert!(pairs.len() > 4900, "{}", pairs.len());
    check("ytf", &list, &pairs, 10, &[]);
}

/// A list of our own: 40 people with three images, everyone with the next, in one of the two forms.
fn made(directory: &Path, two_line: bool) -> (PathBuf, Vec<Pair>) {
    let image = |person: usize, image: usize| format!("p{:02}/{image}", person % 40);
    let pairs = (0..40).flat_map(|person| {
        [
            (image(person, 0), image(person, 1), true),
            (image(person, 1), image(person, 2), true),
            (image(person, 0), image(person + 1, 0), false),
            (image(person, 2), image(person + 3, 1), false),
        ]
    });
    let pairs: Vec<Pair> = pairs.map(|(first, second, genuine)| Pair { first, second, genuine }).collect();
    let text: String = pairs
        .iter()
        .map(|pair| {
            let label = u8::from(pair.genuine);
            match two_line {
                true => format!("{}.jpg {label}\r\n{}.jpg {label}\r\n", pair.first, pair.second),
                false => format!("{}.jpg\t{}.jpg\t{label}\n", pair.first, pair.second),
            }
        })
        .collect();
    let path = directory.join("list.txt");
    fs_err::write(&path, text).unwrap();
    (path, pairs)
}

#[test]
fn lists_in_one_and_two_lines_are_one_protocol() {
    let directory = tempfile::tempdir().unwrap();
    let figures = [("list", false), ("two-line", true)].map(|(format, two_line)| {
        let (path, pairs) = made(directory.path(), two_line);
        let mut evaluation = check(format, &path, &pairs, 10, &["--far", "0.1"]);
        evaluation.as_object_mut().unwrap().remove("model");
        evaluation
    });
    assert_eq!(figures[0], figures[1]);
}
