//! Whether another runtime computes the same embeddings from an exported file.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use cosface::Embedder;
use data::{Reader, Unreadable};
use net::{FlipRule, atomic_file};
use serde::Deserialize;

use crate::command::{images, terminal};

/// The program that a Python with ONNX Runtime runs.
const PROGRAM: &str = include_str!("onnx_runtime.py");

/// Exit status of [`PROGRAM`] where a module is missing.
const MODULE_MISSING: i32 = 3;

/// Images that are compared at most, spread evenly over those that are given.
const IMAGES_AT_MOST: usize = 64;

/// The least cosine between two computations of one embedding in f32.
const LEAST_COSINE: f64 = 0.99999;

/// What [`PROGRAM`] prints.
#[derive(Debug, Deserialize)]
struct Answer {
    onnxruntime: String,
    python: String,
    /// The largest difference of a feature computed alone from the same one computed among others.
    alone: f32,
    shape: [usize; 2],
}

/// How two sets of vectors differ.
#[derive(Debug, PartialEq)]
struct Parity {
    /// The largest absolute entry of our features.
    largest_feature: f64,
    /// Absolute differences between entries of the features, largest and mean.
    features: [f64; 2],
    /// The same after both are brought to length 1.
    embeddings: [f64; 2],
    /// The least cosine, and the vector that has it.
    least_cosine: f64,
    least_at: usize,
}

/// Computes the features of aligned crops with the model and, through ONNX Runtime, with the file that was exported
/// from it, prints how they differ, and fails where a cosine is below 0.99999.
pub(super) fn check(
    model: &Path,
    exported: &Path,
    crops: &[PathBuf],
    fit: data::Fit,
    python: &Path,
) -> anyhow::Result<()> {
    let files = spread(images::collect(crops)?, IMAGES_AT_MOST);
    let mut embedder = Embedder::open(model, 0)?;
    let ours = embedder.features(files.clone(), fit, FlipRule::None, &mut |_| {})?;
    let ours: Vec<Vec<f32>> = ours.into_iter().map(|features| features.image).collect();
    let preparation = Embedder::preparation(&embedder.model().card().preprocessing, fit)?;
    let mut pixels = Vec::new();
    for batch in Reader::new(files.clone(), preparation, 16, 1, Unreadable::Refuse) {
        pixels.extend(batch?.pixels);
    }
    let (answer, theirs) = run(python, exported, &pixels)?;
    let dimension = embedder.model().card().feature_dimension;
    ensure!(
        answer.shape == [files.len(), dimension] && theirs.len() == files.len() * dimension,
        "ONNX Runtime gives features of {:?} where {:?} are expected: {}",
        answer.shape,
        [files.len(), dimension],
        exported.display()
    );
    let theirs: Vec<&[f32]> = theirs.chunks_exact(dimension).collect();
    if let Some(index) = theirs.iter().position(|row| row.iter().any(|value| !value.is_finite())) {
        bail!("ONNX Runtime gives a feature that is not finite for {}", files[index].display());
    }
    let ours: Vec<&[f32]> = ours.iter().map(Vec::as_slice).collect();
    let parity = Parity::of(&ours, &theirs);
    report(&parity, &answer, files.len());
    ensure!(
        parity.least_cosine >= LEAST_COSINE,
        "the exported file computes other embeddings than the model, the cosine is {:.7} and must be {LEAST_COSINE} \
         or more; for {}",
        parity.least_cosine,
        files[parity.least_at].display()
    );
    Ok(())
}

fn report(parity: &Parity, answer: &Answer, count: usize) {
    let Answer { onnxruntime, python, alone, .. } = answer;
    let row = |name: &str, [largest, mean]: [f64; 2]| {
        vec![name.to_owned(), format!("{largest:.2e}"), format!("{mean:.2e}")]
    };
    let head = ["differences", "largest", "mean"].map(str::to_owned).to_vec();
    let table = terminal::table(&[
        head,
        row(&format!("features (up to {:.3})", parity.largest_feature), parity.features),
        row("embeddings (length 1)", parity.embeddings),
    ]);
    terminal::say(&format!("parity with ONNX Runtime {onnxruntime} (Python {python}) on {count} crops"));
    terminal::say(&table);
    terminal::say(&format!(
        "least cosine: {:.9} (1 - {:.1e}); alone or in a batch, features differ by up to {alone:.2e}",
        parity.least_cosine,
        1.0 - parity.least_cosine
    ));
}

/// At most `count` of the files, evenly spread, the first among them.
fn spread(files: Vec<PathBuf>, count: usize) -> Vec<PathBuf> {
    let total = files.len();
    if total <= count {
        return files;
    }
    (0..count).map(|index| files[index * total / count].clone()).collect()
}

