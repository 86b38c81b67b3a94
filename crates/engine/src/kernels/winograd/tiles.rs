//! The tiles of a batch of images, and the planes that their transforms lie in.
//!
//! A plane holds one of the 36 elements of every transformed tile, for all channels, in words: in bf16 two channels
//! share one in the left side of a convolution's products, two tiles in either side of products over tiles.

use std::ops::Range;

use net::Shape;

use super::Finish;
use super::transform::{self, Square};
use crate::gemm::{APART, BLOCK, Format, MAX_LANES, Panels, Store, Vector, by_format, by_vector};
use crate::isa::Isa;
use crate::kernels::batch_norm::PartMoments;
use crate::kernels::stored::{SharedStored, Stored};
use crate::pool::Shared;
use crate::precision::Precision;

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

/// Where the transforms of some tiles lie: each of the 36 planes starts `stride` words after the one before.
///
/// Planes are a cache line longer than they need be where that keeps them from competing for one cache set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub(super) stride: usize,
    precision: Precision,
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
    pub(super) fn blocks(precision: Precision, tiles: usize, channels: usize) -> Planes {
        let stride = odd_lines(precision.words(channels).div_ceil(BLOCK) * tiles * BLOCK);
        Planes { stride, precision, order: Order::Blocks { tiles } }
    }

    /// Panels of words, `[tiles, channels]`: the right side of a product over tiles.
    pub(super) fn panels(precision: Precision, panels: Panels) -> Planes {
        Planes { stride: odd_lines(panels.len()), precision, order: Order::Panels(panels) }
    }

    /// `[tiles, channels]`, rows padded to whole blocks and long ones to an odd number of lines, since products read a few
    /// channels of every row: the left side of a product over tiles.
    pub(super) fn rows(precision: Precision, tiles: usize, channels: usize) -> Planes {
        /// Floats from which on a row is long: so far apart less than a cache of lines would be kept.
        const LONG: usize = 128;
        let channels = if channels < LONG { channels.next_multiple_of(BLOCK) } else { odd_lines(channels) };
        let stride = odd_lines(tiles.div_ceil(precision.per_word()) * channels);
        Planes { stride, precision, order: Order::Rows { channels } }
    }

    /// Tiles that share a word.
    #[inline(always)]
    fn tiles_in_word(&self) -> usize {
        match self.order {
            Order::Blocks { .. } => 1,
            Order::Panels(_) | Order::Rows { .. } => self.precision.per_word(),
        }
    }

    /// Words of a tile in a plane.
    #[inline(always)]
    fn words(&self, channels: usize) -> usize {
        match self.order {
            Order::Blocks { .. } => self.precision.words(channels),
            Order::Panels(_) | Order::Rows { .. } => channels,
        }
    }

    /// The first channel of a vector of words, and that of the second element of those words.
    #[inline(always)]
    fn channels(&self, word: usize) -> [usize; 2] {
        match (self.order, self.precision) {
            (Order::Blocks { .. }, Precision::Bf16) => {
                let first = word / APART * 2 * APART + word % APART;
                [first, first + APART]
            }
            _ => [word, word],
        }
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

    /// Words of all planes.
    pub(super) fn len(&self) -> usize {
        PLANES * self.stride
    }

    /// Where the vector of words from `channel` on lies in a plane, and the distance of the next tile or pair.
    #[inline(always)]
    pub(super) fn place(&self, channel: usize) -> (usize, usize) {
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

/// Writes the transforms of the tiles `taken` of `source` to `planes`, the first of them as tile `first`.
///
/// # Panics
/// When a slice does not fit the sizes.
#[expect(clippy::too_many_arguments, reason = "a transform has this many operands")]
pub(super) fn spread(
    isa: Isa,
    patch: Patch,
    tiles: &Tiles,
    taken: Range<usize>,
    source: Stored<'_>,
    layout: Planes,
    first: usize,
    planes: Shared<'_, f32>,
) {
    assert_eq!(source.len(), tiles.len(), "maps of {tiles:?}");
    assert!(taken.end <= tiles.count() && planes.len() >= layout.len(), "planes of {layout:?}");
    if taken.is_empty() {
        return;
    }
    assert_eq!(first % layout.tiles_in_word(), 0, "tile {first} begins no word");
    #[expect(unsafe_code, reason = "transforms whole vectors")]
    // SAFETY: the assertions above; offsets of pixels lie in the maps, the caller's layout has room for the
    // tiles taken, and their rows belong to its task alone.
    unsafe {
        match patch {
            Patch::Source => by_format!(
                isa,
                layout.precision,
                spread_sources,
                (tiles: &Tiles, taken: Range<usize>, source: Stored<'_>, layout: Planes, first: usize, planes: Shared<'_, f32>)
            ),
            Patch::TargetGradient => by_format!(
                isa,
                layout.precision,
                spread_gradients,
                (tiles: &Tiles, taken: Range<usize>, source: Stored<'_>, layout: Planes, first: usize, planes: Shared<'_, f32>)
            ),
        }
    }
}

/// Channels for which the places of a tile's pixels are looked up once.
pub(super) const CHANNELS: usize = 512;

/// A number of a map as memory holds it.
trait Number: Copy + Default + 'static {
    /// What stands for the channels of a pixel outside the image.
    const OUTSIDE: &'static [Self; CHANNELS];

    /// The vector that begins at an address.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set, and as many numbers are readable as it has lanes.
    #[expect(unsafe_code, reason = "loads a whole vector")]
    unsafe fn load<V: Vector>(source: *const Self) -> V;
}

impl Number for f32 {
    const OUTSIDE: &'static [f32; CHANNELS] = &[0.0; CHANNELS];

    #[expect(unsafe_code, reason = "loads a whole vector")]
    #[inline(always)]
    unsafe fn load<V: Vector>(source: *const f32) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(source) }
    }
}

