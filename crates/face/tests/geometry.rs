//! Templates, similarities, warps and embeddings against independent definitions.

use face::{Affine, Border, Embedding, NotADirection, Point, Size, Template, warp};
use proptest::prelude::*;

/// Every value of the 112x96 template, from SphereFace's published alignment, and the square one 8 to the right.
#[test]
fn the_templates_are_the_published_ones() {
    let published =
        [(30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)];
    assert_eq!(Template::HIGH.size, Size { height: 112, width: 96 });
    assert_eq!(Template::SQUARE.size, Size { height: 112, width: 112 });
    for ((x, y), (high, square)) in
        published.into_iter().zip(Template::HIGH.points.into_iter().zip(Template::SQUARE.points))
    {
        assert_eq!(high, Point { x, y });
        assert_eq!(square, Point { x: x + 8.0, y });
    }
    assert_eq!(Template::of_size(Size { height: 112, width: 112 }), Some(Template::SQUARE));
    assert_eq!(Template::of_size(Size { height: 96, width: 112 }), None);
}

fn moved(points: &[Point; 5], map: &Affine) -> [Point; 5] {
    points.map(|point| map.apply(point))
}

fn error(map: &Affine, from: &[Point; 5], to: &[Point; 5]) -> f64 {
    from.iter()
        .zip(to)
        .map(|(&p, q)| {
            let at = map.apply(p);
            (at.x - q.x).powi(2) + (at.y - q.y).powi(2)
        })
        .sum()
}

fn turned(scale: f64, angle: f64, x: f64, y: f64) -> Affine {
    let (sine, cosine) = angle.sin_cos();
    Affine { x: [scale * cosine, -scale * sine, x], y: [scale * sine, scale * cosine, y] }
}

proptest! {
    #[test]
    fn a_similarity_is_found_again(scale in 0.05..20.0_f64, angle in -3.1..3.1_f64, x in -900.0..900.0_f64, y in -900.0..900.0_f64) {
        let truth = turned(scale, angle, x, y);
        let found = Affine::similarity(&Template::HIGH.points, &moved(&Template::HIGH.points, &truth)).unwrap();
        for (one, other) in truth.x.iter().chain(&truth.y).zip(found.x.iter().chain(&found.y)) {
            prop_assert!((one - other).abs() < 1e-8 * (1.0 + one.abs()), "{truth:?} {found:?}");
        }
    }

    /// No other similarity near the one found comes closer to disturbed points.
    #[test]
    fn the_similarity_has_the_least_squared_error(noise in prop::array::uniform10(-6.0..6.0_f64), nudge in prop::array::uniform4(-0.05..0.05_f64)) {
        let from = Template::HIGH.points;
        let mut to = moved(&from, &turned(1.7, 0.4, 20.0, -5.0));
        for (point, shift) in to.iter_mut().zip(noise.chunks_exact(2)) {
            point.x += shift[0];
            point.y += shift[1];
        }
        let best = Affine::similarity(&from, &to).unwrap();
        prop_assert!((best.x[0] - best.y[1]).abs() < 1e-12 && (best.x[1] + best.y[0]).abs() < 1e-12);
        prop_assert!(best.x[0] * best.y[1] - best.x[1] * best.y[0] > 0.0);
        let (real, imaginary) = (best.x[0] + nudge[0], best.y[0] + nudge[1]);
        let other = Affine {
            x: [real, -imaginary, best.x[2] + nudge[2]],
            y: [imaginary, real, best.y[2] + nudge[3]],
        };
        prop_assert!(error(&best, &from, &to) <= error(&other, &from, &to) + 1e-9);
    }

    #[test]
    fn map_and_inverse_cancel(scale in 0.05..20.0_f64, angle in -3.1..3.1_f64, x in -900.0..900.0_f64, px in -500.0..500.0_f64, py in -500.0..500.0_f64) {
        let map = turned(scale, angle, x, 7.0);
        let back = map.inverse().unwrap().apply(map.apply(Point { x: px, y: py }));
        prop_assert!((back.x - px).abs() < 1e-7 && (back.y - py).abs() < 1e-7);
    }

    /// The stretch of each row that is filled without a look at the edges begins and ends where it should.
    #[test]
    fn every_warp_is_bilinear(scale in 0.05..3.0_f64, quarter in 0..4_i32, angle in prop_oneof![Just(0.0), -0.7..0.7_f64], x in -9.0..14.0_f64, y in -9.0..14.0_f64) {
        let map = turned(scale, f64::from(quarter) * std::f64::consts::FRAC_PI_2 + angle, x, y);
        assert_bilinear(&map);
    }

    #[test]
    fn cosine_is_symmetric_and_blind_to_length(values in prop::collection::vec(-5.0..5.0_f32, 8), others in prop::collection::vec(-5.0..5.0_f32, 8), length in 1e-3..1e3_f32) {
        prop_assume!(values.iter().any(|value| value.abs() > 0.1) && others.iter().any(|value| value.abs() > 0.1));
        let longer = Embedding::new(values.iter().map(|value| value * length).collect()).unwrap();
        let (a, b) = (Embedding::new(values).unwrap(), Embedding::new(others).unwrap());
        prop_assert_eq!(a.cosine(&b), b.cosine(&a));
        prop_assert!((longer.cosine(&b) - a.cosine(&b)).abs() < 1e-6);
        prop_assert!((a.cosine(&a) - 1.0).abs() < 1e-6);
    }
}

