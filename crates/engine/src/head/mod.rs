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

mod batch;
mod directions;
mod exponential;
mod gradients;
mod layout;
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

/// Class centres `W`, `[classes, dimension]`, with their velocities.
#[derive(Debug)]
pub struct Head {
    classes: usize,
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
    /// Their gradient is added to these `[classes, dimension]` values.
    AddGradient(&'a mut [f32]),
    /// They and their velocities are updated in place, tile by tile, with no gradient stored.
    Descend(SgdStep),
}

/// What a step says of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// `-ln p_y`, margin included.
    pub loss: f64,
    /// Cosine to the sample's own centre; `W_y . x` for plain softmax.
    pub target: f64,
    /// The largest cosine to another centre; -infinity with one class. `W_j . x` for plain softmax.
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
        assert!(classes > 0 && dimension > 0, "a head of {classes} classes and dimension {dimension}");
        Head {
            classes,
            dimension,
            weights: Buffer::zeros(classes * dimension),
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

    /// Feature dimension, D.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The centres, `[classes, dimension]`, not normalised.
    #[must_use]
    pub fn weights(&self) -> &[f32] {
        self.weights.as_slice()
    }

    /// The centres, to be set.
    pub fn weights_mut(&mut self) -> &mut [f32] {
        self.weights.as_mut_slice()
    }

    /// The centres' velocities; empty until the first [`Centres::Descend`].
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

    /// Loss of a batch, its gradient with respect to the raw features, and what `centres` asks for.
    ///
    /// With `c_j = cos(x, W_j)`, logits `z_j = a c_j` and `z_y = a psi(c_y)` as `loss` defines them, the loss of a
    /// sample is `ln(1 + sum over j != y of e^(z_j - z_y))`. Everything is relative to the target, so that neither
    /// a loss near zero nor one of hundreds loses its digits. Gradients are those of the mean over the batch.
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
        let samples = labels.len();
        assert_eq!(features.len(), samples * self.dimension, "features of {samples} samples");
        assert_eq!(d_features.len(), features.len(), "features and their gradient");
        if let Some(label) = labels.iter().find(|label| **label as usize >= self.classes) {
            panic!("label {label} of a head with {} classes", self.classes);
        }
        if let Err(error) = loss.check() {
            panic!("{error}");
        }
        if let Centres::AddGradient(gradient) = &centres {
            assert_eq!(gradient.len(), self.weights().len(), "gradient of the centres");
        }
        if samples == 0 {
            return HeadOutput::default();
        }
        if matches!(centres, Centres::Descend(_)) && self.velocity.as_slice().is_empty() {
            self.velocity = Buffer::zeros(self.weights().len());
        }
        step::step(pool, self, loss, features, labels, d_features, centres)
    }
}

#[cfg(test)]
mod tests;
