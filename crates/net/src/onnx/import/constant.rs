//! Tensors that are known before an image is, and what is computed of them.

use std::rc::Rc;

use crate::onnx::message::{ELEMENT_DOUBLE, ELEMENT_FLOAT, ELEMENT_INTEGER, ELEMENT_INTEGER_32, TensorProto};

/// A tensor of known values, row by row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// Most elements of a constant that is put together from others; shapes have a handful.
const COMPUTED_AT_MOST: usize = 1 << 20;

/// Most dimensions of a tensor; images have four. Without a limit `Gather` could double them again and again.
pub(super) const RANK_AT_MOST: usize = 8;

/// Number of elements, where it can be counted: the product of the sides other than 0 must fit, too, so that steps
/// from one element to the next can be computed.
pub(super) fn elements(dims: &[usize]) -> Option<usize> {
    let mut sides = dims.iter().filter(|side| **side > 0);
    let product = sides.try_fold(1_usize, |product, side| product.checked_mul(*side))?;
    Some(if dims.contains(&0) { 0 } else { product })
}

/// Refuses a tensor of more dimensions than any operator here means.
pub(super) fn check_rank(rank: usize) -> Result<(), String> {
    if rank > RANK_AT_MOST { Err(format!("more than {RANK_AT_MOST} dimensions: {rank}")) } else { Ok(()) }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Floats(values) => values.len(),
            Values::Integers(values) => values.len(),
        }
    }

    /// The values at these places.
    fn pick(&self, places: impl Iterator<Item = usize>) -> Values {
        match self {
            Values::Floats(values) => Values::Floats(places.map(|place| values[place]).collect()),
            Values::Integers(values) => Values::Integers(places.map(|place| values[place]).collect()),
        }
    }
}

impl Constant {
    pub(super) fn integers(values: Vec<i64>) -> Constant {
        Constant { dims: vec![values.len()], values: Values::Integers(values) }
    }

    pub(super) fn floating(values: Vec<f32>) -> Constant {
        Constant { dims: vec![values.len()], values: Values::Floats(values) }
    }

