//! The product of some rows with one panel of words, one register tile after another.

use super::words::PANEL;
use crate::amx;
use crate::isa::Isa;
use crate::precision::Precision;

/// Words of depth in a block: a panel of that depth, 32 KB, stays in the first-level cache.
pub(crate) const DEPTH_WORDS: usize = 256;

/// Words of a piece of a panel where a tile is narrower than a panel: a quarter of the least first-level cache.
const PIECE: usize = 2048;

/// Words between two rows of a row-major left side. Constant, so that row addresses are displacements, and an odd
/// number of cache lines, so that the rows of a tile do not compete for one cache set.
pub(crate) const ROW_STRIDE: usize = DEPTH_WORDS + 16;

/// How a left side lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Word `(row, k)` at `row * ROW_STRIDE + k`.
    RowMajor,
    /// Word `(row, k)` at `row + k * stride`.
    DepthMajor {
        /// Words between two steps in depth.
        stride: usize,
    },
}

/// The left side of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftWords<'a> {
    pub(crate) words: &'a [u32],
    pub(crate) order: Order,
    pub(crate) rows: usize,
}

/// Where a product is written: row `r` at `r * stride`, [`PANEL`] columns wide.
#[derive(Debug)]
pub(crate) struct PanelTarget<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
    pub(crate) store: super::Store,
}

/// One register tile.
#[derive(Clone, Copy)]
struct Tile {
    a: *const u32,
    order: Order,
    rows: usize,
    depth: usize,
    /// Its columns of `[depth][PANEL]`.
    b: *const u32,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
    /// What the caller reads next, fetched a line for every four steps in depth.
    ahead: *const u32,
}

/// `target[row] (=|+=) sum over k of left[row][k] . panel[k][..]`, where a dot of two words is the product of their
/// floats or the sum of the two products of their bf16, each exact and added in f32.
///
/// While it computes, it brings as much of `ahead` as it can into the second-level cache.
///
/// # Panics
/// When the operands or the target are too short.
pub(crate) fn panel_product(
    isa: Isa,
    precision: Precision,
    left: LeftWords<'_>,
    panel: &[u32],
    target: PanelTarget<'_>,
    ahead: &[f32],
) {
    let PanelTarget { values, stride, store } = target;
    let depth = panel.len() / PANEL;
    if left.rows == 0 || depth == 0 {
        return;
    }
    let reach = match left.order {
        Order::RowMajor => {
            assert!(depth <= ROW_STRIDE, "a row of {depth} words");
            (left.rows - 1) * ROW_STRIDE + depth
        }
        Order::DepthMajor { stride } => (depth - 1) * stride + left.rows,
    };
    assert!(left.words.len() >= reach, "left side of {} words, {reach} are read", left.words.len());
    let written = (left.rows - 1) * stride + PANEL;
    assert!(values.len() >= written, "target of {}, {written} are written", values.len());
    let in_blocks =
        amx::multiplies(isa, precision) && left.order == Order::RowMajor && depth.is_multiple_of(amx::TILE);
    let done = if in_blocks { whole_blocks(left, panel, &mut *values, stride, store) } else { 0 };
    let rest = left.rows - done;
    let [most_rows, columns] = kernels::size(isa, precision);
    let (tiles, across) = (rest.div_ceil(most_rows), PANEL / columns);
    // All rows with a piece of the panel before the next one, so that it stays in the first-level cache.
    let deep = if across > 1 { PIECE / columns } else { depth };
    let pieces = across * depth.div_ceil(deep);
    for index in 0..pieces * tiles {
        let (piece, row) = (index / tiles, index % tiles);
        let (column, top) = (piece % across * columns, piece / across * deep);
        let (first, end) = (done + row * rest / tiles, done + (row + 1) * rest / tiles);
        let tile = Tile {
            a: match left.order {
                Order::RowMajor => left.words[first * ROW_STRIDE + top..].as_ptr(),
                Order::DepthMajor { stride } => left.words[first + top * stride..].as_ptr(),
            },
            order: left.order,
            rows: end - first,
            depth: deep.min(depth - top),
            b: panel[top * PANEL + column..].as_ptr(),
            c: values[first * stride + column..].as_mut_ptr(),
            c_stride: stride,
            accumulate: store == super::Store::Add || top > 0,
            ahead: match ahead {
                [] => panel.as_ptr(),
                _ => ahead[ahead.len() * index / (pieces * tiles)..].as_ptr().cast(),
            },
        };
        #[expect(unsafe_code, reason = "hands pointers to the register kernels")]
        // SAFETY: an Isa that reaches a kernel is available; every row was checked above.
        unsafe {
            kernels::run(isa, precision, &tile);
        }
    }
}

