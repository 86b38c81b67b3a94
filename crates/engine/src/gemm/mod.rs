//! Matrix products whose left-hand rows are gathered on the fly.
//!
//! Every heavy operation of the engine is one of two products, with `A` described by [`Rows`]:
//! - [`product`]: `C[row] = sum over k of A[row][k] B[k]`: convolutions forward and towards their input;
//! - [`outer_product`]: `C[k] = sum over rows of A[row][k] B[row]`: gradients of weights.
//!
//! The order of summation depends on the shapes alone, never on the number of threads.

mod blocked;
mod fetch;
mod format;
mod panels;
#[cfg(target_arch = "x86_64")]
pub(crate) mod squares;
mod tile;
mod vector;
pub(crate) mod word_tile;
pub(crate) mod words;

pub(crate) use blocked::{blocked_product, depth_major_product};
pub(crate) use fetch::{Fetch, Lines, share};
#[cfg(target_arch = "x86_64")]
pub(crate) use format::NativePairs;
pub(crate) use format::{APART, Floats, Format, Pairs, across, along, by_format};
pub(crate) use panels::{Panel, Panels};
use tile::{A_STRIDE, Layout, MAX_FLOATS, MAX_ROWS, Piece, Tile};
pub(crate) use tile::{BLOCK, Registers};
pub(crate) use vector::{MAX_LANES, Vector, by_vector};

use std::ops::Range;

use format::{pack_row, pack_two};
use words::PANEL;

use crate::amx;
use crate::isa::Isa;
use crate::kernels::pointwise;
use crate::pool::{Pool, Shared};
use crate::precision::Precision;

/// The left-hand matrix of a product, one row at a time.
pub(crate) trait Rows: Sync {
    /// Where a row's elements come from.
    type Origin: Copy;
    /// Number of rows.
    fn count(&self) -> usize;
    /// Elements of a row.
    fn depth(&self) -> usize;
    /// Elements of which every run of a row is a multiple, but for the last where the row is one run; 1 for rows that
    /// can only be copied.
    fn granule(&self) -> usize;
    /// Where row `row` comes from.
    fn origin(&self, row: usize) -> Self::Origin;
    /// How many elements from `element` on belong together, and where they lie unless they are zeros.
    fn run(&self, origin: Self::Origin, element: usize) -> (usize, Option<&[f32]>);
    /// Writes elements `range` of row `row`.
    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]);
    /// The rows `rows`, one after another, where they lie so.
    fn as_they_lie(&self, _rows: Range<usize>) -> Option<&[f32]> {
        None
    }
    /// The memory of the rows `rows`, all of them, where it is worth fetching.
    fn bytes(&self, _rows: Range<usize>) -> &[u8] {
        &[]
    }
    /// As [`Rows::copy`] for several rows, which begin `stride` floats apart.
    fn copy_rows(&self, rows: Range<usize>, range: Range<usize>, stride: usize, target: &mut [f32]) {
        for (row, target) in rows.zip(target.chunks_mut(stride)) {
            self.copy(row, range.clone(), &mut target[..range.len()]);
        }
    }
}

/// A row-major matrix as [`Rows`].
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a> {
    values: &'a [f32],
    depth: usize,
}

impl<'a> Dense<'a> {
    /// # Panics
    /// When `values` is not a whole number of rows.
    pub(crate) fn new(values: &'a [f32], depth: usize) -> Dense<'a> {
        assert_eq!(values.len() % depth, 0, "rows of {depth} in {} values", values.len());
        Dense { values, depth }
    }
}

impl Rows for Dense<'_> {
    type Origin = usize;

    fn count(&self) -> usize {
        self.values.len() / self.depth
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn granule(&self) -> usize {
        PANEL
    }

    fn origin(&self, row: usize) -> usize {
        row
    }

    fn run(&self, row: usize, element: usize) -> (usize, Option<&[f32]>) {
        let rest = self.depth - element;
        (rest, Some(&self.values[row * self.depth + element..][..rest]))
    }

    fn as_they_lie(&self, rows: Range<usize>) -> Option<&[f32]> {
        self.values.get(rows.start * self.depth..rows.end * self.depth)
    }

    fn copy(&self, row: usize, range: Range<usize>, target: &mut [f32]) {
        target.copy_from_slice(&self.values[row * self.depth..][range]);
    }
}

/// Whether a product replaces its target or adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Replace,
    Add,
}

