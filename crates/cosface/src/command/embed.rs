//! `cosface embed`: image files to unit vectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cosface::{AlignError, Aligner, Embedder, Features, rule_of, template_of};
use eval::FeatureRule;
use image::RgbImage;
use net::FlipRule;
use net::atomic_file::PARTIAL_ENDING;
use net::tensor_file::{self, NamedArray, ValuesRef};

use super::evaluate::fit;
use super::faces::Search;
use super::images;
use super::operands::{Operands, open};
use super::terminal::{self, Stage};
use super::workers;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file
    model: PathBuf,
    /// Aligned crops or, with a detector, photographs; or folders of them at any depth
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Finds and aligns the faces of photographs: an ONNX file of YuNet or SCRFD, or a folder with MTCNN's files
    #[arg(long, conflicts_with = "resize")]
    detector: Option<PathBuf>,
    #[command(flatten)]
    search: Search,
    /// File to write: tensor `embeddings` [images, dimension] in f32; names, model fingerprint and flip rule as metadata
    #[arg(long)]
    out: PathBuf,
    /// How an image and its mirror image become a vector: image, concatenated or summed; the model card's rule unless given
    #[arg(long)]
    feature: Option<FeatureRule>,
    /// Keep the lengths of the vectors, which IJB's templates take as a measure of quality, in place of 1
    #[arg(long)]
    keep_length: bool,
    /// Leave out images that cannot be read, and photographs without a face, and list them, in place of refusing
    #[arg(long)]
    skip_unreadable: bool,
    /// What to do with images of another size than the model's: exact, stretch or crop
    #[arg(long, default_value = "exact", value_parser = fit)]
    resize: data::Fit,
    /// What the operands of the network's products are rounded to
    #[arg(long, value_enum, default_value_t = Operands::F32)]
    precision: Operands,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    terminal::refuse_overwriting(&arguments.model, &arguments.out)?;
    check_writable(&arguments.out)?;
    let files = images::collect(&arguments.images)?;
    for image in &files {
        terminal::refuse_overwriting(image, &arguments.out)?;
    }
    let mut embedder = open(&arguments.model, arguments.threads, arguments.precision)?;
    let flip = match arguments.feature {
        None => embedder.model().card().preprocessing.flip,
        Some(FeatureRule::Image) => FlipRule::None,
        Some(FeatureRule::Concatenated) => FlipRule::Concatenated,
        Some(FeatureRule::Summed) => FlipRule::Summed,
    };
    let mut stage = Stage::start("embed", files.len() as u64);
    let mut shown = |done| stage.show(done as u64, "");
    let (features, files) = match &arguments.detector {
        None if arguments.skip_unreadable => {
            let readable = embedder.readable_features(files, arguments.resize, flip, &mut shown)?;
            left(&readable.files, readable.skipped)?;
            (readable.features, readable.files)
        }
        None => (embedder.features(files.clone(), arguments.resize, flip, &mut shown)?, files),
        Some(detector) => photographs(arguments, detector, &files, &mut embedder, flip, &mut shown)?,
    };
    stage.finish();

    let mut values = Vec::new();
    for (feature, file) in features.iter().zip(&files) {
        let embedding =
            feature.embedding(flip).with_context(|| format!("no embedding for {}", file.display()))?;
        if arguments.keep_length {
            values.extend(rule_of(flip).combine(&feature.image, &feature.mirrored));
        } else {
            values.extend_from_slice(embedding.as_slice());
        }
    }
    let shape = [files.len(), values.len() / files.len()];
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let metadata = BTreeMap::from([
        ("names".to_owned(), serde_json::to_string(&names)?),
        ("model_fingerprint".to_owned(), embedder.model().fingerprint().to_string()),
        ("flip_rule".to_owned(), flip.to_string()),
    ]);
    let array = NamedArray { name: "embeddings", shape: &shape, values: ValuesRef::F32(&values) };
    tensor_file::write(&arguments.out, &metadata, &[array])?;
    terminal::say(&format!("{} embeddings of dimension {}: {}", shape[0], shape[1], arguments.out.display()));
    Ok(())
}

/// Fails where the output cannot be written, before any work is done for it; leaves nothing.
fn check_writable(out: &Path) -> anyhow::Result<()> {
    if out.is_dir() {
        bail!("the output is a directory, name a file: {}", out.display());
    }
    let Some(name) = out.file_name() else { bail!("the output has no file name: {}", out.display()) };
    let mut aside = std::ffi::OsString::from(".");
    aside.push(name);
    aside.push(format!(".{}{PARTIAL_ENDING}", std::process::id()));
    let aside = out.with_file_name(aside);
    fs_err::File::create(&aside)?;
    Ok(fs_err::remove_file(&aside)?)
}

/// Crops that pass through the network together.
const BATCH: usize = 32;

/// Lists what was left out, and refuses where nothing else is left.
fn left<E: std::error::Error + Send + Sync + 'static>(
    files: &[PathBuf],
    skipped: Vec<E>,
) -> anyhow::Result<()> {
    terminal::list_skipped(&skipped);
    match (files.is_empty(), skipped.into_iter().next()) {
        (true, Some(first)) => Err(anyhow::Error::new(first).context("none of the images can be used")),
        _ => Ok(()),
    }
}

/// Features of the chosen faces of each photograph, and the photograph of each. One without a face is an error, unless
/// such photographs are to be left out.
///
/// Every thread finds and aligns the faces of a photograph of its own; the network runs on all of them beside.
fn photographs(
    arguments: &Arguments,
    detector: &Path,
    files: &[PathBuf],
    embedder: &mut Embedder,
    flip: FlipRule,
    shown: &mut dyn FnMut(usize),
) -> anyhow::Result<(Vec<Features>, Vec<PathBuf>)> {
    let template = template_of(embedder.model().card().preprocessing.template).with_context(|| {
        format!("the model takes images that are not aligned: {}", arguments.model.display())
    })?;
    let detector = arguments.search.detector(detector)?;
    let choice = arguments.search.faces;
    let aligner = |_| -> anyhow::Result<Aligner> {
        Ok(Aligner::new(detector.clone(), engine::Pool::new(1)?, template, choice))
    };
    let count = workers::count(arguments.threads, files);
    let aligners = (0..count).map(aligner).collect::<anyhow::Result<Vec<_>>>()?;
    let (mut features, mut names, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let mut waiting: Vec<(RgbImage, PathBuf)> = Vec::new();
    let mut embed = |waiting: &mut Vec<(RgbImage, PathBuf)>| -> anyhow::Result<()> {
        features.extend(embedder.features_of_crops(waiting, flip)?);
        names.extend(waiting.drain(..).map(|(_, file)| file));
        Ok(())
    };
    let work = |aligner: &mut Aligner, file: &Path| match aligner.crops(file) {
        // A detector that cannot run is no fault of the photograph.
        Err(error) if !arguments.skip_unreadable || matches!(error, AlignError::Detect(_)) => {
            Err(error.into())
        }
        outcome => Ok(outcome),
    };
    workers::each_in_order(files, aligners, work, |index, outcome| {
        match outcome {
            Ok(crops) => waiting.extend(crops.into_iter().map(|crop| (crop, files[index].clone()))),
            Err(error) => skipped.push(error),
        }
        if waiting.len() >= BATCH {
            embed(&mut waiting)?;
        }
        shown(index + 1);
        Ok(())
    })?;
    embed(&mut waiting)?;
    left(&names, skipped)?;
    Ok((features, names))
}
