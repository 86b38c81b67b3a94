//! How large the scale must be and the margin may be (CosFace, arXiv:1801.09414, section 3.3 and 3.4).

use std::error::Error;
use std::f64::consts::PI;
use std::fmt;

/// Smallest scale at which a sample on its class centre can reach a posterior (eq. 6):
/// `s >= (C - 1)/C ln((C - 1) P / (1 - P))`.
///
/// A posterior that a uniform guess reaches already gives a bound of zero or less: any scale does.
///
/// # Errors
/// Fewer than two classes, or a posterior not strictly between 0 and 1.
pub fn scale_lower_bound(classes: usize, posterior: f64) -> Result<f64, BoundsError> {
    let others = other_classes(classes)?;
    if !(posterior > 0.0 && posterior < 1.0) {
        return Err(BoundsError::PosteriorOutOfRange { posterior });
    }
    Ok(others / (others + 1.0) * (others * posterior / (1.0 - posterior)).ln())
}

/// Largest cosine margin for class centres spread as evenly as possible.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MarginBound {
    /// The margin can be as large as this and no larger.
    Exact(f64),
    /// More classes than the dimension can hold apart evenly: the true bound is known only to be much smaller than
    /// this, and training fails long before it.
    MuchSmallerThan(f64),
}

impl MarginBound {
    /// The number in the bound: no margin above it can be met.
    pub fn ceiling(self) -> f64 {
        match self {
            Self::Exact(value) | Self::MuchSmallerThan(value) => value,
        }
    }
}

impl fmt::Display for MarginBound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(formatter, "at most {value:.4}"),
            Self::MuchSmallerThan(value) => write!(formatter, "much smaller than {value:.4}"),
        }
    }
}

/// Upper bound of the cosine margin for `classes` centres in `dimension` dimensions (eq. 7):
/// `1 - cos(2 pi / C)` for K = 2, `C / (C - 1)` for C <= K + 1, much smaller than that for C > K + 1.
///
/// The paper leaves out K = 1, where there are two directions: two classes may be 2 apart, of more at least two
/// coincide and the bound is 0.
///
/// # Errors
/// Fewer than two classes, or dimension 0.
pub fn margin_upper_bound(classes: usize, dimension: usize) -> Result<MarginBound, BoundsError> {
    let others = other_classes(classes)?;
    let simplex = (others + 1.0) / others;
    match dimension {
        0 => Err(BoundsError::NoDimension),
        1 if classes > 2 => Ok(MarginBound::Exact(0.0)),
        2 => Ok(MarginBound::Exact(1.0 - (2.0 * PI / (others + 1.0)).cos())),
        _ if classes <= dimension + 1 => Ok(MarginBound::Exact(simplex)),
        _ => Ok(MarginBound::MuchSmallerThan(simplex)),
    }
}

/// Largest cosine margin that `classes` centres drawn at random in `dimension` dimensions typically allow:
/// `1 - c` with `c^2 = 1 - M^(-2 / (K - 1))`, `M = C (C - 1) / 2` pairs.
///
/// Eq. 7 leaves `C > K + 1` at "much smaller than"; this says how much smaller where nothing has spread the centres
/// yet. A pair in K dimensions has a cosine above c with a probability close to `(1 - c^2)^((K - 1) / 2)`; the closest
/// of M pairs stands where that is 1 / M. Training spreads centres further, so this is no bound, and in few
/// dimensions, where random centres nearly coincide, it is close to 0.
///
/// # Errors
/// Fewer than two classes, or dimension 0.
pub fn margin_of_random_centres(classes: usize, dimension: usize) -> Result<f64, BoundsError> {
    let others = other_classes(classes)?;
    match dimension {
        0 => Err(BoundsError::NoDimension),
        1 => Ok(0.0),
        _ => {
            let pairs = others * (others + 1.0) / 2.0;
            let square = -(-2.0 * pairs.ln() / (dimension as f64 - 1.0)).exp_m1();
            Ok(1.0 - square.sqrt())
        }
    }
}

/// What given class centres allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightsBound {
    /// `1 - max W_i . W_j` over unit centres, i != j: the largest margin that these centres can meet.
    pub margin: f64,
    /// The two classes whose centres are closest.
    pub closest: (usize, usize),
}

/// Upper bound of the cosine margin for given class centres (section 3.4): `m <= 1 - max_{i != j} W_i . W_j`.
///
/// # Shapes
/// `weights` is `[classes, dimension]`, row-major, raw. Time is O(C^2 D).
///
/// # Errors
/// Fewer than two classes, or a centre without a direction.
///
/// # Panics
/// Where the length of `weights` is not `classes * dimension`.
pub fn margin_upper_bound_of(
    weights: &[f64],
    classes: usize,
    dimension: usize,
) -> Result<WeightsBound, BoundsError> {
    assert_eq!(weights.len(), classes * dimension, "weights must be classes x dimension");
    other_classes(classes)?;
    if dimension == 0 {
        return Err(BoundsError::NoDimension);
    }
    let mut units = weights.to_vec();
    for (class, centre) in units.chunks_exact_mut(dimension).enumerate() {
        let norm = centre.iter().map(|value| value * value).sum::<f64>().sqrt();
        if norm == 0.0 || !norm.is_finite() {
            return Err(BoundsError::NotADirection { class });
        }
        centre.iter_mut().for_each(|value| *value /= norm);
    }
    let centres: Vec<&[f64]> = units.chunks_exact(dimension).collect();
    let (mut largest, mut closest) = (f64::NEG_INFINITY, (0, 1));
    for (first, left) in centres.iter().enumerate() {
        for (second, right) in centres.iter().enumerate().skip(first + 1) {
            let cosine = dot(left, right);
            if cosine > largest {
                (largest, closest) = (cosine, (first, second));
            }
        }
    }
    Ok(WeightsBound { margin: (1.0 - largest).max(0.0), closest })
}

/// A sum over eight lanes, which the compiler turns into vector instructions: all pairs of centres are many.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (lefts, rights) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f64 = lefts.remainder().iter().zip(rights.remainder()).map(|(left, right)| left * right).sum();
    for (left, right) in lefts.zip(rights) {
        for ((lane, left), right) in lanes.iter_mut().zip(left).zip(right) {
            *lane += left * right;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

fn other_classes(classes: usize) -> Result<f64, BoundsError> {
    if classes < 2 { Err(BoundsError::TooFewClasses { classes }) } else { Ok((classes - 1) as f64) }
}

/// Why there is no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoundsError {
    /// A margin needs two classes.
    TooFewClasses {
        /// Number of classes.
        classes: usize,
    },
    /// The posterior is not a probability strictly between 0 and 1.
    PosteriorOutOfRange {
        /// The posterior.
        posterior: f64,
    },
    /// The feature dimension is 0.
    NoDimension,
    /// A class centre is zero or not finite.
    NotADirection {
        /// Row of the class.
        class: usize,
    },
}

impl fmt::Display for BoundsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFewClasses { classes } => {
                write!(formatter, "a margin needs at least two classes: {classes}")
            }
            Self::PosteriorOutOfRange { posterior } => {
                write!(formatter, "the posterior must lie strictly between 0 and 1: {posterior}")
            }
            Self::NoDimension => formatter.write_str("the feature dimension must be at least 1"),
            Self::NotADirection { class } => {
                write!(formatter, "a class centre is zero or not finite, at class: {class}")
            }
        }
    }
}

impl Error for BoundsError {}
