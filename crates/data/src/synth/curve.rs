//! The small shapes everything is built from: smooth steps, bumps, splines and points in the plane.

/// A colour as linear light, red green blue.
pub(super) type Colour = [f32; 3];

/// 0 below `low`, 1 above `high`, smooth between.
pub(super) fn step(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A smooth hill of height 1 at 0 that ends at 1; the argument is a squared distance.
pub(super) fn bump(squared: f32) -> f32 {
    let rest = (1.0 - squared).max(0.0);
    rest * rest
}

/// [`bump`] of an ellipse with half axes `rx`, `ry`.
pub(super) fn hill(dx: f32, dy: f32, rx: f32, ry: f32) -> f32 {
    let (u, v) = (dx / rx, dy / ry);
    bump(u * u + v * v)
}

/// Length of a vector; `f32::hypot` guards against overflow, which pixels do not need, and is slower.
pub(super) fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

/// Linear interpolation.
pub(super) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// Linear interpolation of colours.
pub(super) fn blend(a: Colour, b: Colour, t: f32) -> Colour {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}

/// A colour times a number.
pub(super) fn scale(a: Colour, factor: f32) -> Colour {
    [a[0] * factor, a[1] * factor, a[2] * factor]
}

/// The product of two colours, channel by channel.
pub(super) fn filter(a: Colour, b: Colour) -> Colour {
    [a[0] * b[0], a[1] * b[1], a[2] * b[2]]
}

/// The brightness of a linear colour (ITU-R BT.709).
pub(super) fn luminance(a: Colour) -> f32 {
    0.2126 * a[0] + 0.7152 * a[1] + 0.0722 * a[2]
}

/// Linear light of an sRGB colour given in 0..255 (IEC 61966-2-1).
pub(super) fn linear(rgb: [u8; 3]) -> Colour {
    rgb.map(|value| {
        let v = f32::from(value) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    })
}

/// The colour at `t` in 0..1 of a ramp of evenly spaced sRGB colours.
pub(super) fn ramp(stops: &[[u8; 3]], t: f32) -> Colour {
    let place = t.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
    let first = (place as usize).min(stops.len() - 2);
    blend(linear(stops[first]), linear(stops[first + 1]), place - first as f32)
}

/// A curve through knots (x ascending, y) that does not overshoot (Fritsch and Carlson 1980); constant outside.
#[derive(Debug, Clone)]
pub(super) struct Spline {
    knots: Vec<[f32; 2]>,
    slopes: Vec<f32>,
}

impl Spline {
    pub(super) fn new(knots: &[[f32; 2]]) -> Spline {
        let secant = |i: usize| (knots[i + 1][1] - knots[i][1]) / (knots[i + 1][0] - knots[i][0]);
        let last = knots.len() - 1;
        let slopes = (0..=last)
            .map(|i| {
                if i == 0 || i == last {
                    return secant(i.min(last - 1));
                }
                let (before, after) = (secant(i - 1), secant(i));
                if before * after <= 0.0 { 0.0 } else { 2.0 * before * after / (before + after) }
            })
            .collect();
        Spline { knots: knots.to_vec(), slopes }
    }

    pub(super) fn at(&self, x: f32) -> f32 {
        let knots = &self.knots;
        let last = knots.len() - 1;
        if x <= knots[0][0] {
            return knots[0][1];
        }
        if x >= knots[last][0] {
            return knots[last][1];
        }
        let i = (1..last).find(|&i| x < knots[i][0]).unwrap_or(last) - 1;
        let width = knots[i + 1][0] - knots[i][0];
        let t = (x - knots[i][0]) / width;
        let (t2, t3) = (t * t, t * t * t);
        knots[i][1] * (2.0 * t3 - 3.0 * t2 + 1.0)
            + self.slopes[i] * width * (t3 - 2.0 * t2 + t)
            + knots[i + 1][1] * (3.0 * t2 - 2.0 * t3)
            + self.slopes[i + 1] * width * (t3 - t2)
    }
}

/// Distance from `p` to the segment from `a` to `b`.
pub(super) fn segment(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (ab, ap) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let t = ((ap[0] * ab[0] + ap[1] * ab[1]) / (ab[0] * ab[0] + ab[1] * ab[1]).max(1e-6)).clamp(0.0, 1.0);
    length(ap[0] - t * ab[0], ap[1] - t * ab[1])
}
