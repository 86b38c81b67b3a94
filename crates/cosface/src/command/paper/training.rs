//! The training loop of the experiments: faces in memory, flips, SGD with momentum, any loss of the head.

use std::sync::atomic::{AtomicBool, Ordering};

use data::flip_horizontally;
use engine::{Centres, EmbeddingPlan, Gradients, Head, Parameters, Pixels, Pool, Sgd, SgdStep, TrainingPlan};
use margin::Loss;
use net::{Network, Weights, initialise};
use train::schedule::{LossSchedule, Schedule, Shape};

use super::faces::Faces;

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
    /// Seed of the weights, the order of the images and the flips.
    pub(super) seed: u64,
}

/// A trained network.
pub(super) struct Trained {
    pub(super) weights: Weights,
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

/// Trains a network on faces from its seed; `centres` are the class centres at the start.
pub(super) fn train(
    pool: &Pool,
    network: &Network,
    faces: &Faces,
    loss: Loss,
    course: &Course,
    centres: &[f32],
    stop: &AtomicBool,
) -> anyhow::Result<Ended> {
    let dimension = network.feature_dimension();
    let mut parameters = Parameters::from_weights(network, &initialise(network, course.seed))?;
    let mut plan = TrainingPlan::new(pool, network, course.batch)?;
    let mut gradients = Gradients::zeros(&parameters);
    let mut sgd = Sgd::new(&parameters, |entry| entry.role == net::Role::Weight);
    let mut head = Head::zeros(faces.people, dimension);
    head.weights_mut().copy_from_slice(centres);
    let warm_up = course.steps / 20;
    let rates =
        Schedule { base: course.rate, warm_up, steps: course.steps, shape: Shape::Cosine { floor: 0.0 } };
    let margin_warm_up = if LossSchedule::can_move(&loss) { course.margin_warm_up } else { 0 };
    let losses = LossSchedule::new(loss, margin_warm_up);
    let mut order = Order::new(faces.labels.len(), course.seed);
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
            let (image, flipped) = order.next();
            let start = bytes.len();
            bytes.extend_from_slice(faces.image(image));
            if flipped {
                flip_horizontally(&mut bytes[start..], faces.size);
            }
            labels.push(faces.labels[image]);
        }
        let (mean, scale) = PIXELS;
        let descent = SgdStep { rate: rates.learning_rate(step) as f32, momentum: 0.9, decay: 5e-4 };
        let features = plan.forward(pool, &mut parameters, Pixels { bytes: &bytes, mean, scale }, step);
        if features.iter().any(|value| !value.is_finite()) {
            return Ok(Ended::Diverged { step });
        }
        let output =
            head.step(pool, &losses.at(step), features, &labels, &mut d_features, Centres::Descend(descent));
        if !output.loss.is_finite() {
            return Ok(Ended::Diverged { step });
        }
        if step >= course.steps - course.steps.div_ceil(10) {
            last += output.loss;
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
    Ok(Ended::Trained(Trained { weights: parameters.to_weights(), loss: last / counted }))
}

/// Outputs of a network for every image, `[images, dimension]`.
pub(super) fn features(
    pool: &Pool,
    network: &Network,
    weights: &Weights,
    faces: &Faces,
) -> anyhow::Result<Vec<f32>> {
    const BATCH: usize = 32;
    let mut plan = EmbeddingPlan::new(pool, network, weights, BATCH)?;
    let (mean, scale) = PIXELS;
    let mut all = Vec::new();
    for bytes in faces.pixels.chunks(BATCH * faces.size.rgb_bytes()) {
        all.extend_from_slice(plan.forward(pool, Pixels { bytes, mean, scale }));
    }
    Ok(all)
}

/// SplitMix64 (doi:10.1145/2660193.2660195).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Images in a new random order for each epoch, half of them flipped.
struct Order {
    images: Vec<usize>,
    place: usize,
    random: Random,
}

impl Order {
    fn new(images: usize, seed: u64) -> Order {
        Order { images: (0..images).collect(), place: images, random: Random(seed) }
    }

    fn next(&mut self) -> (usize, bool) {
        if self.place == self.images.len() {
            for last in (1..self.images.len()).rev() {
                let other = (self.random.unit() * (last + 1) as f64) as usize;
                self.images.swap(last, other);
            }
            self.place = 0;
        }
        self.place += 1;
        (self.images[self.place - 1], self.random.bits() & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn every_epoch_has_every_image_once_in_another_order() {
        let mut order = Order::new(50, 3);
        let mut epoch = || (0..50).map(|_| order.next().0).collect::<Vec<usize>>();
        let (first, second) = (epoch(), epoch());
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..50).collect::<Vec<usize>>());
        }
    }
}
