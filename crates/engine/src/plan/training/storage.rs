//! Which activations and gradients a step in bf16 keeps in bf16: large ones, where all that write or read them can.

use net::{Network, Op, Shape, Source};

use crate::kernels::convolution::{self, Algorithm, Method, Weights};
use crate::plan::fusion::{self, Followers};
use crate::plan::node::{self, Kind};
use crate::pool::Pool;
use crate::precision::Precision;

/// Numbers of a value from which on its bytes cost more than rounding it.
pub(super) const LARGE: usize = 512 * 1024;

/// The formats of a network's values.
pub(super) struct Storage {
    /// Of the output of each node's step.
    pub(super) outputs: Vec<Precision>,
    /// Of the gradient of each node's output, where it is a value of its own.
    pub(super) gradients: Vec<Precision>,
}

impl Storage {
    /// In `stored` for values of `least` numbers and more, with products in `precision`.
    pub(super) fn of(
        (pool, precision): (&Pool, Precision),
        stored: Precision,
        network: &Network,
        shapes: &[Shape],
        (batch, least): (usize, usize),
    ) -> Storage {
        let count = network.nodes.len();
        let mut storage =
            Storage { outputs: vec![Precision::F32; count], gradients: vec![Precision::F32; count] };
        if stored == Precision::F32 {
            return storage;
        }
        let nodes = Nodes { pool, precision, network, shapes, batch, readers: readers(network) };
        let is_large =
            |index: usize| batch * shapes[index].elements() >= least && !nodes.readers[index].is_empty();
        let accepts: Vec<bool> = nodes.accept_gradients();
        for index in (0..count).filter(|&index| is_large(index)) {
            if let Some(last) = nodes.writes_output(index)
                && nodes.readers[last].iter().all(|&reader| nodes.reads_output(reader))
            {
                storage.outputs[index] = stored;
            }
            if accepts[index] {
                storage.gradients[index] = stored;
            }
        }
        storage
    }
}

/// The nodes that read each node.
fn readers(network: &Network) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); network.nodes.len()];
    for (reader, node) in network.nodes.iter().enumerate() {
        for &input in &node.inputs {
            if let Source::Node(index) = input {
                readers[index].push(reader);
            }
        }
    }
    readers
}

struct Nodes<'a> {
    pool: &'a Pool,
    precision: Precision,
    network: &'a Network,
    shapes: &'a [Shape],
    batch: usize,
    readers: Vec<Vec<usize>>,
}

impl Nodes<'_> {
    fn op(&self, index: usize) -> &Op {
        &self.network.nodes[index].op
    }

    /// The kind of a convolution, how it is computed, and whether both passes take bf16.
    fn convolution(&self, index: usize) -> Option<(Kind, Algorithm, bool)> {
        let (geometry, kind) = node::geometry(self.network, self.shapes, index, self.batch)?;
        let method = Method::of(self.pool, &geometry, Weights::Changing, self.precision);
        let takes_bf16 = match kind {
            Kind::Full => convolution::takes_bf16(self.pool, method, &geometry),
            Kind::Depthwise => true,
            Kind::Grouped(_) => false,
        };
        Some((kind, method.algorithm, takes_bf16))
    }

    /// The node before it whose step does this one.
    fn follows(&self, index: usize) -> Option<usize> {
        (index.saturating_sub(2)..index).find(|&leader| {
            matches!(self.op(leader), Op::BatchNorm(_) | Op::PRelu(_))
                && Followers::of(self.network, leader).nodes().any(|node| node == index)
        })
    }

    /// The last node whose output is that of the step of this one, if that step can round it.
    fn writes_output(&self, index: usize) -> Option<usize> {
        match self.op(index) {
            Op::Convolution(_) => match self.convolution(index)? {
                (Kind::Full, Algorithm::Direct, _) | (.., true) => Some(index),
                _ => None,
            },
            Op::BatchNorm(_) | Op::PRelu(_) if self.follows(index).is_none() => {
                Some(Followers::of(self.network, index).nodes().last().unwrap_or(index))
            }
            _ => None,
        }
    }

    /// Whether this node can read a rounded input, in both passes.
    fn reads_output(&self, index: usize) -> bool {
        match self.op(index) {
            Op::Convolution(_) => match self.convolution(index) {
                Some((Kind::Depthwise, ..)) => fusion::is_normalised(self.network, index),
                Some((.., takes_bf16)) => takes_bf16,
                None => false,
            },
            Op::BatchNorm(_) | Op::PRelu(_) => true,
            Op::Add => self.follows(index).is_some(),
            _ => false,
        }
    }

    /// For each node whether the gradient of its output may be rounded: by all that write it, the nodes' readers, and for all
    /// that read it, the node or those to which a sum or a normalisation hands it on.
    fn accept_gradients(&self) -> Vec<bool> {
        let mut accept: Vec<bool> = Vec::with_capacity(self.network.nodes.len());
        for index in 0..self.network.nodes.len() {
            let handed_on = || {
                self.network.nodes[index].inputs.iter().all(|&input| match input {
                    Source::Image => true,
                    Source::Node(source) => accept[source],
                })
            };
            let reads = match self.op(index) {
                Op::Convolution(_) => self.convolution(index).is_some_and(|(.., takes_bf16)| takes_bf16),
                Op::BatchNorm(_) | Op::PRelu(_) | Op::Add => handed_on(),
                _ => false,
            };
            let written = self.readers[index].iter().all(|&reader| match self.op(reader) {
                Op::Convolution(_) => self.convolution(reader).is_some_and(|(.., takes_bf16)| takes_bf16),
                Op::BatchNorm(_) | Op::PRelu(_) | Op::Add => true,
                _ => false,
            });
            accept.push(reads && written);
        }
        accept
    }
}
