//! Gaussian blur.

use face::Size;
use rand::{Rng, RngExt};

use super::{Blur, Scratch};

/// The kernel ends where less than 0.3 % of a Gaussian is left.
const DEVIATIONS: f64 = 3.0;

impl Blur {
    pub(super) fn apply(&self, pixels: &mut [u8], size: Size, random: &mut impl Rng, scratch: &mut Scratch) {
        blur(pixels, size, random.random_range(self.sigma / 10.0..=self.sigma), scratch);
    }
}

/// Convolves rows, then columns, with a Gaussian of standard deviation `sigma` pixels; edges are continued.
fn blur(pixels: &mut [u8], size: Size, sigma: f64, scratch: &mut Scratch) {
    let kernel = kernel(sigma);
    let reach = kernel.len() / 2;
    let stride = size.width as usize * 3;
    let height = size.height as usize;
    let rows = &mut scratch.floats;
    rows.resize(height * stride, 0.0);

    let line = &mut scratch.line;
    for (row, blurred) in pixels.chunks_exact(stride).zip(rows.chunks_exact_mut(stride)) {
        line.clear();
        for _ in 0..reach {
            line.extend(row[..3].iter().map(|&sample| f32::from(sample)));
        }
        line.extend(row.iter().map(|&sample| f32::from(sample)));
        for _ in 0..reach {
            line.extend(row[stride - 3..].iter().map(|&sample| f32::from(sample)));
        }
        blurred.fill(0.0);
        for (place, weight) in kernel.iter().enumerate() {
            for (sum, sample) in blurred.iter_mut().zip(&line[place * 3..]) {
                *sum += weight * sample;
            }
        }
    }

    line.resize(stride, 0.0);
    for (row, output) in pixels.chunks_exact_mut(stride).enumerate() {
        line[..stride].fill(0.5);
        for (place, weight) in kernel.iter().enumerate() {
            let from = (row + place).saturating_sub(reach).min(height - 1);
            for (sum, sample) in line.iter_mut().zip(&rows[from * stride..][..stride]) {
                *sum += weight * sample;
            }
        }
        for (sample, &sum) in output.iter_mut().zip(line.iter()) {
            *sample = sum as u8;
        }
    }
}

/// Samples of the Gaussian with sum 1; an odd number of them.
fn kernel(sigma: f64) -> Vec<f32> {
    let reach = (DEVIATIONS * sigma).ceil() as i32;
    let weights: Vec<f64> =
        (-reach..=reach).map(|place| (-0.5 * (f64::from(place) / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use face::Size;

    use super::{Scratch, blur};

    /// A single bright pixel becomes the Gaussian itself; red stays red.
    #[test]
    fn a_point_becomes_a_gaussian_of_the_given_width() {
        let size = Size { height: 21, width: 21 };
        let mut pixels = vec![0; size.rgb_bytes()];
        let at = |row: usize, column: usize| (row * 21 + column) * 3;
        pixels[at(10, 10)] = 255;
        blur(&mut pixels, size, 1.2, &mut Scratch::default());
        let norm = 2.0 * std::f64::consts::PI * 1.2_f64.powi(2);
        for row in 0..21_usize {
            for column in 0..21_usize {
                let squared = (row.abs_diff(10).pow(2) + column.abs_diff(10).pow(2)) as f64;
                let exact = 255.0 / norm * (-squared / (2.0 * 1.2_f64.powi(2))).exp();
                let got = f64::from(pixels[at(row, column)]);
                // Half a step of rounding; the cut at three deviations moves at most 0.3 % each way.
                assert!((got - exact).abs() < 0.9, "{got} for {exact}");
                assert_eq!(pixels[at(row, column) + 1], 0);
            }
        }
    }

    #[test]
    fn a_flat_image_stays_flat_up_to_its_edges() {
        let size = Size { height: 5, width: 4 };
        for value in [0, 77, 255] {
            let mut pixels = vec![value; size.rgb_bytes()];
            blur(&mut pixels, size, 3.0, &mut Scratch::default());
            assert!(pixels.iter().all(|&sample| sample == value));
        }
    }
}
