//! From face space to the picture: the turn of the head, the lens, and alignment to the template.

use face::Template;

use super::frame::{Point, Similarity, TEMPLATE, canvas, fit};
use super::nuisance::{Misalignment, Pose};

/// What the head turns about, in face space.
const PIVOT: [f32; 3] = [0.0, 74.0, 0.0];

/// A turned head seen by a camera.
pub(super) struct View {
    rotation: [[f32; 3]; 3],
    nearness: f32,
    alignment: Similarity,
}

impl View {
    /// The view that aligns `landmarks` (face space) to `template`, then adds `misalignment`.
    pub(super) fn aligned(
        pose: &Pose,
        landmarks: &[[f32; 3]; 5],
        misalignment: &Misalignment,
        template: &Template,
    ) -> View {
        let plain = Similarity { a: 1.0, b: 0.0, shift: [0.0, 0.0] };
        let mut view = View { rotation: rotation(pose), nearness: pose.nearness, alignment: plain };
        let seen = landmarks.map(|p| view.project(view.turn(p)));
        let error =
            Similarity::about([48.0, 70.0], misalignment.turn, misalignment.scale, misalignment.shift);
        view.alignment = fit(&seen, &TEMPLATE).then(&error).then(&canvas(template));
        view
    }

    /// The view of the body below this head, which turns less than the head.
    pub(super) fn of_body(&self, pose: &Pose) -> View {
        let less = Pose { yaw: 0.35 * pose.yaw, pitch: 0.15 * pose.pitch, roll: 0.6 * pose.roll, ..*pose };
        View { rotation: rotation(&less), nearness: self.nearness, alignment: self.alignment }
    }

    /// Camera space of a point of face space: the same axes, turned.
    pub(super) fn turn(&self, p: [f32; 3]) -> [f32; 3] {
        let q = [p[0] - PIVOT[0], p[1] - PIVOT[1], p[2] - PIVOT[2]];
        let row = |r: [f32; 3]| r[0] * q[0] + r[1] * q[1] + r[2] * q[2];
        let r = &self.rotation;
        [row(r[0]) + PIVOT[0], row(r[1]) + PIVOT[1], row(r[2]) + PIVOT[2]]
    }

    /// Place in the picture of a point of camera space.
    pub(super) fn project(&self, p: [f32; 3]) -> Point {
        let zoom = 1.0 / (1.0 - self.nearness * (p[2] - 50.0)).max(0.1);
        self.alignment.apply([p[0] * zoom, PIVOT[1] + (p[1] - PIVOT[1]) * zoom])
    }

    /// Size of things in the picture relative to face space.
    pub(super) fn scale(&self) -> f32 {
        self.alignment.a.hypot(self.alignment.b)
    }
}

/// Roll after pitch after yaw.
fn rotation(pose: &Pose) -> [[f32; 3]; 3] {
    let (sy, cy) = pose.yaw.sin_cos();
    let (sp, cp) = pose.pitch.sin_cos();
    let (sr, cr) = pose.roll.sin_cos();
    let yaw = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
    let pitch = [[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]];
    let roll = [[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]];
    product(&roll, &product(&pitch, &yaw))
}

fn product(a: &[[f32; 3]; 3], b: &[[f32; 3]; 3]) -> [[f32; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}
