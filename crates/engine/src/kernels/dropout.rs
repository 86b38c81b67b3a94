//! Dropout: each element is zero with probability `p` while training, the others are divided by `1 - p`.
//!
//! Whether an element is dropped is a function of the seed and its index, so the backward pass needs no mask.

use crate::gemm::Store;
use crate::pool::Pool;

const CHUNK: usize = 16 * 1024;

/// `target (=|+=) source * (kept(index) ? 1 / (1 - probability) : 0)`: both directions are this function.
pub(crate) fn apply(
    pool: &Pool,
    probability: f32,
    seed: u64,
    source: &[f32],
    target: &mut [f32],
    store: Store,
) {
    assert_eq!(source.len(), target.len(), "dropout input and output");
    let factor = 1.0 / (1.0 - probability);
    let threshold = (f64::from(probability) * 2f64.powi(64)) as u64;
    pool.run_chunks(target, CHUNK, |index, target| {
        let start = index * CHUNK;
        for (offset, (target, source)) in target.iter_mut().zip(&source[start..]).enumerate() {
            let value = if mix(seed, (start + offset) as u64) < threshold { 0.0 } else { source * factor };
            match store {
                Store::Replace => *target = value,
                Store::Add => *target += value,
            }
        }
    });
}

/// SplitMix64's finaliser over a counter: uniform in 64 bits.
fn mix(seed: u64, index: u64) -> u64 {
    let mut state = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stated_share_is_dropped_the_mean_is_kept_and_the_seed_decides() {
        let pool = Pool::new(2).unwrap();
        let ones = vec![1.0f32; 100_000];
        let run = |seed| {
            let mut target = vec![f32::NAN; ones.len()];
            apply(&pool, 0.4, seed, &ones, &mut target, Store::Replace);
            target
        };
        let first = run(1);
        let dropped = first.iter().filter(|value| **value == 0.0).count();
        // Five standard deviations of a binomial of 100,000 draws at 0.4.
        assert!((dropped as f64 - 40_000.0).abs() < 5.0 * (100_000.0f64 * 0.4 * 0.6).sqrt(), "{dropped}");
        assert!(first.iter().all(|value| *value == 0.0 || (*value - 1.0 / 0.6).abs() < 1e-6));
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
    }
}
