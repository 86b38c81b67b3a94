//! A recipe as written, section by section, with the default of every key and its source.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::length::Length;

/// A whole recipe. Nothing here is checked beyond its type; [`CheckedRecipe`](super::CheckedRecipe) is.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Which images, and how they reach the network.
    pub data: Data,
    /// The network that makes features.
    pub network: net::Architecture,
    /// What training minimises.
    pub loss: LossSettings,
    /// How the weights follow the gradient.
    #[serde(default)]
    pub optimizer: Optimizer,
    /// How long, and how the learning rate moves.
    pub schedule: Schedule,
    /// What does not change the model but for rounding: seed, batch, threads, checkpoints.
    #[serde(default)]
    pub run: Run,
    /// Measurement during training, on people that are not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Height and width of the aligned images; 112 x 96 in the paper. They are averaged down to `network.input`.
    pub image: [u32; 2],
    /// What happens to an image of another size; an error unless said.
    pub resize: data::Fit,
    /// Where the landmarks lie in the images; `"112x96"`, the paper's, unless said.
    pub template: net::LandmarkTemplate,
    /// Subtracted from each byte; 127.5 in the paper, section 4.1.
    pub mean: f32,
    /// Divides the difference; 128 in the paper, section 4.1.
    pub scale: f32,
    /// People with fewer images are left out; 1 unless said, which leaves out nobody.
    pub minimum_images: usize,
    /// What happens to an image that cannot be decoded; refused unless said.
    pub unreadable: data::Unreadable,
    /// Most memory that decoded images may take, in MiB; a larger set is decoded anew in every epoch. 1024 unless
    /// said: 33,000 crops of 112 x 96.
    pub memory_mib: usize,
    /// Images of one person that come after each other in an epoch, as far as there are; 1, no order by people, unless
    /// said. Losses over pairs and triplets need 2 or more.
    pub together: usize,
    /// Random changes of every image; flips alone unless said, as in the paper, section 4.1.
    pub augment: data::Augment,
    /// Where the images are.
    pub sources: Vec<Source>,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            image: [112, 96],
            resize: data::Fit::Exact,
            template: net::LandmarkTemplate::Points112x96,
            mean: 127.5,
            scale: 128.0,
            minimum_images: 1,
            unreadable: data::Unreadable::Refuse,
            memory_mib: 1024,
            together: 1,
            augment: data::Augment::default(),
            sources: Vec::new(),
        }
    }
}

/// One entry of `[[data.sources]]`: a tree of folders, one for each person, or a list of paths and people.
///
/// People of different sources are different people.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Folder with one folder for each person; in place of `list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<PathBuf>,
    /// File with a path and a person on each line; in place of `tree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<PathBuf>,
    /// File in the format of LFW's `peopleDevTrain.txt` that selects people of the tree; everyone unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<PathBuf>,
}

/// `[loss]`: a name of [`margin::Loss`] and its parameters, none of which has a default.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LossSettings {
    /// `softmax`, `nsl`, `cosface` and so on.
    pub name: String,
    /// Scale of the logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s: Option<f64>,
    /// Margin, in the unit of the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m: Option<f64>,
    /// Factor on the angle, of `combined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m1: Option<f64>,
    /// Angular margin in radians, of `combined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m2: Option<f64>,
    /// Cosine margin, of `combined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m3: Option<f64>,
    /// Weight of the plain cosine, of `sphereface`, `sphereface-normalised` and `l-softmax`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// How far a deviation of the norms moves the margin, of `adaface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub h: Option<f64>,
    /// Share of a new batch in the running means, of `curricularface` and `adaface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Margin in radians at the lowest norm, of `magface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m_low: Option<f64>,
    /// Margin in radians at the highest norm, of `magface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub m_high: Option<f64>,
    /// Lowest norm, of `magface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_low: Option<f64>,
    /// Highest norm, of `magface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_high: Option<f64>,
    /// Weight of the penalty of small norms, of `magface`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda_g: Option<f64>,
    /// Centres of each person, of which the nearest counts (sub-centre ArcFace), 1 to 16; 1 unless said. 3 in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub centres: Option<usize>,
    /// Time over which `m` grows from 0 in a straight line; none unless said, as in the paper.
    #[serde(default = "no_length")]
    pub margin_warm_up: Length,
    /// How lambda falls, in place of `lambda`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda_schedule: Option<LambdaFall>,
    /// How `s` moves to its value at the start; it does not unless said, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_warm_up: Option<ScaleWarmUp>,
    /// Weight of the loss over classes in the sum with `features`; 1 unless said. At 0 the features learn from
    /// `features` alone, while the centres still follow them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// A loss on the features beside the one over classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeatureSettings>,
    /// Share of the classes that take part in a step, above 0 to 1: those of the batch and others by chance until there
    /// are so many (Partial FC, arXiv:2010.05222). All unless said. Centres that take no part keep weight and velocity;
    /// neither momentum nor decay acts on them. 0.1 in InsightFace's arcface_torch for very many classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<f64>,
}

