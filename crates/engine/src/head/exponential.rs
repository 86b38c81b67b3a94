//! `e^x` in a form that the compiler vectorises.

/// Below this `e^x` is taken as 0: it is less than the smallest normal number.
const LOWEST: f32 = -87.0;

/// `e^x` for `x <= 88`, within 3 units in the last place; 0 below [`LOWEST`].
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` is a polynomial of degree 6 (Taylor's, whose remainder is
/// `(ln 2 / 2)^7 / 7! = 1.2e-7`), `2^n` is put together from its bits.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding and subtracting it rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` in two parts, the first with few digits, so that `n` times it is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let clamped = if x > LOWEST { x } else { LOWEST };
    // A number of this size has steps of 1, so that its last bits are those of a whole number.
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2[0]) - n * LN_2[1];
    let mut sum = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    // A conversion to an integer would saturate, which no vector instruction does; the shift drops ROUND's own bits.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x > LOWEST { sum * power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_three_units_in_the_last_place_of_the_definition() {
        for index in 0..200_000 {
            let x = -86.9 + index as f32 * (174.0 / 200_000.0);
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3.0 * f64::from(f32::EPSILON), "{x}: {error:e}");
        }
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }
}
