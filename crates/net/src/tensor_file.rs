//! Named arrays and text metadata in a safetensors file.
//!
//! The format (huggingface.co/docs/safetensors): eight bytes with the little-endian length of a JSON header, the
//! header, and the values of all tensors without gaps. Files written here are the same bytes for the same content:
//! names and metadata are sorted and the header is padded so that values lie at multiples of 8.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fs_err::{self as fs, File};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use thiserror::Error;

use crate::atomic_file;

/// Largest file that is read unless the caller says otherwise: 16 GiB.
pub const FILE_BYTES_AT_MOST: u64 = 16 << 30;

/// The content of a safetensors file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// Text by key.
    pub metadata: BTreeMap<String, String>,
    /// Arrays by name.
    pub tensors: BTreeMap<String, Array>,
}

/// An array in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Its sides, slowest first; empty for a single number.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Values,
}

/// Values of one of the types that are read and written.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit floating point.
    F64(Vec<f64>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
}

impl Values {
    /// The same values, borrowed.
    pub fn as_slice(&self) -> ValuesRef<'_> {
        match self {
            Values::F32(values) => ValuesRef::F32(values),
            Values::F64(values) => ValuesRef::F64(values),
            Values::I64(values) => ValuesRef::I64(values),
        }
    }
}

/// Borrowed values, to write a file without copying them first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValuesRef<'a> {
    /// 32-bit floating point.
    F32(&'a [f32]),
    /// 64-bit floating point.
    F64(&'a [f64]),
    /// 64-bit signed integers.
    I64(&'a [i64]),
}

impl ValuesRef<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            ValuesRef::F32(values) => values.len(),
            ValuesRef::F64(values) => values.len(),
            ValuesRef::I64(values) => values.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn type_name(&self) -> &'static str {
        match self {
            ValuesRef::F32(_) => "F32",
            ValuesRef::F64(_) => "F64",
            ValuesRef::I64(_) => "I64",
        }
    }

    fn value_bytes(&self) -> usize {
        match self {
            ValuesRef::F32(_) => 4,
            ValuesRef::F64(_) | ValuesRef::I64(_) => 8,
        }
    }

    fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        match self {
            ValuesRef::F32(values) => write_values(sink, values, f32::to_le_bytes),
            ValuesRef::F64(values) => write_values(sink, values, f64::to_le_bytes),
            ValuesRef::I64(values) => write_values(sink, values, i64::to_le_bytes),
        }
    }
}

/// A named array to write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NamedArray<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its sides, slowest first.
    pub shape: &'a [usize],
    /// Its values.
    pub values: ValuesRef<'a>,
}

/// Why a safetensors file cannot be read.
#[derive(Debug, Error)]
pub enum TensorFileError {
    /// The file system refuses; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A directory or a device.
    #[error("tensor file is not a regular file: {}", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than the limit.
    #[error("tensor file {} has more than {limit} bytes: {bytes}", path.display())]
    TooLarge {
        /// The path.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
        /// Bytes in the file.
        bytes: u64,
    },
    /// The bytes are no safetensors file: truncated, corrupt or something else.
    #[error("tensor file is truncated or not in the safetensors format: {}", path.display())]
    Format {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        source: safetensors::SafeTensorError,
    },
    /// A tensor has values of another type.
    #[error("tensor file {}: tensor {tensor} must have values of type F32, F64 or I64: {found}", path.display())]
    ValueType {
        /// The path.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
}

impl TensorFile {
    /// Reads a file of at most [`FILE_BYTES_AT_MOST`] bytes.
    ///
    /// # Errors
    /// See [`TensorFileError`]. No memory is taken for sizes that the header claims and the file does not have.
    pub fn read(path: &Path) -> Result<TensorFile, TensorFileError> {
        TensorFile::read_at_most(path, FILE_BYTES_AT_MOST)
    }

    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`TensorFileError`].
    pub fn read_at_most(path: &Path, limit: u64) -> Result<TensorFile, TensorFileError> {
        TensorFile::parse(&read_bytes(path, limit)?, path)
    }

