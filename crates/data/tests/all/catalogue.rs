use data::{Catalogue, CatalogueError, Notice, People, Source};
use tempfile::tempdir;

use crate::fixtures::{shared, tree};

fn names(catalogue: &Catalogue) -> Vec<&str> {
    catalogue.identities().iter().map(|identity| identity.name.as_str()).collect()
}

#[test]
fn people_and_images_are_in_the_order_of_their_bytes_with_labels_to_match() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root, &[("bob", &["2.png", "10.png"]), ("Zoe", &["1.png"]), ("ann", &["1.PNG", "0.png"])]);
    fs_err::create_dir(root.join("ann/more")).unwrap();
    fs_err::copy(root.join("ann/0.png"), root.join("ann/more/a.png")).unwrap();
    let catalogue = Catalogue::read(&[Source::tree(root)], 1).unwrap();
    assert_eq!(names(&catalogue), ["Zoe", "ann", "bob"]);
    let paths: Vec<_> = (0..catalogue.images().len()).map(|image| catalogue.path(image)).collect();
    let expected = ["Zoe/1.png", "ann/0.png", "ann/1.PNG", "ann/more/a.png", "bob/10.png", "bob/2.png"];
    assert_eq!(paths, expected.map(|path| root.join(path)));
    let labels: Vec<_> = catalogue.images().iter().map(|image| image.label).collect();
    assert_eq!(labels, [0, 1, 1, 1, 2, 2]);
    for (label, identity) in catalogue.identities().iter().enumerate() {
        assert!(
            catalogue.images()[identity.images.clone()].iter().all(|image| image.label as usize == label)
        );
    }
}

#[test]
fn files_that_are_no_images_are_ignored_and_told() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root, &[("ann", &["1.png"]), ("bob", &["1.png"])]);
    for name in ["README", "landmarks.txt", ".DS_Store", "ann/Thumbs.db", "ann/._1.png", "stray.png"] {
        fs_err::write(root.join(name), "x").unwrap();
    }
    fs_err::create_dir(root.join(".cache")).unwrap();
    let catalogue = Catalogue::read(&[Source::tree(root)], 1).unwrap();
    assert_eq!((names(&catalogue), catalogue.images().len()), (vec!["ann", "bob"], 2));
    let [notice @ Notice::FilesIgnored { count: 7, .. }] = catalogue.notices() else {
        panic!("{:?}", catalogue.notices())
    };
    assert!(notice.to_string().contains("7 other files"));
}

/// A photograph in a format that is not decoded must be refused when it is read, so it must be listed.
#[test]
fn an_image_of_an_unread_format_is_not_overlooked() {
    let folder = tempdir().unwrap();
    tree(folder.path(), &[("ann", &["1.png"]), ("bob", &["1.png"])]);
    fs_err::write(folder.path().join("ann/2.HEIC"), "x").unwrap();
    assert_eq!(Catalogue::read(&[Source::tree(folder.path())], 1).unwrap().images().len(), 3);
}

#[test]
fn equal_names_in_two_sources_are_two_people() {
    let (one, two) = (tempdir().unwrap(), tempdir().unwrap());
    tree(one.path(), &[("ann", &["1.png", "2.png"])]);
    tree(two.path(), &[("ann", &["1.png"])]);
    let catalogue = Catalogue::read(&[Source::tree(one.path()), Source::tree(two.path())], 1).unwrap();
    assert_eq!(names(&catalogue), ["ann", "ann"]);
    let sources: Vec<_> = catalogue.identities().iter().map(|identity| identity.source).collect();
    assert_eq!(sources, [0, 1]);
    assert_eq!(catalogue.path(2), two.path().join("ann/1.png"));
}

