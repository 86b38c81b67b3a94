//! Each sample's own centre: which one it is and how near it stands, known before any other class is looked at.

use margin::Loss;

use super::MOST_SUB_CENTRES;
use super::directions::inverse_norms;
use crate::isa::{Isa, by_isa};

/// A sample's own centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    /// Its row: of several centres of the class the nearest, of equally near ones the first.
    pub(super) row: usize,
    /// `1 / |W|`, or 1 where weights are not normalised.
    pub(super) inverse_norm: f32,
    /// `W . x` of what enters the products, times `inverse_norm`: the cosine where the loss normalises weights.
    pub(super) product: f64,
}

/// Lists the own centres of a batch in `all`. `units` are the features as they enter the products,
/// `[samples, dimension]`, and `weights` `[classes x per_class, dimension]`.
pub(super) fn own_centres(
    isa: Isa,
    loss: &Loss,
    weights: &[f32],
    per_class: usize,
    units: &[f32],
    labels: &[u32],
    all: &mut Vec<Own>,
) {
    let dimension = units.len() / labels.len();
    let normalises = loss.normalises_weights();
    let mut inverse = [1.0; MOST_SUB_CENTRES];
    let inverse = &mut inverse[..per_class];
    let own = |(unit, label): (&[f32], &u32)| {
        let first = *label as usize * per_class;
        let rows = &weights[first * dimension..][..per_class * dimension];
        if normalises {
            let inverse = &mut *inverse;
            by_isa!(isa, inverse_norms, (dimension: usize, rows: &[f32], inverse: &mut [f32]));
        }
        let mut nearest: Option<Own> = None;
        for (index, (row, &inverse_norm)) in rows.chunks_exact(dimension).zip(&*inverse).enumerate() {
            let product: f64 = row.iter().zip(unit).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum();
            let product = product * f64::from(inverse_norm);
            if nearest.is_none_or(|nearest| product > nearest.product) {
                nearest = Some(Own { row: first + index, inverse_norm, product });
            }
        }
        nearest.expect("a class has a centre")
    };
    all.clear();
    all.extend(units.chunks_exact(dimension).zip(labels).map(own));
}

/// Euclidean norm in f64.
pub(super) fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}
