//! Tensors of PyTorch's `torch.save` files, read without running anything.
//!
//! Two layouts are known. The older one is a row of pickles (magic number, version, system, data, storage keys)
//! followed by the storages; the newer one is a ZIP archive with `data.pkl` and one entry for each storage. In both,
//! the data is dictionaries whose tensors name their storage, offset, sides and strides.

mod archive;
mod legacy;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::pickle::{Id, Object, Pickle, PickleError};
use crate::tensor_file::{Array, FILE_BYTES_AT_MOST, TensorFileError, Values, read_bytes, read_values};

/// Most dictionaries inside each other.
const DEPTH_AT_MOST: usize = 16;
/// Longest key of a dictionary.
const KEY_BYTES_AT_MOST: usize = 1 << 10;
/// Longest names of all tensors together. A dictionary can stand in several places of the data, so names of many parts
/// can be made of a few.
const NAME_BYTES_AT_MOST: usize = 1 << 24;
/// Most entries of all dictionaries, lists and tuples together.
const ENTRIES_AT_MOST: usize = 1 << 18;
/// Tensors can share a storage; all together they may have this many times the bytes of the file.
const EXPANSION_AT_MOST: usize = 4;

/// The tensors of a `torch.save` file, by the keys on the way to them, joined with dots.
///
/// Numbers, texts and whatever else stands beside tensors in the file is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TorchFile {
    /// Tensors by path, for example `net_state_dict.conv1.weight`.
    pub tensors: BTreeMap<String, Array>,
}

/// Why a `torch.save` file cannot be read.
#[derive(Debug, Error)]
pub enum TorchFileError {
    /// The file cannot be read at all.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// A pickle is damaged or has instructions that are refused.
    #[error("torch file is damaged or refused: {}", path.display())]
    Pickle {
        /// The path.
        path: PathBuf,
        /// What is wrong with the pickle.
        source: PickleError,
    },
    /// The bytes around the pickles are not as PyTorch writes them.
    #[error("torch file {} is truncated or not written by torch.save: {problem}", path.display())]
    Layout {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The data holds something that this reader refuses.
    #[error("torch file {}: entry {entry} is refused: {problem}", path.display())]
    Entry {
        /// The path.
        path: PathBuf,
        /// The keys on the way to the entry.
        entry: String,
        /// Why it is refused.
        problem: String,
    },
}

impl From<io::Error> for TorchFileError {
    fn from(error: io::Error) -> TorchFileError {
        TorchFileError::File(TensorFileError::Io(error))
    }
}

/// What is wrong, before the path of the file is known.
enum Problem {
    Pickle(PickleError),
    Layout(String),
    Entry { entry: String, problem: String },
}

impl From<PickleError> for Problem {
    fn from(error: PickleError) -> Problem {
        Problem::Pickle(error)
    }
}

fn layout(problem: impl Into<String>) -> Problem {
    Problem::Layout(problem.into())
}

impl TorchFile {
    /// Reads a file of at most [`FILE_BYTES_AT_MOST`] bytes.
    ///
    /// # Errors
    /// See [`TorchFileError`]. A pickle that asks for anything but tensors and plain data is refused.
    pub fn read(path: &Path) -> Result<TorchFile, TorchFileError> {
        TorchFile::parse(&read_bytes(path, FILE_BYTES_AT_MOST)?, path)
    }

    /// Parses the bytes of a file; errors name `path`.
    ///
    /// # Errors
    /// See [`TorchFileError`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<TorchFile, TorchFileError> {
        let parsed =
            if bytes.starts_with(archive::SIGNATURE) { archive::read(bytes) } else { legacy::read(bytes) };
        parsed.map_err(|problem| {
            let path = path.to_owned();
            match problem {
                Problem::Pickle(source) => TorchFileError::Pickle { path, source },
                Problem::Layout(problem) => TorchFileError::Layout { path, problem },
                Problem::Entry { entry, problem } => TorchFileError::Entry { path, entry, problem },
            }
        })
    }

    /// The tensors below a key, without that key: `net_state_dict` makes `conv1.weight` of
    /// `net_state_dict.conv1.weight`. Empty if there are none.
    pub fn under(self, key: &str) -> BTreeMap<String, Array> {
        let inside = |name: &str| Some(name.strip_prefix(key)?.strip_prefix('.')?.to_owned());
        self.tensors.into_iter().filter_map(|(name, array)| Some((inside(&name)?, array))).collect()
    }
}

/// Element type of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    F32,
    F64,
    I64,
}

