//! From a recipe as written to one that can be trained.

use std::fmt::Display;

use engine::MOST_SUB_CENTRES;
use margin::advice::{Advice, advise};
use margin::beside::{CenterLoss, ContrastiveLoss, TripletLoss};
use net::ArchitectureError;

use super::decode::nearest;
use super::error::RecipeError;
use super::length::Length;
use super::sections::{FeatureLossName, LambdaFall, Recipe, Shape};
use super::tree::{Place, Tree};
use crate::schedule::LossSchedule;

/// A recipe whose every value is in range and whose network and loss exist.
#[derive(Clone, Debug)]
pub struct CheckedRecipe {
    recipe: Recipe,
    network: net::Network,
    loss: margin::Loss,
    written: Tree,
}

/// The posterior at which [`Advice`] evaluates eq. 6.
const POSTERIOR: f64 = 0.9;

impl CheckedRecipe {
    pub(super) fn new(recipe: Recipe, written: Tree) -> Result<Self, RecipeError> {
        let range = Range { written: &written };
        check_data(&recipe, &range)?;
        check_optimizer(&recipe, &range)?;
        check_schedule(&recipe, &range)?;
        check_run(&recipe, &range)?;
        let network = recipe.network.build().map_err(|source| {
            let setting = match &source {
                ArchitectureError::DepthUnknown { .. } => "depth",
                ArchitectureError::ChannelCount { .. } | ArchitectureError::WidthAndChannels => "channels",
                ArchitectureError::NotASetting { setting, .. } | ArchitectureError::Range { setting, .. } => {
                    setting
                }
                _ => "",
            };
            let place = range.place(&format!("network.{setting}"));
            RecipeError::Network { place, source: Box::new(source) }
        })?;
        let loss = check_loss(&recipe, &range)?;
        Ok(Self { recipe, network, loss, written })
    }

    pub(super) fn written(&self) -> &Tree {
        &self.written
    }

    /// The recipe with every default in its place.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The network it describes.
    #[must_use]
    pub fn network(&self) -> &net::Network {
        &self.network
    }

    /// The loss it describes, at the end of its schedules.
    #[must_use]
    pub fn loss(&self) -> margin::Loss {
        self.loss
    }

    /// How the loss's lambda falls, if it does.
    #[must_use]
    pub fn lambda_schedule(&self) -> Option<margin::LambdaSchedule> {
        self.recipe.loss.lambda_schedule.map(LambdaFall::schedule)
    }

    /// The recipe as [`CheckedRecipe::to_toml`] has it, with the precision that `auto` is on a processor with `isa`: what a
    /// run directory keeps, so that it goes on in the arithmetic it began with.
    #[must_use]
    pub fn to_toml_on(&self, isa: engine::Isa) -> String {
        let mut recipe = self.recipe.clone();
        recipe.run.precision = recipe.run.precision.resolved(isa);
        toml::to_string(&recipe).expect("a checked recipe is within what TOML can say")
    }

    /// The recipe as TOML with every default written out.
    ///
    /// Checking that text gives an equal recipe.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.recipe).expect("a checked recipe is within what TOML can say")
    }

    /// Checks the loss against the number of classes, once the data tells it.
    ///
    /// # Errors
    /// Fewer than two classes, or a cosine margin above the bound of eq. 7, with that bound.
    pub fn check_classes(&self, classes: usize) -> Result<Advice, RecipeError> {
        let dimension = self.network.feature_dimension();
        let place = |key: &str| self.written.place_of(key).clone();
        let advice = advise(&self.loss, classes, dimension, POSTERIOR, None)
            .map_err(|source| RecipeError::Classes { place: place("data"), source })?;
        let (key, cosine_margin) = match self.loss {
            margin::Loss::CosFace { m, .. } | margin::Loss::CosFaceRawFeatures { m } => ("loss.m", Some(m)),
            margin::Loss::Combined { m3, .. } => ("loss.m3", Some(m3)),
            _ => ("loss.m", None),
        };
        let bound = advice.margin_at_most;
        if let Some(margin) = cosine_margin.filter(|margin| *margin > bound.ceiling()) {
            return Err(RecipeError::Range {
                place: place(key),
                key: key.to_owned(),
                rule: format!(
                    "must be {bound} for C = {classes} people and K = {dimension} feature dimensions \
                     (CosFace, eq. 7)"
                ),
                value: margin.to_string(),
            });
        }
        Ok(advice)
    }
}

