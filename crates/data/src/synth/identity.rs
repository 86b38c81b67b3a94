//! Who somebody is: everything that stays the same from one picture to the next.

use super::complexion::{Hair, Skin};
use super::curve::mix;
use super::draw::Draw;
use super::frame::{Point, TEMPLATE, fit};

/// The landmarks of a frontal neutral picture stay this close to the template, in pixels.
const REACH: f32 = 0.9;

/// One person: the geometry of head and features, hair, skin and colours.
///
/// Lengths are pixels of the 112x96 template; on a face of average size one pixel is 1.8 mm.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub(super) landmarks: [Point; 5],
    pub(super) skull: Skull,
    pub(super) eyes: Eyes,
    pub(super) brows: Brows,
    pub(super) nose: Nose,
    pub(super) mouth: Mouth,
    pub(super) ears: Ears,
    pub(super) hair: Hair,
    pub(super) skin: Skin,
    /// Differences between the two sides, relative, one number per feature: eyes, brows, nose, mouth, jaw.
    pub(super) asymmetry: [f32; 5],
}

/// Outline and profile of the head: half widths at heights, and how far parts stand forward.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Skull {
    pub(super) cranium: f32,
    pub(super) temple: f32,
    pub(super) cheekbone: f32,
    pub(super) jaw: f32,
    pub(super) chin: f32,
    pub(super) chin_height: f32,
    pub(super) crown_height: f32,
    pub(super) squareness: f32,
    pub(super) brow_ridge: f32,
    pub(super) cheek: f32,
    pub(super) hollow: f32,
    pub(super) chin_forward: f32,
    pub(super) cleft: f32,
    pub(super) forehead_slope: f32,
    pub(super) neck: f32,
}

/// Eyes: openings, lids and depth.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Eyes {
    pub(super) half_width: f32,
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) tilt: f32,
    pub(super) peak: f32,
    pub(super) depth: f32,
    pub(super) crease: f32,
    pub(super) lash: f32,
    pub(super) bag: f32,
    pub(super) iris: f32,
    pub(super) colour: [f32; 3],
}

/// Eyebrows: height over the eye, thickness, arch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Brows {
    pub(super) height: f32,
    pub(super) thickness: f32,
    pub(super) length: f32,
    pub(super) inner: f32,
    pub(super) arch: f32,
    pub(super) tilt: f32,
    pub(super) density: f32,
    pub(super) taper: f32,
}

/// Nose: profile, widths and tip.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Nose {
    pub(super) root: f32,
    pub(super) bridge_width: f32,
    pub(super) hump: f32,
    pub(super) projection: f32,
    pub(super) tip: f32,
    pub(super) wing: f32,
    pub(super) wing_height: f32,
    pub(super) droop: f32,
    pub(super) nostril: f32,
}

/// Mouth: the heights of the lips and the course of their line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mouth {
    pub(super) upper: f32,
    pub(super) lower: f32,
    pub(super) bow: f32,
    pub(super) curve: f32,
    pub(super) fullness: f32,
    pub(super) forward: f32,
    pub(super) fold: f32,
}

/// Ears.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ears {
    pub(super) height: f32,
    pub(super) width: f32,
    pub(super) middle: f32,
    pub(super) protrusion: f32,
}

impl Identity {
    /// The person of `seed`; the same seed is the same person everywhere.
    pub fn sample(seed: u64) -> Identity {
        let draw = &mut Draw::new(seed, 0x6964_656e);
        // Build and age are not features themselves; they make features go together as they do in people.
        let build = if draw.chance(0.5) { draw.around(0.76, 0.14) } else { draw.around(0.24, 0.14) };
        let age = draw.uniform(0.0, 1.0);
        let skin = Skin::sample(draw, build, age);
        Identity {
            landmarks: proportions(draw),
            skull: Skull::sample(draw, build),
            eyes: Eyes::sample(draw, build, age, skin.melanin),
            brows: Brows::sample(draw, build),
            nose: Nose::sample(draw, build),
            mouth: Mouth::sample(draw, build, age),
            ears: Ears {
                height: draw.around(15.0, 1.8) + age,
                width: draw.around(12.0, 1.2),
                middle: draw.around(60.0, 1.8),
                protrusion: draw.around(0.62, 0.2),
            },
            hair: Hair::sample(draw, build, age, skin.melanin),
            skin,
            asymmetry: std::array::from_fn(|_| draw.around(0.0, 0.05)),
        }
    }
}

/// Landmarks of the frontal neutral face: the template with each point moved by this person's proportions. What
/// a similarity can undo is taken out, because alignment would undo it, and the rest is kept within [`REACH`].
fn proportions(draw: &mut Draw) -> [Point; 5] {
    let (eyes, nose, mouth) = (draw.around(0.0, 1.0), draw.around(0.0, 1.1), draw.around(0.0, 1.1));
    let (wide, high) = (draw.around(0.0, 1.0), draw.around(0.0, 0.3));
    let moves = [[-eyes, high], [eyes, high], [0.0, nose], [-wide, mouth], [wide, mouth]];
    let own: [Point; 5] = std::array::from_fn(|i| {
        [
            TEMPLATE[i][0] + moves[i][0] + draw.around(0.0, 0.2),
            TEMPLATE[i][1] + moves[i][1] + draw.around(0.0, 0.2),
        ]
    });
    let fitted = fit(&own, &TEMPLATE).apply_all(&own);
    let farthest = (0..5)
        .map(|i| (fitted[i][0] - TEMPLATE[i][0]).hypot(fitted[i][1] - TEMPLATE[i][1]))
        .fold(0.0, f32::max);
    let shrink = (REACH / farthest.max(1e-6)).min(1.0);
    std::array::from_fn(|i| {
        [mix(TEMPLATE[i][0], fitted[i][0], shrink), mix(TEMPLATE[i][1], fitted[i][1], shrink)]
    })
}

