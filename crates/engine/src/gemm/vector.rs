//! A vector register of floats, one type for each instruction set.

use super::words::{narrowed, widened};

/// A vector register of floats.
#[expect(unsafe_code, reason = "an instruction needs its instruction set, a load its floats")]
pub(crate) trait Vector: Copy {
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
    /// As `store`, past the caches where the place is aligned and the instruction set can: for what is not read soon.
    /// # Safety
    /// As `store`.
    #[inline(always)]
    unsafe fn stream(self, target: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { self.store(target) }
    }
    /// `self * factor + addend`.
    /// # Safety
    /// As `splat`.
    unsafe fn multiply_add(self, factor: Self, addend: Self) -> Self;
    /// # Safety
    /// As `splat`.
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// As `splat`.
    unsafe fn subtract(self, other: Self) -> Self;
    /// # Safety
    /// As `splat`.
    unsafe fn multiply(self, factor: Self) -> Self;
    /// `positive` in the lanes where `self > 0`, else `other`.
    /// # Safety
    /// As `splat`.
    unsafe fn where_positive(self, positive: Self, other: Self) -> Self;
    /// Begins to fetch the cache line at `source`, any address at all.
    /// # Safety
    /// As `splat`.
    unsafe fn prefetch(source: *const f32);
    /// As `prefetch`, to the second-level cache.
    /// # Safety
    /// As `splat`.
    unsafe fn prefetch_far(source: *const u8);

    /// The bf16 at `source`.
    /// # Safety
    /// As `splat`; `LANES` of them are readable.
    #[inline(always)]
    unsafe fn widen(source: *const u16) -> Self {
        let mut whole = [0.0; MAX_LANES];
        // SAFETY: the caller's promise; `whole` has the most lanes that there are.
        unsafe {
            for (lane, value) in whole[..Self::LANES].iter_mut().enumerate() {
                *value = widened(source.add(lane).read());
            }
            Self::load(whole.as_ptr())
        }
    }
    /// Writes the lanes as bf16, to nearest and ties to even, past the caches as `stream` does where that is asked.
    /// # Safety
    /// As `splat`; `LANES` of them are writable at `target`.
    #[inline(always)]
    unsafe fn narrow(self, target: *mut u16, _streams: bool) {
        let mut whole = [0.0; MAX_LANES];
        // SAFETY: the caller's promise; `whole` has the most lanes that there are.
        unsafe {
            self.store(whole.as_mut_ptr());
            for (lane, value) in whole[..Self::LANES].iter().enumerate() {
                target.add(lane).write(narrowed(*value));
            }
        }
    }

    /// The first lanes from `source`, as many as it has and at most `LANES`, zeros in the others.
    /// # Safety
    /// As `splat`.
    #[inline(always)]
    unsafe fn load_some(source: &[f32]) -> Self {
        let mut whole = [0.0; MAX_LANES];
        let lanes = source.len().min(Self::LANES);
        // SAFETY: the caller promises the instruction set; `whole` has the most lanes that there are.
        unsafe {
            if lanes == Self::LANES {
                return Self::load(source.as_ptr());
            }
            whole[..lanes].copy_from_slice(&source[..lanes]);
            Self::load(whole.as_ptr())
        }
    }

    /// Writes the first lanes to `target`, as many as it has and at most `LANES`.
    /// # Safety
    /// As `splat`.
    #[inline(always)]
    unsafe fn store_some(self, target: &mut [f32]) {
        let mut whole = [0.0; MAX_LANES];
        let lanes = target.len().min(Self::LANES);
        // SAFETY: as in `load_some`.
        unsafe {
            if lanes == Self::LANES {
                return self.store(target.as_mut_ptr());
            }
            self.store(whole.as_mut_ptr());
        }
        target[..lanes].copy_from_slice(&whole[..lanes]);
    }
}

/// The most lanes of a vector.
pub(crate) const MAX_LANES: usize = 16;

#[expect(unsafe_code, reason = "loads and stores through pointers; the twin of the intrinsics")]
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
    #[inline(always)]
    unsafe fn subtract(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] - other[lane])
    }
    #[inline(always)]
    unsafe fn multiply(self, factor: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * factor[lane])
    }
    #[inline(always)]
    unsafe fn where_positive(self, positive: Self, other: Self) -> Self {
        std::array::from_fn(|lane| if self[lane] > 0.0 { positive[lane] } else { other[lane] })
    }
    #[inline(always)]
    unsafe fn prefetch(_source: *const f32) {}
    #[inline(always)]
    unsafe fn prefetch_far(_source: *const u8) {}
}

