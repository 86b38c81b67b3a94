//! `--precision`: what the operands of products are rounded to.

use std::path::Path;

use clap::ValueEnum;
use cosface::{Embedder, EmbedderError};
use engine::{Isa, Pool, Precision};
use net::Model;

/// What the operands of a network's or a head's products are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Operands {
    /// As they are
    F32,
    /// Rounded to bf16. Where the instruction set does not multiply it products are emulated, and slow; in training they are
    /// f32 there, of large activations that memory keeps in bf16
    Bf16,
    /// The fastest that the instruction set has
    Auto,
}

impl Operands {
    /// The precision that they are on a processor with `isa`.
    pub(crate) fn on(self, isa: Isa) -> Precision {
        match self {
            Operands::F32 => Precision::F32,
            Operands::Bf16 => Precision::Bf16,
            Operands::Auto => Precision::fastest(isa),
        }
    }
}

/// Reads a model file and compiles its network for `threads` threads, 0 for one on each processor.
pub(crate) fn open(model: &Path, threads: usize, operands: Operands) -> Result<Embedder, EmbedderError> {
    let pool = Pool::new(threads)?;
    let precision = operands.on(pool.isa());
    Embedder::with_precision(Model::read(model)?, pool, precision)
}
