//! The margin head: class centres, the loss over them, its gradients and the centres' own update.
//!
//! The head never holds an N x C f32 matrix. It walks the classes in tiles, twice: once for each sample's sum of
//! exponentials, once for the gradients. Between the walks it keeps the exponentials, in the precision of the
//! products, of as many tiles as a quarter of the centres' memory holds (16 MiB where that is more), and recomputes
//! the others. Besides, its memory is the centres and their velocities, a few tiles and, for each of at most
//! [`GROUPS`] groups of classes, one N x D partial gradient.
//!
//! In bf16 the operands of the three products are rounded when tiles are packed: directions of centres and features,
//! exponentials and gradients of cosines. Sums, the margin, the loss, all that concerns a sample's own class and the
//! centres themselves are not.
//!
//! Every loss of `margin` takes this way: the target is treated in f64 for each sample (`target`), what happens to
//! other classes is done to the cosines of a tile before they are logits (`others`), and several centres of a class lie
//! in one tile, of which the nearest stays. A sample of the classes is a head of its own (`sampled`).

mod batch;
mod directions;
mod exponential;
mod gradients;
mod layout;
mod others;
mod own;
mod sampled;
mod spread;
mod step;
mod sums;
mod target;

use margin::Loss;
use target::scale_of;

use crate::buffer::Buffer;
use crate::optimizer::SgdStep;
use crate::pool::Pool;
use crate::precision::Precision;

/// Most groups of classes whose partial results are reduced in order. Fixed, so that results do not depend on the
/// number of threads.
pub const GROUPS: usize = 16;

/// Vectors shorter than this have no direction: their cosines are 0 and no gradient flows through them.
pub const SHORTEST: f32 = 1e-12;

/// Most centres of one class.
pub const MOST_SUB_CENTRES: usize = 16;

/// Class centres `W`, `[classes x per_class, dimension]`, with their velocities.
#[derive(Debug)]
pub struct Head {
    classes: usize,
    /// Centres of each class, which lie together.
    per_class: usize,
    dimension: usize,
    weights: Buffer,
    velocity: Buffer,
    precision: Precision,
    /// Bytes of exponentials kept between the walks where a share of the centres' memory is less.
    least_kept: usize,
    scratch: step::Scratch,
}

/// What happens to the centres in a step.
#[derive(Debug)]
pub enum Centres<'a> {
    /// Nothing; only the loss and the gradient of the features are wanted.
    Keep,
    /// Their gradient is added to these `[classes x per_class, dimension]` values.
    AddGradient(&'a mut [f32]),
    /// Their gradient is added to their velocities, between [`Head::begin_descent`] and [`Head::end_descent`].
    AddToVelocity,
    /// They and their velocities are updated in place, tile by tile, with no gradient stored.
    Descend(SgdStep),
}

/// What a step says of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// `-ln p_y`, margin included, and the loss's penalty of the norm, if it has one.
    pub loss: f64,
    /// Cosine to the sample's own centre, the nearest of several; 0 where one of the two has no direction.
    pub cosine: f64,
    /// Norm of the feature.
    pub norm: f64,
    /// The largest logit of another class, divided by the scale: the largest cosine to another centre, as
    /// CurricularFace hardens it. `W_j . x` for softmax and L-Softmax; -infinity with one class.
    pub nearest_other: f64,
    /// Whether the target logit, margin included, exceeds all others.
    pub satisfied: bool,
}

/// Each sample of a step, with the mean of their losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadOutput {
    /// Mean loss of the batch.
    pub loss: f64,
    /// Every sample of the batch.
    pub samples: Vec<Sample>,
}

impl Head {
    /// A head whose centres are zero, to be filled by [`Head::weights_mut`], and whose products are in f32.
    ///
    /// # Panics
    /// When `classes` or `dimension` is zero.
    #[must_use]
    pub fn zeros(classes: usize, dimension: usize) -> Head {
        Head::with_sub_centres(classes, 1, dimension)
    }

    /// As [`Head::zeros`] with `per_class` centres for each class, of which the nearest counts:
    /// `c_j = max_k cos(x, W_jk)` (sub-centre ArcFace, doi:10.1007/978-3-030-58621-8_43, eq. 2). The centres of a class
    /// lie together.
    ///
    /// # Panics
    /// When `classes` or `dimension` is zero, or `per_class` is not from 1 to [`MOST_SUB_CENTRES`].
    #[must_use]
    pub fn with_sub_centres(classes: usize, per_class: usize, dimension: usize) -> Head {
        assert!(classes > 0 && dimension > 0, "a head of {classes} classes and dimension {dimension}");
        assert!((1..=MOST_SUB_CENTRES).contains(&per_class), "a head of {per_class} centres for each class");
        Head {
            classes,
            per_class,
            dimension,
            weights: Buffer::zeros(classes * per_class * dimension),
            velocity: Buffer::default(),
            precision: Precision::F32,
            least_kept: layout::KEPT_BYTES,
            scratch: step::Scratch::default(),
        }
    }

    /// The precision of the products.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Sets the precision of the products; centres and velocities are f32 in any.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Number of classes, C.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Centres of each class.
    #[must_use]
    pub fn per_class(&self) -> usize {
        self.per_class
    }

