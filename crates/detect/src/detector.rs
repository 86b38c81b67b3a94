//! One detector of whatever kind.

use std::path::{Path, PathBuf};

use engine::{EmbeddingPlanError, Pool};
use image::RgbImage;
use net::{Input, NetworkError, OnnxImportError, OnnxNetwork, TorchFileError};
use thiserror::Error;

use crate::DetectedFace;
use crate::mtcnn::Mtcnn;
use crate::single_shot::SingleShot;

/// How a detector searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The least score of a face, from 0 to 1; `None` for what the detector's authors use: 0.7 for MTCNN's last stage,
    /// 0.6 for YuNet and 0.5 for SCRFD.
    pub threshold: Option<f32>,
    /// Longest side, in pixels, at which a photograph is searched; a larger one is reduced first.
    pub longest_side: u32,
    /// Side of the smallest face that MTCNN looks for, in pixels of the photograph as it is searched.
    pub smallest_face: u32,
}

impl Default for Settings {
    /// The smallest face of 20 pixels is facenet-pytorch's.
    fn default() -> Settings {
        Settings { threshold: None, longest_side: 1024, smallest_face: 20 }
    }
}

/// A face detector, which remembers its networks compiled for the last sizes of photographs.
#[derive(Clone, Debug)]
pub struct Detector {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Mtcnn(Box<Mtcnn>),
    SingleShot(Box<SingleShot>),
}

/// Why there is no detector, or why it cannot run.
#[derive(Debug, Error)]
pub enum DetectError {
    /// An ONNX file cannot be imported.
    #[error(transparent)]
    Onnx(#[from] OnnxImportError),
    /// A torch file cannot be read.
    #[error(transparent)]
    Torch(#[from] TorchFileError),
    /// The outputs of a network are those of no known detector.
    #[error("no detector that is known, YuNet or SCRFD with landmarks, has these outputs: {outputs} ({})", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Names of its outputs.
        outputs: String,
    },
    /// A tensor of MTCNN is missing or has another type or shape.
    #[error("{} has no f32 tensor of the shape that MTCNN needs: {tensor}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// The engine cannot run a network.
    #[error(transparent)]
    Plan(#[from] EmbeddingPlanError),
    /// A network is not valid for images of a size.
    #[error("the detector cannot search an image of {height} rows and {width} columns")]
    Size {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// What is not valid.
        source: NetworkError,
    },
    /// A network's grids do not follow the size of the image.
    #[error(
        "the detector must make {promised} values of an image of {height} rows and {width} columns, it makes: {found}"
    )]
    Grids {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Values by the strides that it has at the size of its file.
        promised: usize,
        /// Values that it makes.
        found: usize,
    },
    /// A setting is outside its range.
    #[error("{setting} must be {range}: {value}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What it may be.
        range: &'static str,
        /// What it is.
        value: f64,
    },
}

/// Size at which networks are imported that take any; they are compiled anew for every size of image.
const IMPORTED: Input = Input { height: 320, width: 320 };

impl Detector {
    /// Reads a detector: an ONNX file of YuNet or SCRFD, known by its outputs, or a folder with MTCNN's `pnet.pt`,
    /// `rnet.pt` and `onet.pt`.
    ///
    /// # Errors
    /// See [`DetectError`].
    pub fn read(path: &Path, settings: Settings) -> Result<Detector, DetectError> {
        let out_of_range = |setting, range, value| Err(DetectError::Setting { setting, range, value });
        if let Some(threshold) = settings.threshold
            && !(threshold > 0.0 && threshold < 1.0)
        {
            return out_of_range("threshold", "above 0 and below 1", f64::from(threshold));
        }
        if !(32..=4096).contains(&settings.longest_side) {
            return out_of_range("longest side", "between 32 and 4096", f64::from(settings.longest_side));
        }
        if !(12..=4096).contains(&settings.smallest_face) {
            return out_of_range("smallest face", "between 12 and 4096", f64::from(settings.smallest_face));
        }
        let kind = if path.is_dir() {
            Kind::Mtcnn(Box::new(Mtcnn::read(path, settings)?))
        } else {
            let onnx = OnnxNetwork::read(path, IMPORTED)?;
            Kind::SingleShot(Box::new(SingleShot::new(onnx, path, settings)?))
        };
        Ok(Detector { kind })
    }

    /// What the detector is called.
    pub fn name(&self) -> &'static str {
        match &self.kind {
            Kind::Mtcnn(_) => "mtcnn",
            Kind::SingleShot(detector) => detector.name(),
        }
    }

    /// The faces in a photograph, the surest first. None is an answer.
    ///
    /// # Errors
    /// When the engine cannot run a network at the photograph's size.
    pub fn detect(&mut self, pool: &Pool, photograph: &RgbImage) -> Result<Vec<DetectedFace>, DetectError> {
        match &mut self.kind {
            Kind::Mtcnn(detector) => detector.detect(pool, photograph),
            Kind::SingleShot(detector) => detector.detect(pool, photograph),
        }
    }
}
