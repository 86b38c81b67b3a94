//! Things in front of the face: glasses, hands, bars.

use super::curve::{Colour, blend, hill, length, mix, scale, segment, step};
use super::frame::Point;
use super::nuisance::{Glasses, Light, Obstacle};
use super::shape::Shape;
use super::view::View;

/// What covers a sample: its colour and how much of it is seen; 0 is nothing.
pub(super) struct Cover {
    pub(super) colour: Colour,
    pub(super) share: f32,
}

const NONE: Cover = Cover { colour: [0.0; 3], share: 0.0 };

/// Glasses on a turned head.
pub(super) struct Worn<'a> {
    glasses: &'a Glasses,
    lenses: [Lens; 2],
    bridge: [Point; 2],
    /// From the outer end of each lens to the ear: place and depth.
    arms: [[[f32; 3]; 2]; 2],
    scale: f32,
    light: Colour,
}

/// The plane of a lens in the picture: its middle, and the inverse of its two axes.
struct Lens {
    middle: Point,
    inverse: [[f32; 2]; 2],
}

impl<'a> Worn<'a> {
    pub(super) fn new(glasses: &'a Glasses, shape: &Shape, view: &View, light: &Light) -> Worn<'a> {
        let z = 47.5;
        let place = |p: [f32; 3]| view.project(view.turn(p));
        let middle = |i: usize| {
            let eye = &shape.eyes[i];
            [eye.centre[0] + 0.6 * eye.side, eye.centre[1] + 1.2, z]
        };
        let lenses = [0, 1].map(|i| {
            let (m, side) = (middle(i), shape.eyes[i].side);
            let origin = place(m);
            // The lenses bend back a little towards the temples.
            let (across, down) =
                (place([m[0] + 1.0, m[1], m[2] - 0.18 * side]), place([m[0], m[1] + 1.0, m[2] - 0.08]));
            let (a, c) = (across[0] - origin[0], across[1] - origin[1]);
            let (b, d) = (down[0] - origin[0], down[1] - origin[1]);
            let determinant = a * d - b * c;
            let determinant = if determinant.abs() < 0.05 { 0.05 } else { determinant };
            Lens {
                middle: origin,
                inverse: [[d / determinant, -b / determinant], [-c / determinant, a / determinant]],
            }
        });
        let end = |i: usize, inward: f32| {
            let (m, side) = (middle(i), shape.eyes[i].side);
            place([m[0] + inward * side * glasses.lens[0], m[1] - 2.0, z])
        };
        let arms = [0, 1].map(|i| {
            let (m, side) = (middle(i), shape.eyes[i].side);
            let head = shape.width(54.0) + 1.5;
            let points =
                [[m[0] + side * glasses.lens[0], m[1] - 3.0, z - 2.0], [side * head, m[1] - 1.0, -4.0]];
            points.map(|p| {
                let turned = view.turn(p);
                let [x, y] = view.project(turned);
                [x, y, turned[2]]
            })
        });
        let light = std::array::from_fn(|c| light.ambient[c] + 0.55 * light.lamp[c]);
        Worn { glasses, lenses, bridge: [end(0, -1.0), end(1, -1.0)], arms, scale: view.scale(), light }
    }

    /// What covers the place `p` of the picture, over skin at `depth` (camera space).
    pub(super) fn cover(&self, p: Point, depth: f32) -> Cover {
        let g = self.glasses;
        let frame = [0, 1, 2].map(|c| g.colour[c] * self.light[c]);
        let rim = g.rim * 0.5;
        let mut inside_lens = false;
        for lens in &self.lenses {
            let (dx, dy) = (p[0] - lens.middle[0], p[1] - lens.middle[1]);
            let local = [
                lens.inverse[0][0] * dx + lens.inverse[0][1] * dy,
                lens.inverse[1][0] * dx + lens.inverse[1][1] * dy,
            ];
            let round = mix(2.5, g.lens[0].min(g.lens[1]), g.roundness);
            let (qx, qy) = (local[0].abs() - g.lens[0] + round, local[1].abs() - g.lens[1] + round);
            let distance = length(qx.max(0.0), qy.max(0.0)) + qx.max(qy).min(0.0) - round;
            let on_rim = step(rim + 0.35, rim - 0.35, distance.abs());
            if on_rim > 0.0 {
                let bright = 1.0 + 0.5 * step(0.0, -rim, distance);
                return Cover { colour: scale(frame, bright), share: on_rim };
            }
            inside_lens |= distance < 0.0;
            if inside_lens {
                // A slanted reflection of a window.
                let band = (local[0] * 0.8 + local[1]) / g.lens[0];
                let glare = 0.1 * step(0.15, 0.3, band) * step(0.75, 0.5, band);
                let tint = scale(self.light, mix(0.03, 0.35, glare));
                return Cover { colour: blend(tint, self.light, glare), share: (g.tint + glare).min(0.96) };
            }
        }
        let bridge = segment(p, self.bridge[0], self.bridge[1]) / self.scale;
        if bridge < rim + 0.5 {
            return Cover { colour: frame, share: step(rim + 0.5, rim - 0.2, bridge) };
        }
        for [from, to] in &self.arms {
            let span = (to[0] - from[0]).abs().max(0.5);
            let t = ((p[0] - from[0]).abs() / span).clamp(0.0, 1.0);
            if mix(from[2], to[2], t) + 3.0 < depth {
                continue;
            }
            let distance = segment(p, [from[0], from[1]], [to[0], to[1]]) / self.scale;
            if distance < rim + 0.6 {
                return Cover { colour: scale(frame, 0.8), share: step(rim + 0.6, rim, distance) };
            }
        }
        NONE
    }
}

/// What `obstacle` hides at the place (`x`, `y`) of a crop 96 wide.
pub(super) fn cover(obstacle: &Obstacle, light: &Light, x: f32, y: f32) -> Cover {
    let lit = |n: [f32; 3], colour: Colour| -> Colour {
        let l = light.direction;
        let lamp = (n[0] * l[0] + n[1] * l[1] + n[2] * l[2] + 0.2).max(0.0) / 1.2;
        std::array::from_fn(|c| colour[c] * (light.ambient[c] * (0.85 - 0.15 * n[1]) + light.lamp[c] * lamp))
    };
    match obstacle {
        Obstacle::Bar { at, angle, half_width, colour } => {
            let (dx, dy) = (x - at[0], y - at[1]);
            let off = (-dx * angle.sin() + dy * angle.cos()) / half_width;
            let n = off.clamp(-1.0, 1.0);
            let normal = [-n * angle.sin(), n * angle.cos(), (1.0 - 0.9 * n * n).sqrt()];
            Cover {
                colour: lit(normal, *colour),
                share: step(1.0 + 0.6 / half_width, 1.0 - 0.6 / half_width, off.abs()),
            }
        }
        Obstacle::Hand { at, angle, colour } => hand([x - at[0], y - at[1]], *angle, *colour, &lit),
    }
}

/// Four fingers and a palm, in their own axes: `u` along the fingers, `v` across.
fn hand(d: Point, angle: f32, colour: Colour, lit: &dyn Fn([f32; 3], Colour) -> Colour) -> Cover {
    let (s, c) = angle.sin_cos();
    let (u, v) = (d[0] * c + d[1] * s, -d[0] * s + d[1] * c);
    let mut best: Option<(f32, [f32; 3], f32)> = None;
    for finger in 0..4 {
        let place = (finger as f32 - 1.5) * 6.9;
        let reach = [22.0, 28.0, 30.0, 26.0][finger];
        let radius = 3.9 - 0.7 * (u / reach).clamp(0.0, 1.0);
        let along = u.clamp(0.0, reach);
        let (du, dv) = (u - along, v - place * (1.0 + 0.006 * along));
        let distance = length(du, dv);
        if distance < radius + 0.4 {
            let up = (radius * radius - distance * distance).max(0.1).sqrt();
            if best.is_none_or(|(height, _, _)| up > height) {
                let nail = hill(u - reach - 0.6, dv, 3.0, 2.6);
                let knuckle = hill(u - 0.45 * reach, dv, 1.6, 4.5);
                // Fingers run into the back of the hand.
                let apart = step(-1.0, 9.0, u);
                let normal = [apart * du / radius, apart * dv / radius, mix(0.9, up / radius, apart)];
                best = Some((mix(4.0, up, apart), normal, 1.0 + 0.18 * nail - 0.16 * knuckle));
            }
        }
    }
    if best.is_none() && u < 3.0 && v.abs() < 14.5 - 0.004 * (u + 12.0).powi(2) && u > -60.0 {
        best = Some((4.0, [0.0, 0.8 * (v / 15.0).powi(5), 0.9], 1.0));
    }
    best.map_or(NONE, |(height, local, tone)| {
        let normal = [local[0] * c - local[1] * s, local[0] * s + local[1] * c, local[2]];
        // Fingers touch each other: darker between them.
        let shade = tone * mix(0.62, 1.0, step(0.2, 2.4, height));
        let warm = [colour[0] * shade, colour[1] * shade * shade.min(1.0).sqrt(), colour[2] * shade];
        Cover { colour: lit(normal, warm), share: 1.0 }
    })
}
