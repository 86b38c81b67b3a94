//! What differs between two pictures of one person: pose, light, expression, camera, and things in the way.

use super::curve::{Colour, blend, linear, ramp, scale};
use super::draw::Draw;

/// Everything about a picture that says nothing about who is in it.
///
/// [`Nuisance::neutral`] is a passport photograph; [`Nuisance::sample`] draws a snapshot. The fields are public so
/// that one thing can be changed at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Nuisance {
    /// Where the head points.
    pub pose: Pose,
    /// What the crop is off by after alignment.
    pub misalignment: Misalignment,
    /// Light on the scene.
    pub light: Light,
    /// What the face does.
    pub expression: Expression,
    /// Today's hair and beard, relative to the person's usual.
    pub grooming: Grooming,
    /// Glasses, if worn.
    pub glasses: Option<Glasses>,
    /// A hat, if worn.
    pub hat: Option<Hat>,
    /// Something between the face and the camera.
    pub obstacle: Option<Obstacle>,
    /// What is behind.
    pub backdrop: Backdrop,
    /// What lens, sensor and file do to the picture.
    pub camera: Camera,
}

/// Head pose, in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// Positive: the face turns to the right of the picture.
    pub yaw: f32,
    /// Positive: the face looks down.
    pub pitch: f32,
    /// Positive: the head is tilted clockwise in the picture. Alignment undoes it, up to the tilt of the backdrop
    /// and the light.
    pub roll: f32,
    /// Perspective, the inverse of the distance of the camera in pixels of the template; 0 is a distant camera.
    pub nearness: f32,
}

/// Errors of the landmark detector: what the crop is off by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Misalignment {
    /// Right and down, in pixels of the template.
    pub shift: [f32; 2],
    /// Relative size; 1 is right.
    pub scale: f32,
    /// Clockwise, in radians.
    pub turn: f32,
}

/// One lamp and the light of the surroundings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Light {
    /// Towards the lamp: right, down, towards the camera; a unit vector.
    pub direction: [f32; 3],
    /// Linear colour and strength of the lamp.
    pub lamp: [f32; 3],
    /// Linear colour and strength of the surroundings.
    pub ambient: [f32; 3],
}

/// What the face does. 0 is neutral everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Expression {
    /// -0.6 (sad) to 1 (broad smile).
    pub smile: f32,
    /// How far the mouth is open, 0 to 1.
    pub open: f32,
    /// Brows: -1 (frown) to 1 (raised).
    pub brows: f32,
    /// Lids: -0.5 (wide open) to 1 (shut).
    pub lids: f32,
    /// Lips pushed forward, 0 to 1.
    pub pucker: f32,
    /// Gaze to the right and down, each -1 to 1.
    pub gaze: [f32; 2],
}

/// Hair and beard of the day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grooming {
    /// Factor on the hair's volume.
    pub volume: f32,
    /// The fringe hangs this many pixels lower.
    pub fringe: f32,
    /// The hair beside the face ends this many pixels lower.
    pub length: f32,
    /// Factor on the beard's density.
    pub beard: f32,
    /// Colour of the lips: 0 natural, 1 painted.
    pub lipstick: f32,
}

/// Glasses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glasses {
    /// Half width and half height of a lens in pixels.
    pub lens: [f32; 2],
    /// 0 rectangular, 1 round.
    pub roundness: f32,
    /// Thickness of the frame in pixels.
    pub rim: f32,
    /// Linear colour of the frame.
    pub colour: [f32; 3],
    /// How dark the lenses are: 0 clear, near 1 sunglasses.
    pub tint: f32,
}

/// A cap or a woollen hat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hat {
    /// Linear colour.
    pub colour: [f32; 3],
    /// Height of its lower edge at the forehead.
    pub edge: f32,
    /// Length of the brim in pixels; 0 for none.
    pub brim: f32,
    /// Depth of the knit, 0 for smooth cloth.
    pub knit: f32,
}

