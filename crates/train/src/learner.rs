//! What learns: backbone, head and their optimizers, one update at a time.

use std::collections::BTreeMap;

use data::Batch;
use engine::{
    Centres, Gradients, Head, HeadOutput, Parameters, Pixels, PlanError, Pool, PoolError, Sgd, SgdStep,
    TrainingPlan,
};
use margin::Loss;
use net::tensor_file::{Array, NamedArray, Values, ValuesRef};
use net::{Network, Role, Tensor, Weights, WeightsError};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::beside::Beside;
use crate::checkpoint::Checkpoint;
use crate::diagnosis::{BadValue, Kind};
use crate::recipe::{CheckedRecipe, Decay};

/// Standard deviation of a fresh class centre's values, as in InsightFace's arcface_torch.
///
/// It matters: where centres are normalised, their gradient is inversely proportional to their length.
const CENTRE_DEVIATION: f64 = 0.01;

/// Random stream of the class centres, apart from those of the backbone's parameters.
const CENTRE_STREAM: u64 = 1;

/// Random stream of the classes that take part in a step.
const SAMPLE_STREAM: u64 = 0x5A;

/// Classes whose centres are compared with each other: 131,000 pairs.
const MOST_COMPARED: usize = 512;

/// Prefix of the momenta of the backbone in a checkpoint.
pub(crate) const MOMENTUM: &str = "momentum/";
pub(crate) const CENTRES: &str = "centres";
/// Means of the center loss.
const MEANS: &str = "means";
const CENTRES_MOMENTUM: &str = "momentum/centres";

/// Backbone, head and optimizers of one run.
pub(crate) struct Learner {
    pool: Pool,
    parameters: Parameters,
    gradients: Gradients,
    plan: TrainingPlan,
    sgd: Sgd,
    head: Head,
    /// The classes of one step, where not all take part, and their share.
    sampled: Option<(Head, f64)>,
    beside: Option<Beside>,
    d_features: Vec<f32>,
    /// What an adaptive loss has seen.
    seen: Seen,
    /// What the last gradient was multiplied by.
    clipped: f64,
    settings: Settings,
}

/// What an adaptive loss has seen, apart from the parameters that schedules move.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen(BTreeMap<String, f64>);

