//! What makes a network valid, and the shapes that follow from it.

use std::collections::BTreeSet;

use thiserror::Error;

mod layers;

use crate::{Init, Network, Node, Shape, Source};

/// Most nodes a network may have; iresnet100 has 351.
pub const NODES_AT_MOST: usize = 1 << 14;
/// Largest height or width of the input image, in pixels.
pub const SIDE_AT_MOST: usize = 1 << 12;
/// Most channels of any activation.
pub const CHANNELS_AT_MOST: usize = 1 << 16;
/// Most inputs of one node.
pub const INPUTS_AT_MOST: usize = 64;
/// Largest side of a kernel.
pub const KERNEL_AT_MOST: usize = 1 << 8;
/// Most values in one parameter or in one sample's activation.
pub const ELEMENTS_AT_MOST: usize = 1 << 30;

/// Why a network is not valid.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NetworkError {
    /// There is no node to be the feature.
    #[error("network has no nodes")]
    Empty,
    /// More nodes than [`NODES_AT_MOST`].
    #[error("network has more than {NODES_AT_MOST} nodes: {nodes}")]
    TooManyNodes {
        /// Nodes found.
        nodes: usize,
    },
    /// Height or width of the image is 0 or above [`SIDE_AT_MOST`].
    #[error("input sides must be between 1 and {SIDE_AT_MOST} pixels: {height}x{width}")]
    Input {
        /// Rows asked for.
        height: usize,
        /// Columns asked for.
        width: usize,
    },
    /// A node's name is empty or has characters other than ASCII letters, digits, `_`, `-` and `.`.
    #[error("node {index} needs a name of ASCII letters, digits, `_`, `-` and `.`: {name:?}")]
    Name {
        /// Index of the node.
        index: usize,
        /// The name.
        name: String,
    },
    /// Two nodes have one name.
    #[error("two nodes have the same name: {name}")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A node has the wrong number of inputs.
    #[error("node {node} ({op}) takes {expected} inputs: {found}")]
    Arity {
        /// Name of the node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// Inputs the operation takes.
        expected: String,
        /// Inputs the node lists.
        found: usize,
    },
    /// A node reads itself, a later node or one that does not exist.
    #[error("node {node} (index {index}) may only read earlier nodes: {source_index}")]
    ForwardReference {
        /// Name of the node.
        node: String,
        /// Its index.
        index: usize,
        /// The index it reads.
        source_index: usize,
    },
    /// A setting of an operation is outside its range.
    #[error("node {node} needs {setting} {range}: {value}")]
    Setting {
        /// Name of the node.
        node: String,
        /// The setting.
        setting: &'static str,
        /// What it must be.
        range: String,
        /// What it is.
        value: String,
    },
    /// The kernel is larger than the padded input.
    #[error("node {node} has a {}x{} kernel with padding {padding} on a smaller input: {input}", kernel[0], kernel[1])]
    KernelTooLarge {
        /// Name of the node.
        node: String,
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Padding on each side.
        padding: usize,
        /// The input.
        input: Shape,
    },
    /// Two inputs of a node differ that must not.
    #[error("node {node} ({op}) cannot combine shapes: {left} and {right}")]
    UnequalShapes {
        /// Name of the node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// First input.
        left: Shape,
        /// Second input.
        right: Shape,
    },
    /// An activation or a parameter exceeds [`ELEMENTS_AT_MOST`].
    #[error("node {node} has more than {ELEMENTS_AT_MOST} values in its {what}: {elements}")]
    TooLarge {
        /// Name of the node.
        node: String,
        /// `output` or `weight`.
        what: &'static str,
        /// Values it would have.
        elements: usize,
    },
    /// A node other than the last is read by nobody.
    #[error("no node reads the output of node: {node}")]
    Unread {
        /// Name of the node.
        node: String,
    },
    /// The last node is not a vector.
    #[error("last node {node} must be a vector, 1x1xC: {shape}")]
    FeatureIsNotAVector {
        /// Name of the node.
        node: String,
        /// Its shape.
        shape: Shape,
    },
}