/// Words of depth in a block of A.
const DEPTH_BLOCK: usize = 384;
/// Tiles of rows in a block of A, which stays in the second-level cache.
const TILES_IN_BLOCK: usize = 8;
/// As much of a block of A for AMX.
const AMX_ROWS: usize = 4 * amx::BLOCK;
/// The most elements of a row that [`pack_transposed_rows`] takes.
pub(crate) const MAX_ELEMENTS: usize = 24 * MAX_ROWS;
/// Sums that a task of an outer product keeps in the second-level cache.
const OUTER_SUMS: usize = 96 * 1024;
/// Words of rows of A and B that an outer product takes at a time.
const OUTER_BLOCK: usize = 128;

/// `target[place(row)..][..columns] (=|+=) sum over k of rows[row][k] * panels[k][..]` for every row.
///
/// # Panics
/// When the depths differ, or `panels` is too short, or a row lies outside `target`.
pub(crate) fn product(
    pool: &Pool,
    rows: &impl Rows,
    shape: Panels,
    panels: &[f32],
    target: &mut [f32],
    place: impl Fn(usize) -> usize + Sync,
    store: Store,
) {
    let (isa, precision) = shape.arithmetic();
    let block = row_block(isa, precision);
    let row_blocks = rows.count().div_ceil(block);
    // Few rows: let several tasks share them, each with some of the panels.
    let column_groups = (4 * pool.threads()).div_ceil(row_blocks.max(1)).clamp(1, shape.count());
    let target = Shared::new(target);
    pool.run(row_blocks * column_groups, |task, scratch| {
        let (index, group) = (task / column_groups, task % column_groups);
        let taken = index * block..((index + 1) * block).min(rows.count());
        let group = group * shape.count() / column_groups..(group + 1) * shape.count() / column_groups;
        let packed = scratch.at_least(packed_rows_len(isa, precision));
        let fetch = &mut Fetch::default();
        product_rows(rows, taken, (shape, panels), group, packed, target, &place, store, fetch);
    });
}

/// Rows of a whole tile of registers.
const fn tile_rows(isa: Isa, precision: Precision) -> usize {
    if amx::multiplies(isa, precision) { amx::BLOCK } else { Registers::of(isa).rows }
}

/// Rows of which few leave no register without work.
pub(crate) const fn row_granule(isa: Isa, precision: Precision) -> usize {
    if amx::multiplies(isa, precision) { amx::BLOCK } else { Registers::of(isa).half() }
}

/// Rows that one call of [`product_rows`] takes at most.
pub(crate) const fn row_block(isa: Isa, precision: Precision) -> usize {
    if amx::multiplies(isa, precision) { AMX_ROWS } else { Registers::of(isa).rows * TILES_IN_BLOCK }
}

/// Floats of scratch that [`product_rows`] needs.
pub(crate) const fn packed_rows_len(isa: Isa, precision: Precision) -> usize {
    row_block(isa, precision) * A_STRIDE
}

/// One task of a [`product`]: some rows, at most a block, times some of the panels. `packed` is [`packed_rows_len`]
/// floats.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn product_rows(
    rows: &impl Rows,
    taken: Range<usize>,
    (shape, panels): (Panels, &[f32]),
    group: Range<usize>,
    packed: &mut [f32],
    target: Shared<'_, f32>,
    place: &impl Fn(usize) -> usize,
    store: Store,
    fetch: &mut Fetch<'_>,
) {
    assert_eq!(rows.depth(), shape.depth, "depth of the left and right side");
    let (isa, precision) = shape.arithmetic();
    // What the last tile reads lies there too, or rows are packed.
    let reach = taken.start..taken.start + taken.len().next_multiple_of(row_granule(isa, precision));
    let whole = if precision == Precision::F32 { rows.as_they_lie(reach) } else { None };
    for depth in blocks(shape.depth, DEPTH_BLOCK * precision.per_word()) {
        let (words, first) = (precision.words(depth.len()), depth.start / precision.per_word());
        let left = match whole {
            Some(values) => {
                let layout = Layout::Rows { stride: shape.depth };
                Left { values: &values[depth.start..], layout, rows: taken.len() }
            }
            None => {
                pack_rows((isa, precision), rows, taken.clone(), depth.clone(), packed);
                Left { values: packed, layout: Layout::RowMajor, rows: taken.len() }
            }
        };
        let accumulate = store == Store::Add || depth.start > 0;
        for index in group.clone() {
            let panel = shape.panel(index);
            let right = |panel: Panel| &panels[panel.start + first * panel.width..][..words * panel.width];
            let b = right(panel);
            let place = |row: usize| place(taken.start + row) + panel.first_column;
            if amx::multiplies(isa, precision) {
                for top in (0..taken.len()).step_by(amx::BLOCK) {
                    let left = AmxLeft { values: &left.values[top * A_STRIDE..], stride: A_STRIDE, words };
                    let rows = (taken.len() - top).min(amx::BLOCK);
                    write_block(left, b, [rows, panel.columns], target, accumulate, |row| place(top + row));
                }
                continue;
            }
            let next = if index + 1 < group.end {
                right(shape.panel(index + 1))
            } else {
                // The next block of depth of the first panel.
                let panel = shape.panel(group.start);
                &panels[panel.start + first * panel.width..][words * panel.width..]
            };
            write_tiles((isa, precision), left, (b, next), panel, target, accumulate, place, fetch);
        }
    }
}

