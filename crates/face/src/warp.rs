//! Images under affine maps.

use crate::{Affine, Size};

/// What lies beyond the edge of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Border {
    /// Black, as in aligned crops of faces near the edge of a photograph.
    Black,
    /// The nearest pixel of the edge.
    Nearest,
}

/// Fraction bits of a bilinear weight: two weights and a sample stay within 32 bits.
const WEIGHT_BITS: u32 = 11;
/// Fraction bits of a coordinate.
const PLACE_BITS: u32 = 32;

/// Fills `output` with `input` seen through `map`, bilinearly: the pixel at `p` of the output is the input at
/// `map(p)`. So `map` leads from the output to the input. Whole coordinates are the centres of pixels; the
/// identity copies.
///
/// Weights have 11 bits, so a value is off by at most one from the exact bilinear value. There is no smoothing:
/// a map that shrinks an image more than about twice aliases.
///
/// # Panics
/// Where `input` or `output` has not `height * width * 3` bytes, or `map` has entries that are not finite.
pub fn warp(input: &[u8], from: Size, output: &mut [u8], to: Size, map: &Affine, border: Border) {
    assert_eq!(input.len(), from.rgb_bytes(), "the input is not {from}");
    assert_eq!(output.len(), to.rgb_bytes(), "the output is not {to}");
    assert!(map.x.iter().chain(&map.y).all(|value| value.is_finite()), "the map is not finite: {map:?}");
    if to.pixels() == 0 {
        return;
    }
    let source = Source { pixels: input, height: i64::from(from.height), width: i64::from(from.width) };
    let step_x = fixed(map.x[0]);
    let step_y = fixed(map.y[0]);
    for (row, line) in output.chunks_exact_mut(to.width as usize * 3).enumerate() {
        let mut x = fixed(map.x[1] * row as f64 + map.x[2]);
        let mut y = fixed(map.y[1] * row as f64 + map.y[2]);
        for pixel in line.as_chunks_mut::<3>().0 {
            *pixel = source.at(x, y, border);
            x = x.saturating_add(step_x);
            y = y.saturating_add(step_y);
        }
    }
}

/// A coordinate, or the step between two, in units of 2^-32 pixel.
fn fixed(value: f64) -> i64 {
    (value * (1_i64 << PLACE_BITS) as f64).round() as i64
}

struct Source<'a> {
    pixels: &'a [u8],
    height: i64,
    width: i64,
}

impl Source<'_> {
    #[inline]
    fn at(&self, x: i64, y: i64, border: Border) -> [u8; 3] {
        let (mut x, mut y) = (x, y);
        if border == Border::Nearest {
            x = x.clamp(0, (self.width - 1) << PLACE_BITS);
            y = y.clamp(0, (self.height - 1) << PLACE_BITS);
        }
        let (column, row) = (x >> PLACE_BITS, y >> PLACE_BITS);
        let part = |place: i64| (place as u32) >> (PLACE_BITS - WEIGHT_BITS);
        let (right, below) = (part(x), part(y));
        let inside = column >= 0 && row >= 0 && column + 1 < self.width && row + 1 < self.height;
        if inside {
            let stride = self.width as usize * 3;
            let first = row as usize * stride + column as usize * 3;
            let top: &[u8; 6] = self.pixels[first..first + 6].try_into().expect("six bytes");
            let second = first + stride;
            let bottom: &[u8; 6] = self.pixels[second..second + 6].try_into().expect("six bytes");
            return std::array::from_fn(|channel| {
                blend(top[channel], top[channel + 3], bottom[channel], bottom[channel + 3], right, below)
            });
        }
        let [a, b, c, d] = [(column, row), (column + 1, row), (column, row + 1), (column + 1, row + 1)]
            .map(|(column, row)| self.pixel(column, row, border));
        std::array::from_fn(|channel| blend(a[channel], b[channel], c[channel], d[channel], right, below))
    }

    fn pixel(&self, column: i64, row: i64, border: Border) -> [u8; 3] {
        let (column, row) = match border {
            Border::Nearest => (column.clamp(0, self.width - 1), row.clamp(0, self.height - 1)),
            Border::Black if !(0..self.width).contains(&column) || !(0..self.height).contains(&row) => {
                return [0; 3];
            }
            Border::Black => (column, row),
        };
        let at = (row * self.width + column) as usize * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }
}

#[inline]
fn blend(a: u8, b: u8, c: u8, d: u8, right: u32, below: u32) -> u8 {
    const ONE: u32 = 1 << WEIGHT_BITS;
    let top = u32::from(a) * (ONE - right) + u32::from(b) * right;
    let bottom = u32::from(c) * (ONE - right) + u32::from(d) * right;
    let sum = top * (ONE - below) + bottom * below;
    ((sum + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS)) as u8
}
