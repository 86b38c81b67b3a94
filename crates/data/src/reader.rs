//! A list of image files as batches, in the order of the list.

use std::path::PathBuf;

use crate::ahead::Ahead;
use crate::{Preparation, ReadError, Unreadable};

/// Some images of a list, ready for a network.
#[derive(Debug)]
pub struct ReaderBatch {
    /// `files.len() x input.height x input.width x 3`.
    pub pixels: Vec<u8>,
    /// The position in the list of each image.
    pub files: Vec<usize>,
    /// The images of this stretch of the list that were left out ([`Unreadable::Skip`]), with their positions.
    pub skipped: Vec<(usize, ReadError)>,
}

/// Reads a list of image files beside its user: batches in the list's order, without variation.
///
/// The batches end with the list. The last may be smaller, as may one in which images were skipped.
pub struct Reader {
    batches: Ahead<Result<ReaderBatch, ReadError>>,
}

/// Batches in the making or waiting, for each thread.
const AHEAD: usize = 2;

impl Reader {
    /// # Panics
    /// Where `batch` or `threads` is zero.
    pub fn new(
        files: Vec<PathBuf>,
        preparation: Preparation,
        batch: usize,
        threads: usize,
        unreadable: Unreadable,
    ) -> Self {
        assert!(batch > 0, "a batch without images");
        let end = files.len().div_ceil(batch) as u64;
        let work = move |number: u64| {
            let from = number as usize * batch;
            read(&files, from..(from + batch).min(files.len()), &preparation, unreadable)
        };
        Self { batches: Ahead::new(threads, threads * AHEAD, end, work) }
    }
}

impl Iterator for Reader {
    /// The first unusable image of a batch where such images are refused.
    type Item = Result<ReaderBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

fn read(
    files: &[PathBuf],
    range: std::ops::Range<usize>,
    preparation: &Preparation,
    unreadable: Unreadable,
) -> Result<ReaderBatch, ReadError> {
    let bytes = preparation.input().rgb_bytes();
    let mut batch = ReaderBatch {
        pixels: Vec::with_capacity(range.len() * bytes),
        files: Vec::with_capacity(range.len()),
        skipped: Vec::new(),
    };
    for file in range {
        match (preparation.read_crop(&files[file]), unreadable) {
            (Ok(crop), _) => {
                let from = batch.pixels.len();
                batch.pixels.resize(from + bytes, 0);
                preparation.reduce(&crop, &mut batch.pixels[from..]);
                batch.files.push(file);
            }
            (Err(error), Unreadable::Refuse) => return Err(error),
            (Err(error), Unreadable::Skip) => batch.skipped.push((file, error)),
        }
    }
    Ok(batch)
}
