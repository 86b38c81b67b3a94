//! What a recipe means for the images at hand: steps instead of epochs, classes, fingerprints.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data::{Augmenter, Batch, Catalogue, LoaderSettings, Position, Store};
use net::{Card, ChannelOrder, FlipRule, Margin, Model, Preprocessing, TrainingData};

use super::error::FitError;
use crate::checkpoint::Identity;
use crate::diagnosis::{BadValue, Circumstances, Diagnosis, advice};
use crate::fingerprint;
use crate::journal::{Event, Moment, Pace, StepRecord};
use crate::learner::{Learner, Update};
use crate::recipe::{self, CheckedRecipe, Length};
use crate::schedule::{LossSchedule, Ramp, Schedule, Shape};

/// Steps between two looks at what costs too much for every step.
const MEASURE_EVERY: u64 = 50;

/// Batches that are made ahead of the step in progress.
const BATCHES_AHEAD: usize = 4;

pub(super) struct Plan {
    pub(super) steps: u64,
    pub(super) batch: usize,
    /// Parts in which a batch passes through the network.
    pub(super) parts: usize,
    pub(super) classes: usize,
    pub(super) schedule: Schedule,
    pub(super) losses: LossSchedule,
    pub(super) identity: Identity,
    images: u64,
    together: usize,
    /// Steps between two checkpoints, and between two validations.
    save_every: u64,
    validate_every: Option<u64>,
    augmenter: Augmenter,
    network: String,
    parameters: u64,
    pub(super) card: Card,
}

impl Plan {
    pub(super) fn new(
        checked: &CheckedRecipe,
        store: &Store,
        licence: Option<String>,
    ) -> Result<Self, FitError> {
        let (recipe, catalogue) = (checked.recipe(), store.catalogue());
        let (images, batch) = (catalogue.images().len() as u64, recipe.run.batch as u64);
        let classes = catalogue.identities().len();
        checked.check_classes(classes)?;
        if let Some(features) = recipe.loss.features.filter(|features| features.name.needs_pairs()) {
            let several = catalogue.identities().iter().filter(|person| person.images.len() >= 2).count();
            if several < 2 {
                return Err(FitError::NoPairs { loss: features.name.name(), several, people: classes });
            }
        }
        let in_steps = |length: Length| length.steps(images, batch);
        let length = recipe.schedule.length;
        let (steps, warm_up) = (in_steps(length), in_steps(recipe.schedule.warm_up));
        if steps == 0 {
            return Err(FitError::NoStep { length, images, batch });
        }
        if warm_up >= steps {
            return Err(FitError::WarmUp { warm_up, steps });
        }
        let shape = match &recipe.schedule.shape {
            recipe::Shape::Constant {} => Shape::Constant,
            recipe::Shape::Step { at, factor } => {
                Shape::Step { at: at.iter().copied().map(in_steps).collect(), factor: *factor }
            }
            recipe::Shape::Polynomial { power } => Shape::Polynomial { power: *power },
            recipe::Shape::Cosine { floor } => Shape::Cosine { floor: *floor },
        };
        let card = Card { licence, ..card(checked, store) };
        card.check(checked.network())?;
        Ok(Self {
            steps,
            batch: recipe.run.batch,
            parts: recipe.optimizer.accumulate,
            classes,
            schedule: Schedule { base: recipe.optimizer.learning_rate, warm_up, steps, shape },
            losses: LossSchedule::new(checked.loss(), in_steps(recipe.loss.margin_warm_up))
                .with_scale(recipe.loss.scale_warm_up.map(|warm_up| Ramp {
                    from: warm_up.from,
                    to: checked.loss().parameters().s.unwrap_or(warm_up.from),
                    steps: in_steps(warm_up.length),
                }))
                .with_lambda(checked.lambda_schedule()),
            identity: Identity {
                recipe: fingerprint::of_recipe(checked),
                network: fingerprint::of_network(checked.network()),
                data: catalogue.fingerprint(),
                seed: recipe.run.seed,
            },
            images,
            together: recipe.data.together,
            save_every: in_steps(recipe.run.checkpoints.every).max(1),
            validate_every: recipe.validation.as_ref().map(|validation| in_steps(validation.every).max(1)),
            // The recipe is checked, its augmentation with it.
            augmenter: Augmenter::new(recipe.data.augment.clone()).expect("a checked augmentation"),
            network: checked.network().name.clone(),
            parameters: net::Cost::of(checked.network()).parameters,
            card,
        })
    }

    pub(super) fn loader(&self, threads: usize) -> LoaderSettings {
        LoaderSettings {
            batch: self.batch / self.parts,
            seed: self.identity.seed,
            together: self.together,
            augment: self.augmenter.clone(),
            threads,
            ahead: BATCHES_AHEAD.max(2 * self.parts),
        }
    }

