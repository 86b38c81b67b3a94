//! Another height and width by interpolation.

use serde::{Deserialize, Serialize};

/// Another height and width by interpolation along both, as ONNX's `Resize` defines it (operator set 11 and later).
///
/// # Shapes
/// Height and width become [`Resample::size`] of them; channels stay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resample {
    /// The new height and width.
    pub extent: Extent,
    /// Which place of the input a place of the output is.
    pub coordinates: Coordinates,
    /// What stands between two places of the input.
    pub interpolation: Interpolation,
}

/// A height and a width.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// The input's times these factors, rounded down.
    Factors([f32; 2]),
    /// These.
    Size([usize; 2]),
}

/// Which place of an input of `n` positions place `i` of an output of `k` is, with `f` the factor of the extent, or
/// `k / n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coordinates {
    /// `(i + 1/2) / f - 1/2`: the middles of the first and last pixels keep their distance from the edges.
    HalfPixel,
    /// The same, and 0 where `k = 1`.
    PytorchHalfPixel,
    /// `i / f`.
    Asymmetric,
    /// `i (n - 1) / (k - 1)`, and 0 where `k = 1`: first and last positions stay what they are.
    AlignCorners,
}

/// What stands between two places; beyond the first and last one, these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The nearest one, the lower of two that are as near.
    NearestLow,
    /// The nearest one, the higher of two that are as near.
    NearestHigh,
    /// The one before.
    Floor,
    /// The one after.
    Ceiling,
    /// `(1 - t) low + t high`.
    Linear,
}

/// A value between two positions: `(1 - share) x[low] + share x[high]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// The lower position.
    pub low: usize,
    /// The position after it, or the same at the end.
    pub high: usize,
    /// How much of the higher one, from 0 to 1.
    pub share: f32,
}

impl Resample {
    /// Height and width for an input of `height` and `width`, the product with a factor in f32 as in ONNX Runtime; `None`
    /// where one would be 0 or more than can be counted.
    pub fn size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let size = match self.extent {
            Extent::Size(size) => size,
            Extent::Factors(factors) => {
                if factors.iter().any(|factor| !factor.is_finite() || *factor <= 0.0) {
                    return None;
                }
                [0, 1].map(|axis| (factors[axis] * input[axis] as f32) as usize)
            }
        };
        size.iter().all(|side| (1..=crate::ELEMENTS_AT_MOST).contains(side)).then_some(size)
    }

    /// Where the values of an output come from, for rows (axis 0) or columns (axis 1) of an input of `length`; empty
    /// where [`Resample::size`] is none.
    ///
    /// Computed in f32, as ONNX Runtime does, so that the same of two near positions is taken.
    pub fn taps(&self, axis: usize, length: usize) -> Vec<Tap> {
        let Some(size) = self.size([length; 2]).map(|size| size[axis]) else { return Vec::new() };
        let factor = match self.extent {
            Extent::Factors(factors) => factors[axis],
            Extent::Size(_) => size as f32 / length as f32,
        };
        let last = length - 1;
        let tap = |index: usize| {
            let place = index as f32;
            let place = match self.coordinates {
                Coordinates::AlignCorners | Coordinates::PytorchHalfPixel if size == 1 => 0.0,
                Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (place + 0.5) / factor - 0.5,
                Coordinates::Asymmetric => place / factor,
                Coordinates::AlignCorners => place * last as f32 / (size - 1) as f32,
            };
            let one = |place: f32| {
                let place = place.clamp(0.0, last as f32) as usize;
                Tap { low: place, high: place, share: 0.0 }
            };
            match self.interpolation {
                Interpolation::NearestLow => one((place - 0.5).ceil()),
                Interpolation::NearestHigh => one((place + 0.5).floor()),
                Interpolation::Floor => one(place.floor()),
                Interpolation::Ceiling => one(place.ceil()),
                Interpolation::Linear => {
                    let place = place.clamp(0.0, last as f32);
                    let low = place as usize;
                    Tap { low, high: (low + 1).min(last), share: place - low as f32 }
                }
            }
        };
        (0..size).map(tap).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(resample: &Resample, length: usize) -> Vec<f32> {
        resample.taps(1, length).iter().map(|tap| tap.low as f32 + tap.share).collect()
    }

    #[test]
    fn places_are_those_of_the_definitions_worked_by_hand() {
        let of = |extent, coordinates, interpolation| Resample { extent, coordinates, interpolation };
        let double = Extent::Factors([2.0, 2.0]);
        let linear = |coordinates| places(&of(double, coordinates, Interpolation::Linear), 3);
        assert_eq!(linear(Coordinates::HalfPixel), [0.0, 0.25, 0.75, 1.25, 1.75, 2.0]);
        assert_eq!(linear(Coordinates::Asymmetric), [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]);
        assert_eq!(linear(Coordinates::AlignCorners), [0.0, 0.4, 0.8, 1.2, 1.6, 2.0]);
        let nearest =
            |interpolation| places(&of(Extent::Size([1, 4]), Coordinates::Asymmetric, interpolation), 6);
        // Places 0, 1.5, 3 and 4.5.
        assert_eq!(nearest(Interpolation::NearestLow), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(nearest(Interpolation::NearestHigh), [0.0, 2.0, 3.0, 5.0]);
        assert_eq!(nearest(Interpolation::Floor), [0.0, 1.0, 3.0, 4.0]);
        assert_eq!(nearest(Interpolation::Ceiling), [0.0, 2.0, 3.0, 5.0]);
        let single = |coordinates| places(&of(Extent::Size([1, 1]), coordinates, Interpolation::Linear), 5);
        assert_eq!(single(Coordinates::HalfPixel), [2.0]);
        assert_eq!(single(Coordinates::PytorchHalfPixel), [0.0]);
        assert_eq!(single(Coordinates::AlignCorners), [0.0]);
    }

    #[test]
    fn an_extent_of_nothing_or_of_too_much_is_none() {
        let of = |extent| Resample {
            extent,
            coordinates: Coordinates::HalfPixel,
            interpolation: Interpolation::Linear,
        };
        for extent in [
            Extent::Factors([0.1, 1.0]),
            Extent::Factors([f32::NAN, 1.0]),
            Extent::Factors([-2.0, 2.0]),
            Extent::Factors([f32::MAX, 1.0]),
            Extent::Size([0, 4]),
            Extent::Size([4, usize::MAX]),
        ] {
            assert_eq!(of(extent).size([4, 4]), None, "{extent:?}");
        }
        assert_eq!(of(Extent::Factors([0.6, 1.5])).size([5, 5]), Some([3, 7]));
    }
}
