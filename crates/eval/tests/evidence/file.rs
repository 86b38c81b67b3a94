//! Evaluations whole, and as files.

use eval::evaluation::{EvaluateError, EvaluationFileError, TarAtFar};
use eval::scores::Scores;
use eval::{Evaluation, Rule, Settings, Verifier};

use super::made::{crowd, settings};

#[test]
fn an_evaluation_holds_the_figures_of_its_parts() {
    let (protocol, vectors) = crowd(40, 4, 5, 2);
    let found = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    let scores = Scores::of_pairs(&vectors.cosines(&protocol.pairs), &protocol.pairs).expect("scores");
    let roc = scores.roc();
    assert_eq!(found.area.value, roc.area());
    assert_eq!(
        found.verification,
        Verifier::new(Rule::OtherFolds, &protocol, &vectors).expect("a verifier").verify()
    );
    assert_eq!((found.protocol.people, found.protocol.images, found.dimension), (40, 160, 8));
    assert_eq!((found.genuine.total(), found.impostor.total()), (240, 160));
    let TarAtFar::Read { point, tar, .. } = found.tar_at_far[0] else { panic!("0.1 is resolved") };
    assert_eq!((point, tar.value), (roc.at_far(0.1).expect("resolved"), point.tar));
    let TarAtFar::Refused(refused) = found.tar_at_far[2] else { panic!("1e-6 is too fine") };
    assert_eq!((refused.wanted, refused.finest), (1e-6, 1.0 / 160.0));
    for figure in [found.accuracy, found.area, found.equal_error_rate, tar] {
        let interval = figure.interval.expect("defined");
        assert!(interval.low <= figure.value && figure.value <= interval.high, "{figure:?}");
        assert!(interval.low < interval.high, "{figure:?}");
    }
}

#[test]
fn an_evaluation_comes_back_from_its_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("evaluation.json");
    let (protocol, vectors) = crowd(20, 3, 4, 2);
    let evaluation = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    evaluation.write(&path).expect("written");
    assert_eq!(Evaluation::read(&path).expect("read"), evaluation);
    let names: Vec<_> = fs_err::read_dir(directory.path())
        .expect("a listing")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["evaluation.json"], "nothing is left beside it");
    let text = fs_err::read_to_string(&path).expect("text");
    for part in
        ["\"schema\": 2", "\"rule\": \"other-folds\"", "\"feature_rule\": \"concatenated\"", "\"refused\""]
    {
        assert!(text.contains(part), "{part} is not in the file");
    }
}

#[test]
fn another_schema_and_a_damaged_file_are_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("evaluation.json");
    fs_err::write(&path, r#"{"schema": 99, "whatever": 1}"#).expect("a file");
    let error = Evaluation::read(&path).expect_err("refused");
    assert!(matches!(error, EvaluationFileError::Schema { found: 99, .. }), "{error}");
    for text in ["", "{", "{\"schema\": 2}", "[]"] {
        fs_err::write(&path, text).expect("a file");
        assert!(matches!(Evaluation::read(&path), Err(EvaluationFileError::Json { .. })), "{text}");
    }
    let absent = Evaluation::read(&directory.path().join("none.json"));
    assert!(matches!(absent, Err(EvaluationFileError::File(_))));
}

#[test]
fn an_evaluation_that_cannot_be_written_leaves_the_old_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (protocol, vectors) = crowd(20, 3, 4, 2);
    let evaluation = Evaluation::of(&protocol, &vectors, &settings()).expect("an evaluation");
    // A folder stands where the file would be written aside.
    let path = directory.path().join("evaluation.json");
    fs_err::write(&path, "old").expect("a file");
    fs_err::create_dir(directory.path().join("evaluation.json.partial")).expect("a folder");
    assert!(matches!(evaluation.write(&path), Err(EvaluationFileError::File(_))));
    assert_eq!(fs_err::read_to_string(&path).expect("text"), "old");
}

#[test]
fn a_far_that_is_no_rate_is_refused() {
    let (protocol, vectors) = crowd(20, 3, 4, 2);
    for far in [0.0, -0.1, 1.5, f64::NAN] {
        let found = Evaluation::of(&protocol, &vectors, &Settings { fars: vec![far], ..settings() });
        assert!(matches!(found, Err(EvaluateError::NoRate(_))), "{far}");
    }
}
