use data::{Augment, Augmenter, Blur, Colour, Erase, LowResolution, Scratch, Warp, flip_horizontally};
use face::Size;
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const SIZE: Size = Size { height: 28, width: 24 };

fn picture() -> Vec<u8> {
    (0..SIZE.rgb_bytes() as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn applied(settings: &Augment, seed: u64, pixels: &[u8]) -> Vec<u8> {
    let mut pixels = pixels.to_vec();
    let augmenter = Augmenter::new(settings.clone()).unwrap();
    augmenter.apply(&mut pixels, SIZE, &mut ChaCha8Rng::seed_from_u64(seed), &mut Scratch::default());
    pixels
}

/// Each step alone, always taken.
fn steps() -> Vec<(&'static str, Augment)> {
    let none = Augment::NONE;
    vec![
        ("flip", Augment { flip: 1.0, ..none.clone() }),
        ("warp", Augment { warp: Warp { probability: 1.0, ..Warp::default() }, ..none.clone() }),
        ("colour", Augment { colour: Colour { probability: 1.0, ..Colour::default() }, ..none.clone() }),
        ("grey", Augment { grey: 1.0, ..none.clone() }),
        ("blur", Augment { blur: Blur { probability: 1.0, ..Blur::default() }, ..none.clone() }),
        (
            "low_resolution",
            Augment { low_resolution: LowResolution { probability: 1.0, smallest: 0.3 }, ..none.clone() },
        ),
        ("erase", Augment { erase: Erase { probability: 1.0, ..Erase::default() }, ..none }),
    ]
}

fn everything() -> Augment {
    Augment {
        flip: 0.5,
        warp: Warp { probability: 0.5, ..Warp::default() },
        colour: Colour { probability: 0.5, ..Colour::default() },
        grey: 0.5,
        blur: Blur { probability: 0.5, ..Blur::default() },
        low_resolution: LowResolution { probability: 0.5, smallest: 0.3 },
        erase: Erase { probability: 0.5, ..Erase::default() },
    }
}

#[test]
fn probabilities_of_zero_leave_every_bit() {
    for seed in 0..50 {
        assert_eq!(applied(&Augment::NONE, seed, &picture()), picture());
    }
}

#[test]
fn each_setting_switches_its_own_step() {
    for (name, settings) in steps() {
        assert_ne!(applied(&settings, 3, &picture()), picture(), "{name}");
    }
}

/// Also with memory left over from an image of another size.
#[test]
fn the_numbers_alone_decide() {
    let augmenter = Augmenter::new(everything()).unwrap();
    let mut used = Scratch::default();
    let large = Size { height: 40, width: 50 };
    for seed in 0..30 {
        let fresh = applied(&everything(), seed, &picture());
        augmenter.apply(
            &mut vec![7; large.rgb_bytes()],
            large,
            &mut ChaCha8Rng::seed_from_u64(seed + 1),
            &mut used,
        );
        let mut pixels = picture();
        augmenter.apply(&mut pixels, SIZE, &mut ChaCha8Rng::seed_from_u64(seed), &mut used);
        assert_eq!(pixels, fresh);
        assert_ne!(fresh, applied(&everything(), seed + 1000, &picture()));
    }
}

#[test]
fn a_probability_is_the_share_of_images_changed() {
    let settings = Augment { flip: 0.3, ..Augment::NONE };
    let changed = (0..2000).filter(|&seed| applied(&settings, seed, &picture()) != picture()).count();
    // 600 expected, with a standard deviation of 20.5; five of them either way.
    assert!((498..=702).contains(&changed), "{changed}");
}

#[test]
fn a_flip_mirrors_each_image_of_a_batch_by_itself() {
    let size = Size { height: 2, width: 3 };
    let mut batch: Vec<u8> = (0..36).collect();
    flip_horizontally(&mut batch, size);
    let row = |first: u8| {
        [first + 6, first + 7, first + 8, first + 3, first + 4, first + 5, first, first + 1, first + 2]
    };
    assert_eq!(batch, [row(0), row(9), row(18), row(27)].concat());
    flip_horizontally(&mut batch, size);
    assert_eq!(batch, (0..36).collect::<Vec<u8>>());
}

/// A bright spot off the middle: where it goes tells shift, scale and turn apart.
fn spot(settings: &Augment, seed: u64) -> (f64, f64) {
    let mut pixels = vec![0; SIZE.rgb_bytes()];
    for (row, column) in [(8, 14), (8, 15), (9, 14), (9, 15)] {
        pixels[(row * 24 + column) * 3] = 240;
    }
    let pixels = applied(settings, seed, &pixels);
    let (mut mass, mut x, mut y) = (0.0, 0.0, 0.0);
    for (index, pixel) in pixels.chunks(3).enumerate() {
        mass += f64::from(pixel[0]);
        x += f64::from(pixel[0]) * (index % 24) as f64;
        y += f64::from(pixel[0]) * (index / 24) as f64;
    }
    (x / mass - 11.5, y / mass - 13.5)
}

#[test]
fn a_warp_stays_within_its_settings_and_uses_them_both_ways() {
    let warp = |shift, scale, rotate_degrees| Augment {
        warp: Warp { probability: 1.0, shift, scale, rotate_degrees },
        ..Augment::NONE
    };
    // The spot's own place, relative to the middle of the image.
    let (x, y) = (3.0_f64, -5.0_f64);
    let radius = x.hypot(y);
    let mut spans = [[f64::INFINITY, f64::NEG_INFINITY]; 4];
    let mut note = |span: usize, value: f64| {
        spans[span] = [spans[span][0].min(value), spans[span][1].max(value)];
    };
    // Centroids of a bilinear warp are off by a few hundredths of a pixel.
    let slack = 0.1;
    for seed in 0..200 {
        let (sx, sy) = spot(&warp(0.1, 0.0, 0.0), seed);
        assert!((sx - x).abs() <= 2.4 + slack && (sy - y).abs() <= 2.8 + slack, "shift {sx} {sy}");
        note(0, sx - x);
        note(1, sy - y);
        let (rx, ry) = spot(&warp(0.0, 0.0, 20.0), seed);
        assert!((rx.hypot(ry) - radius).abs() < slack, "a turn keeps the radius: {rx} {ry}");
        let angle = (ry.atan2(rx) - y.atan2(x)).to_degrees();
        assert!(angle.abs() <= 21.0, "{angle}");
        note(2, angle);
        let (zx, zy) = spot(&warp(0.0, 0.25, 0.0), seed);
        let scale = zx.hypot(zy) / radius;
        assert!((0.78..=1.27).contains(&scale) && (zx / zy - x / y).abs() < 0.05, "{scale}");
        note(3, scale.ln());
    }
    for ([low, high], most) in spans.into_iter().zip([2.4, 2.8, 20.0, 0.223]) {
        assert!(low < -0.8 * most && high > 0.8 * most, "{low} to {high} of {most}");
    }
}

#[test]
fn grey_is_grey_and_colour_is_not() {
    let grey = |pixels: &[u8]| pixels.chunks(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]);
    let settings = Augment { grey: 1.0, ..everything() };
    let without_erasing = Augment { erase: Erase::default(), ..settings };
    assert!((0..20).all(|seed| grey(&applied(&without_erasing, seed, &picture()))));
    assert!(!grey(&picture()));
}

#[test]
fn erasing_hides_one_rectangle_of_the_size_that_was_set() {
    let settings =
        Augment { erase: Erase { probability: 1.0, smallest: 0.05, largest: 0.2 }, ..Augment::NONE };
    let mut areas = Vec::new();
    // Grey 77 everywhere, so that what differs is what was erased.
    let flat = vec![77; SIZE.rgb_bytes()];
    for seed in 0..200 {
        let pixels = applied(&settings, seed, &flat);
        let hidden: Vec<usize> =
            pixels.chunks(3).enumerate().filter(|(_, pixel)| **pixel != [77; 3]).map(|(at, _)| at).collect();
        let rows = hidden.iter().map(|at| at / 24);
        let columns = hidden.iter().map(|at| at % 24);
        let height = rows.clone().max().unwrap() - rows.min().unwrap() + 1;
        let width = columns.clone().max().unwrap() - columns.min().unwrap() + 1;
        assert_eq!(height * width, hidden.len(), "not a rectangle");
        let colour = &pixels[hidden[0] * 3..][..3];
        assert!(hidden.iter().all(|at| &pixels[at * 3..][..3] == colour));
        areas.push(hidden.len() as f64 / (28.0 * 24.0));
    }
    // Sides are rounded to whole pixels, each by half a pixel of four at the least.
    assert!(areas.iter().all(|area| (0.03..0.25).contains(area)), "{areas:?}");
    assert!(areas.iter().any(|&area| area < 0.08) && areas.iter().any(|&area| area > 0.16));
}

/// Neighbouring pixels of noise differ much, those of an enlarged or blurred image little; the mean stays.
#[test]
fn blur_and_low_resolution_smooth_and_keep_the_mean() {
    let roughness =
        |pixels: &[u8]| -> f64 { pixels.windows(4).map(|part| f64::from(part[0].abs_diff(part[3]))).sum() };
    let mean =
        |pixels: &[u8]| pixels.iter().map(|&value| f64::from(value)).sum::<f64>() / pixels.len() as f64;
    for (name, settings) in steps().into_iter().filter(|(name, _)| ["blur", "low_resolution"].contains(name))
    {
        let mut smoothest = f64::INFINITY;
        for seed in 0..40 {
            let pixels = applied(&settings, seed, &picture());
            let ratio = roughness(&pixels) / roughness(&picture());
            assert!(ratio <= 1.01, "{name}: {ratio}");
            assert!((mean(&pixels) - mean(&picture())).abs() < 4.0, "{name}");
            smoothest = smoothest.min(ratio);
        }
        assert!(smoothest < 0.4, "{name}: {smoothest}");
    }
}

/// An enlargement that lays the corners of pixels wrongly over each other moves the face; a mirror shows it.
#[test]
fn low_resolution_does_not_move_the_face() {
    let settings =
        Augment { low_resolution: LowResolution { probability: 1.0, smallest: 0.2 }, ..Augment::NONE };
    let mut mirrored = picture();
    flip_horizontally(&mut mirrored, SIZE);
    for seed in 0..40 {
        let expected = applied(&settings, seed, &picture());
        let mut flipped_back = applied(&settings, seed, &mirrored);
        flip_horizontally(&mut flipped_back, SIZE);
        // Two roundings, one in the reduction and one in the enlargement.
        assert!(
            expected.iter().zip(&flipped_back).all(|(one, other)| one.abs_diff(*other) <= 2),
            "seed {seed}"
        );
    }
}

#[test]
fn every_setting_has_a_checked_range() {
    let good =
        ["flip = 1.0", "warp.shift = 0.5", "erase = { smallest = 0.3, largest = 0.3 }", "blur.sigma = 10.0"];
    let bad = [
        ("flip = 1.01", "flip"),
        ("flip = nan", "flip"),
        ("grey = -0.1", "grey"),
        ("warp.probability = 2.0", "warp.probability"),
        ("warp.shift = 0.51", "warp.shift"),
        ("warp.scale = -0.1", "warp.scale"),
        ("warp.rotate_degrees = 181.0", "warp.rotate_degrees"),
        ("colour.probability = inf", "colour.probability"),
        ("colour.brightness = 1.5", "colour.brightness"),
        ("colour.contrast = 1.5", "colour.contrast"),
        ("colour.saturation = 1.5", "colour.saturation"),
        ("blur.probability = -1.0", "blur.probability"),
        ("blur.sigma = 0.0", "blur.sigma"),
        ("low_resolution.probability = 1.1", "low_resolution.probability"),
        ("low_resolution.smallest = 0.0", "low_resolution.smallest"),
        ("erase.probability = 1.1", "erase.probability"),
        ("erase.smallest = 0.0", "erase.smallest"),
        ("erase = { smallest = 0.3, largest = 0.2 }", "erase.largest"),
    ];
    for text in good {
        assert!(Augmenter::new(toml::from_str(text).unwrap()).is_ok(), "{text}");
    }
    for (text, field) in bad {
        let error = Augmenter::new(toml::from_str(text).unwrap()).unwrap_err();
        assert_eq!(error.field, field, "{text}");
        assert!(error.to_string().starts_with(&format!("augment.{field} must be ")), "{error}");
    }
    for text in ["flipp = 0.5", "warp.rotate = 3.0", "blur = { radius = 2 }"] {
        assert!(toml::from_str::<Augment>(text).is_err(), "{text}");
    }
    assert_eq!(toml::from_str::<Augment>("").unwrap(), Augment { flip: 0.5, ..Augment::NONE });
}

proptest! {
    /// Every corner of the ranges on every shape of image, down to one pixel.
    #[test]
    fn no_allowed_setting_panics(height in 1..20_u32, width in 1..20_u32, seed in 0..u64::MAX, extreme in 0..2_usize) {
        let pick = |low, high| [low, high][extreme];
        let settings = Augment {
            flip: 1.0,
            warp: Warp { probability: 1.0, shift: pick(0.0, 0.5), scale: pick(0.0, 1.0), rotate_degrees: pick(0.0, 180.0) },
            colour: Colour { probability: 1.0, brightness: pick(0.0, 1.0), contrast: pick(0.0, 1.0), saturation: pick(0.0, 1.0) },
            grey: 0.5,
            blur: Blur { probability: 1.0, sigma: pick(1e-3, 10.0) },
            low_resolution: LowResolution { probability: 1.0, smallest: pick(1e-6, 1.0) },
            erase: Erase { probability: 1.0, smallest: pick(1e-9, 1.0), largest: 1.0 },
        };
        let size = Size { height, width };
        let mut pixels = vec![100; size.rgb_bytes()];
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Augmenter::new(settings).unwrap().apply(&mut pixels, size, &mut random, &mut Scratch::default());
    }
}
