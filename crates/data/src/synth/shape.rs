//! The face of one picture before it is turned: an identity with an expression, resolved to positions.
//!
//! Face space: x from the midline to the right, y down as in the template, z towards the viewer, in pixels.

use super::curve::{Spline, mix, step};
use super::frame::{MIDLINE, Point};
use super::identity::Identity;
use super::nuisance::Expression;

/// Positions of all features for one identity and one expression.
pub(super) struct Shape<'a> {
    pub(super) identity: &'a Identity,
    pub(super) expression: &'a Expression,
    /// Left eye, right eye, nose tip, left and right corner of the mouth.
    pub(super) landmarks: [Point; 5],
    pub(super) eyes: [Eye; 2],
    pub(super) brows: [Brow; 2],
    pub(super) mouth: MouthLine,
    pub(super) chin: f32,
    width: Spline,
    front: Spline,
    edge: Spline,
}

/// One eye; `side` is -1 for the left of the picture and 1 for the right.
pub(super) struct Eye {
    pub(super) centre: Point,
    pub(super) side: f32,
    pub(super) half_width: f32,
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) tilt: f32,
    pub(super) peak: f32,
}

impl Eye {
    /// Position along the opening, -1 at the nose and 1 at the temple, and height over the axis of the eye.
    pub(super) fn local(&self, x: f32, y: f32) -> (f32, f32) {
        let dx = (x - self.centre[0]) * self.side;
        (dx / self.half_width, y - self.centre[1] + self.tilt * dx)
    }

    /// Heights of the upper and lower lid at `u`, relative to the axis of the eye, negative above.
    pub(super) fn lids(&self, u: f32) -> (f32, f32) {
        // The highest point of the upper lid is off the middle by `peak`, the lowest of the lower one opposite.
        let arch = |u: f32, peak: f32| {
            let v = u - peak * (1.0 - u * u);
            (1.0 - v.abs().powf(2.2)).max(0.0)
        };
        (-self.upper * arch(u, self.peak), self.lower * arch(u, 0.22))
    }
}

/// One eyebrow, from the inner end to the outer one.
pub(super) struct Brow {
    pub(super) eye: Point,
    pub(super) side: f32,
    pub(super) inner: f32,
    pub(super) length: f32,
    pub(super) lift: f32,
    pub(super) inner_drop: f32,
    pub(super) thickness: f32,
}

impl Brow {
    /// Position along the brow, 0 at the inner end and 1 at the outer one, and the height of its middle there.
    pub(super) fn local(&self, x: f32, identity: &Identity) -> (f32, f32) {
        let brows = &identity.brows;
        let t = ((x - self.eye[0]) * self.side - self.inner) / self.length;
        let arch = brows.arch * (1.0 - ((t - 0.62) / 0.62).powi(2)) - brows.arch * 0.3;
        let middle = self.eye[1] - self.lift - arch - brows.tilt * (t - 0.5) * self.length
            + self.inner_drop * step(0.6, 0.0, t);
        (t, middle)
    }
}

/// The line of the mouth and the lips around it.
pub(super) struct MouthLine {
    pub(super) centre: Point,
    pub(super) half_width: f32,
    pub(super) slope: f32,
    pub(super) curve: f32,
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) bow: f32,
    /// Distance between the lips at the middle.
    pub(super) gap: f32,
}

/// Heights at one place of the mouth: outer edge of the upper lip, its inner edge, inner edge of the lower lip,
/// its outer edge.
pub(super) struct Lips {
    pub(super) top: f32,
    pub(super) upper_edge: f32,
    pub(super) lower_edge: f32,
    pub(super) bottom: f32,
}

impl MouthLine {
    pub(super) fn position(&self, x: f32) -> f32 {
        (x - self.centre[0]) / self.half_width
    }

    /// The lips at `u`, -1 and 1 at the corners.
    pub(super) fn lips(&self, u: f32) -> Lips {
        let inside = (1.0 - u * u).max(0.0);
        let line = self.centre[1] + self.slope * u * self.half_width + self.curve * inside
            - 0.5 * self.bow * (1.0 - (u / 0.5).powi(2)).max(0.0);
        let dip = self.bow * (1.0 - (u / 0.24).powi(2)).max(0.0);
        let round = inside.sqrt();
        Lips {
            top: line - 0.3 * self.gap * inside - self.upper * (1.0 - dip) * mix(inside, round, 0.35),
            upper_edge: line - 0.3 * self.gap * inside,
            lower_edge: line + 0.7 * self.gap * inside,
            bottom: line + 0.7 * self.gap * inside + self.lower * mix(inside, round, 0.45),
        }
    }
}

