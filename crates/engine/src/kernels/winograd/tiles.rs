//! The tiles of a batch of images, and the planes that their transforms lie in.
//!
//! A plane holds one of the 36 elements of every transformed tile, for all channels.

use std::ops::Range;

use net::Shape;

use super::transform;
use crate::gemm::{BLOCK, MAX_LANES, Panels, Vector, by_vector};
use crate::isa::Isa;
use crate::pool::Shared;

/// Outputs of a tile along one side.
pub(super) const OUTPUTS: usize = 4;
/// Inputs of a tile along one side: those of its outputs and one more on either side.
pub(super) const INPUTS: usize = OUTPUTS + 2;
/// Elements of a transformed tile.
pub(super) const PLANES: usize = INPUTS * INPUTS;

/// The output tiles of `images` maps of one shape, in the order of image, row, column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    images: usize,
    shape: Shape,
    down: usize,
    across: usize,
}

impl Tiles {
    pub(super) fn new(images: usize, shape: Shape) -> Tiles {
        let (down, across) = (shape.height.div_ceil(OUTPUTS), shape.width.div_ceil(OUTPUTS));
        Tiles { images, shape, down, across }
    }

    pub(super) fn count(&self) -> usize {
        self.images * self.down * self.across
    }

    fn len(&self) -> usize {
        self.images * self.shape.elements()
    }

    /// Calls `visit(row, column, offset)` for the pixels of the square of `SIZE` whose first pixel lies `before`
    /// pixels before that of `tile`, above and to the left; the offset is `None` outside the image.
    #[inline(always)]
    fn square<const SIZE: usize>(
        &self,
        tile: usize,
        before: usize,
        mut visit: impl FnMut(usize, usize, Option<usize>),
    ) {
        let Shape { height, width, channels } = self.shape;
        let (position, left) = (tile / self.across, tile % self.across * OUTPUTS);
        let (image, top) = (position / self.down, position % self.down * OUTPUTS);
        for row in 0..SIZE {
            let y = (top + row).wrapping_sub(before);
            let line = (image * height).wrapping_add(y).wrapping_mul(width);
            for column in 0..SIZE {
                let x = (left + column).wrapping_sub(before);
                visit(row, column, (y < height && x < width).then(|| (line + x) * channels));
            }
        }
    }
}

/// Where the transforms of some tiles lie: each of the 36 planes starts `stride` after the one before.
///
/// Planes are a cache line longer than they need be where that keeps them from competing for one cache set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub(super) stride: usize,
    order: Order,
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Blocks { tiles: usize },
    Panels(Panels),
    Rows { channels: usize },
}

/// Floats in a cache line.
const LINE: usize = 16;

/// The least length from `len` on that is an odd number of cache lines.
fn odd_lines(len: usize) -> usize {
    let lines = len.div_ceil(LINE);
    (lines + 1 - lines % 2) * LINE
}

impl Planes {
    /// `[channels / BLOCK, tiles, BLOCK]`: the left side of a blocked product.
    pub(super) fn blocks(tiles: usize, channels: usize) -> Planes {
        let stride = odd_lines(channels.div_ceil(BLOCK) * tiles * BLOCK);
        Planes { stride, order: Order::Blocks { tiles } }
    }

    /// Panels of `[tiles, channels]`: the right side of a product over tiles.
    pub(super) fn panels(panels: Panels) -> Planes {
        Planes { stride: odd_lines(panels.len()), order: Order::Panels(panels) }
    }

    /// `[tiles, channels]`, rows padded to whole blocks: the left side of a product over tiles.
    pub(super) fn rows(tiles: usize, channels: usize) -> Planes {
        let channels = channels.next_multiple_of(BLOCK);
        Planes { stride: odd_lines(tiles * channels), order: Order::Rows { channels } }
    }

    /// Tiles in a block of channels.
    ///
    /// # Panics
    /// When the planes are not in blocks.
    pub(super) fn tiles(&self) -> usize {
        match self.order {
            Order::Blocks { tiles } => tiles,
            Order::Panels(_) | Order::Rows { .. } => panic!("planes without blocks: {self:?}"),
        }
    }

    /// Floats of all planes.
    pub(super) fn len(&self) -> usize {
        PLANES * self.stride
    }

    /// Where the vector of channels from `channel` on lies in a plane, and the distance of the next tile.
    #[inline(always)]
    fn place(&self, channel: usize) -> (usize, usize) {
        match self.order {
            Order::Blocks { tiles } => (channel / BLOCK * tiles * BLOCK + channel % BLOCK, BLOCK),
            Order::Panels(panels) => {
                let panel = panels.panel_of(channel);
                (panel.start + channel - panel.first_column, panel.width)
            }
            Order::Rows { channels } => (channel, channels),
        }
    }
}

