//! Sets of images made for a test, and the real ones where they are.

use std::path::{Path, PathBuf};

use face::{Limits, Size};
use image::{Rgb, RgbImage};

/// Size of the images that [`tree`] makes.
pub(crate) const SIZE: Size = Size { height: 8, width: 6 };

/// Writes `root/person/image.png` for each pair; the pixels tell person and image apart.
pub(crate) fn tree(root: &Path, people: &[(&str, &[&str])]) {
    for (index, (person, images)) in people.iter().enumerate() {
        fs_err::create_dir_all(root.join(person)).unwrap();
        for (number, image) in images.iter().enumerate() {
            let picture = RgbImage::from_fn(SIZE.width, SIZE.height, |x, y| {
                Rgb([index as u8 * 40 + x as u8, number as u8 * 20 + y as u8, (x * 30) as u8])
            });
            picture.save(root.join(person).join(image)).unwrap();
        }
    }
}

/// A path in the project's shared folder; none, with a word why, where the folder is absent outside CI.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if place.exists() {
        return Some(place);
    }
    assert!(std::env::var_os("CI").is_none(), "missing in CI: {}", place.display());
    eprintln!("skipped, for lack of {}", place.display());
    None
}

pub(crate) fn exact(size: Size) -> data::Preparation {
    data::Preparation::new(size, size, data::Fit::Exact, Limits::default()).unwrap()
}