    /// Parses the bytes of a file; errors name `path`.
    ///
    /// # Errors
    /// [`TensorFileError::Format`] or [`TensorFileError::ValueType`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<TensorFile, TensorFileError> {
        let format = |source| TensorFileError::Format { path: path.to_owned(), source };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(format)?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(bytes).map_err(format)?.iter() {
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(read_values(view.data(), f32::from_le_bytes)),
                Dtype::F64 => Values::F64(read_values(view.data(), f64::from_le_bytes)),
                Dtype::I64 => Values::I64(read_values(view.data(), i64::from_le_bytes)),
                other => {
                    return Err(TensorFileError::ValueType {
                        path: path.to_owned(),
                        tensor: name.to_owned(),
                        found: format!("{other:?}"),
                    });
                }
            };
            tensors.insert(name.to_owned(), Array { shape: view.shape().to_vec(), values });
        }
        Ok(TensorFile { metadata, tensors })
    }

    /// Writes the file aside and renames it; see [`atomic_file::write`].
    ///
    /// # Errors
    /// An error of the file system, which names the path.
    ///
    /// # Panics
    /// As [`write`].
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let arrays: Vec<NamedArray<'_>> = self
            .tensors
            .iter()
            .map(|(name, array)| NamedArray { name, shape: &array.shape, values: array.values.as_slice() })
            .collect();
        write(path, &self.metadata, &arrays)
    }
}

/// Writes borrowed arrays aside and renames the file; see [`atomic_file::write`].
///
/// # Errors
/// An error of the file system, which names the path.
///
/// # Panics
/// If two arrays have one name, a name is `__metadata__`, or a shape does not fit its number of values.
pub fn write(path: &Path, metadata: &BTreeMap<String, String>, arrays: &[NamedArray<'_>]) -> io::Result<()> {
    atomic_file::write(path, |sink| write_to(sink, metadata, arrays))
}

/// Writes the format to any sink.
///
/// # Errors
/// The sink's.
///
/// # Panics
/// As [`write`].
pub fn write_to(
    sink: &mut dyn Write,
    metadata: &BTreeMap<String, String>,
    arrays: &[NamedArray<'_>],
) -> io::Result<()> {
    let mut ordered = arrays.to_vec();
    ordered.sort_by_key(|array| (std::cmp::Reverse(array.values.value_bytes()), array.name));
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA_KEY.to_owned(), json!(metadata));
    }
    let mut offset = 0;
    for array in &ordered {
        let NamedArray { name, shape, values } = array;
        assert_ne!(*name, METADATA_KEY, "name of a tensor");
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of {name} with shape {shape:?}");
        let end = offset + values.len() * values.value_bytes();
        let entry = json!({ "dtype": values.type_name(), "shape": shape, "data_offsets": [offset, end] });
        assert!(header.insert((*name).to_owned(), entry).is_none(), "two tensors are named {name}");
        offset = end;
    }
    let mut header = serde_json::Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    sink.write_all(&(header.len() as u64).to_le_bytes())?;
    sink.write_all(header.as_bytes())?;
    ordered.iter().try_for_each(|array| array.values.write(sink))
}

/// Reads a regular file of at most `limit` bytes.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, TensorFileError> {
    let facts = fs::metadata(path)?;
    if !facts.is_file() {
        return Err(TensorFileError::NotAFile { path: path.to_owned() });
    }
    if facts.len() > limit {
        return Err(TensorFileError::TooLarge { path: path.to_owned(), limit, bytes: facts.len() });
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(TensorFileError::TooLarge { path: path.to_owned(), limit, bytes: bytes.len() as u64 });
    }
    Ok(bytes)
}

const METADATA_KEY: &str = "__metadata__";

/// Decodes little-endian values.
pub(crate) fn read_values<T, const BYTES: usize>(data: &[u8], decode: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
    let (values, _) = data.as_chunks::<BYTES>();
    values.iter().map(|bytes| decode(*bytes)).collect()
}

fn write_values<T: Copy, const BYTES: usize>(
    sink: &mut dyn Write,
    values: &[T],
    encode: impl Fn(T) -> [u8; BYTES],
) -> io::Result<()> {
    for chunk in values.chunks(1 << 14) {
        let bytes: Vec<u8> = chunk.iter().flat_map(|value| encode(*value)).collect();
        sink.write_all(&bytes)?;
    }
    Ok(())
}
