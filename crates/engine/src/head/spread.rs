//! How near the class centres stand to each other.

use std::sync::Mutex;

use super::Head;
use super::directions::{dot, inverse_norms};
use crate::isa::by_isa;
use crate::pool::Pool;

impl Head {
    /// The largest cosine between centres of two different classes among `classes`, `max W_i . W_j` of unit centres
    /// (CosFace, arXiv:1801.09414, section 3.4: 1 minus it bounds the margin); none with fewer than two classes.
    ///
    /// Time is O(n^2 D) for n centres. A centre without a direction has the cosine 0 to all.
    ///
    /// # Panics
    /// When `classes` names one that is not there.
    #[must_use]
    pub fn largest_cosine(&self, pool: &Pool, classes: &[u32]) -> Option<f64> {
        let (dimension, per_class) = (self.dimension, self.per_class);
        let len = per_class * dimension;
        let rows: Vec<f32> = classes
            .iter()
            .flat_map(|class| &self.weights()[*class as usize * len..][..len])
            .copied()
            .collect();
        let mut inverse = vec![0.0; classes.len() * per_class];
        {
            let (rows, inverse) = (&rows[..], &mut inverse[..]);
            by_isa!(pool.isa(), inverse_norms, (dimension: usize, rows: &[f32], inverse: &mut [f32]));
        }
        let largest = Mutex::new(None::<f32>);
        pool.run(classes.len(), |class, _| {
            let mut found = f32::NEG_INFINITY;
            {
                let (rows, inverse, found) = (&rows[..], &inverse[..], &mut found);
                let from = [class, per_class];
                by_isa!(
                    pool.isa(),
                    nearest_of_later,
                    (dimension: usize, rows: &[f32], inverse: &[f32], from: [usize; 2], found: &mut f32)
                );
            }
            if class + 1 < classes.len() {
                let mut largest = largest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *largest = Some(largest.map_or(found, |largest| largest.max(found)));
            }
        });
        largest.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map(f64::from)
    }
}

/// The largest cosine of a class's centres to those of all later classes.
#[inline(always)]
fn nearest_of_later(
    dimension: usize,
    rows: &[f32],
    inverse: &[f32],
    [class, per_class]: [usize; 2],
    found: &mut f32,
) {
    for row in class * per_class..(class + 1) * per_class {
        let centre = &rows[row * dimension..][..dimension];
        for other in (class + 1) * per_class..inverse.len() {
            let product = dot(centre, &rows[other * dimension..][..dimension]);
            *found = found.max(product * inverse[row] * inverse[other]);
        }
    }
}