/// The rows of all whole blocks of a product whose operands were checked; returns their number.
fn whole_blocks(
    left: LeftWords<'_>,
    panel: &[u32],
    values: &mut [f32],
    stride: usize,
    store: super::Store,
) -> usize {
    let runs = [amx::Run { offset: 0, steps: panel.len() / PANEL / amx::TILE }];
    let rows = left.rows / amx::BLOCK * amx::BLOCK;
    for first in (0..rows).step_by(amx::BLOCK) {
        #[expect(unsafe_code, reason = "hands pointers to the registers")]
        // SAFETY: an Isa that reaches a kernel is available; every row was checked by the caller.
        unsafe {
            amx::multiply(&amx::Block {
                left: left.words[first * ROW_STRIDE..].as_ptr().cast(),
                left_stride: ROW_STRIDE * size_of::<u32>(),
                runs: &runs,
                right: panel.as_ptr(),
                target: values[first * stride..].as_mut_ptr(),
                target_stride: stride * size_of::<f32>(),
                accumulate: store == super::Store::Add,
            });
        }
    }
    rows
}

#[expect(unsafe_code, reason = "vector loads and stores through pointers; tested against plain loops")]
mod kernels {
    use super::super::fetch::AHEAD;
    use super::super::words::unpair;
    use super::{Isa, Order, PANEL, Precision, ROW_STRIDE, Tile};
    #[cfg(target_arch = "x86_64")]
    use std::arch::x86_64 as x86;

    /// A vector of sums, and how a vector of words adds to it.
    trait Sums: Copy {
        const LANES: usize;
        type Words: Copy;
        /// # Safety
        /// The processor has the instruction set, here and below.
        unsafe fn zeros() -> Self;
        /// # Safety
        /// `LANES` floats are readable at `source`.
        unsafe fn load(source: *const f32) -> Self;
        /// # Safety
        /// `LANES` floats are writable at `target`.
        unsafe fn store(self, target: *mut f32);
        /// # Safety
        /// As `zeros`.
        unsafe fn add(self, other: Self) -> Self;
        /// # Safety
        /// `LANES` words are readable at `source`.
        unsafe fn words(source: *const u32) -> Self::Words;
        /// # Safety
        /// A word is readable at `source`.
        unsafe fn repeat(source: *const u32) -> Self::Words;
        /// `self + a . b`, lane by lane.
        /// # Safety
        /// As `zeros`.
        unsafe fn add_product(self, a: Self::Words, b: Self::Words) -> Self;
        /// Asks for the cache line of an address, which need not exist, in the second-level cache.
        /// # Safety
        /// As `zeros`.
        unsafe fn fetch(_address: *const u32) {}
        /// As `fetch`, in the first-level cache.
        /// # Safety
        /// As `zeros`.
        unsafe fn fetch_near(_address: *const u32) {}
    }

    /// Sums on any processor, of floats or of pairs.
    #[derive(Clone, Copy)]
    struct Portable<const PAIRS: bool>([f32; 8]);

