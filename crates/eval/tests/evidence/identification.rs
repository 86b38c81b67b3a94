//! Searches in a gallery against scores that are all written down.

use eval::Vectors;
use eval::identification::template::{Length, TemplateImage, Templates, TemplatesError, Weight};
use eval::identification::{
    Distractors, DistractorsError, FnirAtFpir, Identification, IdentificationError, ProbeScores, ScanError,
    search,
};
use eval::interval::Bootstrap;

use super::made::numbers;

const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 200, level: 0.95, seed: 1 };
/// Sums of eight products in f32 err by a few times 2^-24; scores closer than this are not told apart by a test.
const CLOSE: f64 = 1e-6;

fn random(rows: usize, dimension: usize, seed: u64) -> Vectors {
    let mut next = numbers(seed);
    Vectors::new((0..rows * dimension).map(|_| next() as f32).collect(), dimension).expect("vectors")
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |left: &[f32], right: &[f32]| -> f64 {
        left.iter().zip(right).map(|(&left, &right)| f64::from(left) * f64::from(right)).sum()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[test]
fn a_search_over_many_tiles_is_that_of_all_scores_written_down() {
    // More rows than a tile has and more probes than a task has; people of 1 to 7 rows, not in order.
    let (gallery, probes) = (random(1300, 8, 1), random(270, 8, 2));
    let gallery_people: Vec<usize> = (0..1300).map(|row| (row * 7919) % 331).collect();
    let probe_people: Vec<usize> = (0..270).map(|row| (row * 31) % 400).collect();
    let found = search(&probes, &probe_people, &gallery, &gallery_people).expect("a search");
    let mut impostors = 0;
    for (probe, scores) in found.probes.iter().enumerate() {
        let mut best = vec![f64::NEG_INFINITY; 400];
        for (row, &person) in gallery_people.iter().enumerate() {
            best[person] = best[person].max(cosine(probes.row(probe), gallery.row(row)));
            impostors += u64::from(person != probe_people[probe]);
        }
        let mate = best[probe_people[probe]];
        best[probe_people[probe]] = f64::NEG_INFINITY;
        let stranger = best.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!((f64::from(scores.stranger) - stranger).abs() < CLOSE);
        assert_eq!(scores.mate.is_some(), mate.is_finite());
        if let Some(found) = scores.mate {
            assert!((f64::from(found) - mate).abs() < CLOSE);
            let ahead = |by: f64| best.iter().filter(|&&score| score > mate + by).count();
            assert!((ahead(CLOSE)..=ahead(-CLOSE)).contains(&scores.ahead), "probe {probe}");
        }
    }
    assert_eq!(found.impostors.total(), impostors);
    let again = search(&probes, &probe_people, &gallery, &gallery_people).expect("a search");
    assert_eq!(found, again);
}

#[test]
fn a_stranger_with_the_very_vector_of_the_mate_counts_as_ahead() {
    for dimension in [3, 64, 500] {
        let mut values = Vec::new();
        let copied = random(1, dimension, 5);
        let others = random(600, dimension, 6);
        (0..600).for_each(|row| values.extend_from_slice(others.row(row)));
        // The mate is row 3 and the stranger's copy row 599, in another tile.
        values[3 * dimension..4 * dimension].copy_from_slice(copied.row(0));
        values[599 * dimension..].copy_from_slice(copied.row(0));
        let gallery = Vectors::new(values, dimension).expect("vectors");
        let people: Vec<usize> = (0..600).collect();
        let found = search(&copied, &[3], &gallery, &people).expect("a search").probes[0];
        assert_eq!((found.mate, found.ahead), (Some(found.stranger), 1), "dimension {dimension}");
    }
}

#[test]
fn searches_that_mean_nothing_are_refused() {
    let found = search(&random(2, 3, 1), &[0, 1], &random(4, 5, 2), &[0, 1, 2, 3]);
    assert_eq!(found, Err(ScanError::Dimension { probes: 3, gallery: 5 }));
    let found = search(&random(2, 3, 1), &[1, 0], &random(2, 3, 2), &[0, 0]);
    assert_eq!(found, Err(ScanError::NoStranger { probe: 1 }));
}

fn probe(mate: Option<f32>, stranger: f32, ahead: usize) -> ProbeScores {
    ProbeScores { mate, stranger, ahead }
}

#[test]
fn cmc_and_det_are_those_counted_by_hand() {
    let probes = [
        probe(Some(0.9), 0.2, 0),
        probe(Some(0.8), 0.85, 1),
        probe(Some(0.5), 0.4, 0),
        probe(Some(0.1), 0.6, 3),
        probe(None, 0.5, 0),
        probe(None, 0.3, 0),
    ];
    let found = Identification::of(&probes, &[0, 1, 2, 3, 4, 5], (8, 9), &[0.5, 1.0, 0.1], &BOOTSTRAP)
        .expect("figures");
    assert_eq!((found.mated, found.non_mated), (4, 2));
    assert_eq!(found.cmc, [0.5, 0.75, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(
        found.ranks.iter().map(|rank| (rank.rank, rank.found.value)).collect::<Vec<_>>(),
        [(1, 0.5), (5, 1.0)]
    );
    // At 0.5, shared by a mate and a stranger, half of the strangers are reported and only the mate at 0.1 is missed.
    let rates = |at: usize| match found.at_fpir[at] {
        FnirAtFpir::Read { point, fnir, .. } => (point.fpir, fnir.value),
        FnirAtFpir::Refused(_) => panic!("resolved"),
    };
    assert_eq!((rates(0), rates(1)), ((0.5, 0.25), (1.0, 0.0)));
    let FnirAtFpir::Refused(refused) = found.at_fpir[2] else { panic!("two probes resolve no tenth") };
    assert_eq!((refused.finest, refused.impostors), (0.5, 2));
    let curve: Vec<(f64, f64)> = found.det.iter().map(|point| (point.fpir, point.fnir)).collect();
    assert_eq!(curve, [(0.0, 1.0), (0.0, 0.75), (0.0, 0.5), (0.5, 0.25), (1.0, 0.25), (1.0, 0.0)]);
}

#[test]
fn closed_sets_have_no_det_and_rates_are_checked() {
    let closed = [probe(Some(0.9), 0.2, 0), probe(Some(0.3), 0.5, 1)];
    let found = Identification::of(&closed, &[0, 1], (3, 3), &[0.1], &BOOTSTRAP).expect("figures");
    assert!(found.det.is_empty());
    assert!(matches!(found.at_fpir[..], [FnirAtFpir::Refused(_)]));
    assert_eq!(found.cmc.len(), 3);
    let open = [probe(None, 0.2, 0)];
    let found = Identification::of(&open, &[0], (3, 3), &[0.1], &BOOTSTRAP).expect("figures");
    assert!(found.cmc.is_empty() && found.at_fpir.is_empty() && found.ranks.is_empty());
    assert_eq!(Identification::of(&[], &[], (3, 3), &[], &BOOTSTRAP), Err(IdentificationError::NoProbes));
    assert!(Identification::of(&closed, &[0, 1], (3, 3), &[0.0], &BOOTSTRAP).is_err());
}

#[test]
fn growing_distractors_give_what_all_scores_written_down_give() {
    let (people_count, images, dimension) = (12, 3, 4);
    let (people, probes) = {
        let (centres, noise) =
            (random(people_count, dimension, 3), random(people_count * images, dimension, 4));
        let mut values = Vec::new();
        for row in 0..people_count * images {
            let centre = centres.row(row / images);
            values.extend(centre.iter().zip(noise.row(row)).map(|(centre, noise)| centre + 0.3 * noise));
        }
        let people: Vec<usize> = (0..people_count * images).map(|row| row / images).collect();
        (people, Vectors::new(values, dimension).expect("vectors"))
    };
    let distractors = random(1100, dimension, 5);
    let far = 0.01;
    let found = Distractors::of(&probes, &people, &distractors, &[1100, 10, 600], far).expect("figures");
    assert_eq!((found.probes, found.people, found.searches), (36, 12, 72));
    for (point, size) in found.points.iter().zip([10, 600, 1100]) {
        let mut impostors = Vec::new();
        for probe in 0..36 {
            impostors.extend((0..size).map(|row| cosine(probes.row(probe), distractors.row(row))));
        }
        let (mut won, mut genuine) = (0, Vec::new());
        for probe in 0..36 {
            let best = impostors[probe * size..(probe + 1) * size].iter().copied().fold(-1.0, f64::max);
            for other in (0..36).filter(|&other| other != probe && people[other] == people[probe]) {
                let score = cosine(probes.row(probe), probes.row(other));
                won += usize::from(score > best);
                genuine.push(score);
            }
        }
        assert_eq!((point.distractors, point.impostors), (size, impostors.len() as u64));
        assert_eq!(point.rank_one, won as f64 / 72.0, "{size}");
        impostors.sort_by(|left, right| right.total_cmp(left));
        let allowed = (far * impostors.len() as f64) as usize;
        let expected = genuine.iter().filter(|&&score| score > impostors[allowed]).count();
        assert_eq!(point.tar, Some(expected as f64 / 72.0), "{size}");
    }
    let fine = Distractors::of(&probes, &people, &distractors, &[10, 1100], 1e-4).expect("figures");
    assert_eq!((fine.points[0].tar, fine.points[1].tar.is_some()), (None, true), "360 pairs resolve no 1e-4");
}

#[test]
fn a_distractor_with_the_very_vector_of_the_other_image_wins() {
    let (probes, distractors) =
        (Vectors::new(vec![1.0, 0.0, 1.0, 0.5], 2).expect("vectors"), random(600, 2, 1));
    let mut values: Vec<f32> =
        (0..600).flat_map(|row| distractors.row(row).to_vec()).map(|value| -value.abs()).collect();
    let apart = Vectors::new(values.clone(), 2).expect("vectors");
    let rank_one = |distractors: &Vectors| {
        Distractors::of(&probes, &[7, 7], distractors, &[600], 0.1).expect("figures").points[0].rank_one
    };
    assert_eq!(rank_one(&apart), 1.0);
    values[1198..].copy_from_slice(&[1.0, 0.5]);
    assert!(rank_one(&Vectors::new(values, 2).expect("vectors")) < 1.0);
}

#[test]
fn protocols_of_distractors_that_mean_nothing_are_refused() {
    let (probes, distractors) = (random(4, 3, 1), random(5, 3, 2));
    let of =
        |people: &[usize], sizes: &[usize], far| Distractors::of(&probes, people, &distractors, sizes, far);
    assert_eq!(of(&[0, 1, 2, 3], &[5], 0.1), Err(DistractorsError::NoSearches));
    assert_eq!(of(&[0, 0, 1, 1], &[6], 0.1), Err(DistractorsError::Size { there: 5, wanted: 6 }));
    assert_eq!(of(&[0, 0, 1, 1], &[0], 0.1), Err(DistractorsError::Size { there: 5, wanted: 0 }));
    assert_eq!(of(&[0, 0, 1, 1], &[5], 0.0), Err(DistractorsError::NoRate(0.0)));
    assert!(matches!(
        Distractors::of(&probes, &[0; 4], &random(5, 2, 1), &[5], 0.1),
        Err(DistractorsError::Dimension { .. })
    ));
}

#[test]
fn a_template_is_the_sum_over_media_of_the_mean_within_a_medium() {
    let vectors =
        Vectors::from_rows([&[3.0, 4.0][..], &[1.0, 0.0], &[0.0, 5.0], &[2.0, 0.0]]).expect("vectors");
    let image = |template, medium, detector_score| TemplateImage { template, medium, detector_score };
    let images = [image(7, 1, 0.5), image(7, 1, 1.0), image(7, 2, 1.0), image(3, 1, 0.25)];
    let pool = |length, weight| Templates::pool(&vectors, &images, length, weight).expect("templates");
    let kept = pool(Length::Kept, Weight::Equal);
    assert_eq!(kept.numbers, [3, 7]);
    // ((3, 4) + (1, 0)) / 2 + (0, 5)
    assert_eq!((kept.vectors.row(0), kept.vectors.row(1)), (&[2.0, 0.0][..], &[2.0, 7.0][..]));
    // ((0.6, 0.8) + (1, 0)) / 2 + (0, 1)
    assert_eq!(pool(Length::Unit, Weight::Equal).vectors.row(1), [0.8, 1.4]);
    // ((1.5, 2) + (1, 0)) / 2 + (0, 5)
    assert_eq!(pool(Length::Kept, Weight::DetectorScore).vectors.row(1), [1.25, 6.0]);
    let bad = [image(1, 1, 1.0), image(1, 2, f32::NAN), image(1, 3, 1.0), image(1, 4, 1.0)];
    let found = Templates::pool(&vectors, &bad, Length::Kept, Weight::DetectorScore);
    assert!(matches!(found, Err(TemplatesError::Score { image: 1, .. })));
    assert!(
        Templates::pool(&vectors, &bad, Length::Kept, Weight::Equal).is_ok(),
        "the score does not matter here"
    );
}
