//! From a photograph to the aligned crops of its faces.

use std::path::{Path, PathBuf};

use detect::{Choice, DetectError, DetectedFace, Detector};
use engine::Pool;
use face::{DegenerateLandmarks, ImageError, Limits, Template, align, decode_photograph_file};
use image::RgbImage;
use net::LandmarkTemplate;

/// A detector with the template of the crops that are wanted.
#[derive(Debug)]
pub struct Aligner {
    detector: Detector,
    pool: Pool,
    template: Template,
    choice: Choice,
}

/// Why a photograph gives no crop.
#[derive(Debug, thiserror::Error)]
pub enum AlignError {
    /// The file cannot be decoded.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The detector cannot run.
    #[error(transparent)]
    Detect(#[from] DetectError),
    /// No face was found, which is an answer.
    #[error("no face is found in the photograph: {}", .0.display())]
    NoFace(PathBuf),
    /// The landmarks of a face fix no crop.
    #[error("the face in {} cannot be aligned", path.display())]
    Landmarks {
        /// The photograph.
        path: PathBuf,
        /// What is wrong with them.
        source: DegenerateLandmarks,
    },
}

/// The template that a model's card names, where its images are aligned.
pub fn template_of(template: LandmarkTemplate) -> Option<Template> {
    match template {
        LandmarkTemplate::Points112x96 => Some(Template::HIGH),
        LandmarkTemplate::Points112x112 => Some(Template::SQUARE),
        LandmarkTemplate::Unaligned => None,
    }
}

impl Aligner {
    /// Puts an aligner together, which searches on the threads of `pool`.
    pub fn new(detector: Detector, pool: Pool, template: Template, choice: Choice) -> Aligner {
        Aligner { detector, pool, template, choice }
    }

    /// The chosen faces of a photograph.
    ///
    /// # Errors
    /// When the detector cannot run.
    pub fn faces(&mut self, photograph: &RgbImage) -> Result<Vec<DetectedFace>, DetectError> {
        Ok(self.choice.of(self.detector.detect(&self.pool, photograph)?, photograph))
    }

    /// The aligned crops of the chosen faces in an image file, at least one.
    ///
    /// # Errors
    /// See [`AlignError`].
    pub fn crops(&mut self, path: &Path) -> Result<Vec<RgbImage>, AlignError> {
        self.crops_of(&decode_photograph_file(path, &Limits::default())?, path)
    }

    /// The same for a decoded photograph; `path` stands for it in errors.
    ///
    /// # Errors
    /// See [`AlignError`].
    pub fn crops_of(&mut self, photograph: &RgbImage, path: &Path) -> Result<Vec<RgbImage>, AlignError> {
        let faces = self.faces(photograph)?;
        if faces.is_empty() {
            return Err(AlignError::NoFace(path.to_owned()));
        }
        let crop = |face: &DetectedFace| {
            let aligned = align(photograph, &face.landmarks, &self.template);
            aligned.map_err(|source| AlignError::Landmarks { path: path.to_owned(), source })
        };
        faces.iter().map(crop).collect()
    }
}
