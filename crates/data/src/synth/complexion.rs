//! Skin, hair and eye colour, and the marks that make skin somebody's own.

use super::curve::{Colour, blend, linear, ramp, scale};
use super::draw::Draw;

/// Skin from the lightest to the darkest, sRGB, in even light.
const SKIN: [[u8; 3]; 8] = [
    [244, 218, 203],
    [236, 200, 176],
    [224, 184, 156],
    [206, 160, 130],
    [176, 130, 101],
    [142, 101, 77],
    [107, 75, 58],
    [76, 54, 44],
];

/// Hair from black to blond by its pigment, sRGB.
const HAIR: [[u8; 3]; 7] =
    [[20, 16, 16], [38, 28, 24], [62, 44, 33], [92, 64, 44], [128, 94, 62], [172, 136, 92], [204, 174, 128]];

/// Skin: pigment, blood, surface and marks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Skin {
    /// 0 the lightest, 1 the darkest.
    pub(super) melanin: f32,
    pub(super) colour: Colour,
    pub(super) lips: Colour,
    pub(super) blush: f32,
    pub(super) shine: f32,
    pub(super) mottle: f32,
    pub(super) freckles: f32,
    pub(super) wrinkles: f32,
    /// Moles: x from the midline, y, radius.
    pub(super) moles: Vec<[f32; 3]>,
    pub(super) texture: u32,
}

impl Skin {
    pub(super) fn sample(draw: &mut Draw, build: f32, age: f32) -> Skin {
        let melanin = draw.uniform(0.0, 1.0).powf(1.25);
        let mut colour = ramp(&SKIN, melanin);
        let (red, yellow) = (draw.around(0.025, 0.025), draw.around(0.01, 0.05));
        colour[0] *= 1.0 + red;
        colour[2] *= 1.0 - yellow;
        let red_lips = draw.uniform(0.35, 0.95) * (1.1 - 0.4 * build);
        let lips =
            blend(scale(colour, 0.82), [colour[0] * 0.88, colour[1] * 0.4, colour[2] * 0.46], red_lips);
        let count = if draw.chance(0.4) { draw.uniform(1.0, 3.99) as usize } else { 0 };
        let moles = (0..count)
            .map(|_| [draw.uniform(-29.0, 29.0), draw.uniform(26.0, 108.0), draw.uniform(0.45, 1.05)])
            .collect();
        Skin {
            melanin,
            colour,
            lips,
            blush: draw.uniform(0.1, 0.7) * (1.0 - 0.7 * melanin),
            shine: draw.uniform(0.03, 0.16),
            mottle: draw.uniform(0.2, 1.0),
            freckles: if melanin < 0.5 && draw.chance(0.25) { draw.uniform(0.3, 1.0) } else { 0.0 },
            wrinkles: (age - 0.45).max(0.0) * 1.8 * draw.uniform(0.5, 1.0),
            moles,
            texture: draw.bits() as u32,
        }
    }
}

/// Hair of the head and of the face.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hair {
    pub(super) colour: Colour,
    pub(super) brow_colour: Colour,
    /// How thick it stands on the crown and at the sides, in pixels.
    pub(super) volume: f32,
    pub(super) side_volume: f32,
    /// Height of the hairline at the middle, and how much it recedes at the temples and points at the middle.
    pub(super) line: f32,
    pub(super) recession: f32,
    pub(super) peak: f32,
    /// Where the hair ends beside the face, as a height.
    pub(super) end: f32,
    /// How far a fringe hangs below the hairline, and where it parts (x).
    pub(super) fringe: f32,
    pub(super) parting: f32,
    pub(super) sweep: f32,
    pub(super) curl: f32,
    /// 0 a bald crown, 1 full.
    pub(super) cover: f32,
    /// Densities of moustache, chin beard and cheek beard, and their length.
    pub(super) moustache: f32,
    pub(super) chin_beard: f32,
    pub(super) cheek_beard: f32,
    pub(super) texture: u32,
}