/// What a tile reads before it is transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// Six by six activations around the tile, by `B^T d B`.
    Source,
    /// The tile's four by four gradients, by `A y A^T`.
    TargetGradient,
}

/// Writes the transforms of the tiles `taken` of `source` to the rows of `planes` from `first` on.
///
/// # Panics
/// When a slice does not fit the sizes.
#[expect(clippy::too_many_arguments, reason = "a transform has this many operands")]
pub(super) fn spread(
    isa: Isa,
    patch: Patch,
    tiles: &Tiles,
    taken: Range<usize>,
    source: &[f32],
    layout: Planes,
    first: usize,
    planes: Shared<'_, f32>,
) {
    assert_eq!(source.len(), tiles.len(), "maps of {tiles:?}");
    assert!(taken.end <= tiles.count() && planes.len() >= layout.len(), "planes of {layout:?}");
    if taken.is_empty() {
        return;
    }
    #[expect(unsafe_code, reason = "transforms whole vectors")]
    // SAFETY: the assertions above; offsets of pixels lie in the maps, the caller's layout has room for the
    // tiles taken, and their rows belong to its task alone.
    unsafe {
        match patch {
            Patch::Source => by_vector!(
                isa,
                spread_sources,
                (tiles: &Tiles, taken: Range<usize>, source: &[f32], layout: Planes, first: usize, planes: Shared<'_, f32>)
            ),
            Patch::TargetGradient => by_vector!(
                isa,
                spread_gradients,
                (tiles: &Tiles, taken: Range<usize>, source: &[f32], layout: Planes, first: usize, planes: Shared<'_, f32>)
            ),
        }
    }
}

/// What stands for a vector of a pixel outside the image.
static OUTSIDE: [f32; MAX_LANES] = [0.0; MAX_LANES];

/// Where the vectors of one pixel are: `start`, and that many channels on where `reach` is all ones.
#[derive(Clone, Copy)]
struct Pixel {
    start: *const f32,
    reach: usize,
}

impl Pixel {
    const OUTSIDE: Pixel = Pixel { start: OUTSIDE.as_ptr(), reach: 0 };

    /// Those of a tile's square.
    #[inline(always)]
    fn of_square<const SIZE: usize>(
        tiles: &Tiles,
        tile: usize,
        before: usize,
        source: &[f32],
    ) -> [[Pixel; SIZE]; SIZE] {
        let mut pixels = [[Pixel::OUTSIDE; SIZE]; SIZE];
        tiles.square::<SIZE>(tile, before, |row, column, offset| {
            if let Some(offset) = offset {
                pixels[row][column] = Pixel { start: source[offset..].as_ptr(), reach: usize::MAX };
            }
        });
        pixels
    }

    #[inline(always)]
    fn channel(self, channel: usize) -> *const f32 {
        self.start.wrapping_add(channel & self.reach)
    }
}

/// Makes a loop over tiles and vectors of channels around one transform.
macro_rules! spread_tiles {
    ($name:ident, $transform:path, $size:expr, $before:expr) => {
        #[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
        #[inline(always)]
        unsafe fn $name<V: Vector>(
            tiles: &Tiles,
            taken: Range<usize>,
            source: &[f32],
            layout: Planes,
            first: usize,
            planes: Shared<'_, f32>,
        ) {
            let channels = tiles.shape.channels;
            let whole = channels - channels % V::LANES;
            let mut ahead = Pixel::of_square::<{ $size }>(tiles, taken.start, $before, source);
            for (row, tile) in taken.clone().enumerate() {
                let pixels = ahead;
                if tile + 1 < taken.end {
                    ahead = Pixel::of_square::<{ $size }>(tiles, tile + 1, $before, source);
                }
                for channel in (0..channels).step_by(V::LANES) {
                    let (offset, step) = layout.place(channel);
                    let start = offset + (first + row) * step;
                    assert!(start + V::LANES <= layout.stride, "tile past its plane");
                    // SAFETY: whole vectors are read where the pixel has as many channels left, else from a
                    // copy on the stack; the assertion holds the last store.
                    unsafe {
                        // What the next tile reads and this one does not.
                        for line in &ahead {
                            for pixel in &line[2 * $before..] {
                                V::prefetch(pixel.channel(channel));
                            }
                        }
                        let mut patch = [[V::splat(0.0); $size]; $size];
                        if channel < whole {
                            for (patch, pixels) in patch.iter_mut().zip(&pixels) {
                                for (value, pixel) in patch.iter_mut().zip(pixels) {
                                    *value = V::load(pixel.channel(channel));
                                }
                            }
                        } else {
                            for (patch, pixels) in patch.iter_mut().zip(&pixels) {
                                for (value, pixel) in patch.iter_mut().zip(pixels) {
                                    let mut lanes = [0.0; MAX_LANES];
                                    for (lane, value) in lanes[..channels - whole].iter_mut().enumerate() {
                                        *value = *pixel.channel(channel + lane);
                                    }
                                    *value = V::load(lanes.as_ptr());
                                }
                            }
                        }
                        let spread = $transform(&patch);
                        let mut place = planes.range(0..0).as_mut_ptr().add(start);
                        for value in spread.as_flattened() {
                            value.store(place);
                            place = place.wrapping_add(layout.stride);
                        }
                    }
                }
            }
        }
    };
}
spread_tiles!(spread_sources, transform::source, INPUTS, 1);
spread_tiles!(spread_gradients, transform::d_target, OUTPUTS, 0);

/// Where the outputs of some tiles go.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) target: Shared<'a, f32>,
    /// Added to every output of a channel, `[channels]`.
    pub(super) bias: Option<&'a [f32]>,
    /// Whether to add to what is there.
    pub(super) accumulate: bool,
}

/// Writes the outputs of the tiles `taken` for the channels of one panel, `columns`, from its products,
/// 36 planes `[tiles, width]` that are `stride` apart.
///
/// # Panics
/// When a slice does not fit the sizes.
pub(super) fn merge(
    isa: Isa,
    outputs: Outputs<'_>,
    taken: Range<usize>,
    columns: Range<usize>,
    products: &[f32],
    sizes: [usize; 2],
) {
    let [stride, width] = sizes;
    let tiles = outputs.tiles;
    assert_eq!(outputs.target.len(), tiles.len(), "maps of {tiles:?}");
    assert!(columns.end <= tiles.shape.channels && columns.len() <= width, "channels of {tiles:?}");
    assert!(outputs.bias.is_none_or(|bias| bias.len() == tiles.shape.channels), "a bias for each channel");
    assert!(taken.end <= tiles.count(), "tiles of {tiles:?}");
    assert!(taken.len() * width <= stride && products.len() >= PLANES * stride, "products of tiles");
    #[expect(unsafe_code, reason = "transforms whole vectors")]
    // SAFETY: the assertions above; the pixels of the tiles taken belong to the caller's task alone.
    unsafe {
        by_vector!(
            isa,
            merge_tiles,
            (outputs: Outputs<'_>, taken: Range<usize>, columns: Range<usize>, products: &[f32], sizes: [usize; 2])
        );
    }
}

#[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn merge_tiles<V: Vector>(
    outputs: Outputs<'_>,
    taken: Range<usize>,
    columns: Range<usize>,
    products: &[f32],
    [stride, width]: [usize; 2],
) {
    for (row, tile) in taken.enumerate() {
        let mut square = [[None; OUTPUTS]; OUTPUTS];
        outputs.tiles.square::<OUTPUTS>(tile, 0, |row, column, offset| square[row][column] = offset);
        for channel in columns.clone().step_by(V::LANES) {
            let lanes = V::LANES.min(columns.end - channel);
            // SAFETY: `merge` checked that the products hold the tile's rows, whose width is that of whole
            // vectors; outputs are written as whole vectors only where the pixel has as many channels left.
            unsafe {
                let first = products.as_ptr().add(row * width + channel - columns.start);
                let mut patch = [[V::splat(0.0); INPUTS]; INPUTS];
                for (index, value) in patch.as_flattened_mut().iter_mut().enumerate() {
                    *value = V::load(first.add(index * stride));
                }
                let merged = transform::target(&patch);
                let mut shift = V::splat(0.0);
                if let Some(bias) = outputs.bias {
                    shift = V::load_some(&bias[channel..channel + lanes]);
                }
                for (line, square) in merged.iter().zip(&square) {
                    for (value, pixel) in line.iter().zip(square) {
                        let Some(pixel) = pixel else { continue };
                        let value = value.add(shift);
                        let target = outputs.target.range(pixel + channel..pixel + channel + lanes);
                        let value = if outputs.accumulate { V::load_some(target).add(value) } else { value };
                        value.store_some(target);
                    }
                }
            }
        }
    }
}
