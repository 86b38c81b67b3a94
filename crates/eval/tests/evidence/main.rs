//! Figures held against definitions and values that do not share their code.
//!
//! - `protocol`: LFW pair files, whole and hostile.
//! - `curve`: ROC, area, equal error rate and TAR at FAR against pair-by-pair counting and scikit-learn.
//! - `rules`: thresholds and accuracies against brute force and NumPy.
//! - `resampling`: intervals over people.
//! - `file`: `evaluation.json` and its errors.

mod curve;
mod file;
mod made;
mod protocol;
mod resampling;
mod rules;
