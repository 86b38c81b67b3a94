//! The template that faces are designed on, and similarity fits between landmark sets.

use face::Template;

/// A point in the plane of the picture: x to the right, y down, in pixels.
pub(super) type Point = [f32; 2];

/// [`Template::HIGH`]: left eye, right eye, nose tip, left and right corner of the mouth (left in the picture).
pub(super) const TEMPLATE: [Point; 5] = {
    let mut points = [[0.0; 2]; 5];
    let mut index = 0;
    while index < points.len() {
        let face::Point { x, y } = Template::HIGH.points[index];
        points[index] = [x as f32, y as f32];
        index += 1;
    }
    points
};

/// x of the middle between the eyes of the template: the midline of every face.
pub(super) const MIDLINE: f32 = 47.9132;

/// `x' = a x - b y + dx`, `y' = b x + a y + dy`: rotation, one scale and a shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Similarity {
    pub(super) a: f32,
    pub(super) b: f32,
    pub(super) shift: Point,
}

impl Similarity {
    /// Turns by `angle` and scales by `scale` about `centre`, then moves by `by`.
    pub(super) fn about(centre: Point, angle: f32, scale: f32, by: Point) -> Similarity {
        let (a, b) = (scale * angle.cos(), scale * angle.sin());
        let moved = [a * centre[0] - b * centre[1], b * centre[0] + a * centre[1]];
        Similarity { a, b, shift: [centre[0] - moved[0] + by[0], centre[1] - moved[1] + by[1]] }
    }

    pub(super) fn apply(&self, p: Point) -> Point {
        [self.a * p[0] - self.b * p[1] + self.shift[0], self.b * p[0] + self.a * p[1] + self.shift[1]]
    }

    pub(super) fn apply_all(&self, points: &[Point; 5]) -> [Point; 5] {
        points.map(|p| self.apply(p))
    }

    /// What undoes it.
    pub(super) fn inverse(&self) -> Similarity {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        let [x, y] = self.shift;
        Similarity { a, b, shift: [b * y - a * x, -b * x - a * y] }
    }

    /// First `self`, then `next`.
    pub(super) fn then(&self, next: &Similarity) -> Similarity {
        Similarity {
            a: next.a * self.a - next.b * self.b,
            b: next.b * self.a + next.a * self.b,
            shift: next.apply(self.shift),
        }
    }
}

/// From [`TEMPLATE`] to the five points of `template`.
pub(super) fn canvas(template: &Template) -> Similarity {
    fit(&TEMPLATE, &template.points.map(|p| [p.x as f32, p.y as f32]))
}

/// The similarity that brings `from` closest to `to` in the sum of squared distances (Umeyama 1991, without
/// reflection).
pub(super) fn fit(from: &[Point; 5], to: &[Point; 5]) -> Similarity {
    let mean = |points: &[Point; 5], axis: usize| points.iter().map(|p| p[axis]).sum::<f32>() / 5.0;
    let (from_mean, to_mean) = ([mean(from, 0), mean(from, 1)], [mean(to, 0), mean(to, 1)]);
    let (mut along, mut across, mut spread) = (0.0, 0.0, 0.0);
    for (p, q) in from.iter().zip(to) {
        let (px, py) = (p[0] - from_mean[0], p[1] - from_mean[1]);
        let (qx, qy) = (q[0] - to_mean[0], q[1] - to_mean[1]);
        along += px * qx + py * qy;
        across += px * qy - py * qx;
        spread += px * px + py * py;
    }
    let (a, b) = (along / spread, across / spread);
    let shift =
        [to_mean[0] - a * from_mean[0] + b * from_mean[1], to_mean[1] - b * from_mean[0] - a * from_mean[1]];
    Similarity { a, b, shift }
}

#[cfg(test)]
mod tests {
    use super::{Similarity, TEMPLATE, fit};

    #[test]
    fn a_fit_undoes_the_similarity_that_moved_the_points() {
        let moved = Similarity::about([40.0, 60.0], 0.4, 1.7, [5.0, -9.0]).apply_all(&TEMPLATE);
        for (p, q) in fit(&moved, &TEMPLATE).apply_all(&moved).iter().zip(&TEMPLATE) {
            assert!((p[0] - q[0]).hypot(p[1] - q[1]) < 1e-3, "{p:?} is not {q:?}");
        }
    }

    #[test]
    fn then_is_one_after_the_other() {
        let first = Similarity::about([1.0, 2.0], 0.3, 0.9, [4.0, 1.0]);
        let second = Similarity::about([-3.0, 8.0], -1.1, 1.4, [0.0, 2.0]);
        let (both, p) = (first.then(&second), [7.0, -5.0]);
        let (one, other) = (both.apply(p), second.apply(first.apply(p)));
        assert!((one[0] - other[0]).hypot(one[1] - other[1]) < 1e-4);
    }

    #[test]
    fn the_inverse_undoes_a_similarity() {
        let similarity = Similarity::about([1.0, 2.0], 0.3, 0.9, [4.0, 1.0]);
        let p = similarity.inverse().apply(similarity.apply([7.0, -5.0]));
        assert!((p[0] - 7.0).hypot(p[1] + 5.0) < 1e-4, "{p:?}");
    }
}
