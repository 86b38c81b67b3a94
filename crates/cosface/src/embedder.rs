//! A model file ready to embed aligned crops.

use std::path::{Path, PathBuf};

use data::{Fit, Preparation, PreparationError, ReadError, Reader, Unreadable, flip_horizontally};
use engine::{EmbeddingPlan, EmbeddingPlanError, Pixels, Pool, PoolError, Precision};
use eval::FeatureRule;
use face::{Embedding, Limits, NotADirection, Size};
use image::RgbImage;
use net::{ChannelOrder, FlipRule, Model, ModelFileError, Preprocessing};

/// Images that pass through the network together.
const BATCH: usize = 32;

/// A model with its network compiled, which applies exactly the preprocessing of its card.
#[derive(Debug)]
pub struct Embedder {
    model: Model,
    pool: Pool,
    plan: EmbeddingPlan,
}

/// Outputs of the network for one image and, where the flip rule needs it, for its mirror image.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Output for the image.
    pub image: Vec<f32>,
    /// Output for the mirror image; empty where it was not wanted.
    pub mirrored: Vec<f32>,
}

/// The feature rule that a card's flip rule names.
#[must_use]
pub fn rule_of(flip: FlipRule) -> FeatureRule {
    match flip {
        FlipRule::None => FeatureRule::Image,
        FlipRule::Concatenated => FeatureRule::Concatenated,
        FlipRule::Summed => FeatureRule::Summed,
    }
}

impl Features {
    /// The unit vector that a flip rule makes of the outputs; the rule is the one that they were asked for with.
    ///
    /// # Errors
    /// Outputs that cancel each other out.
    ///
    /// # Panics
    /// When the rule needs the mirror image and its output is not there.
    pub fn embedding(&self, flip: FlipRule) -> Result<Embedding, NotADirection> {
        Embedding::new(rule_of(flip).combine(&self.image, &self.mirrored))
    }
}

/// Outputs for those of a list of image files that can be read.
#[derive(Debug)]
pub struct ReadableFeatures {
    /// The files that could be read, in the order of the list.
    pub files: Vec<PathBuf>,
    /// Outputs for each of them.
    pub features: Vec<Features>,
    /// Why the others were left out, in the order of the list.
    pub skipped: Vec<ReadError>,
}

