//! `cosface align`: a tree of photographs to a tree of aligned crops.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use anyhow::{Context, ensure};
use cosface::{AlignError, Aligner};
use engine::Pool;
use face::Template;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _, RgbImage};

use super::faces::Search;
use super::images;
use super::terminal::{self, Stage};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of photographs, at any depth
    source: PathBuf,
    /// Folder to write: the same tree of crops as PNG, and skipped.tsv with what gave none and why
    destination: PathBuf,
    /// Detector: an ONNX file of YuNet or SCRFD, or a folder with MTCNN's pnet.pt, rnet.pt and onet.pt
    #[arg(long)]
    detector: PathBuf,
    /// Crop: 112x96 as in the CosFace paper, or 112x112
    #[arg(long, default_value = "112x96", value_parser = template)]
    template: Template,
    #[command(flatten)]
    search: Search,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn template(name: &str) -> Result<Template, String> {
    match name {
        "112x96" => Ok(Template::HIGH),
        "112x112" => Ok(Template::SQUARE),
        _ => Err(format!("expected 112x96 or 112x112: {name}")),
    }
}

/// File that lists the photographs without a crop.
const SKIPPED: &str = "skipped.tsv";

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let source = &arguments.source;
    ensure!(fs_err::metadata(source)?.is_dir(), "not a folder: {}", source.display());
    let files = images::collect(std::slice::from_ref(source))?;
    // The destination may not exist yet; its nearest ancestor that does tells where it will lie.
    let from = fs_err::canonicalize(source)?;
    let nearest = arguments.destination.ancestors().find_map(|folder| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        fs_err::canonicalize(folder).ok()
    });
    let inside = nearest.is_some_and(|folder| folder.starts_with(&from));
    ensure!(
        !inside,
        "the destination lies inside the source, choose another: {}",
        arguments.destination.display()
    );
    fs_err::create_dir_all(&arguments.destination)?;

    let threads = match arguments.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let detector = arguments.search.detector(&arguments.detector)?;
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let (sender, receiver) = mpsc::channel();
    let mut stage = Stage::start("align", files.len() as u64);
    let mut skipped: Vec<(PathBuf, String)> = Vec::new();
    let (mut crops, mut there) = (0, 0);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        for _ in 0..threads.min(files.len()) {
            let pool = Pool::new(1)?;
            let choice = arguments.search.faces;
            let mut aligner = Aligner::new(detector.clone(), pool, arguments.template, choice);
            let (sender, files, next, failure) = (sender.clone(), &files, &next, &failure);
            scope.spawn(move || {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match one(arguments, file, &mut aligner) {
                        // The receiver is gone only when another worker has failed.
                        Ok(outcome) => drop(sender.send((file, outcome))),
                        Err(error) => {
                            next.store(files.len(), Ordering::Relaxed);
                            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        }
                    }
                }
            });
        }
        drop(sender);
        for (done, (file, outcome)) in receiver.iter().enumerate() {
            match outcome {
                Outcome::There => there += 1,
                Outcome::Written(count) => crops += count,
                Outcome::Skipped(reason) => skipped.push((file.clone(), reason)),
            }
            stage.show(done as u64 + 1, &format!("{} skipped", skipped.len()));
        }
        Ok(())
    })?;
    stage.finish();
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    skipped.sort();
    let list = arguments.destination.join(SKIPPED);
    net::atomic_file::write(&list, |out| -> std::io::Result<()> {
        writeln!(out, "file\treason")?;
        for (file, reason) in &skipped {
            let name = file.strip_prefix(source).unwrap_or(file).display();
            writeln!(out, "{name}\t{}", reason.replace(['\t', '\n'], " "))?;
        }
        Ok(())
    })?;
    terminal::say(&format!(
        "{crops} crops written, {there} photographs done before, {} skipped: {}",
        skipped.len(),
        list.display()
    ));
    Ok(())
}

/// What became of a photograph.
enum Outcome {
    /// Its crop was there before.
    There,
    Written(usize),
    /// It gives no crop, and why.
    Skipped(String),
}

fn one(arguments: &Arguments, file: &Path, aligner: &mut Aligner) -> anyhow::Result<Outcome> {
    let inside = file.strip_prefix(&arguments.source).unwrap_or(file);
    let first = arguments.destination.join(inside).with_extension("png");
    if fs_err::metadata(&first).is_ok() {
        return Ok(Outcome::There);
    }
    let crops = match aligner.crops(file) {
        Ok(crops) => crops,
        Err(AlignError::Detect(error)) => return Err(error.into()),
        Err(error) => return Ok(Outcome::Skipped(chain(&error))),
    };
    if let Some(folder) = first.parent() {
        fs_err::create_dir_all(folder)?;
    }
    // The first crop comes last: where it is, all are.
    for (index, crop) in crops.iter().enumerate().rev() {
        let path = match index {
            0 => first.clone(),
            index => first.with_extension(format!("{}.png", index + 1)),
        };
        write(crop, &path)?;
    }
    Ok(Outcome::Written(crops.len()))
}

fn write(crop: &RgbImage, path: &Path) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(crop, crop.width(), crop.height(), ExtendedColorType::Rgb8)
        .with_context(|| format!("cannot encode the crop: {}", path.display()))?;
    net::atomic_file::write(path, |out| -> std::io::Result<()> { out.write_all(&bytes) })?;
    Ok(())
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