/// `loss.scale_warm_up`: a straight line to `loss.s`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleWarmUp {
    /// Scale at the first step.
    pub from: f64,
    /// Time until it is `loss.s`.
    pub length: Length,
}

/// `loss.features`: a loss of [`margin::beside`].
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSettings {
    /// Which one.
    pub name: FeatureLossName,
    /// Its weight in the sum; above 0.
    pub weight: f64,
    /// Share of the way that a centre goes towards its samples, of `center`; 0.5 in its paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Distance from which on two people are far enough apart, of `contrastive`; difference of squared distances of unit
    /// vectors, of `triplet` (0.2 in its paper).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
}

/// `loss.features.name`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureLossName {
    /// [`margin::beside::CenterLoss`].
    Center,
    /// [`margin::beside::ContrastiveLoss`], over all pairs of a batch.
    Contrastive,
    /// [`margin::beside::TripletLoss`], semi-hard.
    Triplet,
}

impl FeatureLossName {
    /// Name in recipes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Contrastive => "contrastive",
            Self::Triplet => "triplet",
        }
    }

    /// Whether batches must hold several images of a person.
    #[must_use]
    pub fn needs_pairs(self) -> bool {
        matches!(self, Self::Contrastive | Self::Triplet)
    }
}

/// `loss.lambda_schedule`: `max(minimum, base (1 + gamma step)^-power)`, the numbers of SphereFace's published training
/// files unless said.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LambdaFall {
    /// Lambda at the first step.
    pub base: f64,
    /// Speed of the fall, for each step.
    pub gamma: f64,
    /// Exponent of the fall.
    pub power: f64,
    /// Lambda never goes below this.
    pub minimum: f64,
}

impl Default for LambdaFall {
    fn default() -> Self {
        let margin::LambdaSchedule { base, gamma, power, minimum } = margin::LambdaSchedule::default();
        Self { base, gamma, power, minimum }
    }
}

impl LambdaFall {
    pub(crate) fn schedule(self) -> margin::LambdaSchedule {
        let Self { base, gamma, power, minimum } = self;
        margin::LambdaSchedule { base, gamma, power, minimum }
    }
}

fn no_length() -> Length {
    Length::Steps(0)
}

/// `[optimizer]`: SGD with momentum.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Base of the schedule; 0.1 for the small set of the paper, section 4.1.
    pub learning_rate: f64,
    /// 0.9 in the paper, section 4.1.
    pub momentum: f64,
    /// 5e-4 in the paper, section 4.1.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
    /// Largest norm of the backbone's gradient; a longer one is scaled down to it. `inf`, no clipping, unless said,
    /// as in the paper; InsightFace's arcface_torch has 5.
    pub clip_norm: f64,
    /// Parts in which a batch passes through the network. Their gradients are averaged, so that the number changes
    /// memory and, without batch normalisation, nothing else but rounding. 1 unless said.
    pub accumulate: usize,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 5e-4,
            decay: Decay::Weights,
            clip_norm: f64::INFINITY,
            accumulate: 1,
        }
    }
}

/// Which parameters decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Weights of convolutions and linear layers and the class centres, but no bias, no slope of a PReLU (which
    /// would be pulled towards ReLU, arXiv:1502.01852, section 2.1) and no batch normalisation (as in TFace).
    Weights,
    /// Every trained parameter, as PyTorch does by default.
    All,
}

