//! Where the time of a plan goes.

use std::time::{Duration, Instant};

use super::node::Kind;
use crate::kernels::Geometry;

/// One step of a plan: what it does, how much that is at least, and how long it took in the last pass.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTime {
    /// Name of its first node.
    pub name: String,
    /// What it does; the parts of a step that does several things are joined by ` + `.
    pub kind: String,
    /// Products of a forward pass over the whole batch, without those of minimal filtering saved.
    pub multiply_adds: u64,
    /// Bytes of activations that a forward pass over the whole batch reads and writes, each counted once.
    pub bytes: u64,
    /// Time of the last forward pass.
    pub forward: Duration,
    /// Time of the last backward pass; none in a plan for embedding.
    pub backward: Duration,
}

impl StepTime {
    pub(super) fn new(name: &str, kind: String, multiply_adds: u64, bytes: usize) -> StepTime {
        let (forward, backward) = (Duration::ZERO, Duration::ZERO);
        StepTime { name: name.to_owned(), kind, multiply_adds, bytes: bytes as u64, forward, backward }
    }
}

/// Products of a convolution's forward pass, and what it is called.
pub(super) fn convolution(geometry: &Geometry, kind: Kind) -> (String, u64) {
    let taps = geometry.kernel[0] * geometry.kernel[1];
    let inputs = match kind {
        Kind::Full => geometry.source.channels,
        Kind::Depthwise => 1,
        Kind::Grouped(groups) => geometry.source.channels / groups,
    };
    let name = match kind {
        Kind::Depthwise => "depthwise",
        Kind::Full | Kind::Grouped(_) if geometry.covers_input() => "linear",
        Kind::Full | Kind::Grouped(_) => "convolution",
    };
    let [height, width] = geometry.kernel;
    let kind = if name == "linear" { name.to_owned() } else { format!("{name} {height}x{width}") };
    (kind, (geometry.target_len() * taps * inputs) as u64)
}

/// Stores in `time` how long `work` took.
pub(super) fn timed<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *time = start.elapsed();
    result
}
