//! InsightFace's `.bin` packs of image pairs, read without running anything.
//!
//! Such a pack is the pickle of `(images, is_same)`: encoded images two by two, and for every two of them whether they
//! show one person. An image is a byte string, or a NumPy array of bytes.

use std::path::{Path, PathBuf};

use crate::pickle::{Id, Object, Pickle, PickleError};
use crate::tensor_file::{TensorFileError, read_bytes};

/// Largest pack that is read: those in use have up to 120 MB.
const BYTES_AT_MOST: u64 = 1 << 30;

/// Pairs of encoded images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FacePack {
    /// Encoded images (JPEG as a rule); images `2 k` and `2 k + 1` are pair `k`.
    pub images: Vec<Vec<u8>>,
    /// Whether a pair shows one person.
    pub is_same: Vec<bool>,
}

/// Why a file is no pack.
#[derive(Debug, thiserror::Error)]
pub enum FacePackError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TensorFileError),
    /// It is no pickle of plain data.
    #[error("not a pack of face pairs: {}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: PickleError,
    },
    /// It is a pickle of something else.
    #[error("{}: {problem}", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// What was expected.
        problem: &'static str,
    },
    /// Images and pairs do not fit.
    #[error("{}: each of {pairs} pairs needs two images, there are: {images}", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// Number of pairs.
        pairs: usize,
        /// Number of images.
        images: usize,
    },
}

impl FacePack {
    /// Reads a pack of at most 1 GiB.
    ///
    /// # Errors
    /// See [`FacePackError`]. An image may still be no image: that shows when it is decoded.
    pub fn read(path: &Path) -> Result<FacePack, FacePackError> {
        FacePack::parse(&read_bytes(path, BYTES_AT_MOST)?, path)
    }

    /// Parses the bytes of a pack; errors name `path`.
    ///
    /// # Errors
    /// As [`FacePack::read`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<FacePack, FacePackError> {
        let layout = |problem| FacePackError::Layout { path: path.to_owned(), problem };
        let pickle = Pickle::read(bytes, &mut 0)
            .map_err(|source| FacePackError::Pickle { path: path.to_owned(), source })?;
        let pair = match pickle.get(pickle.root()) {
            Object::Tuple(parts) | Object::List(parts) => parts.as_slice(),
            _ => &[],
        };
        let &[images, is_same] = pair else {
            return Err(layout("a pack must hold two things, images and whether pairs show one person"));
        };
        let (Object::List(images), Object::List(is_same)) = (pickle.get(images), pickle.get(is_same)) else {
            return Err(layout("images, and whether pairs show one person, must be lists"));
        };
        if images.len() != is_same.len().saturating_mul(2) {
            let (path, pairs, images) = (path.to_owned(), is_same.len(), images.len());
            return Err(FacePackError::Count { path, pairs, images });
        }
        // Each byte of the file is in one image at most, so that a small file cannot ask for much memory.
        let mut left = bytes.len();
        let mut copies = Vec::with_capacity(images.len());
        for &image in images {
            let image = encoded(&pickle, bytes, image)
                .ok_or_else(|| layout("an image must be bytes, or a NumPy array of bytes"))?;
            left = left.checked_sub(image.len()).ok_or_else(|| layout("one image stands for many"))?;
            copies.push(image.to_vec());
        }
        let flag = |&id: &Id| match pickle.get(id) {
            Object::Bool(is_same) => Ok(*is_same),
            Object::Integer(number @ 0..=1) => Ok(*number == 1),
            _ => Err(layout("whether a pair shows one person must be true or false")),
        };
        Ok(FacePack { images: copies, is_same: is_same.iter().map(flag).collect::<Result<_, _>>()? })
    }
}

/// The bytes of an image: themselves, or the state of an array, `(version, shape, type, Fortran order, bytes)`.
fn encoded<'b>(pickle: &Pickle, bytes: &'b [u8], image: Id) -> Option<&'b [u8]> {
    match pickle.get(image) {
        Object::Bytes(range) => bytes.get(range.clone()),
        Object::Call { function, .. } => {
            let (module, name) = pickle.global(*function)?;
            let reconstructs = name == "_reconstruct"
                && matches!(module, "numpy.core.multiarray" | "numpy._core.multiarray");
            let &[_version, shape, kind, _order, data] = pickle.tuple(pickle.state(image)?)? else {
                return None;
            };
            let Object::Call { arguments, .. } = pickle.get(kind) else { return None };
            let kind = pickle.text(*pickle.tuple(*arguments)?.first()?)?;
            let Object::Bytes(range) = pickle.get(data) else { return None };
            let mut sides = pickle.tuple(shape)?.iter().map(|&side| pickle.integer(side));
            let items = sides.try_fold(1_i128, |items, side| items.checked_mul(side?))?;
            let fits = i128::try_from(range.len()) == Ok(items);
            (reconstructs && kind == "u1" && fits).then(|| bytes.get(range.clone()))?
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{FacePack, FacePackError};

    fn read(bytes: &[u8]) -> Result<FacePack, FacePackError> {
        FacePack::parse(bytes, Path::new("pack.bin"))
    }

    /// Made by tests/golden/make_packs.py of this crate.
    const PACKS: [&[u8]; 4] = [
        include_bytes!("../tests/golden/pack_2.bin"),
        include_bytes!("../tests/golden/pack_3_array.bin"),
        include_bytes!("../tests/golden/pack_4.bin"),
        include_bytes!("../tests/golden/pack_4_array.bin"),
    ];

    #[test]
    fn packs_of_every_pickle_protocol_in_use_hold_the_same_pairs() {
        for pack in PACKS {
            let found = read(pack).unwrap();
            assert_eq!(found.is_same, [true, false]);
            assert_eq!(
                found.images,
                [b"\xff\xd8one".to_vec(), b"\xfftwo".to_vec(), b"three".to_vec(), vec![0x2e; 300]]
            );
        }
    }

    #[test]
    fn damaged_packs_are_errors_and_never_panic() {
        for pack in PACKS {
            for length in 0..pack.len() {
                assert!(read(&pack[..length]).is_err(), "{length}");
            }
            for at in 0..pack.len() {
                for value in [0, b'.', b'R', 0xff] {
                    let mut changed = pack.to_vec();
                    changed[at] = value;
                    let _ = read(&changed);
                }
            }
        }
    }

    #[test]
    fn a_pack_that_would_run_a_command_is_refused() {
        // pickle.dumps of an object whose __reduce__ is os.system: a call that is no array of bytes.
        let hostile = b"\x80\x02]q\x00(cposix\nsystem\nq\x01X\x04\x00\x00\x00true\x85Rh\x01X\x01\x00\x00\x00x\x85Re]\x88a\x86.";
        let error = read(hostile).unwrap_err().to_string();
        assert!(error.contains("an image must be bytes"), "{error}");
    }

    #[test]
    fn packs_that_do_not_add_up_say_so() {
        let error = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert!(
            error(b"\x80\x02]U\x01aa]\x88a\x86.").contains("each of 1 pairs needs two images, there are: 1")
        );
        assert!(error(b"\x80\x02].").contains("must hold two things"));
        assert!(error(b"\x80\x02}}\x86.").contains("must be lists"));
        assert!(error(b"\x80\x02](U\x01aU\x01be]K\x05a\x86.").contains("must be true or false"));
        assert!(matches!(FacePack::read(Path::new("absent.bin")), Err(FacePackError::File(_))));
    }
}