/// `[schedule]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// How long training lasts.
    pub length: Length,
    /// Time over which the learning rate grows in a straight line; none unless said, as in the paper.
    #[serde(default = "no_length")]
    pub warm_up: Length,
    /// How the rate falls afterwards.
    #[serde(default)]
    pub shape: Shape,
}

/// `schedule.shape`; see [`crate::schedule::Shape`] for the equations.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Shape {
    /// The rate does not fall.
    Constant {},
    /// It drops at given times.
    Step {
        /// When it drops, ascending.
        at: Vec<Length>,
        /// What each drop multiplies it by; 0.1 in the paper, section 4.1.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// It falls to 0 as a power of the time left.
    Polynomial {
        /// 2 in InsightFace's arcface_torch.
        #[serde(default = "two")]
        power: f64,
    },
    /// It falls along half a cosine.
    Cosine {
        /// Fraction of the base that remains at the end; 0 unless said.
        #[serde(default)]
        floor: f64,
    },
}

impl Default for Shape {
    fn default() -> Self {
        Self::Cosine { floor: 0.0 }
    }
}

fn tenth() -> f64 {
    0.1
}

fn two() -> f64 {
    2.0
}

/// `[run]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
    /// Seed of the weights, the order of the images, the augmentation and dropout; 1 unless said.
    pub seed: u64,
    /// Images in one update of the weights; 128 unless said (64 on each of 8 processors in the paper).
    pub batch: usize,
    /// Worker threads; 0, one for each processor, unless said. Results do not depend on it.
    pub threads: usize,
    /// Arithmetic of the products of network and head, where the processor multiplies it, and in bf16 also what large
    /// activations and their gradients around convolutions of 1 x 1 and depthwise ones are kept in; `auto` unless said. On LFW View 1 three seeds reach 93.0, 93.9
    /// and 93.5 % in bf16 and 93.5, 93.3 and 94.1 % in f32 (`recipes/lfw-view1.toml`).
    pub precision: Precision,
    /// What to start from in place of fresh weights: a model file, or a run directory, whose newest checkpoint also has
    /// the centres, which are taken where the people are the same. Velocities start at 0. The paper's LMCL without
    /// normalised features starts from a softmax model (arXiv:1801.09414, table 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// States to resume from.
    pub checkpoints: Checkpoints,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            seed: 1,
            batch: 128,
            threads: 0,
            precision: Precision::Auto,
            start: None,
            checkpoints: Checkpoints::default(),
        }
    }
}

/// Arithmetic of the products of network and head, and the format of some activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point everywhere.
    F32,
    /// Operands of products, where the processor multiplies that, and large activations rounded to bfloat16, with 32-bit
    /// sums, weights and state.
    Bf16,
    /// `bf16` where the processor multiplies it, else `f32`; a run keeps to what it began with.
    Auto,
}

impl Precision {
    /// What it means on a processor with `isa`.
    #[must_use]
    pub fn on(self, isa: engine::Isa) -> engine::Precision {
        match self {
            Precision::F32 => engine::Precision::F32,
            Precision::Bf16 => engine::Precision::Bf16,
            Precision::Auto => engine::Precision::fastest(isa),
        }
    }

    /// The same without [`Precision::Auto`].
    #[must_use]
    pub(super) fn resolved(self, isa: engine::Isa) -> Precision {
        match self.on(isa) {
            engine::Precision::F32 => Precision::F32,
            engine::Precision::Bf16 => Precision::Bf16,
        }
    }
}

/// `[run.checkpoints]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoints {
    /// Time between two; one epoch unless said. There is always one at the end and on interruption.
    pub every: Length,
    /// How many of the newest stay; 2 unless said, so that one is good while the next is written.
    pub keep: usize,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { every: Length::Epochs(1.0), keep: 2 }
    }
}

/// `[validation]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Folder with one folder for each person.
    pub tree: PathBuf,
    /// File in the format of LFW's `pairs.txt`.
    pub pairs: PathBuf,
    /// Time between two measurements.
    pub every: Length,
}
