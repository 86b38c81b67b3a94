//! An evaluation: every figure, the rule behind it and its interval, as one file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::aside::write_aside;
use crate::calibration::Calibration;
use crate::embeddings::SetRule;
use crate::feature::FeatureRule;
use crate::groups::Groups;
use crate::histogram::Histogram;
use crate::interval::{Bootstrap, Interval};
use crate::operating::{OperatingPoint, points_by};
use crate::protocol::{FoldOrigin, Kind, MissingImages, NameTable, Protocol};
use crate::replicates::Replicates;
use crate::roc::{EqualErrorRate, FarTooFine, Roc, RocPoint};
use crate::scores::{Scores, ScoresError};
use crate::vectors::Vectors;
use crate::verification::{Rule, Verification, VerificationError, Verifier};

/// Version of the layout of `evaluation.json`. It changes whenever a field is renamed, removed or changes meaning.
///
/// Schema 2 added `operating_points`, `calibration` and `groups`; `pairs_together` and `set_rule` came later and may be
/// absent.
pub const SCHEMA: u32 = 2;

/// Bins of the histograms: cosines in steps of 0.02.
const BINS: usize = 100;
/// Closest points of the stored curve, as a share of the axes.
const CURVE_STEP: f64 = 1e-3;

/// What is evaluated and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What the vectors came from, for the record.
    pub model: ModelIdentity,
    /// How the feature of an image was made, for the record.
    pub feature_rule: FeatureRule,
    /// The rule of the headline figure.
    pub rule: Rule,
    /// False accept rates at which the true accept rate is read.
    pub fars: Vec<f64>,
    /// How intervals are made.
    pub bootstrap: Bootstrap,
    /// How the images of a set became one vector, for the record; `None` where each image is on its own.
    pub set_rule: Option<SetRule>,
}

impl Settings {
    /// Checks what can be checked before anything is embedded.
    ///
    /// # Errors
    /// [`EvaluateError::NoRate`].
    pub fn check(&self) -> Result<(), EvaluateError> {
        match self.fars.iter().find(|&&far| !(far > 0.0 && far <= 1.0)) {
            Some(&far) => Err(EvaluateError::NoRate(far)),
            None => Ok(()),
        }
    }
}

/// Identity of a model, so that a figure can be traced to its weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// File name, or another name that a person recognises.
    pub name: String,
    /// Fingerprint of the weights.
    pub fingerprint: String,
}

/// A figure with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The figure on the whole protocol.
    pub value: f64,
    /// Its interval; absent where too few replicates define it.
    pub interval: Option<Interval>,
}

/// What was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolSummary {
    /// Name of the protocol file.
    pub file: String,
    /// Different images.
    pub images: usize,
    /// Different people.
    pub people: usize,
    /// Genuine pairs.
    pub genuine: usize,
    /// Impostor pairs.
    pub impostor: usize,
    /// Folds.
    pub folds: usize,
    /// How the folds came about.
    pub fold_origin: FoldOrigin,
}

/// The true accept rate at a false accept rate, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TarAtFar {
    /// It was read by the conservative rule: the largest TAR whose FAR is at most the one asked for.
    Read {
        /// The false accept rate that was asked for.
        far: f64,
        /// The point that was found; its own FAR is at most `far`.
        point: RocPoint,
        /// TAR with its interval.
        tar: Figure,
    },
    /// The impostor pairs cannot resolve it.
    Refused(FarTooFine),
}

/// The interval of the true accept rate at one false accept rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BandPoint {
    /// The false accept rate.
    pub far: f64,
    /// Interval of the true accept rate by the conservative rule.
    pub tar: Interval,
}

