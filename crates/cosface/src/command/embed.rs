//! `cosface embed`: image files to unit vectors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cosface::Embedder;
use face::Embedding;
use net::tensor_file::{self, NamedArray, ValuesRef};

use super::evaluate::{fit, is_image, rule_of};
use super::terminal::{self, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file
    model: PathBuf,
    /// Aligned crops, or folders of them at any depth
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// File to write: tensor `embeddings` [images, dimension] in f32; names, model fingerprint and flip rule as metadata
    #[arg(long)]
    out: PathBuf,
    /// What to do with images of another size than the model's: exact, stretch or crop
    #[arg(long, default_value = "exact", value_parser = fit)]
    resize: data::Fit,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    terminal::refuse_overwriting(&arguments.model, &arguments.out)?;
    let mut files = Vec::new();
    for path in &arguments.images {
        collect(path, &mut files)?;
    }
    if files.is_empty() {
        bail!("no image files (jpg, png, webp, bmp, pgm, ppm) in: {}", arguments.images[0].display());
    }
    let mut embedder = Embedder::open(&arguments.model, arguments.threads)?;
    let flip = embedder.model().card().preprocessing.flip;
    let mut stage = Stage::start("embed", files.len() as u64);
    let features =
        embedder.features(files.clone(), arguments.resize, flip, &mut |done| stage.show(done as u64, ""))?;
    stage.finish();

    let rule = rule_of(flip);
    let mut values = Vec::new();
    for (feature, file) in features.iter().zip(&files) {
        let embedding = Embedding::new(rule.combine(&feature.image, &feature.mirrored))
            .with_context(|| format!("no embedding for {}", file.display()))?;
        values.extend_from_slice(embedding.as_slice());
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

/// A file as it is named; a folder as its image files in order of their names, at any depth.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !fs_err::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs_err::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs_err::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if fs_err::metadata(&path)?.is_dir() {
            collect(&path, files)?;
        } else if is_image(&path) {
            files.push(path);
        }
    }
    Ok(())
}
