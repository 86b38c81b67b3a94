//! What the commands share that begin with photographs: the detector, the choice of faces, the files of a tree.

use std::path::{Path, PathBuf};

use detect::{Choice, Detector, Settings};

use super::evaluate::is_image;

/// How faces are searched.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// Least score of a face, above 0 and below 1; the detector's own unless given
    #[arg(long)]
    least_score: Option<f32>,
    /// Longest side at which a photograph is searched; larger ones are reduced first
    #[arg(long, default_value_t = Settings::default().longest_side)]
    longest_side: u32,
    /// Side of the smallest face that MTCNN looks for, in pixels of the photograph as it is searched
    #[arg(long, default_value_t = Settings::default().smallest_face)]
    smallest_face: u32,
    /// Which faces are taken: largest, central or all
    #[arg(long, default_value = "largest")]
    pub(crate) faces: Choice,
}

impl Search {
    /// Reads the detector at `path`.
    pub(crate) fn detector(&self, path: &Path) -> anyhow::Result<Detector> {
        let Search { least_score: threshold, longest_side, smallest_face, .. } = *self;
        Ok(Detector::read(path, Settings { threshold, longest_side, smallest_face })?)
    }
}

/// A file as it is named; a folder as its image files in order of their names, at any depth.
pub(crate) fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
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
