//! `cosface pairs`: a list of pairs from folders of people.

use std::collections::{BTreeMap, BTreeSet};

use crate::invocation::cosface;
use crate::workshop::{Workshop, picture};

#[test]
fn people_in_folders_become_pairs_that_a_model_is_measured_on() {
    let workshop = Workshop::new();
    workshop.train("run", &[]).success();
    // A person with two images and one with one, who is left out.
    for (name, images) in [("p6", 2), ("p7", 1)] {
        fs_err::create_dir_all(workshop.path("people").join(name)).unwrap();
        for image in 0..images {
            picture(6, image).save(workshop.path(&format!("people/{name}/{image}.png"))).unwrap();
        }
    }
    let text = |name: &str| workshop.path(name).to_str().unwrap().to_owned();
    let (people, pairs) = (text("people"), text("pairs.txt"));
    let outcome = cosface(["pairs", &people, "--most", "4", "--out", &pairs]).success();
    assert!(
        outcome.stdout.starts_with("25 pairs of one person and 25 of two, 7 people in 3 folds"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("1 people left out with fewer than 2 images, such as p7"), "{outcome:?}");

    let (mut seen, mut folds) = (BTreeSet::new(), BTreeMap::new());
    for line in fs_err::read_to_string(&pairs).unwrap().lines() {
        let [first, second, label, fold] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let person = |image: &str| image.split_once('/').unwrap().0.to_owned();
        assert_eq!(label == "1", person(first) == person(second), "{line}");
        assert!(
            first != second && seen.insert([first.min(second), first.max(second)].map(str::to_owned)),
            "{line}"
        );
        for image in [first, second] {
            assert!(workshop.path("people").join(image).is_file(), "{line}");
            assert_eq!(*folds.entry(person(image)).or_insert(fold.to_owned()), fold, "{line}");
        }
    }
    assert_eq!(folds.len(), 7);

    let (model, out) = (text("run/model.safetensors"), text("result"));
    let evaluate =
        ["evaluate", &model, "--images", &people, "--pairs", &pairs, "--format", "list", "--out", &out];
    cosface(evaluate).success();
    let evaluation = fs_err::read_to_string(workshop.path("result/evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&evaluation).unwrap();
    assert!(evaluation["accuracy"]["value"].as_f64().is_some(), "{evaluation}");
    // The hardest pairs of each kind, as pictures within the page.
    let page = fs_err::read_to_string(workshop.path("result/report.html")).unwrap();
    assert_eq!(page.matches("<img src=\"data:image").count(), 24);
    assert!(page.contains("The hardest pairs") && page.contains("DET: ") && page.contains("Reliability: "));
}

#[test]
fn pairs_of_too_few_people_or_of_names_that_a_list_cannot_hold_are_refused() {
    let workshop = Workshop::new();
    let (people, out) = (workshop.path("people"), workshop.path("pairs.txt"));
    let pairs = || cosface(["pairs".as_ref(), people.as_path(), "--out".as_ref(), out.as_path()]);
    fs_err::rename(people.join("p2/3.png"), people.join("p2/at home.png")).unwrap();
    pairs().refused(&["blanks or commas", "p2/at home.png"]);
    for person in 0..3 {
        fs_err::remove_dir_all(people.join(format!("p{person}"))).unwrap();
    }
    pairs().refused(&["four people", "there are 3", "people"]);
    assert!(!out.exists());
}
