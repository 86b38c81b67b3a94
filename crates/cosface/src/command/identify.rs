//! `cosface identify`: probes searched in a gallery, or among distractors whose number grows.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use eval::identification::{Distractors, FnirAtFpir, Identification, search};
use eval::interval::{Bootstrap, Interval};
use eval::report::{Report, Section, distractors_sections, identification_sections};
use eval::{Embeddings, Vectors};
use serde::Serialize;

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Embeddings of the probes, .safetensors or .npz; the folder of a name is the person, as in Ann/1.jpg
    #[arg(long)]
    probes: PathBuf,
    /// Embeddings of the gallery, named alike: closed-set CMC, and DET where some probes are of nobody in it
    #[arg(long, required_unless_present = "distractors")]
    gallery: Option<PathBuf>,
    /// Embeddings of strangers instead of a gallery, in the order in which their number grows (MegaFace's protocol)
    #[arg(long, conflicts_with = "gallery")]
    distractors: Option<PathBuf>,
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

/// What one run found, by which images took part.
#[derive(Serialize)]
struct Found<T> {
    schema: u32,
    probes: String,
    against: String,
    whole: T,
    /// Without the images of the list of noise.
    cleaned: Option<T>,
    seconds: f64,
    pairs_per_second: f64,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(out) = &arguments.out {
        ensure!(
            out.extension().is_some_and(|ending| ending == "json"),
            "figures are written as .json: {}",
            out.display()
        );
    }
    let noise = match &arguments.noise {
        Some(path) => {
            Some(fs_err::read_to_string(path)?.lines().map(|line| line.trim().to_owned()).collect())
        }
        None => None,
    };
    let noise: Option<HashSet<String>> = noise;
    let probes = Embeddings::read(&arguments.probes)?;
    match (&arguments.gallery, &arguments.distractors) {
        (Some(path), _) => gallery(arguments, &probes, path, noise.as_ref()),
        (None, Some(path)) => distractors(arguments, &probes, path, noise.as_ref()),
        (None, None) => bail!("probes are searched in a --gallery or among --distractors"),
    }
}

/// Names and vectors without those of a list.
fn without(
    embeddings: &Embeddings,
    noise: Option<&HashSet<String>>,
) -> anyhow::Result<(Vec<String>, Vectors)> {
    let kept = |name: &String| noise.is_none_or(|noise| !noise.contains(name));
    let rows: Vec<usize> =
        (0..embeddings.names().len()).filter(|&row| kept(&embeddings.names()[row])).collect();
    let vectors = Vectors::from_rows(rows.iter().map(|&row| embeddings.vectors().row(row)))?;
    Ok((rows.into_iter().map(|row| embeddings.names()[row].clone()).collect(), vectors))
}

/// Numbers for people, who are the folders of names.
fn people(names: &[String], numbers: &mut HashMap<String, usize>) -> anyhow::Result<Vec<usize>> {
    let number = |name: &String| {
        let folder = Path::new(name).parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
        let person = folder
            .with_context(|| format!("a name must have the person as its folder, as Ann/1.jpg: {name}"))?;
        let next = numbers.len();
        Ok(*numbers.entry(person.to_owned()).or_insert(next))
    };
    names.iter().map(number).collect()
}

fn check_noise(noise: Option<&HashSet<String>>, all: &[&Embeddings]) -> anyhow::Result<()> {
    let Some(noise) = noise else { return Ok(()) };
    let names: HashSet<&String> = all.iter().flat_map(|embeddings| embeddings.names()).collect();
    if let Some(name) = noise.iter().find(|name| !names.contains(name)) {
        bail!("the list of noise names an image that is neither a probe nor in what is searched: {name}");
    }
    Ok(())
}

fn gallery(
    arguments: &Arguments,
    probes: &Embeddings,
    path: &Path,
    noise: Option<&HashSet<String>>,
) -> anyhow::Result<()> {
    let rows = Embeddings::read(path)?;
    check_noise(noise, &[probes, &rows])?;
    let started = Instant::now();
    let mut pairs = 0;
    let mut find = |noise: Option<&HashSet<String>>| -> anyhow::Result<Identification> {
        let ((probe_names, probes), (names, rows)) = (without(probes, noise)?, without(&rows, noise)?);
        let mut numbers = HashMap::new();
        let in_gallery = people(&names, &mut numbers)?;
        let size = (numbers.len(), rows.rows());
        let of_probes = people(&probe_names, &mut numbers)?;
        let scan = search(&probes, &of_probes, &rows, &in_gallery)?;
        pairs += probes.rows() * rows.rows();
        Ok(Identification::of(&scan.probes, &of_probes, size, &arguments.fpir, &Bootstrap::default())?)
    };
    let whole = find(None)?;
    let cleaned = noise.map(|noise| find(Some(noise))).transpose()?;
    let seconds = started.elapsed().as_secs_f64();
    let mut table = vec![vec![String::new(), "whole".to_owned(), "95 % interval".to_owned()]];
    let mut add = |name: &str, of: &Identification| {
        for rank in &of.ranks {
            table.push(line(&format!("{name}rank {}", rank.rank), rank.found.value, rank.found.interval));
        }
        for read in &of.at_fpir {
            table.push(match read {
                FnirAtFpir::Read { fpir, fnir, .. } => {
                    line(&format!("{name}missed (FNIR) at FPIR {fpir}"), fnir.value, fnir.interval)
                }
                FnirAtFpir::Refused(refused) => {
                    let name = format!("{name}missed (FNIR) at FPIR {}", refused.wanted);
                    vec![name, format!("refused, finest {}", refused.finest), String::new()]
                }
            });
        }
    };
    add("", &whole);
    if let Some(cleaned) = &cleaned {
        add("cleaned: ", cleaned);
    }
    terminal::say(&format!(
        "{} probes of people in the gallery, {} of others; gallery of {} vectors of {} people",
        whole.mated, whole.non_mated, whole.gallery_rows, whole.gallery_people
    ));
    terminal::say(&terminal::table(&table));
    let mut sections = identification_sections("all images", &whole);
    if let Some(cleaned) = &cleaned {
        sections.extend(identification_sections("without noise", cleaned));
    }
    report(arguments, path, sections)?;
    finish(arguments, path, whole, cleaned, (seconds, pairs))
}

