//! LFW pair files.

use std::path::{Path, PathBuf};

use eval::Protocol;
use eval::protocol::{FoldOrigin, Kind};

fn read(text: &[u8]) -> Result<Protocol, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pairs.txt");
    fs_err::write(&path, text).expect("a file");
    Protocol::read_lfw(&path).map_err(|error| {
        let place = format!("{}", path.display());
        error.to_string().replace(&place, "pairs.txt")
    })
}

pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/protocols"));
    let path = directory.join(file);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "a protocol is missing: {}", path.display());
    None
}

const TWO_FOLDS: &str = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t12\nBob\t12\tCy\t1\n";

#[test]
fn view_2_has_the_folds_of_the_file() {
    let protocol = read(TWO_FOLDS.as_bytes()).expect("a protocol");
    let names: Vec<&str> = protocol.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["Ann/Ann_0001", "Ann/Ann_0002", "Bob/Bob_0001", "Bob/Bob_0012", "Cy/Cy_0001"]);
    let pairs: Vec<_> =
        protocol.pairs.iter().map(|pair| (pair.first, pair.second, pair.kind, pair.fold)).collect();
    assert_eq!(
        pairs,
        [
            (0, 1, Kind::Genuine, 0),
            (0, 2, Kind::Impostor, 0),
            (2, 3, Kind::Genuine, 1),
            (3, 4, Kind::Impostor, 1)
        ]
    );
    assert_eq!((protocol.folds, protocol.fold_origin), (2, FoldOrigin::File));
    assert_eq!(protocol.people(), (vec![0, 0, 1, 1, 2], 3));
}

#[test]
fn line_ends_blanks_and_a_byte_order_mark_do_not_matter() {
    let plain = read(TWO_FOLDS.as_bytes());
    let windows = format!("\u{feff}{}\r\n  \r\n\r\n", TWO_FOLDS.trim_end().replace('\n', " \t\r\n"));
    assert_eq!(read(windows.as_bytes()), plain);
    assert_eq!(read(TWO_FOLDS.trim_end().as_bytes()), plain);
}

#[test]
fn view_1_is_cut_into_ten_contiguous_parts_of_each_kind() {
    let mut text = "25\n".to_owned();
    (0..25).for_each(|index| text += &format!("Ann\t{}\t{}\n", index + 1, index + 2));
    (0..25).for_each(|index| text += &format!("Ann\t{}\tBob\t1\n", index + 1));
    let protocol = read(text.as_bytes()).expect("a protocol");
    assert_eq!((protocol.folds, protocol.fold_origin), (10, FoldOrigin::CutInTen));
    for kind in [Kind::Genuine, Kind::Impostor] {
        let folds: Vec<usize> =
            protocol.pairs.iter().filter(|pair| pair.kind == kind).map(|pair| pair.fold).collect();
        assert!(folds.is_sorted());
        for fold in 0..10 {
            let size = folds.iter().filter(|&&found| found == fold).count();
            assert!((2..=3).contains(&size), "fold {fold} of {kind:?} has {size} pairs");
        }
    }
}

#[test]
fn a_malformed_line_is_shown_with_its_number() {
    let broken = |line: &str| read(TWO_FOLDS.replace("Bob\t1\t12", line).as_bytes()).expect_err("refused");
    let pair = "a pair was expected, `name number number` or `name number name number`";
    assert_eq!(broken("Bob\t1"), format!("pairs.txt, line 4: {pair}: Bob\\t1"));
    assert_eq!(broken("Bob\t1\t2\t3\t4"), format!("pairs.txt, line 4: {pair}: Bob\\t1\\t2\\t3\\t4"));
    assert_eq!(
        broken("Bob\t1\ttwo"),
        "pairs.txt, line 4: an image number was expected, 1 or more: Bob\\t1\\ttwo"
    );
    assert_eq!(
        broken("Bob\t0\t2"),
        "pairs.txt, line 4: an image number was expected, 1 or more: Bob\\t0\\t2"
    );
    assert_eq!(broken("Bob\t1\t1"), "pairs.txt, line 4: an image is paired with itself: Bob\\t1\\t1");
    assert_eq!(
        broken("Bob\t1\tBob\t2"),
        "pairs.txt, line 4: a pair of two people names the same person twice: Bob\\t1\\tBob\\t2"
    );
    assert_eq!(broken(" "), "pairs.txt, line 4: a blank line stands between the pairs: ");
    let long = broken(&"x".repeat(5000));
    assert!(long.len() < 300 && long.ends_with("xxx..."), "{long}");
    let bytes = [TWO_FOLDS.as_bytes(), b"\xFF\xFE"].concat();
    assert!(
        read(&bytes).expect_err("refused").starts_with("pairs.txt, line 6: the line is not UTF-8 text: ")
    );
}

