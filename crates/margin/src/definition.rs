//! The definition: mean loss and its gradients, plainly, in f64.

use std::error::Error;
use std::fmt;

use crate::loss::parameters::RangeError;
use crate::loss::{Loss, Scale};

/// A batch of features, the class centres and the right answers.
///
/// # Shapes
/// `features` is `[samples, dimension]`, `weights` is `[classes, dimension]`, `labels` is `[samples]`; row-major,
/// raw (not normalised).
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Raw features `x_i`.
    pub features: &'a [f64],
    /// Raw class centres `W_j`.
    pub weights: &'a [f64],
    /// Class of each sample, below `classes`.
    pub labels: &'a [u32],
    /// Number of samples, N.
    pub samples: usize,
    /// Number of classes, C.
    pub classes: usize,
    /// Feature dimension, D.
    pub dimension: usize,
}

/// Loss and gradients of one [`Problem`].
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean of `loss_each`.
    pub loss: f64,
    /// `-ln p_y` of each sample and its penalty, `[samples]`.
    pub loss_each: Vec<f64>,
    /// Gradient of the mean loss with respect to the raw features, `[samples, dimension]`.
    pub d_features: Vec<f64>,
    /// Gradient of the mean loss with respect to the raw weights, `[classes, dimension]`.
    pub d_weights: Vec<f64>,
}

/// Why a problem has no loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProblemError {
    /// The loss itself is out of range.
    OutOfRange(RangeError),
    /// There is no sample, so there is no mean.
    NoSamples,
    /// A label names no class.
    LabelOutOfRange {
        /// Row of the sample.
        sample: usize,
        /// Its label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// A feature is zero and the loss needs its direction.
    ZeroFeature {
        /// Row of the sample.
        sample: usize,
    },
    /// A class centre is zero and the loss needs its direction.
    ZeroWeight {
        /// Row of the class.
        class: usize,
    },
    /// A feature is not finite, or so large that its norm is not.
    FeatureNotFinite {
        /// Row of the sample.
        sample: usize,
    },
    /// A class centre is not finite, or so large that its norm is not.
    WeightNotFinite {
        /// Row of the class.
        class: usize,
    },
}

impl fmt::Display for ProblemError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(error) => error.fmt(formatter),
            Self::NoSamples => formatter.write_str("a loss needs at least one sample"),
            Self::LabelOutOfRange { sample, label, classes } => {
                write!(
                    formatter,
                    "the label of sample {sample} must be below {classes}, the number of classes: {label}"
                )
            }
            Self::ZeroFeature { sample } => {
                write!(formatter, "a zero feature has no direction, at sample: {sample}")
            }
            Self::ZeroWeight { class } => {
                write!(formatter, "a zero class centre has no direction, at class: {class}")
            }
            Self::FeatureNotFinite { sample } => {
                write!(formatter, "the norm of a feature is not finite, at sample: {sample}")
            }
            Self::WeightNotFinite { class } => {
                write!(formatter, "the norm of a class centre is not finite, at class: {class}")
            }
        }
    }
}

impl Error for ProblemError {}

impl From<RangeError> for ProblemError {
    fn from(error: RangeError) -> Self {
        Self::OutOfRange(error)
    }
}

