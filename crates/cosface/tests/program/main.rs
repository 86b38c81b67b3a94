//! The program from the outside: the real binary, real files, exit statuses and messages.
//!
//! - `golden`: `cosface loss` against losses and gradients computed by another program;
//! - `advice`: bounds of scale and margin;
//! - `paper`: experiments that go on where they stopped;
//! - `import`: a published model from both of its files;
//! - `journey`: from synthetic faces to a model, its card, vectors and an evaluation;
//! - `interruption`: kill -9, Ctrl-C, threads, two processes in one run directory;
//! - `continuation`: a run that goes on by its recipe, and what may not change;
//! - `failure`: divergence, a full disk;
//! - `photographs`: detection, alignment and verification of real photographs;
//! - `refusals`: what bad input gets, and that nothing is left half written;
//! - `real_faces`: a small real set, trained and measured on people who were not in training;
//! - `pairs`: a list of pairs from folders of people, measured on;
//! - `evidence`: embeddings evaluated alone, two models compared, searches, packs of pairs;
//! - `benchmarks`: what is measured, and what does not belong together;
//! - `architecture`: which crate of the workspace may know which;
//! - `invocation`, `workshop`: what the tests share, a run of the program and a directory of small pictures.

mod advice;
mod architecture;
mod benchmarks;
mod continuation;
mod evidence;
mod failure;
mod golden;
mod import;
mod interruption;
mod invocation;
mod journey;
mod models;
mod pairs;
mod paper;
mod photographs;
mod protocols;
mod real_faces;
mod refusals;

mod workshop;
