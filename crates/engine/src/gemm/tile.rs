//! The innermost loop of every product: one tile of C held in registers.

use crate::isa::Isa;

/// Floats between two rows of a row-major block of A. Constant, so that row addresses are displacements, and an
/// odd number of cache lines, so that the rows of a tile do not compete for one cache set.
pub(super) const A_STRIDE: usize = 400;

/// The greatest number of rows of any instruction set's tile.
pub(super) const MAX_ROWS: usize = 14;

/// How a block of A lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Element `(row, k)` at `row * A_STRIDE + k`.
    RowMajor,
    /// Element `(row, k)` at `row + k * stride`.
    DepthMajor {
        /// Floats between two steps in depth.
        stride: usize,
    },
}

/// One tile of work: `C[row][column] = (accumulate ? C : 0) + sum over k of A[row][k] * B[k][column]`.
pub(super) struct Tile {
    pub(super) a: *const f32,
    pub(super) layout: Layout,
    pub(super) depth: usize,
    /// `[depth][width]`, `width` being [`Registers::lanes`] times `vectors`.
    pub(super) b: *const f32,
    /// Vectors across the tile: 1 or 2.
    pub(super) vectors: usize,
    pub(super) c: *mut f32,
    /// Offset of each row of the tile from `c`.
    pub(super) c_rows: [usize; MAX_ROWS],
    pub(super) accumulate: bool,
}

/// The size of an instruction set's tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    /// Rows of a tile.
    pub(crate) rows: usize,
    /// Floats in a vector; a tile is one or two vectors wide.
    pub(crate) lanes: usize,
}

impl Registers {
    /// The tile whose accumulators fill the registers of `isa`.
    pub(crate) const fn of(isa: Isa) -> Registers {
        match isa {
            Isa::Portable => Registers { rows: 4, lanes: 8 },
            Isa::Avx2 => Registers { rows: 6, lanes: 8 },
            Isa::Avx512 | Isa::Avx512Bf16 => Registers { rows: 14, lanes: 16 },
        }
    }
}

#[expect(unsafe_code, reason = "vector loads and stores through pointers; tested against plain loops")]
mod kernels {
    use super::{A_STRIDE, Isa, Layout, Tile};

    /// A vector register of floats.
    trait Vector: Copy {
        const LANES: usize;
        /// # Safety
        /// The processor has the instruction set.
        unsafe fn splat(value: f32) -> Self;
        /// # Safety
        /// As `splat`; `LANES` floats are readable at `source`.
        unsafe fn load(source: *const f32) -> Self;
        /// # Safety
        /// As `splat`; `LANES` floats are writable at `target`.
        unsafe fn store(self, target: *mut f32);
        /// `self * factor + addend`.
        /// # Safety
        /// As `splat`.
        unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self;
        /// # Safety
        /// As `splat`.
        unsafe fn add(self, other: Self) -> Self;
    }