impl Seen {
    fn of(loss: &Loss) -> Self {
        Self(loss.state().into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// The loss with what was seen; before the first batch, as it is.
    fn onto(&self, loss: Loss) -> Loss {
        // A state that the loss refuses was refused when it was restored.
        loss.with_state(|name| self.0.get(name).copied()).unwrap_or(loss)
    }

    /// By name, for a checkpoint.
    pub(crate) fn values(&self) -> &BTreeMap<String, f64> {
        &self.0
    }
}

#[derive(Clone, Copy)]
struct Settings {
    mean: f32,
    scale: f32,
    momentum: f32,
    weight_decay: f32,
    clip_norm: f64,
    /// Weight of the loss over classes.
    weight: f64,
    seed: u64,
}

/// What one update did.
pub(crate) struct Update {
    pub(crate) loss: f64,
    pub(crate) mean_target: f64,
    /// Mean angle between a feature and its own centre, in degrees.
    pub(crate) mean_angle: f64,
    pub(crate) satisfied: f64,
    pub(crate) gradient_norm: f64,
}

/// Why a learner cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// Threads cannot be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The engine cannot train the network.
    #[error("the network cannot be trained")]
    Plan(#[from] PlanError),
    /// The weights of a checkpoint are not the network's.
    #[error("the checkpoint does not fit the network")]
    Weights(#[from] WeightsError),
    /// An array of a checkpoint is missing, or has another size or type.
    #[error("the checkpoint does not fit the head: {0}")]
    Head(String),
    /// What the loss has seen is missing or impossible.
    #[error("the checkpoint does not fit the loss")]
    Loss(#[from] margin::StateError),
}

impl Learner {
    /// A learner with fresh weights, all drawn from the recipe's seed.
    pub(crate) fn new(recipe: &CheckedRecipe, classes: usize) -> Result<Self, LearnerError> {
        let (network, recipe) = (recipe.network(), recipe.recipe());
        let pool = Pool::new(recipe.run.threads)?;
        let parameters = Parameters::from_weights(network, &net::initialise(network, recipe.run.seed))?;
        let parts = recipe.optimizer.accumulate;
        let precision = recipe.run.precision.on(pool.isa());
        let plan = TrainingPlan::with_precision(&pool, network, recipe.run.batch / parts, precision)?;
        let sgd = Sgd::new(&parameters, |entry| match recipe.optimizer.decay {
            Decay::All => true,
            Decay::Weights => entry.role == Role::Weight,
        });
        let dimension = network.feature_dimension();
        let mut head = Head::with_sub_centres(classes, recipe.loss.centres.unwrap_or(1), dimension);
        head.set_precision(precision.of_products(pool.isa()));
        fill_centres(head.weights_mut(), recipe.run.seed);
        let sampled = recipe.loss.sampled.map(|rate| {
            let mut head = Head::with_sub_centres(1, recipe.loss.centres.unwrap_or(1), dimension);
            head.set_precision(precision.of_products(pool.isa()));
            (head, rate)
        });
        let beside = recipe.loss.features.as_ref().map(|settings| Beside::new(settings, classes, dimension));
        Ok(Self {
            gradients: Gradients::zeros(&parameters),
            d_features: vec![0.0; recipe.run.batch / parts * dimension],
            settings: Settings {
                mean: recipe.data.mean,
                scale: recipe.data.scale,
                momentum: recipe.optimizer.momentum as f32,
                weight_decay: recipe.optimizer.weight_decay as f32,
                clip_norm: recipe.optimizer.clip_norm,
                weight: recipe.loss.weight.unwrap_or(1.0),
                seed: recipe.run.seed,
            },
            seen: Seen::default(),
            clipped: 1.0,
            pool,
            parameters,
            plan,
            sgd,
            head,
            sampled,
            beside,
        })
    }

    /// Threads that compute.
    pub(crate) fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// One update from the parts of a batch. `step` decides the dropout.
    ///
    /// After an error the learner must not be used again: the head may hold values that are not finite.
    pub(crate) fn update(
        &mut self,
        step: u64,
        parts: &[Batch],
        learning_rate: f64,
        loss: &Loss,
    ) -> Result<Update, BadValue> {
        let Settings { mean, scale, momentum, weight_decay: decay, clip_norm, weight, seed } = self.settings;
        let descent = SgdStep { rate: learning_rate as f32, momentum, decay };
        let (share, images) =
            (1.0 / parts.len() as f64, parts.iter().map(|part| part.labels.len()).sum::<usize>());
        let mut update =
            Update { loss: 0.0, mean_target: 0.0, mean_angle: 0.0, satisfied: 0.0, gradient_norm: 0.0 };
        self.gradients.clear(&self.pool);
        if parts.len() > 1 {
            self.head.begin_descent(&self.pool, descent, parts.len());
        }
        for (index, part) in parts.iter().enumerate() {
            let pixels = Pixels { bytes: &part.pixels, mean: [mean; 3], scale: [scale; 3] };
            let dropout_seed = mix(seed, step * parts.len() as u64 + index as u64);
            let features = self.plan.forward(&self.pool, &mut self.parameters, pixels, dropout_seed);
            if let Some(bad) = BadValue::find(Kind::Features, "features", features) {
                return Err(self.bad_parameter().unwrap_or(bad));
            }
            let centres = match parts.len() {
                1 => Centres::Descend(descent),
                _ => Centres::AddToVelocity,
            };
            let loss = self.head.observe(&self.pool, self.seen.onto(*loss), features, &part.labels);
            self.seen = Seen::of(&loss);
            let d_features = &mut self.d_features[..];
            let output = match &mut self.sampled {
                None => self.head.step(&self.pool, &loss, features, &part.labels, d_features, centres),
                Some((sampled, rate)) => {
                    let drawn = mix(seed ^ SAMPLE_STREAM, step);
                    let key = |class| mix(drawn, u64::from(class));
                    let chosen = margin::choose_classes(&part.labels, self.head.classes(), *rate, key);
                    let place = |label: &u32| {
                        chosen.binary_search(label).expect("the classes of the batch take part") as u32
                    };
                    let labels: Vec<u32> = part.labels.iter().map(place).collect();
                    sampled.gather(&self.pool, &self.head, &chosen);
                    let output = sampled.step(&self.pool, &loss, features, &labels, d_features, centres);
                    sampled.scatter(&mut self.head, &chosen);
                    output
                }
            };
            let mut total = output.loss;
            if let Some(beside) = &mut self.beside {
                d_features.iter_mut().for_each(|value| *value *= weight as f32);
                let features_loss = beside.add(features, &part.labels, d_features);
                total = weight * total + features_loss.map_err(|error| BadValue::of_features(&error))?;
            }
            if let Some(bad) = self.bad_output(&output) {
                return Err(bad);
            }
            update.loss += share * total;
            for sample in &output.samples {
                update.mean_target += sample.cosine / images as f64;
                update.mean_angle += sample.cosine.clamp(-1.0, 1.0).acos().to_degrees() / images as f64;
                update.satisfied += if sample.satisfied { 1.0 / images as f64 } else { 0.0 };
            }
            self.plan.backward(&self.pool, &self.parameters, &self.d_features, &mut self.gradients);
        }
        if parts.len() > 1 {
            self.gradients.scale(&self.pool, share as f32);
            self.head.end_descent(&self.pool, descent, parts.len());
        }
        update.gradient_norm = self.gradients.norm(&self.pool);
        if !update.gradient_norm.is_finite() {
            return Err(self.bad_gradient());
        }
        self.clipped = 1.0;
        if update.gradient_norm > clip_norm {
            self.clipped = clip_norm / update.gradient_norm;
            self.gradients.scale(&self.pool, self.clipped as f32);
        }
        self.sgd.step(&self.pool, &mut self.parameters, &self.gradients, descent);
        Ok(update)
    }

    /// Norm of the last gradient of each layer, before clipping.
    pub(crate) fn gradient_norms(&self) -> BTreeMap<String, f64> {
        let mut squares = BTreeMap::<String, f64>::new();
        for entry in self.parameters.entries().iter().filter(|entry| entry.role.is_trained()) {
            let layer = entry.name.rsplit_once('.').map_or(entry.name.as_str(), |(layer, _)| layer);
            let values = &self.gradients.values()[entry.range.clone()];
            let sum: f64 = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
            *squares.entry(layer.to_owned()).or_default() += sum;
        }
        squares.into_iter().map(|(layer, sum)| (layer, sum.sqrt() / self.clipped)).collect()
    }

    /// The largest cosine between the centres of two classes, of a sample of [`MOST_COMPARED`] that `step` draws where
    /// there are more.
    pub(crate) fn largest_centre_cosine(&self, step: u64) -> Option<f64> {
        let classes = self.head.classes();
        let rate = (MOST_COMPARED as f64 / classes as f64).min(1.0);
        let drawn = mix(self.settings.seed, step);
        let compared = margin::choose_classes(&[], classes, rate, |class| mix(drawn, u64::from(class)));
        // JSON has no word for what centres that are not finite give; the next step finds them.
        self.head.largest_cosine(&self.pool, &compared).filter(|cosine| cosine.is_finite())
    }

    /// The first parameter or running statistic that is not finite.
    fn bad_parameter(&self) -> Option<BadValue> {
        self.parameters.entries().iter().find_map(|entry| {
            let values = match entry.role.is_trained() {
                true => self.parameters.trained(),
                false => self.parameters.statistics(),
            };
            BadValue::find(Kind::Parameter, &entry.name, &values[entry.range.clone()])
        })
    }

    /// What the head made of finite features that is not finite.
    fn bad_output(&self, output: &HeadOutput) -> Option<BadValue> {
        let values = output.samples.iter().flat_map(|sample| [sample.loss, sample.cosine]);
        let bad = std::iter::once(output.loss).chain(values).find(|value| !value.is_finite());
        bad.map(|value| {
            BadValue::find(Kind::Centres, CENTRES, self.head.weights()).unwrap_or(BadValue {
                kind: Kind::Loss,
                name: "loss".to_owned(),
                index: 0,
                value,
            })
        })
        .or_else(|| BadValue::find(Kind::FeatureGradient, "features", &self.d_features))
    }

    /// The gradient that went bad first: the backward pass goes from the last parameter to the first.
    fn bad_gradient(&self) -> BadValue {
        let trained = self.parameters.entries().iter().rev().filter(|entry| entry.role.is_trained());
        trained
            .map(|entry| (&entry.name, &self.gradients.values()[entry.range.clone()]))
            .find_map(|(name, values)| BadValue::find(Kind::Gradient, name, values))
            // Every gradient is finite and the sum of their squares is not.
            .unwrap_or(BadValue {
                kind: Kind::Gradient,
                name: "all parameters together".to_owned(),
                index: 0,
                value: f64::INFINITY,
            })
    }

    /// Weights and running statistics of the backbone.
    pub(crate) fn weights(&self) -> Weights {
        self.parameters.to_weights()
    }

    /// Hands the arrays of the backbone and of the head to `write`.
    pub(crate) fn save<T>(&self, write: impl FnOnce(&[NamedArray<'_>], &[NamedArray<'_>]) -> T) -> T {
        let weights = self.parameters.to_weights();
        let momenta = self.parameters.trained_to_weights(self.sgd.velocity());
        let momentum_names: Vec<String> =
            momenta.iter().map(|(name, _)| format!("{MOMENTUM}{name}")).collect();
        let mut backbone: Vec<NamedArray<'_>> =
            weights.iter().map(|(name, tensor)| array(name, tensor)).collect();
        backbone
            .extend(momentum_names.iter().zip(momenta.iter()).map(|(name, (_, tensor))| array(name, tensor)));
        let shape = [self.head.classes() * self.head.per_class(), self.head.dimension()];
        let centres = |name, values| NamedArray { name, shape: &shape, values: ValuesRef::F32(values) };
        let mut head = vec![centres(CENTRES, self.head.weights())];
        if !self.head.velocity().is_empty() {
            head.push(centres(CENTRES_MOMENTUM, self.head.velocity()));
        }
        if let Some(means) = self.beside.as_ref().and_then(Beside::means) {
            let shape = &[self.head.classes(), self.head.dimension()];
            head.push(NamedArray { name: MEANS, shape, values: ValuesRef::F64(means) });
            return write(&backbone, &head);
        }
        write(&backbone, &head)
    }

    /// What an adaptive loss has seen.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Takes weights in place of fresh ones, and centres where there are any; velocities stay 0.
    pub(crate) fn start_from(
        &mut self,
        network: &Network,
        weights: &Weights,
        centres: Option<Array>,
    ) -> Result<(), LearnerError> {
        self.parameters = Parameters::from_weights(network, weights)?;
        if let Some(array) = centres {
            let shape = [self.head.classes() * self.head.per_class(), self.head.dimension()];
            if array.shape != shape {
                return Err(LearnerError::Head(format!(
                    "{CENTRES} has the shape {:?}, not {shape:?}",
                    array.shape
                )));
            }
            self.head.weights_mut().copy_from_slice(&tensor(CENTRES, array)?.values);
        }
        Ok(())
    }

    /// Takes over the arrays of a checkpoint and what the loss has seen.
    pub(crate) fn restore(
        &mut self,
        network: &Network,
        loss: Loss,
        checkpoint: Checkpoint,
    ) -> Result<(), LearnerError> {
        // Before its first step a loss has seen nothing.
        if checkpoint.state.step > 0 {
            let seen = &checkpoint.state.loss;
            self.seen = Seen::of(&loss.with_state(|name| seen.get(name).copied())?);
        }
        let (mut weights, mut momenta) = (Weights::default(), Weights::default());
        for (name, array) in checkpoint.backbone {
            let tensor = tensor(&name, array)?;
            match name.strip_prefix(MOMENTUM) {
                Some(parameter) => momenta.insert(parameter.to_owned(), tensor),
                None => weights.insert(name, tensor),
            }
        }
        self.parameters = Parameters::from_weights(network, &weights)?;
        self.sgd.set_velocity(self.parameters.trained_from_weights(&momenta)?);
        let mut head = checkpoint.head;
        if let Some(beside) = self.beside.as_mut().filter(|beside| beside.means().is_some()) {
            let shape = [self.head.classes(), self.head.dimension()];
            match head.remove(MEANS) {
                Some(Array { shape: found, values: Values::F64(means) }) if found == shape => {
                    beside.set_means(&means);
                }
                _ => {
                    return Err(LearnerError::Head(format!(
                        "{MEANS} of the center loss are missing or not {shape:?} F64"
                    )));
                }
            }
        }
        let shape = [self.head.classes() * self.head.per_class(), self.head.dimension()];
        let mut take = |name: &str| match head.remove(name) {
            Some(array) if array.shape == shape => tensor(name, array).map(|tensor| Some(tensor.values)),
            Some(array) => {
                Err(LearnerError::Head(format!("{name} has the shape {:?}, not {shape:?}", array.shape)))
            }
            None => Ok(None),
        };
        let centres = take(CENTRES)?.ok_or_else(|| LearnerError::Head(format!("{CENTRES} is missing")))?;
        self.head.weights_mut().copy_from_slice(&centres);
        self.head.set_velocity(&take(CENTRES_MOMENTUM)?.unwrap_or_default());
        Ok(())
    }
}

fn array<'t>(name: &'t str, tensor: &'t Tensor) -> NamedArray<'t> {
    NamedArray { name, shape: &tensor.shape, values: ValuesRef::F32(&tensor.values) }
}

fn tensor(name: &str, array: Array) -> Result<Tensor, LearnerError> {
    match array.values {
        Values::F32(values) => Ok(Tensor::new(array.shape, values)),
        _ => Err(LearnerError::Head(format!("{name} is not of type F32"))),
    }
}

/// Normal values by Box and Muller's transform, one of each pair.
fn fill_centres(centres: &mut [f32], seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(CENTRE_STREAM);
    for value in centres {
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
        let angle = std::f64::consts::TAU * random.random::<f64>();
        *value = (CENTRE_DEVIATION * radius * angle.cos()) as f32;
    }
}

/// A seed of its own for each number (the finaliser of SplitMix64, doi:10.1145/2660193.2660195).
fn mix(seed: u64, number: u64) -> u64 {
    let mut value = seed ^ number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}
