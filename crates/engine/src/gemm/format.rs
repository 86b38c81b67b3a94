//! How a vector of words is made, and how two of them are multiplied.

use super::panels::Panel;
#[cfg(target_arch = "x86_64")]
use super::vector::first_lanes;
use super::vector::{MAX_LANES, Vector};
use super::words::{PANEL, pair, unpair};
use crate::isa::Isa;
use crate::precision::Precision;

/// The words of a [`Precision`] in the registers of `V`: one f32 a lane, or two bf16.
#[expect(unsafe_code, reason = "an instruction needs its instruction set, a store its floats")]
pub(crate) trait Format<V: Vector> {
    const PRECISION: Precision;
    /// `sum + a . b`, lane by lane, of words.
    /// # Safety
    /// The processor has the instruction set of `V` and of the format.
    unsafe fn add_product(sum: V, a: V, b: V) -> V;
    /// Writes words whose elements are those of `first` and, where there are two in a word, of `second`.
    /// # Safety
    /// As `add_product`; `V::LANES` words are writable at `target`.
    unsafe fn store(first: V, second: V, target: *mut f32);

    /// As `store` for the first words, as many as `target` has and at most `V::LANES`.
    /// # Safety
    /// The processor has the instruction set of `V` and of the format.
    #[inline(always)]
    unsafe fn store_some(first: V, second: V, target: &mut [f32]) {
        let mut whole = [0.0; MAX_LANES];
        let words = target.len().min(V::LANES);
        // SAFETY: the caller promises the instruction set; `whole` has the most lanes that there are.
        unsafe { Self::store(first, second, whole.as_mut_ptr()) };
        target[..words].copy_from_slice(&whole[..words]);
    }
}

/// f32 as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floats;

/// Pairs of bf16 by arithmetic on f32: the twin of [`NativePairs`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pairs;

/// Pairs of bf16 by `vcvtne2ps2bf16` and `vdpbf16ps`.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct NativePairs;

#[expect(unsafe_code, reason = "arithmetic of an instruction set")]
impl<V: Vector> Format<V> for Floats {
    const PRECISION: Precision = Precision::F32;
    #[inline(always)]
    unsafe fn add_product(sum: V, a: V, b: V) -> V {
        // SAFETY: the caller promises the instruction set.
        unsafe { a.multiply_add(b, sum) }
    }
    #[inline(always)]
    unsafe fn store(first: V, _second: V, target: *mut f32) {
        // SAFETY: the caller promises the instruction set and the words.
        unsafe { first.store(target) }
    }
}

#[expect(unsafe_code, reason = "arithmetic of an instruction set")]
impl<V: Vector> Format<V> for Pairs {
    const PRECISION: Precision = Precision::Bf16;
    #[inline(always)]
    unsafe fn add_product(sum: V, a: V, b: V) -> V {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let ([a_low, a_high], [b_low, b_high]) = (halves(a), halves(b));
            // The upper halves first, as `vdpbf16ps` adds them.
            a_low.multiply_add(b_low, a_high.multiply_add(b_high, sum))
        }
    }
    #[inline(always)]
    unsafe fn store(first: V, second: V, target: *mut f32) {
        let (mut low, mut high) = ([0.0; MAX_LANES], [0.0; MAX_LANES]);
        // SAFETY: the caller promises the instruction set and the words; both arrays have the most lanes.
        unsafe {
            first.store(low.as_mut_ptr());
            second.store(high.as_mut_ptr());
            for lane in 0..V::LANES {
                target.cast::<u32>().add(lane).write(pair(low[lane], high[lane]));
            }
        }
    }
}

