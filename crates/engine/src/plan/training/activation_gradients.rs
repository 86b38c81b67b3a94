//! Where the gradients of activations lie.

use net::{Network, Op, Shape, Source};

use super::{Planned, backward_step};
use crate::gemm::Store;
use crate::kernels::convolution::{self, Method, Weights};
use crate::plan::arena::{Layout, Value};
use crate::plan::fusion;
use crate::plan::node::Kind;
use crate::pool::Pool;
use crate::precision::Precision;

/// Decides where every gradient of an activation lies, from the last node to the first.
///
/// A sum hands its gradient to both summands unchanged. The earlier one takes over the memory; the other reads
/// the same memory where that is safe, and gets a copy where it is not: see [`may_share`]. Normalisations and rectifiers
/// overwrite the gradient that comes in with the one that goes out, unless summands share it.
pub(super) fn plan(
    (pool, precision): (&Pool, Precision),
    network: &Network,
    shapes: &[Shape],
    batch: usize,
    (layout, formats): (&mut Layout, &[Precision]),
    nodes: &mut [Planned],
) {
    let count = nodes.len();
    // Gradients that two summands read, which neither may overwrite.
    let mut shared: Vec<Value> = Vec::new();
    if let Some(last) = nodes.last_mut() {
        last.d_output = Some(layout.value(batch * shapes[count - 1].elements(), count));
    }
    for index in (0..count).rev() {
        let Some(d_output) = nodes[index].d_output else { continue };
        let step = backward_step(count, index);
        layout.touch(d_output, step);
        if let Some(leader) =
            index.checked_sub(1).filter(|&node| nodes[node].followers.rectifier == Some(index))
        {
            nodes[leader].d_output = Some(d_output);
            continue;
        }
        let inputs = &network.nodes[index].inputs;
        if let Some(layer) = takes_pending((pool, precision), network, nodes, index) {
            let pending = layout.value(3 * shapes[index].channels, step);
            let kept = [pending, nodes[layer].output];
            let after = backward_step(count, layer);
            kept.into_iter()
                .chain(nodes[index].moments.into_iter().flatten())
                .for_each(|value| layout.touch(value, after));
            nodes[index].pending = Some(pending);
            nodes[index].d_sources = vec![None];
            nodes[layer].d_output = Some(d_output);
            continue;
        }
        let may_overwrite =
            matches!(network.nodes[index].op, Op::BatchNorm(_) | Op::PRelu(_)) && !shared.contains(&d_output);
        let mut d_sources = vec![None; inputs.len()];
        let mut order: Vec<usize> = (0..inputs.len()).collect();
        order.sort_by_key(|&input| match inputs[input] {
            Source::Image => 0,
            Source::Node(node) => node,
        });
        for (rank, &input) in order.iter().enumerate() {
            let Source::Node(source) = inputs[input] else { continue };
            let share = matches!(network.nodes[index].op, Op::Add)
                && nodes[source].d_output.is_none()
                && may_share(network, index, inputs, rank, source);
            if share {
                nodes[source].d_output = Some(d_output);
                shared.push(d_output);
                continue;
            }
            d_sources[input] = Some(match nodes[source].d_output {
                Some(value) => {
                    layout.touch(value, step);
                    (value, Store::Add)
                }
                None if may_overwrite => {
                    nodes[source].d_output = Some(d_output);
                    (d_output, Store::Replace)
                }
                None => {
                    let value = layout.value_in(formats[source], batch * shapes[source].elements(), step);
                    nodes[source].d_output = Some(value);
                    (value, Store::Replace)
                }
            });
        }
        nodes[index].d_sources = d_sources;
    }
}

/// The layer that is to write the gradient of the normalisation `index`, its only reader, as it reads it: one whose two
/// gradients come from one walk over the rows, and which does not add to the very gradient that it reads.
fn takes_pending(
    (pool, precision): (&Pool, Precision),
    network: &Network,
    nodes: &[Planned],
    index: usize,
) -> Option<usize> {
    let layer = index.checked_sub(1).filter(|&layer| fusion::only_reader(network, layer) == Some(index))?;
    let (Op::BatchNorm(_), Op::Convolution(settings)) = (&network.nodes[index].op, &network.nodes[layer].op)
    else {
        return None;
    };
    let (geometry, kind) = nodes[layer].geometry?;
    let method = Method::of(pool, &geometry, Weights::Changing, precision);
    let walks_once = kind == Kind::Depthwise || convolution::is_dense(pool, method, &geometry);
    let taken = walks_once && !settings.bias;
    let reads_own = match network.nodes[layer].inputs[0] {
        Source::Node(source) => nodes[source].d_output == nodes[index].d_output,
        Source::Image => false,
    };
    (taken && !reads_own).then_some(layer)
}

/// Whether summand `source`, the `rank`-th by position of the sum `index`, may use the sum's gradient as its own.
///
/// The earlier summand owns that memory from then on: its other readers will add to it. The later one may only
/// read it, and must have done so before: each of those readers must come before it, and it may not be one of
/// them. Nor may it have other readers of its own, or be a sum, which would hand the memory on.
fn may_share(network: &Network, index: usize, inputs: &[Source], rank: usize, source: usize) -> bool {
    if inputs[0] == inputs[1] {
        return false;
    }
    let other = if inputs[0] == Source::Node(source) { inputs[1] } else { inputs[0] };
    let Source::Node(earlier) = other else { return true };
    if rank == 0 {
        return true;
    }
    let readers = |node: usize| {
        let reads = move |reader: &usize| network.nodes[*reader].inputs.contains(&Source::Node(node));
        (0..network.nodes.len()).filter(reads).filter(move |&reader| reader != index)
    };
    readers(earlier).all(|reader| reader < source)
        && readers(source).next().is_none()
        && !matches!(network.nodes[source].op, Op::Add)
}
