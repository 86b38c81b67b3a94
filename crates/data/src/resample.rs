//! Images of another size: each output pixel is a weighted mean of input pixels, rows and columns apart.

use face::Size;

/// One direction of a resampling: for each output cell, the first input cell it covers and the shares of the
/// cells from there on. Shares of one output cell add up to 1.
#[derive(Clone, Debug)]
struct Axis {
    cells: Vec<(usize, Vec<f32>)>,
}

impl Axis {
    /// Output cell `i` covers `[i, i + 1) * from / to` of the input.
    fn area(from: u32, to: u32) -> Self {
        let ratio = f64::from(from) / f64::from(to);
        let cells = (0..to)
            .map(|cell| {
                let (begin, end) = (f64::from(cell) * ratio, f64::from(cell + 1) * ratio);
                let first = begin.floor() as usize;
                let last = (end.ceil() as usize).min(from as usize);
                let share = |at: usize| {
                    let covered = (end.min(at as f64 + 1.0) - begin.max(at as f64)).max(0.0);
                    (covered / ratio) as f32
                };
                (first, (first..last).map(share).collect())
            })
            .collect();
        Self { cells }
    }

    /// Output cell `i` weighs the input by a triangle about its own middle, which falls to nothing one cell away: an
    /// output cell where the image shrinks, so that it does not alias, an input cell where it grows.
    fn triangle(from: u32, to: u32) -> Self {
        let ratio = f64::from(from) / f64::from(to);
        let reach = ratio.max(1.0);
        let cells = (0..to)
            .map(|cell| {
                let middle = (f64::from(cell) + 0.5) * ratio;
                let first = (middle - reach).floor().max(0.0) as usize;
                let last = ((middle + reach).ceil() as usize).min(from as usize);
                let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - middle) / reach).abs()).max(0.0);
                let sum: f64 = (first..last).map(weight).sum();
                (first, (first..last).map(|at| (weight(at) / sum) as f32).collect())
            })
            .collect();
        Self { cells }
    }
}

/// A resampling from one size to another. At equal sizes it copies.
#[derive(Clone, Debug)]
pub(crate) struct Resampling {
    from: Size,
    to: Size,
    rows: Axis,
    columns: Axis,
    /// It averages two by two pixels.
    halves: bool,
}

impl Resampling {
    /// Every output pixel is the mean of the input area that it covers, partly covered pixels by their share.
    ///
    /// # Panics
    /// Where `to` is empty or larger than `from`.
    pub(crate) fn area_mean(from: Size, to: Size) -> Self {
        assert!(to.height >= 1 && to.width >= 1, "an image of no pixels");
        assert!(to.height <= from.height && to.width <= from.width, "an area mean enlarges: {from} to {to}");
        let halves = from.height == 2 * to.height && from.width == 2 * to.width;
        let (rows, columns) = (Axis::area(from.height, to.height), Axis::area(from.width, to.width));
        Self { from, to, rows, columns, halves }
    }

    /// A linear filter as wide as a reduction asks, and plain bilinear interpolation where the image grows.
    ///
    /// # Panics
    /// Where `from` or `to` is empty.
    pub(crate) fn linear(from: Size, to: Size) -> Self {
        assert!(from.pixels() > 0 && to.pixels() > 0, "an image of no pixels");
        let rows = Axis::triangle(from.height, to.height);
        Self { from, to, rows, columns: Axis::triangle(from.width, to.width), halves: false }
    }

    /// `input` is `from.height x from.width x 3`, `output` is `to.height x to.width x 3`.
    pub(crate) fn apply(&self, input: &[u8], output: &mut [u8]) {
        assert_eq!(input.len(), self.from.rgb_bytes());
        assert_eq!(output.len(), self.to.rgb_bytes());
        if self.from == self.to {
            output.copy_from_slice(input);
            return;
        }
        if self.halves {
            halve(input, self.from.width as usize * 3, output);
            return;
        }
        let stride = self.from.width as usize * 3;
        let mut row = vec![0.0_f32; stride];
        let mut lines = output.chunks_exact_mut(self.to.width as usize * 3);
        for (top, shares) in &self.rows.cells {
            row.fill(0.0);
            for (line, share) in input[top * stride..].chunks_exact(stride).zip(shares) {
                for (sum, &sample) in row.iter_mut().zip(line) {
                    *sum += share * f32::from(sample);
                }
            }
            let Some(line) = lines.next() else { return };
            for ((left, shares), pixel) in self.columns.cells.iter().zip(line.chunks_exact_mut(3)) {
                let mut sum = [0.5_f32; 3];
                for (cell, share) in row[left * 3..].chunks_exact(3).zip(shares) {
                    for (channel, &sample) in sum.iter_mut().zip(cell) {
                        *channel += share * sample;
                    }
                }
                for (sample, value) in pixel.iter_mut().zip(sum) {
                    *sample = value as u8;
                }
            }
        }
    }
}

