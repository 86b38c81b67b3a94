//! `cosface align`: a tree of photographs to a tree of aligned crops.

mod crop_files;
mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context, ensure};
use cosface::{AlignError, Aligner};
use detect::Choice;
use engine::Pool;
use face::Template;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _, RgbImage};

use super::faces::Search;
use super::images;
use super::terminal::{self, Stage};
use super::{interruption, workers};
use record::Record;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of photographs, at any depth
    source: PathBuf,
    /// Folder to write: the same tree of crops as PNG, skipped.tsv with what gave none and why, and aligned.json with
    /// what the crops were made with. Photographs whose crops are there are not read again
    destination: PathBuf,
    /// Detector: an ONNX file of YuNet or SCRFD, or a folder with MTCNN's pnet.pt, rnet.pt and onet.pt
    #[arg(long)]
    detector: PathBuf,
    /// Crop: 112x96 as in the CosFace paper, or 112x112
    #[arg(long, default_value = "112x96", value_parser = template)]
    template: Template,
    #[command(flatten)]
    search: Search,
    /// Remove the crops of these photographs that are there, and make them anew
    #[arg(long)]
    redo: bool,
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

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
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
    let further_faces = arguments.search.faces == Choice::All;
    crop_files::refuse_shared(&files, source, &arguments.destination, further_faces)?;
    let detector = arguments.search.detector(&arguments.detector)?;
    prepare(arguments, &detector, &files)?;

    let aligner = |_| -> anyhow::Result<Aligner> {
        let choice = arguments.search.faces;
        Ok(Aligner::new(detector.clone(), Pool::new(1)?, arguments.template, choice))
    };
    let count = workers::count(arguments.threads, &files);
    let aligners = (0..count).map(aligner).collect::<anyhow::Result<Vec<_>>>()?;
    let mut stage = Stage::start("align", files.len() as u64);
    let mut skipped: Vec<(PathBuf, String)> = Vec::new();
    let (mut crops, mut there) = (0, 0);
    let stop = interruption::listen()?;
    let work = |aligner: &mut Aligner, file: &Path| match stop.load(Ordering::Relaxed) {
        true => Ok(Outcome::Left),
        false => one(arguments, file, aligner),
    };
    let mut left = 0;
    workers::each_in_order(&files, aligners, work, |index, outcome| {
        match outcome {
            Outcome::Left => left += 1,
            Outcome::There => there += 1,
            Outcome::Written(count) => crops += count,
            Outcome::Skipped(reason) => skipped.push((files[index].clone(), reason)),
        }
        stage.show(index as u64 + 1, &format!("{} skipped", skipped.len()));
        Ok(())
    })?;
    if left > 0 {
        terminal::note(&format!(
            "stopped with {left} of {} photographs to go, the same command goes on: {}",
            files.len(),
            arguments.destination.display()
        ));
        return Ok(interruption::status());
    }
    stage.finish();
    let list = arguments.destination.join(SKIPPED);
    net::atomic_file::write(&list, |out| -> std::io::Result<()> {
        writeln!(out, "file\treason")?;
        for (file, reason) in &skipped {
            let name = file.strip_prefix(source).unwrap_or(file).to_string_lossy();
            writeln!(out, "{}\t{}", escaped(&name), escaped(reason))?;
        }
        Ok(())
    })?;
    terminal::say(&format!(
        "{crops} crops written, {there} photographs done before, {} skipped: {}",
        skipped.len(),
        list.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A text in one cell of a line: tabs and ends of lines as `\t`, `\n` and `\r`, and a backslash as two.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// Makes the destination ready: what crops are made with stands there, and it is the same for those that are there.
fn prepare(arguments: &Arguments, detector: &detect::Detector, files: &[PathBuf]) -> anyhow::Result<()> {
    let Arguments { source, destination, search, template, redo, .. } = arguments;
    let record = Record::new(&arguments.detector, detector, search.settings(), search.faces, *template)?;
    let firsts: BTreeSet<PathBuf> =
        files.iter().map(|file| crop_files::first(file, source, destination)).collect();
    let present = crop_files::present(&firsts)?;
    if *redo {
        present.iter().try_for_each(fs_err::remove_file)?;
    } else {
        match Record::read(destination)? {
            Some(there) => record.agree_with(&there, destination)?,
            None => ensure!(
                present.is_empty(),
                "nothing says what these crops were made with ({} is missing), --redo makes them anew, or choose \
                 another destination: {}",
                record::FILE,
                destination.display()
            ),
        }
    }
    fs_err::create_dir_all(destination)?;
    record.write(destination)
}

/// What became of a photograph.
enum Outcome {
    /// Its crop was there before.
    There,
    Written(usize),
    /// It gives no crop, and why.
    Skipped(String),
    /// It was not looked at, since the user interrupted.
    Left,
}

fn one(arguments: &Arguments, file: &Path, aligner: &mut Aligner) -> anyhow::Result<Outcome> {
    let first = crop_files::first(file, &arguments.source, &arguments.destination);
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
        write(crop, &crop_files::numbered(&first, index + 1))?;
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_with_a_tab_stays_one_cell_and_can_be_told_from_one_with_a_backslash() {
        assert_eq!(super::escaped("a\tb\n"), r"a\tb\n");
        assert_eq!(super::escaped(r"a\tb"), r"a\\tb");
    }
}
