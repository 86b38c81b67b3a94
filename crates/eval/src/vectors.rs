//! Feature vectors of the images of a protocol, one row each.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::protocol::Pair;

/// Vectors with a direction: every row is finite and not zero.
///
/// Rows need not be unit vectors: SphereFace's rule subtracts a mean before it normalises, so lengths are kept.
///
/// # Shapes
/// `values` is `[rows, dimension]`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    values: Vec<f32>,
    dimension: usize,
}

/// Why numbers are not [`Vectors`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VectorsError {
    /// There is no row, or rows without a column.
    #[error("there are no vectors to evaluate")]
    Empty,
    /// Rows are of unequal length.
    #[error("all vectors must have the dimension of the first, {expected}, unlike vector {row}: {found}")]
    Ragged {
        /// The row that differs, counted from 0.
        row: usize,
        /// Its length.
        found: usize,
        /// Length of row 0.
        expected: usize,
    },
    /// A row holds a number that is not finite.
    #[error("a vector must be finite, unlike vector {row}: {value}")]
    NotFinite {
        /// The row, counted from 0.
        row: usize,
        /// The number.
        value: f32,
    },
    /// A row is zero and has no direction.
    #[error("a zero vector has no direction, at vector: {row}")]
    Zero {
        /// The row, counted from 0.
        row: usize,
    },
}

impl Vectors {
    /// Takes rows of equal length.
    ///
    /// # Errors
    /// No row at all, unequal lengths, a number that is not finite, a zero row.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a [f32]>) -> Result<Self, VectorsError> {
        let mut values = Vec::new();
        let mut dimension = None;
        for (row, vector) in rows.into_iter().enumerate() {
            let expected = *dimension.get_or_insert(vector.len());
            if vector.len() != expected {
                return Err(VectorsError::Ragged { row, found: vector.len(), expected });
            }
            values.extend_from_slice(vector);
        }
        Self::new(values, dimension.unwrap_or(0))
    }

    /// Takes `[rows, dimension]` numbers.
    ///
    /// # Errors
    /// No row at all, a number that is not finite, a zero row.
    ///
    /// # Panics
    /// Where the count of numbers is not a multiple of `dimension`.
    pub fn new(values: Vec<f32>, dimension: usize) -> Result<Self, VectorsError> {
        if dimension == 0 || values.is_empty() {
            return Err(VectorsError::Empty);
        }
        assert_eq!(values.len() % dimension, 0, "values must be rows x dimension");
        for (row, vector) in values.chunks_exact(dimension).enumerate() {
            if let Some(&value) = vector.iter().find(|value| !value.is_finite()) {
                return Err(VectorsError::NotFinite { row, value });
            }
            if vector.iter().all(|&value| value == 0.0) {
                return Err(VectorsError::Zero { row });
            }
        }
        Ok(Self { values, dimension })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dimension
    }

    /// Length of each row.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// One row.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.dimension..(row + 1) * self.dimension]
    }

    /// Cosine of each pair, accumulated in f64, in the order of the pairs.
    ///
    /// # Panics
    /// Where a pair names a row that is not there.
    pub fn cosines(&self, pairs: &[Pair]) -> Vec<f64> {
        pairs.par_iter().map(|pair| cosine(self.row(pair.first), self.row(pair.second))).collect()
    }
}

/// Cosine of two vectors with a direction, in f64 and never outside -1..1.
fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let (mut product, mut left_square, mut right_square) = (0.0_f64, 0.0_f64, 0.0_f64);
    for (&left, &right) in left.iter().zip(right) {
        let (left, right) = (f64::from(left), f64::from(right));
        product += left * right;
        left_square += left * left;
        right_square += right * right;
    }
    (product / (left_square.sqrt() * right_square.sqrt())).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::{Vectors, VectorsError, cosine};

    #[test]
    fn rows_without_a_direction_are_refused_by_number() {
        let rows = |second: [f32; 2]| Vectors::from_rows([&[1.0, 0.0][..], &second[..]]);
        assert_eq!(rows([0.0, 0.0]), Err(VectorsError::Zero { row: 1 }));
        assert!(matches!(rows([f32::NAN, 0.0]), Err(VectorsError::NotFinite { row: 1, .. })));
        assert!(matches!(rows([0.0, f32::INFINITY]), Err(VectorsError::NotFinite { row: 1, .. })));
        assert_eq!(rows([0.0, 2.0]).expect("vectors").rows(), 2);
        let ragged = Vectors::from_rows([&[1.0, 0.0][..], &[1.0][..]]);
        assert_eq!(ragged, Err(VectorsError::Ragged { row: 1, found: 1, expected: 2 }));
        assert_eq!(Vectors::from_rows([]), Err(VectorsError::Empty));
    }

    #[test]
    fn cosine_does_not_depend_on_lengths_nor_leave_its_range() {
        assert!((cosine(&[3.0, 0.0], &[0.6, 0.8]) - 0.6).abs() < 1e-7);
        for scale in [1e-15_f32, 0.1, 1.0, 7.3, 1e15] {
            let vector = [0.1 * scale, 0.7 * scale, -0.3 * scale];
            let cosine = cosine(&vector, &[0.1, 0.7, -0.3]);
            assert!(cosine <= 1.0 && cosine > 1.0 - 1e-6, "{cosine}");
        }
    }
}
