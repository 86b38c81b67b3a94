//! `cosface verify`: are two faces one person's?

mod threshold;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use cosface::{Aligner, Embedder, template_of};
use engine::Pool;
use face::{Embedding, Limits, Size, decode_photograph_file};

use super::faces::Search;
use super::terminal;
use threshold::Threshold;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 the same person, 3 not the same person, 1 an error, such as no face.")]
pub(crate) struct Arguments {
    /// Model file
    model: PathBuf,
    /// One photograph or aligned crop
    first: PathBuf,
    /// The other one
    second: PathBuf,
    /// Finds and aligns the faces of photographs: an ONNX file of YuNet or SCRFD, or a folder with MTCNN's files.
    /// An image of exactly the crop's size is taken as it is
    #[arg(long)]
    detector: Option<PathBuf>,
    #[command(flatten)]
    search: Search,
    /// Cosine from which on two faces are one person's; the card's unless this or --evaluation is given
    #[arg(long, allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Directory of `cosface evaluate` that measured this model: its threshold is taken, and the probability it gives
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "threshold")]
    evaluation: Option<PathBuf>,
    /// False accept rate: the one of --evaluation's thresholds to take, its strictest unless given; or what --threshold
    /// was calibrated for
    #[arg(long)]
    far: Option<f64>,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Exit status for two people.
const DIFFERENT: u8 = 3;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut embedder = Embedder::open(&arguments.model, arguments.threads)?;
    let threshold = Threshold::of(arguments, &embedder)?;
    let mut aligner = match &arguments.detector {
        None => None,
        Some(path) => {
            let template =
                template_of(embedder.model().card().preprocessing.template).with_context(|| {
                    format!("the model takes images that are not aligned: {}", arguments.model.display())
                })?;
            ensure!(
                arguments.search.faces != detect::Choice::All,
                "verify compares one face of each photograph: all"
            );
            let (detector, pool) = (arguments.search.detector(path)?, Pool::new(arguments.threads)?);
            Some(Aligner::new(detector, pool, template, arguments.search.faces))
        }
    };
    let first = embedding(&mut embedder, aligner.as_mut(), &arguments.first)?;
    let second = embedding(&mut embedder, aligner.as_mut(), &arguments.second)?;
    let cosine = f64::from(first.cosine(&second));
    let same = cosine >= threshold.cosine;
    terminal::say(&format!(
        "{}: cosine {cosine:.4}, threshold {:.4} {}",
        if same { "the same person" } else { "not the same person" },
        threshold.cosine,
        threshold.origin
    ));
    if let Some(calibration) = threshold.calibration {
        terminal::say(&format!(
            "probability of one person: {:.4}, where both answers are as likely beforehand",
            calibration.probability(cosine)
        ));
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

fn embedding(
    embedder: &mut Embedder,
    aligner: Option<&mut Aligner>,
    path: &Path,
) -> anyhow::Result<Embedding> {
    let size = embedder.crop_size();
    let image = decode_photograph_file(path, &Limits::default())?;
    let crop = match aligner {
        _ if Size::of(&image) == size => image,
        Some(aligner) => aligner.crops_of(&image, path)?.swap_remove(0),
        None => bail!("the image is no crop of {size}, give --detector to align it: {}", path.display()),
    };
    let flip = embedder.model().card().preprocessing.flip;
    let features = embedder.features_of_crop(&crop, flip, path)?;
    features.embedding(flip).with_context(|| format!("no embedding for {}", path.display()))
}
