//! Bounds of scale and margin against the paper's numbers and against configurations that attain them.

use margin::advice::{MarginVerdict, ScaleVerdict, advise};
use margin::bounds::{
    BoundsError, MarginBound, margin_of_random_centres, margin_upper_bound, margin_upper_bound_of,
    scale_lower_bound,
};
use margin::{ArcFaceSlope, Loss, Problem, evaluate};

use super::problems::numbers;

#[test]
fn eight_classes_in_the_plane_allow_a_margin_of_0_29() {
    let bound = margin_upper_bound(8, 2).expect("a bound");
    assert!((bound.ceiling() - 0.2929).abs() < 1e-4, "{bound}");
    assert_eq!(bound.to_string(), "at most 0.2929");
}

#[test]
fn the_paper_s_margin_and_dimension_are_beyond_the_exact_cases() {
    let bound = margin_upper_bound(10_575, 512).expect("a bound");
    assert!(
        matches!(bound, MarginBound::MuchSmallerThan(value) if (value - 10_575.0 / 10_574.0).abs() < 1e-12)
    );
    assert_eq!(margin_upper_bound(513, 512), Ok(MarginBound::Exact(513.0 / 512.0)));
    assert!(matches!(margin_upper_bound(514, 512), Ok(MarginBound::MuchSmallerThan(_))));
}

#[test]
fn the_cases_of_equation_7_meet_where_they_overlap() {
    for classes in [2, 3] {
        let plane = margin_upper_bound(classes, 2).expect("a bound").ceiling();
        let simplex = margin_upper_bound(classes, 3).expect("a bound").ceiling();
        assert!((plane - simplex).abs() < 1e-12, "{classes} classes");
    }
    assert_eq!(margin_upper_bound(2, 1), Ok(MarginBound::Exact(2.0)));
    assert_eq!(margin_upper_bound(3, 1), Ok(MarginBound::Exact(0.0)));
}

#[test]
fn evenly_spread_centres_attain_the_bound() {
    let circle: Vec<f64> = (0..8)
        .flat_map(|class| {
            let (sine, cosine) = (std::f64::consts::TAU * f64::from(class) / 8.0).sin_cos();
            [3.0 * cosine, 3.0 * sine]
        })
        .collect();
    let found = margin_upper_bound_of(&circle, 8, 2).expect("a bound");
    assert!((found.margin - margin_upper_bound(8, 2).expect("a bound").ceiling()).abs() < 1e-12);
    // A regular simplex of 4 centres in 3 dimensions: alternate corners of a cube.
    let simplex = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0, 1.0];
    let found = margin_upper_bound_of(&simplex, 4, 3).expect("a bound");
    assert!((found.margin - 4.0 / 3.0).abs() < 1e-12);
}

#[test]
fn bound_of_given_weights_comes_from_the_closest_pair() {
    let weights = [5.0, 0.0, 0.0, 0.1, 0.6, 0.8, -1.0, 0.0];
    let found = margin_upper_bound_of(&weights, 4, 2).expect("a bound");
    assert_eq!(found.closest, (1, 2));
    assert!((found.margin - 0.2).abs() < 1e-12);
    let twins = margin_upper_bound_of(&[0.3, 0.1, 0.6, 0.2], 2, 2).expect("a bound");
    assert!((0.0..1e-15).contains(&twins.margin));
}

#[test]
fn the_least_scale_gives_exactly_the_wanted_posterior_at_the_centre_of_a_simplex() {
    // Equation 6 is attained where every other centre stands at cosine -1/(C-1): here the 4 corners of a simplex.
    let weights = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0, 1.0];
    for posterior in [0.3, 0.9, 0.999] {
        let s = scale_lower_bound(4, posterior).expect("a bound");
        let problem = Problem {
            features: &weights,
            weights: &weights,
            labels: &[0, 1, 2, 3],
            samples: 4,
            classes: 4,
            dimension: 3,
        };
        let found = evaluate(&Loss::Nsl { s }, &problem).expect("a loss");
        assert!((found.loss - -f64::ln(posterior)).abs() < 1e-12, "P = {posterior}");
    }
}

#[test]
fn more_classes_and_a_higher_posterior_need_a_larger_scale() {
    let casia = scale_lower_bound(10_575, 0.9).expect("a bound");
    assert!((casia - 11.462).abs() < 1e-3, "{casia}");
    assert!(scale_lower_bound(90_000, 0.9).expect("a bound") > casia);
    assert!(scale_lower_bound(10_575, 0.99).expect("a bound") > casia);
    assert!(scale_lower_bound(10, 0.05).expect("a bound") < 0.0);
}