/// Packs elements `range` of the rows `taken` as the left side of a [`product`].
fn pack_rows(
    (isa, precision): (Isa, Precision),
    rows: &impl Rows,
    taken: Range<usize>,
    range: Range<usize>,
    packed: &mut [f32],
) {
    if precision == Precision::F32 {
        rows.copy_rows(taken, range, A_STRIDE, packed);
        return;
    }
    let mut elements = [0.0; 2 * DEPTH_BLOCK];
    for (row, target) in taken.zip(packed.chunks_exact_mut(A_STRIDE)) {
        let words = &mut target[..precision.words(range.len())];
        if rows.granule().is_multiple_of(PANEL) {
            pack_runs((isa, precision), rows, row, range.clone(), words);
        } else {
            let elements = &mut elements[..range.len()];
            rows.copy(row, range.clone(), elements);
            pack_row(isa, precision, elements, words);
        }
    }
}

/// Panels of the right side of an [`outer_product`] for each block of rows, and the number of blocks.
fn outer_panels(isa: Isa, precision: Precision, rows: usize, columns: usize) -> (Panels, usize) {
    let block = OUTER_BLOCK * precision.per_word();
    (Panels::new(isa, precision, block.min(rows), columns), rows.div_ceil(block))
}

/// Ranges of rows whose sums are taken apart: so many that one gathers all elements of its rows once and every thread has
/// work, where their sums are small against what is gathered.
fn outer_ranges(row_blocks: usize, sums: usize) -> usize {
    const RANGES: usize = 8;
    if sums <= OUTER_SUMS && row_blocks >= 4 * RANGES { RANGES } else { 1 }
}

/// Floats of workspace that [`outer_product`] needs for its panels, and for the sums of ranges of rows.
fn outer_workspace(isa: Isa, precision: Precision, rows: usize, [depth, columns]: [usize; 2]) -> [usize; 2] {
    let (panels, blocks) = outer_panels(isa, precision, rows, columns);
    let ranges = outer_ranges(blocks, depth * columns);
    [
        if panels.is_in_place() { 0 } else { blocks * panels.len() },
        if ranges > 1 { ranges * depth * columns } else { 0 },
    ]
}

/// Floats of workspace that [`outer_product`] needs.
pub(crate) fn outer_workspace_len(isa: Isa, precision: Precision, rows: usize, sides: [usize; 2]) -> usize {
    outer_workspace(isa, precision, rows, sides).iter().sum()
}

