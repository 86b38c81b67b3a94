//! How a step is cut into groups, tiles and panels, and how much memory each part takes.

use std::ops::Range;

use super::GROUPS;
use crate::gemm::word_tile::{DEPTH_WORDS, ROW_STRIDE};
use crate::gemm::words::PANEL;
use crate::precision::Precision;

/// Classes of a tile: whole blocks of AMX, and about whole register tiles of the others. Its directions and exponentials stay in
/// the second-level cache.
pub(super) const TILE: usize = 192;

/// Classes whose centres are updated at a time, while their gradient is in the second-level cache.
pub(super) const UPDATE: usize = 64;

/// Exponentials kept between the two walks take at most this share of the centres' memory ...
const KEPT_SHARE: usize = 4;
/// ... or this many bytes, where that is more.
pub(super) const KEPT_BYTES: usize = 16 << 20;

/// Sizes of a step, and what follows from them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) precision: Precision,
    pub(super) samples: usize,
    /// Rows of centres: the classes, or several centres of each, which lie together.
    pub(super) classes: usize,
    /// Centres of a class, at most [`TILE`].
    pub(super) per_class: usize,
    pub(super) dimension: usize,
    /// Bytes of exponentials that are kept where [`KEPT_SHARE`] is less; none are kept at all where there is none.
    pub(super) least_kept: Option<usize>,
}

impl Layout {
    /// Panels of samples.
    pub(super) fn sample_panels(&self) -> usize {
        self.samples.div_ceil(PANEL)
    }

    /// Samples with those that fill the last panel.
    pub(super) fn padded_samples(&self) -> usize {
        self.sample_panels() * PANEL
    }

    /// Panels of the feature dimension.
    pub(super) fn dimension_panels(&self) -> usize {
        self.dimension.div_ceil(PANEL)
    }

    /// The dimension with what fills its last panel.
    pub(super) fn padded_dimension(&self) -> usize {
        self.dimension_panels() * PANEL
    }

    /// Words of a direction.
    pub(super) fn direction_words(&self) -> usize {
        self.precision.words(self.dimension)
    }

    /// Words of a class's gradients of cosines.
    pub(super) fn cosine_words(&self) -> usize {
        self.precision.words(self.padded_samples())
    }

    /// Words of a panel's samples in one row.
    pub(super) fn panel_words(&self) -> usize {
        self.precision.words(PANEL)
    }

    /// Words in depth of a tile's classes.
    pub(super) fn class_words(&self, classes: usize) -> usize {
        classes.div_ceil(self.precision.per_word())
    }

    /// Words between two steps in depth of directions that lie across their classes: no power of two, so that they
    /// do not compete for one cache set.
    pub(super) fn across_stride(&self) -> usize {
        self.padded_dimension() + 16
    }

    /// Rows of a tile: as many as [`TILE`] holds without parting the centres of a class.
    pub(super) fn tile(&self) -> usize {
        TILE / self.per_class * self.per_class
    }

    fn tiles_of_group(&self) -> usize {
        self.classes.div_ceil(self.tile()).div_ceil(GROUPS)
    }

    /// Number of groups, at most [`GROUPS`].
    pub(super) fn groups(&self) -> usize {
        self.classes.div_ceil(self.tiles_of_group() * self.tile())
    }

    /// The classes of a group.
    pub(super) fn group(&self, index: usize) -> Range<usize> {
        let classes = self.tiles_of_group() * self.tile();
        index * classes..((index + 1) * classes).min(self.classes)
    }

    /// Words of a tile's kept exponentials: `[sample panels][TILE][panel words]`.
    pub(super) fn kept_tile(&self) -> usize {
        self.sample_panels() * TILE * self.panel_words()
    }

    /// Tiles of each group, its first ones, whose exponentials are kept: what the budget allows, to within a tile
    /// of a group. Depends on the sizes alone.
    pub(super) fn kept_tiles_of_group(&self) -> usize {
        let Some(least_kept) = self.least_kept else { return 0 };
        let centres = self.classes * self.dimension * size_of::<f32>();
        let tile = self.kept_tile() * size_of::<u32>();
        let tiles = (centres / KEPT_SHARE).max(least_kept) / tile;
        tiles.div_ceil(self.groups()).min(self.tiles_of_group())
    }
}

/// Words of `rows` rows of `depth` words as row-major blocks, `[blocks of depth][rows][ROW_STRIDE]`.
pub(super) fn row_blocks(depth: usize, rows: usize) -> usize {
    depth.div_ceil(DEPTH_WORDS) * rows * ROW_STRIDE
}

/// The blocks of a depth.
pub(super) fn depth_blocks(depth: usize) -> impl Iterator<Item = Range<usize>> {
    (0..depth).step_by(DEPTH_WORDS).map(move |start| start..(start + DEPTH_WORDS).min(depth))
}
