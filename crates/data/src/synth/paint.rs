//! What the skin looks like at a place: tone, marks, brows, beard; and the eyes and the mouth in it.

use super::curve::{Colour, blend, filter, hill, length, mix, scale, step};
use super::draw::{hash, noise};
use super::nuisance::Light;
use super::shape::{Eye, Shape};
use super::sheet::{Attribute, Values};

/// The look of one sample: what share of light returns, and how much is mirrored.
pub(super) struct Look {
    pub(super) albedo: Colour,
    pub(super) shine: f32,
    /// Light added on top: the glint of an eye.
    pub(super) glint: f32,
}

/// Everything about the skin that is the same for all samples of a picture.
pub(super) struct Painter<'a> {
    shape: &'a Shape<'a>,
    lips: Colour,
    brow: Colour,
    beard: Colour,
    glint: [f32; 2],
    glint_strength: f32,
}

impl<'a> Painter<'a> {
    pub(super) fn new(shape: &'a Shape<'a>, lipstick: f32, light: &Light) -> Painter<'a> {
        let skin = &shape.identity.skin;
        let painted = filter(skin.lips, [1.05, 0.4, 0.5]);
        Painter {
            shape,
            lips: blend(skin.lips, painted, lipstick),
            brow: shape.identity.hair.brow_colour,
            beard: scale(shape.identity.hair.brow_colour, 1.1),
            glint: [light.direction[0] * 1.5, light.direction[1] * 1.5],
            glint_strength: 0.9 * light.lamp[1] * step(0.0, 0.4, light.direction[2]),
        }
    }

    /// The look of the face at the place in `values`.
    pub(super) fn face(&self, values: &Values) -> Look {
        let (x, y) = (values[Attribute::X], values[Attribute::Y]);
        let mut look = self.skin(values);
        if y < 64.0 {
            for (eye, side) in self.shape.eyes.iter().zip([0, 1]) {
                let (dx, dy) = (x - eye.centre[0], y - eye.centre[1]);
                if dx.abs() < 22.0 && (-24.0..-3.0).contains(&dy) {
                    self.brow(&mut look, side, x, y);
                }
                if dx.abs() < 14.0 && dy.abs() < 10.0 {
                    self.eye(&mut look, eye, x, y);
                }
            }
        } else {
            self.nostrils(&mut look, x, y);
            let mouth = &self.shape.mouth;
            if (x - mouth.centre[0]).abs() < mouth.half_width + 3.0 && (y - mouth.centre[1]).abs() < 20.0 {
                self.mouth(&mut look, x, y);
            }
        }
        look
    }

    /// Whether the place in `values` is near a feature, so that a pixel there needs all its samples.
    pub(super) fn detailed(&self, values: &Values) -> bool {
        let (x, y) = (values[Attribute::X], values[Attribute::Y]);
        let mouth = &self.shape.mouth;
        let tip = self.shape.landmarks[2];
        self.shape
            .eyes
            .iter()
            .any(|e| (x - e.centre[0]).abs() < 14.0 && (-18.0..6.0).contains(&(y - e.centre[1])))
            || (x - mouth.centre[0]).abs() < mouth.half_width + 2.5
                && (y - mouth.centre[1] - 0.3 * mouth.gap).abs() < 8.5 + 0.5 * mouth.gap
            || (x - tip[0]).abs() < 12.0 && (-3.0..8.0).contains(&(y - tip[1]))
    }

    /// The look of bare skin: tone, blush, mottling, freckles, moles and beard.
    pub(super) fn skin(&self, values: &Values) -> Look {
        let skin = &self.shape.identity.skin;
        let (x, y) = (values[Attribute::X], values[Attribute::Y]);
        let blush = skin.blush * values[Attribute::BLUSH];
        let mut albedo = [
            skin.colour[0] * (1.0 - 0.03 * blush),
            skin.colour[1] * (1.0 - 0.2 * blush),
            skin.colour[2] * (1.0 - 0.17 * blush),
        ];
        let mottle = 1.0 + 0.055 * skin.mottle * noise(x * 0.21, y * 0.21, skin.texture);
        albedo = scale(albedo, mottle);
        if skin.freckles > 0.0 {
            let freckle = skin.freckles * self.freckles(x, y);
            albedo = [
                albedo[0] * (1.0 - 0.22 * freckle),
                albedo[1] * (1.0 - 0.38 * freckle),
                albedo[2] * (1.0 - 0.45 * freckle),
            ];
        }
        for mole in &skin.moles {
            let (dx, dy) = (x - mole[0], y - mole[1]);
            if dx.abs() < 2.5 && dy.abs() < 2.5 {
                let dark = 0.75 * step(mole[2] + 0.4, mole[2] - 0.4, length(dx, dy));
                albedo = [
                    albedo[0] * (1.0 - 0.75 * dark),
                    albedo[1] * (1.0 - 0.85 * dark),
                    albedo[2] * (1.0 - 0.88 * dark),
                ];
            }
        }
        let mut shine = skin.shine;
        let beard = values[Attribute::BEARD];
        if beard > 0.01 {
            let strands = noise(x * 1.1 + 0.2 * y, y * 0.75, skin.texture ^ 3);
            let cover = (beard * 1.1 + 0.6 * strands * beard.min(1.0 - beard + 0.35)).clamp(0.0, 0.9);
            albedo = blend(albedo, scale(self.beard, 1.0 + 0.35 * strands), cover);
            shine *= 1.0 - 0.8 * cover;
        }
        Look { albedo, shine, glint: 0.0 }
    }

    fn freckles(&self, x: f32, y: f32) -> f32 {
        let texture = self.shape.identity.skin.texture;
        let area = hill(x, y - 66.0, 36.0, 26.0) + 0.3 * hill(x, y - 30.0, 34.0, 20.0);
        let (column, row) = ((x / 2.6).floor(), (y / 2.6).floor());
        let bits = hash(column as i32, row as i32, texture);
        let part = |shift: u32| ((bits >> shift) & 255) as f32 / 255.0;
        let (dx, dy) = (x / 2.6 - column - 0.3 - 0.4 * part(0), y / 2.6 - row - 0.3 - 0.4 * part(8));
        let radius = 0.12 + 0.2 * part(16);
        area * step(1.0, 0.5, (dx * dx + dy * dy).sqrt() / radius) * step(0.35, 0.6, part(24))
    }

    fn brow(&self, look: &mut Look, side: usize, x: f32, y: f32) {
        let identity = self.shape.identity;
        let brow = &self.shape.brows[side];
        let (t, middle) = brow.local(x, identity);
        if !(-0.1..1.1).contains(&t) {
            return;
        }
        let taper = mix(1.0, 0.25, step(identity.brows.taper, 1.05, t)) * step(-0.09, 0.14, t).sqrt();
        let half = 0.5 * brow.thickness * taper + 0.25;
        let hairs = noise(x * 1.3 - brow.side * y * 0.9, y * 0.5, identity.skin.texture ^ 11);
        let inside = half - (y - middle).abs() + 0.45 * hairs;
        let cover = step(-0.6, 0.7, inside) * step(1.08, 0.9, t) * identity.brows.density;
        look.albedo = blend(look.albedo, scale(self.brow, 1.0 + 0.25 * hairs), 0.93 * cover);
        look.shine *= 1.0 - 0.7 * cover;
    }

    fn eye(&self, look: &mut Look, eye: &Eye, x: f32, y: f32) {
        let own = &self.shape.identity.eyes;
        let skin = self.shape.identity.skin.colour;
        let (u, v) = eye.local(x, y);
        let (upper, lower) = eye.lids(u.clamp(-1.0, 1.0));
        let beyond = (u.abs() - 1.0).max(0.0) * eye.half_width;
        // The crease of the upper lid, and the shade of the socket above it.
        if own.crease > 0.4 {
            let crease = upper - own.crease * (1.0 - 0.5 * u * u) - 0.4;
            let line = step(0.95, 0.1, (v - crease).abs()) * step(1.15, 0.75, u.abs());
            look.albedo =
                filter(look.albedo, blend([1.0; 3], [0.62, 0.5, 0.46], line * step(0.3, 1.6, own.crease)));
        }
        let lid_shade = step(-5.5, -1.0, v - upper) * step(0.3, 0.0, v - upper) * step(1.2, 0.6, u.abs());
        look.albedo = filter(look.albedo, blend([1.0; 3], [0.9, 0.83, 0.82], lid_shade));
        let open = ((v - upper).min(lower - v)) - beyond;
        if open > -0.4 {
            let cover = step(-0.4, 0.4, open);
            let (ball, glint) = self.eyeball(eye, x, y, u, v - upper);
            look.albedo = blend(look.albedo, ball, cover);
            look.glint = glint * cover;
            look.shine *= 1.0 - cover;
        }
        // Lashes: a dark line along the upper lid that runs out at the temple, a faint one below.
        let lash = own.lash * (0.75 + 0.25 * u);
        let edge = (v - upper - 0.1).abs().max(beyond * 0.6) - 0.3 * lash;
        let upper_line = step(0.55, 0.0, edge) * step(1.22, 0.95, u.abs());
        let dark = blend(scale(self.brow, 0.4), [0.01; 3], 0.5);
        look.albedo = blend(look.albedo, dark, (0.95 * upper_line * (0.55 + 0.6 * own.lash)).min(0.95));
        let lower_line = step(0.8, 0.1, (v - lower).abs() + beyond) * step(-0.3, 0.5, u);
        look.albedo = blend(look.albedo, scale(skin, 0.4), 0.45 * lower_line);
    }

    /// White, iris and pupil, and the glint; `below` is the distance below the upper lid.
    fn eyeball(&self, eye: &Eye, x: f32, y: f32, u: f32, below: f32) -> (Colour, f32) {
        let own = &self.shape.identity.eyes;
        let gaze = self.shape.expression.gaze;
        let centre = [eye.centre[0] + 3.1 * gaze[0], eye.centre[1] + 1.7 * gaze[1]];
        let (dx, dy) = (x - centre[0], y - centre[1]);
        let radius = length(dx, dy);
        let mut colour = blend([0.6, 0.565, 0.54], [0.36, 0.29, 0.27], u * u);
        // The inner corner is pink.
        colour = blend(colour, [0.55, 0.25, 0.22], 0.8 * step(-0.72, -0.98, u));
        let iris = own.iris;
        let rings = mix(1.25, 0.8, step(0.3 * iris, 0.9 * iris, radius));
        let limbus = mix(1.0, 0.42, step(0.72 * iris, iris, radius));
        let disc =
            blend(scale(own.colour, rings * limbus), [0.008; 3], step(0.48 * iris, 0.36 * iris, radius));
        colour = blend(colour, disc, step(iris + 0.3, iris - 0.35, radius));
        // The upper lid and its lashes shade the eye.
        colour = scale(colour, mix(0.5, 1.0, step(-0.4, 2.6, below)));
        let spot = length(dx - self.glint[0], dy - self.glint[1]);
        (colour, self.glint_strength * step(0.95, 0.35, spot) * step(0.2, 0.8, below))
    }

    fn nostrils(&self, look: &mut Look, x: f32, y: f32) {
        let own = &self.shape.identity.nose;
        let tip = self.shape.landmarks[2];
        if (y - tip[1]).abs() > 9.0 || (x - tip[0]).abs() > 16.0 {
            return;
        }
        for side in [-1.0, 1.0] {
            let dx = (x - tip[0]) * side - own.wing * 0.47;
            let dy = y - tip[1] - 4.4 - 0.5 * own.droop + 0.12 * dx;
            let hole = hill(dx, dy, own.nostril * 1.5, own.nostril * 0.8);
            look.albedo = filter(look.albedo, blend([1.0; 3], [0.2, 0.11, 0.1], (1.5 * hole).min(0.9)));
            // The crease where the wing meets the cheek.
            let (cx, cy) = ((x - tip[0]) * side - own.wing, y - tip[1] - own.wing_height);
            let ring = (cx + 0.05 * cy * cy).abs();
            let crease = step(1.3, 0.2, ring) * step(5.0, 2.0, (cy + 0.2).abs());
            look.albedo = filter(look.albedo, blend([1.0; 3], [0.66, 0.54, 0.52], crease * 0.75));
        }
        let under = hill(x - tip[0], y - tip[1] - 5.6, own.wing * 0.9, 2.2);
        look.albedo = filter(look.albedo, blend([1.0; 3], [0.86, 0.78, 0.76], 0.6 * under));
    }

    fn mouth(&self, look: &mut Look, x: f32, y: f32) {
        let mouth = &self.shape.mouth;
        let u = mouth.position(x);
        let beyond = (u.abs() - 1.0).max(0.0) * mouth.half_width;
        let lips = mouth.lips(u.clamp(-1.0, 1.0));
        let inside = (y - lips.top).min(lips.bottom - y) - beyond;
        let cover = step(-0.7, 0.8, inside);
        if cover > 0.0 {
            let upper = y < (lips.upper_edge + lips.lower_edge) / 2.0;
            let wrinkle = 1.0 + 0.08 * noise(x * 1.2, y * 0.15, self.shape.identity.skin.texture ^ 23);
            let tone = if upper { scale(self.lips, 0.84 * wrinkle) } else { scale(self.lips, wrinkle) };
            look.albedo = blend(look.albedo, tone, 0.9 * cover);
            look.shine = mix(look.shine, 0.07, cover);
        }
        let opening = (y - lips.upper_edge).min(lips.lower_edge - y) - beyond;
        if mouth.gap > 0.3 && opening > -0.4 {
            let depth = y - lips.upper_edge;
            let (teeth_end, span) = (mix(4.6, 3.6, u * u), 0.82);
            let mut inner = blend([0.1, 0.02, 0.02], [0.32, 0.1, 0.1], step(5.0, 9.0, depth) * (1.0 - u * u));
            let teeth =
                step(teeth_end + 0.3, teeth_end - 0.4, depth) * step(span + 0.1, span - 0.08, u.abs());
            let gaps = 1.0
                - 0.16 * step(0.7, 1.0, (u * mouth.half_width * 1.05 + 0.5).fract().mul_add(2.0, -1.0).abs());
            let shade = mix(0.55, 1.0, step(0.0, 2.0, depth)) * mix(1.0, 0.5, u * u);
            inner = blend(
                inner,
                scale([0.6, 0.56, 0.48], gaps * shade * mix(0.4, 1.0, step(0.4, 3.5, mouth.gap))),
                teeth,
            );
            look.albedo = blend(look.albedo, inner, step(-0.4, 0.4, opening));
            look.shine *= 1.0 - step(-0.4, 0.4, opening);
        } else {
            let line = step(1.0, 0.15, (y - lips.upper_edge).abs() + 0.6 * beyond) * step(1.12, 0.9, u.abs());
            look.albedo = filter(look.albedo, blend([1.0; 3], [0.3, 0.17, 0.17], 0.9 * line));
        }
        let corner = hill(
            (u.abs() - 1.02) * mouth.half_width,
            y - mouth.centre[1] - mouth.slope * (x - mouth.centre[0]),
            2.0,
            1.6,
        );
        look.albedo = filter(look.albedo, blend([1.0; 3], [0.55, 0.42, 0.4], 0.7 * corner));
    }
}

