//! The definition, held against things that do not share its code.
//!
//! - `golden`: losses and gradients that PyTorch's autograd computed in float64.
//! - `gradients`: finite differences, on every branch of every target.
//! - `naive`: softmax cross-entropy over an explicit logit matrix, written again from the papers' formulas.
//! - `symmetries`: rotations, scaling, permutations, and the losses that contain each other.
//! - `refusals`: what has no loss, and what is no loss.
//! - `wider`: several centres for a class, sampled classes, losses on features alone.
//! - `limits`: bounds of scale and margin against the numbers of the paper.

mod golden;
mod gradients;
mod limits;
mod naive;
mod problems;
mod refusals;
mod symmetries;
mod wider;
