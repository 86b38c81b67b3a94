//! The mirror.

use face::Size;

/// Mirrors images left to right, in place. `pixels` is `n x size.height x size.width x 3` for any `n`, so a
/// whole batch is flipped at once, as testing does (arXiv:1801.09414, section 4.1).
///
/// # Panics
/// Where `pixels` is not a whole number of images.
pub fn flip_horizontally(pixels: &mut [u8], size: Size) {
    assert!(pixels.len().is_multiple_of(size.rgb_bytes()), "not a whole number of images of {size}");
    for row in pixels.chunks_exact_mut(size.width as usize * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}
