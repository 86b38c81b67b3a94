//! The embedding of a face.

use thiserror::Error;

/// A unit vector: the direction of a face in feature space. Exists only with length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

/// A vector that has no direction, or none that can be computed with.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum NotADirection {
    /// No entries at all.
    #[error("a vector without entries has no direction")]
    Empty,
    /// All entries are zero.
    #[error("a vector of length zero has no direction; dimension: {dimension}")]
    Zero {
        /// Number of entries.
        dimension: usize,
    },
    /// An entry is infinite or not a number.
    #[error("a vector with an entry that is not finite has no direction; entry {index}: {value}")]
    NotFinite {
        /// Position of the first such entry.
        index: usize,
        /// Its value.
        value: f32,
    },
}

impl Embedding {
    /// `v / |v|`, the norm computed in f64, so that no finite vector overflows or vanishes.
    ///
    /// # Errors
    /// An empty vector, a zero vector, an entry that is not finite.
    pub fn new(mut vector: Vec<f32>) -> Result<Self, NotADirection> {
        if vector.is_empty() {
            return Err(NotADirection::Empty);
        }
        if let Some(index) = vector.iter().position(|value| !value.is_finite()) {
            return Err(NotADirection::NotFinite { index, value: vector[index] });
        }
        let norm = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(NotADirection::Zero { dimension: vector.len() });
        }
        for value in &mut vector {
            *value = (f64::from(*value) / norm) as f32;
        }
        Ok(Self(vector))
    }

    /// Number of entries.
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// The entries.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Cosine of the angle between two embeddings, in [-1, 1]: their inner product, summed in f64.
    ///
    /// # Panics
    /// Where the dimensions differ.
    pub fn cosine(&self, other: &Self) -> f32 {
        assert_eq!(self.dimension(), other.dimension(), "embeddings of different dimension have no angle");
        let sum: f64 = self.0.iter().zip(&other.0).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        sum.clamp(-1.0, 1.0) as f32
    }
}