/// A bf16.
impl Number for u16 {
    const OUTSIDE: &'static [u16; CHANNELS] = &[0; CHANNELS];

    #[expect(unsafe_code, reason = "loads a whole vector")]
    #[inline(always)]
    unsafe fn load<V: Vector>(source: *const u16) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::widen(source) }
    }
}

/// Where the channels from some first one on of a tile's pixels are.
#[derive(Clone, Copy)]
struct Pixels<T, const SIZE: usize>([[*const T; SIZE]; SIZE]);

impl<T: Number, const SIZE: usize> Pixels<T, SIZE> {
    const OUTSIDE: Pixels<T, SIZE> = Pixels([[T::OUTSIDE.as_ptr(); SIZE]; SIZE]);

    /// Those of the square of `tile`.
    #[inline(always)]
    fn of(tiles: &Tiles, tile: usize, before: usize, source: &[T], channel: usize) -> Pixels<T, SIZE> {
        let mut pixels = Pixels::OUTSIDE;
        tiles.square::<SIZE>(tile, before, |row, column, offset| {
            if let Some(offset) = offset {
                pixels.0[row][column] = source[offset + channel..].as_ptr();
            }
        });
        pixels
    }

    /// Fetches what this tile reads and the one to its left does not.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "prefetches")]
    #[inline(always)]
    unsafe fn prefetch<V: Vector>(&self, before: usize, channel: usize) {
        for line in &self.0 {
            for pixel in &line[2 * before..] {
                // SAFETY: the caller promises the instruction set.
                unsafe { V::prefetch(pixel.wrapping_add(channel).cast()) }
            }
        }
    }
}

/// One vector of each pixel.
struct Here<'a, T, const SIZE: usize> {
    pixels: &'a Pixels<T, SIZE>,
    channel: usize,
}

