//! Numbers and comparisons for the tests of kernels.

use crate::gemm::words::{pair, unpair};
use crate::precision::Precision;

/// A small deterministic source of numbers in -1..1.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(2).wrapping_add(1))
    }

    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub(crate) fn vector(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next()).collect()
    }
}

/// Elements as a product in `precision` sees them.
pub(crate) fn seen(precision: Precision, values: &[f32]) -> Vec<f32> {
    let see = |value: &f32| match precision {
        Precision::F32 => *value,
        Precision::Bf16 => unpair(pair(*value, 0.0))[0],
    };
    values.iter().map(see).collect()
}

/// Elements as bf16.
pub(crate) fn halves(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| pair(*value, 0.0) as u16).collect()
}

/// The values of bf16.
pub(crate) fn wide(halves: &[u16]) -> Vec<f32> {
    halves.iter().map(|half| unpair(u32::from(*half))[0]).collect()
}

/// Asserts that sums of `terms` products of numbers below one agree: in the worst case each addition rounds by
/// half a unit in the last place of the partial sum, and errors grow like a random walk.
#[track_caller]
pub(crate) fn assert_close(actual: &[f32], expected: &[f32], terms: usize) {
    assert_eq!(actual.len(), expected.len());
    let tolerance = 8.0 * f32::EPSILON * (terms as f32).sqrt().max(1.0) * (terms as f32).sqrt().max(1.0);
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "element {index}: {a} against {e}, tolerance {tolerance}");
    }
}