/// Implements [`Vector`] by the intrinsics of one register width.
#[cfg(target_arch = "x86_64")]
macro_rules! intrinsics {
    (
        $register:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident,
        $add:ident, $subtract:ident, $multiply:ident, |$value:ident, $positive:ident, $other:ident| $choose:expr
        $(, $some:item)*
    ) => {
        #[expect(unsafe_code, reason = "intrinsics of one instruction set")]
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
            #[inline(always)]
            unsafe fn subtract(self, other: Self) -> Self {
                // SAFETY: the caller promises the instruction set.
                unsafe { std::arch::x86_64::$subtract(self, other) }
            }
            #[inline(always)]
            unsafe fn multiply(self, factor: Self) -> Self {
                // SAFETY: the caller promises the instruction set.
                unsafe { std::arch::x86_64::$multiply(self, factor) }
            }
            #[inline(always)]
            unsafe fn where_positive(self, $positive: Self, $other: Self) -> Self {
                let $value = self;
                // SAFETY: the caller promises the instruction set.
                unsafe { $choose }
            }
            #[inline(always)]
            unsafe fn prefetch(source: *const f32) {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                // SAFETY: a prefetch may name any address.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
            }
            #[inline(always)]
            unsafe fn prefetch_far(source: *const u8) {
                use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
                // SAFETY: a prefetch may name any address.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(source.cast()) }
            }
            $($some)*
        }
    };
}
#[cfg(target_arch = "x86_64")]
intrinsics!(
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    |value, positive, other| {
        use std::arch::x86_64::{_CMP_GT_OQ, _mm256_blendv_ps, _mm256_cmp_ps, _mm256_setzero_ps};
        _mm256_blendv_ps(other, positive, _mm256_cmp_ps::<_CMP_GT_OQ>(value, _mm256_setzero_ps()))
    },
    #[inline(always)]
    unsafe fn widen(source: *const u16) -> Self {
        use std::arch::x86_64::{
            _mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_slli_epi32,
        };
        // SAFETY: the caller promises the instruction set and the numbers.
        unsafe {
            let halves = _mm256_cvtepu16_epi32(_mm_loadu_si128(source.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(halves))
        }
    },
    #[inline(always)]
    unsafe fn narrow(self, target: *mut u16, _streams: bool) {
        use std::arch::x86_64::{
            _CMP_UNORD_Q, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_blendv_epi8,
            _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_or_si256, _mm256_packus_epi32,
            _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_srli_epi32,
        };
        // SAFETY: the caller promises the instruction set and the numbers.
        unsafe {
            let bits = _mm256_castps_si256(self);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let sums = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
            // As `words::rounded` treats what is no number.
            let none = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(self, self));
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
            let halves = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(sums, quiet, none));
            // Each half of the register is packed for itself.
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(halves, halves));
            _mm_storeu_si128(target.cast(), _mm256_castsi256_si128(packed));
        }
    }
);
#[cfg(target_arch = "x86_64")]
intrinsics!(
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    |value, positive, other| {
        use std::arch::x86_64::{_CMP_GT_OQ, _mm512_cmp_ps_mask, _mm512_mask_blend_ps, _mm512_setzero_ps};
        let greater = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, _mm512_setzero_ps());
        _mm512_mask_blend_ps(greater, other, positive)
    },
    #[inline(always)]
    unsafe fn stream(self, target: *mut f32) {
        // SAFETY: the caller promises the instruction set and the floats.
        unsafe {
            if target.addr().is_multiple_of(64) {
                std::arch::x86_64::_mm512_stream_ps(target, self);
            } else {
                self.store(target);
            }
        }
    },
    #[inline(always)]
    unsafe fn widen(source: *const u16) -> Self {
        use std::arch::x86_64::{
            _mm256_loadu_si256, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_slli_epi32,
        };
        // SAFETY: the caller promises the instruction set and the numbers.
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    },
    #[inline(always)]
    unsafe fn narrow(self, target: *mut u16, streams: bool) {
        use std::arch::x86_64::{
            _CMP_UNORD_Q, _mm256_storeu_si256, _mm256_stream_si256, _mm512_add_epi32, _mm512_and_si512,
            _mm512_castps_si512, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi16, _mm512_mask_or_epi32,
            _mm512_set1_epi32, _mm512_srli_epi32,
        };
        // SAFETY: the caller promises the instruction set and the numbers.
        unsafe {
            let bits = _mm512_castps_si512(self);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let sums = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            // As `words::rounded` treats what is no number.
            let none = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self, self);
            let rounded = _mm512_mask_or_epi32(sums, none, bits, _mm512_set1_epi32(0x0040_0000));
            let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
            if streams && target.addr().is_multiple_of(32) {
                _mm256_stream_si256(target.cast(), halves);
            } else {
                _mm256_storeu_si256(target.cast(), halves);
            }
        }
    },
    #[inline(always)]
    unsafe fn load_some(source: &[f32]) -> Self {
        // SAFETY: the caller promises the instruction set; the mask leaves out what lies past the slice.
        unsafe {
            if source.len() >= Self::LANES {
                return Self::load(source.as_ptr());
            }
            std::arch::x86_64::_mm512_maskz_loadu_ps(first_lanes(source.len()), source.as_ptr())
        }
    },
    #[inline(always)]
    unsafe fn store_some(self, target: &mut [f32]) {
        // SAFETY: as in `load_some`.
        unsafe {
            if target.len() >= Self::LANES {
                return self.store(target.as_mut_ptr());
            }
            std::arch::x86_64::_mm512_mask_storeu_ps(target.as_mut_ptr(), first_lanes(target.len()), self);
        }
    }
);

/// A mask of the first `count` of sixteen lanes, of all where there are more.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn first_lanes(count: usize) -> u16 {
    if count < 16 { (1 << count) - 1 } else { u16::MAX }
}

/// Calls `$body::<V>`, an `#[inline(always)]` unsafe function, with the [`Vector`] of the instruction set `$isa`.
///
/// Whoever writes the call promises what `$body` asks beyond the instruction set.
macro_rules! by_vector {
    ($isa:expr, $body:ident, ($($argument:ident : $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
        unsafe fn avx2($($argument: $type),*) {
            // SAFETY: this function has the instruction set; the rest is the caller's promise.
            unsafe { $body::<std::arch::x86_64::__m256>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
        unsafe fn avx512($($argument: $type),*) {
            // SAFETY: as above.
            unsafe { $body::<std::arch::x86_64::__m512>($($argument),*) }
        }
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx2 => avx2($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Isa::Avx512 | $crate::isa::Isa::Avx512Bf16 | $crate::isa::Isa::Amx => {
                avx512($($argument),*)
            }
            $crate::isa::Isa::Portable => $body::<[f32; 8]>($($argument),*),
            #[cfg(not(target_arch = "x86_64"))]
            _ => $body::<[f32; 8]>($($argument),*),
        }
    }};
}
pub(crate) use by_vector;
