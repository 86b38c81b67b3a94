//! A walk over the wire format that counts what a decoder would allocate.

/// Most messages and texts in one file; the largest published face networks have some ten thousand.
pub(super) const PARTS_AT_MOST: usize = 1 << 18;

/// A message type: the fields that the decoder keeps as parts of their own.
struct Kind {
    /// Fields that hold messages.
    messages: &'static [(u64, &'static Kind)],
    /// Fields that hold texts or bytes.
    texts: &'static [u64],
}

static ENTRY: Kind = Kind { messages: &[], texts: &[1, 2] };
static OPERATOR_SET: Kind = Kind { messages: &[], texts: &[1] };
static TENSOR: Kind = Kind { messages: &[(13, &ENTRY)], texts: &[8, 9] };
static ATTRIBUTE: Kind = Kind { messages: &[(5, &TENSOR)], texts: &[1, 4] };
static NODE: Kind = Kind { messages: &[(5, &ATTRIBUTE)], texts: &[1, 2, 3, 4, 7] };
static DIMENSION: Kind = Kind { messages: &[], texts: &[2] };
static SHAPE: Kind = Kind { messages: &[(1, &DIMENSION)], texts: &[] };
static TENSOR_TYPE: Kind = Kind { messages: &[(2, &SHAPE)], texts: &[] };
static TYPE: Kind = Kind { messages: &[(1, &TENSOR_TYPE)], texts: &[] };
static VALUE: Kind = Kind { messages: &[(2, &TYPE)], texts: &[1] };
static GRAPH: Kind =
    Kind { messages: &[(1, &NODE), (5, &TENSOR), (11, &VALUE), (12, &VALUE)], texts: &[2, 15] };
static MODEL: Kind = Kind { messages: &[(7, &GRAPH), (8, &OPERATOR_SET), (14, &ENTRY)], texts: &[2, 25] };

/// What is wrong with bytes that are no protocol buffer of an ONNX model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// A length reaches past the end, or a number does not end.
    Truncated,
    /// A wire type that proto3 does not have.
    WireType(u64),
    /// More than [`PARTS_AT_MOST`] parts.
    TooManyParts,
}

/// Walks a model. Nesting is bounded by the message types themselves, which do not contain each other in a circle.
pub(super) fn check(bytes: &[u8]) -> Result<(), Damage> {
    let mut parts = 0;
    walk(bytes, &MODEL, &mut parts)
}

fn walk(mut bytes: &[u8], kind: &Kind, parts: &mut usize) -> Result<(), Damage> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = key >> 3;
        match key & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => skip(&mut bytes, 8)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| Damage::Truncated)?;
                let content = bytes.get(..length).ok_or(Damage::Truncated)?;
                bytes = &bytes[length..];
                let message = kind.messages.iter().find(|(known, _)| *known == field);
                if message.is_some() || kind.texts.contains(&field) {
                    *parts += 1;
                    if *parts > PARTS_AT_MOST {
                        return Err(Damage::TooManyParts);
                    }
                }
                if let Some((_, inner)) = message {
                    walk(content, inner, parts)?;
                }
            }
            5 => skip(&mut bytes, 4)?,
            other => return Err(Damage::WireType(other)),
        }
    }
    Ok(())
}

fn skip(bytes: &mut &[u8], count: usize) -> Result<(), Damage> {
    *bytes = bytes.get(count..).ok_or(Damage::Truncated)?;
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let mut value = 0_u64;
    for index in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or(Damage::Truncated)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Damage::Truncated)
}
