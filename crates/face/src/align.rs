//! From a photograph and five landmarks to the aligned crop.

use image::{RgbImage, imageops};

use crate::{Affine, Border, DegenerateLandmarks, Point, Size, Template, resize, warp};

/// Pixels of the photograph for one of the crop from which on the photograph is reduced first. Bilinear interpolation
/// sees two pixels in each direction, so up to here it misses little.
const ALIASES_FROM: f64 = 1.5;

/// The crop of a face: the photograph under the similarity that lays its landmarks over the template's with the least
/// sum of squared distances. Beyond the photograph's edge the crop is black.
///
/// A face that is much larger than the crop is reduced without aliasing before it is turned.
///
/// # Errors
/// Landmarks that fix no similarity.
pub fn align(
    photograph: &RgbImage,
    landmarks: &[Point; 5],
    template: &Template,
) -> Result<RgbImage, DegenerateLandmarks> {
    // From the crop to the photograph; the inverse of the least-squares map the other way.
    let onto = Affine::similarity(landmarks, &template.points)?;
    let back = onto.inverse().ok_or(DegenerateLandmarks { spread: 0.0 })?;
    let scale = back.x[0].hypot(back.y[0]);
    let mut output = RgbImage::new(template.size.width, template.size.height);
    let fill = |image: &RgbImage, map: &Affine, output: &mut RgbImage| {
        warp(image.as_raw(), Size::of(image), output, template.size, map, Border::Black);
    };
    if scale < ALIASES_FROM {
        fill(photograph, &back, &mut output);
        return Ok(output);
    }
    let Some(region) = region(photograph, &back, template.size, scale) else {
        // The crop lies beyond the photograph.
        return Ok(output);
    };
    let [left, top, width, height] = region;
    let part = imageops::crop_imm(photograph, left, top, width, height).to_image();
    let reduced = |side: u32| ((f64::from(side) / scale).round() as u32).max(1);
    let size = Size { height: reduced(height), width: reduced(width) };
    let small = resize(&part, size);
    // Pixel centres: `x' = (x - left + 1/2) factor - 1/2`.
    let to_small = |row: [f64; 3], start: u32, factor: f64| {
        [row[0] * factor, row[1] * factor, (row[2] - f64::from(start) + 0.5) * factor - 0.5]
    };
    let map = Affine {
        x: to_small(back.x, left, f64::from(size.width) / f64::from(width)),
        y: to_small(back.y, top, f64::from(size.height) / f64::from(height)),
    };
    fill(&small, &map, &mut output);
    Ok(output)
}

/// Left, top, width and height of the part of the photograph that the crop can see.
fn region(photograph: &RgbImage, back: &Affine, size: Size, scale: f64) -> Option<[u32; 4]> {
    let (right, bottom) = (f64::from(size.width) - 1.0, f64::from(size.height) - 1.0);
    let corners = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)];
    let seen = corners.map(|(x, y)| back.apply(Point { x, y }));
    let span = |of: fn(&Point) -> f64, side: u32| {
        // Two pixels of the crop on either side for interpolation.
        let first = seen.iter().map(of).fold(f64::INFINITY, f64::min) - 2.0 * scale;
        let last = seen.iter().map(of).fold(f64::NEG_INFINITY, f64::max) + 2.0 * scale;
        let (first, last) = (first.floor().max(0.0), last.ceil().min(f64::from(side) - 1.0));
        (first <= last).then(|| (first as u32, last as u32 - first as u32 + 1))
    };
    let (left, width) = span(|point| point.x, photograph.width())?;
    let (top, height) = span(|point| point.y, photograph.height())?;
    Some([left, top, width, height])
}
