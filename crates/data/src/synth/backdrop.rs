//! What is behind the person: two colours and blurred shapes.

use super::curve::{Colour, blend, scale, step};
use super::draw::{hash, noise};
use super::nuisance::Backdrop;

/// Colour of the backdrop at a place of the crop, in pixels.
pub(super) fn backdrop(backdrop: &Backdrop, x: f32, y: f32) -> Colour {
    let base = blend(backdrop.colours[0], backdrop.colours[1], step(0.0, 112.0, y + 0.2 * x));
    if backdrop.clutter == 0.0 {
        return base;
    }
    let seed = backdrop.texture;
    let part = |shift: u32| f32::from((hash(3, 1, seed) >> shift) as u8) / 255.0;
    // Out of focus: broad blobs, and for some pictures upright edges such as doors and shelves.
    let blobs = noise(x * 0.045 + 9.0 * part(0), y * 0.04, seed) + 0.5 * noise(x * 0.12, y * 0.1, seed ^ 1);
    let slant = x + (part(8) - 0.5) * 0.4 * y;
    let edges = noise((slant * (0.02 + 0.06 * part(16))).floor(), 0.0, seed ^ 2) * step(0.4, 0.6, part(24));
    scale(base, (1.0 + backdrop.clutter * (0.55 * blobs + 0.6 * edges)).max(0.05))
}
