//! What a network costs: parameters, arithmetic, memory.

use serde::Serialize;

use crate::{Network, Op};

/// Cost of a network, and of training it at a batch size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Trained values: weights, biases, slopes, scales and shifts.
    pub parameters: u64,
    /// Followed but not trained values: running means and variances.
    pub statistics: u64,
    /// Multiply-adds of convolutions and linear layers for one image; the other operations are not counted, as is
    /// usual in papers.
    pub multiply_adds: u64,
    /// Values that all nodes put out for one image.
    pub activations: u64,
    /// Values of the largest output of one node for one image.
    pub largest_activation: u64,
    /// Length of the feature.
    pub feature_dimension: u64,
}

/// How activations are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Four bytes for a value.
    F32,
    /// Two bytes for a value.
    Bf16,
}

impl Storage {
    /// Bytes of one value.
    pub fn bytes(self) -> u64 {
        match self {
            Storage::F32 => 4,
            Storage::Bf16 => 2,
        }
    }
}

/// Bytes needed to train, part by part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainingMemory {
    /// Weights and running statistics in f32.
    pub weights: u64,
    /// One gradient for each trained value in f32.
    pub gradients: u64,
    /// One momentum for each trained value in f32.
    pub momentum: u64,
    /// The output of every node for a whole batch, kept for the backward pass. An engine that fuses operations keeps
    /// less.
    pub activations: u64,
    /// The class centres and their momentum.
    pub head: u64,
}

impl TrainingMemory {
    /// The sum of all parts.
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.momentum + self.activations + self.head
    }
}

impl Cost {
    /// Counts a network.
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn of(network: &Network) -> Cost {
        let shapes = network.shapes();
        let (mut parameters, mut statistics) = (0, 0);
        for parameter in network.parameters() {
            let count = if parameter.role.is_trained() { &mut parameters } else { &mut statistics };
            *count += parameter.elements() as u64;
        }
        let mut multiply_adds = 0;
        for (node, output) in network.nodes.iter().zip(&shapes) {
            let input = network.shape_of(node.inputs[0], &shapes);
            let per_output = match &node.op {
                Op::Convolution(convolution) => {
                    input.channels / convolution.groups * convolution.kernel[0] * convolution.kernel[1]
                }
                Op::Linear(_) => input.elements(),
                _ => 0,
            };
            multiply_adds += output.elements() as u64 * per_output as u64;
        }
        let elements = shapes.iter().map(|shape| shape.elements() as u64);
        Cost {
            parameters,
            statistics,
            multiply_adds,
            activations: elements.clone().sum(),
            largest_activation: elements.max().unwrap_or(0),
            feature_dimension: network.feature_dimension() as u64,
        }
    }

    /// Bytes of the class centres and of their momentum, both in f32: `2 x 4 classes dimension`.
    pub fn head_bytes(&self, classes: u64) -> u64 {
        2 * 4 * classes * self.feature_dimension
    }

    /// Bytes needed to train with a batch of `batch` images and `classes` people.
    pub fn training_memory(&self, batch: u64, classes: u64, storage: Storage) -> TrainingMemory {
        TrainingMemory {
            weights: 4 * (self.parameters + self.statistics),
            gradients: 4 * self.parameters,
            momentum: 4 * self.parameters,
            activations: batch * self.activations * storage.bytes(),
            head: self.head_bytes(classes),
        }
    }
}