/// Refuses values with the place where they were written.
struct Range<'t> {
    written: &'t Tree,
}

impl Range<'_> {
    fn place(&self, key: &str) -> Place {
        self.written.place_of(key).clone()
    }

    fn refuse(&self, key: &str, rule: &str, value: impl Display) -> RecipeError {
        RecipeError::Range {
            place: self.place(key),
            key: key.to_owned(),
            rule: rule.to_owned(),
            value: value.to_string(),
        }
    }

    fn number(&self, key: &str, value: f64, rule: &str, holds: fn(f64) -> bool) -> Result<(), RecipeError> {
        if holds(value) { Ok(()) } else { Err(self.refuse(key, rule, value)) }
    }

    fn at_least_one(&self, key: &str, value: usize) -> Result<(), RecipeError> {
        if value >= 1 { Ok(()) } else { Err(self.refuse(key, "must be at least 1", value)) }
    }

    fn some_time(&self, key: &str, value: Length) -> Result<(), RecipeError> {
        if value.is_zero() { Err(self.refuse(key, "must be longer than nothing", value)) } else { Ok(()) }
    }
}

fn check_data(recipe: &Recipe, range: &Range<'_>) -> Result<(), RecipeError> {
    let data = &recipe.data;
    if data.sources.is_empty() {
        return Err(RecipeError::Missing { place: range.place("data"), key: "data.sources".to_owned() });
    }
    for (index, source) in data.sources.iter().enumerate() {
        let key = format!("data.sources.{index}");
        match (&source.tree, &source.list) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => return Err(range.refuse(&key, "must have `tree` or `list`", "neither")),
            (Some(_), Some(_)) => return Err(range.refuse(&key, "must have `tree` or `list`", "both")),
        }
        if source.people.is_some() && source.tree.is_none() {
            return Err(range.refuse(
                &format!("{key}.people"),
                "selects people of a tree",
                "a list is given",
            ));
        }
    }
    range.at_least_one("data.minimum_images", data.minimum_images)?;
    range.at_least_one("data.together", data.together)?;
    for side in data.image {
        range.at_least_one("data.image", side as usize)?;
    }
    range.number("data.mean", data.mean.into(), "must be from 0 to 255", |mean| {
        (0.0..=255.0).contains(&mean)
    })?;
    range.number("data.scale", data.scale.into(), "must be above 0 and finite", positive)?;
    data::Augmenter::new(data.augment.clone()).map(|_| ()).map_err(|error| {
        range.refuse(
            &format!("data.augment.{}", error.field),
            &format!("must be {}", error.range),
            error.value,
        )
    })
}

fn check_optimizer(recipe: &Recipe, range: &Range<'_>) -> Result<(), RecipeError> {
    let optimizer = &recipe.optimizer;
    range.number(
        "optimizer.learning_rate",
        optimizer.learning_rate,
        "must be above 0 and finite",
        positive,
    )?;
    let fraction = |value| (0.0..1.0).contains(&value);
    range.number("optimizer.momentum", optimizer.momentum, "must be from 0 to below 1", fraction)?;
    range.number("optimizer.weight_decay", optimizer.weight_decay, "must be from 0 to below 1", fraction)?;
    range.number("optimizer.clip_norm", optimizer.clip_norm, "must be above 0, inf for none", |n| n > 0.0)?;
    range.at_least_one("optimizer.accumulate", optimizer.accumulate)?;
    if !recipe.run.batch.is_multiple_of(optimizer.accumulate) {
        let rule = format!("must divide run.batch, which is {}", recipe.run.batch);
        return Err(range.refuse("optimizer.accumulate", &rule, optimizer.accumulate));
    }
    Ok(())
}

