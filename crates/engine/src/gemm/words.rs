//! Operands as 32-bit words: one f32, or two bf16 that a product adds up together.
//!
//! Which two elements share a word is free as long as both sides of a product agree. Along a row they are 16 apart in
//! each run of 32, so that a vector of words is made of two vectors of floats with no shuffle.

use crate::precision::Precision;

/// Columns of a panel of words, and elements in which two bf16 of a word are sought.
pub(crate) const PANEL: usize = 32;

impl Precision {
    /// Words of a row of `elements`; a pair may have been filled up with zeros.
    pub(crate) const fn words(self, elements: usize) -> usize {
        match self {
            Precision::F32 => elements,
            Precision::Bf16 => elements.next_multiple_of(PANEL) / 2,
        }
    }

    /// Elements of a word.
    pub(crate) const fn per_word(self) -> usize {
        match self {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
        }
    }
}

/// `value` rounded to bf16, to nearest and ties to even, in the upper half of the bits; the lower half is arbitrary.
#[inline(always)]
fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    // Of a NaN only the sign, the exponent and the bit that makes it quiet are kept: rounding could carry it away.
    if value.is_nan() { bits | 0x0040_0000 } else { bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) }
}

/// `value` rounded to bf16.
#[inline(always)]
pub(super) fn narrowed(value: f32) -> u16 {
    (rounded(value) >> 16) as u16
}

/// The value of a bf16.
#[inline(always)]
pub(super) fn widened(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

/// Two elements as one word of bf16, the first in its lower half.
#[inline(always)]
pub(crate) fn pair(first: f32, second: f32) -> u32 {
    (rounded(first) >> 16) | (rounded(second) & 0xffff_0000)
}

/// The two elements of a word of bf16.
#[inline(always)]
pub(crate) fn unpair(word: u32) -> [f32; 2] {
    [f32::from_bits(word << 16), f32::from_bits(word & 0xffff_0000)]
}

/// Writes `values * factor` as the words of a row.
///
/// # Panics
/// When there are not [`Precision::words`] of them.
#[inline(always)]
pub(crate) fn along(precision: Precision, values: &[f32], factor: f32, words: &mut [u32]) {
    assert_eq!(words.len(), precision.words(values.len()), "words of {} values", values.len());
    match precision {
        Precision::F32 => {
            for (word, value) in words.iter_mut().zip(values) {
                *word = (value * factor).to_bits();
            }
        }
        Precision::Bf16 => {
            let (runs, rest) = values.as_chunks::<PANEL>();
            let (whole, last) = words.split_at_mut(runs.len() * PANEL / 2);
            for (run, words) in runs.iter().zip(whole.as_chunks_mut::<{ PANEL / 2 }>().0) {
                pair_run(run, factor, words);
            }
            if let Some(words) = last.first_chunk_mut() {
                let mut run = [0.0; PANEL];
                run[..rest.len()].copy_from_slice(rest);
                pair_run(&run, factor, words);
            }
        }
    }
}

#[inline(always)]
fn pair_run(run: &[f32; PANEL], factor: f32, words: &mut [u32; PANEL / 2]) {
    for (lane, word) in words.iter_mut().enumerate() {
        *word = pair(run[lane] * factor, run[lane + PANEL / 2] * factor);
    }
}

/// Writes rows that follow one another in depth, each times its factor, as words across them: word `i` holds
/// element `i` of `first` and, in bf16, of `second`, where an empty row stands for zeros.
///
/// # Panics
/// When a length does not fit.
#[inline(always)]
pub(crate) fn across(precision: Precision, first: (&[f32], f32), second: (&[f32], f32), words: &mut [u32]) {
    let words = &mut words[..first.0.len()];
    match precision {
        Precision::F32 => {
            for (word, value) in words.iter_mut().zip(first.0) {
                *word = (value * first.1).to_bits();
            }
        }
        Precision::Bf16 if second.0.is_empty() => {
            for (word, value) in words.iter_mut().zip(first.0) {
                *word = pair(value * first.1, 0.0);
            }
        }
        Precision::Bf16 => {
            let second_row = &second.0[..first.0.len()];
            for ((word, a), b) in words.iter_mut().zip(first.0).zip(second_row) {
                *word = pair(a * first.1, b * second.1);
            }
        }
    }
}

/// The memory of floats as words.
pub(crate) fn as_words(floats: &mut [f32]) -> &mut [u32] {
    #[expect(unsafe_code, reason = "f32 and u32 differ in meaning only")]
    // SAFETY: both have the same size and alignment, and every bit pattern is a value of either.
    unsafe {
        std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len())
    }
}

/// The memory of floats as twice as many bf16.
pub(crate) fn as_halves(floats: &mut [f32]) -> &mut [u16] {
    #[expect(unsafe_code, reason = "two bf16 take the place of a float")]
    // SAFETY: twice as many of half the size and a weaker alignment, and every bit pattern is a value of either.
    unsafe {
        std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), 2 * floats.len())
    }
}

/// As [`as_halves`], to be read.
pub(crate) fn halves_of(floats: &[f32]) -> &[u16] {
    #[expect(unsafe_code, reason = "two bf16 take the place of a float")]
    // SAFETY: as above.
    unsafe {
        std::slice::from_raw_parts(floats.as_ptr().cast(), 2 * floats.len())
    }
}

/// As [`as_words`], to be read.
pub(crate) fn words_of(floats: &[f32]) -> &[u32] {
    #[expect(unsafe_code, reason = "f32 and u32 differ in meaning only")]
    // SAFETY: as above.
    unsafe {
        std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Numbers;

    /// bf16 by its definition: the nearer of the two neighbours with 8 significant bits, the even one of a tie.
    fn nearest(value: f32) -> f32 {
        let below = f32::from_bits(value.to_bits() & 0xffff_0000);
        let above = f32::from_bits((value.to_bits() & 0xffff_0000).wrapping_add(0x1_0000));
        let (down, up) =
            ((f64::from(value) - f64::from(below)).abs(), (f64::from(above) - f64::from(value)).abs());
        match down.total_cmp(&up) {
            std::cmp::Ordering::Less => below,
            std::cmp::Ordering::Greater => above,
            std::cmp::Ordering::Equal if below.to_bits() & 0x1_0000 == 0 => below,
            std::cmp::Ordering::Equal => above,
        }
    }

    #[test]
    fn pairs_are_rounded_to_the_nearest_even_and_keep_what_is_no_number() {
        let mut values = Numbers::new(3).vector(1000);
        // Ties, both ways, and a carry into the exponent.
        values.extend([0x3f80_8000, 0x3f81_8000, 0x3fff_ffff, 0xbf80_8001, 0].map(f32::from_bits));
        for value in values {
            assert_eq!(unpair(pair(value, -value)), [nearest(value), -nearest(value)], "{value:e}");
        }
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            let [low, high] = unpair(pair(f32::from_bits(bits), f32::from_bits(bits)));
            assert!(low.is_nan() && high.is_nan(), "{bits:x}");
        }
        assert_eq!(unpair(pair(f32::INFINITY, f32::NEG_INFINITY)), [f32::INFINITY, f32::NEG_INFINITY]);
    }
}
