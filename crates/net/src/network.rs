//! A network as data: nodes in execution order over an image of three channels.

use serde::{Deserialize, Serialize};

use crate::{NetworkError, Op, Parameter, Shape, check, parameter};

/// A network: every node reads the image or earlier nodes, and the last node is the feature, a vector.
///
/// The fields are plain data, so a `Network` can be written down that makes no sense; [`Network::check`] says so.
/// The architectures of this crate and the networks of model files are always checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// What a report calls it, for example `sphereface20`.
    pub name: String,
    /// The image it takes.
    pub input: Input,
    /// The nodes in execution order.
    pub nodes: Vec<Node>,
}

/// Size of the input image, which always has three channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

impl Input {
    /// Channels of every input image.
    pub const CHANNELS: usize = 3;
}

/// One operation with a name and the sources it reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Unique name; the node's parameters are called `name.weight`, `name.bias` and so on.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads: as many sources as [`Op::arity`] says.
    pub inputs: Vec<Source>,
}

/// Where a node finds an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The normalised input image.
    Image,
    /// The output of an earlier node, by index.
    Node(usize),
}

impl Network {
    /// Checks names, sources, settings and shapes.
    ///
    /// # Errors
    /// The first thing that is wrong, with the node it is wrong in.
    pub fn check(&self) -> Result<(), NetworkError> {
        check::infer_shapes(self).map(|_| ())
    }

    /// The output shape of every node.
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn shapes(&self) -> Vec<Shape> {
        match check::infer_shapes(self) {
            Ok(shapes) => shapes,
            Err(error) => panic!("shapes of an unchecked network: {error}"),
        }
    }

    /// The shape a source delivers, given the network's [`shapes`](Network::shapes).
    ///
    /// # Panics
    /// If the source is a node that `shapes` does not cover.
    pub fn shape_of(&self, source: Source, shapes: &[Shape]) -> Shape {
        match source {
            Source::Image => self.image_shape(),
            Source::Node(index) => shapes[index],
        }
    }

    /// The shape of the input image.
    pub fn image_shape(&self) -> Shape {
        Shape { height: self.input.height, width: self.input.width, channels: Input::CHANNELS }
    }

    /// Every named parameter, node by node.
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn parameters(&self) -> Vec<Parameter> {
        parameter::parameters(self)
    }

    /// Length of the feature vector.
    ///
    /// # Panics
    /// If the network does not pass [`Network::check`].
    pub fn feature_dimension(&self) -> usize {
        self.shapes().last().map_or(0, Shape::elements)
    }
}