fn check_schedule(recipe: &Recipe, range: &Range<'_>) -> Result<(), RecipeError> {
    range.some_time("schedule.length", recipe.schedule.length)?;
    match &recipe.schedule.shape {
        Shape::Constant {} => Ok(()),
        Shape::Step { at, factor } => {
            range.number("schedule.shape.factor", *factor, "must be above 0 and at most 1", |factor| {
                factor > 0.0 && factor <= 1.0
            })?;
            let ascending = at.windows(2).all(|pair| match (pair[0], pair[1]) {
                (Length::Epochs(first), Length::Epochs(second)) => first < second,
                (Length::Steps(first), Length::Steps(second)) => first < second,
                _ => false,
            });
            if at.is_empty() || !ascending {
                let times: Vec<String> = at.iter().map(Length::to_string).collect();
                let rule = "must be ascending times in one unit";
                return Err(range.refuse("schedule.shape.at", rule, format!("[{}]", times.join(", "))));
            }
            Ok(())
        }
        Shape::Polynomial { power } => {
            range.number("schedule.shape.power", *power, "must be above 0 and finite", positive)
        }
        Shape::Cosine { floor } => {
            range.number("schedule.shape.floor", *floor, "must be from 0 to 1", |f| (0.0..=1.0).contains(&f))
        }
    }
}

fn check_run(recipe: &Recipe, range: &Range<'_>) -> Result<(), RecipeError> {
    let run = &recipe.run;
    range.at_least_one("run.batch", run.batch)?;
    if run.seed > i64::MAX as u64 {
        return Err(range.refuse("run.seed", "must be below 2^63, the limit of TOML", run.seed));
    }
    range.some_time("run.checkpoints.every", run.checkpoints.every)?;
    range.at_least_one("run.checkpoints.keep", run.checkpoints.keep)?;
    if let Some(validation) = &recipe.validation {
        range.some_time("validation.every", validation.every)?;
    }
    Ok(())
}

fn check_loss(recipe: &Recipe, range: &Range<'_>) -> Result<margin::Loss, RecipeError> {
    let settings = &recipe.loss;
    if let Some(centres) = settings.centres.filter(|centres| !(1..=MOST_SUB_CENTRES).contains(centres)) {
        return Err(range.refuse("loss.centres", &format!("must be from 1 to {MOST_SUB_CENTRES}"), centres));
    }
    if let Some(fall) = settings.lambda_schedule {
        if let Some(lambda) = settings.lambda {
            let rule = "cannot stand beside `loss.lambda_schedule`, which says how lambda falls";
            return Err(range.refuse("loss.lambda", rule, lambda));
        }
        fall.schedule().check().map_err(|error| {
            let key = format!("loss.lambda_schedule.{}", error.parameter);
            range.refuse(&key, &format!("must be {}", error.bound), error.value)
        })?;
    }
    let parameters = margin::Parameters {
        s: settings.s,
        m: settings.m,
        m1: settings.m1,
        m2: settings.m2,
        m3: settings.m3,
        lambda: settings.lambda.or(settings.lambda_schedule.map(|fall| fall.minimum)),
        h: settings.h,
        rate: settings.rate,
        m_low: settings.m_low,
        m_high: settings.m_high,
        norm_low: settings.norm_low,
        norm_high: settings.norm_high,
        lambda_g: settings.lambda_g,
    };
    let loss = margin::Loss::from_parameters(&settings.name, &parameters).map_err(|source| {
        let key = match &source {
            margin::ParameterError::OutOfRange(error) => return out_of_range(recipe, error, range),
            margin::ParameterError::NotTaken { parameter, .. } => format!("loss.{parameter}"),
            margin::ParameterError::UnknownLoss { name } => {
                return RecipeError::UnknownName {
                    place: range.place("loss.name"),
                    key: "loss.name".to_owned(),
                    name: name.clone(),
                    nearest: nearest(name, &margin::Loss::NAMES),
                    known: &margin::Loss::NAMES,
                };
            }
            _ => "loss".to_owned(),
        };
        RecipeError::Loss { place: range.place(&key), source }
    })?;
    if !settings.margin_warm_up.is_zero() && !LossSchedule::can_move(&loss) {
        let rule =
            format!("needs a loss with a margin `m` that can grow from 0, which {} has not", loss.name());
        return Err(range.refuse("loss.margin_warm_up", &rule, settings.margin_warm_up));
    }
    if let Some(warm_up) = settings.scale_warm_up {
        if loss.with_scale(warm_up.from).is_none() {
            let rule = format!("needs a loss with a scale `s`, which {} has not", loss.name());
            return Err(range.refuse("loss.scale_warm_up", &rule, warm_up.length));
        }
        range.number("loss.scale_warm_up.from", warm_up.from, "must be above 0 and finite", positive)?;
        range.some_time("loss.scale_warm_up.length", warm_up.length)?;
    }
    check_features(recipe, range)?;
    if let Some(rate) = settings.sampled {
        range.number("loss.sampled", rate, "must be above 0 and at most 1", |rate| {
            rate > 0.0 && rate <= 1.0
        })?;
        if recipe.optimizer.accumulate > 1 {
            let rule = "cannot stand beside `optimizer.accumulate`, whose parts would each choose classes of their own";
            return Err(range.refuse("loss.sampled", rule, rate));
        }
    }
    Ok(loss)
}

