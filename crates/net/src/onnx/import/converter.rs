//! Nodes of the graph, one after another, to nodes of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::activation::Activation;
use super::attributes::Attributes;
use super::constant::Constant;
use crate::check::output_shape;
use crate::onnx::message::{GraphProto, NodeProto, TensorProto};
use crate::{Input, NODES_AT_MOST, Node, Op, Shape, Source, Tensor, Weights};

/// What is known of a value of the graph.
#[derive(Clone)]
pub(super) enum Value {
    /// Shared, because nodes may read a large one again and again.
    Constant(Rc<Constant>),
    Activation(Activation),
    /// The result of a node that could not be converted.
    Unknown,
}

impl From<Constant> for Value {
    fn from(constant: Constant) -> Value {
        Value::Constant(Rc::new(constant))
    }
}

/// How often, on average, a value of a constant may be read; each is needed once as a rule.
const READS_AT_MOST: usize = 16;
/// Longest description of a problem that is kept: a node may list as much as a file holds.
const PROBLEM_AT_MOST: usize = 400;
/// Longest name of a node in an error.
const NAME_AT_MOST: usize = 100;

/// A text of the file, with dots where it is longer than `most` letters.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The network as far as it is made.
pub(super) struct Converter<'f> {
    pub(super) operator_set: i64,
    initializers: BTreeMap<&'f str, &'f TensorProto>,
    values: BTreeMap<&'f str, Value>,
    /// How many nodes and outputs read each value.
    readers: BTreeMap<&'f str, usize>,
    names: BTreeSet<String>,
    /// The number to try next for a name that is taken.
    numbers: BTreeMap<String, usize>,
    image: Shape,
    pub(super) nodes: Vec<Node>,
    pub(super) shapes: Vec<Shape>,
    pub(super) weights: Weights,
    /// Values that weights and constants may still have.
    budget: usize,
    /// Values of constants that nodes may still read.
    reads: usize,
    /// What cannot be imported, each with the names of its nodes.
    pub(super) problems: BTreeMap<String, Vec<String>>,
}

