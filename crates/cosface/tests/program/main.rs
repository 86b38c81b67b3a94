//! The program from the outside: the real binary, real files, exit statuses and messages.
//!
//! - `golden`: `cosface loss` against losses and gradients computed by another program;
//! - `import`: a published model from both of its files;
//! - `journey`: from synthetic faces to a model, its card, vectors and an evaluation;
//! - `interruption`: kill -9, Ctrl-C, threads, two processes in one run directory;
//! - `refusals`: what bad input gets, and that nothing is left half written;
//! - `real_faces`: a small real set, trained and measured on people who were not in training;
//! - `evidence`: embeddings evaluated alone, two models compared, searches, packs of pairs;
//! - `architecture`: which crate of the workspace may know which;
//! - `invocation`, `workshop`: what the tests share, a run of the program and a directory of small pictures.

mod architecture;
mod evidence;
mod golden;
mod import;
mod interruption;
mod invocation;
mod journey;
mod real_faces;
mod refusals;

mod workshop;