/// Every figure of one model on one protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// [`SCHEMA`] of the program that wrote it.
    pub schema: u32,
    /// What was evaluated.
    pub model: ModelIdentity,
    /// How the feature of an image was made.
    pub feature_rule: FeatureRule,
    /// Dimension of the features.
    pub dimension: usize,
    /// What was compared.
    pub protocol: ProtocolSummary,
    /// The rule's accuracy, fold by fold.
    pub verification: Verification,
    /// Mean accuracy over the folds with its interval.
    pub accuracy: Figure,
    /// Area under the ROC curve, ties counted half.
    pub area: Figure,
    /// Equal error rate, linear between the points of the curve, with its threshold.
    pub equal_error: EqualErrorRate,
    /// The equal error rate with its interval.
    pub equal_error_rate: Figure,
    /// True accept rates at the false accept rates that were asked for.
    pub tar_at_far: Vec<TarAtFar>,
    /// The ROC curve of all pairs by cosine, thinned for drawing.
    pub curve: Vec<RocPoint>,
    /// Intervals of the curve at round false accept rates, point by point.
    pub band: Vec<BandPoint>,
    /// Cosines of the genuine pairs.
    pub genuine: Histogram,
    /// Cosines of the impostor pairs.
    pub impostor: Histogram,
    /// Thresholds for the false accept rates that were asked for and can be resolved.
    pub operating_points: Vec<OperatingPoint>,
    /// Score to probability; absent where there is nothing to calibrate on.
    pub calibration: Option<Calibration>,
    /// Results for groups of people; absent where no groups were named.
    pub groups: Option<Groups>,
    /// How the intervals were made: percentiles of replicates that resample people.
    pub bootstrap: Bootstrap,
    /// Of a long list: the most pairs, neighbours in score, that a replicate weighs together. Accuracies and false accept
    /// rates of replicates are off by at most so many pairs; no other figure is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs_together: Option<usize>,
    /// How several images of a set, such as a video, became one vector; absent where each image is on its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_rule: Option<SetRule>,
}

/// 1, 2 and 5 times each power of ten, from the finest rate that the impostors resolve to 1.
fn round_fars(impostors: usize) -> Vec<f64> {
    let decades = (impostors as f64).log10().ceil() as i32;
    let steps = (-decades..0).flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10.0_f64.powi(decade)));
    steps.chain([1.0]).filter(|far| far * impostors as f64 >= 1.0).collect()
}

/// Why there is no evaluation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvaluateError {
    /// The scores are no evidence.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// The rule cannot be applied.
    #[error(transparent)]
    Verification(#[from] VerificationError),
    /// A false accept rate is no rate.
    #[error("a false accept rate must lie above 0 and at most at 1: {0}")]
    NoRate(f64),
}

impl Evaluation {
    /// Evaluates vectors on a protocol.
    ///
    /// # Errors
    /// See [`EvaluateError`]. A false accept rate that the impostors cannot resolve is no error: it is refused in its
    /// place, with the finest possible one.
    ///
    /// # Panics
    /// Where `vectors` has not one row for each image of the protocol, or the bootstrap's settings are out of range.
    pub fn of(protocol: &Protocol, vectors: &Vectors, settings: &Settings) -> Result<Self, EvaluateError> {
        settings.check()?;
        let verifier = Verifier::new(settings.rule, protocol, vectors)?;
        let cosines = vectors.cosines(&protocol.pairs);
        let scores = Scores::of_pairs(&cosines, &protocol.pairs)?;
        let roc = scores.roc();
        let verification = verifier.verify();
        let replicates = match settings.rule {
            // Its scores differ from fold to fold.
            Rule::SphereFace => Replicates::of_pairs(protocol, &cosines, &scores),
            _ => Replicates::of(protocol, &cosines, &scores),
        };
        let verifier = match replicates.together() {
            Some(_) => {
                Verifier::of_items(settings.rule, &replicates.pairs, protocol.folds, &replicates.cosines)?
            }
            None => verifier,
        };
        let band_fars = round_fars(protocol.count(Kind::Impostor));
        let intervals = replicates.people.intervals(&settings.bootstrap, |weights| {
            let roc = replicates.scores.weighted_roc(weights);
            let of_roc = |figure: &dyn Fn(&Roc) -> f64| roc.as_ref().map(figure);
            let mut figures = vec![
                verifier.weighted_accuracy(weights),
                of_roc(&Roc::area),
                of_roc(&|roc| roc.equal_error_rate().rate),
            ];
            let fars = settings.fars.iter().chain(&band_fars);
            figures.extend(fars.map(|&far| of_roc(&|roc| roc.tar_at(far))));
            figures
        });
        let tar_at_far =
            settings.fars.iter().zip(&intervals[3..]).map(|(&far, &interval)| match roc.at_far(far) {
                Ok(point) => TarAtFar::Read { far, point, tar: Figure { value: point.tar, interval } },
                Err(refused) => TarAtFar::Refused(refused),
            });
        let band = band_fars.iter().zip(&intervals[3 + settings.fars.len()..]);
        let band = band.filter_map(|(&far, &tar)| tar.map(|tar| BandPoint { far, tar }));
        let equal_error = roc.equal_error_rate();
        Ok(Self {
            schema: SCHEMA,
            model: settings.model.clone(),
            feature_rule: settings.feature_rule,
            dimension: vectors.dimension(),
            protocol: ProtocolSummary {
                file: protocol.name.clone(),
                images: protocol.images.len(),
                people: replicates.people.count(),
                genuine: protocol.count(Kind::Genuine),
                impostor: protocol.count(Kind::Impostor),
                folds: protocol.folds,
                fold_origin: protocol.fold_origin,
            },
            accuracy: Figure { value: verification.accuracy, interval: intervals[0] },
            area: Figure { value: roc.area(), interval: intervals[1] },
            equal_error,
            equal_error_rate: Figure { value: equal_error.rate, interval: intervals[2] },
            tar_at_far: tar_at_far.collect(),
            curve: roc.drawn(CURVE_STEP),
            band: band.collect(),
            genuine: Histogram::of(scores.of_kind(Kind::Genuine), BINS),
            impostor: Histogram::of(scores.of_kind(Kind::Impostor), BINS),
            operating_points: points_by(protocol, &scores, &replicates, &settings.fars, &settings.bootstrap),
            calibration: Calibration::of(protocol, &cosines),
            groups: None,
            bootstrap: settings.bootstrap,
            pairs_together: replicates.together(),
            set_rule: settings.set_rule,
            verification,
        })
    }