    impl<const PAIRS: bool> Sums for Portable<PAIRS> {
        const LANES: usize = 8;
        type Words = [u32; 8];
        #[inline(always)]
        unsafe fn zeros() -> Self {
            Portable([0.0; 8])
        }
        #[inline(always)]
        unsafe fn load(source: *const f32) -> Self {
            // SAFETY: eight floats are readable by the caller's promise; read_unaligned asks no alignment.
            Portable(unsafe { source.cast::<[f32; 8]>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn store(self, target: *mut f32) {
            // SAFETY: eight floats are writable by the caller's promise.
            unsafe { target.cast::<[f32; 8]>().write_unaligned(self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Portable(std::array::from_fn(|lane| self.0[lane] + other.0[lane]))
        }
        #[inline(always)]
        unsafe fn words(source: *const u32) -> [u32; 8] {
            // SAFETY: eight words are readable by the caller's promise.
            unsafe { source.cast::<[u32; 8]>().read_unaligned() }
        }
        #[inline(always)]
        unsafe fn repeat(source: *const u32) -> [u32; 8] {
            // SAFETY: a word is readable by the caller's promise.
            [unsafe { *source }; 8]
        }
        #[inline(always)]
        unsafe fn add_product(self, a: [u32; 8], b: [u32; 8]) -> Self {
            Portable(std::array::from_fn(|lane| {
                let (a, b, sum) = (a[lane], b[lane], self.0[lane]);
                if PAIRS {
                    let ([a, next_a], [b, next_b]) = (unpair(a), unpair(b));
                    // The upper halves first, as `vdpbf16ps` adds them.
                    (sum + next_a * next_b) + a * b
                } else {
                    sum + f32::from_bits(a) * f32::from_bits(b)
                }
            }))
        }
    }

    /// Implements [`Sums`] by intrinsics: the register, its width and the functions on it.
    #[cfg(target_arch = "x86_64")]
    macro_rules! sums {
        ($name:ident, $register:ident, $lanes:literal, $words:ty, $zeros:ident, $load:ident, $store:ident, $add:ident,
         |$source:ident| $load_words:expr, |$word:ident| $repeat:expr,
         |$sum:ident, $a:ident, $b:ident| $product:expr) => {
            #[derive(Clone, Copy)]
            struct $name(x86::$register);

            impl Sums for $name {
                const LANES: usize = $lanes;
                type Words = $words;
                #[inline(always)]
                unsafe fn zeros() -> Self {
                    // SAFETY: the caller promises the instruction set.
                    $name(unsafe { x86::$zeros() })
                }
                #[inline(always)]
                unsafe fn load(source: *const f32) -> Self {
                    // SAFETY: the caller promises the instruction set and the floats.
                    $name(unsafe { x86::$load(source) })
                }
                #[inline(always)]
                unsafe fn store(self, target: *mut f32) {
                    // SAFETY: the caller promises the instruction set and the floats.
                    unsafe { x86::$store(target, self.0) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: the caller promises the instruction set.
                    $name(unsafe { x86::$add(self.0, other.0) })
                }
                #[inline(always)]
                unsafe fn words($source: *const u32) -> $words {
                    // SAFETY: the caller promises the instruction set and the words.
                    unsafe { $load_words }
                }
                #[inline(always)]
                unsafe fn repeat($word: *const u32) -> $words {
                    // SAFETY: the caller promises the instruction set and the word.
                    unsafe { $repeat }
                }
                #[inline(always)]
                unsafe fn add_product(self, $a: $words, $b: $words) -> Self {
                    let $sum = self.0;
                    // SAFETY: the caller promises the instruction set.
                    $name(unsafe { $product })
                }
                #[inline(always)]
                unsafe fn fetch(address: *const u32) {
                    // SAFETY: a prefetch reads nothing that the program can see and never faults.
                    unsafe { x86::_mm_prefetch::<{ x86::_MM_HINT_T1 }>(address.cast()) }
                }
                #[inline(always)]
                unsafe fn fetch_near(address: *const u32) {
                    // SAFETY: as above.
                    unsafe { x86::_mm_prefetch::<{ x86::_MM_HINT_T0 }>(address.cast()) }
                }
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    sums!(
        Avx2,
        __m256,
        8,
        x86::__m256,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        |source| x86::_mm256_loadu_ps(source.cast()),
        |word| x86::_mm256_set1_ps(*word.cast()),
        |sum, a, b| x86::_mm256_fmadd_ps(a, b, sum)
    );
    #[cfg(target_arch = "x86_64")]
    sums!(
        Avx512,
        __m512,
        16,
        x86::__m512,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        |source| x86::_mm512_loadu_ps(source.cast()),
        |word| x86::_mm512_set1_ps(*word.cast()),
        |sum, a, b| x86::_mm512_fmadd_ps(a, b, sum)
    );
    #[cfg(target_arch = "x86_64")]
    sums!(
        Avx512Bf16,
        __m512,
        16,
        x86::__m512bh,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        |source| source.cast::<x86::__m512bh>().read_unaligned(),
        |word| std::mem::transmute::<x86::__m512i, x86::__m512bh>(x86::_mm512_set1_epi32(*word.cast())),
        |sum, a, b| x86::_mm512_dpbf16_ps(sum, a, b)
    );

    /// One tile of `ROWS` rows and two vectors.
    ///
    /// # Safety
    /// The processor has the instruction set of `S`, and the pointers of `tile` reach as far as its sizes say.
    #[inline(always)]
    unsafe fn multiply<S: Sums, const ROWS: usize, const A_ROW: usize>(tile: &Tile, a_depth: usize) {
        // SAFETY: in this whole function by the caller's promise: A holds ROWS x depth words in the stated order, B
        // depth x PANEL, and each row of C has two vectors of floats.
        unsafe {
            let mut sums = [[S::zeros(); 2]; ROWS];
            let (mut a, mut b, mut ahead) = (tile.a, tile.b, tile.ahead);
            for _ in 0..tile.depth / 4 {
                S::fetch(ahead);
                ahead = ahead.wrapping_add(16);
                for quarter in 0..4 {
                    let a = a.add(quarter * a_depth);
                    step::<S, ROWS, A_ROW>((a, a_depth), b.add(quarter * PANEL), &mut sums);
                }
                a = a.wrapping_add(4 * a_depth);
                b = b.add(4 * PANEL);
            }
            for _ in 0..tile.depth % 4 {
                step::<S, ROWS, A_ROW>((a, a_depth), b, &mut sums);
                a = a.wrapping_add(a_depth);
                b = b.add(PANEL);
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    let target = tile.c.add(row * tile.c_stride + vector * S::LANES);
                    let value = if tile.accumulate { S::load(target).add(sum) } else { sum };
                    value.store(target);
                }
            }
        }
    }

    /// One step in depth.
    ///
    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn step<S: Sums, const ROWS: usize, const A_ROW: usize>(
        (a, a_depth): (*const u32, usize),
        b: *const u32,
        sums: &mut [[S; 2]; ROWS],
    ) {
        // SAFETY: as in `multiply`.
        unsafe {
            if A_ROW == 1 {
                // Each step reads another line.
                S::fetch_near(a.wrapping_add(AHEAD * a_depth));
            }
            let columns = [S::words(b), S::words(b.add(S::LANES))];
            for (row, sums) in sums.iter_mut().enumerate() {
                let word = S::repeat(a.add(row * A_ROW));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = sum.add_product(word, column);
                }
            }
        }
    }

    /// A tile of any of the listed heights, of which the first is the highest.
    macro_rules! by_height {
        ($sums:ty, $tile:expr, [$($rows:literal)*]) => {{
            let tile: &Tile = $tile;
            // SAFETY: the caller's promise.
            unsafe {
                match (tile.order, tile.rows) {
                    $(
                        (Order::RowMajor, $rows) => multiply::<$sums, $rows, ROW_STRIDE>(tile, 1),
                        (Order::DepthMajor { stride }, $rows) => multiply::<$sums, $rows, 1>(tile, stride),
                    )*
                    (_, rows) => unreachable!("a tile of {rows} rows"),
                }
            }
        }};
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(tile: &Tile) {
        by_height!(Avx2, tile, [6 5 4 3 2 1]);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(tile: &Tile) {
        by_height!(Avx512, tile, [14 13 12 11 10 9 8 7 6 5 4 3 2 1]);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn avx512_bf16(tile: &Tile) {
        by_height!(Avx512Bf16, tile, [14 13 12 11 10 9 8 7 6 5 4 3 2 1]);
    }

    /// Rows of the highest tile, and columns: those of two vectors.
    pub(super) fn size(isa: Isa, precision: Precision) -> [usize; 2] {
        match (isa, precision) {
            (Isa::Avx2, Precision::F32) => [6, PANEL / 2],
            (Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx, Precision::F32)
            | (Isa::Avx512Bf16 | Isa::Amx, Precision::Bf16) => [14, PANEL],
            (Isa::Portable, _) | (_, Precision::Bf16) => [4, PANEL / 2],
        }
    }

    /// Computes `tile`.
    ///
    /// # Safety
    /// The processor has `isa`, and the pointers of `tile` reach as far as its sizes say.
    pub(super) unsafe fn run(isa: Isa, precision: Precision, tile: &Tile) {
        match (isa, precision) {
            // SAFETY: the caller's promise is exactly what each kernel needs.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Precision::F32) => unsafe { avx2(tile) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx, Precision::F32) => unsafe { avx512(tile) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16 | Isa::Amx, Precision::Bf16) => unsafe { avx512_bf16(tile) },
            (_, Precision::F32) => by_height!(Portable<false>, tile, [4 3 2 1]),
            (_, Precision::Bf16) => by_height!(Portable<true>, tile, [4 3 2 1]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::words::{across, along, unpair};
    use super::*;
    use crate::testing::{Numbers, assert_close};

    /// Elements as a precision sees them.
    fn seen(precision: Precision, values: &[f32]) -> Vec<f64> {
        let see = |value: &f32| match precision {
            Precision::F32 => f64::from(*value),
            Precision::Bf16 => f64::from(unpair(super::super::words::pair(*value, 0.0))[0]),
        };
        values.iter().map(see).collect()
    }

    /// Both orders of every kernel against plain loops in f64 on the rounded operands, on ragged shapes.
    #[test]
    fn panels_of_words_match_plain_loops_in_both_orders_and_precisions() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for precision in [Precision::F32, Precision::Bf16] {
                for (rows, elements) in [(1, 1), (3, 5), (14, 64), (15, 33), (29, 130), (97, 256)] {
                    let mut numbers = Numbers::new(rows as u64);
                    let a = numbers.vector(rows * elements);
                    let b = numbers.vector(elements * PANEL);
                    let start = numbers.vector(rows * PANEL);
                    let (seen_a, seen_b) = (seen(precision, &a), seen(precision, &b));
                    let expected: Vec<f32> = (0..rows * PANEL)
                        .map(|index| {
                            let (row, column) = (index / PANEL, index % PANEL);
                            let products = (0..elements)
                                .map(|k| seen_a[row * elements + k] * seen_b[k * PANEL + column]);
                            (f64::from(start[index]) + products.sum::<f64>()) as f32
                        })
                        .collect();

                    // Pairs as they lie along a row; the columns of the panel are packed as rows and transposed.
                    let depth = precision.words(elements);
                    let mut left = vec![0; rows * ROW_STRIDE];
                    for (values, words) in a.chunks_exact(elements).zip(left.chunks_exact_mut(ROW_STRIDE)) {
                        along(precision, values, 1.0, &mut words[..depth]);
                    }
                    let mut panel = vec![0; depth * PANEL];
                    for column in 0..PANEL {
                        let values: Vec<f32> = (0..elements).map(|k| b[k * PANEL + column]).collect();
                        let mut words = vec![0; depth];
                        along(precision, &values, 1.0, &mut words);
                        for (k, word) in words.into_iter().enumerate() {
                            panel[k * PANEL + column] = word;
                        }
                    }
                    let mut c = start.clone();
                    let left = LeftWords { words: &left, order: Order::RowMajor, rows };
                    let target = PanelTarget { values: &mut c, stride: PANEL, store: Store::Add };
                    panel_product(isa, precision, left, &panel, target, &start);
                    assert_close(&c, &expected, elements);

                    // Pairs of rows that follow one another.
                    let step = precision.per_word();
                    let depth = elements.div_ceil(step);
                    let stride = rows + 3;
                    let (mut left, mut panel) = (vec![0; depth * stride], vec![0; depth * PANEL]);
                    let transposed: Vec<f32> =
                        (0..elements * rows).map(|index| a[index % rows * elements + index / rows]).collect();
                    for k in 0..depth {
                        for (matrix, width, words) in [
                            (&transposed, rows, &mut left[k * stride..]),
                            (&b, PANEL, &mut panel[k * PANEL..]),
                        ] {
                            let mut rows = matrix[k * step * width..].chunks_exact(width);
                            let first = rows.next().unwrap();
                            across(precision, (first, 1.0), (rows.next().unwrap_or(&[]), 1.0), words);
                        }
                    }
                    let mut c = vec![f32::NAN; rows * PANEL];
                    let left = LeftWords { words: &left, order: Order::DepthMajor { stride }, rows };
                    let target = PanelTarget { values: &mut c, stride: PANEL, store: Store::Replace };
                    panel_product(isa, precision, left, &panel, target, &[]);
                    let difference: Vec<f32> =
                        expected.iter().zip(&start).map(|(sum, start)| sum - start).collect();
                    assert_close(&c, &difference, elements);
                }
            }
        }
    }
}