/// Both elements of each word.
///
/// # Safety
/// The processor has `V`'s instruction set.
#[expect(unsafe_code, reason = "arithmetic of an instruction set")]
#[inline(always)]
unsafe fn halves<V: Vector>(words: V) -> [V; 2] {
    let (mut lower, mut upper) = ([0.0f32; MAX_LANES], [0.0f32; MAX_LANES]);
    // SAFETY: the caller promises the instruction set; both arrays have the most lanes.
    unsafe {
        words.store(lower.as_mut_ptr());
        for (lower, upper) in lower.iter_mut().zip(&mut upper) {
            [*lower, *upper] = unpair(lower.to_bits());
        }
        [V::load(lower.as_ptr()), V::load(upper.as_ptr())]
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics of one instruction set")]
impl Format<std::arch::x86_64::__m512> for NativePairs {
    const PRECISION: Precision = Precision::Bf16;
    #[inline(always)]
    unsafe fn add_product(
        sum: std::arch::x86_64::__m512,
        a: std::arch::x86_64::__m512,
        b: std::arch::x86_64::__m512,
    ) -> std::arch::x86_64::__m512 {
        use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps};
        // SAFETY: the caller promises the instruction set; both types are 64 bytes of any content.
        unsafe {
            let words = |words: __m512| std::mem::transmute::<__m512, __m512bh>(words);
            _mm512_dpbf16_ps(sum, words(a), words(b))
        }
    }
    #[inline(always)]
    unsafe fn store(first: std::arch::x86_64::__m512, second: std::arch::x86_64::__m512, target: *mut f32) {
        // SAFETY: the caller promises the instruction set and the words.
        unsafe { std::arch::x86_64::_mm512_storeu_si512(target.cast(), words_of(first, second)) }
    }
    #[inline(always)]
    unsafe fn store_some(
        first: std::arch::x86_64::__m512,
        second: std::arch::x86_64::__m512,
        target: &mut [f32],
    ) {
        // SAFETY: the caller promises the instruction set; the mask leaves out what lies past the slice.
        unsafe {
            if target.len() >= 16 {
                return Self::store(first, second, target.as_mut_ptr());
            }
            let mask = first_lanes(target.len());
            std::arch::x86_64::_mm512_mask_storeu_epi32(
                target.as_mut_ptr().cast(),
                mask,
                words_of(first, second),
            );
        }
    }
}

/// Words whose lower halves are those of `first` and whose upper ones those of `second`, rounded.
///
/// # Safety
/// The processor has AVX-512 with BF16.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics of one instruction set")]
#[inline(always)]
pub(super) unsafe fn words_of(
    first: std::arch::x86_64::__m512,
    second: std::arch::x86_64::__m512,
) -> std::arch::x86_64::__m512i {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_si512, _mm512_permutexvar_epi16,
    };
    /// Elements 0 to 15 are those of `first`, the others those of `second`; by turns they make words.
    static BY_TURNS: [u16; 32] = {
        let mut order = [0; 32];
        let mut lane = 0;
        while lane < 16 {
            order[2 * lane] = lane as u16;
            order[2 * lane + 1] = lane as u16 + 16;
            lane += 1;
        }
        order
    };
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
        _mm512_permutexvar_epi16(_mm512_loadu_si512(BY_TURNS.as_ptr().cast()), rounded)
    }
}

