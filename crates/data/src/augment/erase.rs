//! A rectangle hidden.

use face::Size;
use rand::{Rng, RngExt};

use super::{Erase, symmetric};

/// Largest ratio of the rectangle's sides, either way (arXiv:1708.04896, section 3.2, has 0.3 to 1 / 0.3).
const STRETCH: f64 = 10.0 / 3.0;

impl Erase {
    /// A side that the drawn area and ratio make longer than the image is cut to it.
    pub(super) fn apply(&self, pixels: &mut [u8], size: Size, random: &mut impl Rng) {
        let area = random.random_range(self.smallest..=self.largest) * size.pixels() as f64;
        let ratio = symmetric(STRETCH.ln(), random).exp();
        let side = |length: f64, most: u32| (length.round() as u32).clamp(1, most);
        let height = side((area * ratio).sqrt(), size.height);
        let width = side((area / ratio).sqrt(), size.width);
        let top = random.random_range(0..=size.height - height) as usize;
        let left = random.random_range(0..=size.width - width) as usize;
        let colour: [u8; 3] = random.random();
        let rows = pixels.chunks_exact_mut(size.width as usize * 3);
        for row in rows.skip(top).take(height as usize) {
            row.as_chunks_mut::<3>().0[left..left + width as usize].fill(colour);
        }
    }
}
