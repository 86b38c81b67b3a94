//! The innermost loop of every product: one tile of C held in registers.

use super::fetch::{AHEAD, Lines, STEPS};
use crate::isa::Isa;
use crate::precision::Precision;

/// Floats between two rows of a row-major block of A. Constant, so that row addresses are displacements, and an
/// odd number of cache lines, so that the rows of a tile do not compete for one cache set.
pub(super) const A_STRIDE: usize = 400;

/// Columns in a block of [`Layout::Blocked`]: a cache line.
pub(crate) const BLOCK: usize = 16;

/// The greatest number of rows of any instruction set's tile.
pub(super) const MAX_ROWS: usize = 12;

/// The greatest number of columns of any tile.
pub(super) const MAX_WIDTH: usize = 64;

/// The greatest number of floats of any tile.
pub(super) const MAX_FLOATS: usize = 384;

/// How a block of A lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Element `(row, k)` at `row * A_STRIDE + k`.
    RowMajor,
    /// Element `(row, k)` at `row * stride + k`.
    Rows {
        /// Floats between two rows.
        stride: usize,
    },
    /// Element `(row, k)` at `row + k * stride`.
    DepthMajor {
        /// Floats between two steps in depth.
        stride: usize,
    },
    /// Element `(row, k)` at `k / BLOCK * stride + row * BLOCK + k % BLOCK`.
    Blocked {
        /// Floats between two blocks in depth.
        stride: usize,
    },
}

impl Layout {
    /// Where element `(row, k)` lies, `k` being the first of a block.
    pub(super) const fn offset(self, row: usize, k: usize) -> usize {
        match self {
            Layout::RowMajor => row * A_STRIDE + k,
            Layout::Rows { stride } => row * stride + k,
            Layout::DepthMajor { stride } => row + k * stride,
            Layout::Blocked { stride } => k / BLOCK * stride + row * BLOCK,
        }
    }
}

/// Words of a piece of a panel of B that stays in the first-level cache for all tiles of rows, beside the one after it.
const PIECE: usize = 64 * 96;

/// A piece of a panel of B, and what is read after it.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    /// Its first step in depth.
    pub(super) start: usize,
    /// `[depth][width]`
    pub(super) b: &'a [f32],
    pub(super) depth: usize,
    next: &'a [f32],
}

impl<'a> Piece<'a> {
    /// The pieces of a panel, of whole blocks of depth but for the last one; `next` is read after the panel.
    pub(super) fn all(panel: &'a [f32], width: usize, next: &'a [f32]) -> impl Iterator<Item = Piece<'a>> {
        let depth = panel.len() / width;
        let each = depth.div_ceil(panel.len().div_ceil(PIECE)).next_multiple_of(BLOCK);
        (0..depth).step_by(each).map(move |start| {
            let end = (start + each).min(depth);
            let after = if end < depth { &panel[end * width..] } else { next };
            let (depth, b) = (end - start, &panel[start * width..end * width]);
            Piece { start, b, depth, next: &after[..after.len().min(each * width)] }
        })
    }

    /// Floats of what is read next that each of `tiles` fetches on the way for each step in depth: all share it evenly,
    /// since a cache waits for few lines at once.
    pub(super) fn step_ahead(&self, tiles: usize) -> usize {
        self.next.len().div_ceil(tiles * self.depth)
    }

    /// Where tile `index` begins to fetch, with so many floats for each step.
    pub(super) fn ahead(&self, index: usize, step: usize) -> *const f32 {
        self.next.get(index * self.depth * step..).unwrap_or(self.b).as_ptr()
    }
}

/// One tile of work: `C[row][column] = (accumulate ? C : 0) + sum over k of A[row][k] . B[k][column]`, where A and B
/// hold words of a [`Precision`].
pub(super) struct Tile {
    pub(super) a: *const f32,
    pub(super) layout: Layout,
    pub(super) depth: usize,
    /// `[depth][width]`, `width` being [`Registers::lanes`] times `vectors`.
    pub(super) b: *const f32,
    /// What is fetched for the next piece, and the floats from there on for each step in depth.
    pub(super) ahead: (*const f32, usize),
    /// What is fetched from memory, a line for every [`STEPS`] steps in depth.
    pub(super) far: Lines,
    /// Vectors across the tile: 1, 2 or, where [`Registers::vectors`] says so, 4.
    pub(super) vectors: usize,
    pub(super) c: *mut f32,
    /// Offset of each row of the tile from `c`.
    pub(super) c_rows: [usize; MAX_ROWS],
    pub(super) accumulate: bool,
    /// Whether the tile has half the rows of a whole one.
    pub(super) half: bool,
}

/// The size of an instruction set's tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    /// Rows of a tile that is one or two vectors wide; of one four vectors wide half as many.
    pub(crate) rows: usize,
    /// Floats in a vector.
    pub(crate) lanes: usize,
    /// The most vectors across a tile.
    pub(crate) vectors: usize,
}

impl Registers {
    /// Rows of a whole tile of so many vectors across.
    pub(crate) const fn rows_of(&self, vectors: usize) -> usize {
        if vectors > 2 { self.rows / 2 } else { self.rows }
    }

