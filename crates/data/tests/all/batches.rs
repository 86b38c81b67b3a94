use std::ops::Range;
use std::sync::Arc;

use data::{
    Augment, Augmenter, Batch, Catalogue, Erase, Fit, Loader, LoaderSettings, Position, Preparation, Sampler,
    Source, Store, StoreSettings, Unreadable, Warp,
};
use face::{Limits, Size};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::fixtures::{SIZE, tree};

proptest! {
    /// Counting through any number of batches of any size: within an epoch no image twice, none left out.
    #[test]
    fn every_image_comes_once_an_epoch(images in 1..40_u32, batch in 1..60_usize, seed in 0..1000_u64) {
        let sampler = Sampler::new(seed, images);
        let mut place = Position::default();
        let mut drawn = Vec::new();
        while drawn.len() < 3 * images as usize {
            let samples = sampler.samples(place, batch);
            prop_assert_eq!(samples.len(), batch);
            drawn.extend(samples);
            place = sampler.after(place, batch as u64);
            prop_assert_eq!(place.epoch * u64::from(images) + place.offset, drawn.len() as u64);
        }
        for epoch in 0..3_u64 {
            let part = &drawn[epoch as usize * images as usize..(epoch as usize + 1) * images as usize];
            prop_assert!(part.iter().all(|(of, _)| *of == epoch));
            let mut seen: Vec<u32> = part.iter().map(|&(_, image)| image).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..images).collect::<Vec<_>>());
        }
    }

    /// The same samples whether taken at once, in pieces, or by a new sampler set down in the middle.
    #[test]
    fn a_position_is_all_there_is_to_resume_from(images in 1..30_u32, before in 0..200_usize, count in 1..50_usize) {
        let start = Position::default();
        let whole = Sampler::new(5, images).samples(start, before + count);
        let later = Sampler::new(5, images);
        let place = later.after(start, before as u64);
        prop_assert_eq!(&later.samples(place, count)[..], &whole[before..]);
    }
}

proptest! {
    /// Up to `together` images of a person come after each other, and every image still comes once an epoch.
    #[test]
    fn images_of_people_come_together(people in prop::collection::vec(1..9_u32, 1..12), together in 1..6_usize, seed in 0..100_u64) {
        let mut end = 0;
        let people: Vec<Range<u32>> =
            people.iter().map(|images| { let start = end; end += images; start..end }).collect();
        let groups: usize = people.iter().map(|person| person.len().div_ceil(together)).sum();
        let sampler = Sampler::by_people(seed, people.clone(), together);
        let order: Vec<u32> =
            sampler.samples(Position::default(), end as usize).into_iter().map(|(_, image)| image).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..end).collect::<Vec<_>>());
        if together > 1 {
            let person = |image: u32| people.iter().position(|person| person.contains(&image));
            let changes = order.windows(2).filter(|pair| person(pair[0]) != person(pair[1])).count();
            prop_assert!(changes < groups, "{changes} changes between {groups} groups: {order:?}");
        } else {
            prop_assert_eq!(order, Sampler::new(seed, end).samples(Position::default(), end as usize)
                .into_iter().map(|(_, image)| image).collect::<Vec<u32>>());
        }
    }
}

#[test]
fn orders_differ_between_epochs_and_seeds() {
    let order = |seed, epoch| {
        let samples = Sampler::new(seed, 50).samples(Position { epoch, offset: 0 }, 50);
        samples.into_iter().map(|(_, image)| image).collect::<Vec<_>>()
    };
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 0), (0..50).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "the set has changed")]
fn a_position_behind_the_end_of_an_epoch_is_a_bad_call() {
    let _ = Sampler::new(1, 10).samples(Position { epoch: 0, offset: 10 }, 1);
}

const INPUT: Size = Size { height: 4, width: 3 };

fn store(budget_bytes: u64) -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempdir().unwrap();
    tree(folder.path(), &[("ann", &["1.png", "2.png"]), ("bob", &["1.png"]), ("cid", &["1.png", "2.png"])]);
    let catalogue = Catalogue::read(&[Source::tree(folder.path())], 1).unwrap();
    let preparation = Preparation::new(SIZE, INPUT, Fit::Exact, Limits::default()).unwrap();
    let settings = StoreSettings { budget_bytes, unreadable: Unreadable::Refuse };
    (folder, Arc::new(Store::open(catalogue, preparation, settings, &|_, _| ()).unwrap()))
}

fn settings(threads: usize, augment: Augment) -> LoaderSettings {
    LoaderSettings {
        batch: 3,
        seed: 11,
        together: 1,
        augment: Augmenter::new(augment).unwrap(),
        threads,
        ahead: 4,
    }
}

fn varied() -> Augment {
    Augment {
        flip: 0.5,
        warp: Warp { probability: 0.8, shift: 0.2, ..Warp::default() },
        erase: Erase { probability: 0.3, ..Erase::default() },
        ..Augment::NONE
    }
}

