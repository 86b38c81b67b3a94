//! Floats to words of two bf16, neighbours in memory or in position, and the transposition of words.
//!
//! Every function asks for AVX-512 with BF16, which a processor with AMX has.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm256_maskz_loadu_epi16, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
    _mm512_mask_storeu_epi16, _mm512_maskz_loadu_ps, _mm512_mul_ps, _mm512_or_si512, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32, _mm512_storeu_si512,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::format::words_of;
use super::vector::first_lanes;
use crate::amx::TILE;

/// Sixteen vectors of sixteen words.
pub(crate) type Square = [__m512i; TILE];

/// A number as memory holds it.
pub(crate) trait Number: Copy {
    /// Words of one number of either address each, of those that the mask names.
    ///
    /// # Safety
    /// The processor has AVX-512 with BF16, and the numbers are readable.
    #[expect(unsafe_code, reason = "reads whole vectors")]
    unsafe fn by_turns(first: *const Self, second: *const Self, mask: u16) -> __m512i;
}

impl Number for f32 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    #[expect(unsafe_code, reason = "reads whole vectors")]
    unsafe fn by_turns(first: *const f32, second: *const f32, mask: u16) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { words_of(_mm512_maskz_loadu_ps(mask, first), _mm512_maskz_loadu_ps(mask, second)) }
    }
}

/// A bf16.
impl Number for u16 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    #[inline]
    #[expect(unsafe_code, reason = "reads whole vectors")]
    unsafe fn by_turns(first: *const u16, second: *const u16, mask: u16) -> __m512i {
        // SAFETY: the caller's promise.
        let (lower, upper) = unsafe {
            (_mm256_maskz_loadu_epi16(mask, first.cast()), _mm256_maskz_loadu_epi16(mask, second.cast()))
        };
        let (lower, upper) = (_mm512_cvtepu16_epi32(lower), _mm512_cvtepu16_epi32(upper));
        _mm512_or_si512(lower, _mm512_slli_epi32::<16>(upper))
    }
}

/// The first floats of `values`, at most sixteen, and zeros.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
#[expect(unsafe_code, reason = "reads whole vectors")]
fn load(values: &[f32]) -> __m512 {
    // SAFETY: the mask leaves out what lies past the slice.
    unsafe { _mm512_maskz_loadu_ps(first_lanes(values.len()), values.as_ptr()) }
}

/// As [`load`] from `start` on.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn load_from(values: &[f32], start: usize) -> __m512 {
    match values.get(start..) {
        Some(values) => load(values),
        None => _mm512_setzero_ps(),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
#[expect(unsafe_code, reason = "both types are 64 bytes of any content")]
fn round(lower: __m512, upper: __m512) -> __m512i {
    // SAFETY: as the reason says.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(upper, lower)) }
}

/// Words of one element of each row.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
#[expect(unsafe_code, reason = "calls a function of this instruction set")]
fn by_turns(first: __m512, second: __m512) -> __m512i {
    // SAFETY: this function has the instruction set.
    unsafe { words_of(first, second) }
}

/// Writes `values` as bf16, one after another.
///
/// # Panics
/// When there is not as much room.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
#[expect(unsafe_code, reason = "writes whole vectors")]
pub(crate) fn convert(values: &[f32], target: &mut [u16]) {
    assert!(target.len() >= values.len(), "{} bf16 for {} floats", target.len(), values.len());
    let (whole, rest) = values.as_chunks::<32>();
    for (values, target) in whole.iter().zip(target.chunks_exact_mut(32)) {
        let words = round(load(&values[..16]), load(&values[16..]));
        // SAFETY: the chunk has 64 bytes.
        unsafe { _mm512_storeu_si512(target.as_mut_ptr().cast(), words) };
    }
    if !rest.is_empty() {
        let words = round(load(rest), load_from(rest, 16));
        let target = &mut target[whole.len() * 32..][..rest.len()];
        // SAFETY: the mask leaves out what lies past the slice.
        unsafe { _mm512_mask_storeu_epi16(target.as_mut_ptr().cast(), (1 << rest.len()) - 1, words) };
    }
}

/// Word `(k, column)` of the square is elements `2 k` and `2 k + 1` of row `column`, each of at most 32 floats.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(crate) fn columns_of_rows(rows: &[&[f32]; TILE]) -> Square {
    let mut square = [_mm512_setzero_si512(); TILE];
    for (words, row) in square.iter_mut().zip(rows) {
        *words = round(load(row), load_from(row, 16));
    }
    transposed(&square)
}

