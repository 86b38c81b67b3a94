//! The detectors on real photographs (LFW at 150 x 150), against published landmarks.
//!
//! Every sixteenth photograph is looked at; with `COSFACE_TEST_EVERY_PHOTOGRAPH` set, every one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use detect::{Choice, DetectedFace, Detector, Settings};
use engine::Pool;
use face::{Limits, Point, decode_file};

/// A file of the shared research data, or `None`, said aloud, where there is none.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn shared(path: &str) -> Option<PathBuf> {
    let full = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none(), "shared data is required in CI: {}", full.display());
    eprintln!("skipped, shared data is absent: {}", full.display());
    None
}

/// Landmarks by file name, brought from the frame of 250 pixels to that of 150.
fn landmarks(path: &Path) -> BTreeMap<String, [Point; 5]> {
    let text = fs_err::read_to_string(path).unwrap();
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let name = fields.next().unwrap().to_owned();
        let values: Vec<f64> =
            fields.map(|field| (field.parse::<f64>().unwrap() + 0.5) * 0.6 - 0.5).collect();
        (name, std::array::from_fn(|index| Point { x: values[2 * index], y: values[2 * index + 1] }))
    };
    text.lines().map(line).collect()
}

/// Mean distance of five points, in pixels.
fn distance(face: &DetectedFace, expected: &[Point; 5]) -> f64 {
    let pairs = face.landmarks.iter().zip(expected);
    pairs.map(|(one, other)| (one.x - other.x).hypot(one.y - other.y)).sum::<f64>() / 5.0
}

/// A face is found where its landmarks are off by less than this on average; eyes are some 25 pixels apart.
const FOUND: f64 = 8.0;

/// The share of photographs whose face is found, and the median of its landmarks' mean error in pixels.
#[expect(clippy::print_stderr, reason = "the figures are worth seeing")]
fn measure(detector: &str) -> Option<[f64; 2]> {
    let (photographs, list) =
        (shared("faces/lfw-150px-photos")?, shared("protocols/lfw/landmarks-250px.txt")?);
    let mut detector = Detector::read(&shared(&format!("weights/{detector}"))?, Settings::default()).unwrap();
    let pool = Pool::new(1).unwrap();
    let step = if std::env::var_os("COSFACE_TEST_EVERY_PHOTOGRAPH").is_some() { 1 } else { 16 };
    let known = landmarks(&list).into_iter().filter(|(name, _)| photographs.join(name).exists());
    let (mut errors, mut total) = (Vec::new(), 0);
    for (name, expected) in known.step_by(step) {
        let photograph = decode_file(&photographs.join(name), &Limits::default()).unwrap();
        let faces = detector.detect(&pool, &photograph).unwrap();
        total += 1;
        if let [face] = &Choice::Central.of(faces, &photograph)[..] {
            let error = distance(face, &expected);
            errors.extend((error < FOUND).then_some(error));
        }
    }
    errors.sort_by(f64::total_cmp);
    let (share, median) = (errors.len() as f64 / f64::from(total), errors[errors.len() / 2]);
    eprintln!("{}: {} of {total} found, median error {median:.3} pixels", detector.name(), errors.len());
    Some([share, median])
}

#[test]
fn mtcnn_finds_the_published_landmarks() {
    let Some([share, median]) = measure("mtcnn") else { return };
    assert!(share >= 0.995, "{share}");
    assert!(median < 1.2, "{median}");
}

#[test]
fn yunet_finds_the_faces() {
    let Some([share, median]) = measure("yunet/yunet_n_dynamic.onnx") else { return };
    assert!(share >= 0.98, "{share}");
    assert!(median < 3.0, "{median}");
}

#[test]
fn scrfd_finds_the_faces() {
    let Some([share, median]) = measure("scrfd/scrfd_2.5g_bnkps.onnx") else { return };
    assert!(share >= 0.98, "{share}");
    assert!(median < 3.0, "{median}");
}
