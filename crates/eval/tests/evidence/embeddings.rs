//! Files of embeddings: what NumPy and safetensors write, and what is refused.

use std::path::Path;

use eval::embeddings::{EmbeddingsError, NpzProblem};
use eval::protocol::{FoldOrigin, ImageKey, Kind, Pair};
use eval::{Embeddings, FeatureRule, Protocol, SetRule, Vectors};

const STORED: &[u8] = include_bytes!("../golden/embeddings.npz");
const PACKED: &[u8] = include_bytes!("../golden/packed.npz");
const OBJECTS: &[u8] = include_bytes!("../golden/objects.npz");

fn read(bytes: &[u8], name: &str) -> Result<Embeddings, EmbeddingsError> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(name);
    fs_err::write(&path, bytes).expect("a file");
    Embeddings::read(&path)
}

/// A safetensors file, written out by hand.
fn safetensors(metadata: &serde_json::Value, kind: &str, shape: [usize; 2], values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let tensor = serde_json::json!({ "dtype": kind, "shape": shape, "data_offsets": [0, bytes.len()] });
    let header = serde_json::json!({ "__metadata__": metadata, "embeddings": tensor }).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat()
}

fn protocol(names: &[&str]) -> Protocol {
    let person = |name: &str| name.split('/').next().unwrap_or(name).to_owned();
    let images = names.iter().map(|name| ImageKey { person: person(name), name: (*name).to_owned() });
    Protocol {
        name: "made.txt".into(),
        images: images.collect(),
        pairs: vec![Pair { first: 0, second: 1, kind: Kind::Genuine, fold: 0 }],
        folds: 1,
        fold_origin: FoldOrigin::File,
    }
}

fn embeddings(names: &[&str], rows: &[&[f32]]) -> Embeddings {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Embeddings::new(names, Vectors::from_rows(rows.iter().copied()).expect("vectors")).expect("named")
}

#[test]
fn archives_of_numpy_are_read_stored_and_compressed_in_both_widths() {
    for (bytes, kind) in [(STORED, "stored"), (PACKED, "packed")] {
        let read = read(bytes, "x.npz").expect(kind);
        assert_eq!(read.names()[3], "Bob/Bob_0012.jpg");
        assert_eq!(read.names()[4], "Zo\u{eb}/Zo\u{eb}_0001.png", "{kind}");
        assert_eq!(read.vectors().row(4), [(12.0 - 7.25) / 8.0, (13.0 - 7.25) / 8.0, (14.0 - 7.25) / 8.0]);
    }
}

#[test]
fn an_array_of_objects_is_refused_because_it_is_a_pickle() {
    let error = read(OBJECTS, "x.npz").expect_err("refused");
    let EmbeddingsError::Npz { source: NpzProblem::Array { array: "names", header, .. }, .. } = error else {
        panic!("{error:?}")
    };
    assert!(header.contains("|O"), "{header}");
}

#[test]
fn every_truncation_of_an_archive_is_an_error_and_no_panic() {
    for bytes in [STORED, PACKED] {
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], "x.npz").is_err(), "{length}");
        }
    }
}

#[test]
fn changed_bytes_of_an_archive_never_panic() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("x.npz");
    for bytes in [STORED, PACKED] {
        for at in 0..bytes.len() {
            for value in [0, 0xff] {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                fs_err::write(&path, changed).expect("a file");
                let _ = Embeddings::read(&path);
            }
        }
    }
}

#[test]
fn a_file_of_the_embed_command_brings_model_and_flip_rule() {
    let metadata = serde_json::json!({
        "names": "[\"a.jpg\", \"b.jpg\"]", "model_fingerprint": "abc", "flip_rule": "summed",
    });
    let found = read(&safetensors(&metadata, "F32", [2, 2], &[1.0, 2.0, 3.0, 4.0]), "x.safetensors");
    let found = found.expect("embeddings");
    assert_eq!((found.model.as_deref(), found.feature_rule), (Some("abc"), Some(FeatureRule::Summed)));
    assert_eq!(
        (found.names(), found.vectors().row(1)),
        (&["a.jpg".to_owned(), "b.jpg".to_owned()][..], &[3.0, 4.0][..])
    );
}

