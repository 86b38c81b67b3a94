//! ONNX files byte by byte: the wire format of protocol buffers (protobuf.dev/programming-guides/encoding) with the
//! fields of onnx.proto3.

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A node with attributes of text.
pub(crate) fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, &str)]) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    node.extend(bytes(2, output.as_bytes()));
    node.extend(bytes(4, operator.as_bytes()));
    for (name, value) in attributes {
        let attribute = [bytes(1, name.as_bytes()), bytes(4, value.as_bytes()), number(20, 3)].concat();
        node.extend(bytes(5, &attribute));
    }
    node
}

/// A node with a name.
pub(crate) fn named_node(name: &str, operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    [node(operator, inputs, output, &[]), bytes(3, name.as_bytes())].concat()
}

fn tensor(name: &str, kind: u64, sides: &[usize], raw: &[u8]) -> Vec<u8> {
    let mut tensor: Vec<u8> = sides.iter().flat_map(|side| number(1, *side as u64)).collect();
    tensor.extend([number(2, kind), bytes(8, name.as_bytes()), bytes(9, raw)].concat());
    tensor
}

/// A weight.
pub(crate) fn floats(name: &str, sides: &[usize], values: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 1, sides, &raw)
}

/// A shape, indices and the like.
pub(crate) fn integers(name: &str, sides: &[usize], values: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, 7, sides, &raw)
}

/// A model of operator set 13 with one input, `image`, and one output.
pub(crate) fn model(image: [usize; 4], nodes: &[Vec<u8>], initializers: &[Vec<u8>], output: &str) -> Vec<u8> {
    let sides: Vec<u8> = image.iter().flat_map(|side| bytes(1, &number(1, *side as u64))).collect();
    let kind = bytes(1, &[number(1, 1), bytes(2, &sides)].concat());
    let mut graph: Vec<u8> = nodes.iter().flat_map(|node| bytes(1, node)).collect();
    graph.extend(initializers.iter().flat_map(|tensor| bytes(5, tensor)));
    graph.extend(bytes(11, &[bytes(1, b"image"), bytes(2, &kind)].concat()));
    graph.extend(bytes(12, &bytes(1, output.as_bytes())));
    [number(1, 7), bytes(7, &graph), bytes(8, &number(2, 13))].concat()
}