/// Hair at a place of its shell.
pub(super) fn strands(shape: &Shape, values: &Values) -> Look {
    let hair = &shape.identity.hair;
    let (x, y) = (values[Attribute::X], values[Attribute::Y]);
    // Strands run down from the parting, bent by the sweep and by curls.
    let bend =
        hair.sweep * 9.0 * (y * 0.05).sin() + hair.curl * 5.0 * noise(x * 0.12, y * 0.2, hair.texture ^ 5);
    let across = x + bend - hair.parting;
    let fine = noise(across * 0.95, y * mix(0.09, 0.4, hair.curl), hair.texture ^ 1);
    let broad = noise(across * 0.3, y * mix(0.05, 0.25, hair.curl), hair.texture ^ 2);
    let parting = step(1.8, 0.4, (x - hair.parting).abs()) * step(24.0, 4.0, y) * step(2.2, 3.4, hair.volume);
    let tone = (1.0 + 0.32 * fine + 0.3 * broad) * (1.0 - 0.35 * parting);
    let depth = mix(0.72, 1.0, step(0.0, 7.0, values[Attribute::BLUSH]));
    Look {
        albedo: scale(hair.colour, tone * depth),
        shine: (0.1 + 0.14 * fine.max(0.0)) * mix(1.0, 0.35, hair.curl),
        glint: 0.0,
    }
}

/// Whether there is hair `inside` pixels within its edge: the edge is ragged by strands.
pub(super) fn hair_here(shape: &Shape, values: &Values) -> bool {
    let inside = values[Attribute::BLUSH];
    if inside > 6.0 {
        return true;
    }
    if inside < -3.0 {
        return false;
    }
    let hair = &shape.identity.hair;
    let x = values[Attribute::X] - hair.parting;
    let ragged = 1.5 * noise(x * 1.5, values[Attribute::Y] * 0.1, hair.texture ^ 9)
        + 1.0 * noise(x * 0.25, 0.0, hair.texture);
    inside + ragged > 0.0
}
