//! Fewer pixels, enlarged again.

use face::{Affine, Border, Size, warp};
use rand::{Rng, RngExt};

use super::{LowResolution, Scratch};
use crate::resample::Resampling;

impl LowResolution {
    pub(super) fn apply(&self, pixels: &mut [u8], size: Size, random: &mut impl Rng, scratch: &mut Scratch) {
        let fraction = random.random_range(self.smallest..=1.0);
        let reduced = |side: u32| ((f64::from(side) * fraction).round() as u32).clamp(1, side);
        let small = Size { height: reduced(size.height), width: reduced(size.width) };
        scratch.small.resize(small.rgb_bytes(), 0);
        Resampling::area_mean(size, small).apply(pixels, &mut scratch.small);

        // Edges, not centres, of the two images lie over each other.
        let row = |from: u32, to: u32| {
            let ratio = f64::from(from) / f64::from(to);
            (ratio, 0.5 * ratio - 0.5)
        };
        let (across, first_x) = row(small.width, size.width);
        let (down, first_y) = row(small.height, size.height);
        let map = Affine { x: [across, 0.0, first_x], y: [0.0, down, first_y] };
        warp(&scratch.small, small, pixels, size, &map, Border::Nearest);
    }
}
