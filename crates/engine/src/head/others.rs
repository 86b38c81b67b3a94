//! What the cosines of a tile become before they are logits: the nearest of several centres, and harder negatives.

use crate::gemm::words::PANEL;

/// Leaves each class the cosine of its nearest centre, for each sample; the others become -infinity, which adds
/// nothing to a sum of exponentials and has no gradient. Of equally near ones the first stays.
///
/// `cosines` is `[classes x per_class][PANEL]`.
#[inline(always)]
pub(super) fn keep_nearest(cosines: &mut [f32], per_class: usize) {
    for class in cosines.as_chunks_mut::<PANEL>().0.chunks_exact_mut(per_class) {
        let mut nearest = [f32::NEG_INFINITY; PANEL];
        for row in &*class {
            for lane in 0..PANEL {
                nearest[lane] = if row[lane] > nearest[lane] { row[lane] } else { nearest[lane] };
            }
        }
        for row in class {
            for lane in 0..PANEL {
                let is_nearest = row[lane] == nearest[lane];
                row[lane] = if is_nearest { row[lane] } else { f32::NEG_INFINITY };
                // Nothing equals infinity after it.
                nearest[lane] = if is_nearest { f32::INFINITY } else { nearest[lane] };
            }
        }
    }
}

/// Negatives of CurricularFace: a cosine above `psi` of the sample becomes `c (t + c)` (arXiv:2004.00288, eq. 5).
///
/// `cosines` is `[classes][PANEL]`, `psi` `[PANEL]`.
#[inline(always)]
pub(super) fn harden(cosines: &mut [f32], psi: &[f32], t: f32) {
    for row in cosines.as_chunks_mut::<PANEL>().0 {
        for (cosine, psi) in row.iter_mut().zip(psi) {
            let hard = *cosine * (t + *cosine);
            *cosine = if *cosine > *psi { hard } else { *cosine };
        }
    }
}
