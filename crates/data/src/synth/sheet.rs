//! A grid of points that is a surface: positions, normals and what interpolates between its points.

/// Numbers that interpolate over a sheet; [`Attribute`] says which is which.
pub(super) type Values = [f32; 8];

/// Meaning of the [`Values`] of a point.
pub(super) enum Attribute {}

impl Attribute {
    /// Face space x, or distance around the head for hair.
    pub(super) const X: usize = 0;
    /// Face space y.
    pub(super) const Y: usize = 1;
    /// Red of the diffuse light that arrives; green and blue follow.
    pub(super) const LIGHT: usize = 2;
    /// Strength of the mirrored light.
    pub(super) const SHINE: usize = 5;
    /// Redness of skin, or depth inside the edge of hair.
    pub(super) const BLUSH: usize = 6;
    /// Density of beard or stubble.
    pub(super) const BEARD: usize = 7;
}

/// Hair this far outside its edge, in pixels, is never seen, however ragged the edge.
pub(super) const UNSEEN: f32 = -6.0;

/// What a sheet is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Material {
    Skin,
    Ear,
    Body,
    Hair,
    Hat,
}

/// A grid of points, row after row.
pub(super) struct Sheet {
    pub(super) material: Material,
    pub(super) columns: usize,
    pub(super) rows: usize,
    /// Whether its back is never seen, because its front or another sheet hides it.
    pub(super) one_sided: bool,
    /// Face space, then camera space after [`super::view::View::turn`].
    pub(super) points: Vec<[f32; 3]>,
    pub(super) values: Vec<Values>,
    /// Occlusion by the surroundings, 1 in the open.
    pub(super) openness: Vec<f32>,
}

impl Sheet {
    pub(super) fn new(material: Material, columns: usize, rows: usize) -> Sheet {
        let count = columns * rows;
        Sheet {
            material,
            columns,
            rows,
            one_sided: matches!(material, Material::Skin | Material::Body),
            points: Vec::with_capacity(count),
            values: Vec::with_capacity(count),
            openness: Vec::with_capacity(count),
        }
    }

    pub(super) fn push(&mut self, point: [f32; 3], values: Values, openness: f32) {
        self.points.push(point);
        self.values.push(values);
        self.openness.push(openness);
    }

    /// The unit normal at a point from its neighbours in the grid; it faces the viewer where the sheet does.
    pub(super) fn normal(&self, column: usize, row: usize) -> [f32; 3] {
        let at = |c: usize, r: usize| self.points[r * self.columns + c];
        let (left, right) = (at(column.saturating_sub(1), row), at((column + 1).min(self.columns - 1), row));
        let (above, below) = (at(column, row.saturating_sub(1)), at(column, (row + 1).min(self.rows - 1)));
        let u = [right[0] - left[0], right[1] - left[1], right[2] - left[2]];
        let v = [below[0] - above[0], below[1] - above[1], below[2] - above[2]];
        let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        let length = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt();
        if length < 1e-9 { [0.0, 0.0, 1.0] } else { n.map(|c| c / length) }
    }

    /// Values at a fractional place in the grid.
    pub(super) fn at(&self, column: f32, row: f32) -> Values {
        let (c, r) =
            ((column.max(0.0) as usize).min(self.columns - 2), (row.max(0.0) as usize).min(self.rows - 2));
        let (u, v) = (column - c as f32, row - r as f32);
        let first = r * self.columns + c;
        let second = first + self.columns;
        let weights = [(1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v];
        let corners =
            [&self.values[first], &self.values[first + 1], &self.values[second], &self.values[second + 1]];
        let mut values = [0.0; 8];
        for (weight, corner) in weights.iter().zip(corners) {
            for (value, c) in values.iter_mut().zip(corner) {
                *value += weight * c;
            }
        }
        values
    }
}