    /// Adds the results of groups, from a table that names the group of each image or person.
    ///
    /// # Errors
    /// [`GroupsError`].
    ///
    /// # Panics
    /// Where `vectors` has not one row for each image of the protocol.
    pub fn add_groups(
        &mut self,
        protocol: &Protocol,
        vectors: &Vectors,
        table: &NameTable,
    ) -> Result<(), GroupsError> {
        let cosines = vectors.cosines(&protocol.pairs);
        let scores = Scores::of_pairs(&cosines, &protocol.pairs)?;
        self.groups = Some(Groups::of(protocol, &cosines, &scores, table, &self.bootstrap)?);
        Ok(())
    }

    /// Writes `evaluation.json`: beside its place first, then renamed, so that a reader never sees half a file.
    ///
    /// # Errors
    /// [`EvaluationFileError`] where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), EvaluationFileError> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|source| EvaluationFileError::Json { path: path.to_owned(), source })?;
        text.push('\n');
        write_aside(path, text.as_bytes()).map_err(EvaluationFileError::File)
    }

    /// Reads `evaluation.json`.
    ///
    /// # Errors
    /// [`EvaluationFileError`] where the file cannot be read, is no evaluation, or has another schema.
    pub fn read(path: &Path) -> Result<Self, EvaluationFileError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let json = |source| EvaluationFileError::Json { path: path.to_owned(), source };
        let text = fs_err::read_to_string(path).map_err(EvaluationFileError::File)?;
        let Version { schema } = serde_json::from_str(&text).map_err(json)?;
        if schema != SCHEMA {
            return Err(EvaluationFileError::Schema { path: path.to_owned(), found: schema });
        }
        serde_json::from_str(&text).map_err(json)
    }
}

/// Why there are no results of groups.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GroupsError {
    /// The scores are no evidence.
    #[error(transparent)]
    Scores(#[from] ScoresError),
    /// The table has no word for some images.
    #[error("the table of groups must have a word for every image, or for who is in it")]
    Missing(#[from] MissingImages),
}

/// Why an `evaluation.json` cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationFileError {
    /// The file system says no; the source names the file.
    #[error("cannot keep or read the evaluation")]
    File(#[source] std::io::Error),
    /// The text is no evaluation.
    #[error("not an evaluation: {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Another version of the program wrote it.
    #[error("{}: this program reads schema {SCHEMA}, evaluate the model again, found schema: {found}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
}
