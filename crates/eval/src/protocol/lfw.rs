//! Labeled Faces in the Wild: `pairs.txt` of View 2 and the pair files of View 1.

use std::path::Path;

use super::lines::{Line, Lines};
use super::{
    CUT, FOLDS_AT_MOST, FoldOrigin, ImageTable, Kind, LineProblem, Pair, Protocol, ProtocolError, cut,
};

impl Protocol {
    /// Reads a pair file in the format of LFW.
    ///
    /// A header `folds pairs` (View 2) is followed, fold by fold, by as many genuine and as many impostor pairs; a
    /// header `pairs` (View 1) by as many of each kind, which are then cut into ten contiguous parts a kind. A genuine
    /// pair is `name number number`, an impostor pair `name number name number`. Image names follow the data set:
    /// `Abel_Pacheco 1` is `Abel_Pacheco/Abel_Pacheco_0001`. Inside a fold the order of the kinds is free, Windows
    /// line ends and blanks at the end of a line or of the file are allowed.
    ///
    /// # Errors
    /// A file that cannot be read, the first malformed line with its number and text, another number of pairs than the
    /// header says, an image paired with itself.
    pub fn read_lfw(path: &Path) -> Result<Self, ProtocolError> {
        let lines = Lines::read(path)?;
        let all = lines.all()?;
        let (&header, rest) = all.split_first().expect("splitting text gives at least one line");
        let numbers: Option<Vec<usize>> = header
            .text
            .split_whitespace()
            .map(|word| word.parse().ok().filter(|&number| number > 0))
            .collect();
        let mut images = ImageTable::default();
        let mut pairs = Vec::with_capacity(rest.len());
        for &line in rest {
            pairs.push(read_pair(&lines, line, &mut images)?);
        }
        let (folds, fold_origin) = match numbers.as_deref() {
            Some(&[folds, _]) if folds > FOLDS_AT_MOST => {
                return Err(lines.blame(header, LineProblem::TooManyFolds(folds)));
            }
            Some(&[folds, each]) => {
                number_folds(&lines, &mut pairs, folds, each)?;
                (folds, FoldOrigin::File)
            }
            Some(&[each]) => {
                check_counts(&lines, &pairs, "all", each)?;
                cut(path, &mut pairs)?;
                (CUT, FoldOrigin::CutInTen)
            }
            _ => return Err(lines.blame(header, LineProblem::Header)),
        };
        Ok(Self { name: lines.name(), images: images.images, pairs, folds, fold_origin })
    }
}

fn read_pair(lines: &Lines, line: Line<'_>, images: &mut ImageTable) -> Result<Pair, ProtocolError> {
    let mut image = |person: &str, number: &str| {
        let number = number.parse::<u32>().ok().filter(|&number| number > 0);
        let number = number.ok_or_else(|| lines.blame(line, LineProblem::Number))?;
        Ok(images.row(person, format!("{person}/{person}_{number:04}")))
    };
    let words: Vec<&str> = line.text.split_whitespace().collect();
    let (first, second, kind) = match words[..] {
        [person, first, second] => (image(person, first)?, image(person, second)?, Kind::Genuine),
        [first, first_number, second, second_number] => {
            if first == second {
                return Err(lines.blame(line, LineProblem::SamePerson));
            }
            (image(first, first_number)?, image(second, second_number)?, Kind::Impostor)
        }
        _ => return Err(lines.blame(line, LineProblem::Columns)),
    };
    if first == second {
        return Err(lines.blame(line, LineProblem::SameImage));
    }
    Ok(Pair { first, second, kind, fold: 0 })
}

/// View 2: each fold is the next `2 * each` lines.
fn number_folds(lines: &Lines, pairs: &mut [Pair], folds: usize, each: usize) -> Result<(), ProtocolError> {
    let size = each.saturating_mul(2);
    for (index, pair) in pairs.iter_mut().enumerate() {
        pair.fold = (index / size).min(folds - 1);
    }
    // Missing lines shift every later fold, so the first fold that is wrong is the one to name.
    let folds_begun = folds.min(pairs.len() / size + 1);
    for fold in 0..folds_begun {
        let place = format!("fold {}", fold + 1);
        let inside: Vec<Pair> = pairs.iter().copied().filter(|pair| pair.fold == fold).collect();
        check_counts(lines, &inside, &place, each)?;
    }
    check_counts(lines, pairs, "all folds", each.saturating_mul(folds))
}

fn check_counts(lines: &Lines, pairs: &[Pair], place: &str, promised: usize) -> Result<(), ProtocolError> {
    for (kind, name) in [(Kind::Genuine, "genuine"), (Kind::Impostor, "impostor")] {
        let found = pairs.iter().filter(|pair| pair.kind == kind).count();
        if found != promised {
            let (path, place) = (lines.path().to_owned(), place.to_owned());
            return Err(ProtocolError::Count { path, kind: name, place, promised, found });
        }
    }
    Ok(())
}
