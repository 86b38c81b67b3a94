//! Which images a training run sees, in which order.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::seed::{Purpose, stream};

/// Orders kept: a batch touches the current epoch and the next, threads run a little ahead, and a set smaller
/// than a batch goes through its epochs quickly.
const ORDERS_KEPT: usize = 4;

/// A place in the endless sequence of samples: everything there is to know for an exact resume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Samples of this epoch already taken.
    pub offset: u64,
}

/// Goes through all images in a fresh random order each epoch.
///
/// Epochs follow each other without a gap: a batch that an epoch cannot fill is filled from the next one, so
/// that every batch has the same size and every image comes exactly once an epoch. An image may thus occur
/// twice in a batch on the border; in a set smaller than a batch it does.
///
/// The order of an epoch depends on the seed and the epoch alone.
#[derive(Debug)]
pub struct Sampler {
    seed: u64,
    images: u32,
    /// Where the images of each person lie, and how many of them come together; none where images come one by one.
    people: Option<(Vec<Range<u32>>, usize)>,
    orders: Mutex<Vec<(u64, Arc<[u32]>)>>,
}

impl Sampler {
    /// # Panics
    /// Where there are no images.
    pub fn new(seed: u64, images: u32) -> Self {
        assert!(images > 0, "a sampler without images");
        Self { seed, images, people: None, orders: Mutex::new(Vec::new()) }
    }

    /// A sampler in whose epochs up to `together` images of one person come after each other, for losses over pairs:
    /// the images of each person are shuffled and cut into groups, and the groups of all people are shuffled. Every
    /// image still comes exactly once an epoch; a person's last group may be smaller.
    ///
    /// # Panics
    /// Where there are no images, `people` is no partition of them in ascending order, or `together` is 0.
    pub fn by_people(seed: u64, people: Vec<Range<u32>>, together: usize) -> Self {
        assert!(together > 0, "groups without images");
        let mut images = 0;
        for person in &people {
            assert_eq!(person.start, images, "the images of people must follow each other");
            images = person.end;
        }
        let people = (together > 1).then_some((people, together));
        Self { people, ..Self::new(seed, images) }
    }

    /// The next `count` samples from `from`: each with its epoch and image.
    ///
    /// # Panics
    /// Where `from` lies behind the end of its epoch.
    pub fn samples(&self, from: Position, count: usize) -> Vec<(u64, u32)> {
        let mut samples = Vec::with_capacity(count);
        let mut place = self.checked(from);
        while samples.len() < count {
            let order = self.order(place.epoch);
            let rest = &order[place.offset as usize..];
            let taken = rest.len().min(count - samples.len());
            samples.extend(rest[..taken].iter().map(|&image| (place.epoch, image)));
            place = self.after(place, taken as u64);
        }
        samples
    }

    /// The place `samples` further on.
    ///
    /// # Panics
    /// Where `from` lies behind the end of its epoch.
    pub fn after(&self, from: Position, samples: u64) -> Position {
        let from = self.checked(from);
        let total = from.offset + samples;
        let images = u64::from(self.images);
        Position { epoch: from.epoch + total / images, offset: total % images }
    }

    fn checked(&self, place: Position) -> Position {
        assert!(
            place.offset < u64::from(self.images),
            "position {} in an epoch of {} images: the set has changed",
            place.offset,
            self.images
        );
        place
    }

    fn order(&self, epoch: u64) -> Arc<[u32]> {
        let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, order)) = orders.iter().find(|(kept, _)| *kept == epoch) {
            return Arc::clone(order);
        }
        let mut random = stream(self.seed, Purpose::Order, epoch, 0);
        let mut order: Vec<u32> = (0..self.images).collect();
        match &self.people {
            None => order.shuffle(&mut random),
            Some((people, together)) => {
                let mut groups: Vec<&[u32]> = Vec::new();
                let mut rest = &mut order[..];
                for person in people {
                    let (own, others) = rest.split_at_mut(person.len());
                    own.shuffle(&mut random);
                    groups.extend(own.chunks(*together));
                    rest = others;
                }
                groups.shuffle(&mut random);
                order = groups.concat();
            }
        }
        let order: Arc<[u32]> = order.into();
        if orders.len() == ORDERS_KEPT {
            orders.remove(0);
        }
        orders.push((epoch, Arc::clone(&order)));
        order
    }
}