/// Mean loss over the batch and its gradients with respect to the raw features and raw weights.
///
/// With `u_j` of [`Loss::other`] and `u_y = psi(c_y)` of [`Loss::target_of`], logits are `z_j = a u_j`, where `a` is the
/// scale; the loss of a sample is `ln(sum_j e^(z_j - z_y))` and its [`Loss::penalty`], taken as a log-sum-exp that
/// neither overflows nor loses a small loss to cancellation.
/// Gradients pass through both normalisations: `d c_j / d x = (W_j/|W_j| - c_j x/|x|) / |x|`, and likewise for `W_j`.
/// Time and memory are O(N C D) and O((N + C) D + C): this is the reference, not the fast head.
///
/// # Errors
/// See [`ProblemError`]. Zero vectors are allowed for plain softmax only, which needs no direction.
///
/// # Panics
/// Where the lengths of the slices disagree with the counts.
pub fn evaluate(loss: &Loss, problem: &Problem<'_>) -> Result<Evaluation, ProblemError> {
    let &Problem { features, weights, labels, samples, classes, dimension } = problem;
    assert_eq!(features.len(), samples * dimension, "features must be samples x dimension");
    assert_eq!(weights.len(), classes * dimension, "weights must be classes x dimension");
    assert_eq!(labels.len(), samples, "there must be one label for each sample");
    loss.check()?;
    if samples == 0 {
        return Err(ProblemError::NoSamples);
    }
    let feature_norms = norms(features, samples, dimension);
    let weight_norms = norms(weights, classes, dimension);
    check(loss, problem, &feature_norms, &weight_norms)?;

    let mut result = Evaluation {
        loss: 0.0,
        loss_each: Vec::with_capacity(samples),
        d_features: vec![0.0; features.len()],
        d_weights: vec![0.0; weights.len()],
    };
    let mut logits = vec![0.0; classes];
    let mut terms = vec![Term::default(); classes];
    for sample in 0..samples {
        let label = labels[sample] as usize;
        let feature = row(features, sample, dimension);
        let norm = feature_norms[sample];
        let cosine =
            |class: usize| dot(feature, row(weights, class, dimension)) / (norm * weight_norms[class]);
        let psi = if loss.needs_directions() { loss.target_of(cosine(label), norm).psi } else { 0.0 };
        for class in 0..classes {
            let of_target = class == label && loss.needs_directions();
            terms[class] = if !loss.normalises_weights() && !of_target {
                Term::Product
            } else {
                let (scale, d_scale) = match loss.scale() {
                    Scale::Fixed(s) => (s, 0.0),
                    Scale::FeatureNorm => (norm, 1.0),
                };
                let length = if loss.normalises_weights() { 1.0 } else { weight_norms[class] };
                let cosine = cosine(class);
                let (value, slope, norm_slope) = if of_target {
                    let target = loss.target_of(cosine, norm);
                    (target.psi, target.slope, target.norm_slope)
                } else {
                    let other = loss.other(cosine, psi);
                    (other.value, other.slope, 0.0)
                };
                Term::Cosine {
                    cosine,
                    logit: scale * length * value,
                    d_cosine: scale * length * slope,
                    d_norm: length * (d_scale * value + scale * norm_slope),
                    d_length: if loss.normalises_weights() { 0.0 } else { scale * value },
                }
            };
            logits[class] = match terms[class] {
                Term::Product => dot(feature, row(weights, class, dimension)),
                Term::Cosine { logit, .. } => logit,
            };
        }
        let penalty = loss.penalty(norm);
        result.loss_each.push(cross_entropy(&mut logits, label) + penalty.value);

        let d_logits = &logits;
        let d_feature = row_mut(&mut result.d_features, sample, dimension);
        if penalty.slope != 0.0 {
            add_scaled(d_feature, penalty.slope / (samples as f64 * norm), feature);
        }
        for class in 0..classes {
            let weight = row(weights, class, dimension);
            let d_weight = row_mut(&mut result.d_weights, class, dimension);
            let d_logit = d_logits[class] / samples as f64;
            match terms[class] {
                Term::Product => {
                    add_scaled(d_feature, d_logit, weight);
                    add_scaled(d_weight, d_logit, feature);
                }
                Term::Cosine { cosine, d_cosine, d_norm, d_length, .. } => {
                    let (d_cosine, length) = (d_logit * d_cosine, weight_norms[class]);
                    add_scaled(d_feature, d_cosine / (norm * length), weight);
                    add_scaled(d_feature, -d_cosine * cosine / (norm * norm), feature);
                    add_scaled(d_feature, d_logit * d_norm / norm, feature);
                    add_scaled(d_weight, d_cosine / (norm * length), feature);
                    add_scaled(d_weight, -d_cosine * cosine / (length * length), weight);
                    add_scaled(d_weight, d_logit * d_length / length, weight);
                }
            }
        }
    }
    result.loss = result.loss_each.iter().sum::<f64>() / samples as f64;
    Ok(result)
}

/// How one logit depends on the feature and the class centre.
#[derive(Clone, Copy, Default)]
enum Term {
    /// `W . x`.
    #[default]
    Product,
    /// A function of the cosine, of `|x|` and of `|W|`, with its partial derivatives.
    Cosine { cosine: f64, logit: f64, d_cosine: f64, d_norm: f64, d_length: f64 },
}

/// Returns `-ln p_y` and turns logits into `d loss / d logit = p_j - [j = y]`.
///
/// Everything is taken relative to the target, whose own term is exactly 1, so `1 - p_y` is a sum of what the other
/// classes hold and stays accurate when it is tiny.
fn cross_entropy(logits: &mut [f64], label: usize) -> f64 {
    let target = logits[label];
    let mut largest = 0.0_f64;
    for (class, logit) in logits.iter_mut().enumerate() {
        *logit -= target;
        if class != label {
            largest = largest.max(*logit);
        }
    }
    let mut others = 0.0;
    for (class, logit) in logits.iter_mut().enumerate() {
        *logit = (*logit - largest).exp();
        if class != label {
            others += *logit;
        }
    }
    let own = (-largest).exp();
    let total = own + others;
    for logit in logits.iter_mut() {
        *logit /= total;
    }
    logits[label] = -others / total;
    if largest == 0.0 { others.ln_1p() } else { largest + total.ln() }
}

fn check(
    loss: &Loss,
    problem: &Problem<'_>,
    feature_norms: &[f64],
    weight_norms: &[f64],
) -> Result<(), ProblemError> {
    for (sample, &label) in problem.labels.iter().enumerate() {
        if label as usize >= problem.classes {
            return Err(ProblemError::LabelOutOfRange { sample, label, classes: problem.classes });
        }
    }
    let needs_direction = loss.needs_directions();
    for (sample, &norm) in feature_norms.iter().enumerate() {
        if !norm.is_finite() {
            return Err(ProblemError::FeatureNotFinite { sample });
        }
        if norm == 0.0 && needs_direction {
            return Err(ProblemError::ZeroFeature { sample });
        }
    }
    for (class, &norm) in weight_norms.iter().enumerate() {
        if !norm.is_finite() {
            return Err(ProblemError::WeightNotFinite { class });
        }
        if norm == 0.0 && needs_direction {
            return Err(ProblemError::ZeroWeight { class });
        }
    }
    Ok(())
}

pub(crate) fn norms(matrix: &[f64], rows: usize, dimension: usize) -> Vec<f64> {
    (0..rows).map(|index| row(matrix, index, dimension)).map(|vector| dot(vector, vector).sqrt()).collect()
}

fn row(matrix: &[f64], index: usize, dimension: usize) -> &[f64] {
    &matrix[index * dimension..(index + 1) * dimension]
}

fn row_mut(matrix: &mut [f64], index: usize, dimension: usize) -> &mut [f64] {
    &mut matrix[index * dimension..(index + 1) * dimension]
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

fn add_scaled(into: &mut [f64], factor: f64, vector: &[f64]) {
    for (into, &value) in into.iter_mut().zip(vector) {
        *into += factor * value;
    }
}
