//! Hair and hats: shells over the smooth head.

use super::curve::{mix, step};
use super::draw::noise;
use super::head::around;
use super::nuisance::{Grooming, Hat};
use super::shape::Shape;
use super::sheet::{Material, Sheet};

const COLUMNS: usize = 61;
const ROWS: usize = 54;

/// Today's hair of one person, with its edge around the face.
pub(super) struct Hairdo<'a> {
    shape: &'a Shape<'a>,
    volume: f32,
    side_volume: f32,
    end: f32,
    fringe: f32,
}

impl<'a> Hairdo<'a> {
    pub(super) fn new(shape: &'a Shape<'a>, grooming: &Grooming, pressed: bool) -> Hairdo<'a> {
        let hair = &shape.identity.hair;
        let flat = if pressed { 0.35 } else { 1.0 };
        Hairdo {
            shape,
            volume: hair.volume * grooming.volume * flat,
            side_volume: hair.side_volume * grooming.volume,
            end: if hair.end > 80.0 {
                hair.end + 2.0 * grooming.length
            } else {
                hair.end + 0.25 * grooming.length
            },
            fringe: if hair.fringe > 0.0 { (hair.fringe + grooming.fringe).max(0.0) } else { 0.0 },
        }
    }

    /// How strongly the hair shades the skin just below its edge.
    pub(super) fn shadow(&self) -> f32 {
        0.3 * step(0.5, 3.0, self.volume) * self.shape.identity.hair.cover
    }

    /// Height of the lower edge of the hair at `angle` from the front.
    pub(super) fn edge(&self, angle: f32) -> f32 {
        let hair = &self.shape.identity.hair;
        let away = angle.abs();
        if hair.cover == 0.0 {
            // A ring at the back and sides is left.
            let ring = 60.0 - 70.0 * step(2.0, 1.5, away);
            return if away > 1.45 { ring.max(mix(-40.0, self.end, step(1.45, 1.7, away))) } else { -60.0 };
        }
        let middle = hair.line + hair.peak * step(0.25, 0.0, away);
        let temple = hair.line - hair.recession * step(0.1, 0.55, away)
            + 0.8 * hair.recession * step(0.7, 1.1, away)
            + 8.0 * step(0.55, 1.1, away);
        let bare = mix(middle, temple, step(0.1, 0.4, away));
        let x = 40.0 * angle;
        let part = x - hair.parting;
        let fringe = self.fringe
            * (0.55 + 0.45 * step(0.0, 16.0, part.abs()))
            * step(1.2, 0.7, away)
            * (1.0 + hair.sweep * (x / 40.0));
        let front = bare + fringe;
        // Beside the face the edge drops to the end of the hair; long hair starts further in front.
        let side = if self.end > 80.0 { step(1.02, 1.2, away) } else { step(1.22, 1.36, away) };
        let nape = if self.end > 80.0 { self.end } else { mix(self.end, 98.0, step(1.75, 2.1, away)) };
        // Around the ear short hair is cut away.
        let ear = if self.end > 80.0 { 0.0 } else { 14.0 * step(1.42, 1.55, away) * step(1.95, 1.8, away) };
        mix(front, nape - ear, side)
    }

    fn thickness(&self, angle: f32, y: f32) -> f32 {
        let hair = &self.shape.identity.hair;
        let side = step(4.0, 34.0, y);
        let base = mix(self.volume, self.side_volume, side);
        let lumps = noise(angle * 5.0, y * 0.09, hair.texture) * (0.12 + 0.3 * hair.curl);
        let ragged = hair.curl * 1.5 * noise(angle * 13.0, y * 0.33, hair.texture ^ 7);
        base * (1.0 + lumps) + ragged * (base / 4.0).min(1.0)
    }

    /// The shell of hair, or none for the bare-headed.
    pub(super) fn shell(&self) -> Sheet {
        let bottom = if self.end > 80.0 { self.end } else { 99.0 };
        let long = self.end > 80.0;
        let hair = &self.shape.identity.hair;
        shell(self.shape, Material::Hair, bottom, long, &|angle, y| {
            let inside = self.edge(angle) - y;
            // At the hairline hair rises out of the skin; a fringe lies on the forehead.
            let lift: f32 = if self.fringe > 1.0 { 1.2 } else { 0.25 };
            let thick = self.thickness(angle, y).max(0.3);
            let root = mix(lift.min(thick), thick, step(0.0, 11.0 - hair.curl * 4.0, inside));
            (root, inside)
        })
    }
}

