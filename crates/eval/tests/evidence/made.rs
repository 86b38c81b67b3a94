//! Protocols and vectors made for tests.

use eval::protocol::{FoldOrigin, ImageKey, Kind, Pair, Protocol};
use eval::{FeatureRule, ModelIdentity, Rule, Settings, Vectors};

/// Numbers in -1..1 from a seed (SplitMix64).
pub(crate) fn numbers(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// A protocol of pairs that share no image; person and image of a genuine pair are its own.
pub(crate) fn protocol(pairs: &[(Kind, usize)], folds: usize) -> Protocol {
    let mut images = Vec::new();
    let pairs = pairs.iter().enumerate().map(|(index, &(kind, fold))| {
        for side in 0..2 {
            let person = if kind == Kind::Genuine { format!("p{index}") } else { format!("p{index}-{side}") };
            images.push(ImageKey { name: format!("{person}/{index}-{side}"), person });
        }
        Pair { first: 2 * index, second: 2 * index + 1, kind, fold }
    });
    let pairs = pairs.collect();
    Protocol { name: "made.txt".into(), images, pairs, folds, fold_origin: FoldOrigin::File }
}

/// `each` pairs of each kind in each fold.
pub(crate) fn even(folds: usize, each: usize) -> Protocol {
    let kinds = [Kind::Genuine, Kind::Impostor];
    let pairs: Vec<_> = (0..folds)
        .flat_map(|fold| kinds.into_iter().flat_map(move |kind| (0..each).map(move |_| (kind, fold))))
        .collect();
    protocol(&pairs, folds)
}

/// Cosines for a protocol: genuine ones higher on average, in steps of `step` so that ties occur.
pub(crate) fn cosines(protocol: &Protocol, seed: u64, step: f64) -> Vec<f64> {
    let mut next = numbers(seed);
    let cosine = |pair: &Pair| {
        let centre = if pair.kind == Kind::Genuine { 0.3 } else { 0.0 };
        ((centre + 0.6 * next()) / step).round() * step
    };
    protocol.pairs.iter().map(cosine).collect()
}

/// People with several images each; everyone's images are compared with each other and with the next person's.
pub(crate) fn crowd(people: usize, images: usize, folds: usize, seed: u64) -> (Protocol, Vectors) {
    let (mut keys, mut rows, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    let mut next = numbers(seed);
    for person in 0..people {
        let centre: Vec<f64> = (0..8).map(|_| next()).collect();
        for image in 0..images {
            keys.push(ImageKey { person: format!("p{person}"), name: format!("p{person}/{image}") });
            rows.push(centre.iter().map(|value| (value + 0.7 * next()) as f32).collect::<Vec<f32>>());
            let fold = person * folds / people;
            let row = person * images + image;
            for other in 0..image {
                pairs.push(Pair { first: row, second: person * images + other, kind: Kind::Genuine, fold });
            }
            let stranger = (person + 1) % people * images + image;
            pairs.push(Pair { first: row, second: stranger, kind: Kind::Impostor, fold });
        }
    }
    let vectors = Vectors::from_rows(rows.iter().map(Vec::as_slice)).expect("vectors");
    (
        Protocol { name: "crowd.txt".into(), images: keys, pairs, folds, fold_origin: FoldOrigin::File },
        vectors,
    )
}

pub(crate) fn settings() -> Settings {
    Settings {
        model: ModelIdentity { name: "model.safetensors".into(), fingerprint: "0123456789abcdef".into() },
        feature_rule: FeatureRule::Concatenated,
        rule: Rule::OtherFolds,
        fars: vec![0.1, 0.01, 1e-6],
        bootstrap: eval::interval::Bootstrap { replicates: 200, ..Default::default() },
        set_rule: None,
    }
}
