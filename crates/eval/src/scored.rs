//! Every pair with its score and its judgement, so that two models can be compared pair by pair.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::aside::write_aside;
use crate::protocol::{FOLDS_AT_MOST, Kind, Protocol};
use crate::vectors::Vectors;
use crate::verification::{VerificationError, Verifier};

const HEADER: &str = "fold\tkind\tfirst\tsecond\tfirst_person\tsecond_person\tcosine\tright";

/// The pairs of one model on one protocol; as a file `pairs.tsv`, tab-separated with a line of column names.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPairs {
    /// One row for each pair, in the order of the protocol.
    pub rows: Vec<ScoredPair>,
}

/// One pair.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredPair {
    /// Fold, counted from 1.
    pub fold: usize,
    /// One person or two.
    pub kind: Kind,
    /// Name of the first image.
    pub first: String,
    /// Name of the second image.
    pub second: String,
    /// Who is in the first image.
    pub first_person: String,
    /// Who is in the second image.
    pub second_person: String,
    /// Cosine of the two vectors as they are.
    pub cosine: f64,
    /// Whether the rule judged it rightly.
    pub right: bool,
}

/// Why a file of scored pairs cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ScoredPairsError {
    /// The file system says no; the source names the file.
    #[error("cannot keep or read the scored pairs")]
    File(#[source] std::io::Error),
    /// The first line is not that of such a file.
    #[error("not a file of scored pairs, its first line must name the columns: {}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
    },
    /// A line is malformed.
    #[error("{}, line {line}: eight columns as in the first line were expected", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
    },
}

impl ScoredPairs {
    /// Scores and judges the pairs of a protocol.
    ///
    /// # Errors
    /// See [`VerificationError`].
    ///
    /// # Panics
    /// Where `vectors` has not one row for each image.
    pub fn of(
        protocol: &Protocol,
        vectors: &Vectors,
        rule: crate::verification::Rule,
    ) -> Result<Self, VerificationError> {
        let right = Verifier::new(rule, protocol, vectors)?.decisions();
        let cosines = vectors.cosines(&protocol.pairs);
        let rows = protocol.pairs.iter().zip(cosines).zip(right).map(|((pair, cosine), right)| {
            let (first, second) = (&protocol.images[pair.first], &protocol.images[pair.second]);
            ScoredPair {
                fold: pair.fold + 1,
                kind: pair.kind,
                first: first.name.clone(),
                second: second.name.clone(),
                first_person: first.person.clone(),
                second_person: second.person.clone(),
                cosine,
                right,
            }
        });
        Ok(Self { rows: rows.collect() })
    }

    /// Places of the pairs of a kind that are hardest: one person's with the lowest cosines, two people's with the highest,
    /// the hardest first.
    pub fn hardest(&self, kind: Kind, count: usize) -> Vec<usize> {
        let mut places: Vec<usize> =
            (0..self.rows.len()).filter(|&place| self.rows[place].kind == kind).collect();
        let cosine = |place: &usize| self.rows[*place].cosine;
        places.sort_by(|one, other| match kind {
            Kind::Genuine => cosine(one).total_cmp(&cosine(other)),
            Kind::Impostor => cosine(other).total_cmp(&cosine(one)),
        });
        places.truncate(count);
        places
    }

    /// Mean over the folds of the share that was judged rightly; `None` without pairs.
    pub fn accuracy(&self) -> Option<f64> {
        let mut folds: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for row in &self.rows {
            let (right, all) = folds.entry(row.fold).or_default();
            *right += u64::from(row.right);
            *all += 1;
        }
        let shares = folds.values().map(|(right, all)| *right as f64 / *all as f64);
        (!folds.is_empty()).then(|| shares.sum::<f64>() / folds.len() as f64)
    }

    /// Writes the file beside its place first, then renames it.
    ///
    /// # Errors
    /// [`ScoredPairsError::File`].
    pub fn write(&self, path: &Path) -> Result<(), ScoredPairsError> {
        let mut text = format!("{HEADER}\n");
        for row in &self.rows {
            let kind = match row.kind {
                Kind::Genuine => "genuine",
                Kind::Impostor => "impostor",
            };
            let names = [&row.first, &row.second, &row.first_person, &row.second_person].map(String::as_str);
            let (names, right) = (names.join("\t"), u8::from(row.right));
            text += &format!("{}\t{kind}\t{names}\t{:?}\t{right}\n", row.fold, row.cosine);
        }
        write_aside(path, text.as_bytes()).map_err(ScoredPairsError::File)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// See [`ScoredPairsError`].
    pub fn read(path: &Path) -> Result<Self, ScoredPairsError> {
        let text = fs_err::read_to_string(path).map_err(ScoredPairsError::File)?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(ScoredPairsError::Header { path: path.to_owned() });
        }
        let rows = lines.enumerate().map(|(index, line)| {
            parse(line).ok_or_else(|| ScoredPairsError::Line { path: path.to_owned(), line: index + 2 })
        });
        Ok(Self { rows: rows.collect::<Result<_, _>>()? })
    }
}

fn parse(line: &str) -> Option<ScoredPair> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [fold, kind, first, second, first_person, second_person, cosine, right] = columns[..] else {
        return None;
    };
    Some(ScoredPair {
        fold: fold.parse().ok().filter(|fold| (1..=FOLDS_AT_MOST).contains(fold))?,
        kind: match kind {
            "genuine" => Kind::Genuine,
            "impostor" => Kind::Impostor,
            _ => return None,
        },
        first: first.to_owned(),
        second: second.to_owned(),
        first_person: first_person.to_owned(),
        second_person: second_person.to_owned(),
        cosine: cosine.parse().ok().filter(|cosine| (-1.0..=1.0).contains(cosine))?,
        right: match right {
            "0" => false,
            "1" => true,
            _ => return None,
        },
    })
}
