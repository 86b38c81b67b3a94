//! `cosface unpack`: an InsightFace pack of image pairs to image files and a list of pairs.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use net::FacePack;

use super::terminal;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Pack as InsightFace writes it (lfw.bin, agedb_30.bin ..), of which nothing is executed
    pack: PathBuf,
    /// Folder to make: images/, and pairs.txt for `evaluate --format list`
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pack = FacePack::read(&arguments.pack)?;
    let mut files = Vec::with_capacity(pack.images.len());
    for (index, image) in pack.images.iter().enumerate() {
        let ending = ending(image).with_context(|| {
            format!("image {index} of the pack is neither JPEG nor PNG: {}", arguments.pack.display())
        })?;
        files.push(format!("{index:06}.{ending}"));
    }
    ensure!(!arguments.out.exists(), "the folder exists, choose another: {}", arguments.out.display());
    // Aside first, so that an interruption or a full disk leaves no folder that looks whole.
    let beside = match arguments.out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs_err::create_dir_all(beside)?;
    let aside = tempfile::Builder::new()
        .prefix(".unpack.")
        .tempdir_in(beside)
        .with_context(|| format!("no folder can be made in {}", beside.display()))?;
    let whole = aside.path().join("whole");
    let images = whole.join("images");
    fs_err::create_dir_all(&images)?;
    for (file, image) in files.iter().zip(&pack.images) {
        write(&images.join(file), image)?;
    }
    let mut list = String::new();
    for (pair, same) in files.chunks_exact(2).zip(&pack.is_same) {
        writeln!(list, "{} {} {}", pair[0], pair[1], u8::from(*same))?;
    }
    write(&whole.join("pairs.txt"), list.as_bytes())?;
    fs_err::rename(&whole, &arguments.out)?;
    let genuine = pack.is_same.iter().filter(|same| **same).count();
    terminal::say(&format!(
        "{genuine} genuine and {} impostor pairs: {}",
        pack.is_same.len() - genuine,
        arguments.out.display()
    ));
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    net::atomic_file::write(path, |file| file.write_all(bytes))
}

/// The ending that the first bytes of an image call for.
fn ending(image: &[u8]) -> Option<&'static str> {
    if image.starts_with(b"\xff\xd8\xff") {
        Some("jpg")
    } else if image.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some("png")
    } else {
        None
    }
}
