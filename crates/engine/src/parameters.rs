//! A network's parameters in the order and layout that the kernels read.

use std::ops::Range;

use net::{Network, Op, Role, Tensor, Weights, WeightsError};

use crate::buffer::Buffer;

/// Where each parameter of a network lies in one flat buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name in weight files.
    pub name: String,
    /// Index of its node.
    pub node: usize,
    /// What it is for.
    pub role: Role,
    /// Its elements, in the trained values or, for running statistics, in the statistics.
    pub range: Range<usize>,
    /// Its sides in files.
    shape: Vec<usize>,
    /// How the file's order becomes the kernels' order.
    order: Order,
}

/// Weights lie `[outputs][inputs][taps]` in files and `[taps][inputs][outputs]` here, so that a row of the
/// kernels' products runs over output channels. Vectors have one input and one tap.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Order {
    outputs: usize,
    inputs: usize,
    taps: usize,
}

/// Every parameter of one network: trained values and running statistics, each in one flat buffer.
#[derive(Debug)]
pub struct Parameters {
    entries: Vec<Entry>,
    trained: Buffer,
    statistics: Buffer,
}

/// Entries start on a cache line.
const ALIGNMENT: usize = 16;

impl Parameters {
    /// Takes over the weights of a network.
    ///
    /// # Errors
    /// When `weights` are not exactly the network's parameters.
    ///
    /// # Panics
    /// When the network does not pass [`Network::check`].
    pub fn from_weights(network: &Network, weights: &Weights) -> Result<Parameters, WeightsError> {
        weights.check(network)?;
        let (entries, trained, statistics) = entries(network);
        let mut parameters =
            Parameters { entries, trained: Buffer::zeros(trained), statistics: Buffer::zeros(statistics) };
        for index in 0..parameters.entries.len() {
            let entry = &parameters.entries[index];
            let Some(tensor) = weights.get(&entry.name) else {
                unreachable!("checked weights have every parameter of their network");
            };
            let (order, range, role) = (entry.order, entry.range.clone(), entry.role);
            let target = &mut parameters.buffer_mut(role).as_mut_slice()[range];
            order.each(|here, file| target[here] = tensor.values[file]);
        }
        Ok(parameters)
    }

    /// The parameters by name, in the layout of files.
    #[must_use]
    pub fn to_weights(&self) -> Weights {
        self.named(self.trained(), self.statistics())
    }

    /// Flat values of [`Parameters::trained`]'s order, such as momenta, by name in the layout of files.
    ///
    /// # Panics
    /// When `values` has another length.
    #[must_use]
    pub fn trained_to_weights(&self, values: &[f32]) -> Weights {
        assert_eq!(values.len(), self.trained.as_slice().len(), "flat values of another network");
        let mut weights = self.named(values, self.statistics());
        for entry in self.entries.iter().filter(|entry| !entry.role.is_trained()) {
            weights.0.remove(&entry.name);
        }
        weights
    }

    /// The inverse of [`Parameters::trained_to_weights`].
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn trained_from_weights(&self, weights: &Weights) -> Result<Vec<f32>, WeightsError> {
        let mut values = vec![0.0; self.trained.as_slice().len()];
        for entry in self.entries.iter().filter(|entry| entry.role.is_trained()) {
            let tensor = weights.get(&entry.name).ok_or_else(|| WeightsError::Missing {
                name: entry.name.clone(),
                shape: entry.shape.clone(),
            })?;
            if tensor.shape != entry.shape {
                return Err(WeightsError::Shape {
                    name: entry.name.clone(),
                    expected: entry.shape.clone(),
                    found: tensor.shape.clone(),
                });
            }
            let target = &mut values[entry.range.clone()];
            entry.order.each(|here, file| target[here] = tensor.values[file]);
        }
        Ok(values)
    }

    fn named(&self, trained: &[f32], statistics: &[f32]) -> Weights {
        let mut weights = Weights::default();
        for entry in &self.entries {
            let flat = if entry.role.is_trained() { trained } else { statistics };
            let source = &flat[entry.range.clone()];
            let mut values = vec![0.0; source.len()];
            entry.order.each(|here, file| values[file] = source[here]);
            weights.insert(entry.name.clone(), Tensor::new(entry.shape.clone(), values));
        }
        weights
    }