/// Mirrored points have no exact similarity: the answer must still be a rotation, never a reflection.
#[test]
fn a_mirrored_face_is_not_mirrored_back() {
    let from = Template::HIGH.points;
    let mirrored = from.map(|point| Point { x: 95.0 - point.x, y: point.y });
    let map = Affine::similarity(&from, &mirrored).unwrap();
    assert!(map.x[0] * map.y[1] - map.x[1] * map.y[0] > 0.0);
}

#[test]
fn landmarks_in_one_place_or_not_finite_are_an_error() {
    let to = Template::HIGH.points;
    assert!(Affine::similarity(&[Point { x: 40.0, y: 50.0 }; 5], &to).is_err());
    assert!(Affine::similarity(&to, &[Point { x: 40.0, y: 50.0 }; 5]).is_err());
    for value in [f64::NAN, f64::INFINITY] {
        let mut points = to;
        points[2].x = value;
        assert!(Affine::similarity(&points, &to).is_err());
        assert!(Affine::similarity(&to, &points).is_err());
    }
}

const FROM: Size = Size { height: 9, width: 7 };

fn noise() -> Vec<u8> {
    (0..FROM.rgb_bytes() as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// The definition, in f64: the four pixels around a place, weighted by nearness in both directions.
fn bilinear(input: &[u8], place: Point, channel: usize, border: Border) -> f64 {
    let mut sum = 0.0;
    for row in place.y.floor() as i64..=place.y.floor() as i64 + 1 {
        for column in place.x.floor() as i64..=place.x.floor() as i64 + 1 {
            let weight = (1.0 - (place.x - column as f64).abs()) * (1.0 - (place.y - row as f64).abs());
            let inside =
                (0..i64::from(FROM.height)).contains(&row) && (0..i64::from(FROM.width)).contains(&column);
            if inside || border == Border::Nearest {
                let row = row.clamp(0, i64::from(FROM.height) - 1);
                let column = column.clamp(0, i64::from(FROM.width) - 1);
                let at = (row * i64::from(FROM.width) + column) as usize * 3 + channel;
                sum += weight * f64::from(input[at]);
            }
        }
    }
    sum
}

fn assert_bilinear(map: &Affine) {
    let input = noise();
    let to = Size { height: 12, width: 11 };
    for border in [Border::Black, Border::Nearest] {
        let mut output = vec![9; to.rgb_bytes()];
        warp(&input, FROM, &mut output, to, map, border);
        for (index, &value) in output.iter().enumerate() {
            let (row, column) = (index / 3 / to.width as usize, index / 3 % to.width as usize);
            let place = map.apply(Point { x: column as f64, y: row as f64 });
            let exact = bilinear(&input, place, index % 3, border);
            // Half a step of rounding, and weights of 11 bits against a range of 255: 2 * 255 / 2048.
            assert!((f64::from(value) - exact).abs() <= 0.5 + 0.25, "{value} for {exact} at {place:?}");
        }
    }
}

#[test]
fn a_warp_is_bilinear_inside_and_beyond_the_edges() {
    for map in [turned(0.8, 0.6, -1.3, 0.4), turned(1.0, 0.0, -2.5, -3.25), turned(0.37, -2.0, 5.0, 6.0)] {
        assert_bilinear(&map);
    }
}

/// Places so far away that they overflow are beyond the edge, not somewhere in the image.
#[test]
fn a_warp_from_very_far_away_shows_the_border() {
    let input = noise();
    for (step, start) in [(1e12, -1e14), (-1e12, 1e14), (1e200, 0.5), (0.0, 1e200)] {
        let mut output = vec![9; FROM.rgb_bytes()];
        let map = Affine { x: [step, 0.0, start], y: [0.0, 1.0, 0.0] };
        warp(&input, FROM, &mut output, FROM, &map, Border::Black);
        assert!(output.as_chunks::<3>().0.iter().skip(1).step_by(7).all(|pixel| *pixel == [0; 3]), "{map:?}");
    }
}

#[test]
fn the_identity_copies_and_whole_shifts_move_whole_pixels() {
    let input = noise();
    for border in [Border::Black, Border::Nearest] {
        let mut output = vec![0; input.len()];
        warp(&input, FROM, &mut output, FROM, &turned(1.0, 0.0, 0.0, 0.0), border);
        assert_eq!(output, input);
        warp(&input, FROM, &mut output, FROM, &turned(1.0, 0.0, 2.0, 1.0), border);
        let width = FROM.width as usize;
        assert_eq!(output[..3], input[(width + 2) * 3..(width + 3) * 3]);
        let corner = if border == Border::Black { [0; 3] } else { *input.last_chunk().unwrap() };
        assert_eq!(output.last_chunk(), Some(&corner));
    }
}

#[test]
fn an_embedding_has_length_one_at_any_scale_of_its_entries() {
    for scale in [1e-38_f32, 1e-20, 1.0, 1e38] {
        let embedding = Embedding::new(vec![scale, -2.0 * scale, 2.0 * scale]).unwrap();
        let [x, y, z] = embedding.as_slice().try_into().unwrap();
        let [x, y, z]: [f32; 3] = [x, y, z];
        assert!((x - 1.0 / 3.0).abs() < 1e-6 && (y + 2.0 / 3.0).abs() < 1e-6 && (z - 2.0 / 3.0).abs() < 1e-6);
    }
}

#[test]
fn a_vector_without_a_direction_is_an_error() {
    assert_eq!(Embedding::new(vec![]), Err(NotADirection::Empty));
    assert_eq!(Embedding::new(vec![0.0; 4]), Err(NotADirection::Zero { dimension: 4 }));
    assert_eq!(
        Embedding::new(vec![1.0, f32::INFINITY]),
        Err(NotADirection::NotFinite { index: 1, value: f32::INFINITY })
    );
    assert!(Embedding::new(vec![1.0, f32::NAN]).is_err());
}

#[test]
#[should_panic(expected = "different dimension")]
fn a_cosine_between_dimensions_is_a_bad_call() {
    let _ = Embedding::new(vec![1.0]).unwrap().cosine(&Embedding::new(vec![1.0, 0.0]).unwrap());
}
