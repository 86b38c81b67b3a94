//! Which nodes a step does on the way, so that what lies between them never reaches memory.

use net::{Network, Op, Source};

/// The nodes right after one that its step does as well: a rectifier, then a sum with something that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Followers {
    pub(super) rectifier: Option<usize>,
    pub(super) sum: Option<Sum>,
}

/// A sum of a step's output with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) node: usize,
    pub(super) other: Source,
}

impl Followers {
    /// What follows node `index`: each follower is the next node and the only reader of what is before it.
    pub(super) fn of(network: &Network, index: usize) -> Followers {
        let mut last = index;
        let mut followers = Followers::default();
        if matches!(network.nodes[index].op, Op::Convolution(_) | Op::Linear(_) | Op::BatchNorm(_))
            && let Some(next) = only_reader(network, last)
            && matches!(network.nodes[next].op, Op::PRelu(_))
        {
            followers.rectifier = Some(next);
            last = next;
        }
        if let Some(next) = only_reader(network, last)
            && matches!(network.nodes[next].op, Op::Add)
        {
            let inputs = &network.nodes[next].inputs;
            let other = if inputs[0] == Source::Node(last) { inputs[1] } else { inputs[0] };
            let is_there = match other {
                Source::Image => true,
                Source::Node(other) => other < index,
            };
            followers.sum = is_there.then_some(Sum { node: next, other });
        }
        followers
    }

    /// The nodes after `index` that its step does.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> {
        self.rectifier.into_iter().chain(self.sum.map(|sum| sum.node))
    }
}

/// The node after `index`, if it alone reads `index`.
pub(super) fn only_reader(network: &Network, index: usize) -> Option<usize> {
    let readers = |node: usize| network.nodes[node].inputs.contains(&Source::Node(index));
    let next = index + 1;
    let only = next < network.nodes.len()
        && readers(next)
        && (next + 1..network.nodes.len()).all(|node| !readers(node));
    only.then_some(next)
}

/// Whether the node after `index` normalises its output, so that statistics can be taken on the way.
pub(super) fn is_normalised(network: &Network, index: usize) -> bool {
    network
        .nodes
        .get(index + 1)
        .is_some_and(|next| matches!(next.op, Op::BatchNorm(_)) && next.inputs.contains(&Source::Node(index)))
}
