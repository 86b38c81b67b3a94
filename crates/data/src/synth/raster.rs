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
                self.triangle(index, &a, &b, &c, sheet.one_sided, wanted);
                self.triangle(index, &b, &d, &c, sheet.one_sided, wanted);
            }
        }
    }

    fn triangle(
        &mut self,
        index: u8,
        a: &[f32; 5],
        b: &[f32; 5],
        c: &[f32; 5],
        one_sided: bool,
        wanted: &dyn Fn(f32, f32) -> bool,
    ) {
        // Samples sit at halves, so the first one at or after `p` is `p + 0.5` cut down, and so is the end.
        let index_of = |p: f32, end: usize| (p + 0.5).clamp(0.0, end as f32) as usize;
        let left = index_of(a[0].min(b[0]).min(c[0]), self.width);
        let right = index_of(a[0].max(b[0]).max(c[0]), self.width);
        let top = index_of(a[1].min(b[1]).min(c[1]), self.height);
        let bottom = index_of(a[1].max(b[1]).max(c[1]), self.height);
        if left >= right || top >= bottom {
            return;
        }
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
        // A triangle seen from its back has its corners the other way around.
        if area.abs() < 1e-6 || one_sided && area < 0.0 {
            return;
        }
        let inverse = 1.0 / area;
        // Weights of b and c: how they grow along x, and where they are at the left of a row.
        let (b_along, c_along) = ((c[1] - a[1]) * inverse, -(b[1] - a[1]) * inverse);
        let (b_down, c_down) = (-(c[0] - a[0]) * inverse, (b[0] - a[0]) * inverse);
        let (start_x, start_y) = (left as f32 + 0.5 - a[0], top as f32 + 0.5 - a[1]);
        for y in top..bottom {
            let dy = start_y + (y - top) as f32;
            for x in left..right {
                let dx = start_x + (x - left) as f32;
                let wb = dx * b_along + dy * b_down;
                let wc = dx * c_along + dy * c_down;
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
