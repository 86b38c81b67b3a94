//! The transforms of F(4x4, 3x3) on patches of vectors (Lavin and Gray, arXiv:1509.09308, section 4.3) and their
//! transposes, with the points 0, `NEAR`, `-NEAR`, `FAR`, `-FAR` and infinity.
//!
//! The paper's points are 1 and 2. With 5/8 and 3/2 whatever is rounded between the transforms weighs less than half
//! as much in all three directions. Against a product by the definition in bf16, errors are five times larger on noise and
//! twice on smooth maps, instead of eleven and four times.

use crate::gemm::Vector;

/// A square of vectors that a transform loads one after another, since registers hold fewer than there are.
pub(super) trait Square<V, const SIDE: usize> {
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "loads vectors")]
    unsafe fn load(&self, row: usize, column: usize) -> V;
}

impl<V: Vector, const SIDE: usize> Square<V, SIDE> for [[V; SIDE]; SIDE] {
    #[expect(unsafe_code, reason = "loads vectors")]
    #[inline(always)]
    unsafe fn load(&self, row: usize, column: usize) -> V {
        self[row][column]
    }
}

/// Makes the transform of a square patch from that of a line: along the columns, then along the rows.
macro_rules! both_ways {
    ($(#[$attribute:meta])* $name:ident, $along:ident, $from:literal, $to:literal) => {
        $(#[$attribute])*
        /// # Safety
        /// The processor has `V`'s instruction set.
        #[expect(unsafe_code, reason = "arithmetic of an instruction set")]
        #[inline(always)]
        pub(super) unsafe fn $name<V: Vector>(patch: &impl Square<V, $from>) -> [[V; $to]; $to] {
            // SAFETY: the caller promises the instruction set.
            unsafe {
                let mut half = [[V::splat(0.0); $from]; $to];
                for column in 0..$from {
                    let mut line = [V::splat(0.0); $from];
                    for row in 0..$from {
                        line[row] = patch.load(row, column);
                    }
                    let line = $along(line);
                    for row in 0..$to {
                        half[row][column] = line[row];
                    }
                }
                let mut whole = [[V::splat(0.0); $to]; $to];
                for row in 0..$to {
                    whole[row] = $along(half[row]);
                }
                whole
            }
        }
    };
}

both_ways!(
    /// `B^T d B`: a patch of the input.
    source, source_line, 6, 6
);
both_ways!(
    /// `A^T m A`: products to outputs.
    target, target_line, 6, 4
);
both_ways!(
    /// `G g G^T`: a filter.
    filter, filter_line, 3, 6
);
both_ways!(
    /// `A y A^T`: a tile of the gradient of the outputs.
    d_target, d_target_line, 4, 6
);
both_ways!(
    /// `G^T u G`: sums of products to the gradient of a filter.
    d_filter, d_filter_line, 6, 3
);

#[expect(unsafe_code, reason = "arithmetic of an instruction set")]
mod lines {
    use super::Vector;

    /// `a + factor * b`.
    #[inline(always)]
    unsafe fn plus<V: Vector>(a: V, factor: f32, b: V) -> V {
        // SAFETY: the caller promises the instruction set.
        unsafe { V::splat(factor).multiply_add(b, a) }
    }

    /// `factor * a`.
    #[inline(always)]
    unsafe fn scaled<V: Vector>(factor: f32, a: V) -> V {
        // SAFETY: the caller promises the instruction set.
        unsafe { V::splat(factor).multiply(a) }
    }

    /// The nearer and the farther pair of points. Their powers below are exact.
    const NEAR: f32 = 0.625;
    const FAR: f32 = 1.5;
    const NEAR_2: f32 = NEAR * NEAR;
    const FAR_2: f32 = FAR * FAR;
    /// What the filter's values at each point are divided by: the product of its differences from the other points.
    const ZERO_PRODUCT: f32 = NEAR_2 * FAR_2;
    const NEAR_PRODUCT: f32 = 2.0 * NEAR_2 * (NEAR_2 - FAR_2);
    const FAR_PRODUCT: f32 = 2.0 * FAR_2 * (FAR_2 - NEAR_2);

    /// `B^T d`.
    #[inline(always)]
    pub(super) unsafe fn source_line<V: Vector>([d0, d1, d2, d3, d4, d5]: [V; 6]) -> [V; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (plus(d4, -FAR_2, d2), plus(d3, -FAR_2, d1));
            let (wide, twice) = (plus(d4, -NEAR_2, d2), plus(d3, -NEAR_2, d1));
            [
                plus(plus(d4, -NEAR_2 - FAR_2, d2), ZERO_PRODUCT, d0),
                plus(even, NEAR, odd),
                plus(even, -NEAR, odd),
                plus(wide, FAR, twice),
                plus(wide, -FAR, twice),
                plus(plus(d5, -NEAR_2 - FAR_2, d3), ZERO_PRODUCT, d1),
            ]
        }
    }

    /// `A^T m`.
    #[inline(always)]
    pub(super) unsafe fn target_line<V: Vector>([m0, m1, m2, m3, m4, m5]: [V; 6]) -> [V; 4] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (m1.add(m2), m1.subtract(m2));
            let (wide, twice) = (m3.add(m4), m3.subtract(m4));
            [
                m0.add(even).add(wide),
                plus(scaled(NEAR, odd), FAR, twice),
                plus(scaled(NEAR_2, even), FAR_2, wide),
                plus(plus(m5, NEAR * NEAR_2, odd), FAR * FAR_2, twice),
            ]
        }
    }

    /// `G g`.
    #[inline(always)]
    pub(super) unsafe fn filter_line<V: Vector>([g0, g1, g2]: [V; 3]) -> [V; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) =
                (scaled(1.0 / NEAR_PRODUCT, plus(g0, NEAR_2, g2)), scaled(NEAR / NEAR_PRODUCT, g1));
            let (wide, twice) =
                (scaled(1.0 / FAR_PRODUCT, plus(g0, FAR_2, g2)), scaled(FAR / FAR_PRODUCT, g1));
            [
                scaled(1.0 / ZERO_PRODUCT, g0),
                even.add(odd),
                even.subtract(odd),
                wide.add(twice),
                wide.subtract(twice),
                g2,
            ]
        }
    }

    /// `A y`.
    #[inline(always)]
    pub(super) unsafe fn d_target_line<V: Vector>([y0, y1, y2, y3]: [V; 4]) -> [V; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (plus(y0, NEAR_2, y2), plus(y1, NEAR_2, y3));
            let (wide, twice) = (plus(y0, FAR_2, y2), plus(y1, FAR_2, y3));
            [
                y0,
                plus(even, NEAR, odd),
                plus(even, -NEAR, odd),
                plus(wide, FAR, twice),
                plus(wide, -FAR, twice),
                y3,
            ]
        }
    }

    /// `G^T u`.
    #[inline(always)]
    pub(super) unsafe fn d_filter_line<V: Vector>([u0, u1, u2, u3, u4, u5]: [V; 6]) -> [V; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (scaled(1.0 / NEAR_PRODUCT, u1.add(u2)), u1.subtract(u2));
            let (wide, twice) = (scaled(1.0 / FAR_PRODUCT, u3.add(u4)), u3.subtract(u4));
            [
                plus(even.add(wide), 1.0 / ZERO_PRODUCT, u0),
                plus(scaled(NEAR / NEAR_PRODUCT, odd), FAR / FAR_PRODUCT, twice),
                plus(plus(u5, NEAR_2, even), FAR_2, wide),
            ]
        }
    }
}
use lines::{d_filter_line, d_target_line, filter_line, source_line, target_line};