#[test]
fn damaged_files_say_what_is_wrong_and_whose_vector() {
    let names = serde_json::json!({ "names": "[\"a.jpg\", \"b.jpg\"]" });
    let file =
        |values: &[f32]| read(&safetensors(&names, "F32", [values.len() / 2, 2], values), "x.safetensors");
    let error = |values: &[f32]| file(values).expect_err("refused").to_string();
    assert_eq!(error(&[1.0, 2.0, 0.0, 0.0]), "no direction in the vector of b.jpg");
    assert_eq!(error(&[f32::NAN, 2.0, 0.0, 1.0]), "no direction in the vector of a.jpg");
    assert_eq!(error(&[1.0, 2.0]), "there must be one name for each of the 1 vectors, there are: 2");
    assert!(file(&[]).is_err());
    let wrong = read(&safetensors(&names, "I32", [2, 1], &[1.0, 2.0]), "x.safetensors");
    assert!(matches!(wrong, Err(EmbeddingsError::Tensors { .. })));
    assert!(matches!(read(b"", "x.safetensors"), Err(EmbeddingsError::Tensors { .. })));
    assert!(matches!(read(b"", "x.json"), Err(EmbeddingsError::Ending { .. })));
    assert!(matches!(Embeddings::read(Path::new("absent.npz")), Err(EmbeddingsError::Read(_))));
}

#[test]
fn vectors_are_found_by_the_last_parts_of_their_names_in_any_order() {
    let found = embeddings(
        &["/crops/Bob/Bob_0001.PNG", "x\\Ann\\Ann_0002.jpg", "Ann/Ann_0001.jpg", "other/thing.jpg"],
        &[&[3.0], &[2.0], &[1.0], &[9.0]],
    );
    let rows = found.of_protocol(&protocol(&["Ann/Ann_0001", "Ann/Ann_0002", "Bob/Bob_0001"])).expect("rows");
    assert_eq!([rows.row(0), rows.row(1), rows.row(2)], [[1.0], [2.0], [3.0]]);
    let error = found.of_protocol(&protocol(&["Ann/Ann_0001", "Ann/Ann_0003"])).expect_err("missing");
    assert_eq!(
        error.to_string(),
        "made.txt names 2 images and 1 of them are missing, beginning with: Ann/Ann_0003"
    );
    // `Mary-Ann/Ann_0001` ends with the letters of `Ann/Ann_0001`, and is another image.
    let letters = embeddings(&["Mary-Ann/Ann_0001.jpg", "b.jpg"], &[&[1.0], &[2.0]]);
    assert!(letters.of_protocol(&protocol(&["Ann/Ann_0001", "b"])).is_err());
}

#[test]
fn two_vectors_for_one_image_are_refused_only_where_the_protocol_needs_it() {
    let found = embeddings(&["a/x.jpg", "a/x.png", "a/y.jpg", "a/z.jpg"], &[&[1.0], &[2.0], &[3.0], &[4.0]]);
    let error = found.of_protocol(&protocol(&["a/x", "a/y"])).expect_err("ambiguous");
    assert_eq!(error.to_string(), "two vectors for a/x, keep one: a/x.jpg and a/x.png");
    assert!(found.of_protocol(&protocol(&["a/z", "a/y"])).is_ok());
    let twice = embeddings(&["a/x.jpg", "a/x.jpg", "b.jpg"], &[&[1.0], &[1.0], &[2.0]]);
    assert!(matches!(twice.of_protocol(&protocol(&["a/x", "b"])), Err(EmbeddingsError::Ambiguous { .. })));
}

#[test]
fn frames_of_a_video_become_one_vector_by_a_named_rule() {
    let found = embeddings(
        &["v/Ann/0/1.jpg", "v/Ann/0/2.jpg", "v/Ann/1/1.jpg", "v/Bob/0/1.jpg", "v/Bob/0/2.jpg"],
        &[&[4.0, 0.0], &[0.0, 1.0], &[1.0, 1.0], &[1.0, 0.0], &[-1.0, 0.0]],
    );
    let two = protocol(&["Ann/0", "Ann/1"]);
    // By hand: units (1, 0) and (0, 1) have the mean (0.5, 0.5); as they are, (4, 0) and (0, 1) have (2, 0.5).
    assert_eq!(found.sets_of(&two, SetRule::MeanOfUnits).expect("rows").row(0), [0.5, 0.5]);
    let mean = found.sets_of(&two, SetRule::Mean).expect("rows");
    assert_eq!((mean.row(0), mean.row(1)), (&[2.0, 0.5][..], &[1.0, 1.0][..]));
    let cancelled = found.sets_of(&protocol(&["Ann/0", "Bob/0"]), SetRule::Mean).expect_err("refused");
    assert_eq!(cancelled.to_string(), "the vectors of the set cancel each other: Bob/0");
    assert!(matches!(
        found.sets_of(&protocol(&["Ann/0", "Cy/0"]), SetRule::Mean),
        Err(EmbeddingsError::Missing(_))
    ));
}