impl<V: Vector, T: Number, const SIZE: usize> Square<V, SIZE> for Here<'_, T, SIZE> {
    #[expect(unsafe_code, reason = "loads whole vectors")]
    #[inline(always)]
    unsafe fn load(&self, row: usize, column: usize) -> V {
        // SAFETY: whoever makes one knows that the pixels have as many channels left.
        unsafe { T::load(self.pixels.0[row][column].wrapping_add(self.channel)) }
    }
}

/// The vectors of the pixels' last `left` channels, zeros after them.
///
/// # Safety
/// The processor has `V`'s instruction set, and the pixels have as many channels left.
#[expect(unsafe_code, reason = "reads pixels by pointers; tested against plain loops")]
#[inline(always)]
unsafe fn last_channels<V: Vector, T: Number, const SIZE: usize>(
    pixels: &Pixels<T, SIZE>,
    channel: usize,
    left: usize,
) -> [[V; SIZE]; SIZE] {
    // SAFETY: the caller promises both.
    unsafe {
        let mut patch = [[V::splat(0.0); SIZE]; SIZE];
        for (value, pixel) in patch.as_flattened_mut().iter_mut().zip(pixels.0.as_flattened()) {
            let mut lanes = [T::default(); MAX_LANES];
            for (lane, value) in lanes[..left].iter_mut().enumerate() {
                *value = *pixel.add(channel + lane);
            }
            *value = T::load(lanes.as_ptr());
        }
        patch
    }
}

/// The transform of the vectors of channels from `channel` on of every pixel, zeros after the last of `channels`.
macro_rules! transformed {
    ($vector:ty, $transform:path, $pixels:expr, $channel:expr, $channels:expr) => {{
        let (pixels, channel, channels) = ($pixels, $channel, $channels);
        if channel + <$vector>::LANES <= channels {
            $transform(&Here { pixels, channel })
        } else {
            let left = channels.saturating_sub(channel);
            $transform(&last_channels::<$vector, _, _>(pixels, channel, left))
        }
    }};
}

/// Makes a loop over tiles and vectors of words around one transform.
macro_rules! spread_tiles {
    ($name:ident, $of_numbers:ident, $transform:path, $size:expr, $before:expr) => {
        #[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
        #[inline(always)]
        unsafe fn $name<V: Vector, F: Format<V>>(
            tiles: &Tiles,
            taken: Range<usize>,
            source: Stored<'_>,
            layout: Planes,
            first: usize,
            planes: Shared<'_, f32>,
        ) {
            // SAFETY: the caller's promise.
            unsafe {
                match source {
                    Stored::F32(source) => {
                        $of_numbers::<V, F, f32>(tiles, taken, source, layout, first, planes);
                    }
                    Stored::Bf16(source) => {
                        $of_numbers::<V, F, u16>(tiles, taken, source, layout, first, planes);
                    }
                }
            }
        }

        #[expect(unsafe_code, reason = "transforms whole vectors; tested against plain loops")]
        #[inline(always)]
        unsafe fn $of_numbers<V: Vector, F: Format<V>, T: Number>(
            tiles: &Tiles,
            taken: Range<usize>,
            source: &[T],
            layout: Planes,
            first: usize,
            planes: Shared<'_, f32>,
        ) {
            let together = layout.tiles_in_word();
            let (words, step) = (layout.words(tiles.shape.channels), layout.words(CHANNELS));
            for block in (0..words).step_by(step) {
                let [first_channel, _] = layout.channels(block);
                let channels = (tiles.shape.channels - first_channel).min(CHANNELS);
                let pixels_of = |tile: usize| {
                    if tile < taken.end {
                        Pixels::<T, { $size }>::of(tiles, tile, $before, source, first_channel)
                    } else {
                        Pixels::OUTSIDE
                    }
                };
                let mut ahead = [taken.start, taken.start + together - 1].map(pixels_of);
                for (row, tile) in taken.clone().step_by(together).enumerate() {
                    let pixels = ahead;
                    ahead[0] = pixels_of(tile + together);
                    if together == 2 {
                        ahead[1] = pixels_of(tile + 3);
                    }
                    for word in (block..words.min(block + step)).step_by(V::LANES) {
                        let (offset, step) = layout.place(word);
                        let start = offset + (first / together + row) * step;
                        assert!(start + V::LANES <= layout.stride, "tile past its plane");
                        let channel = layout.channels(word).map(|channel| channel - first_channel);
                        // SAFETY: the maps hold the pixels; the assertion holds the last store.
                        unsafe {
                            ahead[0].prefetch::<V>($before, channel[0]);
                            let spread = transformed!(V, $transform, &pixels[0], channel[0], channels);
                            let mut place = planes.range(0..0).as_mut_ptr().add(start);
                            if F::PRECISION == Precision::F32 {
                                for value in spread.as_flattened() {
                                    value.store(place);
                                    place = place.wrapping_add(layout.stride);
                                }
                            } else {
                                ahead[together - 1].prefetch::<V>($before, channel[1]);
                                let other = &pixels[together - 1];
                                let second = transformed!(V, $transform, other, channel[1], channels);
                                for (first, second) in spread.as_flattened().iter().zip(second.as_flattened())
                                {
                                    F::store(*first, *second, place);
                                    place = place.wrapping_add(layout.stride);
                                }
                            }
                        }
                    }
                }
            }
        }
    };
}

