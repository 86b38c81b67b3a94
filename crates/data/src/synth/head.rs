//! The sheets of skin: head, ears, and the body below.

use super::curve::{bump, hill, mix, step};
use super::relief::relief;
use super::shape::Shape;
use super::sheet::{Material, Sheet};

const COLUMNS: usize = 73;
const ROWS: usize = 80;
/// The head reaches this far around, in radians from the front.
const AROUND: f32 = 2.2;
/// How far the head reaches back behind its outline.
const BACK: f32 = 46.0;

/// A point of a cross section with the half width, front and edge given.
pub(super) fn around(width: f32, front: f32, edge: f32, angle: f32, squareness: f32) -> [f32; 3] {
    let (sine, cosine) = (angle.sin(), angle.cos());
    let x = width * sine.signum() * sine.abs().powf(squareness);
    let z = if cosine >= 0.0 {
        edge + (front - edge) * cosine.powf(squareness)
    } else {
        edge + front.min(BACK) * cosine
    };
    [x, 0.0, z]
}

/// The skin of the head. `hair_edge` gives the height over which hair covers the skin at an angle, and
/// `hair_shadow` how much the hair shades what is just below.
pub(super) fn head(shape: &Shape, hair_edge: &dyn Fn(f32) -> f32, hair_shadow: f32, beard: f32) -> Sheet {
    let mut sheet = Sheet::new(Material::Skin, COLUMNS, ROWS);
    let identity = shape.identity;
    let squareness = identity.skull.squareness;
    let columns: Vec<(f32, f32, f32, f32)> = (0..COLUMNS)
        .map(|j| {
            let t = 2.0 * j as f32 / (COLUMNS - 1) as f32 - 1.0;
            // Denser in front, where the features are.
            let angle = AROUND * (0.62 * t + 0.38 * t * t * t);
            let (s, c) = (angle.sin(), angle.cos());
            (
                angle,
                s.signum() * s.abs().powf(squareness),
                c.signum() * c.abs().powf(squareness),
                hair_edge(angle),
            )
        })
        .collect();
    let crown = identity.skull.crown_height;
    let mut forward = Vec::with_capacity(COLUMNS * ROWS);
    for row in 0..ROWS {
        let t = row as f32 / (ROWS - 1) as f32;
        let y = mix(crown, shape.chin, t);
        // The crown closes like a sphere, so its rows are closer.
        let y = if t < 0.12 { mix(crown, y, t / 0.12) } else { y };
        let (width, front, edge) = (shape.width(y), shape.front(y), shape.edge(y));
        for &(_, sine, cosine, hair) in &columns {
            let x = width * sine;
            let mut z =
                if cosine >= 0.0 { edge + (front - edge) * cosine } else { edge + front.min(BACK) * cosine };
            let ahead = if cosine > 0.0 { step(0.0, 0.4, cosine) * relief(shape, x, y) } else { 0.0 };
            z += ahead;
            forward.push(ahead);
            let shade = 1.0 - hair_shadow * step(9.0, -2.0, y - hair);
            let values = [x, y, 0.0, 0.0, 0.0, 0.0, blush(shape, x, y), beard * beard_density(shape, x, y)];
            sheet.push([x, y, z], values, shade);
        }
    }
    occlude(&mut sheet, &forward);
    sheet
}

/// Hollows get less light from the surroundings: the openness falls where the relief is lower than its
/// neighbourhood.
fn occlude(sheet: &mut Sheet, forward: &[f32]) {
    let blurred = blur(&blur(forward, Axis::Row), Axis::Column);
    for ((openness, around), here) in sheet.openness.iter_mut().zip(&blurred).zip(forward) {
        *openness *= 1.0 - (0.11 * (around - here)).clamp(-0.08, 0.5);
    }
}

/// Mean over the nine nearest along rows or along columns; beyond the border the value at hand counts again.
fn blur(values: &[f32], along: Axis) -> Vec<f32> {
    let (stride, length) = match along {
        Axis::Row => (1, COLUMNS),
        Axis::Column => (COLUMNS, ROWS),
    };
    let mean = |i: usize| {
        let place = i / stride % length;
        let near = |k: usize| {
            if (4..length + 4).contains(&(place + k)) {
                values[i + k * stride - 4 * stride]
            } else {
                values[i]
            }
        };
        (0..9).map(near).sum::<f32>() / 9.0
    };
    (0..values.len()).map(mean).collect()
}

/// A direction in the grid of the head.
#[derive(Clone, Copy)]
enum Axis {
    Row,
    Column,
}

