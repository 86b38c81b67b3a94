//! Shift, scale and rotation.

use face::{Affine, Border, Size, warp};
use rand::Rng;

use super::{Scratch, Warp, symmetric};

impl Warp {
    pub(super) fn apply(&self, pixels: &mut [u8], size: Size, random: &mut impl Rng, scratch: &mut Scratch) {
        let (height, width) = (f64::from(size.height), f64::from(size.width));
        let angle = symmetric(self.rotate_degrees, random).to_radians();
        let scale = symmetric(self.scale.ln_1p(), random).exp();
        let shift_x = symmetric(self.shift, random) * width;
        let shift_y = symmetric(self.shift, random) * height;

        // The face is enlarged by `scale`, turned by `angle` about the middle and moved by the shift; the map
        // leads from the new image back to the old one.
        let (middle_x, middle_y) = ((width - 1.0) / 2.0, (height - 1.0) / 2.0);
        let (sine, cosine) = (angle.sin() / scale, angle.cos() / scale);
        let (from_x, from_y) = (middle_x + shift_x, middle_y + shift_y);
        let map = Affine {
            x: [cosine, sine, middle_x - cosine * from_x - sine * from_y],
            y: [-sine, cosine, middle_y + sine * from_x - cosine * from_y],
        };
        scratch.bytes.clear();
        scratch.bytes.extend_from_slice(pixels);
        warp(&scratch.bytes, size, pixels, size, &map, Border::Nearest);
    }
}