/// Word `(channel, k)` of the square is the channel of rows `2 k` and `2 k + 1`, each of at most 16 floats.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(crate) fn channels_of_rows(rows: &[&[f32]; 2 * TILE]) -> Square {
    let mut square = [_mm512_setzero_si512(); TILE];
    for (words, pair) in square.iter_mut().zip(rows.as_chunks::<2>().0) {
        *words = by_turns(load(pair[0]), load(pair[1]));
    }
    transposed(&square)
}

/// As [`channels_of_rows`] of `count` numbers, at most 16, from the `first` behind each address on.
///
/// # Safety
/// So many numbers are readable there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
#[expect(unsafe_code, reason = "reads whole vectors")]
pub(crate) unsafe fn channels_at<T: Number>(
    rows: &[*const T; 2 * TILE],
    first: usize,
    count: usize,
) -> Square {
    let mask = first_lanes(count);
    let mut square = [_mm512_setzero_si512(); TILE];
    for (words, [one, other]) in square.iter_mut().zip(rows.as_chunks::<2>().0) {
        // SAFETY: the caller's promise; the mask leaves out what lies past the count.
        *words = unsafe { T::by_turns(one.wrapping_add(first), other.wrapping_add(first), mask) };
    }
    transposed(&square)
}

/// Writes `count` numbers from either address on, at most 32, as 32 words, each of one element of either; zeros behind them.
///
/// # Safety
/// So many numbers are readable there.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[inline]
#[expect(unsafe_code, reason = "reads and writes whole vectors")]
pub(crate) unsafe fn interleave_at<T: Number>(
    first: *const T,
    second: *const T,
    count: usize,
    words: &mut [u32; 32],
) {
    for half in 0..2 {
        let mask = first_lanes(count.saturating_sub(16 * half));
        // SAFETY: the caller's promise; the mask leaves out what lies past the count, and half of the words are 64 bytes.
        unsafe {
            let value = T::by_turns(first.wrapping_add(16 * half), second.wrapping_add(16 * half), mask);
            _mm512_storeu_si512(words.as_mut_ptr().add(16 * half).cast(), value);
        }
    }
}

/// As [`channels_of_rows`], each row times its factor.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(crate) fn channels_of_scaled_rows(rows: &[&[f32]; 2 * TILE], factors: &[f32; 2 * TILE]) -> Square {
    let mut square = [_mm512_setzero_si512(); TILE];
    for (index, words) in square.iter_mut().enumerate() {
        let row = |row: usize| _mm512_mul_ps(load(rows[row]), _mm512_set1_ps(factors[row]));
        *words = by_turns(row(2 * index), row(2 * index + 1));
    }
    transposed(&square)
}

/// Writes row `row` of a square at `target + row * stride`.
///
/// # Safety
/// Sixteen words are writable there, for each row.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[expect(unsafe_code, reason = "writes whole vectors")]
pub(crate) unsafe fn store(square: &Square, target: *mut u32, stride: usize) {
    for (row, words) in square.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_si512(target.byte_add(row * stride).cast(), *words) };
    }
}

/// Rows to columns: words of neighbouring rows, then pairs, then quarters of a vector change places.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn transposed(rows: &Square) -> Square {
    let mut pairs = *rows;
    for row in (0..TILE).step_by(2) {
        pairs[row] = _mm512_unpacklo_epi32(rows[row], rows[row + 1]);
        pairs[row + 1] = _mm512_unpackhi_epi32(rows[row], rows[row + 1]);
    }
    // Vector 4 q + c holds column c, 4 + c, 8 + c, 12 + c of rows 4 q to 4 q + 3.
    let mut fours = pairs;
    for four in (0..TILE).step_by(4) {
        fours[four] = _mm512_unpacklo_epi64(pairs[four], pairs[four + 2]);
        fours[four + 1] = _mm512_unpackhi_epi64(pairs[four], pairs[four + 2]);
        fours[four + 2] = _mm512_unpacklo_epi64(pairs[four + 1], pairs[four + 3]);
        fours[four + 3] = _mm512_unpackhi_epi64(pairs[four + 1], pairs[four + 3]);
    }
    let mut columns = fours;
    for column in 0..4 {
        let [a, b, c, d] = [fours[column], fours[4 + column], fours[8 + column], fours[12 + column]];
        let [even_upper, odd_upper] =
            [_mm512_shuffle_i32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b)];
        let [even_lower, odd_lower] =
            [_mm512_shuffle_i32x4::<0b10_00_10_00>(c, d), _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d)];
        columns[column] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even_upper, even_lower);
        columns[4 + column] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_upper, odd_lower);
        columns[8 + column] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even_upper, even_lower);
        columns[12 + column] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_upper, odd_lower);
    }
    columns
}