/// The mean of two by two pixels, halves rounded up, in whole numbers; `stride` is the length of an input row. It is
/// what the general way computes, as quarters are exact in f32.
fn halve(input: &[u8], stride: usize, output: &mut [u8]) {
    let mut sums = vec![0_u16; stride];
    for (rows, line) in input.chunks_exact(2 * stride).zip(output.chunks_exact_mut(stride / 2)) {
        let (upper, lower) = rows.split_at(stride);
        for (sum, (&one, &other)) in sums.iter_mut().zip(upper.iter().zip(lower)) {
            *sum = u16::from(one) + u16::from(other);
        }
        for (pair, pixel) in sums.as_chunks::<6>().0.iter().zip(line.as_chunks_mut::<3>().0) {
            for channel in 0..3 {
                pixel[channel] = ((pair[channel] + pair[channel + 3] + 2) / 4) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use face::Size;

    use super::Resampling;

    fn reduced(from: (u32, u32), to: (u32, u32), input: &[u8]) -> Vec<u8> {
        let size = |(height, width)| Size { height, width };
        let mut output = vec![0; size(to).rgb_bytes()];
        Resampling::area_mean(size(from), size(to)).apply(input, &mut output);
        output
    }

    fn noise(count: usize) -> Vec<u8> {
        (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn half_the_size_is_the_mean_of_two_by_two_pixels() {
        let (height, width) = (6, 8);
        let input = noise(height * width * 3);
        let output = reduced((height as u32, width as u32), (3, 4), &input);
        for row in 0..3 {
            for column in 0..4 {
                for channel in 0..3 {
                    let at = |r: usize, c: usize| {
                        u32::from(input[((row * 2 + r) * width + column * 2 + c) * 3 + channel])
                    };
                    let mean = (at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 2) / 4;
                    assert_eq!(u32::from(output[(row * 4 + column) * 3 + channel]), mean);
                }
            }
        }
    }

    /// Enlarging every pixel `to` times and averaging blocks of `from` is the same mean, in whole numbers.
    #[test]
    fn an_uneven_ratio_weighs_partly_covered_pixels_by_their_share() {
        let (from, to) = (7_usize, 5_usize);
        let input = noise(from * from * 3);
        let output = reduced((from as u32, from as u32), (to as u32, to as u32), &input);
        for row in 0..to {
            for column in 0..to {
                for channel in 0..3 {
                    let mut sum = 0_u32;
                    for fine_row in row * from..(row + 1) * from {
                        for fine_column in column * from..(column + 1) * from {
                            sum += u32::from(input[(fine_row / to * from + fine_column / to) * 3 + channel]);
                        }
                    }
                    let mean = f64::from(sum) / (from * from) as f64;
                    let got = f64::from(output[(row * to + column) * 3 + channel]);
                    // Half a step of rounding, and a little of f32.
                    assert!((got - mean).abs() <= 0.501, "{got} for {mean}");
                }
            }
        }
    }

    #[test]
    fn a_flat_image_stays_flat_at_every_size() {
        for to in 1..=13 {
            assert!(reduced((13, 13), (to, to), &[255; 13 * 13 * 3]).iter().all(|&value| value == 255));
        }
    }

    /// The same filter as another library writes it.
    #[test]
    fn a_linear_resampling_agrees_with_another_implementation() {
        use image::imageops::{FilterType, resize};
        for (from, to) in
            [((150, 150), (112, 96)), ((31, 47), (30, 90)), ((1, 5), (7, 2)), ((400, 300), (9, 11))]
        {
            let size = |(height, width)| Size { height, width };
            let input = noise(size(from).rgb_bytes());
            let mut output = vec![0; size(to).rgb_bytes()];
            Resampling::linear(size(from), size(to)).apply(&input, &mut output);
            let image = image::RgbImage::from_raw(from.1, from.0, input).unwrap();
            let expected = resize(&image, to.1, to.0, FilterType::Triangle).into_raw();
            // Sums in another order may fall on the other side of a half.
            let furthest = output.iter().zip(&expected).map(|(one, other)| one.abs_diff(*other)).max();
            assert!(furthest <= Some(1), "{from:?} to {to:?}: {furthest:?}");
        }
    }
}
