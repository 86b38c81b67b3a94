//! The program as its users run it: real processes, files and exit statuses.
//!
//! - [`edges`]: crates know each other only in the direction of the design.
//! - [`loss`]: the golden margin cases through `cosface loss`.
//! - [`journey`]: faces, training, inspection, embedding and evaluation, one after the other.
//! - [`interruption`]: kill, Ctrl-C, resume, two runs in one directory.
//! - [`refusals`]: what wrong input gets.
//! - [`real`]: a small run on real faces.

mod edges;
mod interruption;
mod journey;
mod loss;
mod real;
mod refusals;
mod workshop;