    /// Where the data stands after `step` updates.
    pub(super) fn position(&self, step: u64) -> Position {
        let samples = step * self.batch as u64;
        Position { epoch: samples / self.images, offset: samples % self.images }
    }

    pub(super) fn saves_after(&self, step: u64) -> bool {
        step == self.steps || step.is_multiple_of(self.save_every)
    }

    pub(super) fn measures_after(&self, step: u64) -> bool {
        step == self.steps || step.is_multiple_of(MEASURE_EVERY)
    }

    pub(super) fn validates_after(&self, step: u64) -> bool {
        self.validate_every.is_some_and(|every| step == self.steps || step.is_multiple_of(every))
    }

    pub(super) fn start(&self, timing: Moment) -> Event {
        Event::Start {
            step: 0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: self.network.clone(),
            parameters: self.parameters,
            classes: self.classes as u64,
            images: self.images,
            steps: self.steps,
            timing,
        }
    }

    /// The journal's line of an update that took `seconds`.
    pub(super) fn record(
        &self,
        step: u64,
        update: &Update,
        learning_rate: f64,
        loss: &margin::Loss,
        seconds: f64,
    ) -> Event {
        let parameters = loss.parameters();
        Event::Step(StepRecord {
            step,
            epoch: self.position(step - 1).epoch,
            loss: update.loss,
            learning_rate,
            margin: parameters.m,
            scale: parameters.s,
            mean_target_cosine: Some(update.mean_target),
            satisfied: update.satisfied,
            gradient_norm: update.gradient_norm,
            timing: Pace {
                unix_seconds: Moment::now().unix_seconds,
                images_per_second: self.batch as f64 / seconds,
            },
        })
    }

    /// The model as it is now.
    pub(super) fn model(&self, recipe: &CheckedRecipe, learner: &Learner) -> Result<Model, FitError> {
        Ok(Model::new(recipe.network().clone(), learner.weights(), self.card.clone())?)
    }

    pub(super) fn diagnose(
        &self,
        checked: &CheckedRecipe,
        catalogue: &Catalogue,
        first: BadValue,
        step: u64,
        parts: &[Batch],
        checkpoint: Option<PathBuf>,
    ) -> Diagnosis {
        let recipe = checked.recipe();
        let (learning_rate, loss) = (self.schedule.learning_rate(step), self.losses.at(step));
        let circumstances = Circumstances {
            learning_rate: recipe.optimizer.learning_rate,
            loss: checked.loss(),
            clips: recipe.optimizer.clip_norm.is_finite(),
            warms_up: !recipe.schedule.warm_up.is_zero(),
            margin_warms_up: !recipe.loss.margin_warm_up.is_zero(),
        };
        let advice = advice(&first, circumstances);
        let images = parts.iter().flat_map(|part| &part.images).map(|image| catalogue.path(*image as usize));
        Diagnosis { step, first, learning_rate, loss, images: images.collect(), advice, checkpoint }
    }
}

fn card(checked: &CheckedRecipe, store: &Store) -> Card {
    let (network, recipe, catalogue) = (checked.network(), checked.recipe(), store.catalogue());
    let isa = engine::Isa::detect();
    let precision = recipe.run.precision.on(isa);
    let given = checked
        .loss()
        .parameters()
        .named()
        .into_iter()
        .filter_map(|(letter, value)| Some((letter.to_owned(), value?)));
    Card {
        network: network.name.clone(),
        preprocessing: Preprocessing {
            height: network.input.height,
            width: network.input.width,
            channel_order: ChannelOrder::Rgb,
            mean: [recipe.data.mean; 3],
            scale: [recipe.data.scale; 3],
            template: recipe.data.template,
            // The paper's rule, section 4.1.
            flip: FlipRule::Concatenated,
        },
        feature_dimension: network.feature_dimension(),
        margin: Some(Margin {
            loss: checked.loss().name().to_owned(),
            parameters: given.collect::<BTreeMap<_, _>>(),
        }),
        data: Some(TrainingData {
            fingerprint: catalogue.fingerprint(),
            identities: catalogue.identities().len() as u64,
            images: catalogue.images().len() as u64,
        }),
        calibration: None,
        licence: None,
        notes: match (precision, precision.of_products(isa)) {
            (engine::Precision::F32, _) => String::new(),
            (engine::Precision::Bf16, engine::Precision::F32) => {
                "trained with some activations rounded to bf16".to_owned()
            }
            (engine::Precision::Bf16, engine::Precision::Bf16) => {
                "trained with the operands of products, and some activations, rounded to bf16".to_owned()
            }
        },
        created_by: concat!("cosface ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}
