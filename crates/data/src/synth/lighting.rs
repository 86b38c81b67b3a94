//! Light on the sheets: one lamp with cast shadows, surroundings, and a mirrored part.

use super::nuisance::{Light, unit};
use super::sheet::{Attribute, Material, Sheet, UNSEEN};

/// Side of the shadow map in cells, and the size of a cell in pixels.
const CELLS: usize = 72;
const CELL: f32 = 2.6;
/// A surface this much deeper than the nearest one in its cell is in the shade.
const BIAS: f32 = 4.5;

/// Depth of the nearest surface towards the lamp, on a grid across the light.
pub(super) struct Shadows {
    towards: [f32; 3],
    across: [[f32; 3]; 2],
    nearest: Vec<f32>,
}

impl Shadows {
    /// The shadows that `sheets` (camera space) cast in `light`.
    pub(super) fn cast<'a>(sheets: impl Iterator<Item = &'a Sheet>, light: &Light) -> Shadows {
        let towards = light.direction;
        let first = unit([towards[2] + 1e-4, 0.0, -towards[0]]);
        let second = [
            towards[1] * first[2] - towards[2] * first[1],
            towards[2] * first[0] - towards[0] * first[2],
            towards[0] * first[1] - towards[1] * first[0],
        ];
        let mut shadows =
            Shadows { towards, across: [first, second], nearest: vec![f32::NEG_INFINITY; CELLS * CELLS] };
        for sheet in sheets {
            for (point, values) in sheet.points.iter().zip(&sheet.values) {
                // Hair outside its edge is not there.
                if matches!(sheet.material, Material::Hair | Material::Hat) && values[Attribute::BLUSH] < 0.0
                {
                    continue;
                }
                let (u, v, depth) = shadows.place(*point);
                if let Some(i) = cell(u, v) {
                    shadows.nearest[i] = shadows.nearest[i].max(depth);
                }
            }
        }
        shadows
    }

    fn place(&self, p: [f32; 3]) -> (f32, f32, f32) {
        let q = [p[0], p[1] - 60.0, p[2]];
        let dot = |a: [f32; 3]| a[0] * q[0] + a[1] * q[1] + a[2] * q[2];
        let middle = CELLS as f32 / 2.0;
        (dot(self.across[0]) / CELL + middle, dot(self.across[1]) / CELL + middle, dot(self.towards))
    }

    /// How much of the lamp reaches `p`, 0 to 1, softened over three cells.
    fn lit(&self, p: [f32; 3]) -> f32 {
        let (u, v, depth) = self.place(p);
        let mut sum = 0.0;
        for (du, dv) in [(-0.8, -0.4), (0.8, 0.4), (-0.4, 0.8), (0.4, -0.8), (0.0, 0.0)] {
            let nearest = cell(u + du, v + dv).map_or(f32::NEG_INFINITY, |i| self.nearest[i]);
            sum += 1.0 - ((nearest - depth - BIAS) / 3.0).clamp(0.0, 1.0);
        }
        sum / 5.0
    }
}

fn cell(u: f32, v: f32) -> Option<usize> {
    let inside = u >= 0.0 && v >= 0.0 && u < CELLS as f32 && v < CELLS as f32;
    inside.then(|| v as usize * CELLS + u as usize)
}

/// Writes the light that arrives at every point of a sheet (camera space) into its values.
pub(super) fn illuminate(sheet: &mut Sheet, light: &Light, shadows: &Shadows) {
    // Skin scatters light sideways, red the most, so its shadows are soft and warm.
    let wrap = match sheet.material {
        Material::Skin | Material::Ear => [0.27, 0.18, 0.15],
        Material::Body | Material::Hair | Material::Hat => [0.15; 3],
    };
    let l = light.direction;
    let half = unit([l[0], l[1], l[2] + 1.0]);
    for row in 0..sheet.rows {
        for column in 0..sheet.columns {
            let i = row * sheet.columns + column;
            // What is far outside the edge of hair is never seen.
            if sheet.values[i][Attribute::BLUSH] < UNSEEN {
                continue;
            }
            let mut n = sheet.normal(column, row);
            if n[2] < -0.35 && matches!(sheet.material, Material::Skin | Material::Body) {
                continue;
            }
            if n[2] < 0.0 && matches!(sheet.material, Material::Hair | Material::Hat) {
                n = n.map(|c| -c);
            }
            let toward = n[0] * l[0] + n[1] * l[1] + n[2] * l[2];
            let lit = shadows.lit(sheet.points[i]);
            // Light from the surroundings comes from above more than from below.
            let sky = sheet.openness[i] * (0.82 - 0.26 * n[1] + 0.1 * n[2]);
            let lamp_share = lit * (0.55 + 0.45 * sheet.openness[i]);
            for (channel, wrap) in wrap.into_iter().enumerate() {
                let lamp = ((toward + wrap) / (1.0 + wrap)).max(0.0);
                sheet.values[i][Attribute::LIGHT + channel] =
                    light.lamp[channel] * lamp * lamp_share + light.ambient[channel] * sky;
            }
            let mirrored = (n[0] * half[0] + n[1] * half[1] + n[2] * half[2]).max(0.0);
            let sharp = mirrored * mirrored;
            let sharp = sharp * sharp * sharp;
            sheet.values[i][Attribute::SHINE] = sharp * sharp * lit * sheet.openness[i];
        }
    }
}
