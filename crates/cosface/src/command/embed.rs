//! `cosface embed`: image files to unit vectors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cosface::Embedder;
use face::Embedding;
use net::atomic_file::PARTIAL_ENDING;
use net::tensor_file::{self, NamedArray, ValuesRef};

use super::evaluate::{fit, rule_of};
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
    check_writable(&arguments.out)?;
    let mut files = Vec::new();
    for path in &arguments.images {
        let mut folder = Folder::default();
        folder.collect(path)?;
        if let Some(example) = folder.ignored.first() {
            let (root, count, example) = (path.display(), folder.ignored.len(), example.display());
            terminal::note(&format!("note: {root}: {count} other files ignored, such as {example}"));
        }
        if folder.images.is_empty() {
            bail!("no image files (jpg, png, webp, bmp, pgm, ppm) in: {}", path.display());
        }
        files.append(&mut folder.images);
    }
    for image in &files {
        terminal::refuse_overwriting(image, &arguments.out)?;
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

/// What a path leads to: image files in order of their names, at any depth, and the files that are none by their names.
#[derive(Default)]
struct Folder {
    images: Vec<PathBuf>,
    ignored: Vec<PathBuf>,
    /// Folders seen, because a link may lead back up.
    seen: BTreeSet<PathBuf>,
}

impl Folder {
    /// A file counts as an image if it is named itself; in a folder its name decides, and hidden files are none.
    fn collect(&mut self, path: &Path) -> anyhow::Result<()> {
        if !fs_err::metadata(path)?.is_dir() {
            self.images.push(path.to_owned());
            return Ok(());
        }
        if !self.seen.insert(fs_err::canonicalize(path)?) {
            return Ok(());
        }
        let entries = fs_err::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs_err::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if hidden || !(data::is_image(&path) || fs_err::metadata(&path)?.is_dir()) {
                self.ignored.push(path);
            } else {
                self.collect(&path)?;
            }
        }
        Ok(())
    }
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
