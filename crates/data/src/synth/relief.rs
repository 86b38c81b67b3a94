//! The relief of the features: how far the skin stands forward of the smooth head.

use super::curve::{bump, hill, mix, segment, step};
use super::shape::Shape;

/// Forward displacement of the skin at (`x`, `y`) of face space, in pixels.
pub(super) fn relief(shape: &Shape, x: f32, y: f32) -> f32 {
    if !(12.0..=shape.chin + 6.0).contains(&y) {
        return 0.0;
    }
    let mut z = nose(shape, x, y);
    if y < 66.0 {
        z += eyes_and_brows(shape, x, y);
    }
    if y > 54.0 {
        z += lower_face(shape, x, y);
    }
    z
}

fn eyes_and_brows(shape: &Shape, x: f32, y: f32) -> f32 {
    let identity = shape.identity;
    let (eyes, skull) = (&identity.eyes, &identity.skull);
    let mut z = 0.0;
    for (eye, brow) in shape.eyes.iter().zip(&shape.brows) {
        let (dx, dy) = (x - eye.centre[0], y - eye.centre[1]);
        if dx.abs() > 20.0 {
            continue;
        }
        z -= eyes.depth * hill(dx, dy + 1.0, 15.0, 9.5);
        z -= 0.5 * eyes.depth * hill(dx + 7.5 * eye.side, dy + 2.5, 6.0, 6.0);
        z += 2.6 * hill(dx, dy, eyes.half_width + 1.0, 5.8);
        let lift = brow.lift;
        z += (1.0 + skull.brow_ridge) * hill(dx + 1.0 * eye.side, dy + lift - 1.0, 15.0, 6.0);
        z += 0.5 * eyes.crease * hill(dx - 2.0 * eye.side, dy + 7.0, 9.0, 3.0);
        z -= 0.9 * eyes.bag * bump(((dy - 6.2 + 0.02 * dx * dx) / 1.9).powi(2)) * bump((dx / 9.5).powi(2));
        z += 0.6 * eyes.bag * hill(dx, dy - 4.4, 8.5, 2.6);
    }
    z += 0.6 * skull.brow_ridge * hill(x, y - 43.0, 9.0, 8.0);
    z -= 2.2 * hill(x.abs() - 34.0, y - 40.0, 9.0, 15.0);
    let furrows = identity.skin.wrinkles * (0.35 + 0.9 * shape.expression.brows.max(0.0));
    if furrows > 0.02 && y < 40.0 {
        let wave = (y * 1.15 + 0.6 * (x * 0.11).sin() + identity.skin.texture as f32 * 1e-9).sin();
        z += 0.55 * furrows * wave * hill(x, y - 29.0, 26.0, 11.0);
    }
    let frown = (-shape.expression.brows).max(0.0) + 0.4 * identity.skin.wrinkles;
    z - 1.0 * frown * hill(x.abs() - 3.2, y - 42.0, 1.8, 6.0)
}

fn nose(shape: &Shape, x: f32, y: f32) -> f32 {
    let own = &shape.identity.nose;
    let tip = shape.landmarks[2];
    let root = (shape.landmarks[0][1] + shape.landmarks[1][1]) / 2.0 - 4.5;
    if !(root - 6.0..tip[1] + 12.0).contains(&y) {
        return 0.0;
    }
    let t = (y - root) / (tip[1] - root);
    let dx = x - tip[0] * t.clamp(0.0, 1.0);
    if dx.abs() > 19.0 {
        return 0.0;
    }
    let smile = shape.expression.smile.max(0.0);
    let wing = own.wing * (1.0 + 0.1 * smile);
    let height = if t < 1.0 {
        let rise = t.max(0.0);
        own.root * step(-0.35, 0.12, t)
            + (own.projection - own.root) * rise.powf(1.35)
            + own.hump * (std::f32::consts::PI * rise).sin()
    } else {
        // Under the tip the nose runs back to the lip within about seven pixels.
        let under = (y - tip[1] + 0.035 * dx * dx) / (8.6 + own.droop);
        own.projection * (1.0 - step(-0.1, 1.0, under))
    };
    let half = mix(own.bridge_width, own.tip + 2.0, step(0.2, 1.0, t));
    let mut z = height * bump((dx / (half * 1.75)).powi(2));
    z += 0.36 * own.tip * hill(dx, y - tip[1] - 0.2 + 0.3 * own.droop, own.tip * 1.15, own.tip);
    for side in [-1.0, 1.0] {
        z += 4.4 * hill(dx - side * wing * 0.66, y - tip[1] - own.wing_height, wing * 0.6, 5.6);
        // The crease behind the wing.
        z -= 0.9 * hill(dx - side * (wing + 1.7), y - tip[1] - own.wing_height + 0.5, 2.2, 5.0);
    }
    z
}

fn lower_face(shape: &Shape, x: f32, y: f32) -> f32 {
    let identity = shape.identity;
    let (skull, own, mouth) = (&identity.skull, &identity.mouth, &shape.mouth);
    let smile = shape.expression.smile.max(0.0);
    let away = x.abs();
    let mut z = (skull.cheek + 1.6 * smile) * hill(away - 21.0, y - 68.0 + 2.0 * smile, 14.0, 12.0);
    z -= skull.hollow * hill(away - 25.0, y - 87.0, 10.0, 13.0);
    let (dx, dy) = (x - mouth.centre[0], y - mouth.centre[1]);
    z += own.forward * hill(dx, dy, mouth.half_width + 7.0, 17.0);
    if dx.abs() < mouth.half_width + 3.0 && dy.abs() < 20.0 {
        let u = mouth.position(x);
        let lips = mouth.lips(u.clamp(-1.0, 1.0));
        let inside = bump(u * u * 0.9);
        let thick = |top: f32, bottom: f32| {
            let half = ((bottom - top) / 2.0).max(0.6);
            bump(((y - (top + bottom) / 2.0) / (half * 1.25)).powi(2))
        };
        let pout = own.fullness * (1.0 + 1.2 * shape.expression.pucker);
        z += inside * pout * (thick(lips.top, lips.upper_edge) + 1.15 * thick(lips.lower_edge, lips.bottom));
        z -= 0.8 * inside.sqrt() * bump(((y - lips.upper_edge) / 1.5).powi(2));
        z -= 0.7 * hill(dx, y - (mouth.centre[1] - mouth.upper - 6.5), 2.6, 6.0);
    }
    let below = mouth.centre[1] + mouth.lower + 0.7 * mouth.gap;
    z -= 2.0 * hill(dx, y - below - 4.2, 13.0, 4.6);
    z += skull.chin_forward * hill(x, y - shape.chin + 6.5, 11.5, 7.5);
    z -= skull.cleft * hill(x, y - shape.chin + 5.5, 1.7, 5.0);
    let tip = shape.landmarks[2];
    for (corner, side) in [(3, -1.0), (4, 1.0)] {
        let end = shape.landmarks[corner];
        z -= 1.0 * hill(x - end[0] - side * 0.8, y - end[1], 3.2, 3.2);
        let from = [tip[0] + side * (identity.nose.wing + 1.5), tip[1] - 1.0];
        let to = [end[0] + side * (3.8 + 1.5 * smile), end[1] + 0.5];
        let fold = own.fold * 0.9 + 1.1 * smile;
        // The cheek side of the fold is higher than the lip side.
        let distance = segment([x, y], from, to);
        z -= fold * bump((distance / 2.6).powi(2));
    }
    z
}
