//! The training loop of the experiments: faces in memory, varied, SGD with momentum, any objective.

use std::sync::atomic::{AtomicBool, Ordering};

use data::{Augment, Augmenter, Scratch, flip_horizontally};
use engine::{EmbeddingPlan, Gradients, Parameters, Pixels, Pool, Sgd, SgdStep, TrainingPlan};
use net::{Network, Weights, gaussian, initialise};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use train::schedule::{Ramp, Schedule, Shape};

use super::faces::Faces;
use super::objective::{Learned, Objective};

/// How a network is trained.
pub(super) struct Course {
    /// Updates.
    pub(super) steps: u64,
    /// Images in an update.
    pub(super) batch: usize,
    /// Learning rate after its warm-up of a twentieth of the steps; it falls along half a cosine.
    pub(super) rate: f64,
    /// Steps over which the margin grows from 0.
    pub(super) margin_warm_up: u64,
    /// How images are varied.
    pub(super) augment: Augment,
    /// Seed of the weights, the order of the images and how they are varied.
    pub(super) seed: u64,
}

/// A trained network.
pub(super) struct Trained {
    pub(super) weights: Weights,
    /// Class centres, `[people, dimension]`.
    pub(super) centres: Vec<f32>,
    /// Mean loss over the last tenth of the steps, margin included.
    pub(super) loss: f64,
}

/// What became of a training.
pub(super) enum Ended {
    Trained(Trained),
    /// A value was not finite at this step.
    Diverged {
        step: u64,
    },
    /// It was stopped.
    Stopped,
}

const PIXELS: ([f32; 3], [f32; 3]) = ([127.5; 3], [128.0; 3]);

/// Largest norm of the network's gradient, as in InsightFace's arcface_torch.
const CLIP: f64 = 5.0;

/// Where a training starts.
pub(super) struct Start {
    pub(super) weights: Weights,
    /// Class centres, `[people, dimension]`.
    pub(super) centres: Vec<f32>,
}

impl Start {
    /// Fresh weights and normal centres of deviation 0.01, all from a seed.
    pub(super) fn fresh(network: &Network, people: usize, seed: u64) -> Start {
        let centres =
            gaussian(0.01, people * network.feature_dimension(), &mut random(seed, Stream::Centres));
        Start { weights: initialise(network, seed), centres }
    }
}

/// Trains a network on faces.
pub(super) fn train(
    pool: &Pool,
    network: &Network,
    faces: &Faces,
    objective: Objective,
    course: &Course,
    start: &Start,
    stop: &AtomicBool,
) -> anyhow::Result<Ended> {
    objective.check(faces)?;
    let dimension = network.feature_dimension();
    let mut parameters = Parameters::from_weights(network, &start.weights)?;
    let mut plan = TrainingPlan::new(pool, network, course.batch)?;
    let mut gradients = Gradients::zeros(&parameters);
    let mut sgd = Sgd::new(&parameters, |entry| entry.role == net::Role::Weight);
    let margin = Ramp { from: 0.0, to: 1.0, steps: course.margin_warm_up };
    let mut learned = Learned::new(objective, margin, &start.centres, dimension);
    let warm_up = course.steps / 20;
    let rates =
        Schedule { base: course.rate, warm_up, steps: course.steps, shape: Shape::Cosine { floor: 0.0 } };
    let mut order = Order::new(faces, objective.needs_pairs(), course.seed);
    let augmenter = Augmenter::new(course.augment.clone())?;
    let (mut variation, mut scratch) = (random(course.seed, Stream::Variation), Scratch::default());
    let mut d_features = vec![0.0; course.batch * dimension];
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    let (mut last, mut counted) = (0.0, 0.0);
    for step in 0..course.steps {
        if stop.load(Ordering::Relaxed) {
            return Ok(Ended::Stopped);
        }
        bytes.clear();
        labels.clear();
        for _ in 0..course.batch {
            let image = order.next();
            let start = bytes.len();
            bytes.extend_from_slice(faces.image(image));
            augmenter.apply(&mut bytes[start..], faces.size, &mut variation, &mut scratch);
            labels.push(faces.labels[image]);
        }
        let (mean, scale) = PIXELS;
        let descent = SgdStep { rate: rates.learning_rate(step) as f32, momentum: 0.9, decay: 5e-4 };
        let features = plan.forward(pool, &mut parameters, Pixels { bytes: &bytes, mean, scale }, step);
        if features.iter().any(|value| !value.is_finite()) {
            return Ok(Ended::Diverged { step });
        }
        let loss = learned.step(pool, step, features, &labels, &mut d_features, descent)?;
        if !loss.is_finite() || d_features.iter().any(|value| !value.is_finite()) {
            return Ok(Ended::Diverged { step });
        }
        if step >= course.steps - course.steps.div_ceil(10) {
            last += loss;
            counted += 1.0;
        }
        gradients.clear(pool);
        plan.backward(pool, &parameters, &d_features, &mut gradients);
        let norm = gradients.norm(pool);
        if !norm.is_finite() {
            return Ok(Ended::Diverged { step });
        }
        if norm > CLIP {
            gradients.scale(pool, (CLIP / norm) as f32);
        }
        sgd.step(pool, &mut parameters, &gradients, descent);
    }
    let centres = learned.centres().to_vec();
    Ok(Ended::Trained(Trained { weights: parameters.to_weights(), centres, loss: last / counted }))
}