impl Hair {
    pub(super) fn sample(draw: &mut Draw, build: f32, age: f32, melanin: f32) -> Hair {
        let natural = natural_colour(draw, melanin);
        let grey = ((age - 0.72) * 2.6 + draw.around(0.0, 0.2)).clamp(0.0, 1.0);
        let greyed = blend(natural, linear([168, 166, 164]), grey * 0.9);
        // Kinds of length: cropped, short, medium, long; long ones are commoner with a slight build.
        let long = draw.chance(0.75 - 0.7 * build);
        let cropped = !long && draw.chance(0.25);
        let curl =
            if melanin > 0.6 || draw.chance(0.2) { draw.uniform(0.3, 1.0) } else { draw.uniform(0.0, 0.3) };
        let receding = if build > 0.5 { draw.uniform(0.0, 1.0) * (0.3 + age) } else { 0.15 };
        let bald = build > 0.5 && draw.chance(0.05 + 0.3 * age);
        let bearded = build > 0.5 && draw.chance(0.5);
        let beard = |draw: &mut Draw, likely: f32| {
            if bearded && draw.chance(likely) { draw.uniform(0.35, 1.0) } else { 0.06 * build }
        };
        let chin_beard = beard(draw, 0.75);
        let cheek_beard = beard(draw, 0.55).min(chin_beard);
        Hair {
            colour: greyed,
            brow_colour: scale(blend(natural, greyed, 0.4), 0.8),
            volume: if cropped { draw.uniform(0.5, 1.5) } else { draw.uniform(2.5, 8.0) + 2.5 * curl },
            side_volume: if cropped {
                draw.uniform(0.4, 1.0)
            } else if long {
                draw.uniform(2.0, 6.0)
            } else {
                draw.uniform(1.0, 3.6)
            },
            line: draw.around(14.5, 3.0) - 5.0 * receding.min(1.0),
            recession: draw.uniform(1.0, 4.0) + 11.0 * receding,
            peak: draw.around(0.0, 1.6),
            end: if long && !bald { draw.uniform(92.0, 150.0) } else { draw.uniform(54.0, 74.0) },
            fringe: if !cropped && draw.chance(0.45) { draw.uniform(3.0, 23.0) } else { 0.0 },
            parting: draw.uniform(-24.0, 24.0),
            sweep: draw.uniform(-0.6, 0.6),
            curl,
            cover: if bald { 0.0 } else { 1.0 },
            moustache: beard(draw, 0.75),
            chin_beard,
            cheek_beard,
            texture: draw.bits() as u32,
        }
    }
}

fn natural_colour(draw: &mut Draw, melanin: f32) -> Colour {
    let lightness = draw.uniform(0.0, 1.0) * (1.05 - 1.5 * melanin).clamp(0.12, 1.0);
    let colour = ramp(&HAIR, lightness);
    if melanin < 0.35 && draw.chance(0.12) {
        return blend(colour, ramp(&[[84, 34, 20], [176, 88, 44]], draw.uniform(0.0, 1.0)), 0.85);
    }
    let warm = draw.around(0.0, 0.08);
    [colour[0] * (1.0 + warm), colour[1], colour[2] * (1.0 - warm)]
}

/// The colour of an iris: brown for everybody, lighter ones more often with lighter skin.
pub(super) fn iris(draw: &mut Draw, melanin: f32) -> Colour {
    let brown = ramp(&[[36, 20, 14], [66, 38, 22], [104, 66, 36]], draw.uniform(0.0, 1.0));
    if draw.chance(0.7 - 1.4 * melanin) {
        let light = ramp(
            &[[104, 84, 50], [92, 102, 72], [96, 112, 106], [88, 112, 134], [116, 128, 138]],
            draw.uniform(0.0, 1.0),
        );
        return scale(light, draw.uniform(0.75, 1.1));
    }
    brown
}
