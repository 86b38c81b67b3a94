//! Synthetic faces: a seeded renderer in which who somebody is ([`Identity`]) and everything else about a picture
//! ([`Nuisance`]) are separate, so that a recogniser can be trained, tested and compared without a licensed set.
//!
//! A head is a handful of surfaces (skin, ears, body, hair) shaped by the identity and the expression. They are
//! turned, lit by one lamp with cast shadows, drawn with a depth buffer at four samples a pixel, and developed as a
//! photograph. Alignment is that of a real pipeline: the five landmarks of the turned head are fitted to the
//! 112x96 template by a similarity, plus the detector's error.
//!
//! The faces are drawings. Accuracy on them compares losses, networks and code; it says nothing about photographs.

mod backdrop;
mod complexion;
mod curve;
mod draw;
mod frame;
mod hair;
mod head;
mod identity;
mod lighting;
mod nuisance;
mod obstacle;
mod paint;
mod photo;
mod population;
mod raster;
mod relief;
mod render;
mod shape;
mod sheet;
#[cfg(test)]
mod tests;
mod tree;
mod view;

pub use identity::Identity;
pub use nuisance::{
    Backdrop, Camera, Expression, Glasses, Grooming, Hat, Light, Misalignment, Nuisance, Obstacle, Pose,
    check_strength,
};
pub use population::Population;
pub use render::{landmarks, render};
pub use tree::{Settings, SynthError, write_tree};
