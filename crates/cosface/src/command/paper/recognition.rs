//! One training on people of their own and its measurement on others: what the larger experiments repeat.

use data::{Augment, Warp};
use engine::Pool;
use eval::protocol::{FoldOrigin, ImageKey, Kind, Pair};
use eval::scores::Scores;
use eval::{Protocol, Rule, Vectors, Verifier};
use margin::Loss;
use net::{Architecture, Family, Network};
use serde::{Deserialize, Serialize};

use super::faces::{Faces, Wanted};
use super::intervals::{self, Row};
use super::objective::Objective;
use super::page::{Figure, OverSeeds, Table};
use super::training::{Course, Ended, Side, Start, Trained, features, train};
use super::{Arguments, Setting, Size};
use crate::command::terminal::Stage;

/// False accept rate at which the true accept rate is stated; the finest that the default size resolves well.
pub(super) const FAR: f64 = 1e-3;

const FOLDS: usize = 10;

/// Images in an update.
const BATCH: usize = 64;

/// Flips, as in the paper, and small errors of alignment, since images are few.
fn augment() -> Augment {
    let warp = Warp { probability: 0.5, shift: 0.04, scale: 0.06, rotate_degrees: 6.0 };
    Augment { warp, ..Augment::default() }
}

/// What a training was measured to reach.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Mean loss at the end of training; none where it diverged, and no other figure counts then.
    pub(super) loss: Option<f64>,
    /// Verification accuracy over ten folds of people, thresholds from the other folds.
    pub(super) accuracy: f64,
    /// True accept rate at [`FAR`] over all pairs.
    pub(super) tar: f64,
    /// Share of genuine pairs whose second image is nearer than every image of other people.
    pub(super) rank1: f64,
}

/// How much the larger experiments train on and test with.
struct Extent {
    /// People, the tested ones among them.
    people: u32,
    /// The fewest a folder may have.
    fewest: u32,
    /// Most people in the test; a third of all where that is less.
    tested: u32,
    /// Most images of a person in training and in the test.
    images: [u32; 2],
    /// Updates.
    steps: u64,
}

impl Extent {
    fn of(arguments: &Arguments, real: bool) -> Extent {
        let extent = match (arguments.size, real) {
            (Size::Small, _) => Extent { people: 44, fewest: 44, tested: 20, images: [10, 6], steps: 10 },
            (Size::Normal, false) => {
                Extent { people: 260, fewest: 260, tested: 60, images: [10, 6], steps: 400 }
            }
            // Real faces differ in more ways than synthetic ones, so as many as there are, within 200 MB, and longer.
            (Size::Normal, true) => {
                Extent { people: 800, fewest: 60, tested: 60, images: [30, 10], steps: 800 }
            }
        };
        Extent { steps: arguments.steps.unwrap_or(extent.steps), ..extent }
    }
}

/// Faces, network and threads of the larger experiments.
pub(super) struct Bench<'a> {
    setting: &'a Setting<'a>,
    pool: Pool,
    network: Network,
    train: Faces,
    test: Faces,
    extent: Extent,
}

/// One setting to be trained, for each seed.
pub(super) struct Contender {
    /// Name in tables.
    pub(super) name: String,
    /// Name of its results.
    pub(super) file: String,
    pub(super) objective: Objective,
    /// Where its network comes from.
    pub(super) from: From,
    /// Number of training people, the first ones; all unless given.
    pub(super) people: Option<usize>,
}

/// Where a training starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// From its seed.
    Seed,
    /// From a network trained with softmax from the same seed for as long.
    Softmax,
}

