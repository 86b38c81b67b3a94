//! Embeddings in a NumPy archive.
//!
//! An `.npz` is a ZIP archive of `.npy` files: six magic bytes, a version, the length of a header, the header as a
//! Python dictionary, and the values (numpy.org/doc/stable/reference/generated/numpy.lib.format.html). Arrays of
//! objects are pickles and are refused.

use super::zip::{self, ZipProblem};

/// Why an `.npz` holds no embeddings.
#[derive(Debug, thiserror::Error)]
pub enum NpzProblem {
    /// The archive cannot be read.
    #[error("the archive cannot be read")]
    Archive(#[from] ZipProblem),
    /// An array is not there.
    #[error("it must hold the arrays embeddings and names, there is no: {0}")]
    Absent(&'static str),
    /// The header of an array is none.
    #[error("damaged header of array: {0}")]
    Header(&'static str),
    /// An array has another type or shape.
    #[error("array {array} must be {wanted}, in C order and little-endian, its header is: {header}")]
    Array {
        /// Its name.
        array: &'static str,
        /// What it must be.
        wanted: &'static str,
        /// Its header.
        header: String,
    },
    /// An array has other bytes than its header says.
    #[error("array {array} must have {promised} bytes by its header, it has: {found}")]
    Length {
        /// Its name.
        array: &'static str,
        /// Bytes by the header.
        promised: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// Another number of names than of vectors.
    #[error("there must be one name for each of the {vectors} vectors, there are: {names}")]
    Names {
        /// Number of vectors.
        vectors: usize,
        /// Number of names.
        names: usize,
    },
    /// A name is no text.
    #[error("a name must be text, unlike number: {0}")]
    Name(usize),
}

/// Names, values and dimension.
pub(super) fn parse(bytes: &[u8]) -> Result<(Vec<String>, Vec<f32>, usize), NpzProblem> {
    let embeddings = array(bytes, "embeddings", "embeddings.npy")?;
    let names = array(bytes, "names", "names.npy")?;
    let (values, dimension) = embeddings.floats()?;
    // Each name is a text of its own, so there is no memory for them before they are as many as the vectors.
    let vectors = values.len().checked_div(dimension).unwrap_or(0);
    match names.shape().as_deref() {
        Some(&[found]) if found != vectors => Err(NpzProblem::Names { vectors, names: found }),
        _ => Ok((names.texts()?, values, dimension)),
    }
}

struct Array {
    name: &'static str,
    header: String,
    data: Vec<u8>,
}

fn array(bytes: &[u8], name: &'static str, file: &str) -> Result<Array, NpzProblem> {
    let mut content = zip::entry(bytes, file)?.ok_or(NpzProblem::Absent(name))?;
    let split = || {
        let version = *content.strip_prefix(b"\x93NUMPY")?.first()?;
        let (at, length): (usize, usize) = match version {
            1 => (10, usize::from(u16::from_le_bytes(content.get(8..10)?.try_into().ok()?))),
            2 | 3 => (12, u32::from_le_bytes(content.get(8..12)?.try_into().ok()?) as usize),
            _ => return None,
        };
        let header = str::from_utf8(content.get(at..at.checked_add(length)?)?).ok()?;
        Some((header.trim().to_owned(), at + length))
    };
    let (header, start) = split().ok_or(NpzProblem::Header(name))?;
    content.drain(..start);
    Ok(Array { name, header, data: content })
}

impl Array {
    /// The text after a key of the header.
    fn after(&self, key: &str) -> Option<&str> {
        let (_, rest) = self.header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    }

    fn kind(&self) -> Option<&str> {
        self.after("descr")?.strip_prefix('\'')?.split('\'').next()
    }

    fn shape(&self) -> Option<Vec<usize>> {
        if !self.after("fortran_order")?.starts_with("False") {
            return None;
        }
        let (inside, _) = self.after("shape")?.strip_prefix('(')?.split_once(')')?;
        let sides = inside.split(',').map(str::trim).filter(|side| !side.is_empty());
        sides.map(|side| side.parse().ok()).collect()
    }

    fn unfit(&self, wanted: &'static str) -> NpzProblem {
        NpzProblem::Array { array: self.name, wanted, header: self.header.clone() }
    }

    fn check(&self, items: Option<usize>, size: usize) -> Result<(), NpzProblem> {
        let promised = items.and_then(|items| items.checked_mul(size)).unwrap_or(usize::MAX);
        if promised != self.data.len() {
            return Err(NpzProblem::Length { array: self.name, promised, found: self.data.len() });
        }
        Ok(())
    }

    fn floats(&self) -> Result<(Vec<f32>, usize), NpzProblem> {
        let wanted = "[images, dimension] of f4 or f8";
        let shape = self.shape();
        let (Some(kind), Some(&[rows, dimension])) = (self.kind(), shape.as_deref()) else {
            return Err(self.unfit(wanted));
        };
        let items = rows.checked_mul(dimension);
        let values = match kind {
            "<f4" => {
                self.check(items, 4)?;
                self.data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            }
            "<f8" => {
                self.check(items, 8)?;
                self.data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
            }
            _ => return Err(self.unfit(wanted)),
        };
        Ok((values, dimension))
    }

    /// Fixed-width text: `<U` four bytes a character, `|S` one; zeros at the end are padding.
    fn texts(&self) -> Result<Vec<String>, NpzProblem> {
        let wanted = "[images] of text (U or S)";
        let shape = self.shape();
        let (Some(kind), Some(&[rows])) = (self.kind(), shape.as_deref()) else {
            return Err(self.unfit(wanted));
        };
        let width = |prefix: &str| kind.strip_prefix(prefix).and_then(|width| width.parse::<usize>().ok());
        let (width, character): (usize, usize) = match (width("<U"), width("|S")) {
            (Some(width @ 1..), _) => (width, 4),
            (_, Some(width @ 1..)) => (width, 1),
            _ => return Err(self.unfit(wanted)),
        };
        self.check(rows.checked_mul(width), character)?;
        // A width that no number holds fits the bytes where there are no rows.
        let size = width.checked_mul(character).ok_or_else(|| self.unfit(wanted))?;
        let text = |(row, bytes): (usize, &[u8])| {
            let text = if character == 1 {
                String::from_utf8(bytes.to_vec()).ok()
            } else {
                let codes = bytes.as_chunks().0.iter().map(|code| char::from_u32(u32::from_le_bytes(*code)));
                codes.collect::<Option<String>>()
            };
            let text = text.ok_or(NpzProblem::Name(row))?;
            Ok(text.trim_end_matches('\0').to_owned())
        };
        self.data.chunks_exact(size).enumerate().map(text).collect()
    }
}
