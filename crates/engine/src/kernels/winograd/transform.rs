//! The transforms of F(4x4, 3x3) on patches of vectors, with the points 0, 1, -1, 2, -2 and infinity
//! (Lavin and Gray, arXiv:1509.09308, section 4.3), and their transposes.

use crate::gemm::Vector;

/// Makes the transform of a square patch from that of a line: along the columns, then along the rows.
macro_rules! both_ways {
    ($(#[$attribute:meta])* $name:ident, $along:ident, $from:literal, $to:literal) => {
        $(#[$attribute])*
        /// # Safety
        /// The processor has `V`'s instruction set.
        #[expect(unsafe_code, reason = "arithmetic of an instruction set")]
        #[inline(always)]
        pub(super) unsafe fn $name<V: Vector>(patch: &[[V; $from]; $from]) -> [[V; $to]; $to] {
            // SAFETY: the caller promises the instruction set.
            unsafe {
                let mut half = [[V::splat(0.0); $from]; $to];
                for column in 0..$from {
                    let mut line = [V::splat(0.0); $from];
                    for row in 0..$from {
                        line[row] = patch[row][column];
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

    /// `B^T d`.
    #[inline(always)]
    pub(super) unsafe fn source_line<V: Vector>([d0, d1, d2, d3, d4, d5]: [V; 6]) -> [V; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (plus(d4, -4.0, d2), plus(d3, -4.0, d1));
            let (wide, twice) = (d4.subtract(d2), d3.subtract(d1));
            [
                plus(plus(d4, -5.0, d2), 4.0, d0),
                even.add(odd),
                even.subtract(odd),
                plus(wide, 2.0, twice),
                plus(wide, -2.0, twice),
                plus(plus(d5, -5.0, d3), 4.0, d1),
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
                plus(odd, 2.0, twice),
                plus(even, 4.0, wide),
                plus(odd, 8.0, twice).add(m5),
            ]
        }
    }

    /// `G g`.
    #[inline(always)]
    pub(super) unsafe fn filter_line<V: Vector>([g0, g1, g2]: [V; 3]) -> [V; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (scaled(-1.0 / 6.0, g0.add(g2)), scaled(1.0 / 6.0, g1));
            let (wide, twice) = (plus(scaled(1.0 / 24.0, g0), 1.0 / 6.0, g2), scaled(1.0 / 12.0, g1));
            [scaled(0.25, g0), even.subtract(odd), even.add(odd), wide.add(twice), wide.subtract(twice), g2]
        }
    }

    /// `A y`.
    #[inline(always)]
    pub(super) unsafe fn d_target_line<V: Vector>([y0, y1, y2, y3]: [V; 4]) -> [V; 6] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let (even, odd) = (y0.add(y2), y1.add(y3));
            let (wide, twice) = (plus(y0, 4.0, y2), plus(y1, 4.0, y3));
            [y0, even.add(odd), even.subtract(odd), plus(wide, 2.0, twice), plus(wide, -2.0, twice), y3]
        }
    }

    /// `G^T u`.
    #[inline(always)]
    pub(super) unsafe fn d_filter_line<V: Vector>([u0, u1, u2, u3, u4, u5]: [V; 6]) -> [V; 3] {
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let near = scaled(1.0 / 6.0, u1.add(u2));
            let far = u3.add(u4);
            let middle = scaled(1.0 / 6.0, u2.subtract(u1));
            [
                plus(scaled(1.0 / 24.0, far), 0.25, u0).subtract(near),
                plus(middle, 1.0 / 12.0, u3.subtract(u4)),
                plus(u5, 1.0 / 6.0, far).subtract(near),
            ]
        }
    }
}
use lines::{d_filter_line, d_target_line, filter_line, source_line, target_line};
