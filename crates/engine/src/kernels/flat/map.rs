//! How positions of a map are laid end to end, so that the rows which a tap meets lie at one distance.
//!
//! A map is cut into one plane for each residue class of the step, and the rows of a plane follow one another, each with
//! enough zeros behind it that a tap which leaves the map, on either side, meets one. Grid position `p` then meets through
//! a tap the plane's position `p + offset`, with one offset for all `p`: also for those in the zeros behind a row, whose
//! sums are of no use.

use std::ops::Range;

use net::Shape;
use smallvec::SmallVec;

use crate::amx::{BLOCK, Run};
use crate::kernels::geometry::Tap;

/// The runs of a product's depth, and the taps of each: without an allocation those of kernels up to 3 x 3.
pub(super) type Runs = SmallVec<[(Run, SmallVec<[Tap; 9]>); 9]>;

/// A regular grid of positions and what of a source each meets: position `(y, x)` meets source position
/// `(y * step + tap.down, x * step + tap.right)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid<'a> {
    pub(super) images: usize,
    pub(super) source: Shape,
    pub(super) step: usize,
    pub(super) taps: &'a [Tap],
    pub(super) height: usize,
    pub(super) width: usize,
}

/// What a task takes at a time: some rows of the grid of some images, all rows where there are several.
#[derive(Clone, Debug)]
pub(super) struct Slab {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

/// Sizes of the planes of a slab. Lengths are counted in positions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    pub(super) step: usize,
    /// Rows and columns of zeros before those of the source.
    above: usize,
    left: usize,
    /// Rows of a plane from an image to the next.
    rows: usize,
    /// Positions from a row to the next.
    pub(super) across: usize,
    /// Farthest that a tap reaches past a grid position.
    reach: usize,
}

impl Map {
    pub(super) fn new(grid: &Grid<'_>) -> Map {
        let step = grid.step;
        let side = |size: usize, count: usize, reaches: &mut dyn Iterator<Item = isize>| {
            let (mut before, mut beyond) = (0, 0);
            for reach in reaches {
                before = before.max(reach.min(0).unsigned_abs());
                beyond = beyond.max(reach.max(0).unsigned_abs());
            }
            // A reach past the last position ends among the zeros before those of the next row.
            let last = ((count - 1) * step + beyond) / step + 1;
            (before, (size + before).div_ceil(step).max(count).max(last))
        };
        let (above, rows) = side(grid.source.height, grid.height, &mut grid.taps.iter().map(|tap| tap.down));
        let (left, across) = side(grid.source.width, grid.width, &mut grid.taps.iter().map(|tap| tap.right));
        let mut map = Map { step, above, left, rows, across, reach: 0 };
        map.reach = grid.taps.iter().map(|tap| map.meets(tap).1).max().unwrap_or(0);
        map
    }

    /// The plane that a tap meets and its offset there.
    pub(super) fn meets(&self, tap: &Tap) -> (usize, usize) {
        let down = (self.above as isize + tap.down) as usize;
        let right = (self.left as isize + tap.right) as usize;
        (down % self.step * self.step + right % self.step, down / self.step * self.across + right / self.step)
    }

    /// Number of planes.
    pub(super) fn planes(&self) -> usize {
        self.step * self.step
    }

    /// Grid positions of a slab, the useless ones among them.
    pub(super) fn positions(&self, slab: &Slab) -> usize {
        match slab.images.len() {
            1 => slab.rows.len() * self.across,
            images => images * self.rows * self.across,
        }
    }

    /// Positions of a plane that a slab of so many grid positions may read, in whole blocks.
    pub(super) fn plane(&self, positions: usize) -> usize {
        positions.next_multiple_of(BLOCK) + self.reach
    }

