//! Several centres for each class, of which the nearest counts.

use crate::definition::{Evaluation, Problem, ProblemError, evaluate, norms};
use crate::loss::Loss;

/// Mean loss and gradients where every class has `per_class` centres and its cosine is that of the nearest:
/// `c_j = max_k cos(x, W_jk)` (sub-centre ArcFace, doi:10.1007/978-3-030-58621-8_43, eq. 2 and 3, for every loss of
/// the family).
///
/// Noisy images gather at a centre of their own and stop pulling at the class. The gradient reaches only the nearest
/// centre of each class; of equally near ones the first.
///
/// # Shapes
/// As [`Problem`], with `weights` `[classes * per_class, dimension]`: the centres of a class lie together, and
/// `problem.classes` is the number of classes. `d_weights` has the shape of `weights`.
///
/// # Errors
/// As [`evaluate`]; a zero or infinite centre is named by its row.
///
/// # Panics
/// Where the lengths of the slices disagree with the counts, or `per_class` is 0.
pub fn evaluate_sub_centres(
    loss: &Loss,
    problem: &Problem<'_>,
    per_class: usize,
) -> Result<Evaluation, ProblemError> {
    let &Problem { features, weights, labels, samples, classes, dimension } = problem;
    assert!(per_class > 0, "a class needs a centre");
    assert_eq!(
        weights.len(),
        classes * per_class * dimension,
        "weights must be (classes x per class) x dimension"
    );
    assert_eq!(features.len(), samples * dimension, "features must be samples x dimension");
    assert_eq!(labels.len(), samples, "there must be one label for each sample");
    if samples == 0 {
        return Err(ProblemError::NoSamples);
    }
    let weight_norms = norms(weights, classes * per_class, dimension);
    if let Some(class) = weight_norms.iter().position(|norm| !norm.is_finite()) {
        return Err(ProblemError::WeightNotFinite { class });
    }
    if let Some(class) = weight_norms.iter().position(|&norm| norm == 0.0).filter(|_| loss.needs_directions())
    {
        return Err(ProblemError::ZeroWeight { class });
    }
    let centre = |row: usize| &weights[row * dimension..][..dimension];
    let mut result = Evaluation {
        loss: 0.0,
        loss_each: Vec::with_capacity(samples),
        d_features: Vec::with_capacity(features.len()),
        d_weights: vec![0.0; weights.len()],
    };
    for sample in 0..samples {
        let feature = &features[sample * dimension..][..dimension];
        let nearness = |row: usize| {
            let product: f64 = feature.iter().zip(centre(row)).map(|(x, w)| x * w).sum();
            if loss.normalises_weights() { product / weight_norms[row] } else { product }
        };
        let nearest: Vec<usize> = (0..classes)
            .map(|class| {
                let rows = class * per_class..(class + 1) * per_class;
                let first = rows.start;
                rows.fold(first, |best, row| if nearness(row) > nearness(best) { row } else { best })
            })
            .collect();
        let chosen: Vec<f64> = nearest.iter().flat_map(|&row| centre(row)).copied().collect();
        let alone = Problem {
            features: feature,
            weights: &chosen,
            labels: &labels[sample..=sample],
            samples: 1,
            classes,
            dimension,
        };
        let found = evaluate(loss, &alone).map_err(|error| of_sample(error, sample))?;
        result.loss_each.push(found.loss);
        result.d_features.extend(found.d_features.iter().map(|value| value / samples as f64));
        for (&row, gradient) in nearest.iter().zip(found.d_weights.chunks_exact(dimension)) {
            let into = &mut result.d_weights[row * dimension..][..dimension];
            into.iter_mut().zip(gradient).for_each(|(into, value)| *into += value / samples as f64);
        }
    }
    result.loss = result.loss_each.iter().sum::<f64>() / samples as f64;
    Ok(result)
}

/// An error of a problem with one sample, for the sample's place in the batch.
fn of_sample(error: ProblemError, sample: usize) -> ProblemError {
    match error {
        ProblemError::LabelOutOfRange { label, classes, .. } => {
            ProblemError::LabelOutOfRange { sample, label, classes }
        }
        ProblemError::ZeroFeature { .. } => ProblemError::ZeroFeature { sample },
        ProblemError::FeatureNotFinite { .. } => ProblemError::FeatureNotFinite { sample },
        other => other,
    }
}
