//! Brightness, contrast, saturation and grey, as one affine map of the colours.

use rand::Rng;

use super::{Colour, symmetric};

/// Grey of a colour: `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601).
const GREY: [f32; 3] = [0.299, 0.587, 0.114];

/// Whether colour is left in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hue {
    Kept,
    Removed,
}

impl Colour {
    /// With brightness `b`, contrast `c`, saturation `a`, the image's mean grey `g` and a pixel's grey `G(p)`:
    /// `q = c b p + (1 - c) b g`, then `a q + (1 - a) G(q)`. Values are rounded and cut to 0..=255 once, at the
    /// end.
    pub(super) fn apply(&self, pixels: &mut [u8], hue: Hue, random: &mut impl Rng) {
        let brightness = 1.0 + symmetric(self.brightness, random) as f32;
        let contrast = 1.0 + symmetric(self.contrast, random) as f32;
        let varied = 1.0 + symmetric(self.saturation, random) as f32;
        let saturation = if hue == Hue::Removed { 0.0 } else { varied };
        recolour(pixels, brightness, contrast, saturation);
    }
}

fn recolour(pixels: &mut [u8], brightness: f32, contrast: f32, saturation: f32) {
    let factor = contrast * brightness;
    let offset = (1.0 - contrast) * brightness * mean_grey(pixels);
    let own = factor * saturation;
    let grey = GREY.map(|weight| weight * factor * (1.0 - saturation));
    let (blocks, rest) = pixels.as_chunks_mut::<BLOCK_BYTES>();
    for block in blocks {
        let mut channels = [[0.0_f32; BLOCK]; 3];
        for (index, pixel) in block.as_chunks::<3>().0.iter().enumerate() {
            for (channel, &sample) in channels.iter_mut().zip(pixel) {
                channel[index] = f32::from(sample);
            }
        }
        let [red, green, blue] = &channels;
        let mut common = [0.0_f32; BLOCK];
        for index in 0..BLOCK {
            common[index] = offset + grey[0] * red[index] + grey[1] * green[index] + grey[2] * blue[index];
        }
        let recoloured = channels.map(|channel| {
            let mut samples = [0; BLOCK];
            for index in 0..BLOCK {
                samples[index] = rounded(common[index] + own * channel[index]);
            }
            samples
        });
        for (index, pixel) in block.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [recoloured[0][index], recoloured[1][index], recoloured[2][index]];
        }
    }
    for pixel in rest.as_chunks_mut::<3>().0 {
        let values = pixel.map(f32::from);
        let common = offset + grey[0] * values[0] + grey[1] * values[1] + grey[2] * values[2];
        *pixel = values.map(|value| rounded(common + own * value));
    }
}

/// The nearest byte. Beside 2^23 the last bit of an f32 is worth 1, so the sum is rounded and ends in the byte, without
/// the checks of a cast, which keep compilers from doing several at once.
fn rounded(value: f32) -> u8 {
    (value.clamp(0.0, 255.0) + 8_388_608.0).to_bits() as u8
}

/// Pixels that are recoloured together, a channel at a time, and their bytes.
const BLOCK: usize = 32;
const BLOCK_BYTES: usize = 3 * BLOCK;

fn mean_grey(pixels: &[u8]) -> f32 {
    let mut sums = [0_u64; 3];
    // A line of sums stays within 16 bits for 257 lines.
    for lines in pixels.chunks(256 * BLOCK_BYTES) {
        let mut line = [0_u16; BLOCK_BYTES];
        for samples in lines.chunks(BLOCK_BYTES) {
            for (sum, &sample) in line.iter_mut().zip(samples) {
                *sum += u16::from(sample);
            }
        }
        for pixel in line.as_chunks::<3>().0 {
            for (sum, &part) in sums.iter_mut().zip(pixel) {
                *sum += u64::from(part);
            }
        }
    }
    let count = (pixels.len() / 3) as f64;
    sums.iter().zip(GREY).map(|(&sum, weight)| (sum as f64 / count) as f32 * weight).sum()
}

#[cfg(test)]
mod tests {
    use super::{mean_grey, recolour};

    fn noise() -> Vec<u8> {
        (0..300_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    /// The three operations one after the other, as their definitions read, in f64 without cuts between.
    #[test]
    fn one_map_equals_brightness_then_contrast_then_saturation() {
        let grey = |pixel: &[f64]| 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        for (brightness, contrast, saturation) in
            [(1.2, 1.0, 1.0), (1.0, 0.7, 1.0), (1.0, 1.0, 0.0), (0.8, 1.3, 1.4)]
        {
            let mut plain: Vec<f64> = noise().into_iter().map(f64::from).collect();
            plain.iter_mut().for_each(|value| *value *= brightness);
            let mean = plain.chunks_exact(3).map(grey).sum::<f64>() / 100.0;
            plain.iter_mut().for_each(|value| *value = mean + contrast * (*value - mean));
            for pixel in plain.chunks_exact_mut(3) {
                let own = grey(pixel);
                pixel.iter_mut().for_each(|value| *value = own + saturation * (*value - own));
            }
            let mut pixels = noise();
            recolour(&mut pixels, brightness as f32, contrast as f32, saturation as f32);
            for (&got, exact) in pixels.iter().zip(plain) {
                // Half a step of rounding, and a little of f32.
                assert!((f64::from(got) - exact.clamp(0.0, 255.0)).abs() <= 0.501, "{got} for {exact}");
            }
        }
    }

    /// More samples than one line of 16-bit sums holds, and a last line that is not full.
    #[test]
    fn the_mean_grey_of_a_large_image_is_that_of_its_pixels() {
        let pixels: Vec<u8> = [255, 128, 3].into_iter().cycle().take(3 * 32 * 1000 + 3 * 5).collect();
        let exact = 0.299 * 255.0 + 0.587 * 128.0 + 0.114 * 3.0;
        assert!((f64::from(mean_grey(&pixels)) - exact).abs() < 1e-4);
    }

    #[test]
    fn factors_of_one_change_nothing() {
        let mut pixels = noise();
        recolour(&mut pixels, 1.0, 1.0, 1.0);
        assert_eq!(pixels, noise());
    }
}