/// `target[k * columns..][..columns] (=|+=) sum over rows of rows[row][k] * right[row][..]` for every k.
///
/// The right side is packed once, unless it can be read as it lies, and `workspace` holds it; the left one once for each
/// group of columns. Rows are summed in order or, where the target is small, in a number of ranges that the sizes decide.
///
/// # Panics
/// When `right`, `workspace` or `target` does not fit the sizes.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub(crate) fn outer_product(
    pool: &Pool,
    precision: Precision,
    rows: &impl Rows,
    right: &[f32],
    columns: usize,
    workspace: &mut [f32],
    target: &mut [f32],
    store: Store,
) {
    let (isa, registers) = (pool.isa(), Registers::of(pool.isa()));
    let depth = rows.depth();
    assert_eq!(right.len(), rows.count() * columns, "rows of the right side");
    assert_eq!(target.len(), depth * columns, "elements of the product");
    let (all, row_blocks) = outer_panels(isa, precision, rows.count(), columns);
    let taken = |index: usize| index * all.depth..((index + 1) * all.depth).min(rows.count());
    let shape = |taken: &Range<usize>| Panels::new(isa, precision, taken.len(), columns);
    let [panels_len, sums_len] = outer_workspace(isa, precision, rows.count(), [depth, columns]);
    let (panels, sums) = workspace[..panels_len + sums_len].split_at_mut(panels_len);
    pool.run_chunks(panels, all.len(), |index, panels| {
        let taken = taken(index);
        let right = &right[taken.start * columns..taken.end * columns];
        (0..all.count()).for_each(|index| shape(&taken).fill_panel(index, right, panels));
    });
    let panels = if all.is_in_place() { right } else { &*panels };
    let ranges = outer_ranges(row_blocks, depth * columns);
    // Parts as long as they may be, so that what several taps read of an image is read once, but enough for all threads.
    let least = (2 * pool.threads()).div_ceil(all.count() * ranges).min(depth.div_ceil(registers.rows));
    let most = (OUTER_SUMS / columns).clamp(registers.rows, MAX_ELEMENTS);
    let parts = depth.div_ceil(most).max(least);
    let granule = tile_rows(isa, precision);
    let block = depth.div_ceil(parts).next_multiple_of(granule).min(MAX_ELEMENTS / granule * granule);
    let parts = depth.div_ceil(block);
    let column_groups = (2 * pool.threads()).div_ceil(parts * ranges).clamp(1, all.count());
    let (into, first_store) = match ranges {
        1 => (Shared::new(&mut *target), store),
        _ => (Shared::new(&mut *sums), Store::Replace),
    };
    pool.run(ranges * parts * column_groups, |task, scratch| {
        let (range, task) = (task / (parts * column_groups), task % (parts * column_groups));
        let (part, group) = (task / column_groups, task % column_groups);
        let group = group * all.count() / column_groups..(group + 1) * all.count() / column_groups;
        let elements = part * block..((part + 1) * block).min(depth);
        let layout = Turned::new((isa, precision), block, all.words());
        let packed = scratch.at_least(layout.len());
        // What the last tile reads of a row lies there too, or rows are packed.
        let fits = elements.start + elements.len().next_multiple_of(registers.half()) <= depth;
        let lying = |taken: Range<usize>| match precision {
            Precision::F32 if fits => rows.as_they_lie(taken),
            _ => None,
        };
        let mut store = first_store;
        for index in range * row_blocks / ranges..(range + 1) * row_blocks / ranges {
            let taken = taken(index);
            let panels = &panels[index * all.len()..][..shape(&taken).len()];
            let left = match lying(taken.clone()) {
                Some(values) => Transposed {
                    values: &values[elements.start..],
                    layout: Turned { elements: depth, ..layout },
                    columns: elements.len(),
                },
                None => {
                    let arithmetic = (isa, precision);
                    pack_transposed_rows(arithmetic, rows, taken.clone(), elements.clone(), layout, packed);
                    Transposed { values: packed, layout, columns: elements.len() }
                }
            };
            let place = |k: usize| (range * depth + elements.start + k) * columns;
            let fetch = &mut Fetch::default();
            transposed_product(left, (shape(&taken), panels), group.clone(), into, &place, store, fetch);
            store = Store::Add;
        }
    });
    if ranges > 1 {
        merge_parts(pool, sums, target, store);
    }
}

/// `target (=|+=)` the sum of `parts` of as many floats, one after another.
pub(crate) fn merge_parts(pool: &Pool, parts: &[f32], target: &mut [f32], store: Store) {
    const CHUNK: usize = 1024;
    let width = target.len();
    pool.run_chunks(target, CHUNK, |index, target| {
        if store == Store::Replace {
            target.fill(0.0);
        }
        for part in parts.chunks_exact(width) {
            pointwise::accumulate_elements(pool.isa(), &part[index * CHUNK..][..target.len()], target);
        }
    });
}

/// How the left side of a [`transposed_product`] lies: row after row of words, or for AMX element after element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turned {
    elements: usize,
    words: usize,
    by_element: bool,
}

impl Turned {
    /// For at most so many elements of a row and words of rows.
    pub(crate) fn new((isa, precision): (Isa, Precision), elements: usize, words: usize) -> Turned {
        Turned { elements, words, by_element: amx::multiplies(isa, precision) }
    }

    /// From a row of words to the next, or from an element to the next.
    fn stride(&self) -> usize {
        // An odd number of cache lines, so that the rows of a register do not compete for one cache set.
        if self.by_element { (self.words.div_ceil(amx::TILE) | 1) * amx::TILE } else { self.elements }
    }