#[test]
fn questions_without_an_answer_are_refused() {
    assert_eq!(scale_lower_bound(1, 0.9), Err(BoundsError::TooFewClasses { classes: 1 }));
    for posterior in [0.0, 1.0, f64::NAN] {
        assert!(matches!(scale_lower_bound(9, posterior), Err(BoundsError::PosteriorOutOfRange { .. })));
    }
    assert_eq!(margin_upper_bound(9, 0), Err(BoundsError::NoDimension));
    let error = margin_upper_bound_of(&[1.0, 0.0, 0.0, 0.0], 2, 2).expect_err("refused");
    assert_eq!(error.to_string(), "a class centre is zero or not finite, at class: 1");
}

#[test]
fn random_centres_allow_about_what_the_estimate_says() {
    for (classes, dimension) in [(40, 16), (300, 24), (500, 128)] {
        let mut next = numbers(classes as u64);
        // Sums of twelve numbers are close to normal, so that directions are evenly spread.
        let mut normal = || (0..12).map(|_| next()).sum::<f64>();
        let weights: Vec<f64> = (0..classes * dimension).map(|_| normal()).collect();
        let found = margin_upper_bound_of(&weights, classes, dimension).expect("a bound").margin;
        let estimate = margin_of_random_centres(classes, dimension).expect("an estimate");
        assert!((found - estimate).abs() < 0.08, "{classes} in {dimension}: {found} is not near {estimate}");
    }
    assert_eq!(margin_of_random_centres(5, 1), Ok(0.0));
    assert!(margin_of_random_centres(8, 2).expect("an estimate") < 0.01);
}

#[test]
fn advice_reaches_the_loss_of_a_simplex_and_names_the_first_bound_that_is_passed() {
    let weights = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, 1.0, -1.0, -1.0, -1.0, 1.0];
    for loss in [
        Loss::CosFace { s: 5.0, m: 0.35 },
        Loss::ArcFace { s: 5.0, m: 0.5, slope: ArcFaceSlope::Exact },
        Loss::Nsl { s: 300.0 },
    ] {
        let advice = advise(&loss, 4, 3, 0.9, None).expect("advice");
        let problem = Problem {
            features: &weights,
            weights: &weights,
            labels: &[0, 1, 2, 3],
            samples: 4,
            classes: 4,
            dimension: 3,
        };
        let expected = evaluate(&loss, &problem).expect("a loss").loss;
        let found = advice.scale.expect("a scale").smallest_loss;
        assert!((found - expected).abs() <= 1e-12 * expected, "{loss:?}: {found} is not {expected}");
    }
    let verdict = |m, weights: Option<&[f64]>| {
        let weights = weights.map(|weights| margin_upper_bound_of(weights, 8, 2).expect("a bound"));
        let advice = advise(&Loss::CosFace { s: 3.0, m }, 8, 2, 0.9, weights).expect("advice");
        advice.margin.expect("a margin").verdict
    };
    let circle: Vec<f64> = (0..8).flat_map(|class| <[f64; 2]>::from(f64::from(class).sin_cos())).collect();
    assert_eq!(verdict(0.0, None), MarginVerdict::None);
    assert_eq!(verdict(0.2, None), MarginVerdict::AboveRandomCentres);
    // One radian apart, the seventh comes back to within 2 pi - 6 = 0.283 of the first: 1 - cos(0.283) = 0.04.
    assert_eq!(verdict(0.039, Some(&circle)), MarginVerdict::Within);
    assert_eq!(verdict(0.041, Some(&circle)), MarginVerdict::AboveGivenCentres);
    assert_eq!(verdict(0.30, Some(&circle)), MarginVerdict::AboveBound);
    let scale = advise(&Loss::Nsl { s: 3.0 }, 8, 2, 0.9, None).expect("advice").scale.expect("a scale");
    assert_eq!(scale.verdict, ScaleVerdict::TooSmall);
    let at = scale_lower_bound(8, 0.9).expect("a bound");
    let scale = advise(&Loss::Nsl { s: at }, 8, 2, 0.9, None).expect("advice").scale.expect("a scale");
    assert_eq!(scale.verdict, ScaleVerdict::Enough);
    assert!((scale.largest_posterior - 0.9).abs() < 1e-12);
    let raw = advise(&Loss::Softmax, 8, 2, 0.9, None).expect("advice");
    assert_eq!((raw.scale, raw.margin), (None, None));
}