    /// The source row of each row of plane `plane` of a slab, from its first position on, as far as there are rows to
    /// read, `None` for one of zeros.
    pub(super) fn source_rows<'a>(
        &'a self,
        grid: &'a Grid<'_>,
        slab: &'a Slab,
        plane: usize,
    ) -> impl Iterator<Item = Option<usize>> + 'a {
        let first = plane / self.step;
        slab.images.clone().flat_map(move |image| {
            // One image may be read beyond the slab's rows, of several each ends in zeros.
            let rows = if slab.images.len() == 1 {
                slab.rows.start..slab.rows.end + self.reach / self.across + 1
            } else {
                0..self.rows
            };
            rows.map(move |row| {
                let y = (row * self.step + first).wrapping_sub(self.above);
                (y < grid.source.height).then(|| image * grid.source.height + y)
            })
        })
    }

    /// The first source column of plane `plane`, the position in a row where it lies, and how many there are.
    pub(super) fn source_columns(&self, width: usize, plane: usize) -> (usize, usize, usize) {
        let residue = plane % self.step;
        // Position c holds column c * step + residue - left.
        let start = self.left.saturating_sub(residue).div_ceil(self.step);
        let first = start * self.step + residue - self.left;
        let count = width.saturating_sub(first).div_ceil(self.step).min(self.across - start);
        (first, start, count)
    }

    /// The runs of a product's depth: elements of each tap's position that follow one another in memory, and the taps of
    /// each. `plane` is the positions of a plane.
    pub(super) fn runs(&self, taps: &[Tap], channels: usize, plane: usize) -> Runs {
        let place = |tap: &Tap| {
            let (index, offset) = self.meets(tap);
            (index * plane + offset) * channels
        };
        let mut sorted: SmallVec<[Tap; 9]> = SmallVec::from_slice(taps);
        sorted.sort_unstable_by_key(place);
        let mut runs = Runs::new();
        let mut end = None;
        for tap in sorted {
            let here = place(&tap);
            match runs.last_mut() {
                Some((_, taps)) if end == Some(here) => taps.push(tap),
                _ => {
                    let offset = (here * size_of::<u16>()) as isize;
                    runs.push((Run { offset, steps: 0 }, SmallVec::from_iter([tap])));
                }
            }
            end = Some(here + channels);
        }
        for (run, taps) in &mut runs {
            run.steps = (taps.len() * channels).div_ceil(2 * crate::amx::TILE);
        }
        runs
    }
}

/// How a grid is cut into slabs, by its sizes alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slabs {
    first_image: usize,
    images: usize,
    rows: usize,
    /// Slabs of several images, or of one image.
    cut: Cut,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Images(usize),
    Rows(usize),
}

impl Slabs {
    pub(super) fn len(&self) -> usize {
        match self.cut {
            Cut::Images(slabs) => slabs,
            Cut::Rows(parts) => self.images * parts,
        }
    }

    pub(super) fn get(&self, index: usize) -> Slab {
        match self.cut {
            Cut::Images(slabs) => {
                let bound = |index: usize| self.first_image + index * self.images / slabs;
                Slab { images: bound(index)..bound(index + 1), rows: 0..self.rows }
            }
            Cut::Rows(parts) => {
                let (image, part) = (self.first_image + index / parts, index % parts);
                let bound = |part: usize| part * self.rows / parts;
                Slab { images: image..image + 1, rows: bound(part)..bound(part + 1) }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Slab> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl Grid<'_> {
    /// The slabs of some images, of at most so many bytes of planes with `channels` of bf16, but at least one row each, and
    /// at least `least` of them where there are as many rows.
    pub(super) fn slabs(
        &self,
        taken: Range<usize>,
        map: &Map,
        channels: usize,
        bytes: usize,
        least: usize,
    ) -> Slabs {
        let row = map.planes() * map.across * channels * size_of::<u16>();
        let rows = self.height;
        let most = (bytes / (row * map.rows)).min(taken.len() / least);
        let cut = if most > 0 {
            Cut::Images(taken.len().div_ceil(most))
        } else {
            let parts = least.div_ceil(taken.len()).max(rows.div_ceil((bytes / row).max(1)));
            Cut::Rows(parts.min(rows))
        };
        Slabs { first_image: taken.start, images: taken.len(), rows, cut }
    }
}