/// Writes the page where one is wanted.
fn report(arguments: &Arguments, against: &Path, sections: Vec<Section>) -> anyhow::Result<()> {
    let Some(out) = &arguments.report else { return Ok(()) };
    for input in [arguments.probes.as_path(), against] {
        terminal::refuse_overwriting(input, out)?;
    }
    let title = format!("{} in {}", arguments.probes.display(), against.display());
    let subtitle = "people searched for by cosine".to_owned();
    Report { title, subtitle, sections }.write(out)?;
    terminal::say(&format!("report: {}", out.display()));
    Ok(())
}

fn distractors(
    arguments: &Arguments,
    probes: &Embeddings,
    path: &Path,
    noise: Option<&HashSet<String>>,
) -> anyhow::Result<()> {
    let strangers = Embeddings::read(path)?;
    check_noise(noise, &[probes, &strangers])?;
    let started = Instant::now();
    let mut pairs = 0;
    let mut find = |noise: Option<&HashSet<String>>| -> anyhow::Result<Distractors> {
        let ((names, probes), (_, strangers)) = (without(probes, noise)?, without(&strangers, noise)?);
        let people = people(&names, &mut HashMap::new())?;
        let all = strangers.rows();
        let mut sizes = arguments.sizes.clone();
        if sizes.is_empty() {
            sizes =
                (1..).map(|power| 10_usize.pow(power)).take_while(|&size| size < all).chain([all]).collect();
        }
        pairs += probes.rows() * all;
        Ok(Distractors::of(&probes, &people, &strangers, &sizes, arguments.far)?)
    };
    let whole = find(None)?;
    let cleaned = noise.map(|noise| find(Some(noise))).transpose()?;
    let seconds = started.elapsed().as_secs_f64();
    let mut table =
        vec![vec!["distractors".to_owned(), "rank 1".to_owned(), format!("TAR at FAR {:e}", arguments.far)]];
    for (name, found) in [("", Some(&whole)), ("cleaned: ", cleaned.as_ref())] {
        for point in found.iter().flat_map(|found| &found.points) {
            let refused = || format!("refused, finest {:.1e}", 1.0 / point.impostors as f64);
            let tar = point.tar.map_or_else(refused, |tar| format!("{:.2} %", 100.0 * tar));
            table.push(vec![
                format!("{name}{}", point.distractors),
                format!("{:.2} %", 100.0 * point.rank_one),
                tar,
            ]);
        }
    }
    terminal::say(&format!(
        "{} searches by {} probes of {} people",
        whole.searches, whole.probes, whole.people
    ));
    terminal::say(&terminal::table(&table));
    report(arguments, path, distractors_sections(&whole, cleaned.as_ref()))?;
    finish(arguments, path, whole, cleaned, (seconds, pairs))
}

fn line(name: &str, value: f64, interval: Option<Interval>) -> Vec<String> {
    let range =
        |interval: Interval| format!("{:.2} % to {:.2} %", 100.0 * interval.low, 100.0 * interval.high);
    vec![name.to_owned(), format!("{:.2} %", 100.0 * value), interval.map_or("none".to_owned(), range)]
}

fn finish<T: Serialize>(
    arguments: &Arguments,
    against: &Path,
    whole: T,
    cleaned: Option<T>,
    (seconds, pairs): (f64, usize),
) -> anyhow::Result<()> {
    let pairs_per_second = pairs as f64 / seconds;
    terminal::note(&format!("{pairs} pairs in {seconds:.2} s, {pairs_per_second:.3e} pairs/s"));
    let Some(out) = &arguments.out else { return Ok(()) };
    for input in [arguments.probes.as_path(), against] {
        terminal::refuse_overwriting(input, out)?;
    }
    let found = Found {
        schema: 1,
        probes: arguments.probes.display().to_string(),
        against: against.display().to_string(),
        whole,
        cleaned,
        seconds,
        pairs_per_second,
    };
    net::atomic_file::write(out, |sink| {
        serde_json::to_writer_pretty(&mut *sink, &found)?;
        sink.write_all(b"\n")
    })?;
    Ok(())
}
