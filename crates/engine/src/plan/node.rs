//! What the steps of both kinds of plan know of a node.

use net::{Network, Node, Op, Role, Shape};

use crate::kernels::Geometry;
use crate::parameters::{Entry, Parameters};

/// How a node's convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Full,
    Depthwise,
    /// A number of groups that is neither one nor that of the channels.
    Grouped(usize),
}

/// The convolution of a node, linear layers included.
pub(super) fn geometry(
    network: &Network,
    shapes: &[Shape],
    index: usize,
    images: usize,
) -> Option<(Geometry, Kind)> {
    let node = &network.nodes[index];
    let source = network.shape_of(node.inputs[0], shapes);
    let target = shapes[index];
    match &node.op {
        Op::Convolution(convolution) => {
            let (kernel, stride, padding) = (convolution.kernel, convolution.stride, convolution.padding);
            let geometry = Geometry { images, source, target, kernel, stride, padding };
            let depthwise = convolution.groups == source.channels && target.channels == source.channels;
            let kind = match convolution.groups {
                1 => Kind::Full,
                _ if depthwise => Kind::Depthwise,
                groups => Kind::Grouped(groups),
            };
            Some((geometry, kind))
        }
        Op::Linear(_) => {
            let kernel = [source.height, source.width];
            Some((Geometry { images, source, target, kernel, stride: 1, padding: 0 }, Kind::Full))
        }
        _ => None,
    }
}

/// The values of a node's parameter, if it has one of this role.
pub(super) fn parameter<'a>(
    entries: &[Entry],
    values: &'a [f32],
    node: usize,
    role: Role,
) -> Option<&'a [f32]> {
    let entry = entries.iter().find(|entry| entry.node == node && entry.role == role)?;
    Some(&values[entry.range.clone()])
}

/// As [`parameter`], for a parameter that every node of this operation has.
pub(super) fn required<'a>(entries: &[Entry], values: &'a [f32], node: usize, role: Role) -> &'a [f32] {
    match parameter(entries, values, node, role) {
        Some(values) => values,
        None => panic!("node {node} has no {role:?}: the parameters belong to another network"),
    }
}

/// The name of each parameter that a network has, and its elements.
#[derive(Debug)]
pub(super) struct Expected(Vec<(String, usize)>);

impl Expected {
    pub(super) fn of(network: &Network) -> Expected {
        let named = network.parameters().into_iter().map(|parameter| {
            let elements = parameter.elements();
            (parameter.name, elements)
        });
        Expected(named.collect())
    }

    /// # Panics
    /// When the parameters were not made for the network, which is named so.
    pub(super) fn check(&self, network: &str, parameters: &Parameters) {
        let entries = parameters.entries();
        let same = self.0.len() == entries.len()
            && self
                .0
                .iter()
                .zip(entries)
                .all(|((name, elements), entry)| *name == entry.name && *elements == entry.range.len());
        assert!(same, "the parameters belong to another network than {network}");
    }
}

/// Floats of partial sums that the widest reduction of the network needs.
pub(super) fn partials_len(network: &Network, shapes: &[Shape]) -> usize {
    let widest = |node: &Node, shape: &Shape| match &node.op {
        Op::Convolution(convolution) if convolution.groups > 1 => {
            (convolution.kernel.iter().product::<usize>() + 3) * shape.channels
        }
        _ => 3 * shape.channels,
    };
    let width = network.nodes.iter().zip(shapes).map(|(node, shape)| widest(node, shape)).max().unwrap_or(0);
    (crate::kernels::column::PARTS + 2) * width
}
