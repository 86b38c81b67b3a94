//! Results that go past the caches: large ones, which no cache would keep until they are read again.
//!
//! A line that is stored in the usual way is fetched first, though all of it is overwritten. Without that a pass that
//! reads as much as it writes moves two thirds of the bytes. Rows that more than one step works on are made in scratch
//! memory first.

use crate::gemm::{Vector, by_vector};
use crate::isa::Isa;
use crate::kernels::column;

/// Floats of a result from which on it goes past the caches in training, where much else is computed before it is read
/// again, and in a network that is only applied.
const LARGE: usize = 1024 * 1024;
const LARGEST: usize = 4 * LARGE;

/// Whether a result of so many floats goes past the caches, of a step in `training` or not.
pub(crate) fn pays(isa: Isa, floats: usize, training: bool) -> bool {
    let can = match isa {
        Isa::Portable | Isa::Avx2 => false,
        Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => true,
    };
    can && floats >= if training { LARGE } else { LARGEST }
}

/// Copies rows that are done, `from` a cache `to` where they belong.
///
/// # Panics
/// When the lengths differ.
pub(crate) fn send(isa: Isa, from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len(), "rows and their place");
    #[expect(unsafe_code, reason = "copies whole vectors")]
    // SAFETY: the lengths were checked, and an Isa that reaches a kernel is available.
    unsafe {
        by_vector!(isa, send_rows, (from: &[f32], to: &mut [f32]));
    }
}

#[expect(unsafe_code, reason = "copies whole vectors; tested against a plain copy")]
#[inline(always)]
unsafe fn send_rows<V: Vector>(from: &[f32], to: &mut [f32]) {
    for start in (0..from.len()).step_by(V::LANES) {
        let place = start..(start + V::LANES).min(from.len());
        // SAFETY: the caller promises the instruction set and equal lengths.
        unsafe { column::write_at(column::load_at::<V>(from, place.clone()), to, place, true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    #[test]
    fn every_float_arrives_wherever_rows_begin_and_end() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (start, len) in [(0, 0), (0, 64), (3, 100), (16, 31), (5, 1)] {
                let from = Numbers::new(9).vector(len);
                let mut to = vec![0.5; start + len + 20];
                send(isa, &from, &mut to[start..start + len]);
                assert_eq!(to[start..start + len], from, "{isa}, {len} floats from {start} on");
                assert!(to[..start].iter().chain(&to[start + len..]).all(|value| *value == 0.5), "{isa}");
            }
        }
    }
}