impl<'a> Bench<'a> {
    /// Faces for all experiments; people of the test are in no training.
    pub(super) fn new(setting: &'a Setting<'a>) -> anyhow::Result<Bench<'a>> {
        let data = &setting.arguments.data;
        let extent = Extent::of(setting.arguments, data.is_some());
        let wanted =
            Wanted { people: extent.people, images: extent.images[0], input: [56, 48], strength: 1.0 };
        let faces = match data {
            Some(folder) => Faces::real(&wanted, extent.fewest, folder)?,
            None => Faces::synthetic(&wanted, setting.arguments.seed)?,
        };
        let (all, test) = (faces.people, (faces.people / 3).min(extent.tested as usize));
        let architecture = Architecture {
            input: [56, 48],
            width: Some(0.25),
            feature: 128,
            batch_norm: Some(true),
            ..Architecture::new(Family::SphereFace, Some(10))
        };
        Ok(Bench {
            setting,
            pool: Pool::new(setting.arguments.threads)?,
            network: architecture.build()?,
            // The tested are spread evenly: people of a folder are ordered by their number of images.
            train: faces.of_people(|person| !tested(person, all, test), extent.images[0]),
            test: faces.of_people(|person| tested(person, all, test), extent.images[1]),
            extent,
        })
    }

    /// Who was trained on and who was tested, in a sentence.
    pub(super) fn describe(&self) -> String {
        let images = |faces: &Faces| faces.labels.len();
        let most = (0..self.test.people as u32)
            .map(|person| self.test.labels.iter().filter(|&&label| label == person).count())
            .max();
        format!(
            "Trained on {} images of {} people, {} steps of {BATCH}; tested on {} images of {} others: TAR at FAR {FAR} \
             over all their pairs, rank-1 of each genuine pair against the {} or more images of other people as \
             distractors.",
            images(&self.train),
            self.train.people,
            self.extent.steps,
            images(&self.test),
            self.test.people,
            images(&self.test) - most.unwrap_or(0)
        )
    }

    /// Number of people to train on.
    pub(super) fn people(&self) -> usize {
        self.train.people
    }

    /// Trains and measures every contender for every seed; none where it was stopped.
    pub(super) fn run(
        &self,
        experiment: &str,
        contenders: &[Contender],
    ) -> anyhow::Result<Option<Vec<Vec<Measured>>>> {
        let seeds = self.setting.arguments.seeds;
        let mut stage = Stage::start(experiment, contenders.len() as u64 * seeds);
        let (mut all, mut done) = (Vec::new(), 0);
        for contender in contenders {
            let mut of_seeds = Vec::new();
            for seed in self.setting.arguments.seed..self.setting.arguments.seed + seeds {
                let name = format!("{experiment}-{}-{seed}", contender.file);
                let Some(measured) = self.setting.trials.result(&name, || self.one(contender, seed))? else {
                    return Ok(None);
                };
                of_seeds.push(measured);
                done += 1;
                stage.show(done, &contender.name);
            }
            all.push(of_seeds);
        }
        stage.finish();
        Ok(Some(all))
    }

    fn one(&self, contender: &Contender, seed: u64) -> anyhow::Result<Option<Measured>> {
        let course = Course {
            steps: self.extent.steps,
            batch: BATCH,
            rate: 0.1,
            margin_warm_up: 0,
            augment: augment(),
            seed,
        };
        let some;
        let faces = match contender.people {
            Some(people) => {
                some = self.train.of_people(|person| person < people, self.extent.images[0]);
                &some
            }
            None => &self.train,
        };
        let train = |objective, start: &Start| {
            train(&self.pool, &self.network, faces, objective, &course, start, &self.setting.stop)
        };
        let mut start = Start::fresh(&self.network, faces.people, seed);
        if contender.from == From::Softmax {
            match train(Objective::of(Loss::Softmax), &start)? {
                Ended::Stopped => return Ok(None),
                Ended::Diverged { .. } => return Ok(Some(Measured::DIVERGED)),
                Ended::Trained(Trained { weights, centres, .. }) => start = Start { weights, centres },
            }
        }
        Ok(match train(contender.objective, &start)? {
            Ended::Stopped => None,
            Ended::Diverged { .. } => Some(Measured::DIVERGED),
            Ended::Trained(trained) => Some(self.measure(&trained)?),
        })
    }

    fn measure(&self, trained: &Trained) -> anyhow::Result<Measured> {
        let embed = |side| features(&self.pool, &self.network, &trained.weights, &self.test, side);
        let dimension = self.network.feature_dimension();
        let (images, mirrored) = (embed(Side::Image)?, embed(Side::Mirror)?);
        let rows: Vec<Vec<f32>> = images
            .chunks_exact(dimension)
            .zip(mirrored.chunks_exact(dimension))
            .map(|(image, mirrored)| eval::FeatureRule::Concatenated.combine(image, mirrored))
            .collect();
        let Ok(vectors) = Vectors::from_rows(rows.iter().map(Vec::as_slice)) else {
            return Ok(Measured::DIVERGED);
        };
        measure(&vectors, &self.test.labels, trained.loss)
    }
}

