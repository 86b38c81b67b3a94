//! Runs a network on the processor: plans, kernels, the margin head and the optimizer.

mod amx;
mod buffer;
mod crew;
mod gemm;
mod gradients;
#[cfg(test)]
mod guard;
mod head;
mod isa;
mod kernels;
mod optimizer;
mod parameters;
mod plan;
mod pool;
mod precision;
#[cfg(test)]
mod testing;

pub use gradients::Gradients;
pub use head::{Centres, GROUPS, Head, HeadOutput, MOST_SUB_CENTRES, SHORTEST, Sample};
pub use isa::{Isa, IsaError};
pub use optimizer::{Sgd, SgdStep};
pub use parameters::{Entry, Parameters};
pub use plan::{EmbeddingPlan, EmbeddingPlanError, Pixels, PlanError, StepTime, TrainingPlan};
pub use pool::{Pool, PoolError};
pub use precision::Precision;
