//! Figures held against definitions and values that do not share their code.
//!
//! - `protocol`: LFW pair files, whole and hostile. `lists`: other protocols.
//! - `embeddings`: files of named vectors.
//! - `curve`: ROC, area, equal error rate and TAR at FAR against pair-by-pair counting and scikit-learn.
//! - `rules`: thresholds and accuracies against brute force and NumPy.
//! - `resampling`: intervals over people.
//! - `statistics`: comparison, operating points, calibration, groups.
//! - `identification`: searches, CMC, DET, distractors, templates.
//! - `file`: `evaluation.json` and its errors.
//! - `page`: the report: what it says, that it stands alone, that strangers cannot write markup into it.

mod curve;
mod embeddings;
mod file;
mod identification;
mod lists;
mod made;
mod page;
mod protocol;
mod resampling;
mod rules;
mod statistics;