impl<'f> Converter<'f> {
    pub(super) fn new(
        graph: &'f GraphProto,
        operator_set: i64,
        image_name: &'f str,
        image: Activation,
        budget: usize,
    ) -> Converter<'f> {
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut readers: BTreeMap<&str, usize> = BTreeMap::new();
        let read = graph.node.iter().flat_map(|node| &node.input);
        for name in read.chain(graph.output.iter().map(|output| &output.name)) {
            *readers.entry(name.as_str()).or_default() += 1;
        }
        let shape = image.shape;
        let values = BTreeMap::from([(image_name, Value::Activation(image))]);
        Converter {
            operator_set,
            initializers,
            values,
            readers,
            names: BTreeSet::new(),
            numbers: BTreeMap::new(),
            image: shape,
            nodes: Vec::new(),
            shapes: Vec::new(),
            weights: Weights::default(),
            budget,
            reads: budget.saturating_mul(READS_AT_MOST),
            problems: BTreeMap::new(),
        }
    }

    /// The input of the network.
    pub(super) fn input(&self) -> Input {
        Input { height: self.image.height, width: self.image.width }
    }

    /// Converts one node. What cannot be is noted, and nodes that read its results are passed over.
    pub(super) fn convert(&mut self, node: &'f NodeProto) {
        if !super::operators::is_known(&node.op_type, &node.domain) {
            let domain = if node.domain.is_empty() { String::new() } else { format!("{}.", node.domain) };
            self.note(&format!("operator {domain}{}", node.op_type), node);
            self.values.extend(node.output.iter().map(|name| (name.as_str(), Value::Unknown)));
            return;
        }
        let inputs = node.input.iter().map(|name| self.value(name)).collect::<Result<Vec<_>, _>>();
        let result = match inputs {
            Ok(inputs) if inputs.iter().flatten().any(|value| matches!(value, Value::Unknown)) => {
                Ok(Value::Unknown)
            }
            Ok(inputs) => super::operators::convert(self, Attributes(node), &inputs),
            Err(problem) => Err(problem),
        };
        let value = match result.and_then(|value| self.charge(value)) {
            Ok(value) => value,
            Err(problem) => {
                self.note(&format!("{}: {problem}", node.op_type), node);
                Value::Unknown
            }
        };
        for (index, name) in node.output.iter().enumerate() {
            if index == 0 {
                self.values.insert(name, value.clone());
            } else if self.readers.contains_key(name.as_str()) {
                self.note(&format!("{}: an output other than the first", node.op_type), node);
                self.values.insert(name, Value::Unknown);
            }
        }
    }

    pub(super) fn note(&mut self, problem: &str, node: &NodeProto) {
        let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
        let name = name.map_or_else(String::new, |name| shortened(name, NAME_AT_MOST));
        self.problems.entry(shortened(problem, PROBLEM_AT_MOST)).or_default().push(name);
    }

    /// A value by name; `None` for an argument that is left out.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<Value>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        if let Some(value) = self.values.get(name) {
            let value = value.clone();
            if let Value::Constant(constant) = &value {
                self.read(constant.len())?;
            }
            return Ok(Some(value));
        }
        match self.initializers.get_key_value(name) {
            Some((_, tensor)) if tensor.data_location != 0 || !tensor.external_data.is_empty() => {
                Err(format!("tensor {name} in another file"))
            }
            Some((&name, tensor)) => {
                let constant =
                    Constant::of(tensor).map_err(|problem| format!("tensor {name} with {problem}"))?;
                let value = Value::from(constant);
                self.values.insert(name, value.clone());
                Ok(Some(value))
            }
            None => Err(format!("value {name}, which nothing before it makes")),
        }
    }

    /// Counts values that are read, or written by spreading one, so that a small file cannot ask for much work.
    fn read(&mut self, values: usize) -> Result<(), String> {
        let left = self.reads.checked_sub(values);
        self.reads = left.ok_or("constants that are read again and again beyond the size of the file")?;
        Ok(())
    }

    /// Counts values that a node is about to make out of fewer, before there is memory for them.
    pub(super) fn spread(&mut self, values: usize) -> Result<(), String> {
        if values > self.budget {
            return Err("weights that are used again and again beyond the size of the file".to_owned());
        }
        self.read(values)
    }

    /// Whether one reader alone reads the value of this name.
    pub(super) fn is_read_once(&self, name: &str) -> bool {
        self.readers.get(name) == Some(&1)
    }

    pub(super) fn shape_of(&self, source: Source) -> Shape {
        match source {
            Source::Image => self.image,
            Source::Node(index) => self.shapes[index],
        }
    }

    /// Adds a node that is named after a node of the graph and returns where its output is found.
    pub(super) fn push(
        &mut self,
        like: Attributes<'_>,
        op: Op,
        inputs: Vec<Source>,
        parameters: Vec<(&str, Tensor)>,
    ) -> Result<(Source, Shape), String> {
        if self.nodes.len() >= NODES_AT_MOST {
            return Err(format!("more than {NODES_AT_MOST} nodes"));
        }
        let node = Node { name: self.unused_name(like.0), op, inputs };
        let shapes: Vec<Shape> = node.inputs.iter().map(|source| self.shape_of(*source)).collect();
        let shape = output_shape(&node, &shapes).map_err(|error| error.to_string())?;
        for (suffix, tensor) in parameters {
            self.budget = self
                .budget
                .checked_sub(tensor.values.len())
                .ok_or("weights that are used again and again beyond the size of the file")?;
            self.weights.insert(format!("{}.{suffix}", node.name), tensor);
        }
        self.names.insert(node.name.clone());
        self.nodes.push(node);
        self.shapes.push(shape);
        Ok((Source::Node(self.nodes.len() - 1), shape))
    }

    /// Counts what is kept of a constant.
    fn charge(&mut self, value: Value) -> Result<Value, String> {
        if let Value::Constant(constant) = &value {
            self.budget = self
                .budget
                .checked_sub(constant.len())
                .ok_or("constants that are copied again and again beyond the size of the file")?;
        }
        Ok(value)
    }

    /// The node's name or that of its output, in the characters that names here have.
    fn unused_name(&mut self, node: &NodeProto) -> String {
        let known = [&node.name].into_iter().chain(&node.output).find(|name| !name.is_empty());
        let allowed = |letter: char| match letter {
            '_' | '-' | '.' => letter,
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '_',
        };
        let name: String =
            known.map(String::as_str).unwrap_or_default().chars().take(128).map(allowed).collect();
        let name = match name.trim_start_matches('_') {
            "" => node.op_type.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect(),
            name => name.to_owned(),
        };
        let name = if name.is_empty() { "node".to_owned() } else { name };
        if !self.names.contains(&name) {
            return name;
        }
        // A search from 1 would take long where many nodes have one name.
        let next = self.numbers.entry(name.clone()).or_insert(1);
        loop {
            let numbered = format!("{name}.{next}");
            *next += 1;
            if !self.names.contains(&numbered) {
                return numbered;
            }
        }
    }
}
