//! Batch normalisation over the rows of `[rows][channels]` (arXiv:1502.03167, algorithm 1).

mod gradient;
mod moments;

pub(crate) use gradient::{ParameterGradients, Pending, Rectified, Saved, add_sums, backward, reduce};
pub(crate) use moments::{Moments, PartMoments, Parts, Running, measure, merge};

/// The affine map of a normalisation by `mean` and `inverse_deviation`: `x scale + shift` for each channel.
pub(crate) fn coefficients(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    inverse_deviation: &[f32],
    scale: &mut [f32],
    shift: &mut [f32],
) {
    for channel in 0..gamma.len() {
        scale[channel] = gamma[channel] * inverse_deviation[channel];
        shift[channel] = beta[channel] - mean[channel] * scale[channel];
    }
}

#[cfg(test)]
mod tests;
