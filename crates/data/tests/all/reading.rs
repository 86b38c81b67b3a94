use std::cell::Cell;
use std::path::PathBuf;

use data::{
    Catalogue, Fit, Preparation, PreparationError, ReadError, Reader, Source, Store, StoreError,
    StoreSettings, Unreadable,
};
use face::{Limits, Size};
use image::RgbImage;
use tempfile::tempdir;

use crate::fixtures::{SIZE, exact, shared, tree};

const TEMPLATE: Size = Size { height: 112, width: 96 };

fn skipping(budget_bytes: u64) -> StoreSettings {
    StoreSettings { budget_bytes, unreadable: Unreadable::Skip }
}

#[test]
fn a_wrong_size_is_an_error_with_both_sizes_and_the_way_out() {
    let folder = tempdir().unwrap();
    tree(folder.path(), &[("ann", &["1.png"])]);
    let path = folder.path().join("ann/1.png");
    let error = exact(TEMPLATE).read_crop(&path).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.path(), path);
    for words in ["8 high x 6 wide", "112 high x 96 wide", "ann/1.png", "stretch"] {
        assert!(text.contains(words), "{text}");
    }
}

/// Columns tell x and rows tell y, so that scale and place of the result can be read off.
#[test]
fn crop_keeps_proportions_and_stretch_does_not() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("wide.png");
    let ramp = RgbImage::from_fn(200, 50, |x, y| image::Rgb([x as u8, (y * 5) as u8, 0]));
    ramp.save(&path).unwrap();
    let size = Size { height: 50, width: 50 };
    let read = |fit| {
        let preparation = Preparation::new(size, size, fit, Limits::default()).unwrap();
        RgbImage::from_raw(50, 50, preparation.read_crop(&path).unwrap()).unwrap()
    };
    // 50 x 50 from the middle of 200 x 50: columns 75 to 124, nothing resampled.
    let cut = read(Fit::Crop);
    assert!(cut.enumerate_pixels().all(|(x, y, pixel)| pixel.0 == [75 + x as u8, (y * 5) as u8, 0]));
    // Four columns become one: its middle lies at 4 x + 1.5.
    let stretched = read(Fit::Stretch);
    for x in 5..45 {
        assert!(f64::from(stretched.get_pixel(x, 25)[0]) - (4.0 * f64::from(x) + 1.5) <= 1.0);
        assert!(u32::from(stretched.get_pixel(x, 25)[0]) >= 4 * x);
    }
}

#[test]
fn an_input_larger_than_the_crop_is_refused() {
    let new = |crop, input| Preparation::new(crop, input, Fit::Exact, Limits::default()).map(|_| ());
    let wide = Size { height: 56, width: 97 };
    assert_eq!(
        new(TEMPLATE, wide),
        Err(PreparationError::InputLargerThanCrop { input: wide, crop: TEMPLATE })
    );
    let empty = Size { height: 0, width: 96 };
    assert_eq!(new(TEMPLATE, empty), Err(PreparationError::Empty(empty)));
    assert_eq!(new(TEMPLATE, Size { height: 56, width: 48 }), Ok(()));
}

#[test]
fn the_orl_faces_need_an_explicit_fit() {
    let Some(root) = shared("data/faces/orl") else { return };
    let catalogue = Catalogue::read(&[Source::tree(root)], 1).unwrap();
    assert_eq!((catalogue.identities().len(), catalogue.images().len()), (40, 400));
    let refused = Store::open(catalogue.clone(), exact(TEMPLATE), StoreSettings::default(), &|_, _| ());
    assert!(matches!(refused, Err(StoreError::Read(ReadError::WrongSize { .. }))));
    for fit in [Fit::Stretch, Fit::Crop] {
        let preparation = Preparation::new(TEMPLATE, TEMPLATE, fit, Limits::default()).unwrap();
        let store =
            Store::open(catalogue.clone(), preparation, StoreSettings::default(), &|_, _| ()).unwrap();
        let grey = |crop: &[u8]| crop.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]);
        assert!((0..400).all(|image| grey(&store.crop(image).unwrap())));
    }
}

#[test]
fn a_budget_decides_what_is_kept_and_not_what_is_read() {
    let folder = tempdir().unwrap();
    tree(folder.path(), &[("ann", &["1.png", "2.png"]), ("bob", &["1.png", "2.png"])]);
    let catalogue = Catalogue::read(&[Source::tree(folder.path())], 1).unwrap();
    let one = SIZE.rgb_bytes() as u64;
    let open = |budget_bytes| {
        let settings = StoreSettings { budget_bytes, unreadable: Unreadable::Refuse };
        Store::open(catalogue.clone(), exact(SIZE), settings, &|_, _| ()).unwrap()
    };
    let all = open(4 * one);
    assert_eq!(all.in_memory(), 4);
    for (budget, kept) in [(0, 0), (one - 1, 0), (one, 1), (3 * one + 1, 3), (u64::MAX, 4)] {
        let store = open(budget);
        assert_eq!(store.in_memory(), kept);
        for image in 0..4 {
            assert_eq!(store.crop(image).unwrap(), all.crop(image).unwrap());
        }
    }
}

