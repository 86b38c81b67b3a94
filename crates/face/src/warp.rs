//! Images under affine maps.

use std::ops::Range;

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
        let x = fixed(map.x[1] * row as f64 + map.x[2]);
        let y = fixed(map.y[1] * row as f64 + map.y[2]);
        let pixels = line.as_chunks_mut::<3>().0;
        let across = inside(x, step_x, source.width, pixels.len());
        let down = inside(y, step_y, source.height, pixels.len());
        let (from, to) = (across.start.max(down.start), across.end.min(down.end));
        let (from, to) = if from < to { (from, to) } else { (0, 0) };
        let place = |index: usize| (along(x, step_x, index), along(y, step_y, index));
        for (index, pixel) in pixels.iter_mut().enumerate().take(from) {
            let (x, y) = place(index);
            *pixel = source.at(x, y, border);
        }
        // A step that an `i64` does not hold leads out of the image at once.
        source.fill_inside(&mut pixels[from..to], place(from), (step_x as i64, step_y as i64));
        for (index, pixel) in pixels.iter_mut().enumerate().skip(to) {
            let (x, y) = place(index);
            *pixel = source.at(x, y, border);
        }
    }
}

/// The place `index` steps on from `start`; one beyond what an `i64` holds is far beyond every image.
fn along(start: i128, step: i128, index: usize) -> i64 {
    let place = start.saturating_add(step.saturating_mul(index as i128));
    place.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// Which of the `count` places `start`, `start + step`, .. have a pixel on either side in a row of `length` pixels.
fn inside(start: i128, step: i128, length: i64, count: usize) -> Range<usize> {
    // The places `0 <= place < end`, in the units of a place.
    let end = i128::from(length - 1) << PLACE_BITS;
    // The fewest steps that cover a distance.
    let steps = |distance: i128| (distance + step.abs() - 1).div_euclid(step.abs());
    let (first, last) = match step.signum() {
        1 => (steps(-start), steps(end - start)),
        -1 => (steps(start - (end - 1)), steps(start + 1)),
        _ => (0, if (0..end).contains(&start) { count as i128 } else { 0 }),
    };
    let index = |steps: i128| steps.clamp(0, count as i128) as usize;
    index(first)..index(last).max(index(first))
}

/// A coordinate, or the step between two, in units of 2^-32 pixel.
fn fixed(value: f64) -> i128 {
    // A quarter of the range is kept free for sums; it is far beyond every image.
    let most = 2.0_f64.powi(125);
    (value * (1_i64 << PLACE_BITS) as f64).round().clamp(-most, most) as i128
}

struct Source<'a> {
    pixels: &'a [u8],
    height: i64,
    width: i64,
}

impl Source<'_> {
    /// Pixels from the place `(x, y)` on, all of which have four pixels of the source about them.
    fn fill_inside(&self, line: &mut [[u8; 3]], (mut x, mut y): (i64, i64), step: (i64, i64)) {
        let stride = self.width as usize * 3;
        for pixel in line {
            let first = (y >> PLACE_BITS) as usize * stride + (x >> PLACE_BITS) as usize * 3;
            let (right, below) = (part(x), part(y));
            let four =
                self.pixels[first..].first_chunk::<6>().zip(self.pixels[first + stride..].first_chunk::<6>());
            let (top, bottom) = four.expect("a place inside");
            *pixel = std::array::from_fn(|channel| {
                blend(top[channel], top[channel + 3], bottom[channel], bottom[channel + 3], right, below)
            });
            (x, y) = (x.wrapping_add(step.0), y.wrapping_add(step.1));
        }
    }

    fn at(&self, x: i64, y: i64, border: Border) -> [u8; 3] {
        let (mut x, mut y) = (x, y);
        if border == Border::Nearest {
            x = x.clamp(0, (self.width - 1) << PLACE_BITS);
            y = y.clamp(0, (self.height - 1) << PLACE_BITS);
        }
        let (column, row) = (x >> PLACE_BITS, y >> PLACE_BITS);
        let (right, below) = (part(x), part(y));
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

/// The part of a place between two pixels, as a weight.
#[inline]
fn part(place: i64) -> i32 {
    ((place as u32) >> (PLACE_BITS - WEIGHT_BITS)) as i32
}

/// `(a (1 - right) + b right) (1 - below) + (c (1 - right) + d right) below`, rounded; at most 255 * 2^22, so 32 bits
/// hold it.
#[inline]
fn blend(a: u8, b: u8, c: u8, d: u8, right: i32, below: i32) -> u8 {
    let between = |one: i32, other: i32, weight: i32| (one << WEIGHT_BITS) + (other - one) * weight;
    let [a, b, c, d] = [a, b, c, d].map(i32::from);
    let sum = between(between(a, b, right), between(c, d, right), below);
    ((sum + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS)) as u8
}
