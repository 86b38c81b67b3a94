//! A network being put together, node after node.

use crate::{BatchNorm, Convolution, Dropout, Init, Input, Linear, Network, Node, Op, PRelu, Source};

/// Nodes so far. Every method appends one node and returns it as a source.
pub(super) struct Assembly {
    nodes: Vec<Node>,
}

impl Assembly {
    pub(super) fn new() -> Assembly {
        Assembly { nodes: Vec::new() }
    }

    pub(super) fn finish(self, name: String, [height, width]: [usize; 2]) -> Network {
        Network { name, input: Input { height, width }, nodes: self.nodes }
    }

    fn push(&mut self, name: impl Into<String>, op: Op, inputs: Vec<Source>) -> Source {
        self.nodes.push(Node { name: name.into(), op, inputs });
        Source::Node(self.nodes.len() - 1)
    }

    pub(super) fn convolution(
        &mut self,
        name: impl Into<String>,
        convolution: Convolution,
        input: Source,
    ) -> Source {
        self.push(name, Op::Convolution(convolution), vec![input])
    }

    /// Batch normalisation with PyTorch's defaults, which all published networks here keep.
    pub(super) fn batch_norm(&mut self, name: impl Into<String>, input: Source) -> Source {
        self.push(name, Op::BatchNorm(BatchNorm { epsilon: 1e-5, momentum: 0.1 }), vec![input])
    }

    /// PReLU whose slopes start at 0.25, as in arXiv:1502.01852, Caffe and PyTorch.
    pub(super) fn prelu(&mut self, name: impl Into<String>, input: Source) -> Source {
        self.push(name, Op::PRelu(PRelu { init: 0.25 }), vec![input])
    }

    pub(super) fn add(&mut self, name: impl Into<String>, left: Source, right: Source) -> Source {
        self.push(name, Op::Add, vec![left, right])
    }

    /// Dropout, or no node at all when nothing is dropped.
    pub(super) fn dropout(&mut self, name: impl Into<String>, probability: f32, input: Source) -> Source {
        if probability == 0.0 {
            return input;
        }
        self.push(name, Op::Dropout(Dropout { probability }), vec![input])
    }

    /// Fully connected layer with bias.
    pub(super) fn linear(
        &mut self,
        name: impl Into<String>,
        out_features: usize,
        init: Init,
        input: Source,
    ) -> Source {
        self.push(name, Op::Linear(Linear { out_features, bias: true, init }), vec![input])
    }
}

/// A 3x3 convolution that keeps height and width at stride 1, without bias.
pub(super) fn three_by_three(out_channels: usize, stride: usize, init: Init) -> Convolution {
    Convolution { out_channels, kernel: [3, 3], stride, padding: 1, groups: 1, bias: false, init }
}

/// A 1x1 convolution without bias.
pub(super) fn one_by_one(out_channels: usize, stride: usize, init: Init) -> Convolution {
    Convolution { out_channels, kernel: [1, 1], stride, padding: 0, groups: 1, bias: false, init }
}