    /// Floats of all, and of what the last rows of a tile read, without use, past the last element.
    pub(crate) fn len(&self) -> usize {
        match self.by_element {
            true => self.elements.next_multiple_of(amx::BLOCK) * self.stride(),
            false => self.words * self.elements + MAX_ROWS,
        }
    }

    /// Where an element's first word lies.
    pub(crate) fn place(&self, element: usize) -> usize {
        if self.by_element { element * self.stride() } else { element }
    }
}

/// Packs elements `range` of the rows `taken` as the left side of a [`transposed_product`].
///
/// # Panics
/// When `packed` is too short or `range` longer than [`MAX_ELEMENTS`].
pub(crate) fn pack_transposed_rows(
    (isa, precision): (Isa, Precision),
    rows: &impl Rows,
    taken: Range<usize>,
    range: Range<usize>,
    layout: Turned,
    packed: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if layout.by_element {
        #[expect(unsafe_code, reason = "calls a function of an instruction set")]
        // SAFETY: a processor with AMX has AVX-512 with BF16.
        unsafe {
            turn_rows(rows, taken, range, layout, packed);
        }
        return;
    }
    let stride = layout.stride();
    if precision == Precision::F32 {
        for (index, row) in taken.enumerate() {
            rows.copy(row, range.clone(), &mut packed[index * stride..][..range.len()]);
        }
        return;
    }
    static ZEROS: [f32; MAX_ELEMENTS] = [0.0; MAX_ELEMENTS];
    assert!(range.len() <= MAX_ELEMENTS, "{} elements of a row", range.len());
    let mut copies = [[0.0; MAX_ELEMENTS]; 2];
    for word in 0..precision.words(taken.len()) {
        let first = taken.start + word / APART * PANEL + word % APART;
        if !rows.granule().is_multiple_of(PANEL) {
            // Runs too short to be packed one by one.
            for (copy, row) in copies.iter_mut().zip([first, first + APART]) {
                let copy = &mut copy[..range.len()];
                if row < taken.end { rows.copy(row, range.clone(), copy) } else { copy.fill(0.0) }
            }
            let [lower, upper] = copies.each_ref().map(|copy| &copy[..range.len()]);
            pack_two(isa, precision, lower, upper, &mut packed[word * stride..][..range.len()]);
            continue;
        }
        let origins = [first, first + APART].map(|row| (row < taken.end).then(|| rows.origin(row)));
        let mut at = range.start;
        while at < range.end {
            // Both rows have runs of the same lengths.
            let mut len = range.end - at;
            let two = origins.map(|origin| {
                let (here, values) = rows.run(origin?, at);
                len = len.min(here);
                values
            });
            let [lower, upper] = two.map(|values| &values.unwrap_or(&ZEROS)[..len]);
            let place = word * stride + at - range.start;
            pack_two(isa, precision, lower, upper, &mut packed[place..place + len]);
            at += len;
        }
    }
}

/// As [`pack_transposed_rows`], element after element, with zeros in what words have beyond the last row.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn turn_rows(rows: &impl Rows, taken: Range<usize>, range: Range<usize>, layout: Turned, packed: &mut [f32]) {
    const SIDE: usize = amx::TILE;
    let stride = layout.stride();
    let whole = rows.granule().is_multiple_of(SIDE);
    let mut copies = [[0.0; SIDE]; PANEL];
    for (index, first) in taken.clone().step_by(PANEL).enumerate() {
        // Rows that share a word, one after another.
        let row_of = |place: usize| first + place / 2 + place % 2 * APART;
        let mut at = range.start;
        while at < range.end {
            let end = (at + SIDE).min(range.end);
            let mut values: [&[f32]; PANEL] = [&[]; PANEL];
            if whole {
                for (place, value) in values.iter_mut().enumerate() {
                    if row_of(place) < taken.end
                        && let (len, Some(found)) = rows.run(rows.origin(row_of(place)), at)
                    {
                        *value = &found[..len.min(end - at)];
                    }
                }
            } else {
                for (place, copy) in copies.iter_mut().enumerate() {
                    let copy = &mut copy[..end - at];
                    if row_of(place) < taken.end {
                        rows.copy(row_of(place), at..end, copy);
                    } else {
                        copy.fill(0.0);
                    }
                }
                for (value, copy) in values.iter_mut().zip(&copies) {
                    *value = &copy[..end - at];
                }
            }
            let start = layout.place(at - range.start) + index * SIDE;
            let target = &mut packed[start..start + (SIDE - 1) * stride + SIDE];
            let square = squares::channels_of_rows(&values);
            #[expect(unsafe_code, reason = "writes rows of a wider matrix")]
            // SAFETY: the slice holds sixteen words in each of sixteen rows.
            unsafe {
                squares::store(&square, target.as_mut_ptr().cast(), stride * size_of::<f32>());
            }
            at = end;
        }
    }
}

