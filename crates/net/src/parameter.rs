//! Named parameters of a network.

use crate::{Init, Network, Op};

/// One named array of numbers that a network needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name in weight files: the node's name, a dot, and the role's suffix.
    pub name: String,
    /// Index of the node it belongs to.
    pub node: usize,
    /// What it is for.
    pub role: Role,
    /// Its sides in PyTorch's layout: convolution `[out, in / groups, height, width]`, linear `[out, in]` with the
    /// input flattened in channel, height, width order, everything else `[channels]`.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
}

impl Parameter {
    /// Number of values.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What a parameter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Weight of a convolution or a linear layer.
    Weight,
    /// Bias of a convolution or a linear layer.
    Bias,
    /// Negative slopes of a PReLU.
    Slope,
    /// Scale of a batch normalisation or of an affine node.
    Gamma,
    /// Shift of a batch normalisation or of an affine node.
    Beta,
    /// Running mean of a batch normalisation.
    RunningMean,
    /// Running variance of a batch normalisation.
    RunningVariance,
}

impl Role {
    /// Whether gradient descent changes it. Running statistics are only followed.
    pub fn is_trained(self) -> bool {
        !matches!(self, Role::RunningMean | Role::RunningVariance)
    }

    /// The last part of the parameter's name, as PyTorch calls it.
    pub fn suffix(self) -> &'static str {
        match self {
            Role::Weight | Role::Slope | Role::Gamma => "weight",
            Role::Bias | Role::Beta => "bias",
            Role::RunningMean => "running_mean",
            Role::RunningVariance => "running_var",
        }
    }
}

pub(crate) fn parameters(network: &Network) -> Vec<Parameter> {
    let shapes = network.shapes();
    let mut parameters = Vec::new();
    for (index, node) in network.nodes.iter().enumerate() {
        let input = network.shape_of(node.inputs[0], &shapes);
        let mut push = |role: Role, shape: Vec<usize>, init: Init| {
            let name = format!("{}.{}", node.name, role.suffix());
            parameters.push(Parameter { name, node: index, role, shape, init });
        };
        let constant = |value| Init::Constant { value };
        match &node.op {
            Op::Convolution(convolution) => {
                let [height, width] = convolution.kernel;
                let inputs = input.channels / convolution.groups;
                push(Role::Weight, vec![convolution.out_channels, inputs, height, width], convolution.init);
                if convolution.bias {
                    push(Role::Bias, vec![convolution.out_channels], constant(0.0));
                }
            }
            Op::BatchNorm(_) => {
                push(Role::Gamma, vec![input.channels], constant(1.0));
                push(Role::Beta, vec![input.channels], constant(0.0));
                push(Role::RunningMean, vec![input.channels], constant(0.0));
                push(Role::RunningVariance, vec![input.channels], constant(1.0));
            }
            Op::PRelu(prelu) => push(Role::Slope, vec![input.channels], constant(prelu.init)),
            Op::Linear(linear) => {
                push(Role::Weight, vec![linear.out_features, input.elements()], linear.init);
                if linear.bias {
                    push(Role::Bias, vec![linear.out_features], constant(0.0));
                }
            }
            Op::Affine => {
                push(Role::Gamma, vec![input.channels], constant(1.0));
                push(Role::Beta, vec![input.channels], constant(0.0));
            }
            _ => {}
        }
    }
    parameters
}