impl Skull {
    fn sample(draw: &mut Draw, build: f32) -> Skull {
        let width = draw.around(0.0, 1.5) + build;
        Skull {
            cranium: draw.around(38.2, 1.6) + width * 0.8,
            temple: draw.around(37.0, 1.2) + width * 0.8,
            cheekbone: draw.around(36.6, 1.5) + width,
            jaw: draw.around(28.6, 2.2) + width * 0.7 + 2.4 * build,
            chin: draw.around(12.5, 2.4) + 3.0 * build,
            chin_height: draw.around(109.8, 2.0) + 2.2 * build,
            crown_height: draw.around(-11.0, 4.0),
            squareness: draw.uniform(0.82, 1.02),
            brow_ridge: draw.around(0.7, 0.5).max(0.0) + 2.0 * build,
            cheek: draw.around(2.8, 1.1),
            hollow: draw.around(0.8, 1.0).max(0.0),
            chin_forward: draw.around(2.0, 1.2) + build,
            cleft: if draw.chance(0.2) { draw.uniform(0.4, 1.1) } else { 0.0 },
            forehead_slope: draw.around(2.0, 2.0) + 2.0 * build,
            neck: draw.around(23.0, 1.8) + 5.5 * build,
        }
    }
}

impl Eyes {
    fn sample(draw: &mut Draw, build: f32, age: f32, melanin: f32) -> Eyes {
        let monolid = draw.chance(0.22);
        Eyes {
            half_width: draw.around(8.4, 0.75),
            upper: draw.around(3.2, 0.55) - 0.35 * build - 0.35 * age,
            lower: draw.around(2.1, 0.35),
            tilt: draw.around(0.07, 0.08) - 0.04 * age,
            peak: draw.around(-0.05, 0.16),
            depth: draw.around(3.2, 1.3) + build - if monolid { 1.6 } else { 0.0 },
            crease: if monolid { draw.uniform(0.0, 0.5) } else { draw.uniform(1.2, 3.4) - 0.5 * build },
            lash: draw.around(0.75, 0.15) - 0.3 * build,
            bag: draw.uniform(0.0, 0.6) + 1.1 * age * draw.uniform(0.3, 1.0),
            iris: draw.around(3.35, 0.16),
            colour: super::complexion::iris(draw, melanin),
        }
    }
}

impl Brows {
    fn sample(draw: &mut Draw, build: f32) -> Brows {
        Brows {
            height: draw.around(11.4, 1.2) - 1.9 * build,
            thickness: draw.around(2.4, 0.6) + 1.3 * build,
            length: draw.around(12.0, 1.0),
            inner: draw.around(-9.4, 1.2) - 0.6 * build,
            arch: draw.around(2.3, 1.0) - 1.0 * build,
            tilt: draw.around(-0.02, 0.09),
            density: draw.uniform(0.55, 1.0),
            taper: draw.uniform(0.25, 0.75),
        }
    }
}

impl Nose {
    fn sample(draw: &mut Draw, build: f32) -> Nose {
        let breadth = draw.uniform(-1.0, 1.0);
        Nose {
            root: draw.around(3.4, 1.0) - 0.9 * breadth + 0.5 * build,
            bridge_width: draw.around(5.2, 0.6) + 0.6 * breadth,
            hump: draw.around(0.2, 0.9),
            projection: draw.around(12.0, 1.2) - 0.9 * breadth + 0.8 * build,
            tip: draw.around(5.2, 0.7) + 0.8 * breadth,
            wing: draw.around(9.2, 0.7) + 1.3 * breadth + 0.4 * build,
            wing_height: draw.around(2.2, 0.6),
            droop: draw.around(0.2, 0.9),
            nostril: draw.around(1.65, 0.25) + 0.3 * breadth,
        }
    }
}

impl Mouth {
    fn sample(draw: &mut Draw, build: f32, age: f32) -> Mouth {
        let full = draw.around(0.0, 0.7);
        Mouth {
            upper: (draw.around(4.0, 0.7) + 0.9 * full - 0.7 * build - 0.6 * age).max(1.7),
            lower: (draw.around(5.4, 0.7) + 0.9 * full - 0.6 * build - 0.6 * age).max(2.8),
            bow: draw.uniform(0.05, 0.5),
            curve: draw.around(0.7, 0.7),
            fullness: draw.around(1.6, 0.4) + 0.5 * full,
            forward: draw.around(2.6, 1.0),
            fold: draw.uniform(0.0, 0.5) + 1.1 * age,
        }
    }
}
