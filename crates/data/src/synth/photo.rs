//! From linear light to a picture: exposure, lens, sensor and encoding.

use std::sync::OnceLock;

use image::RgbImage;

use super::curve::{Colour, luminance, mix};
use super::draw::hash;
use super::nuisance::Camera;

/// A picture in linear light, row after row.
pub(super) struct Film {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<Colour>,
}

impl Film {
    /// What `camera` makes of the light. `metered` is the brightness that the exposure is set for.
    pub(super) fn develop(mut self, camera: &Camera, metered: f32) -> RgbImage {
        if camera.resolution < 1.0 {
            self = self.resampled(camera.resolution);
        }
        if camera.blur > 0.15 {
            self.blur(camera.blur);
        }
        // A camera brightens dark scenes and darkens bright ones, though not all the way.
        let gain = camera.exposure * (0.3 / metered.max(0.02)).powf(0.45).clamp(0.6, 2.2);
        let (width, height) = (self.width as u32, self.height as u32);
        let mut picture = RgbImage::new(width, height);
        for (i, (pixel, bytes)) in self.pixels.iter().zip(picture.pixels_mut()).enumerate() {
            let grey = luminance(*pixel);
            let noise = grain(i as i32, camera.texture).map(|g| camera.noise * g);
            for channel in 0..3 {
                let coloured = (grey + (pixel[channel] - grey) * camera.saturation).max(0.0);
                let encoded = encode(coloured * gain * camera.balance[channel]);
                let contrasted = 0.5 + (encoded - 0.5) * camera.contrast + noise[channel];
                bytes.0[channel] = (contrasted * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
        picture
    }

    /// Down to `resolution` and up again, as a small picture that was enlarged.
    fn resampled(&self, resolution: f32) -> Film {
        let small = |n: usize| ((n as f32 * resolution).round() as usize).max(8);
        let (width, height) = (small(self.width), small(self.height));
        let (sx, sy) = (self.width as f32 / width as f32, self.height as f32 / height as f32);
        let mut reduced = Film { width, height, pixels: Vec::with_capacity(width * height) };
        for y in 0..height {
            for x in 0..width {
                reduced.pixels.push(
                    self.mean([x as f32 * sx, (x + 1) as f32 * sx], [y as f32 * sy, (y + 1) as f32 * sy]),
                );
            }
        }
        let mut enlarged = Film { width: self.width, height: self.height, pixels: Vec::new() };
        for y in 0..self.height {
            for x in 0..self.width {
                enlarged
                    .pixels
                    .push(reduced.between((x as f32 + 0.5) / sx - 0.5, (y as f32 + 0.5) / sy - 0.5));
            }
        }
        enlarged
    }

    /// Mean over a rectangle, with partial pixels at its borders.
    fn mean(&self, across: [f32; 2], down: [f32; 2]) -> Colour {
        let (mut sum, mut weight) = ([0.0; 3], 0.0);
        for y in down[0] as usize..(down[1].ceil() as usize).min(self.height) {
            let h = (down[1].min(y as f32 + 1.0) - down[0].max(y as f32)).max(0.0);
            for x in across[0] as usize..(across[1].ceil() as usize).min(self.width) {
                let w = h * (across[1].min(x as f32 + 1.0) - across[0].max(x as f32)).max(0.0);
                let pixel = self.pixels[y * self.width + x];
                for (s, p) in sum.iter_mut().zip(pixel) {
                    *s += w * p;
                }
                weight += w;
            }
        }
        sum.map(|s| s / weight)
    }

    fn between(&self, x: f32, y: f32) -> Colour {
        let (x, y) = (x.clamp(0.0, self.width as f32 - 1.0), y.clamp(0.0, self.height as f32 - 1.0));
        let (left, top) = (x as usize, y as usize);
        let (right, bottom) = ((left + 1).min(self.width - 1), (top + 1).min(self.height - 1));
        let (u, v) = (x - left as f32, y - top as f32);
        let at = |c: usize, r: usize| self.pixels[r * self.width + c];
        std::array::from_fn(|i| {
            mix(
                mix(at(left, top)[i], at(right, top)[i], u),
                mix(at(left, bottom)[i], at(right, bottom)[i], u),
                v,
            )
        })
    }

    /// Gaussian blur of standard deviation `sigma` in pixels.
    fn blur(&mut self, sigma: f32) {
        let reach = (2.5 * sigma).ceil() as usize;
        let weights: Vec<f32> = (0..=reach).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp()).collect();
        let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
        let (width, height) = (self.width, self.height);
        for horizontal in [true, false] {
            let mut out = Vec::with_capacity(self.pixels.len());
            for y in 0..height {
                for x in 0..width {
                    let (place, end) = if horizontal { (x, width) } else { (y, height) };
                    let at = |p: usize| {
                        if horizontal { self.pixels[y * width + p] } else { self.pixels[p * width + x] }
                    };
                    let mut sum = at(place).map(|v| v * weights[0]);
                    for (i, weight) in weights.iter().enumerate().skip(1) {
                        let (before, after) = (at(place.saturating_sub(i)), at((place + i).min(end - 1)));
                        for c in 0..3 {
                            sum[c] += weight * (before[c] + after[c]);
                        }
                    }
                    out.push(sum.map(|s| s / total));
                }
            }
            self.pixels = out;
        }
    }
}

/// Noise of one pixel: bell-shaped, standard deviation 1, mostly shared by the channels as in a photograph.
fn grain(pixel: i32, seed: u32) -> Colour {
    let bell = |bits: u32| {
        let sum = (bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + (bits >> 24);
        // Four uniform bytes: mean 510, standard deviation 147.8.
        (sum as f32 - 510.0) / 147.8
    };
    let shared = 0.835 * bell(hash(pixel, 17, seed));
    [0, 1, 2].map(|channel| shared + 0.55 * bell(hash(pixel, channel, seed)))
}

/// sRGB encoding (IEC 61966-2-1) of linear light, with highlights rolled off above 0.7 instead of cut.
fn encode(value: f32) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        (0..=1024)
            .map(|i| {
                // Squared spacing: fine steps where the curve is steep.
                let v = 4.0 * (i as f32 / 1024.0).powi(2);
                let v = if v > 0.7 { 0.7 + 0.3 * (1.0 - (-(v - 0.7) / 0.3).exp()) } else { v };
                if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
            })
            .collect()
    });
    let place = (value.clamp(0.0, 3.999) / 4.0).sqrt() * 1024.0;
    let i = place as usize;
    mix(table[i], table[i + 1], place - i as f32)
}