/// Packs elements `range` of a row from where they lie.
fn pack_runs(
    (isa, precision): (Isa, Precision),
    rows: &impl Rows,
    row: usize,
    range: Range<usize>,
    words: &mut [f32],
) {
    let (origin, mut at) = (rows.origin(row), range.start);
    while at < range.end {
        let (len, values) = rows.run(origin, at);
        let len = len.min(range.end - at);
        let start = (at - range.start) / precision.per_word();
        let words = &mut words[start..start + precision.words(len)];
        match values {
            Some(values) => pack_row(isa, precision, &values[..len], words),
            None => words.fill(0.0),
        }
        at += len;
    }
}

/// The left side of a [`transposed_product`].
#[derive(Clone, Copy)]
pub(crate) struct Transposed<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) layout: Turned,
    /// Number of `k`.
    pub(crate) columns: usize,
}

/// One task of an [`outer_product`]: `target[place(k)..] (=|+=) sum over rows of left[row][k] * panels[row][..]`.
pub(crate) fn transposed_product(
    left: Transposed<'_>,
    (shape, panels): (Panels, &[f32]),
    group: Range<usize>,
    target: Shared<'_, f32>,
    place: &impl Fn(usize) -> usize,
    store: Store,
    fetch: &mut Fetch<'_>,
) {
    let (isa, precision) = shape.arithmetic();
    let right = |panel: Panel| &panels[panel.start..][..shape.words() * panel.width];
    for index in group.clone() {
        let panel = shape.panel(index);
        let b = right(panel);
        let place = |k: usize| place(k) + panel.first_column;
        if left.layout.by_element {
            for top in (0..left.columns).step_by(amx::BLOCK) {
                let values = &left.values[left.layout.place(top)..];
                let here = AmxLeft { values, stride: left.layout.stride(), words: shape.words() };
                let rows = (left.columns - top).min(amx::BLOCK);
                write_block(here, b, [rows, panel.columns], target, store == Store::Add, |row| {
                    place(top + row)
                });
            }
            continue;
        }
        let next = right(shape.panel((index + 1).min(group.end - 1)));
        let layout = Layout::DepthMajor { stride: left.layout.stride() };
        let left = Left { values: left.values, layout, rows: left.columns };
        write_tiles((isa, precision), left, (b, next), panel, target, store == Store::Add, place, fetch);
    }
}

/// The rows of A that one block of AMX reads.
#[derive(Clone, Copy)]
struct AmxLeft<'a> {
    values: &'a [f32],
    stride: usize,
    words: usize,
}

/// Computes one block, by way of a whole one on the stack where rows or columns are fewer or no rows of one stride.
fn write_block(
    left: AmxLeft<'_>,
    b: &[f32],
    [rows, columns]: [usize; 2],
    target: Shared<'_, f32>,
    accumulate: bool,
    place: impl Fn(usize) -> usize,
) {
    const SIDE: usize = amx::BLOCK;
    let AmxLeft { values, stride, words } = left;
    assert!(values.len() >= (SIDE - 1) * stride + words, "a block reads past its left side");
    assert!(b.len() >= words * SIDE && words.is_multiple_of(amx::TILE), "a panel of {words} words");
    let runs = [amx::Run { offset: 0, steps: words / amx::TILE }];
    let start = place(0);
    let step = if rows > 1 { place(1).wrapping_sub(start) } else { 0 };
    let in_place = [rows, columns] == [SIDE; 2]
        && (2..rows).all(|row| place(row) == start.wrapping_add(step.wrapping_mul(row)))
        && step < target.len();
    let mut block = amx::Block {
        left: values.as_ptr().cast(),
        left_stride: stride * size_of::<f32>(),
        runs: &runs,
        right: b.as_ptr().cast(),
        target: std::ptr::null_mut(),
        target_stride: step * size_of::<f32>(),
        accumulate,
    };
    #[expect(unsafe_code, reason = "hands pointers to the registers, and tasks share a tensor")]
    // SAFETY: the assertions hold the operands; the block's elements belong to this task alone, and an Isa that reaches a
    // kernel is available.
    unsafe {
        if in_place {
            block.target = target.pointer(start..start + (SIDE - 1) * step + SIDE);
            amx::multiply(&block);
            return;
        }
        let mut whole = [[0.0f32; SIDE]; SIDE];
        block.target = whole.as_mut_ptr().cast();
        block.target_stride = SIDE * size_of::<f32>();
        block.accumulate = false;
        amx::multiply(&block);
        for (row, sums) in whole.iter().enumerate().take(rows) {
            let start = place(row);
            let target = target.range(start..start + columns);
            for (target, sum) in target.iter_mut().zip(sums) {
                *target = if accumulate { *target + sum } else { *sum };
            }
        }
    }
}