    impl Vector for [f32; 8] {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            [value; 8]
        }
        #[inline(always)]
        unsafe fn load(source: *const f32) -> Self {
            // SAFETY: eight floats are readable by the caller's promise; read_unaligned asks no alignment.
            unsafe { source.cast::<Self>().read_unaligned() }
        }
        #[inline(always)]
        unsafe fn store(self, target: *mut f32) {
            // SAFETY: eight floats are writable by the caller's promise.
            unsafe { target.cast::<Self>().write_unaligned(self) }
        }
        #[inline(always)]
        unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
            std::array::from_fn(|lane| self[lane] * factor[lane] + addend[lane])
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            std::array::from_fn(|lane| self[lane] + other[lane])
        }
    }

    /// Implements [`Vector`] by the intrinsics of one register width.
    #[cfg(target_arch = "x86_64")]
    macro_rules! intrinsics {
        ($register:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident) => {
            impl Vector for std::arch::x86_64::$register {
                const LANES: usize = $lanes;
                #[inline(always)]
                unsafe fn splat(value: f32) -> Self {
                    // SAFETY: the caller promises the instruction set.
                    unsafe { std::arch::x86_64::$splat(value) }
                }
                #[inline(always)]
                unsafe fn load(source: *const f32) -> Self {
                    // SAFETY: the caller promises the instruction set and the floats.
                    unsafe { std::arch::x86_64::$load(source) }
                }
                #[inline(always)]
                unsafe fn store(self, target: *mut f32) {
                    // SAFETY: the caller promises the instruction set and the floats.
                    unsafe { std::arch::x86_64::$store(target, self) }
                }
                #[inline(always)]
                unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self {
                    // SAFETY: the caller promises the instruction set.
                    unsafe { std::arch::x86_64::$fma(self, factor, addend) }
                }
                #[inline(always)]
                unsafe fn add(self, other: Self) -> Self {
                    // SAFETY: the caller promises the instruction set.
                    unsafe { std::arch::x86_64::$add(self, other) }
                }
            }
        };
    }
    #[cfg(target_arch = "x86_64")]
    intrinsics!(__m256, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps, _mm256_add_ps);
    #[cfg(target_arch = "x86_64")]
    intrinsics!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps
    );

    /// # Safety
    /// The processor has `V`'s instruction set, and the pointers of `tile` reach as far as its sizes say.
    #[inline(always)]
    unsafe fn multiply<V: Vector, const ROWS: usize, const VECTORS: usize, const A_ROW: usize>(
        tile: &Tile,
        a_depth: usize,
    ) {
        // SAFETY: in this whole function by the caller's promise: A holds ROWS x depth floats in the stated
        // layout, B depth x width, and each row of C width floats.
        unsafe {
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            let (mut a, mut b) = (tile.a, tile.b);
            for _ in 0..tile.depth {
                let columns: [V; VECTORS] = std::array::from_fn(|vector| V::load(b.add(vector * V::LANES)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let value = V::splat(*a.add(row * A_ROW));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = value.multiply_add(column, *sum);
                    }
                }
                a = a.add(a_depth);
                b = b.add(VECTORS * V::LANES);
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    let target = tile.c.add(tile.c_rows[row] + vector * V::LANES);
                    let value = if tile.accumulate { V::load(target).add(sum) } else { sum };
                    value.store(target);
                }
            }
        }
    }

    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn dispatch<V: Vector, const ROWS: usize>(tile: &Tile) {
        // SAFETY: the same promise is passed on.
        unsafe {
            match (tile.layout, tile.vectors) {
                (Layout::RowMajor, 1) => multiply::<V, ROWS, 1, A_STRIDE>(tile, 1),
                (Layout::RowMajor, _) => multiply::<V, ROWS, 2, A_STRIDE>(tile, 1),
                (Layout::DepthMajor { stride }, 1) => multiply::<V, ROWS, 1, 1>(tile, stride),
                (Layout::DepthMajor { stride }, _) => multiply::<V, ROWS, 2, 1>(tile, stride),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(tile: &Tile) {
        // SAFETY: this function is only reached with the instruction set; `run`'s caller promises the pointers.
        unsafe { dispatch::<std::arch::x86_64::__m256, 6>(tile) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(tile: &Tile) {
        // SAFETY: as above.
        unsafe { dispatch::<std::arch::x86_64::__m512, 14>(tile) }
    }

    /// Computes `tile`.
    ///
    /// # Safety
    /// The processor has `isa`, and the pointers of `tile` reach as far as `Registers::of(isa)` and its sizes say.
    pub(in crate::gemm) unsafe fn run(isa: Isa, tile: &Tile) {
        // SAFETY: the caller's promise is exactly what each kernel needs.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 | Isa::Avx512Bf16 => avx512(tile),
                _ => dispatch::<[f32; 8], 4>(tile),
            }
        }
    }
}
pub(super) use kernels::run;