/// The shell of a hat.
pub(super) fn hat(shape: &Shape, hat: &Hat, volume: f32) -> Sheet {
    let edge =
        move |angle: f32| hat.edge + 14.0 * (1.0 - angle.cos()) * 0.5 + 4.0 * step(1.2, 2.4, angle.abs());
    shell(shape, Material::Hat, hat.edge + 24.0, false, &|angle, y| {
        let inside = edge(angle) - y;
        let fold = if hat.knit > 0.0 { 1.6 * step(11.0, 9.5, inside) } else { 0.0 };
        (2.4 + 0.5 * volume + fold + 2.5 * step(20.0, 0.0, y), inside)
    })
}

/// The brim of a cap, a strip forward from its edge.
pub(super) fn brim(shape: &Shape, hat: &Hat) -> Sheet {
    let (columns, rows) = (25, 7);
    let mut sheet = Sheet::new(Material::Hat, columns, rows);
    for row in 0..rows {
        let out = row as f32 / (rows - 1) as f32;
        for column in 0..columns {
            let angle = 1.15 * (2.0 * column as f32 / (columns - 1) as f32 - 1.0);
            let y = hat.edge + 14.0 * (1.0 - angle.cos()) * 0.5 - 1.0;
            let [x, _, z] = around(shape.width(y) + 2.5, shape.front(y) + 3.5, 0.0, angle, 1.0);
            let reach =
                hat.brim * out * (angle / 1.15 * std::f32::consts::FRAC_PI_2).cos().max(0.0).powf(0.6);
            let point = [x * (1.0 + 0.04 * out), y + 0.32 * reach + 3.0 * out * angle * angle, z + reach];
            sheet.push(point, [40.0 * angle, y + 9.0 * out, 0.0, 0.0, 0.0, 0.0, 30.0, 0.0], 0.9);
        }
    }
    sheet
}

/// A shell around the head down to `bottom`; `layer` gives thickness and distance inside the edge.
fn shell(
    shape: &Shape,
    material: Material,
    bottom: f32,
    long: bool,
    layer: &dyn Fn(f32, f32) -> (f32, f32),
) -> Sheet {
    let mut sheet = Sheet::new(material, COLUMNS, ROWS);
    // Only long hair shows its inner side, behind the neck.
    sheet.one_sided = !long;
    let skull = &shape.identity.skull;
    let crown = skull.crown_height;
    let hang = shape.width(58.0);
    for row in 0..ROWS {
        let t = row as f32 / (ROWS - 1) as f32;
        let y = if long { mix(crown, bottom, t) } else { mix(crown, bottom, t.powf(1.25)) };
        let (mut width, front, edge) = (shape.width(y), shape.front(y), shape.edge(y).min(6.0));
        if long && y > 58.0 {
            width = mix(width, hang * (1.0 + 0.04 * ((y - 58.0) / 50.0)), step(58.0, 72.0, y));
        }
        // Upwards near the crown, outwards below.
        let up = step(26.0, crown, y);
        for column in 0..COLUMNS {
            let angle = std::f32::consts::PI * (2.0 * column as f32 / (COLUMNS - 1) as f32 - 1.0);
            let (thick, inside) = layer(angle, y);
            let out = thick * (1.0 - 0.35 * up);
            let [x, _, z] = around(width + out, front + out, edge, angle, skull.squareness);
            let openness = 0.62 + 0.38 * step(0.0, 8.0, inside).max(up);
            sheet.push(
                [x, y - thick * up, z],
                [40.0 * angle, y, 0.0, 0.0, 0.0, 0.0, inside, 0.0],
                if angle.abs() > 2.2 && long { openness * 0.6 } else { openness },
            );
        }
    }
    sheet
}