/// Outputs of a network for every image, or for its mirror image, `[images, dimension]`.
pub(super) fn features(
    pool: &Pool,
    network: &Network,
    weights: &Weights,
    faces: &Faces,
    side: Side,
) -> anyhow::Result<Vec<f32>> {
    const BATCH: usize = 32;
    let mut plan = EmbeddingPlan::new(pool, network, weights, BATCH)?;
    let (mean, scale) = PIXELS;
    let mut all = Vec::new();
    for bytes in faces.pixels.chunks(BATCH * faces.size.rgb_bytes()) {
        let mut bytes = bytes.to_vec();
        if side == Side::Mirror {
            flip_horizontally(&mut bytes, faces.size);
        }
        all.extend_from_slice(plan.forward(pool, Pixels { bytes: &bytes, mean, scale }));
    }
    Ok(all)
}

/// An image as it is, or its mirror image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Image,
    Mirror,
}

/// What random numbers are for: one seed gives each a stream of its own.
#[derive(Clone, Copy)]
enum Stream {
    Centres = 1,
    Order = 2,
    Variation = 3,
}

fn random(seed: u64, stream: Stream) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream as u64);
    random
}

/// Images of one person that stand together where a loss needs pairs.
const TOGETHER: usize = 4;

/// Images in a new random order for each epoch. For losses over pairs people come in a random
/// order instead, each with [`TOGETHER`] different images, or with as many as there are.
struct Order {
    /// Images that come together.
    people: Vec<Vec<usize>>,
    together: usize,
    waiting: Vec<usize>,
    random: ChaCha8Rng,
}

impl Order {
    fn new(faces: &Faces, needs_pairs: bool, seed: u64) -> Order {
        let mut people = vec![Vec::new(); if needs_pairs { faces.people } else { 1 }];
        for (image, &label) in faces.labels.iter().enumerate() {
            people[if needs_pairs { label as usize } else { 0 }].push(image);
        }
        let together = if needs_pairs { TOGETHER } else { faces.labels.len() };
        Order { people, together, waiting: Vec::new(), random: random(seed, Stream::Order) }
    }

    fn next(&mut self) -> usize {
        if self.waiting.is_empty() {
            self.people.shuffle(&mut self.random);
            for images in &mut self.people {
                images.shuffle(&mut self.random);
                self.waiting.extend(images.iter().take(self.together));
            }
            self.waiting.reverse();
        }
        self.waiting.pop().expect("an epoch has images")
    }
}

#[cfg(test)]
mod tests {
    use face::Size;

    use super::{Faces, Order, TOGETHER};

    /// Five people with ten images each.
    fn faces() -> Faces {
        let labels = (0..50).map(|image| image / 10).collect();
        Faces { pixels: Vec::new(), labels, people: 5, size: Size { height: 1, width: 1 } }
    }

    #[test]
    fn every_epoch_has_every_image_once_in_another_order() {
        let mut order = Order::new(&faces(), false, 3);
        let mut epoch = || (0..50).map(|_| order.next()).collect::<Vec<usize>>();
        let (first, second) = (epoch(), epoch());
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..50).collect::<Vec<usize>>());
        }
    }

    #[test]
    fn for_pairs_different_images_of_a_person_come_together() {
        let mut order = Order::new(&faces(), true, 3);
        for _ in 0..10 {
            let mut images: Vec<usize> = (0..TOGETHER).map(|_| order.next()).collect();
            assert!(images.iter().all(|image| image / 10 == images[0] / 10), "{images:?}");
            images.sort_unstable();
            images.dedup();
            assert_eq!(images.len(), TOGETHER);
        }
    }
}
