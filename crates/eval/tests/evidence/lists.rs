//! Protocols other than LFW's: lists, CFP, YouTube Faces.

use std::fmt::Write as _;
use std::path::Path;

use eval::Protocol;
use eval::protocol::{FoldOrigin, Format, Kind, NameTable};

use super::protocol::shared;

fn read(format: Format, text: &str) -> Result<Protocol, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("list.txt");
    fs_err::write(&path, text).expect("a file");
    format.read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "list.txt"))
}

/// Ten pairs of each kind, two lines each where `two_lines`.
fn list(separator: &str, end: &str) -> String {
    let mut text = String::new();
    for (label, sign) in [("1", "g"), ("0", "i")] {
        for pair in 0..10 {
            let (first, second) = (format!("{sign}{pair}a.jpg"), format!("{sign}{pair}b.jpg"));
            write!(text, "{first}{separator}{second}{separator}{label}{end}").expect("text");
        }
    }
    text
}

#[test]
fn a_list_is_read_with_any_separator_and_line_end_and_cut_into_ten() {
    let plain = read(Format::List, &list(" ", "\n")).expect("a protocol");
    for (separator, end) in [("\t", "\r\n"), (", ", "\n"), (",", " \r\n")] {
        assert_eq!(read(Format::List, &list(separator, end)).as_ref(), Ok(&plain));
    }
    assert_eq!((plain.folds, plain.fold_origin, plain.pairs.len()), (10, FoldOrigin::CutInTen, 20));
    assert_eq!(plain.images[1].name, "g0b");
    let folds: Vec<usize> = plain.pairs.iter().map(|pair| pair.fold).collect();
    assert_eq!(folds, (0..10).chain(0..10).collect::<Vec<_>>());
}

#[test]
fn people_of_a_list_are_those_that_genuine_pairs_connect() {
    let mut text = list(" ", "\n");
    text += "g1b g0a 1\ng5a i3b -1\n";
    let protocol = read(Format::List, &text).expect("a protocol");
    let person = |name: &str| {
        let found = protocol.images.iter().find(|image| image.name == name).expect("an image");
        found.person.as_str()
    };
    assert_eq!([person("g0a"), person("g0b"), person("g1a"), person("g1b")], ["g0a"; 4]);
    assert_eq!([person("g5b"), person("i3b"), person("i3a")], ["g5a", "i3b", "i3a"]);
    assert_eq!(protocol.people().1, 9 + 20);
}

#[test]
fn a_table_names_the_people_and_must_name_all() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("people.tsv");
    let mut protocol = read(Format::List, &list(" ", "\n")).expect("a protocol");
    let mut table = String::new();
    for (index, image) in protocol.images.iter().enumerate() {
        write!(table, "{}.jpg\tp{}\r\n", image.name, index / 4).expect("text");
    }
    fs_err::write(&path, &table).expect("a file");
    protocol.name_people(&NameTable::read(&path).expect("a table")).expect("all");
    assert_eq!(protocol.people().1, 10);
    assert_eq!(protocol.images[5].person, "p1");
    fs_err::write(&path, "g0a\tp1\n").expect("a file");
    assert!(protocol.name_people(&NameTable::read(&path).expect("a table")).is_err());
    for wrong in ["g0a p1\n", "g0a\t\n", "g0a\tp1\ng0a.jpg\tp2\n"] {
        fs_err::write(&path, wrong).expect("a file");
        assert!(NameTable::read(&path).is_err(), "{wrong}");
    }
}

#[test]
fn folds_of_a_list_are_taken_from_it_whole_or_not_at_all() {
    let protocol = read(Format::List, "a b 1 2\nc d 0 2\ne f 1 1\ng h 0 1\n").expect("a protocol");
    assert_eq!((protocol.folds, protocol.fold_origin), (2, FoldOrigin::File));
    assert_eq!(protocol.pairs.iter().map(|pair| pair.fold).collect::<Vec<_>>(), [1, 1, 0, 0]);
    for text in ["a b 1 2\nc d 0\n", "a b 1\nc d 0 1\n"] {
        assert_eq!(
            read(Format::List, text).expect_err("refused").split(": ").nth(1),
            Some("either every pair has a fold or none, unlike here")
        );
    }
}

#[test]
fn malformed_lines_of_lists_are_shown() {
    let refused = |format, text: &str| read(format, text).expect_err("refused");
    assert!(refused(Format::List, "a b\n").starts_with("list.txt, line 1: a pair was expected"));
    assert!(refused(Format::List, "a b 2\n").contains("the label of a pair was expected"));
    assert!(refused(Format::List, "a b yes\n").contains("the label of a pair was expected"));
    assert!(refused(Format::List, "a b 1 0\n").contains("a fold was expected"));
    assert!(refused(Format::List, "a b 1 99999999999\n").contains("a fold was expected"));
    assert!(refused(Format::List, "a.jpg a.jpg 1\n").contains("an image is paired with itself"));
    assert!(refused(Format::List, "a b 1\n\nc d 0\n").contains("a blank line"));
    assert!(refused(Format::List, "a b 1\nc d 0\n").contains("ten folds need at least ten pairs"));
    assert!(refused(Format::List, "").contains("a pair was expected"));
    assert!(refused(Format::TwoLine, "a 1\n").contains("the last one stands alone"));
    assert!(refused(Format::TwoLine, "a 1\nb 2\n").contains("line 2: both lines of a pair"));
    assert!(refused(Format::TwoLine, "a 1\nb -1\n").contains("the label of a pair was expected"));
    assert!(refused(Format::TwoLine, "a\nb 1\n").contains("line 1: `image label` was expected"));
}

