//! The attributes of a node, by name.

use super::constant::Constant;
use crate::onnx::message::{AttributeProto, NodeProto};

/// A node of the graph with its attributes.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'f>(pub(super) &'f NodeProto);

impl<'f> Attributes<'f> {
    fn get(self, name: &str) -> Option<&'f AttributeProto> {
        self.0.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn integer(self, name: &str, default: i64) -> i64 {
        self.get(name).map_or(default, |attribute| attribute.i)
    }

    pub(super) fn float(self, name: &str, default: f32) -> f32 {
        self.get(name).map_or(default, |attribute| attribute.f)
    }

    pub(super) fn text(self, name: &str, default: &'f str) -> &'f str {
        self.get(name).map_or(default, |attribute| std::str::from_utf8(&attribute.s).unwrap_or(""))
    }

    pub(super) fn integers(self, name: &str) -> Option<&'f [i64]> {
        self.get(name).map(|attribute| attribute.ints.as_slice())
    }

    /// The value of a `Constant` node.
    pub(super) fn constant(self) -> Result<Constant, String> {
        if let Some(tensor) = self.get("value").and_then(|attribute| attribute.t.as_ref()) {
            return Constant::of(tensor);
        }
        if let Some(attribute) = self.get("value_int") {
            return Constant::integers(vec![attribute.i]).with_dims(Vec::new());
        }
        if let Some(attribute) = self.get("value_ints") {
            return Ok(Constant::integers(attribute.ints.clone()));
        }
        if let Some(attribute) = self.get("value_float") {
            return Constant::floating(vec![attribute.f]).with_dims(Vec::new());
        }
        if let Some(attribute) = self.get("value_floats") {
            return Ok(Constant::floating(attribute.floats.clone()));
        }
        Err("Constant without a tensor, or one or several integers or floats".to_owned())
    }

    /// Strides of a window, which must be one number.
    pub(super) fn stride(self) -> Result<usize, String> {
        match self.integers("strides").unwrap_or(&[1, 1]) {
            [rows, columns] if rows == columns => size(*rows),
            other => Err(format!("strides {other:?}, where two equal ones are needed")),
        }
    }

    /// Height and width of a window.
    pub(super) fn kernel(self) -> Result<[usize; 2], String> {
        match self.integers("kernel_shape") {
            Some([rows, columns]) => Ok([size(*rows)?, size(*columns)?]),
            other => Err(format!("kernel_shape {other:?}, where two sides are needed")),
        }
    }

    /// Padding of a window over an input of height and width `side`, which must be equal on all four sides.
    pub(super) fn padding(
        self,
        side: [usize; 2],
        kernel: [usize; 2],
        stride: usize,
    ) -> Result<usize, String> {
        if self.integers("dilations").unwrap_or(&[]).iter().any(|dilation| *dilation != 1) {
            return Err("dilations".to_owned());
        }
        match self.text("auto_pad", "NOTSET") {
            "" | "NOTSET" => match self.integers("pads").unwrap_or(&[0; 4]) {
                pads if pads.iter().all(|pad| *pad == pads[0]) && pads.len() == 4 => size(pads[0]),
                pads => Err(format!("pads {pads:?}, where four equal ones are needed")),
            },
            "VALID" => Ok(0),
            "SAME_UPPER" | "SAME_LOWER" if stride > 0 => {
                let total = |side: usize, kernel: usize| {
                    ((side.div_ceil(stride).max(1) - 1) * stride + kernel).saturating_sub(side)
                };
                let (rows, columns) = (total(side[0], kernel[0]), total(side[1], kernel[1]));
                if rows == columns && rows.is_multiple_of(2) {
                    Ok(rows / 2)
                } else {
                    Err(format!(
                        "auto_pad that pads {rows} rows and {columns} columns, not equal on all sides"
                    ))
                }
            }
            other => Err(format!("auto_pad {other}")),
        }
    }
}

/// A number of the file as a size.
pub(super) fn size(value: i64) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("a size of {value}"))
}

/// An axis of `rank` dimensions, which may count from the end.
pub(super) fn axis(value: i64, rank: usize) -> Result<usize, String> {
    let from_end = value.checked_add(rank as i64).filter(|_| value < 0).unwrap_or(value);
    usize::try_from(from_end)
        .ok()
        .filter(|axis| *axis < rank)
        .ok_or_else(|| format!("axis {value} of {rank}"))
}
