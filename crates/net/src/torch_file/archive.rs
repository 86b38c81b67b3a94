//! The layout of `torch.save` since PyTorch 1.6: a ZIP archive of uncompressed entries.
//!
//! Field positions are those of the ZIP specification (APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16).

use std::collections::BTreeMap;

use super::{Problem, Storages, TorchFile, layout, tensors};
use crate::pickle::Pickle;

/// The first bytes of an archive.
pub(super) const SIGNATURE: &[u8] = b"PK\x03\x04";

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: usize = 30;

pub(super) fn read(bytes: &[u8]) -> Result<TorchFile, Problem> {
    let entries = entries(bytes)?;
    let Some((name, data)) = entries.iter().find(|(name, _)| is_data(name)) else {
        return Err(layout("no entry data.pkl in the archive"));
    };
    let folder = name.strip_suffix("data.pkl").unwrap_or("");
    if let Some(order) = entries.get(format!("{folder}byteorder").as_str())
        && *order != b"little"
    {
        return Err(layout("values are not little-endian"));
    }
    let pickle = Pickle::read(data, &mut 0)?;
    let prefix = format!("{folder}data/");
    let storages: Storages<'_> =
        entries.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(&prefix)?, *bytes))).collect();
    tensors(&pickle, &storages, bytes.len())
}

fn is_data(name: &str) -> bool {
    name == "data.pkl" || (name.ends_with("/data.pkl") && name.matches('/').count() == 1)
}

/// The entries of the central directory, by name.
fn entries(bytes: &[u8]) -> Result<BTreeMap<&str, &[u8]>, Problem> {
    let truncated = || layout("no complete directory in the archive");
    let end_at = bytes.windows(END_SIGNATURE.len()).rposition(|window| window == END_SIGNATURE);
    let end = end_at.and_then(|at| bytes.get(at..at + END_BYTES)).ok_or_else(truncated)?;
    let (count, mut position) = (number::<2>(end, 10), number::<4>(end, 16));
    if count == 0xffff || position == 0xffff_ffff {
        return Err(layout("archive of more than 4 GiB or 65534 entries"));
    }
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let entry = bytes.get(position..position.saturating_add(ENTRY_BYTES)).ok_or_else(truncated)?;
        if !entry.starts_with(ENTRY_SIGNATURE) {
            return Err(truncated());
        }
        let lengths = [28, 30, 32].map(|at| number::<2>(entry, at));
        let name_at = position + ENTRY_BYTES;
        let name = bytes.get(name_at..name_at + lengths[0]).and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| layout("entry of the archive without a name in UTF-8"))?;
        let (flags, method) = (number::<2>(entry, 8), number::<2>(entry, 10));
        let (packed, size) = (number::<4>(entry, 20), number::<4>(entry, 24));
        if flags & 1 != 0 || method != 0 || packed != size {
            return Err(layout(format!("compressed or encrypted entry in the archive: {name}")));
        }
        let local_at = number::<4>(entry, 42);
        let content = content(bytes, local_at, size)
            .ok_or_else(|| layout(format!("entry of the archive outside the file: {name}")))?;
        if entries.insert(name, content).is_some() {
            return Err(layout(format!("two entries of the archive with one name: {name}")));
        }
        position = name_at + lengths.iter().sum::<usize>();
    }
    Ok(entries)
}

/// The bytes of an entry, which follow its local header.
fn content(bytes: &[u8], local_at: usize, size: usize) -> Option<&[u8]> {
    let local = bytes.get(local_at..local_at.checked_add(LOCAL_BYTES)?)?;
    if !local.starts_with(SIGNATURE) {
        return None;
    }
    let start = local_at + LOCAL_BYTES + number::<2>(local, 26) + number::<2>(local, 28);
    bytes.get(start..start.checked_add(size)?)
}

/// A little-endian number of `LENGTH` bytes in a record that is long enough.
fn number<const LENGTH: usize>(record: &[u8], at: usize) -> usize {
    record[at..at + LENGTH].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}
