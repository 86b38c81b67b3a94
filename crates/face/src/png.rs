//! PNG: a walk over the chunks for what the decoder does not say.

use crate::ImageFault;

/// Follows the chunks of a PNG file to the last, `IEND`.
///
/// # Errors
/// A file that ends before; an animation (`acTL` with more than one frame).
pub(crate) fn walk(bytes: &[u8]) -> Result<(), ImageFault> {
    let mut rest = &bytes[8..];
    loop {
        let [l3, l2, l1, l0, kind @ ..] = rest else {
            return Err(ImageFault::Truncated("its last chunk, IEND, is missing"));
        };
        let length = u32::from_be_bytes([*l3, *l2, *l1, *l0]) as usize;
        let name = kind.get(..4).ok_or(ImageFault::Truncated("it ends inside a chunk's header"))?;
        // Length and name before the data, and a checksum after them, are 4 bytes each.
        let next = length
            .checked_add(12)
            .and_then(|chunk| rest.get(chunk..))
            .ok_or(ImageFault::Truncated("it ends inside a chunk"))?;
        match name {
            b"IEND" => return Ok(()),
            b"acTL" if length >= 4 && rest[8..12] != [0, 0, 0, 1] => return Err(ImageFault::Animated),
            _ => rest = next,
        }
    }
}