    /// The tensor of a file, whose values must be as many as its dimensions say.
    pub(super) fn of(tensor: &TensorProto) -> Result<Constant, String> {
        check_rank(tensor.dims.len())?;
        let dims = tensor
            .dims
            .iter()
            .map(|side| usize::try_from(*side).map_err(|_| format!("a side of {side} elements")))
            .collect::<Result<Vec<_>, _>>()?;
        let expected = elements(&dims).ok_or_else(|| format!("too many elements in {dims:?}"))?;
        let raw = &tensor.raw_data;
        let values = match tensor.data_type {
            ELEMENT_FLOAT if raw.is_empty() => Values::Floats(tensor.float_data.clone()),
            ELEMENT_FLOAT => Values::Floats(words(raw)?.map(f32::from_le_bytes).collect()),
            ELEMENT_DOUBLE if raw.is_empty() => {
                Values::Floats(tensor.double_data.iter().map(|value| *value as f32).collect())
            }
            ELEMENT_DOUBLE => {
                Values::Floats(words(raw)?.map(|word| f64::from_le_bytes(word) as f32).collect())
            }
            ELEMENT_INTEGER if raw.is_empty() => Values::Integers(tensor.int64_data.clone()),
            ELEMENT_INTEGER => Values::Integers(words(raw)?.map(i64::from_le_bytes).collect()),
            ELEMENT_INTEGER_32 if raw.is_empty() => {
                Values::Integers(tensor.int32_data.iter().map(|value| i64::from(*value)).collect())
            }
            ELEMENT_INTEGER_32 => {
                Values::Integers(words(raw)?.map(|word| i64::from(i32::from_le_bytes(word))).collect())
            }
            other => {
                return Err(format!("values of type {other}, where float, double, int64 and int32 are read"));
            }
        };
        if values.len() != expected {
            return Err(format!("{} values for dimensions {dims:?}", values.len()));
        }
        Ok(Constant { dims, values })
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn floats(&self) -> Result<&[f32], String> {
        match &self.values {
            Values::Floats(values) => Ok(values),
            Values::Integers(_) => Err("integers where floats are needed".to_owned()),
        }
    }

    pub(super) fn as_integers(&self) -> Result<&[i64], String> {
        match &self.values {
            Values::Integers(values) => Ok(values),
            Values::Floats(_) => Err("floats where integers are needed".to_owned()),
        }
    }

    pub(super) fn with_dims(&self, dims: Vec<usize>) -> Result<Constant, String> {
        check_rank(dims.len())?;
        if elements(&dims) != Some(self.len()) {
            return Err(format!("a shape of {dims:?} for {} constant values", self.len()));
        }
        Ok(Constant { dims, values: self.values.clone() })
    }

    /// `Transpose`.
    pub(super) fn transposed(&self, order: &[usize]) -> Constant {
        let dims: Vec<usize> = order.iter().map(|axis| self.dims[*axis]).collect();
        let strides = strides(&self.dims);
        let places = (0..self.len()).map(|mut index| {
            let mut place = 0;
            for (side, axis) in dims.iter().zip(order).rev() {
                place += index % side * strides[*axis];
                index /= side;
            }
            place
        });
        Constant { values: self.values.pick(places), dims: dims.clone() }
    }

    /// `Gather` along an axis.
    pub(super) fn gathered(&self, axis: usize, indices: &Constant) -> Result<Constant, String> {
        let side = *self.dims.get(axis).ok_or("Gather along an axis that is not there")?;
        check_rank(self.dims.len() + indices.dims.len())?;
        let mut chosen = Vec::new();
        for index in indices.as_integers()? {
            let place = if *index < 0 { index + side as i64 } else { *index };
            let place = usize::try_from(place).ok().filter(|place| *place < side);
            chosen.push(place.ok_or_else(|| format!("Gather of element {index} of {side}"))?);
        }
        let (outer, inner) =
            (elements(&self.dims[..axis]).unwrap_or(0), elements(&self.dims[axis + 1..]).unwrap_or(0));
        if outer.saturating_mul(chosen.len()).saturating_mul(inner) > COMPUTED_AT_MOST {
            return Err(format!("Gather of more than {COMPUTED_AT_MOST} constants"));
        }
        let places = (0..outer).flat_map(|outer| {
            chosen.iter().flat_map(move |place| (0..inner).map(move |at| (outer * side + place) * inner + at))
        });
        let values = self.values.pick(places);
        let dims = [&self.dims[..axis], &indices.dims[..], &self.dims[axis + 1..]].concat();
        Ok(Constant { dims, values })
    }

    /// `Concat` of vectors of integers or floats along their one axis.
    pub(super) fn concatenated(parts: &[Rc<Constant>]) -> Result<Constant, String> {
        if parts.is_empty() || parts.iter().any(|part| part.dims.len() != 1) {
            return Err("Concat of constants that are not vectors".to_owned());
        }
        if parts.iter().map(|part| part.len()).sum::<usize>() > COMPUTED_AT_MOST {
            return Err(format!("Concat of more than {COMPUTED_AT_MOST} constants"));
        }
        let values = match &parts[0].values {
            Values::Floats(_) => Values::Floats(
                parts.iter().map(|part| part.floats()).collect::<Result<Vec<_>, _>>()?.concat(),
            ),
            Values::Integers(_) => Values::Integers(
                parts.iter().map(|part| part.as_integers()).collect::<Result<Vec<_>, _>>()?.concat(),
            ),
        };
        Ok(Constant { dims: vec![values.len()], values })
    }

    /// An operation on each pair of elements; one of the two may be a single element.
    pub(super) fn paired(
        &self,
        other: &Constant,
        floats: fn(f32, f32) -> f32,
        integers: fn(i64, i64) -> Option<i64>,
    ) -> Result<Constant, String> {
        let fits = self.dims == other.dims || self.len() == 1 || other.len() == 1;
        let fits = fits && self.len() > 0 && other.len() > 0;
        if !fits {
            return Err(format!("arithmetic on constants of {:?} and {:?}", self.dims, other.dims));
        }
        // Of a single element and a tensor, the tensor gives the shape; of two single elements, the one of higher rank.
        let size = |constant: &Constant| (constant.len(), constant.dims.len());
        let larger = if size(other) > size(self) { other } else { self };
        let (len, dims) = (larger.len(), larger.dims.clone());
        fn at<T: Copy>(values: &[T], index: usize) -> T {
            if values.len() == 1 { values[0] } else { values[index] }
        }
        let values = match (&self.values, &other.values) {
            (Values::Floats(a), Values::Floats(b)) => {
                Values::Floats((0..len).map(|index| floats(at(a, index), at(b, index))).collect())
            }
            (Values::Integers(a), Values::Integers(b)) => {
                let results = (0..len).map(|index| integers(at(a, index), at(b, index)));
                Values::Integers(
                    results.collect::<Option<_>>().ok_or("arithmetic on constants that overflows")?,
                )
            }
            _ => return Err("arithmetic on constants of two types".to_owned()),
        };
        Ok(Constant { dims, values })
    }

    /// `Cast`.
    pub(super) fn cast(&self, element: i64) -> Result<Constant, String> {
        let (float, double) = (i64::from(ELEMENT_FLOAT), i64::from(ELEMENT_DOUBLE));
        let (long, short) = (i64::from(ELEMENT_INTEGER), i64::from(ELEMENT_INTEGER_32));
        let values = match &self.values {
            Values::Integers(values) if element == float || element == double => {
                Values::Floats(values.iter().map(|value| *value as f32).collect())
            }
            Values::Floats(values) if element == long || element == short => {
                Values::Integers(values.iter().map(|value| *value as i64).collect())
            }
            same if [float, double, long, short].contains(&element) => same.clone(),
            _ => return Err(format!("Cast to type {element}")),
        };
        Ok(Constant { dims: self.dims.clone(), values })
    }
}

/// Bytes as little-endian words of `N` bytes.
fn words<const N: usize>(bytes: &[u8]) -> Result<impl Iterator<Item = [u8; N]>, String> {
    let (words, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!("{} bytes for values of {N} bytes", bytes.len()));
    }
    Ok(words.iter().copied())
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}
