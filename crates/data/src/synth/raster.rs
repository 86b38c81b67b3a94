//! Which point of which sheet is seen at each sample of the picture: triangles and a depth buffer.

use super::frame::Point;
use super::sheet::Sheet;

/// No sheet covers the sample.
pub(super) const NOTHING: u8 = u8::MAX;

/// Per sample: the nearest sheet, and where in its grid.
pub(super) struct Visible {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) depth: Vec<f32>,
    pub(super) sheet: Vec<u8>,
    /// Column and row in the grid of the sheet.
    pub(super) place: Vec<[f32; 2]>,
}

impl Visible {
    pub(super) fn new(width: usize, height: usize) -> Visible {
        let count = width * height;
        Visible {
            width,
            height,
            depth: vec![f32::NEG_INFINITY; count],
            sheet: vec![NOTHING; count],
            place: vec![[0.0; 2]; count],
        }
    }

    /// Draws `sheet` as number `index`. `screen` holds the place of every point in samples and `wanted` says
    /// whether a place in the grid is there at all.
    pub(super) fn draw(
        &mut self,
        index: u8,
        sheet: &Sheet,
        screen: &[Point],
        possible: &dyn Fn(usize) -> bool,
        wanted: &dyn Fn(f32, f32) -> bool,
    ) {
        for row in 0..sheet.rows - 1 {
            for column in 0..sheet.columns - 1 {
                let i = row * sheet.columns + column;
                let corners = [i, i + 1, i + sheet.columns, i + sheet.columns + 1];
                if !corners.iter().any(|&c| possible(c)) {
                    continue;
                }
                let vertex = |c: usize, u: f32, v: f32| {
                    let [x, y] = screen[c];
                    [x, y, sheet.points[c][2], column as f32 + u, row as f32 + v]
                };
                let [a, b] = [vertex(corners[0], 0.0, 0.0), vertex(corners[1], 1.0, 0.0)];
                let [c, d] = [vertex(corners[2], 0.0, 1.0), vertex(corners[3], 1.0, 1.0)];
                self.triangle(index, &a, &b, &c, wanted);
                self.triangle(index, &b, &d, &c, wanted);
            }
        }
    }

    fn triangle(
        &mut self,
        index: u8,
        a: &[f32; 5],
        b: &[f32; 5],
        c: &[f32; 5],
        wanted: &dyn Fn(f32, f32) -> bool,
    ) {
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        if area.abs() < 1e-6 {
            return;
        }
        let low = |p: f32, q: f32, r: f32| (p.min(q).min(r) - 0.5).ceil().max(0.0) as usize;
        let high = |p: f32, q: f32, r: f32, end: usize| {
            ((p.max(q).max(r) - 0.5).floor() + 1.0).clamp(0.0, end as f32) as usize
        };
        let (left, right) = (low(a[0], b[0], c[0]), high(a[0], b[0], c[0], self.width));
        let (top, bottom) = (low(a[1], b[1], c[1]), high(a[1], b[1], c[1], self.height));
        let inverse = 1.0 / area;
        for y in top..bottom {
            let py = y as f32 + 0.5;
            for x in left..right {
                let px = x as f32 + 0.5;
                let wb = ((px - a[0]) * (c[1] - a[1]) - (py - a[1]) * (c[0] - a[0])) * inverse;
                let wc = ((b[0] - a[0]) * (py - a[1]) - (b[1] - a[1]) * (px - a[0])) * inverse;
                let wa = 1.0 - wb - wc;
                if wa < 0.0 || wb < 0.0 || wc < 0.0 {
                    continue;
                }
                let depth = wa * a[2] + wb * b[2] + wc * c[2];
                let i = y * self.width + x;
                if depth <= self.depth[i] {
                    continue;
                }
                let place = [wa * a[3] + wb * b[3] + wc * c[3], wa * a[4] + wb * b[4] + wc * c[4]];
                if wanted(place[0], place[1]) {
                    self.depth[i] = depth;
                    self.sheet[i] = index;
                    self.place[i] = place;
                }
            }
        }
    }
}