/// Checks the whole network and returns the output shape of every node.
pub(crate) fn infer_shapes(network: &Network) -> Result<Vec<Shape>, NetworkError> {
    let nodes = network.nodes.len();
    if nodes > NODES_AT_MOST {
        return Err(NetworkError::TooManyNodes { nodes });
    }
    let sides = 1..=SIDE_AT_MOST;
    if !sides.contains(&network.input.height) || !sides.contains(&network.input.width) {
        return Err(NetworkError::Input { height: network.input.height, width: network.input.width });
    }
    check_names(network)?;
    let mut shapes: Vec<Shape> = Vec::with_capacity(nodes);
    let mut read = vec![false; nodes];
    for (index, node) in network.nodes.iter().enumerate() {
        check_inputs(node, index)?;
        for source in &node.inputs {
            if let Source::Node(earlier) = source {
                read[*earlier] = true;
            }
        }
        let inputs: Vec<Shape> =
            node.inputs.iter().map(|source| network.shape_of(*source, &shapes)).collect();
        shapes.push(output_shape(node, &inputs)?);
    }
    let Some((feature, last)) = shapes.last().zip(network.nodes.last()) else {
        return Err(NetworkError::Empty);
    };
    if let Some(unread) = read[..nodes - 1].iter().position(|is_read| !is_read) {
        return Err(NetworkError::Unread { node: network.nodes[unread].name.clone() });
    }
    if feature.positions() != 1 {
        return Err(NetworkError::FeatureIsNotAVector { node: last.name.clone(), shape: *feature });
    }
    Ok(shapes)
}

/// Checks a node's settings and returns the shape of its output, given those of its inputs.
pub(crate) fn output_shape(node: &Node, inputs: &[Shape]) -> Result<Shape, NetworkError> {
    let shape = layers::output_shape(node, inputs)?;
    check_elements(node, "output", [shape.height, shape.width, shape.channels])?;
    Ok(shape)
}

fn check_names(network: &Network) -> Result<(), NetworkError> {
    let mut seen = BTreeSet::new();
    for (index, node) in network.nodes.iter().enumerate() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if node.name.is_empty() || !node.name.bytes().all(allowed) {
            return Err(NetworkError::Name { index, name: node.name.clone() });
        }
        if !seen.insert(node.name.as_str()) {
            return Err(NetworkError::DuplicateName { name: node.name.clone() });
        }
    }
    Ok(())
}

fn check_inputs(node: &Node, index: usize) -> Result<(), NetworkError> {
    let found = node.inputs.len();
    let fits = match node.op.arity() {
        Some(arity) => found == arity,
        None => (1..=INPUTS_AT_MOST).contains(&found),
    };
    if !fits {
        let expected = match node.op.arity() {
            Some(arity) => arity.to_string(),
            None => format!("1 to {INPUTS_AT_MOST}"),
        };
        return Err(NetworkError::Arity { node: node.name.clone(), op: node.op.name(), expected, found });
    }
    for source in &node.inputs {
        if let Source::Node(source_index) = *source
            && source_index >= index
        {
            return Err(NetworkError::ForwardReference { node: node.name.clone(), index, source_index });
        }
    }
    Ok(())
}

fn check_init(node: &Node, init: Init) -> Result<(), NetworkError> {
    match init {
        Init::Gaussian { deviation } => {
            let positive = deviation > 0.0 && deviation.is_finite();
            require(node, "deviation", &deviation, positive, || "above 0 and finite")
        }
        Init::Constant { value } => require(node, "value", &value, value.is_finite(), || "finite"),
        Init::Xavier | Init::KaimingFanOut | Init::UniformFanIn => Ok(()),
    }
}

fn check_channels(node: &Node, setting: &'static str, channels: usize) -> Result<(), NetworkError> {
    let range = || format!("between 1 and {CHANNELS_AT_MOST}");
    require(node, setting, &channels, (1..=CHANNELS_AT_MOST).contains(&channels), range)
}

fn check_elements(node: &Node, what: &'static str, sides: [usize; 3]) -> Result<(), NetworkError> {
    let elements = sides.iter().fold(1_usize, |product, side| product.saturating_mul(*side));
    if elements > ELEMENTS_AT_MOST {
        return Err(NetworkError::TooLarge { node: node.name.clone(), what, elements });
    }
    Ok(())
}

fn require<R: Into<String>>(
    node: &Node,
    setting: &'static str,
    value: &impl ToString,
    holds: bool,
    range: impl FnOnce() -> R,
) -> Result<(), NetworkError> {
    if holds {
        return Ok(());
    }
    Err(NetworkError::Setting {
        node: node.name.clone(),
        setting,
        range: range().into(),
        value: value.to_string(),
    })
}
