//! Lists of pairs that say which pairs are genuine, but not who is in the images.

use std::path::Path;

use super::lines::{Line, Lines};
use super::{CUT, FOLDS_AT_MOST, ImageTable, Kind, LineProblem, Pair, Protocol, ProtocolError, cut};
use crate::embeddings::without_ending;

impl Protocol {
    /// Reads one pair a line: `first second label` or `first second label fold`, separated by tabs, blanks or commas.
    ///
    /// The label of a genuine pair is `1`, of an impostor pair `0` or `-1`. Folds are counted from 1 and either every
    /// line has one or none; without them the pairs of each kind are cut into ten contiguous parts. Windows line ends
    /// are allowed, and endings of image files are no part of a name.
    ///
    /// Such a list names no people: images that genuine pairs connect are taken for one person, and every other image
    /// for a person of its own. [`Protocol::name_people`] puts real names in.
    ///
    /// # Errors
    /// A file that cannot be read, the first malformed line with its number and text, an image paired with itself, too
    /// few pairs to cut folds from.
    pub fn read_list(path: &Path) -> Result<Self, ProtocolError> {
        let lines = Lines::read(path)?;
        let mut reading = Reading::default();
        for line in lines.all()? {
            let words: Vec<&str> = line
                .text
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|word| !word.is_empty())
                .collect();
            let (first, second, label, fold) = match words[..] {
                [first, second, label] => (first, second, label, None),
                [first, second, label, fold] => (first, second, label, Some(fold)),
                _ => return Err(lines.blame(line, LineProblem::ListColumns)),
            };
            let kind = match label {
                "1" => Kind::Genuine,
                "0" | "-1" => Kind::Impostor,
                _ => return Err(lines.blame(line, LineProblem::Label)),
            };
            let fold = match fold {
                Some(fold) => {
                    let fold = fold.parse::<usize>().ok().filter(|fold| (1..=FOLDS_AT_MOST).contains(fold));
                    Some(fold.ok_or_else(|| lines.blame(line, LineProblem::Fold))? - 1)
                }
                None => None,
            };
            reading.add(&lines, line, (first, second), kind, fold)?;
        }
        reading.finish(&lines)
    }

    /// Reads one pair in two lines, each `image label`, as `pairs_CALFW.txt` and `pairs_CPLFW.txt` have it.
    ///
    /// The label of both lines is 0 for an impostor pair and another whole number for a genuine one (CALFW writes the
    /// fold there). As in the published evaluations, the pairs of each kind are cut into ten contiguous parts, and as
    /// in [`Protocol::read_list`] people are taken from the genuine pairs.
    ///
    /// # Errors
    /// As [`Protocol::read_list`]; also an odd number of lines, or two lines of a pair with other labels.
    pub fn read_two_line(path: &Path) -> Result<Self, ProtocolError> {
        let lines = Lines::read(path)?;
        let mut reading = Reading::default();
        let all = lines.all()?;
        for pair in all.chunks(2) {
            let read = |line: Line<'_>| -> Result<(String, u32), ProtocolError> {
                let words: Vec<&str> = line.text.split_whitespace().collect();
                let [image, label] = words[..] else {
                    return Err(lines.blame(line, LineProblem::TwoLineColumns));
                };
                let label = label.parse().map_err(|_| lines.blame(line, LineProblem::Label))?;
                Ok((image.to_owned(), label))
            };
            let &[first_line, second_line] = pair else {
                return Err(lines.blame(pair[0], LineProblem::OddLines));
            };
            let ((first, label), (second, other)) = (read(first_line)?, read(second_line)?);
            if label != other {
                return Err(lines.blame(second_line, LineProblem::OtherLabel));
            }
            let kind = if label == 0 { Kind::Impostor } else { Kind::Genuine };
            reading.add(&lines, first_line, (&first, &second), kind, None)?;
        }
        reading.finish(&lines)
    }
}

#[derive(Default)]
struct Reading {
    images: ImageTable,
    pairs: Vec<Pair>,
    with_fold: usize,
}

impl Reading {
    fn add(
        &mut self,
        lines: &Lines,
        line: Line<'_>,
        (first, second): (&str, &str),
        kind: Kind,
        fold: Option<usize>,
    ) -> Result<(), ProtocolError> {
        let mut row = |name: &str| {
            let name = without_ending(name).replace('\\', "/");
            self.images.row(&name, name.clone())
        };
        let (first, second) = (row(first), row(second));
        if first == second {
            return Err(lines.blame(line, LineProblem::SameImage));
        }
        self.with_fold += usize::from(fold.is_some());
        self.pairs.push(Pair { first, second, kind, fold: fold.unwrap_or(0) });
        if self.with_fold != 0 && self.with_fold != self.pairs.len() {
            return Err(lines.blame(line, LineProblem::SomeFolds));
        }
        Ok(())
    }

    fn finish(mut self, lines: &Lines) -> Result<Protocol, ProtocolError> {
        let (folds, fold_origin) = if self.with_fold > 0 {
            let last = self.pairs.iter().map(|pair| pair.fold).max().unwrap_or(0);
            (last + 1, super::FoldOrigin::File)
        } else {
            cut(lines.path(), &mut self.pairs)?;
            (CUT, super::FoldOrigin::CutInTen)
        };
        let mut protocol = Protocol {
            name: lines.name(),
            images: self.images.images,
            pairs: self.pairs,
            folds,
            fold_origin,
        };
        protocol.connect_people();
        Ok(protocol)
    }
}