/// Why images cannot be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedderError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// The engine cannot run the network.
    #[error(transparent)]
    Plan(#[from] EmbeddingPlanError),
    /// Threads cannot be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The model's card names sizes that images cannot be brought to.
    #[error(transparent)]
    Preparation(#[from] PreparationError),
    /// An image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The output for an image has no direction or is not finite.
    #[error("the network's output for this image is zero or not finite, the model is damaged or untrained: {}", .0.display())]
    NoDirection(PathBuf),
}

impl Features {
    /// Refuses an output that is no direction.
    fn check(&self, name: &Path) -> Result<(), EmbedderError> {
        let finite = self.image.iter().chain(&self.mirrored).all(|value| value.is_finite());
        if finite && self.image.iter().any(|value| *value != 0.0) {
            Ok(())
        } else {
            Err(EmbedderError::NoDirection(name.to_owned()))
        }
    }
}

impl Embedder {
    /// Reads a model file and compiles its network for `threads` threads, 0 for one on each processor.
    ///
    /// # Errors
    /// When the file is no model, or the engine cannot run it.
    pub fn open(path: &Path, threads: usize) -> Result<Embedder, EmbedderError> {
        Embedder::new(Model::read(path)?, Pool::new(threads)?)
    }

    /// Compiles a model, with every product in f32.
    ///
    /// # Errors
    /// When the engine cannot run its network.
    pub fn new(model: Model, pool: Pool) -> Result<Embedder, EmbedderError> {
        Embedder::with_precision(model, pool, Precision::F32)
    }

    /// Compiles a model, with the operands of the network's products rounded to `precision`.
    ///
    /// # Errors
    /// When the engine cannot run its network.
    pub fn with_precision(model: Model, pool: Pool, precision: Precision) -> Result<Embedder, EmbedderError> {
        let (network, weights) = (model.network(), model.weights());
        let plan = EmbeddingPlan::with_precision(&pool, network, weights, BATCH, precision)?;
        Ok(Embedder { model, pool, plan })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How image files become the input of a model with this card: they must have the size of its landmark template,
    /// or be brought to it by `fit`.
    ///
    /// # Errors
    /// A card that names sizes which images cannot be brought to.
    pub fn preparation(card: &Preprocessing, fit: Fit) -> Result<Preparation, PreparationError> {
        let input = Size { height: card.height as u32, width: card.width as u32 };
        Preparation::new(crop_size(card), input, fit, Limits::default())
    }

    /// Outputs for image files, in their order; `progress` hears how many are done.
    ///
    /// Images must have the size of the card's landmark template, or be brought to it by `fit`.
    ///
    /// # Errors
    /// At the first image that cannot be read, or whose output has no direction.
    pub fn features(
        &mut self,
        files: Vec<PathBuf>,
        fit: Fit,
        flip: FlipRule,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Features>, EmbedderError> {
        Ok(self.read_features(files, fit, flip, Unreadable::Refuse, progress)?.features)
    }

    /// The same for those files that can be read; the others are left out, and told.
    ///
    /// # Errors
    /// At the first image whose output has no direction, which is the model's fault and not the image's.
    pub fn readable_features(
        &mut self,
        files: Vec<PathBuf>,
        fit: Fit,
        flip: FlipRule,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ReadableFeatures, EmbedderError> {
        self.read_features(files, fit, flip, Unreadable::Skip, progress)
    }

    fn read_features(
        &mut self,
        files: Vec<PathBuf>,
        fit: Fit,
        flip: FlipRule,
        unreadable: Unreadable,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ReadableFeatures, EmbedderError> {
        let card = self.model.card().preprocessing.clone();
        let preparation = Self::preparation(&card, fit)?;
        let input = preparation.input();
        let names = files.clone();
        let mut readable = ReadableFeatures { files: Vec::new(), features: Vec::new(), skipped: Vec::new() };
        for batch in Reader::new(files, preparation, BATCH, self.pool.threads(), unreadable) {
            let mut batch = batch?;
            let both = match batch.files.is_empty() {
                true => Vec::new(),
                false => self.both_outputs(&card, &mut batch.pixels, input, flip),
            };
            for (features, file) in both.into_iter().zip(batch.files) {
                let name = &names[file];
                features.check(name)?;
                readable.files.push(name.clone());
                readable.features.push(features);
            }
            readable.skipped.extend(batch.skipped.into_iter().map(|(_, fault)| fault));
            progress(readable.files.len() + readable.skipped.len());
        }
        Ok(readable)
    }

    /// Size of the aligned crops that the model's card asks for.
    #[must_use]
    pub fn crop_size(&self) -> Size {
        crop_size(&self.model.card().preprocessing)
    }

    /// Outputs for one aligned crop; `name` stands for it in errors.
    ///
    /// # Errors
    /// An output without a direction, or a card with impossible sizes.
    ///
    /// # Panics
    /// When the crop has not the size of the card's template.
    pub fn features_of_crop(
        &mut self,
        crop: &RgbImage,
        flip: FlipRule,
        name: &Path,
    ) -> Result<Features, EmbedderError> {
        Ok(self.features_of([(crop, name)].into_iter(), flip)?.swap_remove(0))
    }

    /// Outputs for aligned crops, in their order; each has a name that stands for it in errors.
    ///
    /// # Errors
    /// As [`features_of_crop`](Self::features_of_crop), at the first crop.
    ///
    /// # Panics
    /// When a crop has not the size of the card's template.
    pub fn features_of_crops(
        &mut self,
        crops: &[(RgbImage, PathBuf)],
        flip: FlipRule,
    ) -> Result<Vec<Features>, EmbedderError> {
        let mut all = Vec::with_capacity(crops.len());
        for crops in crops.chunks(BATCH) {
            all.extend(self.features_of(crops.iter().map(|(crop, name)| (crop, name.as_path())), flip)?);
        }
        Ok(all)
    }

    /// Outputs for at most [`BATCH`] crops.
    fn features_of<'c>(
        &mut self,
        crops: impl ExactSizeIterator<Item = (&'c RgbImage, &'c Path)> + Clone,
        flip: FlipRule,
    ) -> Result<Vec<Features>, EmbedderError> {
        let card = self.model.card().preprocessing.clone();
        let preparation = Self::preparation(&card, Fit::Exact)?;
        let bytes = preparation.input().rgb_bytes();
        let mut pixels = vec![0; crops.len() * bytes];
        for ((crop, _), input) in crops.clone().zip(pixels.chunks_exact_mut(bytes)) {
            assert_eq!(Size::of(crop), preparation.crop(), "size of an aligned crop");
            preparation.reduce(crop.as_raw(), input);
        }
        let all = self.both_outputs(&card, &mut pixels, preparation.input(), flip);
        for (features, (_, name)) in all.iter().zip(crops) {
            features.check(name)?;
        }
        Ok(all)
    }

    /// Outputs for images and, where the flip rule needs them, for their mirror images, which `pixels` then hold.
    fn both_outputs(
        &mut self,
        card: &Preprocessing,
        pixels: &mut [u8],
        input: Size,
        flip: FlipRule,
    ) -> Vec<Features> {
        let images = self.outputs(card, pixels);
        let mirrored = match flip {
            FlipRule::None => vec![Vec::new(); images.len()],
            FlipRule::Concatenated | FlipRule::Summed => {
                flip_horizontally(pixels, input);
                self.outputs(card, pixels)
            }
        };
        images.into_iter().zip(mirrored).map(|(image, mirrored)| Features { image, mirrored }).collect()
    }

    fn outputs(&mut self, card: &Preprocessing, pixels: &[u8]) -> Vec<Vec<f32>> {
        let swapped: Vec<u8>;
        let bytes = match card.channel_order {
            ChannelOrder::Rgb => pixels,
            ChannelOrder::Bgr => {
                swapped = pixels.chunks_exact(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
                &swapped
            }
        };
        let (mean, scale) = (card.mean, card.scale);
        let dimension = self.plan.dimension();
        let outputs = self.plan.forward(&self.pool, Pixels { bytes, mean, scale });
        outputs.chunks_exact(dimension).map(<[f32]>::to_vec).collect()
    }
}

fn crop_size(card: &Preprocessing) -> Size {
    let [height, width] = card.template.frame().unwrap_or([card.height, card.width]);
    Size { height: height as u32, width: width as u32 }
}
