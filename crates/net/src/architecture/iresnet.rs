//! The residual networks of InsightFace, with the unit order, names and starts of its arcface_torch.
//!
//! One published detail differs: there the scale of the last normalisation, `features.weight`, stays at 1; here it is
//! trained like every other.

use super::Settings;
use super::assembly::{Assembly, one_by_one, three_by_three};
use crate::{Init, Network, Source};

const CONVOLUTION_INIT: Init = Init::Gaussian { deviation: 0.1 };

/// Residual units in the four stages.
fn units(depth: usize) -> [usize; 4] {
    match depth {
        18 => [2, 2, 2, 2],
        34 => [3, 4, 6, 3],
        50 => [3, 4, 14, 3],
        100 => [3, 13, 30, 3],
        _ => unreachable!("depths are checked against the family's: {depth}"),
    }
}

pub(super) fn network(depth: usize, settings: &Settings) -> Network {
    let mut assembly = Assembly::new();
    let stem = three_by_three(settings.channels[0], 1, CONVOLUTION_INIT);
    let mut current = assembly.convolution("conv1", stem, Source::Image);
    current = assembly.batch_norm("bn1", current);
    current = assembly.prelu("prelu", current);
    for (stage, (channels, units)) in settings.channels.iter().zip(units(depth)).enumerate() {
        for unit in 0..units {
            let name = format!("layer{}.{unit}", stage + 1);
            current = match unit {
                0 => opening_unit(&mut assembly, &name, *channels, current),
                _ => unit_branch(&mut assembly, &name, *channels, 1, current, current),
            };
        }
    }
    current = assembly.batch_norm("bn2", current);
    current = assembly.dropout("dropout", settings.dropout, current);
    current = assembly.linear("fc", settings.feature, Init::UniformFanIn, current);
    assembly.batch_norm("features", current);
    assembly.finish(format!("iresnet{depth}"), settings.input)
}

/// The first unit of a stage: stride 2, and a 1x1 convolution on the shortcut.
fn opening_unit(assembly: &mut Assembly, name: &str, channels: usize, input: Source) -> Source {
    let projection = one_by_one(channels, 2, CONVOLUTION_INIT);
    let projected = assembly.convolution(format!("{name}.downsample.0"), projection, input);
    let shortcut = assembly.batch_norm(format!("{name}.downsample.1"), projected);
    unit_branch(assembly, name, channels, 2, input, shortcut)
}

/// Normalisation, 3x3 convolution, normalisation, PReLU, 3x3 convolution with the stride, normalisation, added to the
/// shortcut.
fn unit_branch(
    assembly: &mut Assembly,
    name: &str,
    channels: usize,
    stride: usize,
    input: Source,
    shortcut: Source,
) -> Source {
    let mut branch = assembly.batch_norm(format!("{name}.bn1"), input);
    let first = three_by_three(channels, 1, CONVOLUTION_INIT);
    branch = assembly.convolution(format!("{name}.conv1"), first, branch);
    branch = assembly.batch_norm(format!("{name}.bn2"), branch);
    branch = assembly.prelu(format!("{name}.prelu"), branch);
    let second = three_by_three(channels, stride, CONVOLUTION_INIT);
    branch = assembly.convolution(format!("{name}.conv2"), second, branch);
    branch = assembly.batch_norm(format!("{name}.bn3"), branch);
    assembly.add(format!("{name}.add"), branch, shortcut)
}
