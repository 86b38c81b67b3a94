//! What the commands share that begin with photographs: the detector and the choice of faces.

use std::path::Path;

use detect::{Choice, Detector, Settings};

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
    /// Which faces are taken: prominent (large and near the middle: area less twice the squared distance from it),
    /// largest, central or all
    #[arg(long, default_value_t = Choice::default())]
    pub(crate) faces: Choice,
}

impl Search {
    /// Reads the detector at `path`.
    pub(crate) fn detector(&self, path: &Path) -> anyhow::Result<Detector> {
        Ok(Detector::read(path, self.settings())?)
    }

    /// How the detector searches.
    pub(crate) fn settings(&self) -> Settings {
        let Search { least_score: threshold, longest_side, smallest_face, .. } = *self;
        Settings { threshold, longest_side, smallest_face }
    }
}
