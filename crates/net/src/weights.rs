//! Values of a network's parameters, by name.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{Network, Role};

/// An array of numbers in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its sides, slowest first.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

impl Tensor {
    /// Makes a tensor.
    ///
    /// # Panics
    /// If the number of values is not the product of the sides.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of a tensor of shape {shape:?}");
        Tensor { shape, values }
    }
}

/// Tensors by parameter name, in alphabetical order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights(pub BTreeMap<String, Tensor>);

impl Weights {
    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// The tensor of this name, to change its values.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor> {
        self.0.get_mut(name)
    }

    /// Adds a tensor, replacing one of the same name.
    pub fn insert(&mut self, name: String, tensor: Tensor) {
        self.0.insert(name, tensor);
    }

    /// All tensors in alphabetical order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that these are exactly the network's parameters, of the right shapes and finite.
    ///
    /// # Errors
    /// The first parameter that is missing, superfluous, of the wrong shape, not finite or a negative variance.
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn check(&self, network: &Network) -> Result<(), WeightsError> {
        let parameters = network.parameters();
        for parameter in &parameters {
            let name = parameter.name.clone();
            let Some(tensor) = self.get(&name) else {
                return Err(WeightsError::Missing { name, shape: parameter.shape.clone() });
            };
            if tensor.shape != parameter.shape || tensor.values.len() != parameter.elements() {
                return Err(WeightsError::Shape {
                    name,
                    expected: parameter.shape.clone(),
                    found: tensor.shape.clone(),
                });
            }
            if let Some(index) = tensor.values.iter().position(|value| !value.is_finite()) {
                return Err(WeightsError::NotFinite { name, index, value: tensor.values[index] });
            }
            if parameter.role == Role::RunningVariance
                && let Some(index) = tensor.values.iter().position(|value| *value < 0.0)
            {
                return Err(WeightsError::NegativeVariance { name, index, value: tensor.values[index] });
            }
        }
        if self.len() > parameters.len() {
            let known: BTreeSet<&str> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
            if let Some((name, _)) = self.iter().find(|(name, _)| !known.contains(name)) {
                return Err(WeightsError::Extra { name: name.to_owned() });
            }
        }
        Ok(())
    }
}

/// Why weights do not belong to a network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum WeightsError {
    /// The network has a parameter that the weights lack.
    #[error("no tensor for the network's parameter of shape {shape:?}: {name}")]
    Missing {
        /// Name of the parameter.
        name: String,
        /// Its shape in the network.
        shape: Vec<usize>,
    },
    /// The weights have a tensor that the network does not know.
    #[error("tensor that the network does not have: {name}")]
    Extra {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor has other sides than the network's parameter.
    #[error("tensor {name} must have shape {expected:?}: {found:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the network.
        expected: Vec<usize>,
        /// Shape of the tensor.
        found: Vec<usize>,
    },
    /// A value is infinite or not a number.
    #[error("tensor {name} is not finite at index {index}: {value}")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// Index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A running variance is negative.
    #[error("tensor {name} is a variance and negative at index {index}: {value}")]
    NegativeVariance {
        /// Name of the tensor.
        name: String,
        /// Index of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
}