    /// Rows of which a block in scratch memory has a multiple: half a tile, for where fewer than a whole one's are left, so
    /// few registers take more than half the time.
    pub(crate) const fn half(&self) -> usize {
        self.rows / 2
    }

    /// The tile whose accumulators fill the registers of `isa`. With 32 registers it is wide: one step in depth then loads
    /// 10 vectors or numbers for 24 multiply-adds, where one of 12 rows and two vectors loads 14.
    pub(crate) const fn of(isa: Isa) -> Registers {
        match isa {
            Isa::Portable => Registers { rows: 4, lanes: 8, vectors: 2 },
            Isa::Avx2 => Registers { rows: 6, lanes: 8, vectors: 2 },
            Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx => Registers { rows: 12, lanes: 16, vectors: 4 },
        }
    }
}

#[expect(unsafe_code, reason = "vector loads and stores through pointers; tested against plain loops")]
mod kernels {
    use super::super::format::{Floats, Format, Pairs};
    use super::super::vector::Vector;
    use super::{A_STRIDE, AHEAD, BLOCK, Isa, Layout, Precision, STEPS, Tile};

    /// A left side whose rows are `a_row` floats apart for [`BLOCK`] steps in depth, which `a_block` floats further are
    /// followed by the next, fetched meanwhile if that is asked.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set, and the pointers of `tile` reach as far as its sizes say.
    #[inline(always)]
    unsafe fn multiply_blocks<V: Vector, F: Format<V>, const ROWS: usize, const VECTORS: usize>(
        tile: &Tile,
        [a_row, a_block]: [usize; 2],
        fetches: bool,
    ) {
        // SAFETY: in this whole function by the caller's promise: A holds ROWS x depth floats in the stated
        // layout, B depth x width, and each row of C width floats.
        unsafe {
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            let (mut a, mut b, (mut ahead, step_ahead)) = (tile.a, tile.b, tile.ahead);
            let mut far = tile.far;
            for _ in 0..tile.depth / BLOCK {
                // In fours, so that a compiler unrolls them.
                for four in 0..BLOCK / STEPS {
                    for k in 0..STEPS {
                        if fetches && k < const { ROWS.div_ceil(BLOCK / STEPS) } {
                            let row = four + k * (BLOCK / STEPS);
                            V::prefetch(a.wrapping_add(a_block + row * a_row));
                        }
                        if k == STEPS - 1 {
                            far.fetch::<V>();
                        } else {
                            V::prefetch(ahead);
                        }
                        ahead = ahead.wrapping_add(step_ahead);
                        let (a, b) = (a.add(four * STEPS + k), b.add(k * VECTORS * V::LANES));
                        step::<V, F, ROWS, VECTORS>((a, a_row), b, &mut sums);
                    }
                    b = b.add(STEPS * VECTORS * V::LANES);
                }
                a = a.add(a_block);
            }
            for k in 0..tile.depth % BLOCK {
                step::<V, F, ROWS, VECTORS>((a.add(k), a_row), b.add(k * VECTORS * V::LANES), &mut sums);
            }
            write(tile, &sums);
        }
    }

    /// A left side whose rows lie side by side, with `a_depth` floats between two steps in depth.
    ///
    /// # Safety
    /// As [`multiply_blocks`].
    #[inline(always)]
    unsafe fn multiply_depths<V: Vector, F: Format<V>, const ROWS: usize, const VECTORS: usize>(
        tile: &Tile,
        a_depth: usize,
    ) {
        // SAFETY: as in `multiply_blocks`.
        unsafe {
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            let (mut a, mut b, (mut ahead, step_ahead)) = (tile.a, tile.b, tile.ahead);
            let mut far = tile.far;
            for _ in 0..tile.depth / STEPS {
                for k in 0..STEPS {
                    V::prefetch(a.wrapping_add(AHEAD * a_depth));
                    if k == STEPS - 1 {
                        far.fetch::<V>();
                    } else {
                        V::prefetch(ahead);
                    }
                    step::<V, F, ROWS, VECTORS>((a, 1), b, &mut sums);
                    a = a.add(a_depth);
                    b = b.add(VECTORS * V::LANES);
                    ahead = ahead.wrapping_add(step_ahead);
                }
            }
            for _ in 0..tile.depth % STEPS {
                V::prefetch(a.wrapping_add(AHEAD * a_depth));
                V::prefetch(ahead);
                step::<V, F, ROWS, VECTORS>((a, 1), b, &mut sums);
                a = a.add(a_depth);
                b = b.add(VECTORS * V::LANES);
                ahead = ahead.wrapping_add(step_ahead);
            }
            write(tile, &sums);
        }
    }

