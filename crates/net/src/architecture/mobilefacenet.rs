//! MobileFaceNet (arXiv:1804.07573, table 1).
//!
//! A 3x3 convolution of stride 2 and a depthwise one, five groups of bottlenecks, a 1x1 convolution, one depthwise
//! convolution over the whole remaining map and a 1x1 convolution to the feature; every convolution is followed by
//! batch normalisation.

use super::Settings;
use super::assembly::{Assembly, one_by_one, three_by_three};
use crate::{Convolution, Init, Network, Source};

const INIT: Init = Init::KaimingFanOut;

/// Equal bottlenecks after each other; only the first has the stride.
struct Group {
    expansion: usize,
    channels: usize,
    bottlenecks: usize,
    stride: usize,
}

pub(super) fn network(settings: &Settings) -> Network {
    let [early, late, last] = settings.channels[..] else {
        unreachable!("the number of channels is checked against the family's");
    };
    let groups = [
        Group { expansion: 2, channels: early, bottlenecks: 5, stride: 2 },
        Group { expansion: 4, channels: late, bottlenecks: 1, stride: 2 },
        Group { expansion: 2, channels: late, bottlenecks: 6, stride: 1 },
        Group { expansion: 4, channels: late, bottlenecks: 1, stride: 2 },
        Group { expansion: 2, channels: late, bottlenecks: 2, stride: 1 },
    ];
    let mut assembly = Assembly::new();
    let mut current = activated(&mut assembly, "stem", three_by_three(early, 2, INIT), Source::Image);
    current = activated(&mut assembly, "stem_depthwise", depthwise(early, 1), current);
    let mut sides = settings.input.map(|side| side.div_ceil(2));
    let mut inputs = early;
    let mut index = 0;
    for group in groups {
        for position in 0..group.bottlenecks {
            let stride = if position == 0 { group.stride } else { 1 };
            let name = format!("bottleneck{index}");
            current = bottleneck(&mut assembly, &name, &group, inputs, stride, current);
            inputs = group.channels;
            index += 1;
        }
        sides = sides.map(|side| side.div_ceil(group.stride));
    }
    current = activated(&mut assembly, "last", one_by_one(last, 1, INIT), current);
    let whole = Convolution { kernel: sides, padding: 0, ..depthwise(last, 1) };
    current = normalised(&mut assembly, "global", whole, current);
    current = assembly.dropout("dropout", settings.dropout, current);
    normalised(&mut assembly, "feature", one_by_one(settings.feature, 1, INIT), current);
    assembly.finish("mobilefacenet".to_owned(), settings.input)
}

/// 1x1 convolution to `expansion` times the channels, 3x3 depthwise, 1x1 back; with a shortcut where the shape stays.
fn bottleneck(
    assembly: &mut Assembly,
    name: &str,
    group: &Group,
    inputs: usize,
    stride: usize,
    input: Source,
) -> Source {
    let expanded = inputs * group.expansion;
    let mut branch = activated(assembly, &format!("{name}.expand"), one_by_one(expanded, 1, INIT), input);
    branch = activated(assembly, &format!("{name}.depthwise"), depthwise(expanded, stride), branch);
    branch = normalised(assembly, &format!("{name}.project"), one_by_one(group.channels, 1, INIT), branch);
    if stride == 1 && inputs == group.channels {
        branch = assembly.add(format!("{name}.add"), input, branch);
    }
    branch
}

fn depthwise(channels: usize, stride: usize) -> Convolution {
    Convolution { groups: channels, ..three_by_three(channels, stride, INIT) }
}

fn normalised(assembly: &mut Assembly, name: &str, convolution: Convolution, input: Source) -> Source {
    let output = assembly.convolution(format!("{name}.conv"), convolution, input);
    assembly.batch_norm(format!("{name}.bn"), output)
}

fn activated(assembly: &mut Assembly, name: &str, convolution: Convolution, input: Source) -> Source {
    let output = normalised(assembly, name, convolution, input);
    assembly.prelu(format!("{name}.prelu"), output)
}
