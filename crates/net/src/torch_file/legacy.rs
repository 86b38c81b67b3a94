//! The layout of `torch.save` before PyTorch 1.6.

use super::{Problem, StorageReference, Storages, TorchFile, layout, tensors};
use crate::pickle::{Object, Pickle};

/// The magic number and the version of the layout.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
const VERSION: i128 = 1001;

pub(super) fn read(bytes: &[u8]) -> Result<TorchFile, Problem> {
    let mut position = 0;
    for (expected, what) in [(MAGIC, "magic number"), (VERSION, "version")] {
        let pickle = Pickle::read(bytes, &mut position)?;
        if pickle.integer(pickle.root()) != Some(expected) {
            return Err(layout(format!("unknown {what}")));
        }
    }
    let system = Pickle::read(bytes, &mut position)?;
    if !is_little_endian(&system) {
        return Err(layout("values are not stated to be little-endian"));
    }
    let data = Pickle::read(bytes, &mut position)?;
    let keys = Pickle::read(bytes, &mut position)?;
    let storages = storages(&data, &keys, &bytes[position..])?;
    tensors(&data, &storages, bytes.len())
}

fn is_little_endian(system: &Pickle) -> bool {
    let Object::Dict(entries) = system.get(system.root()) else { return false };
    entries.iter().any(|(key, value)| {
        system.text(*key) == Some("little_endian") && matches!(system.get(*value), Object::Bool(true))
    })
}

/// Cuts the bytes behind the pickles into storages: for each key in turn the number of values in eight bytes, and
/// the values. Their size is only known from the data.
fn storages<'b>(data: &'b Pickle, keys: &'b Pickle, bytes: &'b [u8]) -> Result<Storages<'b>, Problem> {
    let elements: std::collections::BTreeMap<&str, super::Element> = data
        .ids()
        .filter_map(|id| StorageReference::read(data, id).ok())
        .map(|reference| (reference.key, reference.element))
        .collect();
    let Object::List(list) = keys.get(keys.root()) else {
        return Err(layout("no list of storages"));
    };
    let mut storages = Storages::new();
    let mut rest = bytes;
    for id in list {
        let key = keys.text(*id).ok_or_else(|| layout("storage key that is not text"))?;
        let unreadable = || layout(format!("no complete storage with values of a known type: {key}"));
        let element = elements.get(key).ok_or_else(unreadable)?;
        let (count, after) = rest.split_first_chunk::<8>().ok_or_else(unreadable)?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok();
        let length = length.and_then(|count| count.checked_mul(element.bytes())).ok_or_else(unreadable)?;
        let (storage, after) = after.split_at_checked(length).ok_or_else(unreadable)?;
        if storages.insert(key, storage).is_some() {
            return Err(layout(format!("two storages with one key: {key}")));
        }
        rest = after;
    }
    if rest.is_empty() {
        Ok(storages)
    } else {
        Err(layout(format!("{} bytes after the last storage", rest.len())))
    }
}