fn blush(shape: &Shape, x: f32, y: f32) -> f32 {
    let tip = shape.landmarks[2];
    let cheeks = hill(x.abs() - 21.0, y - 72.0, 17.0, 15.0);
    let nose = 0.7 * hill(x - tip[0], y - tip[1], 10.0, 9.0);
    let lids: f32 = shape.eyes.iter().map(|e| 0.4 * hill(x - e.centre[0], y - e.centre[1], 13.0, 8.0)).sum();
    cheeks + nose + lids
}

fn beard_density(shape: &Shape, x: f32, y: f32) -> f32 {
    if y < 58.0 {
        return 0.0;
    }
    let (hair, mouth) = (&shape.identity.hair, &shape.mouth);
    let tip = shape.landmarks[2];
    let u = mouth.position(x);
    let lips = mouth.lips(u.clamp(-1.0, 1.0));
    // The moustache ends at the upper lip, and thins and falls towards the corners of the mouth.
    let fall = 3.0 * u * u;
    let moustache = step(tip[1] + 7.0 + fall, tip[1] + 11.5 + fall, y)
        * step(lips.top + 1.6, lips.top - 1.0, y - 2.5 * (u.abs() - 0.8).max(0.0))
        * step(1.3, 0.75, u.abs());
    let around_mouth = bump(((x - mouth.centre[0]) / 26.0).powi(2))
        * step(lips.bottom + 0.6, lips.bottom + 3.0, y)
        + step(1.05, 1.3, u.abs())
            * step(1.9, 1.4, u.abs())
            * step(mouth.centre[1] - 6.0, mouth.centre[1] + 2.0, y);
    let line = mix(92.0, 68.0, step(16.0, 36.0, x.abs()));
    let cheeks = step(line - 4.0, line + 5.0, y) * step(1.2, 1.6, u.abs().max((y - lips.bottom) / 8.0));
    (hair.moustache * moustache)
        .max(hair.chin_beard * around_mouth.min(1.0) * step(24.0, 16.0, x.abs()))
        .max(hair.cheek_beard * cheeks)
}

/// One ear; `side` is -1 for the left of the picture.
pub(super) fn ear(shape: &Shape, side: f32) -> Sheet {
    let own = &shape.identity.ears;
    let (across, along) = (10, 15);
    let mut sheet = Sheet::new(Material::Ear, across, along);
    let angle = own.protrusion.clamp(0.25, 1.1) * (1.0 + side * shape.identity.asymmetry[4]);
    let (outward, back) = (angle.sin(), -angle.cos());
    for row in 0..along {
        let q = 2.0 * row as f32 / (along - 1) as f32 - 1.0;
        let y = own.middle + own.height * q;
        let reach = own.width * (1.0 - q * q).max(0.0).powf(0.42) * (1.0 - 0.22 * (q + 0.25));
        // The front of the ear runs down along the side of the head, and leans back a little above.
        let start = shape.width(own.middle) * (0.975 - 0.015 * q);
        for column in 0..across {
            // Columns run left to right in the picture, so that the sheet faces the viewer.
            let place = column as f32 / (across - 1) as f32;
            let p = if side > 0.0 { place } else { 1.0 - place };
            let rim = step(0.6, 0.85, p.max(q.abs())) * step(1.1, 0.9, p);
            let bowl = hill(p - 0.32, q - 0.1, 0.42, 0.6);
            let lift = 1.6 * rim - 2.0 * bowl;
            let x = side * (start + reach * p * outward) + side * lift * 0.4;
            let z = 2.0 + 2.5 * q + reach * p * back + lift;
            let openness = (0.92 - 0.75 * bowl - 0.15 * (1.0 - rim)).max(0.2);
            sheet.push([x, y, z], [x, y, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0], openness);
        }
    }
    sheet
}

/// Neck and shoulders.
pub(super) fn body(shape: &Shape) -> Sheet {
    let (columns, rows) = (31, 26);
    let mut sheet = Sheet::new(Material::Body, columns, rows);
    let neck = shape.identity.skull.neck;
    for row in 0..rows {
        let y = 84.0 + 3.2 * row as f32;
        let flare = step(124.0, 150.0, y);
        let width = neck * (1.0 + 0.12 * step(100.0, 126.0, y)) + 52.0 * flare;
        let front = 20.0 + 10.0 * flare + 3.0 * step(112.0, 130.0, y);
        for column in 0..columns {
            let angle = 2.0 * (2.0 * column as f32 / (columns - 1) as f32 - 1.0);
            let [x, _, z] = around(width, front, -6.0, angle, 1.0);
            let shade = 1.0 - 0.62 * step(138.0, 108.0, y);
            sheet.push([x, y, z], [x, y, 0.0, 0.0, 0.0, 0.0, 0.15, 0.0], shade);
        }
    }
    debug_assert_eq!(sheet.points.len(), columns * rows);
    sheet
}
