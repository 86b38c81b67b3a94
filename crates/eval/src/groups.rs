//! Results for groups of people, at one threshold for all.

use serde::{Deserialize, Serialize};

use crate::evaluation::Figure;
use crate::interval::{Bootstrap, People};
use crate::protocol::{ImageKey, Kind, MissingImages, NameTable, Protocol};
use crate::scores::{Scores, Weights};

/// How a threshold treats groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// The threshold for all: that of the equal error rate over all pairs.
    pub threshold: f64,
    /// Each group, by name.
    pub groups: Vec<GroupResult>,
    /// Impostor pairs of two groups, which belong to none.
    pub between: usize,
}

/// The pairs inside one group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupResult {
    /// Its name.
    pub name: String,
    /// Genuine pairs in it.
    pub genuine: usize,
    /// Impostor pairs of two of its people.
    pub impostor: usize,
    /// Share of its impostor pairs that the common threshold accepts; absent where it has none.
    pub false_accepts: Option<Figure>,
    /// Share of its genuine pairs that the common threshold rejects; absent where it has none.
    pub false_rejects: Option<Figure>,
    /// Area under its own curve; absent where a kind is missing.
    pub area: Option<Figure>,
}

impl Groups {
    /// Splits the pairs of a protocol by a table that names the group of each image, or of each person.
    ///
    /// # Errors
    /// [`MissingImages`] where the table has no word for images.
    ///
    /// # Panics
    /// Where there is not one score for each pair, or the bootstrap's settings are out of range.
    pub fn of(
        protocol: &Protocol,
        cosines: &[f64],
        scores: &Scores,
        table: &NameTable,
        bootstrap: &Bootstrap,
    ) -> Result<Self, MissingImages> {
        let word = |image: &ImageKey| table.get(&image.name).or_else(|| table.get(&image.person));
        let words = protocol.resolve(|image| word(image).map(str::to_owned))?;
        let of_pair: Vec<Option<&str>> = protocol
            .pairs
            .iter()
            .map(|pair| (words[pair.first] == words[pair.second]).then_some(words[pair.first].as_str()))
            .collect();
        let mut names: Vec<&str> = of_pair.iter().flatten().copied().collect();
        names.sort_unstable();
        names.dedup();
        let threshold = scores.roc().equal_error_rate().threshold;
        let members: Vec<Vec<usize>> = names
            .iter()
            .map(|name| (0..of_pair.len()).filter(|&pair| of_pair[pair] == Some(name)).collect())
            .collect();
        let own: Vec<Option<Scores>> = members
            .iter()
            .map(|members| {
                let kinds: Vec<Kind> = members.iter().map(|&pair| protocol.pairs[pair].kind).collect();
                let cosines: Vec<f64> = members.iter().map(|&pair| cosines[pair]).collect();
                Scores::new(&cosines, &kinds).ok()
            })
            .collect();
        let rate = |members: &[usize], kind: Kind, weights: Weights<'_>| -> Option<f64> {
            let (mut wrong, mut all) = (0, 0);
            for &pair in members.iter().filter(|&&pair| protocol.pairs[pair].kind == kind) {
                let accepted = cosines[pair] >= threshold;
                wrong += if accepted == (kind == Kind::Impostor) { weights.of(pair) } else { 0 };
                all += weights.of(pair);
            }
            (all > 0).then(|| wrong as f64 / all as f64)
        };
        let of = |weights: Weights<'_>| -> Vec<Option<f64>> {
            let figures = members.iter().zip(&own).flat_map(|(members, own)| {
                let area = own.as_ref().and_then(|own| {
                    let inside: Vec<u64> = members.iter().map(|&pair| weights.of(pair)).collect();
                    Some(own.weighted_roc(Weights::Each(&inside))?.area())
                });
                [rate(members, Kind::Impostor, weights), rate(members, Kind::Genuine, weights), area]
            });
            figures.collect()
        };
        let values = of(Weights::Once);
        let intervals = People::of(protocol).intervals(bootstrap, of);
        let figure = |at: usize| values[at].map(|value| Figure { value, interval: intervals[at] });
        let count = |members: &[usize], kind| {
            members.iter().filter(|&&pair| protocol.pairs[pair].kind == kind).count()
        };
        let groups = names.iter().zip(&members).enumerate().map(|(index, (name, members))| GroupResult {
            name: (*name).to_owned(),
            genuine: count(members, Kind::Genuine),
            impostor: count(members, Kind::Impostor),
            false_accepts: figure(3 * index),
            false_rejects: figure(3 * index + 1),
            area: figure(3 * index + 2),
        });
        let between = of_pair.iter().filter(|group| group.is_none()).count();
        Ok(Self { threshold, groups: groups.collect(), between })
    }
}