#[test]
fn a_list_file_names_images_from_its_own_folder() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root, &[("a", &["1 x.png", "2.png"]), ("b", &["1.png"])]);
    let list = root.join("list.txt");
    let outside = root.join("b/1.png");
    fs_err::write(&list, format!("a/1 x.png\tBob B\r\n\n{}\tAnn\na/2.png Ann\n", outside.display())).unwrap();
    let catalogue = Catalogue::read(&[Source::List { file: list.clone() }], 1).unwrap();
    assert_eq!(names(&catalogue), ["Ann", "Bob B"]);
    assert_eq!(catalogue.path(2), root.join("a/1 x.png"));

    for (text, line, words) in [
        ("a/2.png\tAnn\na/2.png\tBob\n", 2, "line 1: a/2.png"),
        ("a/2.png\tAnn\nalone\n", 2, "alone"),
        ("a\tAnn\n", 1, "not a file"),
    ] {
        fs_err::write(&list, text).unwrap();
        let error = Catalogue::read(&[Source::List { file: list.clone() }], 1).unwrap_err();
        assert!(matches!(error, CatalogueError::Line { line: at, .. } if at == line), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
    fs_err::write(&list, "a/2.png\tAnn\na/3.png\tAnn\n").unwrap();
    let error = Catalogue::read(&[Source::List { file: list.clone() }], 1).unwrap_err();
    assert!(matches!(error, CatalogueError::ImageMissing { line: 2, .. }), "{error:?}");
    fs_err::write(&list, "\n").unwrap();
    assert!(matches!(
        Catalogue::read(&[Source::List { file: list }], 1),
        Err(CatalogueError::NoPeople { .. })
    ));
}

#[test]
fn people_files_choose_and_missing_people_are_errors() {
    let folder = tempdir().unwrap();
    let root = folder.path().join("tree");
    tree(&root, &[("ann", &["1.png", "2.png"]), ("bob", &["1.png"]), ("cid", &["1.png"])]);
    // Whoever is not chosen does not matter.
    fs_err::create_dir(root.join("empty")).unwrap();
    let people = folder.path().join("people.txt");
    let source = Source::Tree { root, people: Some(people.clone()) };
    fs_err::write(&people, "2\ncid\t1\nann\t3\n").unwrap();
    let catalogue = Catalogue::read(std::slice::from_ref(&source), 1).unwrap();
    assert_eq!(names(&catalogue), ["ann", "cid"]);
    let differ =
        |notice: &Notice| matches!(notice, Notice::CountsDiffer { count: 1, stated: 3, found: 2, .. });
    assert!(catalogue.notices().iter().any(differ), "{:?}", catalogue.notices());

    fs_err::write(&people, "2\nann\t2\ndan\t1\n").unwrap();
    let error = Catalogue::read(&[source], 1).unwrap_err();
    assert!(
        matches!(&error, CatalogueError::PersonMissing { line: 3, name, .. } if name == "dan"),
        "{error:?}"
    );
}

#[test]
fn people_with_too_few_images_are_left_out_and_told() {
    let folder = tempdir().unwrap();
    tree(folder.path(), &[("ann", &["1.png", "2.png"]), ("bob", &["1.png"]), ("cid", &["1.png", "2.png"])]);
    let catalogue = Catalogue::read(&[Source::tree(folder.path())], 2).unwrap();
    assert_eq!(names(&catalogue), ["ann", "cid"]);
    assert!(
        matches!(&catalogue.notices(), [Notice::BelowMinimum { count: 1, example, .. }] if example == "bob")
    );
    let nobody = Catalogue::read(&[Source::tree(folder.path())], 3);
    assert!(matches!(nobody, Err(CatalogueError::NobodyLeft { minimum_images: 3, .. })));
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_the_path() {
    assert!(matches!(Catalogue::read(&[], 1), Err(CatalogueError::NoSource)));
    let folder = tempdir().unwrap();
    let root = folder.path();
    let read = || Catalogue::read(&[Source::tree(root)], 1).unwrap_err();
    assert!(matches!(read(), CatalogueError::NoPeople { images_beside: 0, .. }));
    fs_err::write(root.join("face.jpg"), "x").unwrap();
    assert!(matches!(read(), CatalogueError::NoPeople { images_beside: 1, .. }));
    tree(root, &[("ann", &["1.png"])]);
    assert!(matches!(read(), CatalogueError::OneIdentity { name, .. } if name == "ann"));
    fs_err::create_dir(root.join("bob")).unwrap();
    let error = read();
    assert!(matches!(&error, CatalogueError::NoImage { path } if *path == root.join("bob")), "{error}");
    let missing = Catalogue::read(&[Source::tree(root.join("nowhere"))], 1).unwrap_err();
    assert!(missing.to_string().contains("nowhere"), "{missing}");
}

#[test]
fn one_image_cannot_come_from_two_sources() {
    let folder = tempdir().unwrap();
    let root = folder.path();
    tree(root, &[("ann", &["1.png"]), ("bob", &["1.png"])]);
    let twice = [Source::tree(root), Source::tree(root.join("ann/.."))];
    assert!(matches!(Catalogue::read(&twice, 1), Err(CatalogueError::SourceTwice { .. })));
    let list = root.join("list.txt");
    fs_err::write(&list, "ann/1.png\tAnn again\n").unwrap();
    let error = Catalogue::read(&[Source::tree(root), Source::List { file: list }], 1).unwrap_err();
    assert!(matches!(&error, CatalogueError::ImageInTwoSources { first, .. } if first == "ann"), "{error:?}");
}

#[test]
fn the_fingerprint_follows_the_set_and_not_its_place() {
    let print = |people: &[(&str, &[&str])], extra: &[u8]| {
        let folder = tempdir().unwrap();
        tree(folder.path(), people);
        let first = folder.path().join(people[0].0).join(people[0].1[0]);
        let bytes = [&fs_err::read(&first).unwrap(), extra].concat();
        fs_err::write(first, bytes).unwrap();
        Catalogue::read(&[Source::tree(folder.path())], 1).unwrap().fingerprint()
    };
    let usual: &[(&str, &[&str])] = &[("ann", &["1.png"]), ("bob", &["1.png"])];
    let base = print(usual, b"");
    assert_eq!(base, print(usual, b""));
    assert_ne!(base, print(usual, b"!"));
    assert_ne!(base, print(&[("ann", &["2.png"]), ("bob", &["1.png"])], b""));
    assert_ne!(base, print(&[("ann", &["1.png"]), ("bo", &["1.png"])], b""));
    assert_ne!(base, print(&[("ann", &["1.png", "2.png"]), ("bob", &["1.png"])], b""));
}

#[test]
fn sources_read_from_a_recipe_and_unknown_keys_do_not() {
    #[derive(Debug, serde::Deserialize)]
    struct Recipe {
        sources: Vec<Source>,
    }
    let text = "[[sources]]\nkind = 'tree'\nroot = 'faces'\npeople = 'p.txt'\n[[sources]]\nkind = 'list'\nfile = 'l.txt'\n";
    let recipe: Recipe = toml::from_str(text).unwrap();
    let tree = Source::Tree { root: "faces".into(), people: Some("p.txt".into()) };
    assert_eq!(recipe.sources, [tree, Source::List { file: "l.txt".into() }]);
    let typo =
        toml::from_str::<Recipe>("[[sources]]\nkind = 'tree'\nroot = 'faces'\npeopel = 'p'\n").unwrap_err();
    assert!(typo.to_string().contains("peopel"), "{typo}");
}

#[test]
fn the_people_of_lfw_are_found_in_its_tree() {
    let (Some(root), Some(train)) =
        (shared("data/faces/lfw-112x96"), shared("data/protocols/lfw/peopleDevTrain.txt"))
    else {
        return;
    };
    let people = People::read(&train).unwrap().people;
    assert_eq!(people.len(), 4038);
    let catalogue =
        Catalogue::read(&[Source::Tree { root: root.clone(), people: Some(train.clone()) }], 1).unwrap();
    assert_eq!(catalogue.identities().len(), 4038);
    assert_eq!(catalogue.images().len(), people.iter().map(|person| person.images).sum::<usize>());
    // The ten folds of View 2 are all of LFW.
    let all = People::read(&train.with_file_name("people.txt")).unwrap().people;
    assert_eq!(all.len(), 5749);
    assert_eq!(all.iter().map(|person| person.images).sum::<usize>(), 13_233);
}