/// The rows of A that one tile, or all of a panel, read.
#[derive(Clone, Copy)]
struct Left<'a> {
    values: &'a [f32],
    layout: Layout,
    rows: usize,
}

/// Computes all tiles of a panel, `b`, before `next` is read, and some of what is to be fetched.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
fn write_tiles(
    arithmetic: (Isa, Precision),
    left: Left<'_>,
    (b, next): (&[f32], &[f32]),
    panel: Panel,
    target: Shared<'_, f32>,
    accumulate: bool,
    place: impl Fn(usize) -> usize,
    fetch: &mut Fetch<'_>,
) {
    let each = Registers::of(arithmetic.0).rows_of(panel.vectors);
    for piece in Piece::all(b, panel.width, next) {
        let accumulate = accumulate || piece.start > 0;
        let step = piece.step_ahead(left.rows.div_ceil(each));
        for (index, top) in (0..left.rows).step_by(each).enumerate() {
            let values = &left.values[left.layout.offset(top, piece.start)..];
            let here = Left { values, rows: (left.rows - top).min(each), ..left };
            let ahead = (piece.ahead(index, step), step);
            let far = fetch.take(piece.depth, piece.b);
            let place = |row| place(top + row);
            write_tile(arithmetic, here, (piece, ahead, far), panel, target, accumulate, place);
        }
    }
}

