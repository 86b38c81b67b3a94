//! The batches of a training run, made beside it.

use std::sync::Arc;

use crate::ahead::Ahead;
use crate::seed::{Purpose, stream};
use crate::{Augmenter, Position, ReadError, Sampler, Scratch, Store};

/// How batches are made.
#[derive(Clone, Debug)]
pub struct LoaderSettings {
    /// Images in a batch, at least one.
    pub batch: usize,
    /// Decides the order of the images and their variations.
    pub seed: u64,
    /// Images of one person that come after each other, see [`Sampler::by_people`]; 1 for no order by people.
    pub together: usize,
    /// How images are varied.
    pub augment: Augmenter,
    /// Threads that make batches, at least one. The batches do not depend on it.
    pub threads: usize,
    /// Batches that wait or are in the making, at most; at least one.
    pub ahead: usize,
}

/// Images ready for a network, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// `batch x input.height x input.width x 3`.
    pub pixels: Vec<u8>,
    /// The person of each image.
    pub labels: Vec<u32>,
    /// The position of each image in the catalogue.
    pub images: Vec<u32>,
    /// Where the batch begins.
    pub from: Position,
    /// Where the next batch begins: a run that has used this batch is resumed from here.
    pub next: Position,
}

/// An endless sequence of training batches, all of one size, made by threads of its own.
///
/// A batch depends on the store, the seed and its position; not on threads, nor on where the loader began.
/// Each image's variation is drawn from (seed, epoch, image).
pub struct Loader {
    batches: Ahead<Result<Batch, ReadError>>,
}

impl Loader {
    /// Begins at `from`: [`Position::default`] for a new run.
    ///
    /// # Panics
    /// Where a number in `settings` is zero, the store is empty, or `from` lies behind the end of its epoch.
    pub fn new(store: Arc<Store>, settings: LoaderSettings, from: Position) -> Self {
        assert!(settings.batch > 0, "a batch without images");
        let place = |place: usize| u32::try_from(place).expect("fewer images than 2^32");
        let people = store.catalogue().identities().iter();
        let people = people.map(|person| place(person.images.start)..place(person.images.end)).collect();
        let sampler = Sampler::by_people(settings.seed, people, settings.together);
        let first = sampler.after(from, 0);
        let (threads, ahead) = (settings.threads, settings.ahead);
        let work = move |number: u64| {
            let from = sampler.after(first, number * settings.batch as u64);
            batch(&store, &settings, &sampler, from)
        };
        Self { batches: Ahead::new(threads, ahead, u64::MAX, work) }
    }

    /// The next batch; waits for it where it is not ready.
    ///
    /// # Errors
    /// An image that is not kept in memory and cannot be read.
    ///
    /// # Panics
    /// Where a thread panicked.
    pub fn next_batch(&mut self) -> Result<Batch, ReadError> {
        self.batches.next().expect("the sequence has no end")
    }
}

fn batch(
    store: &Store,
    settings: &LoaderSettings,
    sampler: &Sampler,
    from: Position,
) -> Result<Batch, ReadError> {
    let preparation = store.preparation();
    let samples = sampler.samples(from, settings.batch);
    let mut pixels = vec![0; settings.batch * preparation.input().rgb_bytes()];
    let mut scratch = Scratch::default();
    let mut varied = Vec::new();
    for (&(epoch, image), input) in
        samples.iter().zip(pixels.chunks_exact_mut(preparation.input().rgb_bytes()))
    {
        varied.clear();
        varied.extend_from_slice(&store.crop(image as usize)?);
        let mut random = stream(settings.seed, Purpose::Augment, epoch, u64::from(image));
        settings.augment.apply(&mut varied, preparation.crop(), &mut random, &mut scratch);
        preparation.reduce(&varied, input);
    }
    let images: Vec<u32> = samples.into_iter().map(|(_, image)| image).collect();
    let labels = images.iter().map(|&image| store.catalogue().images()[image as usize].label).collect();
    Ok(Batch { pixels, labels, images, from, next: sampler.after(from, settings.batch as u64) })
}
