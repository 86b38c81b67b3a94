//! The SphereFace networks, which the CosFace paper uses.
//!
//! Four stages. Each opens with a 3x3 convolution of stride 2 and is followed by residual units of two 3x3
//! convolutions, every convolution with its own PReLU; one fully connected layer makes the feature
//! (arXiv:1704.08063, table 2). Names are those of the published Caffe description.

use super::Settings;
use super::assembly::{Assembly, three_by_three};
use crate::{Convolution, Init, Network, Source};

/// Whether every layer is followed by batch normalisation.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Normalisation {
    /// As published: a bias in the opening convolutions, Xavier there and Gaussian 0.01 in the units.
    Without,
    /// Batch normalisation before every PReLU and on the feature. Its shift takes the place of the bias, and weights
    /// start with Kaiming's deviation: normalisation hides their size from the output, so that starting small would
    /// only multiply the first effective learning rates. Without it on the feature, all features of a new network
    /// point one way, the class centres follow them there, and a margin loss spends its first epochs undoing that.
    Batch,
}

/// Residual units in the four stages: the depth is 4 opening convolutions and 2 for each unit.
fn units(depth: usize) -> [usize; 4] {
    match depth {
        4 => [0, 0, 0, 0],
        10 => [0, 1, 2, 0],
        20 => [1, 2, 4, 1],
        36 => [2, 4, 8, 2],
        64 => [3, 8, 16, 3],
        _ => unreachable!("depths are checked against the family's: {depth}"),
    }
}

pub(super) fn network(depth: usize, normalisation: Normalisation, settings: &Settings) -> Network {
    let (opening_init, unit_init) = match normalisation {
        Normalisation::Without => (Init::Xavier, Init::Gaussian { deviation: 0.01 }),
        Normalisation::Batch => (Init::KaimingFanOut, Init::KaimingFanOut),
    };
    let mut assembly = Assembly::new();
    let mut current = Source::Image;
    for (stage, (channels, units)) in settings.channels.iter().zip(units(depth)).enumerate() {
        let stage = stage + 1;
        let opening = Convolution {
            bias: normalisation == Normalisation::Without,
            ..three_by_three(*channels, 2, opening_init)
        };
        current = layer(&mut assembly, normalisation, &format!("{stage}_1"), opening, current);
        for unit in 0..units {
            let (first, second) = (2 * unit + 2, 2 * unit + 3);
            let convolution = three_by_three(*channels, 1, unit_init);
            let inner = layer(
                &mut assembly,
                normalisation,
                &format!("{stage}_{first}"),
                convolution.clone(),
                current,
            );
            let outer = layer(&mut assembly, normalisation, &format!("{stage}_{second}"), convolution, inner);
            current = assembly.add(format!("res{stage}_{second}"), current, outer);
        }
    }
    let kept = assembly.dropout("dropout", settings.dropout, current);
    let feature = assembly.linear("fc5", settings.feature, Init::Xavier, kept);
    if normalisation == Normalisation::Batch {
        assembly.batch_norm("bn5", feature);
    }
    assembly.finish(format!("sphereface{depth}"), settings.input)
}

/// One convolution with what follows it.
fn layer(
    assembly: &mut Assembly,
    normalisation: Normalisation,
    name: &str,
    convolution: Convolution,
    input: Source,
) -> Source {
    let mut output = assembly.convolution(format!("conv{name}"), convolution, input);
    if normalisation == Normalisation::Batch {
        output = assembly.batch_norm(format!("bn{name}"), output);
    }
    assembly.prelu(format!("relu{name}"), output)
}
