//! The margin loss family exactly as its papers define it, in f64.
//!
//! A classification loss of this family is one idea: every class has a centre `W_j`, a sample has a feature `x`,
//! and softmax cross-entropy runs over the logits
//!
//! ```text
//! z_j = scale * cos(theta_j)        j != y
//! z_y = scale * psi(cos(theta_y))   the target, made harder by a margin
//! ```
//!
//! where `theta_j` is the angle between `x` and `W_j`. A [`Loss`] is therefore the choice of `psi` and of the
//! scale; [`evaluate`] is the whole definition, loss and gradients, and the reference for every faster head.
//!
//! - [`loss`](Loss): the family, its parameters, target logit and slope.
//! - [`evaluate`]: mean loss and gradients with respect to raw features and raw weights.
//! - [`evaluate_sub_centres`]: several centres for each class. [`evaluate_sampled`]: some of very many classes.
//! - [`beside`]: losses on features themselves: center, contrastive, triplet.
//! - [`bounds`]: how large the scale must be and the margin may be (CosFace, equations 6 and 7).
//! - [`advice`]: where a loss stands against them.

pub mod advice;
pub mod beside;
pub mod bounds;
mod definition;
mod loss;
mod sampling;
mod sub_centre;

pub use definition::{Evaluation, Problem, ProblemError, evaluate};
pub use loss::parameters::{ParameterError, Parameters, RangeError};
pub use loss::sphereface::LambdaSchedule;
pub use loss::state::StateError;
pub use loss::{ArcFaceSlope, Loss, NormStatistics, Other, Penalty, Scale, Target};
pub use sampling::{choose_classes, evaluate_sampled};
pub use sub_centre::evaluate_sub_centres;
