//! Faces and their five landmarks in photographs, on our own engine.
//!
//! - [`Detector`]: MTCNN (arXiv:1604.02878), YuNet or SCRFD (arXiv:2105.04714), from files of weights.
//! - [`DetectedFace`]: where a face is, how sure the detector is, and its five landmarks.
//! - [`Choice`]: which of several faces is meant.

mod area;
mod choice;
mod detected_face;
mod detector;
mod mtcnn;
mod plans;
mod scrfd;
mod single_shot;
mod suppression;
mod yunet;

pub use choice::{Choice, UnknownChoice};
pub use detected_face::{DetectedFace, Rectangle};
pub use detector::{DetectError, Detector, Settings};