fn take(store: &Arc<Store>, settings: LoaderSettings, from: Position, count: usize) -> Vec<Batch> {
    let mut loader = Loader::new(Arc::clone(store), settings, from);
    (0..count).map(|_| loader.next_batch().unwrap()).collect()
}

#[test]
fn batches_do_not_depend_on_threads_or_on_what_is_in_memory() {
    let (_folder, store_in_memory) = store(u64::MAX);
    let expected = take(&store_in_memory, settings(1, varied()), Position::default(), 12);
    assert_eq!(take(&store_in_memory, settings(4, varied()), Position::default(), 12), expected);
    let (_folder, store_on_disk) = store(SIZE.rgb_bytes() as u64 * 2);
    assert_eq!(take(&store_on_disk, settings(2, varied()), Position::default(), 12), expected);
    assert_ne!(expected[0].pixels, expected[5].pixels);
}

#[test]
fn a_loader_set_down_in_the_middle_goes_on_as_the_first_did() {
    let (_folder, store) = store(u64::MAX);
    let whole = take(&store, settings(2, varied()), Position::default(), 9);
    for done in 1..9 {
        assert_eq!(whole[done].from, whole[done - 1].next);
        assert_eq!(take(&store, settings(2, varied()), whole[done - 1].next, 9 - done), whole[done..]);
    }
}

/// Without variation a batch is the files themselves, with their own people.
#[test]
fn pixels_labels_and_images_of_a_batch_belong_together() {
    let (_folder, store) = store(u64::MAX);
    for batch in take(&store, settings(2, Augment::NONE), Position::default(), 5) {
        assert_eq!((batch.images.len(), batch.pixels.len()), (3, 3 * INPUT.rgb_bytes()));
        for ((pixels, &label), &image) in
            batch.pixels.chunks(INPUT.rgb_bytes()).zip(&batch.labels).zip(&batch.images)
        {
            let entry = &store.catalogue().images()[image as usize];
            assert_eq!(label, entry.label);
            let file = image::open(store.catalogue().path(image as usize)).unwrap().into_rgb8();
            let corner: u32 = [(0, 0), (1, 0), (0, 1), (1, 1)]
                .iter()
                .map(|&(x, y)| u32::from(file.get_pixel(x, y)[0]))
                .sum();
            assert_eq!(u32::from(pixels[0]), (corner + 2) / 4);
        }
    }
}

#[test]
fn a_set_smaller_than_a_batch_fills_it() {
    let (_folder, store) = store(u64::MAX);
    let settings = LoaderSettings { batch: 13, ..settings(2, varied()) };
    let batch = &take(&store, settings, Position::default(), 1)[0];
    for image in 0..5 {
        assert!(batch.images.iter().filter(|&&other| other == image).count() >= 2);
    }
    assert_eq!(batch.next, Position { epoch: 2, offset: 3 });
}

/// The same image in two epochs of one batch is varied twice, not copied.
#[test]
fn an_image_is_varied_anew_in_each_epoch() {
    let (_folder, store) = store(u64::MAX);
    let augment = Augment { warp: Warp { probability: 1.0, shift: 0.3, ..Warp::default() }, ..Augment::NONE };
    let settings = LoaderSettings { batch: 10, ..settings(1, augment) };
    let batch = &take(&store, settings, Position::default(), 1)[0];
    let of = |image: u32| {
        let places = batch.images.iter().enumerate().filter(move |(_, other)| **other == image);
        places
            .map(|(place, _)| &batch.pixels[place * INPUT.rgb_bytes()..][..INPUT.rgb_bytes()])
            .collect::<Vec<_>>()
    };
    assert!((0..5).all(|image| of(image).len() == 2 && of(image)[0] != of(image)[1]));
}

#[test]
fn images_of_one_epoch_are_varied_each_for_itself() {
    let (_folder, store) = store(u64::MAX);
    let take = |flip| {
        let settings = LoaderSettings { batch: 5, ..settings(1, Augment { flip, ..Augment::NONE }) };
        take(&store, settings, Position::default(), 8)
    };
    let mixed = take(0.5).iter().zip(&take(0.0)).any(|(varied, plain)| {
        let images = varied.pixels.chunks(INPUT.rgb_bytes()).zip(plain.pixels.chunks(INPUT.rgb_bytes()));
        let flipped = images.filter(|(one, other)| one != other).count();
        (1..5).contains(&flipped)
    });
    assert!(mixed, "in each epoch all images are flipped, or none");
}

#[test]
fn an_image_that_vanishes_during_training_is_an_error_with_its_name() {
    let (folder, store) = store(0);
    fs_err::remove_file(folder.path().join("bob/1.png")).unwrap();
    let mut loader = Loader::new(store, settings(2, Augment::NONE), Position::default());
    let error = (0..2).find_map(|_| loader.next_batch().err()).unwrap();
    assert!(error.to_string().contains("bob/1.png"), "{error}");
}
