//! `cosface paper`: figures of their own, a page, results that are taken up again, refusals.

use crate::invocation::cosface;

#[test]
fn figures_stand_alone_and_an_experiment_goes_on_from_what_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("paper");
    let small = ["paper", "--only", "wedge", "--only", "toy", "--size", "small", "--seeds", "2", "--out"];
    let run = || cosface(small.iter().copied().chain([out.to_str().unwrap()]));
    let first = run().success();
    for figure in ["wedge.svg", "toy.svg"] {
        let text = fs_err::read_to_string(out.join(figure)).unwrap();
        assert!(text.starts_with("<svg xmlns=") && text.trim_end().ends_with("</svg>"), "{figure}");
        assert!(!text.contains("NaN") && !text.contains("var(--"), "{figure}");
    }
    let page = fs_err::read_to_string(out.join("paper.md")).unwrap();
    assert!(
        page.contains("![Regions on the circle (figure 3)](wedge.svg)") && page.contains("| LMCL, m = 0.1 |")
    );
    assert!(fs_err::read_to_string(out.join("paper.html")).unwrap().contains("<svg xmlns="));

    // One result is lost; the others are read, as a mark in one of them shows.
    let trials = out.join("trials");
    let lost = trials.join("toy-softmax-8.json");
    let before = fs_err::read(&lost).unwrap();
    fs_err::remove_file(&lost).unwrap();
    let kept = trials.join("toy-lmcl-0.4-7.json");
    let text = fs_err::read_to_string(&kept).unwrap();
    let loss = text.split("\"loss\":").nth(1).unwrap().split(',').next().unwrap();
    fs_err::write(&kept, text.replace(loss, "1234.5")).unwrap();
    let second = run().success();
    assert_eq!(fs_err::read(&lost).unwrap(), before, "a training depends on its seed alone");
    assert_ne!(first.stdout, second.stdout, "the marked result is read, not computed again");

    let other = cosface(small.iter().copied().chain([out.to_str().unwrap(), "--seed", "9"]));
    other.refused(&["another setting", "choose another --out", "seed 9"]);
    fs_err::write(&kept, "{").unwrap();
    run().refused(&["not a result, delete it", "toy-lmcl-0.4-7.json"]);
}

#[test]
fn a_folder_with_too_few_people_is_refused_with_the_number() {
    let directory = tempfile::tempdir().unwrap();
    let (out, data) = (directory.path().join("out"), directory.path().join("data"));
    cosface(["synth", "--identities", "3", "--images", "2", "--out", data.to_str().unwrap()]).success();
    let given = ["paper", "--only", "toy", "--size", "small"];
    let paths = ["--data", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    cosface(given.iter().chain(&paths)).refused(&["needs 8 people", "the folder has 3"]);
}