#[test]
fn pairs_in_two_lines_take_any_label_but_zero_for_genuine() {
    let text = list(" ", "\n");
    let mut two_lines = String::new();
    for (index, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split(' ').collect();
        // CALFW writes the fold where CPLFW writes 1.
        let label = if words[2] == "1" { 1 + index } else { 0 };
        write!(two_lines, "{} {label}\n{} {label}\n", words[0], words[1]).expect("text");
    }
    assert_eq!(read(Format::TwoLine, &two_lines), read(Format::List, &text));
}

#[test]
fn the_official_splits_of_cfp_are_read_whole() {
    let Some(folder) = shared("cfp/Protocol") else { return };
    for (format, pairs) in [(Format::CfpFrontalProfile, 7000), (Format::CfpFrontalFrontal, 7000)] {
        let protocol = format.read(&folder).expect("a protocol");
        assert_eq!((protocol.count(Kind::Genuine), protocol.pairs.len(), protocol.folds), (3500, pairs, 10));
        for fold in 0..10 {
            assert_eq!(protocol.pairs.iter().filter(|pair| pair.fold == fold).count(), 700);
        }
    }
    let protocol = Format::CfpFrontalProfile.read(&folder).expect("a protocol");
    // The first line of FP/01/same.txt is `5,1`.
    let first = protocol.pairs[0];
    let names = [first.first, first.second].map(|row| protocol.images[row].name.as_str());
    assert_eq!((names, first.kind), (["001/frontal/05", "001/profile/01"], Kind::Genuine));
}

#[test]
fn a_split_of_cfp_that_contradicts_its_lists_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a folder");
        fs_err::write(path, text).expect("a file");
    };
    write(
        "Pair_list_F.txt",
        "1 ../I/001/frontal/01.jpg\r\n2 ../I/001/frontal/02.jpg\r\n3 ../I/002/frontal/01.jpg\r\n",
    );
    for fold in 1..=10 {
        write(&format!("Split/FF/{fold:02}/same.txt"), "1,2\r\n");
        write(&format!("Split/FF/{fold:02}/diff.txt"), "1,3\r\n");
    }
    let read = || Format::CfpFrontalFrontal.read(directory.path()).map_err(|error| error.to_string());
    assert_eq!(read().expect("a protocol").pairs.len(), 20);
    for (kind, line, problem) in [
        ("same", "1,3", "a pair of one person names two people"),
        ("diff", "1,2", "a pair of two people names the same person twice"),
        ("same", "1,1", "an image is paired with itself"),
        ("same", "1,9", "the image list has no such number"),
        ("same", "1 2", "two image numbers were expected"),
    ] {
        let (name, old) = (format!("Split/FF/04/{kind}.txt"), if kind == "same" { "1,2\n" } else { "1,3\n" });
        write(&name, line);
        assert!(read().expect_err("refused").contains(problem), "{line}");
        write(&name, old);
    }
    assert!(Format::CfpFrontalProfile.read(directory.path()).is_err(), "there is no list of profiles");
}

#[test]
fn the_official_splits_of_youtube_faces_are_read_whole() {
    let Some(path) = shared("ytf/splits.txt") else { return };
    let protocol = Format::YouTubeFaces.read(&path).expect("a protocol");
    assert_eq!((protocol.count(Kind::Genuine), protocol.pairs.len(), protocol.folds), (2500, 5000, 10));
    let first = protocol.pairs[0];
    assert_eq!(
        [first.first, first.second].map(|row| protocol.images[row].name.as_str()),
        ["Sadie_Frost/1", "Sadie_Frost/5"]
    );
}

#[test]
fn malformed_lines_of_youtube_faces_are_shown() {
    let header = "split number, pair number, first name, second name, is same\n";
    let good = format!("{header}1, 1, Ann/0, Ann/1, 1\r\n1, 2, Ann/0, Bob/1, 0\n");
    assert_eq!(read(Format::YouTubeFaces, &good).expect("a protocol").pairs.len(), 2);
    for (line, problem) in [
        ("1, 1, Ann/0, Ann/1", "a pair was expected"),
        ("1, 1, Ann0, Ann/1, 1", "a pair was expected"),
        ("0, 1, Ann/0, Ann/1, 1", "a fold was expected"),
        ("1, 1, Ann/0, Ann/1, 2", "the label of a pair"),
        ("1, 1, Ann/0, Bob/1, 1", "a pair of one person names two people"),
        ("1, 1, Ann/0, Ann/1, 0", "a pair of two people names the same person twice"),
        ("1, 1, Ann/0, Ann/0, 1", "an image is paired with itself"),
    ] {
        let error = read(Format::YouTubeFaces, &format!("{good}{line}\n")).expect_err("refused");
        assert!(error.starts_with("list.txt, line 4: ") && error.contains(problem), "{error}");
    }
}