/// Runs [`PROGRAM`] on images and returns its answer with the features.
fn run(python: &Path, exported: &Path, pixels: &[u8]) -> anyhow::Result<(Answer, Vec<f32>)> {
    let folder = Scratch::beside(exported)?;
    let (program, images, out) = (folder.path("check.py"), folder.path("images"), folder.path("features"));
    atomic_file::write(&program, |sink| sink.write_all(PROGRAM.as_bytes()))?;
    atomic_file::write(&images, |sink| sink.write_all(pixels))?;
    let mut command = Command::new(python);
    command.args([program.as_path(), exported, &images, &out]);
    let output = command.output().with_context(|| {
        format!("cannot run Python, name one with --python that has onnxruntime: {}", python.display())
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MODULE_MISSING) && said.contains("cosface: missing module") {
        bail!(
            "this Python has no onnxruntime: {}\n  make one that has it: python3 -m venv onnx-venv && \
             onnx-venv/bin/pip install onnxruntime\n  and name it: --python onnx-venv/bin/python",
            python.display()
        );
    }
    if !output.status.success() {
        let last: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(3).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        bail!("ONNX Runtime could not run {} ({}):\n  {last}", exported.display(), output.status);
    }
    let answer = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the answer of Python cannot be read: {}", python.display()))?;
    let bytes = fs_err::read(&out)?;
    Ok((answer, bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()))
}

/// A folder for the files that Python reads and writes, which goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(exported: &Path) -> anyhow::Result<Scratch> {
        let mut name = std::ffi::OsString::from(".");
        name.push(exported.file_name().context("the ONNX file has no name")?);
        name.push(format!(".{}.check", std::process::id()));
        let folder = std::path::absolute(exported)?.with_file_name(name);
        fs_err::create_dir(&folder)?;
        Ok(Scratch(folder))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs_err::remove_dir_all(&self.0) {
            terminal::note(&format!("note: {error}"));
        }
    }
}

impl Parity {
    /// # Panics
    /// Where the sets are empty or of unequal sizes.
    fn of(ours: &[&[f32]], theirs: &[&[f32]]) -> Parity {
        assert_eq!(ours.len(), theirs.len(), "two sets of as many features");
        let mut parity = Parity {
            largest_feature: 0.0,
            features: [0.0; 2],
            embeddings: [0.0; 2],
            least_cosine: f64::INFINITY,
            least_at: 0,
        };
        let length = |row: &[f32]| row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let mut entries = 0;
        for (index, (one, other)) in ours.iter().zip(theirs).enumerate() {
            assert_eq!(one.len(), other.len(), "two features of one dimension");
            let lengths = [length(one), length(other)];
            let mut cosine = 0.0;
            for (a, b) in one.iter().zip(*other) {
                let (a, b) = (f64::from(*a), f64::from(*b));
                // A feature of length 0 has no direction: its cosine is taken as 0.
                let (unit_a, unit_b) =
                    (a / lengths[0].max(f64::MIN_POSITIVE), b / lengths[1].max(f64::MIN_POSITIVE));
                parity.largest_feature = parity.largest_feature.max(a.abs());
                for ([largest, sum], difference) in
                    [(&mut parity.features, (a - b).abs()), (&mut parity.embeddings, (unit_a - unit_b).abs())]
                {
                    *largest = largest.max(difference);
                    *sum += difference;
                }
                cosine += unit_a * unit_b;
            }
            entries += one.len();
            if cosine < parity.least_cosine {
                (parity.least_cosine, parity.least_at) = (cosine, index);
            }
        }
        parity.features[1] /= entries as f64;
        parity.embeddings[1] /= entries as f64;
        parity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_cosine_are_those_of_a_pair_computed_by_hand() {
        let parity = Parity::of(&[&[3.0, 4.0], &[0.0, 2.0]], &[&[3.0, 4.0], &[1.0, 1.0]]);
        let unit = 0.5_f64.sqrt();
        assert_eq!(parity.features, [1.0, 0.5]);
        assert!((parity.embeddings[0] - unit).abs() < 1e-12, "{parity:?}");
        assert!((parity.embeddings[1] - (unit + 1.0 - unit) / 4.0).abs() < 1e-12, "{parity:?}");
        assert!((parity.least_cosine - unit).abs() < 1e-12 && parity.least_at == 1, "{parity:?}");
        assert_eq!(parity.largest_feature, 4.0);
    }

    #[test]
    fn a_feature_of_zeros_has_no_cosine_to_hide_behind() {
        assert_eq!(Parity::of(&[&[1.0, 0.0]], &[&[0.0, 0.0]]).least_cosine, 0.0);
    }

    #[test]
    fn the_crops_that_are_compared_are_spread_over_all() {
        let files: Vec<PathBuf> = (0..10).map(|index| PathBuf::from(index.to_string())).collect();
        let names = |count| {
            let files = spread(files.clone(), count);
            files.iter().map(|file| file.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(4), "0 2 5 7");
        assert_eq!(names(10), "0 1 2 3 4 5 6 7 8 9");
    }
}
