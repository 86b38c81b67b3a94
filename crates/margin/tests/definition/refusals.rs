//! What has no loss, and what is no loss: each with an error that says which.

use margin::{ArcFaceSlope, Loss, NormStatistics, ParameterError, Parameters, ProblemError, evaluate};

use super::problems::{family, random};

#[test]
fn a_zero_vector_is_named_by_its_row_where_a_direction_is_needed() {
    for loss in family() {
        let mut owned = random(1, 4, 5, 3);
        owned.features[6..9].fill(0.0);
        let found = evaluate(&loss, &owned.problem());
        if loss == Loss::Softmax {
            assert_eq!(found.expect("a loss").loss_each[2], 5.0_f64.ln());
        } else {
            assert_eq!(found, Err(ProblemError::ZeroFeature { sample: 2 }));
        }
        let mut owned = random(1, 4, 5, 3);
        owned.weights[3..6].fill(0.0);
        let found = evaluate(&loss, &owned.problem());
        assert_eq!(found.is_err(), loss.needs_directions());
        if let Err(error) = found {
            assert_eq!(error.to_string(), "a zero class centre has no direction, at class: 1");
        }
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    for value in [f64::NAN, f64::INFINITY, 1e200] {
        let mut owned = random(1, 4, 5, 3);
        owned.features[4] = value;
        assert_eq!(
            evaluate(&Loss::Softmax, &owned.problem()),
            Err(ProblemError::FeatureNotFinite { sample: 1 })
        );
        let mut owned = random(1, 4, 5, 3);
        owned.weights[14] = value;
        assert_eq!(
            evaluate(&Loss::Softmax, &owned.problem()),
            Err(ProblemError::WeightNotFinite { class: 4 })
        );
    }
}

#[test]
fn a_label_without_a_class_is_refused() {
    let mut owned = random(1, 4, 5, 3);
    owned.labels[3] = 5;
    let error = evaluate(&Loss::Nsl { s: 1.0 }, &owned.problem()).expect_err("no class 5");
    assert_eq!(error.to_string(), "the label of sample 3 must be below 5, the number of classes: 5");
    owned.labels.clear();
    owned.features.clear();
    assert_eq!(evaluate(&Loss::Nsl { s: 1.0 }, &owned.problem()), Err(ProblemError::NoSamples));
}

#[test]
fn parameters_outside_their_range_are_refused_with_the_range() {
    let exact = ArcFaceSlope::Exact;
    let magface = |m_high, norm_high| Loss::MagFace {
        s: 64.0,
        m_low: 0.45,
        m_high,
        norm_low: 10.0,
        norm_high,
        lambda_g: 35.0,
    };
    for (loss, message) in [
        (Loss::Nsl { s: 0.0 }, "loss nsl: s must be above 0 and finite: 0"),
        (Loss::Nsl { s: f64::NAN }, "loss nsl: s must be above 0 and finite: NaN"),
        (
            Loss::CosFace { s: 64.0, m: -0.1 },
            "loss cosface: m must be from 0 to 2, the bound 1 - W_i . W_j of two opposite centres: -0.1",
        ),
        (
            Loss::CosFaceRawFeatures { m: 2.5 },
            "loss cosface-raw-features: m must be from 0 to 2, the bound 1 - W_i . W_j of two opposite centres: 2.5",
        ),
        (
            Loss::ArcFace { s: 64.0, m: 28.6, slope: exact },
            "loss arcface: m must be from 0 to below pi radians: 28.6",
        ),
        (
            Loss::Combined { s: 64.0, m1: 0.0, m2: 0.3, m3: 0.2 },
            "loss combined: m1 must be above 0 and finite: 0",
        ),
        (
            Loss::Combined { s: 64.0, m1: 1.0, m2: 4.0, m3: 0.2 },
            "loss combined: m2 must be from 0 to below pi radians: 4",
        ),
        (Loss::SphereFace { m: 0, lambda: 5.0 }, "loss sphereface: m must be a whole number from 1: 0"),
        (Loss::LSoftmax { m: 0, lambda: 0.0 }, "loss l-softmax: m must be a whole number from 1: 0"),
        (
            Loss::CurricularFace { s: 64.0, m: 4.0, rate: 0.01, t: 0.0 },
            "loss curricularface: m must be from 0 to below pi radians: 4",
        ),
        (
            Loss::CurricularFace { s: 64.0, m: 0.5, rate: 0.0, t: 0.0 },
            "loss curricularface: rate must be above 0 and at most 1: 0",
        ),
        (magface(0.1, 110.0), "loss magface: m_high must be from m_low to below pi radians: 0.1"),
        (magface(0.8, 10.0), "loss magface: norm_high must be above norm_low and finite: 10"),
        (
            Loss::AdaFace { s: 64.0, m: 1.5, h: 0.333, rate: 0.01, norms: NormStatistics::default() },
            "loss adaface: m must be from 0 to 1: 1.5",
        ),
        (Loss::SphereFace { m: 4, lambda: -1.0 }, "loss sphereface: lambda must be from 0 and finite: -1"),
    ] {
        assert_eq!(loss.check().expect_err("out of range").to_string(), message);
        let owned = random(1, 2, 3, 2);
        assert!(matches!(evaluate(&loss, &owned.problem()), Err(ProblemError::OutOfRange(_))), "{loss:?}");
    }
}

#[test]
fn every_loss_comes_back_from_its_name_and_parameters() {
    let detached = Loss::ArcFace { s: 64.0, m: 0.5, slope: ArcFaceSlope::Detached };
    for loss in family().into_iter().chain([detached]) {
        assert!(Loss::NAMES.contains(&loss.name()));
        let state = loss.state();
        let seen = |name: &str| state.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let back = Loss::from_parameters(loss.name(), &loss.parameters()).expect("a loss");
        assert_eq!(back.with_state(seen), Ok(loss));
    }
}

#[test]
fn a_wrong_set_of_parameters_is_refused_by_name() {
    let none = Parameters::default();
    let refused = |name: &str, given| Loss::from_parameters(name, &given).expect_err("refused").to_string();
    assert_eq!(
        refused("cosface", Parameters { s: Some(64.0), ..none }),
        "loss cosface needs a parameter that was not given: m"
    );
    assert_eq!(
        refused("nsl", Parameters { s: Some(64.0), m: Some(0.35), ..none }),
        "loss nsl has no such parameter, remove it: m"
    );
    assert_eq!(
        refused("sphereface", Parameters { m: Some(3.5), lambda: Some(0.0), ..none }),
        "loss sphereface: m must be a whole number from 1: 3.5"
    );
    assert!(refused("CosFace", none).starts_with("no such loss, the known ones are softmax, nsl, cosface,"));
    let text = Parameters::from_text(|name| (name == "s").then_some("64,0"));
    assert_eq!(text, Err(ParameterError::NotANumber { parameter: "s", text: "64,0".into() }));
}

#[test]
#[should_panic(expected = "features must be samples x dimension")]
fn a_wrong_shape_is_a_bad_call() {
    let owned = random(1, 4, 5, 3);
    let _ = evaluate(&Loss::Softmax, &margin::Problem { features: &owned.features[1..], ..owned.problem() });
}
