//! The messages of `onnx.proto3` (github.com/onnx/onnx), with the fields that are written or read here.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(int64, tag = "1")]
    pub(super) ir_version: i64,
    #[prost(string, tag = "2")]
    pub(super) producer_name: String,
    #[prost(message, optional, tag = "7")]
    pub(super) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(super) opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub(super) metadata_props: Vec<StringStringEntryProto>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OperatorSetIdProto {
    #[prost(string, tag = "1")]
    pub(super) domain: String,
    #[prost(int64, tag = "2")]
    pub(super) version: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StringStringEntryProto {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub(super) input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub(super) output: Vec<ValueInfoProto>,
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub(super) sparse_initializer: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub(super) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(super) output: Vec<String>,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(string, tag = "4")]
    pub(super) op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub(super) attribute: Vec<AttributeProto>,
    #[prost(string, tag = "7")]
    pub(super) domain: String,
}

/// Kinds of attributes (`AttributeProto.AttributeType`).
const ATTRIBUTE_FLOAT: i32 = 1;
const ATTRIBUTE_INTEGER: i32 = 2;
const ATTRIBUTE_TEXT: i32 = 3;
const ATTRIBUTE_INTEGERS: i32 = 7;
/// Types of tensor elements (`TensorProto.DataType`).
pub(super) const ELEMENT_FLOAT: i32 = 1;
pub(super) const ELEMENT_INTEGER_32: i32 = 6;
pub(super) const ELEMENT_INTEGER: i32 = 7;
pub(super) const ELEMENT_DOUBLE: i32 = 11;

#[derive(Clone, PartialEq, Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(float, tag = "2")]
    pub(super) f: f32,
    #[prost(int64, tag = "3")]
    pub(super) i: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    pub(super) t: Option<TensorProto>,
    #[prost(float, repeated, tag = "7")]
    pub(super) floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    pub(super) ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

impl AttributeProto {
    pub(super) fn float(name: &str, value: f32) -> AttributeProto {
        AttributeProto { name: name.to_owned(), f: value, kind: ATTRIBUTE_FLOAT, ..AttributeProto::default() }
    }

    pub(super) fn text(name: &str, value: &str) -> AttributeProto {
        let (s, kind) = (value.as_bytes().to_vec(), ATTRIBUTE_TEXT);
        AttributeProto { name: name.to_owned(), s, kind, ..AttributeProto::default() }
    }

    pub(super) fn integer(name: &str, value: usize) -> AttributeProto {
        let (i, kind) = (value as i64, ATTRIBUTE_INTEGER);
        AttributeProto { name: name.to_owned(), i, kind, ..AttributeProto::default() }
    }

    pub(super) fn integers(name: &str, values: &[usize]) -> AttributeProto {
        let (ints, kind) = (signed(values), ATTRIBUTE_INTEGERS);
        AttributeProto { name: name.to_owned(), ints, kind, ..AttributeProto::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub(super) dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub(super) data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub(super) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(super) int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub(super) int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub(super) name: String,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    pub(super) double_data: Vec<f64>,
    #[prost(message, repeated, tag = "13")]
    pub(super) external_data: Vec<StringStringEntryProto>,
    /// 1 where the values lie in another file.
    #[prost(int32, tag = "14")]
    pub(super) data_location: i32,
}

impl TensorProto {
    pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
        TensorProto {
            dims: signed(shape),
            data_type: ELEMENT_FLOAT,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        }
    }

    pub(super) fn integers(name: &str, values: &[i64]) -> TensorProto {
        TensorProto {
            dims: vec![values.len() as i64],
            data_type: ELEMENT_INTEGER,
            name: name.to_owned(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ValueInfoProto {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

impl ValueInfoProto {
    /// Floats with a first dimension that is only named.
    pub(super) fn floats(name: &str, first: &str, rest: &[usize]) -> ValueInfoProto {
        let mut dim = vec![Dimension { dim_value: None, dim_param: Some(first.to_owned()) }];
        dim.extend(
            signed(rest).into_iter().map(|value| Dimension { dim_value: Some(value), dim_param: None }),
        );
        let shape = Some(TensorShapeProto { dim });
        let tensor_type = Some(TensorTypeProto { elem_type: ELEMENT_FLOAT, shape });
        ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
    }

    /// The dimensions, `None` for one that is only named; `None` where the file states no shape.
    pub(super) fn dimensions(&self) -> Option<Vec<Option<i64>>> {
        let shape = self.r#type.as_ref()?.tensor_type.as_ref()?.shape.as_ref()?;
        Some(shape.dim.iter().map(|dimension| dimension.dim_value.filter(|value| *value > 0)).collect())
    }
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<TensorShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

/// Sizes as the format has them; checked networks are far from the end of the type.
fn signed(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|size| *size as i64).collect()
}