/// Whether a person of all is in the test: they are spread evenly.
fn tested(person: usize, all: usize, test: usize) -> bool {
    (person + 1) * test / all > person * test / all
}

impl Measured {
    const DIVERGED: Measured = Measured { loss: None, accuracy: 0.0, tar: 0.0, rank1: 0.0 };
}

/// Verification and identification of people by vectors; `labels` ascend.
fn measure(vectors: &Vectors, labels: &[u32], loss: f64) -> anyhow::Result<Measured> {
    let images = labels.len();
    let people = labels[images - 1] as usize + 1;
    let fold = |row: usize| labels[row] as usize * FOLDS / people;
    let pair = |first: usize, second: usize| {
        let kind = if labels[first] == labels[second] { Kind::Genuine } else { Kind::Impostor };
        Pair { first, second, kind, fold: fold(first) }
    };
    let all: Vec<Pair> = (0..images)
        .flat_map(|first| (first + 1..images).map(move |second| (first, second)))
        .map(|(first, second)| pair(first, second))
        .collect();
    let cosines = vectors.cosines(&all);
    let tar = Scores::of_pairs(&cosines, &all)?.roc().at_far(FAR)?.tar;

    // As many impostors as genuine pairs in every fold, all within it, taken evenly from all there are.
    let mut balanced = Vec::new();
    for index in 0..FOLDS {
        let inside = |kind| {
            let all = all.iter().filter(move |pair| pair.kind == kind && pair.fold == index);
            all.filter(|pair| fold(pair.second) == index).copied().collect::<Vec<Pair>>()
        };
        let (genuine, impostors) = (inside(Kind::Genuine), inside(Kind::Impostor));
        let count = genuine.len().min(impostors.len());
        balanced.extend_from_slice(&genuine);
        balanced.extend((0..count).map(|place| impostors[place * impostors.len() / count]));
    }
    let key = |row: usize| ImageKey { person: labels[row].to_string(), name: row.to_string() };
    let protocol = Protocol {
        name: "people of the test".to_owned(),
        images: (0..images).map(key).collect(),
        pairs: balanced,
        folds: FOLDS,
        fold_origin: FoldOrigin::File,
    };
    let accuracy = Verifier::new(Rule::OtherFolds, &protocol, vectors)?.verify().accuracy;

    let mut nearest = vec![f64::NEG_INFINITY; images];
    for (pair, &cosine) in all.iter().zip(&cosines).filter(|(pair, _)| pair.kind == Kind::Impostor) {
        nearest[pair.first] = nearest[pair.first].max(cosine);
        nearest[pair.second] = nearest[pair.second].max(cosine);
    }
    let (mut found, mut asked) = (0.0, 0.0);
    for (pair, &cosine) in all.iter().zip(&cosines).filter(|(pair, _)| pair.kind == Kind::Genuine) {
        for probe in [pair.first, pair.second] {
            asked += 1.0;
            found += f64::from(u8::from(cosine > nearest[probe]));
        }
    }
    Ok(Measured { loss: Some(loss), accuracy, tar, rank1: found / asked })
}

/// A figure over all seeds; none where a training diverged.
pub(super) fn over_seeds(of_seeds: &[Measured], figure: fn(&Measured) -> f64) -> Option<OverSeeds> {
    let all = of_seeds.iter().all(|measured| measured.loss.is_some());
    all.then(|| OverSeeds::of(&of_seeds.iter().map(figure).collect::<Vec<f64>>()))
}

/// A cell of a table in percent.
pub(super) fn percent(of_seeds: &[Measured], figure: fn(&Measured) -> f64) -> String {
    over_seeds(of_seeds, figure).map_or("diverged".to_owned(), |value| {
        OverSeeds { mean: 100.0 * value.mean, half: 100.0 * value.half }.text(1)
    })
}

/// A cell of a table with the loss at the end of training.
pub(super) fn final_loss(of_seeds: &[Measured]) -> String {
    over_seeds(of_seeds, |measured| measured.loss.unwrap_or(f64::NAN))
        .map_or("diverged".to_owned(), |value| value.text(3))
}