    /// Feature dimension, D.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The centres, `[classes x per_class, dimension]`, not normalised.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        self.weights.as_slice()
    }

    /// The centres, to be set.
    pub fn weights_mut(&mut self) -> &mut [f32] {
        self.weights.as_mut_slice()
    }

    /// The centres' velocities; empty until the first [`Centres::Descend`] or [`Head::begin_descent`].
    #[must_use]
    pub fn velocity(&self) -> &[f32] {
        self.velocity.as_slice()
    }

    /// Takes over velocities, as from a checkpoint.
    ///
    /// # Panics
    /// When `velocity` is neither empty nor one for each weight.
    pub fn set_velocity(&mut self, velocity: &[f32]) {
        assert!(velocity.is_empty() || velocity.len() == self.weights().len(), "velocities of another head");
        self.velocity = Buffer::zeros(velocity.len());
        self.velocity.as_mut_slice().copy_from_slice(velocity);
    }

    /// Makes the velocities ready for the gradients of `parts` parts of a batch, which [`Centres::AddToVelocity`] adds as
    /// they come: `v <- parts (momentum v + decay W)`. So their mean needs no memory of its own.
    pub fn begin_descent(&mut self, pool: &Pool, step: SgdStep, parts: usize) {
        if self.velocity.as_slice().is_empty() {
            self.velocity = Buffer::zeros(self.weights().len());
        }
        let (parts, weights) = (parts as f32, self.weights.as_slice());
        pool.run_chunks(self.velocity.as_mut_slice(), DESCENT, |index, velocity| {
            for (velocity, weight) in velocity.iter_mut().zip(&weights[index * DESCENT..]) {
                *velocity = parts * (step.momentum * *velocity + step.decay * weight);
            }
        });
    }

    /// The step itself, once all parts are added: `v <- v / parts`, `W <- W - rate v`.
    ///
    /// # Panics
    /// Without [`Head::begin_descent`].
    pub fn end_descent(&mut self, pool: &Pool, step: SgdStep, parts: usize) {
        let share = 1.0 / parts as f32;
        let (weights, velocity) = (self.weights.as_mut_slice(), self.velocity.as_mut_slice());
        assert_eq!(weights.len(), velocity.len(), "a descent that was not begun");
        pool.run_chunks_of_two(weights, DESCENT, velocity, DESCENT, |_, weights, velocity| {
            for (weight, velocity) in weights.iter_mut().zip(velocity) {
                *velocity *= share;
                *weight -= step.rate * *velocity;
            }
        });
    }

    /// The loss after it has seen this batch ([`Loss::observe`]): what an adaptive loss is to be before
    /// [`Head::step`]. Any other loss comes back as it is, at no cost.
    ///
    /// # Shapes
    /// As [`Head::step`].
    ///
    /// # Panics
    /// As [`Head::step`].
    #[must_use]
    pub fn observe(&self, pool: &Pool, loss: Loss, features: &[f32], labels: &[u32]) -> Loss {
        self.check_batch(features, labels);
        if loss.state().is_empty() || labels.is_empty() {
            return loss;
        }
        let mut units = vec![0.0; features.len()];
        let (mut norms, mut own) = (Vec::new(), Vec::new());
        batch::normalise(features, self.dimension, loss.normalises_weights(), &mut units, &mut norms);
        own::own_centres(pool.isa(), &loss, self.weights(), self.per_class, &units, labels, &mut own);
        // Rounding can carry a cosine past 1, which no mean of cosines may be.
        let cosines: Vec<f64> = own.iter().map(|own| own.product.clamp(-1.0, 1.0)).collect();
        loss.observe(&cosines, &norms)
    }

    fn check_batch(&self, features: &[f32], labels: &[u32]) {
        assert_eq!(features.len(), labels.len() * self.dimension, "features of {} samples", labels.len());
        if let Some(label) = labels.iter().find(|label| **label as usize >= self.classes) {
            panic!("label {label} of a head with {} classes", self.classes);
        }
    }

    /// Loss of a batch, its gradient with respect to the raw features, and what `centres` asks for.
    ///
    /// With `c_j = cos(x, W_j)`, logits `z_j = a c_j` and `z_y = a psi(c_y)` as `loss` defines them, the loss of a
    /// sample is `ln(1 + sum over j != y of e^(z_j - z_y))`. Everything is relative to the target, so that neither
    /// a loss near zero nor one of hundreds loses its digits. Gradients are those of the mean over the batch.
    /// [`margin::evaluate`] and [`margin::evaluate_sub_centres`] define the same in f64.
    ///
    /// Two steps of the family are not continuous: which of several centres is nearest, and whether a class is hard for
    /// CurricularFace. Where two values are closer than the products' rounding, the head may decide otherwise than f64.
    ///
    /// # Shapes
    /// `features` and `d_features` `[samples, dimension]`, `labels` `[samples]`.
    ///
    /// # Panics
    /// When a length does not fit, a label is no class, or the loss is out of range ([`Loss::check`]).
    pub fn step(
        &mut self,
        pool: &Pool,
        loss: &Loss,
        features: &[f32],
        labels: &[u32],
        d_features: &mut [f32],
        centres: Centres<'_>,
    ) -> HeadOutput {
        self.check_batch(features, labels);
        assert_eq!(d_features.len(), features.len(), "features and their gradient");
        if let Err(error) = loss.check() {
            panic!("{error}");
        }
        if let Centres::AddGradient(gradient) = &centres {
            assert_eq!(gradient.len(), self.weights().len(), "gradient of the centres");
        }
        if matches!(centres, Centres::AddToVelocity) {
            assert_eq!(self.velocity().len(), self.weights().len(), "a descent that was not begun");
        }
        if labels.is_empty() {
            return HeadOutput::default();
        }
        if matches!(centres, Centres::Descend(_)) && self.velocity.as_slice().is_empty() {
            self.velocity = Buffer::zeros(self.weights().len());
        }
        step::step(pool, self, loss, features, labels, d_features, centres)
    }
}

/// Values of the centres for one task of a descent.
const DESCENT: usize = 16 * 1024;

#[cfg(test)]
mod tests;