    /// Every parameter with its place.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All trained values; entries start on cache lines, with zeros between them.
    #[must_use]
    pub fn trained(&self) -> &[f32] {
        self.trained.as_slice()
    }

    /// All trained values, to be changed by an optimizer.
    pub fn trained_mut(&mut self) -> &mut [f32] {
        self.trained.as_mut_slice()
    }

    /// All running statistics.
    #[must_use]
    pub fn statistics(&self) -> &[f32] {
        self.statistics.as_slice()
    }

    fn buffer_mut(&mut self, role: Role) -> &mut Buffer {
        if role.is_trained() { &mut self.trained } else { &mut self.statistics }
    }

    /// Entries and trained values beside the statistics that a training step follows.
    pub(crate) fn split(&mut self) -> (&[Entry], &[f32], &mut [f32]) {
        (&self.entries, self.trained.as_slice(), self.statistics.as_mut_slice())
    }
}

impl Order {
    fn each(self, mut visit: impl FnMut(usize, usize)) {
        for tap in 0..self.taps {
            for input in 0..self.inputs {
                let here = (tap * self.inputs + input) * self.outputs;
                for output in 0..self.outputs {
                    visit(here + output, (output * self.inputs + input) * self.taps + tap);
                }
            }
        }
    }
}

fn entries(network: &Network) -> (Vec<Entry>, usize, usize) {
    let shapes = network.shapes();
    let (mut trained, mut statistics) = (0, 0);
    let entries = network
        .parameters()
        .into_iter()
        .map(|parameter| {
            let end = if parameter.role.is_trained() { &mut trained } else { &mut statistics };
            let len = parameter.elements();
            let range = *end..*end + len;
            *end = range.end.next_multiple_of(ALIGNMENT);
            let node = &network.nodes[parameter.node];
            let input = network.shape_of(node.inputs[0], &shapes);
            let order = match (&node.op, parameter.role) {
                (Op::Convolution(convolution), Role::Weight) => Order {
                    outputs: convolution.out_channels,
                    inputs: input.channels / convolution.groups,
                    taps: convolution.kernel.iter().product(),
                },
                (Op::Linear(linear), Role::Weight) => {
                    Order { outputs: linear.out_features, inputs: input.channels, taps: input.positions() }
                }
                _ => Order { outputs: len, inputs: 1, taps: 1 },
            };
            Entry {
                name: parameter.name,
                node: parameter.node,
                role: parameter.role,
                range,
                shape: parameter.shape,
                order,
            }
        })
        .collect();
    (entries, trained, statistics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{Convolution, Init, Input, Linear, Node, Source};

    fn network() -> Network {
        let init = Init::Gaussian { deviation: 0.5 };
        let node = |name: &str, op, input| Node { name: name.to_owned(), op, inputs: vec![input] };
        let convolution = Convolution {
            out_channels: 4,
            kernel: [3, 2],
            stride: 1,
            padding: 1,
            groups: 1,
            bias: true,
            init,
        };
        let linear = Linear { out_features: 5, bias: true, init };
        Network {
            name: "small".to_owned(),
            input: Input { height: 5, width: 6 },
            nodes: vec![
                node("conv", Op::Convolution(convolution), Source::Image),
                node("fc", Op::Linear(linear), Source::Node(0)),
            ],
        }
    }

    #[test]
    fn weights_survive_the_kernels_layout_and_lie_where_it_says() {
        let network = network();
        let weights = net::initialise(&network, 3);
        let parameters = Parameters::from_weights(&network, &weights).unwrap();
        assert_eq!(parameters.to_weights(), weights);
        let entry = &parameters.entries()[0];
        let file = &weights.get("conv.weight").unwrap().values;
        // Output 3, input 2, row 1, column 1 of a 4 x 3 x 3 x 2 kernel.
        assert_eq!(
            parameters.trained()[entry.range.start + ((3 * 3) + 2) * 4 + 3],
            file[((3 * 3 + 2) * 3 + 1) * 2 + 1]
        );
    }

    #[test]
    fn weights_of_another_network_are_refused_by_name() {
        let network = network();
        let mut weights = net::initialise(&network, 3);
        weights.0.remove("fc.bias");
        let error = Parameters::from_weights(&network, &weights).unwrap_err();
        assert!(matches!(error, WeightsError::Missing { name, .. } if name == "fc.bias"));
    }
}