spread_tiles!(spread_sources, spread_source_numbers, transform::source, INPUTS, 1);
spread_tiles!(spread_gradients, spread_gradient_numbers, transform::d_target, OUTPUTS, 0);

/// One vector of the products of a tile: from `first` on in the first plane, and in each of the others.
struct Products {
    first: *const f32,
    stride: usize,
}

impl<V: Vector> Square<V, INPUTS> for Products {
    #[expect(unsafe_code, reason = "loads whole vectors")]
    #[inline(always)]
    unsafe fn load(&self, row: usize, column: usize) -> V {
        // SAFETY: whoever makes one knows that the planes are as long.
        unsafe { V::load(self.first.add((row * INPUTS + column) * self.stride)) }
    }
}

/// Where the outputs of some tiles go.
#[derive(Clone, Copy)]
pub(super) struct Outputs<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) target: SharedStored<'a>,
    pub(super) finish: Finish<'a>,
}

/// Pixels of some tiles that lie inside their images.
pub(super) fn pixels(tiles: &Tiles, taken: Range<usize>) -> usize {
    let inside = |side: usize, first: usize| OUTPUTS.min(side - first * OUTPUTS);
    let of_tile = |tile: usize| {
        let (position, column) = (tile / tiles.across, tile % tiles.across);
        inside(tiles.shape.height, position % tiles.down) * inside(tiles.shape.width, column)
    };
    taken.map(of_tile).sum()
}

