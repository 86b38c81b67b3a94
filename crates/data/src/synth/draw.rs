//! Seeded draws and the noise that textures are made of.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bell-shaped draws are cut at this many standard deviations, so that nobody gets an impossible face.
const CUT: f32 = 2.2;

/// A stream of random numbers that belongs to one seed and one purpose.
pub(super) struct Draw {
    generator: ChaCha8Rng,
}

impl Draw {
    /// The stream of `seed` for `purpose`; streams of different purposes are unrelated.
    pub(super) fn new(seed: u64, purpose: u64) -> Draw {
        Draw { generator: ChaCha8Rng::seed_from_u64(derive(seed, &[purpose])) }
    }

    /// Uniform in `low..high`.
    pub(super) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.generator.random::<f32>()
    }

    /// Bell-shaped around `mean`, cut at 2.2 standard deviations `spread`.
    pub(super) fn around(&mut self, mean: f32, spread: f32) -> f32 {
        let radius = (-2.0 * (1.0 - self.generator.random::<f32>()).ln()).sqrt();
        let normal = radius * (std::f32::consts::TAU * self.generator.random::<f32>()).cos();
        mean + spread * normal.clamp(-CUT, CUT)
    }

    /// True with probability `probability`.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.generator.random::<f32>() < probability
    }

    /// 64 random bits, a seed for something else.
    pub(super) fn bits(&mut self) -> u64 {
        self.generator.random()
    }
}

/// One seed from a seed and a path of numbers (splitmix64 over the path), so that every item has its own
/// stream and no stream is shared.
pub(super) fn derive(seed: u64, path: &[u64]) -> u64 {
    path.iter().fold(splitmix(seed), |state, &step| splitmix(state ^ splitmix(step)))
}

fn splitmix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 32 well-mixed bits of a lattice point.
#[inline]
pub(super) fn hash(x: i32, y: i32, seed: u32) -> u32 {
    let mut h = (x as u32).wrapping_mul(0x85eb_ca6b) ^ (y as u32).wrapping_mul(0xc2b2_ae35) ^ seed;
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    h ^ (h >> 15)
}

/// Smooth noise in -1..1 with one bump per unit of `x` and `y`.
#[inline]
pub(super) fn noise(x: f32, y: f32, seed: u32) -> f32 {
    let (column, row) = (floor(x), floor(y));
    let (u, v) = (fade(x - column as f32), fade(y - row as f32));
    let corner = |dx: i32, dy: i32| {
        hash(column.wrapping_add(dx), row.wrapping_add(dy), seed) as f32 / (u32::MAX as f32 / 2.0) - 1.0
    };
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * u;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * u;
    top + (bottom - top) * v
}

/// `f32::floor` as a number of the lattice; a call to the C library on processors without SSE 4.1 otherwise.
fn floor(x: f32) -> i32 {
    let truncated = x as i32;
    truncated - i32::from(x < truncated as f32)
}

fn fade(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}