#[test]
fn an_unreadable_image_is_refused_or_skipped_and_listed() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root, &[("ann", &["1.png", "2.png", "3.png"]), ("bob", &["1.png", "2.png"])]);
    let broken = root.join("ann/2.png");
    let whole = fs_err::read(&broken).unwrap();
    fs_err::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let catalogue = Catalogue::read(&[Source::tree(root)], 1).unwrap();
    let refused =
        Store::open(catalogue.clone(), exact(SIZE), StoreSettings::default(), &|_, _| ()).unwrap_err();
    assert!(
        refused.to_string().contains("ann/2.png") && refused.to_string().contains("truncated"),
        "{refused}"
    );

    let intact = exact(SIZE).read_crop(&root.join("bob/1.png")).unwrap();
    for budget in [0, 1 << 20] {
        let seen = Cell::new(0);
        let count = |more, of| {
            assert_eq!(of, 5);
            seen.set(seen.get() + more);
        };
        let store = Store::open(catalogue.clone(), exact(SIZE), skipping(budget), &count).unwrap();
        assert_eq!(seen.get(), 5);
        assert_eq!(store.skipped().iter().map(ReadError::path).collect::<Vec<_>>(), [broken.as_path()]);
        let kept = store.catalogue();
        assert_eq!(kept.images().len(), 4);
        assert_eq!(kept.path(1), root.join("ann/3.png"));
        assert_eq!(kept.images().iter().map(|image| image.label).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(*store.crop(2).unwrap(), intact);
        assert_ne!(kept.fingerprint(), catalogue.fingerprint());
    }

    for name in ["bob/1.png", "bob/2.png"] {
        fs_err::write(root.join(name), "no image").unwrap();
    }
    let lost = Store::open(catalogue, exact(SIZE), skipping(0), &|_, _| ()).unwrap_err();
    let StoreError::IdentityWithoutImages { identity, first } = lost else { panic!("{lost:?}") };
    assert_eq!((identity.as_str(), first.path()), ("bob", root.join("bob/1.png").as_path()));
}

#[test]
fn a_reader_gives_the_files_in_order_whatever_the_threads() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root, &[("ann", &["1.png", "2.png", "3.png"]), ("bob", &["1.png", "2.png", "3.png", "4.png"])]);
    let files: Vec<PathBuf> =
        ["bob/4.png", "ann/3.png", "bob/1.png", "ann/1.png", "bob/2.png", "ann/2.png", "bob/3.png"]
            .map(|file| root.join(file))
            .to_vec();
    let alone: Vec<u8> = files.iter().flat_map(|file| exact(SIZE).read_crop(file).unwrap()).collect();
    for threads in [1, 3] {
        let batches: Vec<_> = Reader::new(files.clone(), exact(SIZE), 3, threads, Unreadable::Refuse)
            .map(|batch| batch.unwrap())
            .collect();
        assert_eq!(batches.iter().map(|batch| batch.files.len()).collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(
            batches.iter().flat_map(|batch| batch.files.clone()).collect::<Vec<_>>(),
            [0, 1, 2, 3, 4, 5, 6]
        );
        assert_eq!(batches.iter().flat_map(|batch| batch.pixels.clone()).collect::<Vec<_>>(), alone);
    }
    assert!(Reader::new(vec![], exact(SIZE), 3, 2, Unreadable::Refuse).next().is_none());

    fs_err::write(&files[4], "no image").unwrap();
    let refused: Vec<_> = Reader::new(files.clone(), exact(SIZE), 3, 2, Unreadable::Refuse).collect();
    assert!(refused[0].is_ok() && refused[2].is_ok());
    assert_eq!(refused[1].as_ref().unwrap_err().path(), files[4]);
    let skipped: Vec<_> =
        Reader::new(files.clone(), exact(SIZE), 3, 2, Unreadable::Skip).map(|batch| batch.unwrap()).collect();
    assert_eq!(skipped[1].files, [3, 5]);
    assert_eq!(skipped[1].pixels.len(), 2 * SIZE.rgb_bytes());
    assert_eq!(skipped[1].skipped[0].0, 4);
    assert_eq!(skipped[1].skipped[0].1.path(), files[4]);
}