impl<'a> Shape<'a> {
    pub(super) fn new(identity: &'a Identity, expression: &'a Expression) -> Shape<'a> {
        let (smile, open, pucker) = (expression.smile, expression.open, expression.pucker);
        let mut landmarks = identity.landmarks.map(|[x, y]| [x - MIDLINE, y]);
        let gap = 8.5 * open + 1.2 * smile.max(0.0) * open;
        for (corner, side) in [(3, -1.0), (4, 1.0)] {
            let lopsided = 1.0 + side * identity.asymmetry[3] * 2.0;
            landmarks[corner][0] += side * (2.3 * smile * lopsided - 4.0 * pucker - 0.8 * open);
            landmarks[corner][1] += -1.9 * smile * lopsided + 0.25 * gap;
        }
        landmarks[2][1] -= 0.5 * smile.max(0.0);
        let eyes = [(0, -1.0), (1, 1.0)].map(|(i, side)| eye(identity, expression, landmarks[i], side));
        let brows = [(0, -1.0), (1, 1.0)].map(|(i, side)| brow(identity, expression, landmarks[i], side));
        let (left, right) = (landmarks[3], landmarks[4]);
        let half_width = (right[0] - left[0]) / 2.0;
        let mouth = MouthLine {
            centre: [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0],
            half_width,
            slope: (right[1] - left[1]) / (2.0 * half_width),
            curve: identity.mouth.curve + 2.0 * smile - 0.1 * gap,
            upper: identity.mouth.upper * (1.0 - 0.22 * smile.max(0.0) + 0.2 * pucker),
            lower: identity.mouth.lower * (1.0 - 0.15 * smile.max(0.0) + 0.2 * pucker),
            bow: identity.mouth.bow * (1.0 - 0.4 * smile.max(0.0)),
            gap,
        };
        let chin = identity.skull.chin_height + 0.75 * gap;
        let [width, front, edge] = profile(identity, chin);
        Shape { identity, expression, landmarks, eyes, brows, mouth, chin, width, front, edge }
    }

    /// Half width of the head at height `y`.
    pub(super) fn width(&self, y: f32) -> f32 {
        self.width.at(y).max(0.0).sqrt()
    }

    /// z of the midline, without features, at height `y`.
    pub(super) fn front(&self, y: f32) -> f32 {
        self.front.at(y).max(0.0).sqrt()
    }

    /// z of the outline at height `y`.
    pub(super) fn edge(&self, y: f32) -> f32 {
        self.edge.at(y)
    }
}

fn eye(identity: &Identity, expression: &Expression, centre: Point, side: f32) -> Eye {
    let (eyes, lopsided) = (&identity.eyes, 1.0 + side * identity.asymmetry[0]);
    // Looking down takes the upper lid along.
    let lids = (expression.lids + 0.3 * expression.gaze[1].max(0.0)).min(1.0);
    let squint = 0.35 * expression.smile.max(0.0);
    Eye {
        centre,
        side,
        half_width: eyes.half_width,
        upper: mix(eyes.upper * lopsided, -eyes.lower * 0.55, lids),
        lower: eyes.lower * (1.0 - squint) * lopsided,
        tilt: eyes.tilt,
        peak: eyes.peak,
    }
}

fn brow(identity: &Identity, expression: &Expression, eye: Point, side: f32) -> Brow {
    let (brows, lopsided) = (&identity.brows, side * identity.asymmetry[1]);
    let frown = (-expression.brows).max(0.0);
    Brow {
        eye,
        side,
        inner: brows.inner - 1.2 * frown,
        length: brows.length - brows.inner,
        lift: brows.height * (1.0 + lopsided) + 2.6 * expression.brows.max(0.0) - 1.2 * frown,
        inner_drop: 2.0 * frown,
        thickness: brows.thickness * (1.0 + 0.5 * lopsided),
    }
}

/// Splines over y: squared half width, squared z of the midline, z of the outline. Squares make the ends round.
fn profile(identity: &Identity, chin: f32) -> [Spline; 3] {
    let skull = &identity.skull;
    let crown = skull.crown_height;
    let square = |v: f32| v * v;
    let jaw = chin - 22.0;
    let width = Spline::new(&[
        [crown, 0.0],
        [crown + 8.0, square(skull.cranium * 0.66)],
        [crown + 18.0, square(skull.cranium * 0.9)],
        [26.0, square(skull.cranium)],
        [46.0, square(skull.temple)],
        [62.0, square(skull.cheekbone)],
        [jaw - 12.0, square(mix(skull.cheekbone, skull.jaw, 0.55))],
        [jaw, square(skull.jaw)],
        [chin - 9.0, square(mix(skull.jaw, skull.chin, 0.52))],
        [chin - 2.6, square(skull.chin)],
        [chin - 0.7, square(skull.chin * 0.7)],
        [chin, square(skull.chin * 0.3)],
    ]);
    let slope = skull.forehead_slope;
    let front = Spline::new(&[
        [crown, 0.0],
        [crown + 6.0, square(27.0)],
        [4.0, square(41.5 - slope)],
        [20.0, square(47.0 - 0.6 * slope)],
        [36.0, square(50.0)],
        [52.0, square(49.0)],
        [74.0, square(50.0)],
        [92.0, square(51.0)],
        [chin - 7.0, square(50.0 + 0.4 * skull.chin_forward)],
        [chin, square(46.0 + 0.4 * skull.chin_forward)],
    ]);
    let edge = Spline::new(&[
        [64.0, 0.0],
        [jaw - 8.0, 3.0],
        [jaw, 9.0],
        [chin - 9.0, 24.0],
        [chin - 2.5, 35.0],
        [chin, 40.0],
    ]);
    [width, front, edge]
}
