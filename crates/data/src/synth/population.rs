//! A whole population behind one seed: people and pictures by number.

use face::Template;
use image::RgbImage;

use super::draw::derive;
use super::identity::Identity;
use super::nuisance::{Nuisance, check_strength};
use super::render::render;

/// An endless population: person `i` and picture `j` of a seed are always the same, whatever else was made before.
///
/// Disjoint ranges of person numbers are disjoint people, so a split into training and test is a split of numbers:
/// `0..400` to train, `400..500` to test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Population {
    seed: u64,
    strength: f32,
    template: Template,
}

impl Population {
    /// The population of `seed`, seen under nuisances of `strength` (see [`Nuisance::sample`]).
    ///
    /// # Panics
    /// If `strength` is outside 0..=1.5.
    pub fn new(seed: u64, strength: f32, template: Template) -> Population {
        assert!(
            check_strength(strength).is_ok(),
            "the strength of the nuisance is outside 0 to 1.5: {strength}"
        );
        Population { seed, strength, template }
    }

    /// Person number `person`.
    pub fn identity(&self, person: u32) -> Identity {
        Identity::sample(derive(self.seed, &[1, u64::from(person)]))
    }

    /// The circumstances of picture number `image` of person number `person`.
    pub fn nuisance(&self, person: u32, image: u32) -> Nuisance {
        Nuisance::sample(derive(self.seed, &[2, u64::from(person), u64::from(image)]), self.strength)
    }

    /// Picture number `image` of person number `person`.
    pub fn face(&self, person: u32, image: u32) -> RgbImage {
        render(&self.identity(person), &self.nuisance(person, image), &self.template)
    }

    /// The template of the pictures.
    pub fn template(&self) -> Template {
        self.template
    }
}