impl Element {
    fn of_class(name: &str) -> Option<Element> {
        match name {
            "FloatStorage" => Some(Element::F32),
            "DoubleStorage" => Some(Element::F64),
            "LongStorage" => Some(Element::I64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F64 | Element::I64 => 8,
        }
    }
}

/// A storage as a tensor refers to it.
struct StorageReference<'p> {
    element: Element,
    key: &'p str,
    elements: usize,
}

impl<'p> StorageReference<'p> {
    /// Reads `("storage", class, key, device, elements)`, which the older layout ends with `None`.
    fn read(pickle: &'p Pickle, id: Id) -> Result<StorageReference<'p>, String> {
        let malformed = || "malformed storage reference".to_owned();
        let Object::Persistent(id) = pickle.get(id) else { return Err(malformed()) };
        let (fields, view) = match pickle.tuple(*id) {
            Some([fields @ .., view]) if fields.len() == 5 => (fields, Some(*view)),
            Some(fields) => (fields, None),
            None => return Err(malformed()),
        };
        let [tag, class, key, _device, elements] = fields else { return Err(malformed()) };
        if pickle.text(*tag) != Some("storage") {
            return Err(malformed());
        }
        if view.is_some_and(|view| !matches!(pickle.get(view), Object::None)) {
            return Err("storage that is a view of another storage".to_owned());
        }
        let (module, name) = pickle.global(*class).ok_or_else(malformed)?;
        let element = Element::of_class(name).filter(|_| module == "torch").ok_or_else(|| {
            format!("values must be in a torch FloatStorage, DoubleStorage or LongStorage: {module} {name}")
        })?;
        let key = pickle.text(*key).ok_or_else(malformed)?;
        let elements = pickle.integer(*elements).and_then(|count| usize::try_from(count).ok());
        Ok(StorageReference { element, key, elements: elements.ok_or_else(malformed)? })
    }
}

/// The storages' bytes, by key.
type Storages<'b> = BTreeMap<&'b str, &'b [u8]>;

/// Collects the tensors of the data pickle. `file_bytes` bounds the memory that they take.
fn tensors(pickle: &Pickle, storages: &Storages<'_>, file_bytes: usize) -> Result<TorchFile, Problem> {
    let mut walk = Walk {
        pickle,
        storages,
        entries_left: ENTRIES_AT_MOST,
        name_bytes_left: NAME_BYTES_AT_MOST,
        bytes_left: file_bytes.saturating_mul(EXPANSION_AT_MOST),
        file: TorchFile::default(),
    };
    walk.visit(pickle.root(), &mut Vec::new())?;
    Ok(walk.file)
}

struct Walk<'w> {
    pickle: &'w Pickle,
    storages: &'w Storages<'w>,
    entries_left: usize,
    name_bytes_left: usize,
    bytes_left: usize,
    file: TorchFile,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, keys: &mut Vec<String>) -> Result<(), Problem> {
        if keys.len() > DEPTH_AT_MOST {
            return Err(refused(keys, format!("more than {DEPTH_AT_MOST} levels")));
        }
        let Some(left) = self.entries_left.checked_sub(1) else {
            return Err(refused(keys, format!("more than {ENTRIES_AT_MOST} entries")));
        };
        self.entries_left = left;
        match self.pickle.get(id) {
            Object::None | Object::Bool(_) | Object::Integer(_) | Object::Float | Object::Text(_) => Ok(()),
            Object::Dict(entries) => entries.iter().try_for_each(|(key, value)| {
                let key = match self.pickle.get(*key) {
                    Object::Text(text) if text.len() <= KEY_BYTES_AT_MOST => text.to_string(),
                    Object::Integer(number) => number.to_string(),
                    _ => {
                        let problem =
                            format!("key that is neither an integer nor text of {KEY_BYTES_AT_MOST} bytes");
                        return Err(refused(keys, problem));
                    }
                };
                self.visit_below(key, *value, keys)
            }),
            Object::List(parts) | Object::Tuple(parts) => parts
                .iter()
                .enumerate()
                .try_for_each(|(index, part)| self.visit_below(index.to_string(), *part, keys)),
            Object::Call { function, arguments } => {
                let array = self.tensor(*function, *arguments).map_err(|problem| refused(keys, problem))?;
                let name = keys.join(".");
                let left = self.name_bytes_left.checked_sub(name.len());
                self.name_bytes_left = left.ok_or_else(|| {
                    refused(keys, format!("tensors with more than {NAME_BYTES_AT_MOST} bytes of names"))
                })?;
                match self.file.tensors.insert(name, array) {
                    Some(_) => Err(refused(keys, "second tensor of this name".to_owned())),
                    None => Ok(()),
                }
            }
            Object::Bytes(_) => Err(refused(keys, "bytes".to_owned())),
            Object::Global { module, name } => Err(refused(keys, format!("global {module} {name}"))),
            Object::Persistent(_) => Err(refused(keys, "storage outside a tensor".to_owned())),
        }
    }

    fn visit_below(&mut self, key: String, id: Id, keys: &mut Vec<String>) -> Result<(), Problem> {
        keys.push(key);
        self.visit(id, keys)?;
        keys.pop();
        Ok(())
    }

    /// Reads a call that makes a tensor; a parameter is its tensor.
    fn tensor(&mut self, function: Id, arguments: Id) -> Result<Array, String> {
        let pickle = self.pickle;
        let malformed = || "malformed tensor".to_owned();
        let arguments = pickle.tuple(arguments).ok_or_else(malformed)?;
        match pickle.global(function).ok_or_else(malformed)? {
            ("torch._utils", "_rebuild_tensor_v2") => {
                let [storage, offset, shape, strides, ..] = arguments else { return Err(malformed()) };
                let storage = StorageReference::read(pickle, *storage)?;
                let offset = pickle.integer(*offset).and_then(|offset| usize::try_from(offset).ok());
                let shape = sizes(pickle, *shape).ok_or_else(malformed)?;
                let strides = sizes(pickle, *strides).ok_or_else(malformed)?;
                self.gather(&storage, offset.ok_or_else(malformed)?, shape, &strides)
            }
            ("torch._utils", "_rebuild_parameter") => match arguments.first().map(|id| pickle.get(*id)) {
                Some(Object::Call { function, arguments })
                    if pickle.global(*function) == Some(("torch._utils", "_rebuild_tensor_v2")) =>
                {
                    self.tensor(*function, *arguments)
                }
                _ => Err(malformed()),
            },
            (module, name) => Err(format!("call of {module} {name}")),
        }
    }

    /// Copies the values of a tensor out of its storage, in row-major order.
    fn gather(
        &mut self,
        storage: &StorageReference<'_>,
        offset: usize,
        shape: Vec<usize>,
        strides: &[usize],
    ) -> Result<Array, String> {
        let outside = || format!("tensor reaches outside its storage: {}", storage.key);
        let bytes = self.storages.get(storage.key).ok_or_else(|| format!("no storage: {}", storage.key))?;
        let size = storage.element.bytes();
        if storage.elements.checked_mul(size) != Some(bytes.len()) {
            return Err(format!("storage {} should have {} values", storage.key, storage.elements));
        }
        if shape.len() != strides.len() {
            return Err("tensor has unequal numbers of sides and strides".to_owned());
        }
        let count = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
        let count = count.ok_or_else(outside)?;
        let last = shape.iter().zip(strides).try_fold(offset, |last, (side, stride)| {
            last.checked_add(side.saturating_sub(1).checked_mul(*stride)?)
        });
        if count > 0 && last.is_none_or(|last| last >= storage.elements) {
            return Err(outside());
        }
        self.bytes_left =
            count.checked_mul(size).and_then(|taken| self.bytes_left.checked_sub(taken)).ok_or_else(
                || format!("tensors with more than {EXPANSION_AT_MOST} times the bytes of the file"),
            )?;
        let mut data = Vec::with_capacity(count * size);
        let mut index = vec![0; shape.len()];
        for _ in 0..count {
            let element = index.iter().zip(strides).fold(offset, |at, (index, stride)| at + index * stride);
            data.extend_from_slice(&bytes[element * size..(element + 1) * size]);
            advance(&mut index, &shape);
        }
        let values = match storage.element {
            Element::F32 => Values::F32(read_values(&data, f32::from_le_bytes)),
            Element::F64 => Values::F64(read_values(&data, f64::from_le_bytes)),
            Element::I64 => Values::I64(read_values(&data, i64::from_le_bytes)),
        };
        Ok(Array { shape, values })
    }
}

fn refused(keys: &[String], problem: String) -> Problem {
    Problem::Entry { entry: keys.join("."), problem }
}

/// The next index in row-major order.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (position, side) in index.iter_mut().zip(shape).rev() {
        *position += 1;
        if *position < *side {
            return;
        }
        *position = 0;
    }
}

/// A tuple of at most eight sizes.
fn sizes(pickle: &Pickle, id: Id) -> Option<Vec<usize>> {
    let parts = pickle.tuple(id).filter(|parts| parts.len() <= 8)?;
    parts.iter().map(|part| usize::try_from(pickle.integer(*part)?).ok()).collect()
}
