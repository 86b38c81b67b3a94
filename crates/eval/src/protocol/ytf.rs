//! YouTube Faces (Wolf, Hassner and Maoz, Face recognition in unconstrained videos with matched background
//! similarity, CVPR 2011).

use std::path::Path;

use super::lines::Lines;
use super::{FoldOrigin, ImageTable, Kind, LineProblem, Pair, Protocol, ProtocolError};

impl Protocol {
    /// Reads `splits.txt`: lines `split, index, Name/video, Name/video, label`, where a label of 1 is a genuine pair.
    /// A header of words is allowed. The names of this protocol are videos, each of them a set of frames.
    ///
    /// # Errors
    /// A file that cannot be read, or the first malformed line with its number and text: among them a video paired with
    /// itself, a genuine pair of two people and an impostor pair of one.
    pub fn read_ytf(path: &Path) -> Result<Self, ProtocolError> {
        let lines = Lines::read(path)?;
        let mut images = ImageTable::default();
        let mut pairs = Vec::new();
        let mut folds = 0;
        for line in lines.all()? {
            let malformed = || lines.blame(line, LineProblem::YtfColumns);
            let words: Vec<&str> = line.text.split(',').map(str::trim).collect();
            let [split, index, first, second, label] = words[..] else { return Err(malformed()) };
            if line.number == 1 && split.parse::<usize>().is_err() && index.parse::<usize>().is_err() {
                continue;
            }
            let split = split.parse::<usize>().ok().filter(|split| (1..=1000).contains(split));
            let split = split.ok_or_else(|| lines.blame(line, LineProblem::Fold))?;
            let kind = match label {
                "1" => Kind::Genuine,
                "0" => Kind::Impostor,
                _ => return Err(lines.blame(line, LineProblem::Label)),
            };
            let person = |video: &str| {
                video.split_once('/').map(|(person, _)| person.to_owned()).ok_or_else(malformed)
            };
            let (one, other) = (person(first)?, person(second)?);
            match (kind, one == other) {
                (Kind::Genuine, false) => return Err(lines.blame(line, LineProblem::OtherPerson)),
                (Kind::Impostor, true) => return Err(lines.blame(line, LineProblem::SamePerson)),
                _ => {}
            }
            let (first, second) = (images.row(&one, first.to_owned()), images.row(&other, second.to_owned()));
            if first == second {
                return Err(lines.blame(line, LineProblem::SameImage));
            }
            folds = folds.max(split);
            pairs.push(Pair { first, second, kind, fold: split - 1 });
        }
        Ok(Self { name: lines.name(), images: images.images, pairs, folds, fold_origin: FoldOrigin::File })
    }
}
