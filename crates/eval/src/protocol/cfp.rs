//! Celebrities in Frontal-Profile (Sengupta et al., Frontal to profile face verification in the wild, WACV 2016).

use std::collections::HashMap;
use std::path::Path;

use super::format::Format;
use super::lines::Lines;
use super::{FoldOrigin, ImageTable, Kind, LineProblem, Pair, Protocol, ProtocolError};

/// The data set has ten splits.
const FOLDS: usize = 10;

impl Protocol {
    /// Reads the folder `Protocol` of the data set: the image lists `Pair_list_F.txt` and `Pair_list_P.txt`, and
    /// `Split/FF` or `Split/FP` with `01` to `10`, each of them with `same.txt` and `diff.txt`.
    ///
    /// A line `a,b` of a split is image `a` of the frontal list with image `b` of the frontal list (FF) or of the
    /// profile list (FP). Images are named by the last three parts of their paths, `001/frontal/01`, and the first of
    /// these is the person.
    ///
    /// # Errors
    /// A file that cannot be read, or the first malformed line with its number and text: among them a number that no
    /// list has, an image paired with itself, a genuine pair of two people and an impostor pair of one.
    ///
    /// # Panics
    /// Where `format` is not one of the two of this data set.
    pub fn read_cfp(folder: &Path, format: Format) -> Result<Self, ProtocolError> {
        let (second_list, split, name) = match format {
            Format::CfpFrontalFrontal => ("Pair_list_F.txt", "FF", "CFP-FF"),
            Format::CfpFrontalProfile => ("Pair_list_P.txt", "FP", "CFP-FP"),
            other => panic!("{other} is no format of CFP"),
        };
        let (frontal, second_images) =
            (list(&folder.join("Pair_list_F.txt"))?, list(&folder.join(second_list))?);
        let mut images = ImageTable::default();
        let mut pairs = Vec::new();
        for fold in 0..FOLDS {
            for (kind, file) in [(Kind::Genuine, "same.txt"), (Kind::Impostor, "diff.txt")] {
                let lines = Lines::read(
                    &folder.join("Split").join(split).join(format!("{:02}", fold + 1)).join(file),
                )?;
                for line in lines.all()? {
                    let look = |list: &HashMap<usize, (String, String)>, number: &str| {
                        let number =
                            number.trim().parse().map_err(|_| lines.blame(line, LineProblem::CfpPair))?;
                        list.get(&number).cloned().ok_or_else(|| lines.blame(line, LineProblem::NotListed))
                    };
                    let (first, second) =
                        line.text.split_once(',').ok_or_else(|| lines.blame(line, LineProblem::CfpPair))?;
                    let ((person, first), (other, second)) =
                        (look(&frontal, first)?, look(&second_images, second)?);
                    match (kind, person == other) {
                        (Kind::Genuine, false) => return Err(lines.blame(line, LineProblem::OtherPerson)),
                        (Kind::Impostor, true) => return Err(lines.blame(line, LineProblem::SamePerson)),
                        _ => {}
                    }
                    let (first, second) = (images.row(&person, first), images.row(&other, second));
                    if first == second {
                        return Err(lines.blame(line, LineProblem::SameImage));
                    }
                    pairs.push(Pair { first, second, kind, fold });
                }
            }
        }
        let (images, name) = (images.images, name.to_owned());
        Ok(Self { name, images, pairs, folds: FOLDS, fold_origin: FoldOrigin::File })
    }
}

/// Person and name of each image of a list, by its number.
fn list(path: &Path) -> Result<HashMap<usize, (String, String)>, ProtocolError> {
    let lines = Lines::read(path)?;
    let mut images = HashMap::new();
    for line in lines.all()? {
        let malformed = || lines.blame(line, LineProblem::CfpImage);
        let (number, image) = line.text.split_once(' ').ok_or_else(malformed)?;
        let image = crate::embeddings::without_ending(image.trim());
        let parts: Vec<&str> = image.rsplit('/').take(3).collect();
        let [image, view, person] = parts[..] else { return Err(malformed()) };
        let number = number.parse().map_err(|_| malformed())?;
        if images.insert(number, (person.to_owned(), format!("{person}/{view}/{image}"))).is_some() {
            return Err(lines.blame(line, LineProblem::Twice));
        }
    }
    Ok(images)
}