/// Something between the face and the camera, in pixels of the template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Obstacle {
    /// A hand with its knuckles at `at`, fingers pointing along `angle` (radians clockwise from the right).
    Hand {
        /// Middle of the knuckles.
        at: [f32; 2],
        /// Direction of the fingers.
        angle: f32,
        /// Linear colour of the skin.
        colour: [f32; 3],
    },
    /// A straight edge that hides everything beyond it: a wall, a page, a shoulder.
    Bar {
        /// A point on the middle line.
        at: [f32; 2],
        /// Direction of the middle line.
        angle: f32,
        /// Half of the width.
        half_width: f32,
        /// Linear colour.
        colour: [f32; 3],
    },
}

/// What is behind the person, and what the person wears.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backdrop {
    /// Linear colours above and below.
    pub colours: [[f32; 3]; 2],
    /// Contrast of the shapes in it.
    pub clutter: f32,
    /// Linear colour of the clothes.
    pub clothes: [f32; 3],
    /// Seed of the shapes.
    pub texture: u32,
}

/// Lens, sensor and file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Exposure, a factor.
    pub exposure: f32,
    /// Contrast about middle grey, a power.
    pub contrast: f32,
    /// Saturation, 0 is grey.
    pub saturation: f32,
    /// White balance, a factor for each channel.
    pub balance: [f32; 3],
    /// Standard deviation of the blur in pixels.
    pub blur: f32,
    /// Resolution relative to the crop, at most 1.
    pub resolution: f32,
    /// Standard deviation of the noise, of 1.
    pub noise: f32,
    /// Seed of the noise.
    pub texture: u32,
}

impl Nuisance {
    /// Frontal, neutral, evenly lit, sharp, on grey.
    pub fn neutral() -> Nuisance {
        Nuisance {
            pose: Pose { yaw: 0.0, pitch: 0.0, roll: 0.0, nearness: 0.0 },
            misalignment: Misalignment { shift: [0.0, 0.0], scale: 1.0, turn: 0.0 },
            light: Light { direction: unit([-0.25, -0.45, 0.85]), lamp: [0.62; 3], ambient: [0.44; 3] },
            expression: Expression::default(),
            grooming: Grooming { volume: 1.0, fringe: 0.0, length: 0.0, beard: 1.0, lipstick: 0.0 },
            glasses: None,
            hat: None,
            obstacle: None,
            backdrop: Backdrop {
                colours: [linear([176, 182, 188]), linear([150, 156, 164])],
                clutter: 0.0,
                clothes: linear([70, 84, 108]),
                texture: 0,
            },
            camera: Camera {
                exposure: 1.0,
                contrast: 1.0,
                saturation: 1.0,
                balance: [1.0; 3],
                blur: 0.0,
                resolution: 1.0,
                noise: 0.0,
                texture: 0,
            },
        }
    }

