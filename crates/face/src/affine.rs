//! Affine maps of the plane, and the similarity that lays five points over five others.

use thiserror::Error;

use crate::Point;

/// An affine map: `x' = xx x + xy y + x1`, `y' = yx x + yy y + y1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The row of `x'`: the factors of `x` and `y`, and the shift.
    pub x: [f64; 3],
    /// The row of `y'`.
    pub y: [f64; 3],
}

/// Landmarks that fix no similarity: not finite, or all (nearly) in one place.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("the five landmarks do not span a face; mean squared distance from their centre: {spread}")]
pub struct DegenerateLandmarks {
    /// Mean squared distance of the points from their centre, in square pixels.
    pub spread: f64,
}

/// Five points closer to their centre than a tenth of a pixel (root mean square) are one point.
const LEAST_SPREAD: f64 = 0.01;

impl Affine {
    /// The similarity (rotation, one scale, shift; no reflection) that takes `from` to `to` with the least sum
    /// of squared distances.
    ///
    /// With points as complex numbers about their means, `p` and `q`, the least-squares factor is
    /// `sum(conj(p) q) / sum(|p|^2)`: its modulus is the scale, its argument the rotation. This is Umeyama's
    /// solution (IEEE PAMI 13(4), 1991, eq. 40-43) in the plane wherever that is no reflection; a reflection
    /// is not of this form and so cannot result.
    ///
    /// # Errors
    /// Points that coincide, that are not finite, or whose best map has no scale.
    pub fn similarity(from: &[Point; 5], to: &[Point; 5]) -> Result<Self, DegenerateLandmarks> {
        let (from_centre, to_centre) = (centre(from), centre(to));
        let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (p.x - from_centre.x, p.y - from_centre.y);
            let (qx, qy) = (q.x - to_centre.x, q.y - to_centre.y);
            along += px * qx + py * qy;
            across += px * qy - py * qx;
            spread += px * px + py * py;
        }
        let (real, imaginary) = (along / spread, across / spread);
        let scale = real.hypot(imaginary);
        let spread = spread / from.len() as f64;
        if !(spread >= LEAST_SPREAD && spread.is_finite() && scale.is_finite() && scale > 1e-9) {
            return Err(DegenerateLandmarks { spread });
        }
        Ok(Self {
            x: [real, -imaginary, to_centre.x - real * from_centre.x + imaginary * from_centre.y],
            y: [imaginary, real, to_centre.y - imaginary * from_centre.x - real * from_centre.y],
        })
    }

    /// Where the map takes `point`.
    pub fn apply(&self, point: Point) -> Point {
        let row = |row: &[f64; 3]| row[0] * point.x + row[1] * point.y + row[2];
        Point { x: row(&self.x), y: row(&self.y) }
    }

    /// The map that undoes this one; none where this one is flat.
    pub fn inverse(&self) -> Option<Self> {
        let ([xx, xy, x1], [yx, yy, y1]) = (self.x, self.y);
        let determinant = xx * yy - xy * yx;
        if !(determinant.is_finite() && determinant != 0.0) {
            return None;
        }
        let (xx, xy, yx, yy) = (yy / determinant, -xy / determinant, -yx / determinant, xx / determinant);
        Some(Self { x: [xx, xy, -(xx * x1 + xy * y1)], y: [yx, yy, -(yx * x1 + yy * y1)] })
    }
}

fn centre(points: &[Point; 5]) -> Point {
    let mean = |of: fn(&Point) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    Point { x: mean(|point| point.x), y: mean(|point| point.y) }
}