/// A contender's published numbers, LFW, YTF, MegaFace rank-1 and verification; empty where there are none.
pub(super) type Published = [&'static str; 4];

/// What the paper says of LMCL.
pub(super) const LMCL_PUBLISHED: Published = ["99.33", "96.1", "77.11", "89.88"];

/// The measurements of all contenders beside the published ones, as a table.
pub(super) fn compared(
    what: &str,
    contenders: &[Contender],
    results: &[Vec<Measured>],
    published: &[Published],
) -> Table {
    let columns = [
        what,
        "accuracy, %",
        "TAR, %",
        "rank-1, %",
        "final loss",
        "paper: LFW",
        "YTF",
        "MF1 rank-1",
        "MF1 verif.",
    ];
    let rows = contenders.iter().zip(results).zip(published).map(|((contender, of_seeds), published)| {
        let mut row = vec![
            contender.name.clone(),
            percent(of_seeds, |measured| measured.accuracy),
            percent(of_seeds, |measured| measured.tar),
            percent(of_seeds, |measured| measured.rank1),
            final_loss(of_seeds),
        ];
        row.extend(published.map(str::to_owned));
        row
    });
    Table { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect(), footer: Vec::new() }
}

/// The same as a figure.
pub(super) fn figure(
    name: &str,
    contenders: &[Contender],
    results: &[Vec<Measured>],
    published: &[Published],
) -> Figure {
    let rows = contenders.iter().zip(results).zip(published).map(|((contender, of_seeds), published)| Row {
        name: contender.name.clone(),
        here: [
            over_seeds(of_seeds, |measured| measured.accuracy),
            over_seeds(of_seeds, |measured| measured.tar),
            over_seeds(of_seeds, |measured| measured.rank1),
        ],
        published: [published[0], published[3], published[2]].map(|text| text.parse().ok()),
        proposed: *published == LMCL_PUBLISHED,
    });
    Figure {
        name: name.to_owned(),
        svg: intervals::picture(&rows.collect::<Vec<Row>>()),
        caption: "Above, means over seeds with 95 % intervals; below, the published numbers, from another network, more \
                  people and other tests: the order can be compared, the numbers cannot. Orange is what the paper \
                  proposes."
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use eval::Vectors;

    use super::{measure, tested};

    /// Twenty people with three images each; image k of a person stands `turn(k)` away from their own axis.
    fn vectors(turn: impl Fn(usize, usize) -> (usize, f32)) -> (Vectors, Vec<u32>) {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for person in 0..20 {
            for image in 0..3 {
                let mut row = vec![0.0; 20];
                let (towards, share) = turn(person, image);
                row[person] += 1.0 - share;
                row[towards] += share;
                values.extend(row);
                labels.push(person as u32);
            }
        }
        (Vectors::new(values, 20).unwrap(), labels)
    }

    #[test]
    fn people_who_stand_apart_are_told_apart_and_confused_ones_are_counted() {
        let (perfect, labels) = vectors(|person, _| (person, 0.0));
        let found = measure(&perfect, &labels, 1.0).unwrap();
        assert_eq!((found.accuracy, found.tar, found.rank1), (1.0, 1.0, 1.0));
        // The third image of person 0 is one of person 9: four of their six ordered pairs fail, and nobody of person
        // 9 finds theirs strictly nearer than it.
        let (confused, labels) =
            vectors(|person, image| if (person, image) == (0, 2) { (9, 1.0) } else { (person, 0.0) });
        let found = measure(&confused, &labels, 1.0).unwrap();
        let expected = (120.0 - 4.0 - 6.0) / 120.0;
        assert!((found.rank1 - expected).abs() < 1e-12, "{}", found.rank1);
        assert!(found.accuracy < 1.0);
    }

    #[test]
    fn the_people_of_the_test_are_spread_and_as_many_as_wanted() {
        let chosen: Vec<usize> = (0..260).filter(|&person| tested(person, 260, 60)).collect();
        assert_eq!(chosen.len(), 60);
        assert!(chosen.windows(2).all(|pair| (4..=5).contains(&(pair[1] - pair[0]))));
    }
}
