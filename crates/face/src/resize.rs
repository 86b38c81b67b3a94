//! Images of other sizes.

use image::RgbImage;

use crate::Size;

/// For each output position along one side: the first input position that counts, and the weights from there on,
/// which add up to 1.
fn weights(from: u32, to: u32) -> Vec<(usize, Vec<f32>)> {
    let ratio = f64::from(from) / f64::from(to);
    // The triangle of bilinear interpolation, widened where the image shrinks so that it covers all that is lost.
    let reach = ratio.max(1.0);
    (0..to)
        .map(|position| {
            let centre = (f64::from(position) + 0.5) * ratio - 0.5;
            let first = (centre - reach).ceil().max(0.0) as usize;
            let last = (centre + reach).floor().min(f64::from(from - 1)) as usize;
            let weight = |at: usize| (1.0 - (at as f64 - centre).abs() / reach).max(0.0);
            let sum: f64 = (first..=last).map(weight).sum();
            (first, (first..=last).map(|at| (weight(at) / sum) as f32).collect())
        })
        .collect()
}

/// An image at another size: bilinear where it grows, and where it shrinks with a triangle as wide as the step between
/// two output pixels, so that fine patterns do not alias.
///
/// # Panics
/// Where either size is empty.
pub fn resize(image: &RgbImage, to: Size) -> RgbImage {
    let from = Size::of(image);
    assert!(from.pixels() > 0 && to.pixels() > 0, "an image of no pixels: {from} to {to}");
    if from == to {
        return image.clone();
    }
    let (rows, columns) = (weights(from.height, to.height), weights(from.width, to.width));
    let (stride, wide) = (from.width as usize * 3, to.width as usize * 3);
    let mut output = vec![0_u8; to.rgb_bytes()];
    let mut line = vec![0.0_f32; stride];
    for ((first, shares), output) in rows.iter().zip(output.chunks_exact_mut(wide)) {
        line.fill(0.0);
        for (row, share) in image.as_raw()[first * stride..].chunks_exact(stride).zip(shares) {
            line.iter_mut().zip(row).for_each(|(sum, value)| *sum += share * f32::from(*value));
        }
        for ((first, shares), pixel) in columns.iter().zip(output.chunks_exact_mut(3)) {
            let mut sums = [0.5_f32; 3];
            for (cell, share) in line[first * 3..].chunks_exact(3).zip(shares) {
                sums.iter_mut().zip(cell).for_each(|(sum, value)| *sum += share * value);
            }
            pixel.iter_mut().zip(sums).for_each(|(value, sum)| *value = sum.clamp(0.0, 255.0) as u8);
        }
    }
    let Some(image) = RgbImage::from_raw(to.width, to.height, output) else {
        unreachable!("the output has the bytes of its size")
    };
    image
}