/// Writes the outputs of the tiles `taken` for the channels of one panel, `columns`, from its products,
/// 36 planes `[tiles, width]` that are `stride` apart. Where a `part` is given, its sums take the pixels in; the first tile
/// of a part without rows gives the origin.
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
    part: Option<&mut PartMoments<'_>>,
) {
    let [stride, width] = sizes;
    let (tiles, epilogue) = (outputs.tiles, outputs.finish.epilogue);
    assert_eq!(outputs.target.len(), tiles.len(), "maps of {tiles:?}");
    assert!(columns.end <= tiles.shape.channels && columns.len() <= width, "channels of {tiles:?}");
    let by_channel = [epilogue.bias, epilogue.after.slopes].into_iter().flatten();
    assert!(by_channel.into_iter().all(|values| values.len() == tiles.shape.channels), "values by channel");
    assert!(epilogue.after.residual.is_none_or(|residual| residual.len() == tiles.len()), "a residual");
    assert!(taken.end <= tiles.count(), "tiles of {tiles:?}");
    assert!(taken.len() * width <= stride && products.len() >= PLANES * stride, "products of tiles");
    #[expect(unsafe_code, reason = "transforms whole vectors")]
    // SAFETY: the assertions above; the pixels of the tiles taken belong to the caller's task alone.
    unsafe {
        by_vector!(
            isa,
            merge_tiles,
            (
                outputs: Outputs<'_>, taken: Range<usize>, columns: Range<usize>, products: &[f32],
                sizes: [usize; 2], part: Option<&mut PartMoments<'_>>
            )
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
    mut part: Option<&mut PartMoments<'_>>,
) {
    let Finish { epilogue, store, streams } = outputs.finish;
    for (row, tile) in taken.enumerate() {
        let mut square = [[None; OUTPUTS]; OUTPUTS];
        outputs.tiles.square::<OUTPUTS>(tile, 0, |row, column, offset| square[row][column] = offset);
        for channel in columns.clone().step_by(V::LANES) {
            let lanes = V::LANES.min(columns.end - channel);
            let here = channel..channel + lanes;
            // SAFETY: `merge` checked that the products hold the tile's rows, whose width is that of whole
            // vectors; outputs are written as whole vectors only where the pixel has as many channels left.
            unsafe {
                let first = products.as_ptr().add(row * width + channel - columns.start);
                let mut merged: [[V; OUTPUTS]; OUTPUTS] = transform::target(&Products { first, stride });
                if let Some(bias) = epilogue.bias {
                    let bias = V::load_some(&bias[here.clone()]);
                    merged.as_flattened_mut().iter_mut().for_each(|value| *value = value.add(bias));
                }
                if !epilogue.after.is_empty() {
                    for (value, pixel) in merged.as_flattened_mut().iter_mut().zip(square.as_flattened()) {
                        let Some(pixel) = pixel else { continue };
                        let place = pixel + channel..pixel + channel + lanes;
                        *value = epilogue.after.value(*value, here.clone(), place);
                    }
                }
                if let Some(part) = &mut part {
                    // The first pixel of a tile lies inside.
                    if part.rows == 0 && row == 0 {
                        merged[0][0].store_some(&mut part.origin[here.clone()]);
                    }
                    add_pixels(&merged, &square, part, here);
                }
                for (value, pixel) in merged.as_flattened().iter().zip(square.as_flattened()) {
                    let Some(pixel) = pixel else { continue };
                    let mut target = outputs.target.range(pixel + channel..pixel + channel + lanes);
                    let mut value = *value;
                    if store == Store::Add {
                        value = target.as_ref().at::<V>(0..lanes).add(value);
                    }
                    target.put(value, 0..lanes, streams);
                }
            }
        }
    }
}

/// Adds one vector of the pixels inside to the sums of a part.
///
/// # Safety
/// The processor has `V`'s instruction set, and the vector at most as many lanes as columns.
#[expect(unsafe_code, reason = "adds whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn add_pixels<V: Vector>(
    values: &[[V; OUTPUTS]; OUTPUTS],
    square: &[[Option<usize>; OUTPUTS]; OUTPUTS],
    part: &mut PartMoments<'_>,
    columns: Range<usize>,
) {
    let (sums, squares) = part.sums.split_at_mut(part.origin.len());
    let [sums, squares] = [sums, squares].map(|sums| &mut sums[columns.clone()]);
    // SAFETY: the caller's promise.
    unsafe {
        let origin = V::load_some(&part.origin[columns]);
        let (mut sum, mut power) = (V::load_some(sums), V::load_some(squares));
        for (value, pixel) in values.as_flattened().iter().zip(square.as_flattened()) {
            if pixel.is_some() {
                let deviation = value.subtract(origin);
                sum = sum.add(deviation);
                power = deviation.multiply_add(deviation, power);
            }
        }
        sum.store_some(sums);
        power.store_some(squares);
    }
}