/// The loss on features and its weight beside the one over classes.
fn check_features(recipe: &Recipe, range: &Range<'_>) -> Result<(), RecipeError> {
    let settings = &recipe.loss;
    if let Some(weight) = settings.weight {
        range.number("loss.weight", weight, "must be 0 or above, and finite", |weight| {
            weight >= 0.0 && weight.is_finite()
        })?;
        if settings.features.is_none() {
            return Err(range.refuse(
                "loss.weight",
                "weighs the loss over classes against `loss.features`, which is missing",
                weight,
            ));
        }
    }
    let Some(features) = settings.features else { return Ok(()) };
    let name = features.name;
    range.number("loss.features.weight", features.weight, "must be above 0 and finite", positive)?;
    let (wanted, unwanted) = match name {
        FeatureLossName::Center => (("alpha", features.alpha), ("margin", features.margin)),
        _ => (("margin", features.margin), ("alpha", features.alpha)),
    };
    if let (key, Some(value)) = unwanted {
        let rule = format!("is no parameter of {}", name.name());
        return Err(range.refuse(&format!("loss.features.{key}"), &rule, value));
    }
    let (key, Some(value)) = wanted else {
        let key = format!("loss.features.{}", wanted.0);
        return Err(RecipeError::Missing { place: range.place("loss.features"), key });
    };
    let checked = match name {
        FeatureLossName::Center => CenterLoss { alpha: value }.check(),
        FeatureLossName::Contrastive => ContrastiveLoss { margin: value }.check(),
        FeatureLossName::Triplet => TripletLoss { margin: value }.check(),
    };
    checked.map_err(|error| {
        range.refuse(&format!("loss.features.{key}"), &format!("must be {}", error.bound), error.value)
    })?;
    if name.needs_pairs() && recipe.data.together < 2 {
        let rule = format!(
            "must be 2 or more for {}, which needs several images of a person in a batch",
            name.name()
        );
        return Err(range.refuse("data.together", &rule, recipe.data.together));
    }
    Ok(())
}

/// A parameter outside its range; for a cosine margin the message adds the bound that the data will set.
fn out_of_range(recipe: &Recipe, error: &margin::RangeError, range: &Range<'_>) -> RecipeError {
    let mut rule = format!("must be {}", error.bound);
    if error.loss.starts_with("cosface") && error.parameter == "m" {
        let bound = match recipe.network.feature {
            2 => "1 - cos(2 pi / C)",
            _ => "C / (C - 1)",
        };
        let dimension = recipe.network.feature;
        rule += &format!("; eq. 7 of CosFace allows at most {bound} for C people and K = {dimension}");
    }
    range.refuse(&format!("loss.{}", error.parameter), &rule, error.value)
}

fn positive(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}