/// Computes one tile, by way of a full-sized one on the stack where its rows or the panel's columns are fewer.
#[expect(unsafe_code, reason = "hands pointers to the register kernels")]
fn write_tile(
    (isa, precision): (Isa, Precision),
    left: Left<'_>,
    (piece, ahead, far): (Piece<'_>, (*const f32, usize), Lines),
    panel: Panel,
    target: Shared<'_, f32>,
    accumulate: bool,
    place: impl Fn(usize) -> usize,
) {
    let Left { values: a, layout, rows } = left;
    let (whole, depth) = (Registers::of(isa).rows_of(panel.vectors), piece.depth);
    let half = rows <= whole / 2;
    let computed = if half { whole / 2 } else { whole };
    let reach = match layout {
        Layout::RowMajor => (computed - 1) * A_STRIDE + depth,
        Layout::Rows { stride } => (computed - 1) * stride + depth,
        Layout::DepthMajor { stride } => (depth - 1) * stride + computed,
        Layout::Blocked { stride } => (depth - 1) / BLOCK * stride + computed * BLOCK,
    };
    assert!(a.len() >= reach, "tile reads past its left side");
    let mut tile = Tile {
        a: a.as_ptr(),
        layout,
        depth,
        b: piece.b.as_ptr(),
        ahead,
        far,
        vectors: panel.vectors,
        c: std::ptr::null_mut(),
        c_rows: [0; MAX_ROWS],
        accumulate,
        half,
    };
    if rows == computed && panel.columns == panel.width {
        for (row, offset) in tile.c_rows.iter_mut().take(rows).enumerate() {
            *offset = place(row);
            assert!(*offset + panel.width <= target.len(), "tile writes past its target");
        }
        // SAFETY: the tile's elements belong to this task alone; every row was checked.
        tile.c = unsafe { target.range(0..0) }.as_mut_ptr();
        // SAFETY: an Isa that reaches a kernel is available; operands and rows were checked above.
        unsafe { tile::run(isa, precision, &tile) };
        return;
    }
    let mut whole = [0.0f32; MAX_FLOATS];
    tile.c = whole.as_mut_ptr();
    tile.accumulate = false;
    for (row, offset) in tile.c_rows.iter_mut().enumerate() {
        *offset = row * panel.width;
    }
    // SAFETY: `whole` holds the largest tile of any instruction set.
    unsafe { tile::run(isa, precision, &tile) };
    for (row, sums) in whole.chunks_exact(panel.width).take(rows).enumerate() {
        let start = place(row);
        // SAFETY: these elements belong to this task alone.
        let target = unsafe { target.range(start..start + panel.columns) };
        for (target, sum) in target.iter_mut().zip(sums) {
            *target = if accumulate { *target + sum } else { *sum };
        }
    }
}

fn blocks(len: usize, block: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(block).map(move |start| start..(start + block).min(len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::testing::{Numbers, assert_close, seen};

    /// Every instruction set of this processor against plain loops, on shapes around each block boundary.
    #[test]
    fn products_match_plain_loops_on_ragged_shapes() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let pool = Pool::with_isa(2, isa).unwrap();
            let shapes = [
                (1, 1, 1),
                (3, 5, 2),
                (14, 384, 32),
                (15, 385, 33),
                (113, 9, 17),
                (127, 800, 49),
                (37, 200, 112),
                (50, 130, 80),
                (600, 40, 33),
                (300, 31, 64),
                (8300, 20, 33),
            ];
            let cases = shapes
                .into_iter()
                .flat_map(|shape| [Precision::F32, Precision::Bf16].map(|precision| (shape, precision)));
            for ((rows, depth, columns), precision) in cases {
                let mut numbers = Numbers::new(rows as u64);
                let a = numbers.vector(rows * depth);
                let b = numbers.vector(depth * columns);
                let start = numbers.vector(rows * columns);
                let (seen_a, seen_b) = (seen(precision, &a), seen(precision, &b));
                let seen_start = seen(precision, &start);
                let mut expected = start.clone();
                for row in 0..rows {
                    for column in 0..columns {
                        let sum: f64 = (0..depth)
                            .map(|k| {
                                f64::from(seen_a[row * depth + k]) * f64::from(seen_b[k * columns + column])
                            })
                            .sum();
                        expected[row * columns + column] += sum as f32;
                    }
                }
                let shape = Panels::new(isa, precision, depth, columns);
                let mut panels = vec![f32::NAN; shape.len()];
                shape.pack(&pool, &b, &mut panels);
                let mut c = start.clone();
                product(
                    &pool,
                    &Dense::new(&a, depth),
                    shape,
                    &panels,
                    &mut c,
                    |row| row * columns,
                    Store::Add,
                );
                assert_close(&c, &expected, depth);

                let mut transposed = vec![0.0; columns * depth];
                for k in 0..depth {
                    for column in 0..columns {
                        transposed[column * depth + k] = b[k * columns + column];
                    }
                }
                let mut again = vec![f32::NAN; shape.len()];
                shape.pack_transposed(&pool, &transposed, &[0], &mut again);
                let bits = |panels: &[f32]| panels.iter().map(|word| word.to_bits()).collect::<Vec<u32>>();
                assert_eq!(bits(&panels), bits(&again), "{isa} {precision}");

                // The outer product of the same matrices: sum over rows of a[row][k] * start[row][column].
                let mut expected = vec![0.0; depth * columns];
                for k in 0..depth {
                    for column in 0..columns {
                        let sum: f64 = (0..rows)
                            .map(|row| {
                                f64::from(seen_a[row * depth + k])
                                    * f64::from(seen_start[row * columns + column])
                            })
                            .sum();
                        expected[k * columns + column] = sum as f32;
                    }
                }
                let before = numbers.vector(depth * columns);
                for store in [Store::Replace, Store::Add] {
                    let mut c = before.clone();
                    let mut workspace =
                        vec![f32::NAN; outer_workspace_len(isa, precision, rows, [depth, columns])];
                    let (rows_of_a, work) = (&Dense::new(&a, depth), &mut workspace);
                    outer_product(&pool, precision, rows_of_a, &start, columns, work, &mut c, store);
                    if store == Store::Add {
                        expected.iter_mut().zip(&before).for_each(|(sum, before)| *sum += before);
                    }
                    assert_close(&c, &expected, rows);
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let mut numbers = Numbers::new(7);
        let (rows, depth, columns) = (200, 700, 96);
        let (a, b) = (numbers.vector(rows * depth), numbers.vector(depth * columns));
        let results: Vec<Vec<f32>> = [1, 2, 3]
            .into_iter()
            .map(|threads| {
                let pool = Pool::new(threads).unwrap();
                let shape = Panels::new(pool.isa(), Precision::Bf16, depth, columns);
                let mut panels = vec![0.0; shape.len()];
                shape.pack(&pool, &b, &mut panels);
                let mut c = vec![0.0; rows * columns];
                product(
                    &pool,
                    &Dense::new(&a, depth),
                    shape,
                    &panels,
                    &mut c,
                    |row| row * columns,
                    Store::Replace,
                );
                c
            })
            .collect();
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }
}
