//! Templates of IJB-B and IJB-C: the images and video frames of one person in one place, as one vector.

use std::collections::BTreeMap;

use crate::vectors::{Vectors, VectorsError};

/// An image of a template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TemplateImage {
    /// Number of the template.
    pub template: u64,
    /// Number of the medium: frames of one video share it, a photograph has its own.
    pub medium: u64,
    /// How sure the detector was of the face.
    pub detector_score: f32,
}

/// Whether the length of an image's vector counts, as a measure of its quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As it is (InsightFace's `use_norm_score`).
    Kept,
    /// Every image's vector is brought to unit length first.
    Unit,
}

/// Whether the detector's score of an image counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Every image counts alike.
    Equal,
    /// A vector is multiplied by its detector score (InsightFace's `use_detector_score`).
    DetectorScore,
}

/// Templates by number, with a vector each.
#[derive(Clone, Debug, PartialEq)]
pub struct Templates {
    /// Numbers, ascending.
    pub numbers: Vec<u64>,
    /// One row for each: the sum over media of the mean within a medium.
    pub vectors: Vectors,
}

/// Why there are no templates.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TemplatesError {
    /// A detector score is no weight.
    #[error("a detector score must be finite and above 0, unlike that of image {image}: {score}")]
    Score {
        /// The image, counted from 0.
        image: usize,
        /// Its score.
        score: f32,
    },
    /// The images of a template cancel each other, or there are none at all.
    #[error("no direction in a template")]
    Vectors(#[from] VectorsError),
}

impl Templates {
    /// Pools images: mean within a medium, sum over media. Cosines bring it to unit length.
    ///
    /// # Errors
    /// [`TemplatesError`].
    ///
    /// # Panics
    /// Where there is not one vector for each image.
    pub fn pool(
        vectors: &Vectors,
        images: &[TemplateImage],
        length: Length,
        weight: Weight,
    ) -> Result<Self, TemplatesError> {
        assert_eq!(vectors.rows(), images.len(), "there must be one vector for each image");
        let mut media: BTreeMap<(u64, u64), (Vec<f64>, f64)> = BTreeMap::new();
        for (row, image) in images.iter().enumerate() {
            let vector = vectors.row(row);
            let mut factor = match length {
                Length::Kept => 1.0,
                Length::Unit => {
                    vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt().recip()
                }
            };
            if weight == Weight::DetectorScore {
                let score = image.detector_score;
                if !(score.is_finite() && score > 0.0) {
                    return Err(TemplatesError::Score { image: row, score });
                }
                factor *= f64::from(score);
            }
            let (sum, count) = media
                .entry((image.template, image.medium))
                .or_insert_with(|| (vec![0.0; vectors.dimension()], 0.0));
            sum.iter_mut().zip(vector).for_each(|(sum, &value)| *sum += factor * f64::from(value));
            *count += 1.0;
        }
        let mut templates: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for ((template, _), (sum, count)) in media {
            let all = templates.entry(template).or_insert_with(|| vec![0.0; vectors.dimension()]);
            all.iter_mut().zip(sum).for_each(|(all, sum)| *all += sum / count);
        }
        let values = templates.values().flatten().map(|&value| value as f32).collect();
        let vectors = Vectors::new(values, vectors.dimension())?;
        Ok(Self { numbers: templates.into_keys().collect(), vectors })
    }
}
