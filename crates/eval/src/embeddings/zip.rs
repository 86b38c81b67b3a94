//! The entries of a ZIP archive, stored or deflated.
//!
//! Field positions are those of the ZIP specification (APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.16, 4.5.3).

use std::io::Read;

use flate2::read::DeflateDecoder;

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";
const LOCAL_BYTES: usize = 30;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ZipProblem {
    /// The directory at its end is not there or cut off.
    #[error("truncated or no ZIP archive")]
    Directory,
    /// An entry lies outside the file, is encrypted or compressed in another way than by deflate.
    #[error("entry cannot be read, it must be stored or deflated: {0}")]
    Entry(String),
    /// An entry is much larger unpacked than any file of embeddings.
    #[error("entry has {size} bytes unpacked, more than a file of embeddings of this size: {name}")]
    Bomb {
        /// Its name.
        name: String,
        /// Its size by the directory.
        size: usize,
    },
    /// The archive is too large for the plain format.
    #[error("archive of more than 4 GiB or 65534 entries")]
    TooLarge,
}

/// Times the bytes of the whole archive that one entry may have unpacked, beside [`UNPACKED_BYTES_FREE`]. Vectors
/// hardly shrink, and names, which shrink, are a small part of a file of embeddings.
const EXPANSION_AT_MOST: usize = 4;
/// Bytes that an entry of any archive may have.
const UNPACKED_BYTES_FREE: usize = 8 << 20;

/// The bytes of one entry; `None` where the archive has no such entry.
pub(super) fn entry(bytes: &[u8], wanted: &str) -> Result<Option<Vec<u8>>, ZipProblem> {
    let end_at = bytes.windows(END_SIGNATURE.len()).rposition(|window| window == END_SIGNATURE);
    let end = end_at.and_then(|at| bytes.get(at..at + END_BYTES)).ok_or(ZipProblem::Directory)?;
    let (count, mut position) = (number::<2>(end, 10), number::<4>(end, 16));
    if count == 0xffff || position == 0xffff_ffff {
        return Err(ZipProblem::TooLarge);
    }
    for _ in 0..count {
        let record =
            bytes.get(position..position.saturating_add(ENTRY_BYTES)).ok_or(ZipProblem::Directory)?;
        if !record.starts_with(ENTRY_SIGNATURE) {
            return Err(ZipProblem::Directory);
        }
        let lengths = [28, 30, 32].map(|at| number::<2>(record, at));
        let name_at = position + ENTRY_BYTES;
        let name = bytes.get(name_at..name_at + lengths[0]).ok_or(ZipProblem::Directory)?;
        if name == wanted.as_bytes() {
            let size = number::<4>(record, 24);
            if size > bytes.len().saturating_mul(EXPANSION_AT_MOST).saturating_add(UNPACKED_BYTES_FREE) {
                return Err(ZipProblem::Bomb { name: wanted.to_owned(), size });
            }
            let content = content(bytes, record);
            return content.map(Some).ok_or_else(|| ZipProblem::Entry(wanted.to_owned()));
        }
        position = name_at + lengths.iter().sum::<usize>();
    }
    Ok(None)
}

/// The content of an entry: the sizes stand in the directory, the bytes follow a local header.
fn content(bytes: &[u8], record: &[u8]) -> Option<Vec<u8>> {
    let (flags, method) = (number::<2>(record, 8), number::<2>(record, 10));
    let (packed, size) = (number::<4>(record, 20), number::<4>(record, 24));
    let local_at = number::<4>(record, 42);
    let local = bytes.get(local_at..local_at.checked_add(LOCAL_BYTES)?)?;
    if !local.starts_with(LOCAL_SIGNATURE) || flags & 1 != 0 {
        return None;
    }
    let start = local_at + LOCAL_BYTES + number::<2>(local, 26) + number::<2>(local, 28);
    let packed = bytes.get(start..start.checked_add(packed)?)?;
    match method {
        0 => (packed.len() == size).then(|| packed.to_vec()),
        8 => {
            // Memory grows with what is really there, never with the size that the header claims.
            let mut content = Vec::new();
            DeflateDecoder::new(packed).take(size as u64 + 1).read_to_end(&mut content).ok()?;
            (content.len() == size).then_some(content)
        }
        _ => None,
    }
}

/// A little-endian number of `LENGTH` bytes in a record that is long enough.
fn number<const LENGTH: usize>(record: &[u8], at: usize) -> usize {
    record[at..at + LENGTH].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