/// Calls `$body::<V, F>`, an `#[inline(always)]` unsafe function, with the [`Vector`] of the instruction set `$isa`
/// and the [`Format`] of the precision `$precision`.
///
/// Whoever writes the call promises what `$body` asks beyond the instruction set.
macro_rules! by_format {
    ($isa:expr, $precision:expr, $body:ident, ($($argument:ident : $type:ty),* $(,)?)) => {{
        use $crate::gemm::{Floats, Pairs};
        use $crate::precision::Precision;
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
        unsafe fn avx2<F: $crate::gemm::Format<std::arch::x86_64::__m256>>($($argument: $type),*) {
            // SAFETY: this function has the instruction set; the rest is the caller's promise.
            unsafe { $body::<std::arch::x86_64::__m256, F>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl")]
        unsafe fn avx512<F: $crate::gemm::Format<std::arch::x86_64::__m512>>($($argument: $type),*) {
            // SAFETY: as above.
            unsafe { $body::<std::arch::x86_64::__m512, F>($($argument),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,bmi1,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
        unsafe fn avx512_bf16($($argument: $type),*) {
            // SAFETY: as above.
            unsafe { $body::<std::arch::x86_64::__m512, $crate::gemm::NativePairs>($($argument),*) }
        }
        match ($isa, $precision) {
            #[cfg(target_arch = "x86_64")]
            ($crate::isa::Isa::Avx2, Precision::F32) => avx2::<Floats>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            ($crate::isa::Isa::Avx2, Precision::Bf16) => avx2::<Pairs>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            ($crate::isa::Isa::Avx512, Precision::Bf16) => avx512::<Pairs>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            ($crate::isa::Isa::Avx512Bf16 | $crate::isa::Isa::Amx, Precision::Bf16) => {
                avx512_bf16($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            (
                $crate::isa::Isa::Avx512 | $crate::isa::Isa::Avx512Bf16 | $crate::isa::Isa::Amx,
                Precision::F32,
            ) => avx512::<Floats>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            ($crate::isa::Isa::Portable, Precision::F32) => $body::<[f32; 8], Floats>($($argument),*),
            #[cfg(target_arch = "x86_64")]
            ($crate::isa::Isa::Portable, Precision::Bf16) => $body::<[f32; 8], Pairs>($($argument),*),
            #[cfg(not(target_arch = "x86_64"))]
            (_, Precision::F32) => $body::<[f32; 8], Floats>($($argument),*),
            #[cfg(not(target_arch = "x86_64"))]
            (_, Precision::Bf16) => $body::<[f32; 8], Pairs>($($argument),*),
        }
    }};
}
pub(crate) use by_format;

/// Elements of a pair are this far apart in each run of [`PANEL`].
pub(crate) const APART: usize = PANEL / 2;

/// Writes `values` as the words of a row: in bf16, elements [`APART`] in each run of [`PANEL`], the last run filled
/// up with zeros.
///
/// # Panics
/// When there are not [`Precision::words`] of them.
pub(super) fn pack_row(isa: Isa, precision: Precision, values: &[f32], words: &mut [f32]) {
    assert_eq!(words.len(), precision.words(values.len()), "words of {} values", values.len());
    if precision == Precision::F32 {
        words.copy_from_slice(values);
        return;
    }
    #[expect(unsafe_code, reason = "packs whole vectors")]
    // SAFETY: the assertion above.
    unsafe {
        by_format!(isa, precision, pack_runs, (values: &[f32], words: &mut [f32]));
    }
}

#[expect(unsafe_code, reason = "packs whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn pack_runs<V: Vector, F: Format<V>>(values: &[f32], words: &mut [f32]) {
    let (runs, rest) = values.as_chunks::<PANEL>();
    let mut last = [0.0; PANEL];
    last[..rest.len()].copy_from_slice(rest);
    let runs = runs.iter().chain((!rest.is_empty()).then_some(&last));
    for (run, words) in runs.zip(words.as_chunks_mut::<APART>().0) {
        for lane in (0..APART).step_by(V::LANES) {
            // SAFETY: a run has APART elements after the first of each pair, and APART words.
            unsafe {
                let first = run.as_ptr().add(lane);
                F::store(V::load(first), V::load(first.add(APART)), words.as_mut_ptr().add(lane));
            }
        }
    }
}

/// As [`words::along`](super::words::along) by vectors.
///
/// # Safety
/// The processor has the instruction set of `V` and of `F`.
///
/// # Panics
/// When there are not [`Precision::words`] of them.
#[expect(unsafe_code, reason = "packs whole vectors; tested with the head's products")]
#[inline(always)]
pub(crate) unsafe fn along<V: Vector, F: Format<V>>(values: &[f32], factor: f32, words: &mut [u32]) {
    assert_eq!(words.len(), F::PRECISION.words(values.len()), "words of {} values", values.len());
    let (run, apart) = match F::PRECISION {
        Precision::F32 => (APART, 0),
        Precision::Bf16 => (PANEL, APART),
    };
    for (values, words) in values.chunks(run).zip(words.chunks_mut(APART)) {
        for lane in (0..words.len()).step_by(V::LANES) {
            let end = (lane + V::LANES).min(words.len());
            // SAFETY: the caller's promise; what is beyond the values is taken as zeros.
            unsafe {
                let factor = V::splat(factor);
                let part = |start: usize| match values.get(start..) {
                    Some(values) => V::load_some(values).multiply(factor),
                    None => V::splat(0.0),
                };
                F::store_some(part(lane), part(lane + apart), as_floats(&mut words[lane..end]));
            }
        }
    }
}

/// As [`words::across`](super::words::across) by vectors.
///
/// # Safety
/// The processor has the instruction set of `V` and of `F`.
///
/// # Panics
/// When a length does not fit.
#[expect(unsafe_code, reason = "packs whole vectors; tested with the head's products")]
#[inline(always)]
pub(crate) unsafe fn across<V: Vector, F: Format<V>>(
    first: (&[f32], f32),
    second: (&[f32], f32),
    words: &mut [u32],
) {
    let words = &mut words[..first.0.len()];
    for start in (0..words.len()).step_by(V::LANES) {
        let end = (start + V::LANES).min(words.len());
        // SAFETY: the caller's promise.
        unsafe {
            let part = |(values, factor): (&[f32], f32)| match values.get(start..) {
                Some(values) => V::load_some(values).multiply(V::splat(factor)),
                None => V::splat(0.0),
            };
            F::store_some(part(first), part(second), as_floats(&mut words[start..end]));
        }
    }
}

/// The memory of words as floats.
#[inline(always)]
fn as_floats(words: &mut [u32]) -> &mut [f32] {
    #[expect(unsafe_code, reason = "f32 and u32 differ in meaning only")]
    // SAFETY: both have the same size and alignment, and every bit pattern is a value of either.
    unsafe {
        std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len())
    }
}

/// Writes the words of two rows, whose elements meet in a word.
///
/// # Panics
/// When the lengths differ.
pub(super) fn pack_two(isa: Isa, precision: Precision, first: &[f32], second: &[f32], words: &mut [f32]) {
    assert!(first.len() == words.len() && second.len() == words.len(), "{} words of two rows", words.len());
    #[expect(unsafe_code, reason = "packs whole vectors")]
    // SAFETY: the assertion above.
    unsafe {
        by_format!(isa, precision, pack_rows, (first: &[f32], second: &[f32], words: &mut [f32]));
    }
}

#[expect(unsafe_code, reason = "packs whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn pack_rows<V: Vector, F: Format<V>>(first: &[f32], second: &[f32], words: &mut [f32]) {
    for start in (0..words.len()).step_by(V::LANES) {
        let end = (start + V::LANES).min(words.len());
        // SAFETY: the caller promises equal lengths; fewer lanes go by way of the stack.
        unsafe {
            let (first, second) = (V::load_some(&first[start..end]), V::load_some(&second[start..end]));
            F::store_some(first, second, &mut words[start..end]);
        }
    }
}

/// Writes the words of one panel of the row-major `matrix`, `[depth, columns]`, zeros in what the panel and its last words
/// have beyond it.
///
/// # Panics
/// When the matrix or the words are fewer than the sizes say.
pub(super) fn pack_columns(
    (isa, precision): (Isa, Precision),
    matrix: &[f32],
    [depth, columns]: [usize; 2],
    panel: &Panel,
    words: &mut [f32],
) {
    assert!(matrix.len() >= depth * columns, "matrix of {depth} x {columns}");
    assert!(panel.first_column + panel.columns <= columns, "{panel:?} of {columns} columns");
    assert_eq!(words.len(), precision.words(depth) * panel.width, "words of a panel of {depth} rows");
    #[expect(unsafe_code, reason = "packs whole vectors")]
    // SAFETY: the assertions above.
    unsafe {
        by_format!(
            isa,
            precision,
            pack_panel,
            (matrix: &[f32], depth: usize, columns: usize, panel: &Panel, words: &mut [f32])
        );
    }
}

#[expect(unsafe_code, reason = "packs whole vectors; tested against plain loops")]
#[inline(always)]
unsafe fn pack_panel<V: Vector, F: Format<V>>(
    matrix: &[f32],
    depth: usize,
    columns: usize,
    panel: &Panel,
    words: &mut [f32],
) {
    for (word, words) in words.chunks_exact_mut(panel.width).enumerate() {
        let (first, second) = match F::PRECISION {
            Precision::F32 => (word, word),
            Precision::Bf16 => {
                let first = word / APART * PANEL + word % APART;
                (first, first + APART)
            }
        };
        for start in (0..panel.width).step_by(V::LANES) {
            let lanes = V::LANES.min(panel.columns.saturating_sub(start));
            // SAFETY: the caller promises the instruction set and a matrix of this size; a panel's width is whole vectors.
            unsafe {
                let mut values = [V::splat(0.0); 2];
                for (value, row) in values.iter_mut().zip([first, second]) {
                    if row < depth && lanes > 0 {
                        let place = row * columns + panel.first_column + start;
                        *value = V::load_some(&matrix[place..place + lanes]);
                    }
                }
                F::store(values[0], values[1], words.as_mut_ptr().add(start));
            }
        }
    }
}