    /// A snapshot drawn from `seed`. `strength` scales every deviation from [`Nuisance::neutral`]: 0 is neutral,
    /// 1 an ordinary collection of snapshots, 1.5 a hard one.
    ///
    /// # Panics
    /// If `strength` is outside 0..=1.5 (see [`check_strength`]).
    pub fn sample(seed: u64, strength: f32) -> Nuisance {
        assert!(
            check_strength(strength).is_ok(),
            "the strength of the nuisance is outside 0 to 1.5: {strength}"
        );
        if strength == 0.0 {
            return Nuisance::neutral();
        }
        let draw = &mut Draw::new(seed, 0x6e75_6973);
        let k = strength;
        Nuisance {
            pose: Pose {
                yaw: draw.around(0.0, 0.26 * k),
                pitch: draw.around(0.02 * k, 0.13 * k),
                roll: draw.around(0.0, 0.12 * k),
                nearness: draw.uniform(0.0, 1.0 / 420.0) * k.min(1.0),
            },
            misalignment: Misalignment {
                shift: [draw.around(0.0, 1.3 * k), draw.around(0.0, 1.3 * k)],
                scale: 1.0 + draw.around(0.0, 0.03 * k),
                turn: draw.around(0.0, 0.035 * k),
            },
            light: Light::sample(draw, k),
            expression: Expression::sample(draw, k),
            grooming: Grooming {
                volume: (1.0 + draw.around(0.0, 0.16 * k)).max(0.4),
                fringe: draw.around(0.0, 2.2 * k),
                length: draw.around(0.0, 5.0 * k),
                beard: (1.0 + draw.around(-0.1, 0.3) * k).max(0.0),
                lipstick: if draw.chance(0.1 * k) { draw.uniform(0.3, 1.0) } else { 0.0 },
            },
            glasses: draw.chance(0.16 * k).then(|| Glasses::sample(draw)),
            hat: draw.chance(0.08 * k).then(|| Hat::sample(draw)),
            obstacle: draw.chance(0.09 * k).then(|| Obstacle::sample(draw)),
            backdrop: Backdrop::sample(draw, k),
            camera: Camera::sample(draw, k),
        }
    }
}

/// Whether `strength` is one that [`Nuisance::sample`] accepts: 0 to 1.5.
///
/// # Errors
/// The value itself, if it is outside or not a number.
pub fn check_strength(strength: f32) -> Result<(), f32> {
    if (0.0..=1.5).contains(&strength) { Ok(()) } else { Err(strength) }
}

impl Light {
    fn sample(draw: &mut Draw, k: f32) -> Light {
        let azimuth = draw.around(0.0, 0.75) * k.min(1.2);
        let elevation = 0.45 + draw.around(0.05, 0.38) * k;
        let direction = [azimuth.sin() * elevation.cos(), -elevation.sin(), azimuth.cos() * elevation.cos()];
        let hardness = (0.58 + draw.around(0.0, 0.2) * k).clamp(0.15, 0.95);
        let warm = draw.around(0.0, 0.07 * k);
        let tint = [1.0 + warm, 1.0, 1.0 - 1.2 * warm];
        let sky = draw.around(0.0, 0.08 * k);
        Light {
            direction: unit(direction),
            lamp: scale(tint, 1.06 * hardness),
            ambient: scale([1.0 - sky, 1.0, 1.0 + sky], 1.06 * (1.0 - hardness)),
        }
    }
}

impl Expression {
    fn sample(draw: &mut Draw, k: f32) -> Expression {
        let smile = if draw.chance(0.5) { draw.uniform(0.15, 1.0) } else { draw.around(0.0, 0.2) };
        let open = if draw.chance(0.3) { draw.uniform(0.1, 1.0) } else { 0.0 };
        let lids = if draw.chance(0.03 * k) { 0.95 } else { draw.around(-0.03, 0.15) };
        Expression {
            smile: (smile * k).clamp(-0.6, 1.0),
            open: (open * k).min(1.0),
            brows: (draw.around(0.08, 0.32) * k).clamp(-1.0, 1.0),
            lids: (lids * k.min(1.0) + 0.1 * smile.max(0.0) * k).clamp(-0.5, 1.0),
            pucker: if smile < 0.1 && draw.chance(0.08) { draw.uniform(0.2, 1.0) * k.min(1.0) } else { 0.0 },
            gaze: [
                (draw.around(0.0, 0.35) * k).clamp(-1.0, 1.0),
                (draw.around(0.0, 0.2) * k).clamp(-1.0, 1.0),
            ],
        }
    }
}

