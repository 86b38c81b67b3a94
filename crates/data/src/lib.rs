//! Folders of faces to labelled batches: catalogues, sampling, augmentation and synthetic faces.
//!
//! - [`Catalogue`]: which images there are, and of whom, from [`Source`]s.
//! - [`Preparation`]: how an image file becomes pixels of one size ([`Fit`]).
//! - [`Store`]: the images of a catalogue, decoded once as far as a memory budget goes.
//! - [`Sampler`]: which images an epoch's batches hold.
//! - [`Augment`]: how training images are varied.
//! - [`Loader`]: the batches of a training run, made beside it. [`Reader`]: a list of files as batches.
//!
//! Pixels are RGB, u8, rows from the top, channels last.

mod ahead;
mod augment;
mod catalogue;
mod loader;
mod preparation;
mod reader;
mod resample;
mod sampler;
mod seed;
mod store;
pub mod synth;

pub use augment::{
    Augment, AugmentError, Augmenter, Blur, Colour, Erase, LowResolution, Scratch, Warp, flip_horizontally,
};
pub use catalogue::{
    Catalogue, CatalogueError, CatalogueImage, Identity, Notice, People, Person, Source, is_image,
};
pub use loader::{Batch, Loader, LoaderSettings};
pub use preparation::{Fit, Preparation, PreparationError, ReadError};
pub use reader::{Reader, ReaderBatch};
pub use sampler::{Position, Sampler};
pub use store::{Store, StoreError, StoreSettings, Unreadable};