    /// One step in depth.
    ///
    /// # Safety
    /// As [`multiply_blocks`].
    #[inline(always)]
    unsafe fn step<V: Vector, F: Format<V>, const ROWS: usize, const VECTORS: usize>(
        (a, a_row): (*const f32, usize),
        b: *const f32,
        sums: &mut [[V; VECTORS]; ROWS],
    ) {
        // SAFETY: as in `multiply_blocks`.
        unsafe {
            let columns: [V; VECTORS] = std::array::from_fn(|vector| V::load(b.add(vector * V::LANES)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = V::splat(*a.add(row * a_row));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum = F::add_product(*sum, value, column);
                }
            }
        }
    }

    /// Stores the sums of a tile.
    ///
    /// # Safety
    /// As [`multiply_blocks`].
    #[inline(always)]
    unsafe fn write<V: Vector, const ROWS: usize, const VECTORS: usize>(
        tile: &Tile,
        sums: &[[V; VECTORS]; ROWS],
    ) {
        // SAFETY: as in `multiply_blocks`.
        unsafe {
            for (row, sums) in sums.iter().enumerate() {
                for (vector, &sum) in sums.iter().enumerate() {
                    let target = tile.c.add(tile.c_rows[row] + vector * V::LANES);
                    let value = if tile.accumulate { V::load(target).add(sum) } else { sum };
                    value.store(target);
                }
            }
        }
    }

    /// # Safety
    /// As [`multiply_blocks`].
    #[inline(always)]
    unsafe fn by_layout<V: Vector, F: Format<V>, const ROWS: usize, const VECTORS: usize>(tile: &Tile) {
        // SAFETY: the same promise is passed on.
        unsafe {
            match tile.layout {
                Layout::RowMajor => multiply_blocks::<V, F, ROWS, VECTORS>(tile, [A_STRIDE, BLOCK], false),
                Layout::Rows { stride } => {
                    multiply_blocks::<V, F, ROWS, VECTORS>(tile, [stride, BLOCK], false);
                }
                Layout::DepthMajor { stride } => multiply_depths::<V, F, ROWS, VECTORS>(tile, stride),
                Layout::Blocked { stride } => {
                    multiply_blocks::<V, F, ROWS, VECTORS>(tile, [BLOCK, stride], true);
                }
            }
        }
    }

    /// A tile of one or two vectors.
    ///
    /// # Safety
    /// As [`multiply_blocks`].
    #[inline(always)]
    unsafe fn narrow<V: Vector, F: Format<V>, const ROWS: usize, const HALF: usize>(tile: &Tile) {
        const { assert!(2 * HALF == ROWS) };
        // SAFETY: the same promise is passed on.
        unsafe {
            match (tile.vectors, tile.half) {
                (1, false) => by_layout::<V, F, ROWS, 1>(tile),
                (1, true) => by_layout::<V, F, HALF, 1>(tile),
                (_, false) => by_layout::<V, F, ROWS, 2>(tile),
                (_, true) => by_layout::<V, F, HALF, 2>(tile),
            }
        }
    }

    /// A tile of one, two or four vectors of 32 registers.
    ///
    /// # Safety
    /// As [`multiply_blocks`].
    #[inline(always)]
    unsafe fn wide<V: Vector, F: Format<V>>(tile: &Tile) {
        // SAFETY: the same promise is passed on.
        unsafe {
            match (tile.vectors, tile.half) {
                (4, false) => by_layout::<V, F, 6, 4>(tile),
                (4, true) => by_layout::<V, F, 3, 4>(tile),
                _ => narrow::<V, F, 12, 6>(tile),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2<F: Format<std::arch::x86_64::__m256>>(tile: &Tile) {
        // SAFETY: this function is only reached with the instruction set; `run`'s caller promises the pointers.
        unsafe { narrow::<std::arch::x86_64::__m256, F, 6, 3>(tile) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn avx512<F: Format<std::arch::x86_64::__m512>>(tile: &Tile) {
        // SAFETY: as above.
        unsafe { wide::<std::arch::x86_64::__m512, F>(tile) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    fn avx512_bf16(tile: &Tile) {
        // SAFETY: as above.
        unsafe { wide::<std::arch::x86_64::__m512, super::super::format::NativePairs>(tile) }
    }

    /// Computes `tile`.
    ///
    /// # Safety
    /// The processor has `isa`, and the pointers of `tile` reach as far as `Registers::of(isa)` and its sizes say.
    pub(in crate::gemm) unsafe fn run(isa: Isa, precision: Precision, tile: &Tile) {
        // SAFETY: the caller's promise is exactly what each kernel needs.
        unsafe {
            match (isa, precision) {
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx2, Precision::F32) => avx2::<Floats>(tile),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx2, Precision::Bf16) => avx2::<Pairs>(tile),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx, Precision::F32) => avx512::<Floats>(tile),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512, Precision::Bf16) => avx512::<Pairs>(tile),
                #[cfg(target_arch = "x86_64")]
                (Isa::Avx512Bf16 | Isa::Amx, Precision::Bf16) => avx512_bf16(tile),
                (_, Precision::F32) => narrow::<[f32; 8], Floats, 4, 2>(tile),
                (_, Precision::Bf16) => narrow::<[f32; 8], Pairs, 4, 2>(tile),
            }
        }
    }
}
pub(super) use kernels::run;