impl Glasses {
    fn sample(draw: &mut Draw) -> Glasses {
        let metal = draw.chance(0.4);
        Glasses {
            lens: [draw.uniform(11.5, 14.0), draw.uniform(7.5, 11.5)],
            roundness: draw.uniform(0.0, 1.0),
            rim: if metal { draw.uniform(0.7, 1.0) } else { draw.uniform(1.2, 2.2) },
            colour: if metal {
                scale(linear([170, 160, 140]), draw.uniform(0.4, 1.0))
            } else {
                ramp(
                    &[[18, 16, 16], [52, 30, 22], [96, 52, 30], [40, 46, 70], [120, 30, 40]],
                    draw.uniform(0.0, 1.0),
                )
            },
            tint: if draw.chance(0.2) { draw.uniform(0.75, 0.95) } else { draw.uniform(0.0, 0.12) },
        }
    }
}

impl Hat {
    fn sample(draw: &mut Draw) -> Hat {
        let woollen = draw.chance(0.5);
        Hat {
            colour: cloth(draw),
            edge: draw.uniform(16.0, 31.0),
            brim: if woollen { 0.0 } else { draw.uniform(14.0, 22.0) },
            knit: if woollen { draw.uniform(0.1, 0.3) } else { 0.0 },
        }
    }
}

impl Obstacle {
    fn sample(draw: &mut Draw) -> Obstacle {
        let side = if draw.chance(0.5) { -1.0 } else { 1.0 };
        if draw.chance(0.55) {
            let skin = ramp(
                &[[232, 190, 164], [196, 144, 110], [120, 78, 54], [74, 48, 36]],
                draw.uniform(0.0, 1.0),
            );
            return Obstacle::Hand {
                at: [48.0 + side * draw.uniform(16.0, 34.0), draw.uniform(90.0, 108.0)],
                angle: -std::f32::consts::FRAC_PI_2 - side * draw.uniform(0.0, 0.9),
                colour: skin,
            };
        }
        Obstacle::Bar {
            at: [48.0 + side * draw.uniform(30.0, 48.0), draw.uniform(30.0, 90.0)],
            angle: std::f32::consts::FRAC_PI_2 + draw.around(0.0, 0.3),
            half_width: draw.uniform(4.0, 16.0),
            colour: cloth(draw),
        }
    }
}

impl Backdrop {
    fn sample(draw: &mut Draw, k: f32) -> Backdrop {
        let plain = linear([166, 172, 178]);
        let colours = [cloth(draw), cloth(draw)].map(|c| blend(plain, c, k.min(1.0)));
        Backdrop {
            colours,
            clutter: draw.uniform(0.0, 0.9) * k.min(1.0),
            clothes: cloth(draw),
            texture: draw.bits() as u32,
        }
    }
}

impl Camera {
    fn sample(draw: &mut Draw, k: f32) -> Camera {
        let blurred = draw.chance(0.33);
        let small = draw.chance(0.25 * k.min(1.0));
        let grey = draw.chance(0.04 * k);
        Camera {
            exposure: (draw.around(0.0, 0.28) * k).exp(),
            contrast: 1.0 + draw.around(0.0, 0.1 * k),
            saturation: if grey { 0.0 } else { (1.0 + draw.around(-0.08, 0.13 * k)).max(0.0) },
            balance: [1.0 + draw.around(0.0, 0.05 * k), 1.0, 1.0 + draw.around(0.0, 0.07 * k)],
            blur: if blurred { draw.uniform(0.3, 1.1) * k } else { 0.0 },
            resolution: if small { draw.uniform(0.45, 0.85) } else { 1.0 },
            noise: draw.uniform(0.003, 0.022) * k,
            texture: draw.bits() as u32,
        }
    }
}

fn cloth(draw: &mut Draw) -> Colour {
    let value = draw.uniform(0.02, 0.75).powf(1.3);
    let grey = [value; 3];
    let hue = std::array::from_fn(|_| value * draw.uniform(0.4, 1.4));
    blend(grey, hue, draw.uniform(0.0, 1.0))
}

pub(super) fn unit(v: [f32; 3]) -> [f32; 3] {
    let length = (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt();
    v.map(|c| c / length)
}
