//! The images of a catalogue, decoded once as far as a memory budget goes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Catalogue, Preparation, ReadError};

/// What to do with an image that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It is an error.
    #[default]
    Refuse,
    /// It is left out, and listed.
    Skip,
}

/// How a [`Store`] keeps images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Bytes of decoded crops that are kept in memory. Images beyond are decoded each time they are used.
    pub budget_bytes: u64,
    /// What to do with images that cannot be used.
    pub unreadable: Unreadable,
}

impl Default for StoreSettings {
    /// 512 MiB, some 16,000 crops of 112 x 96; unusable images are refused.
    fn default() -> Self {
        Self { budget_bytes: 512 << 20, unreadable: Unreadable::Refuse }
    }
}

/// A set of images that cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// An image cannot be used, and that is refused.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Unusable images are skipped, and none of a person's images is left.
    #[error("none of the images of {identity} can be used, the first because: {first}")]
    IdentityWithoutImages {
        /// The person.
        identity: String,
        /// The fault of their first image.
        first: ReadError,
    },
}

/// The images of a catalogue as crops.
///
/// As many of the first images as fit the budget are decoded when the store is opened, so their faults show
/// before training begins; the others are decoded when they are needed. Where unusable images are to be
/// skipped, all are decoded once to find them.
#[derive(Debug)]
pub struct Store {
    catalogue: Catalogue,
    preparation: Preparation,
    crops: Vec<Box<[u8]>>,
    skipped: Vec<ReadError>,
}

/// Images decoded between two looks at their results.
const BLOCK: usize = 512;

impl Store {
    /// Opens the images of `catalogue`. `progress` is told how many more images have been decoded, and of how
    /// many.
    ///
    /// # Errors
    /// The first unusable image in the catalogue's order, or the first person left without any.
    pub fn open(
        catalogue: Catalogue,
        preparation: Preparation,
        settings: StoreSettings,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Self, StoreError> {
        let count = catalogue.images().len();
        let fitting = settings.budget_bytes / preparation.crop().rgb_bytes() as u64;
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX).min(count);
        let decoded = if settings.unreadable == Unreadable::Skip { count } else { fitting };

        let mut crops = Vec::with_capacity(fitting);
        let mut faulty = BTreeSet::new();
        let mut skipped = Vec::new();
        for from in (0..decoded).step_by(BLOCK) {
            let block = from..(from + BLOCK).min(decoded);
            let read: Vec<_> = block
                .clone()
                .into_par_iter()
                .map(|image| preparation.read_crop(&catalogue.path(image)))
                .collect();
            for (image, crop) in block.clone().zip(read) {
                match (crop, settings.unreadable) {
                    (Ok(crop), _) if crops.len() < fitting => crops.push(crop.into_boxed_slice()),
                    (Ok(_), _) => {}
                    (Err(error), Unreadable::Refuse) => return Err(error.into()),
                    (Err(error), Unreadable::Skip) => {
                        faulty.insert(image);
                        skipped.push(error);
                    }
                }
            }
            progress(block.len(), decoded);
        }
        if faulty.is_empty() {
            return Ok(Self { catalogue, preparation, crops, skipped });
        }
        match catalogue.without(&faulty) {
            Ok(catalogue) => Ok(Self { catalogue, preparation, crops, skipped }),
            Err(identity) => {
                let place = faulty.range(..identity.images.start).count();
                let first = skipped.swap_remove(place);
                Err(StoreError::IdentityWithoutImages { identity: identity.name, first })
            }
        }
    }

    /// The images that can be used. Where some were skipped, this is a smaller catalogue than was given.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How files become crops and input.
    pub fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// The images that were left out, and why.
    pub fn skipped(&self) -> &[ReadError] {
        &self.skipped
    }

    /// How many images are kept decoded.
    pub fn in_memory(&self) -> usize {
        self.crops.len()
    }

    /// The crop of the image at position `image` of the catalogue: `crop.height x crop.width x 3` bytes.
    ///
    /// # Errors
    /// Where it is not kept in memory and cannot be read.
    ///
    /// # Panics
    /// Where `image` is out of range.
    pub fn crop(&self, image: usize) -> Result<Cow<'_, [u8]>, ReadError> {
        match self.crops.get(image) {
            Some(crop) => Ok(Cow::Borrowed(crop)),
            None => self.preparation.read_crop(&self.catalogue.path(image)).map(Cow::Owned),
        }
    }
}
