//! Loss over some of very many classes.

use crate::definition::{Evaluation, Problem, ProblemError, evaluate};
use crate::loss::Loss;

/// Classes that take part in a step: all that the labels name, and of the others those with the smallest keys until
/// `ceil(rate * classes)` are chosen (Partial FC, arXiv:2010.05222, section 3.3). Ascending.
///
/// The labels' classes may be more than that number; then they alone take part. At rate 1 all classes do. With random
/// keys every other class is as likely as any; with `key` derived from seed and step the choice can be made again
/// when a run is resumed.
///
/// # Panics
/// Where `rate` is not above 0 and at most 1, or a label names no class.
pub fn choose_classes(labels: &[u32], classes: usize, rate: f64, key: impl Fn(u32) -> u64) -> Vec<u32> {
    assert!(rate > 0.0 && rate <= 1.0, "the rate of sampled classes must be above 0 and at most 1: {rate}");
    let mut named = vec![false; classes];
    for &label in labels {
        assert!((label as usize) < classes, "label {label} of {classes} classes");
        named[label as usize] = true;
    }
    let wanted = (rate * classes as f64).ceil() as usize;
    let positives = named.iter().filter(|&&named| named).count();
    let mut others: Vec<(u64, u32)> = (0..classes as u32)
        .filter(|&class| !named[class as usize])
        .map(|class| (key(class), class))
        .collect();
    let count = wanted.saturating_sub(positives).min(others.len());
    if count < others.len() {
        others.select_nth_unstable(count);
        others.truncate(count);
    }
    let mut chosen: Vec<u32> = (0..classes as u32).filter(|&class| named[class as usize]).collect();
    chosen.extend(others.into_iter().map(|(_, class)| class));
    chosen.sort_unstable();
    chosen
}

/// Mean loss and gradients over the chosen classes alone: the others add nothing to the sum of exponentials and have
/// gradient 0.
///
/// A step must leave the centres that were not chosen, and their velocities, as they are: neither momentum nor weight
/// decay acts on them. Some peers let velocities of absent centres decay or apply; those are other trainings.
///
/// # Shapes
/// As [`Problem`]; `chosen` is ascending and holds every label, as [`choose_classes`] gives it.
///
/// # Errors
/// As [`evaluate`]; classes are named by their numbers in the whole problem.
///
/// # Panics
/// Where the lengths of the slices disagree with the counts, or `chosen` is not ascending, names a class that is not
/// there or lacks a label.
pub fn evaluate_sampled(
    loss: &Loss,
    problem: &Problem<'_>,
    chosen: &[u32],
) -> Result<Evaluation, ProblemError> {
    let &Problem { weights, labels, classes, dimension, .. } = problem;
    assert_eq!(weights.len(), classes * dimension, "weights must be classes x dimension");
    assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]), "chosen classes must ascend");
    assert!(chosen.iter().all(|&class| (class as usize) < classes), "a chosen class of {classes}");
    if let Some(sample) = labels.iter().position(|&label| label as usize >= classes) {
        return Err(ProblemError::LabelOutOfRange { sample, label: labels[sample], classes });
    }
    let place = |label: &u32| chosen.binary_search(label).expect("every label is among the chosen classes");
    let places: Vec<u32> = labels.iter().map(|label| place(label) as u32).collect();
    let row = |class: &u32| *class as usize * dimension..(*class as usize + 1) * dimension;
    let kept: Vec<f64> = chosen.iter().flat_map(|class| &weights[row(class)]).copied().collect();
    let inner = Problem { weights: &kept, labels: &places, classes: chosen.len(), ..*problem };
    let found = evaluate(loss, &inner).map_err(|error| match error {
        ProblemError::ZeroWeight { class } => ProblemError::ZeroWeight { class: chosen[class] as usize },
        ProblemError::WeightNotFinite { class } => {
            ProblemError::WeightNotFinite { class: chosen[class] as usize }
        }
        other => other,
    })?;
    let mut d_weights = vec![0.0; weights.len()];
    for (class, gradient) in chosen.iter().zip(found.d_weights.chunks_exact(dimension)) {
        d_weights[row(class)].copy_from_slice(gradient);
    }
    Ok(Evaluation { d_weights, ..found })
}
