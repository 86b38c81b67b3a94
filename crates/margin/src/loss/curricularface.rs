//! Other classes that count for more the further training has come.

use super::Other;

/// `c (t + c)` for a hard class (CurricularFace, arXiv:2004.00288, eq. 5).
///
/// While t is small a positive cosine is weakened, near 1 it is strengthened. The step at the joint with an easy class
/// is the paper's own.
pub(super) fn hard(cosine: f64, t: f64) -> Other {
    Other { value: cosine * (t + cosine), slope: t + 2.0 * cosine }
}
