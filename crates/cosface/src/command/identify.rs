//! `cosface identify`: probes searched in a gallery, or among distractors whose number grows.

mod distractors;
mod gallery;
mod images;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{bail, ensure};
use eval::report::{Report, Section};
use eval::{Embeddings, Histogram};
use serde::Serialize;

use super::terminal;
use images::Noise;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Embeddings of the probes, .safetensors or .npz; the folder of a name is the person, as in Ann/1.jpg
    #[arg(long)]
    probes: PathBuf,
    /// Embeddings of the gallery, named alike: closed-set CMC, and DET where some probes are of nobody in it. Given twice,
    /// as IJB's G1 and G2, each is searched by itself, and their means are stated, too
    #[arg(long, required_unless_present = "distractors")]
    gallery: Vec<PathBuf>,
    /// Embeddings of strangers instead of a gallery, in the order in which their number grows (MegaFace's protocol)
    #[arg(long, conflicts_with = "gallery")]
    distractors: Option<PathBuf>,
    /// MegaFace's list of probes, `facescrub_features_list.json`: these images take part, and it says who is in them
    #[arg(long, requires = "distractors")]
    probe_list: Option<PathBuf>,
    /// MegaFace's list of distractors, `megaface_features_list.json_1000_1`, in place of --sizes; may be repeated
    #[arg(long, requires = "distractors", conflicts_with = "sizes")]
    distractor_list: Vec<PathBuf>,
    /// Numbers of distractors; powers of ten and all of them unless given
    #[arg(long, value_delimiter = ',', requires = "distractors")]
    sizes: Vec<usize>,
    /// False accept rate at which the true accept rate is stated with distractors
    #[arg(long, default_value_t = 1e-6)]
    far: f64,
    /// List of names, one a line, of wrong images: figures are stated with and without them
    #[arg(long)]
    noise: Option<PathBuf>,
    /// False positive identification rates at which misses are stated
    #[arg(long, value_delimiter = ',', default_value = "0.1,0.01")]
    fpir: Vec<f64>,
    /// File for all figures, as JSON
    #[arg(long)]
    out: Option<PathBuf>,
    /// Page with the curves: CMC and DET, or rank 1 by distractors
    #[arg(long, value_name = "HTML")]
    report: Option<PathBuf>,
}

/// What was found, as a file.
#[derive(Serialize)]
struct Found<'a, T> {
    /// Version of the layout: 2 has `results` in place of one result.
    schema: u32,
    probes: String,
    /// One for each gallery, or for each list of distractors.
    results: &'a [Searched<T>],
    seconds: f64,
    pairs: u64,
    pairs_per_second: f64,
}

/// What one search found, by which images took part.
#[derive(Serialize)]
struct Searched<T> {
    against: String,
    whole: T,
    /// Without the images of the list of noise.
    cleaned: Option<T>,
    /// Cosines of all probes with rows of other people in a gallery, none of which is kept.
    impostors: Option<Histogram>,
}

/// Time and pairs of all searches.
#[derive(Clone, Copy, Default)]
struct Work {
    time: Duration,
    pairs: u64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(out) = &arguments.out {
        ensure!(
            out.extension().is_some_and(|ending| ending == "json"),
            "figures are written as .json: {}",
            out.display()
        );
    }
    let inputs = arguments.gallery.iter().chain(&arguments.distractors).chain([&arguments.probes]);
    for (input, out) in
        inputs.flat_map(|input| arguments.out.iter().chain(&arguments.report).map(move |out| (input, out)))
    {
        terminal::refuse_overwriting(input, out)?;
    }
    let noise = arguments.noise.as_deref().map(Noise::read).transpose()?;
    let probes = Embeddings::read(&arguments.probes)?;
    match &arguments.distractors {
        Some(path) => distractors::run(arguments, &probes, path, noise.as_ref()),
        None if arguments.gallery.is_empty() => {
            bail!("probes are searched in a --gallery or among --distractors")
        }
        None => gallery::run(arguments, &probes, noise.as_ref()),
    }
}

/// Says how fast it went, and writes the files that are wanted.
fn finish<T: Serialize>(
    arguments: &Arguments,
    results: &[Searched<T>],
    sections: Vec<Section>,
    work: Work,
) -> anyhow::Result<()> {
    let seconds = work.time.as_secs_f64();
    let pairs_per_second = work.pairs as f64 / seconds;
    terminal::note(&format!("{} pairs in {seconds:.2} s, {pairs_per_second:.3e} pairs/s", work.pairs));
    if let Some(out) = &arguments.report {
        let title = format!("{} searched for", name(&arguments.probes));
        Report { title, subtitle: "people by cosine".to_owned(), sections }.write(out)?;
        terminal::say(&format!("report: {}", out.display()));
    }
    let Some(out) = &arguments.out else { return Ok(()) };
    let probes = arguments.probes.display().to_string();
    let found = Found { schema: 2, probes, results, seconds, pairs: work.pairs, pairs_per_second };
    net::atomic_file::write(out, |sink| {
        serde_json::to_writer_pretty(&mut *sink, &found)?;
        sink.write_all(b"\n")
    })?;
    Ok(())
}

/// A file without its folder.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