#[test]
fn a_header_that_is_none_is_refused() {
    for text in ["", "\n\n", "pairs\nAnn\t1\t2\n", "0 300\n", "10 0\n", "1 2 3\n", "-1\n"] {
        let error = read(text.as_bytes()).expect_err("refused");
        assert!(error.starts_with("pairs.txt, line 1: a header was expected"), "{text:?}: {error}");
    }
}

#[test]
fn another_number_of_pairs_than_promised_is_refused_at_the_fold_where_it_shows() {
    let without = TWO_FOLDS.replace("Ann\t1\tBob\t1\n", "");
    assert_eq!(
        read(without.as_bytes()).expect_err("refused"),
        "pairs.txt: the header says 1 genuine pairs in fold 1, the file holds 2"
    );
    let short = TWO_FOLDS.replace("Bob\t12\tCy\t1\n", "");
    assert_eq!(
        read(short.as_bytes()).expect_err("refused"),
        "pairs.txt: the header says 1 impostor pairs in fold 2, the file holds 0"
    );
    let long = format!("{TWO_FOLDS}Cy\t1\t2\n");
    assert!(read(long.as_bytes()).expect_err("refused").contains("holds 2"));
    let huge = TWO_FOLDS.replace("2\t1\n", "18446744073709551615 18446744073709551615\n");
    assert!(
        read(huge.as_bytes())
            .expect_err("refused")
            .contains("1000 folds, this one says 18446744073709551615")
    );
    assert_eq!(
        read(b"1\nAnn 1 2\nAnn 1 Bob 2\n").expect_err("refused"),
        "pairs.txt: ten folds need at least ten pairs of each kind, the file holds: 1"
    );
}

#[test]
fn missing_images_are_counted_and_the_first_few_named() {
    let protocol = read(TWO_FOLDS.as_bytes()).expect("a protocol");
    let found = protocol.resolve(|image| Some(image.name.len())).expect("all");
    assert_eq!(found, [12, 12, 12, 12, 10]);
    let error = protocol.resolve(|image| image.name.starts_with("Ann").then_some(())).expect_err("missing");
    assert_eq!(
        error.to_string(),
        "pairs.txt names 5 images and 3 of them are missing, beginning with: Bob/Bob_0001, Bob/Bob_0012, Cy/Cy_0001"
    );
}

#[test]
fn the_official_files_of_lfw_are_read_whole() {
    let Some(path) = shared("lfw/pairs.txt") else { return };
    let view_2 = Protocol::read_lfw(&path).expect("View 2");
    assert_eq!((view_2.count(Kind::Genuine), view_2.count(Kind::Impostor), view_2.folds), (3000, 3000, 10));
    assert_eq!(view_2.images.len(), 7701);
    let last = view_2.pairs[5999];
    assert_eq!((last.kind, last.fold), (Kind::Impostor, 9));
    let Some(path) = shared("lfw/pairsDevTest.txt") else { return };
    let view_1 = Protocol::read_lfw(&path).expect("View 1");
    assert_eq!((view_1.count(Kind::Genuine), view_1.count(Kind::Impostor)), (500, 500));
    let fold = |index: usize| view_1.pairs[index].fold;
    assert_eq!([fold(0), fold(49), fold(50), fold(499), fold(500), fold(999)], [0, 0, 1, 9, 0, 9]);
}
