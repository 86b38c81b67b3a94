//! Runs a network on the processor: plans, kernels, the margin head and the optimizer.

mod buffer;
mod gemm;
mod isa;
mod pool;
#[cfg(test)]
mod testing;

pub use isa::{Isa, IsaError};
pub use pool::{Pool, PoolError};
