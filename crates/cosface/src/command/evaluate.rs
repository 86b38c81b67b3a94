//! `cosface evaluate`: a model measured on pairs of faces.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cosface::{Embedder, Features};
use eval::evaluation::TarAtFar;
use eval::interval::Bootstrap;
use eval::report::{Report, evaluation_sections};
use eval::{Evaluation, FeatureRule, ModelIdentity, Protocol, Rule, Settings, Vectors};
use net::FlipRule;

use super::terminal::{self, Stage};

/// Endings of image files.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "pgm", "ppm", "pnm"];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file
    model: PathBuf,
    /// Folder with one folder of aligned crops for each person, as LFW has it
    #[arg(long)]
    images: PathBuf,
    /// Pairs in the format of LFW's pairs.txt or pairsDevTest.txt
    #[arg(long)]
    pairs: PathBuf,
    /// Directory for evaluation.json and report.html
    #[arg(long)]
    out: PathBuf,
    /// How an image becomes a feature: image, concatenated or summed; the model card's rule unless given
    #[arg(long)]
    feature: Option<FeatureRule>,
    /// How accuracy is taken: other-folds, insightface, sphereface or best-on-test (optimistic)
    #[arg(long, default_value = "other-folds")]
    rule: Rule,
    /// False accept rates at which the true accept rate is stated
    #[arg(long, value_delimiter = ',', default_value = "0.1,0.01,0.001")]
    far: Vec<f64>,
    /// What to do with images of another size than the model's: exact, stretch or crop
    #[arg(long, default_value = "exact", value_parser = fit)]
    resize: data::Fit,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Parses the name of a way to bring images to size.
pub(crate) fn fit(name: &str) -> Result<data::Fit, String> {
    match name {
        "exact" => Ok(data::Fit::Exact),
        "stretch" => Ok(data::Fit::Stretch),
        "crop" => Ok(data::Fit::Crop),
        _ => Err(format!("expected exact, stretch or crop: {name}")),
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let protocol = Protocol::read_lfw(&arguments.pairs)?;
    let files = find_images(&protocol, &arguments.images)?;
    let mut embedder = Embedder::open(&arguments.model, arguments.threads)?;
    let rule = arguments.feature.unwrap_or_else(|| rule_of(embedder.model().card().preprocessing.flip));
    fs_err::create_dir_all(&arguments.out)?;
    let settings = Settings {
        model: ModelIdentity {
            name: embedder.model().card().network.clone(),
            fingerprint: embedder.model().fingerprint().to_string(),
        },
        feature_rule: rule,
        rule: arguments.rule,
        fars: arguments.far.clone(),
        bootstrap: Bootstrap::default(),
    };
    let evaluation = evaluate(&mut embedder, &protocol, files, arguments.resize, &settings)?;
    evaluation.write(&arguments.out.join("evaluation.json"))?;
    let report = Report {
        title: format!("{} on {}", evaluation.model.name, protocol.name),
        subtitle: format!("model {}", evaluation.model.fingerprint),
        sections: evaluation_sections(&evaluation),
    };
    report.write(&arguments.out.join("report.html"))?;
    terminal::say(&summary(&[("", &evaluation)]));
    terminal::say(&format!("report: {}", arguments.out.join("report.html").display()));
    Ok(())
}

/// The feature rule that a card's flip rule names.
pub(crate) fn rule_of(flip: FlipRule) -> FeatureRule {
    match flip {
        FlipRule::None => FeatureRule::Image,
        FlipRule::Concatenated => FeatureRule::Concatenated,
        FlipRule::Summed => FeatureRule::Summed,
    }
}

/// The file of each image that the protocol names.
pub(crate) fn find_images(protocol: &Protocol, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders: HashMap<PathBuf, HashMap<String, Vec<PathBuf>>> = HashMap::new();
    fs_err::read_dir(root).context("the folder of images cannot be read")?;
    let mut ambiguous = None;
    let found = protocol.resolve(|key| {
        let whole = root.join(&key.name);
        let (folder, stem) = (whole.parent()?.to_owned(), whole.file_name()?.to_str()?.to_owned());
        let names = folders.entry(folder.clone()).or_insert_with(|| images_in(&folder));
        let files = names.get(&stem)?;
        if files.len() > 1 {
            ambiguous = Some(files.clone());
        }
        files.first().cloned()
    })?;
    match ambiguous {
        Some(files) => {
            bail!("two files for one image, keep one: {} and {}", files[0].display(), files[1].display())
        }
        None => Ok(found),
    }
}

/// Whether a file's ending is that of an image.
pub(crate) fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn images_in(folder: &Path) -> HashMap<String, Vec<PathBuf>> {
    let mut names: HashMap<String, Vec<PathBuf>> = HashMap::new();
    for entry in fs_err::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if let (true, Some(stem)) = (is_image(&path), path.file_stem().and_then(|stem| stem.to_str())) {
            names.entry(stem.to_owned()).or_default().push(path.clone());
        }
    }
    names
}

/// Embeds the images of a protocol and measures the model on its pairs.
pub(crate) fn evaluate(
    embedder: &mut Embedder,
    protocol: &Protocol,
    files: Vec<PathBuf>,
    fit: data::Fit,
    settings: &Settings,
) -> anyhow::Result<Evaluation> {
    let flip = match settings.feature_rule.needs_mirror() {
        true => FlipRule::Concatenated,
        false => FlipRule::None,
    };
    let mut stage = Stage::start("embed", files.len() as u64);
    let features = embedder.features(files, fit, flip, &mut |done| stage.show(done as u64, ""))?;
    stage.finish();
    let combine = |feature: &Features| settings.feature_rule.combine(&feature.image, &feature.mirrored);
    let rows: Vec<Vec<f32>> = features.iter().map(combine).collect();
    let vectors = Vectors::from_rows(rows.iter().map(Vec::as_slice))?;
    Ok(Evaluation::of(protocol, &vectors, settings)?)
}

/// A short table of evaluations by name.
pub(crate) fn summary(evaluations: &[(&str, &Evaluation)]) -> String {
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let mut head = ["", "accuracy", "95 % interval", "AUC", "EER"].map(str::to_owned).to_vec();
    let asked = |tar: &TarAtFar| match tar {
        TarAtFar::Read { far, .. } => *far,
        TarAtFar::Refused(refusal) => refusal.wanted,
    };
    if let Some((_, first)) = evaluations.first() {
        head.extend(first.tar_at_far.iter().map(|tar| format!("TAR at FAR {} %", 100.0 * asked(tar))));
    }
    let mut rows = vec![head];
    for (name, evaluation) in evaluations {
        let interval = evaluation.accuracy.interval;
        let mut row = vec![
            (*name).to_owned(),
            percent(evaluation.accuracy.value),
            interval
                .map_or("none".to_owned(), |ends| format!("{} to {}", percent(ends.low), percent(ends.high))),
            format!("{:.4}", evaluation.area.value),
            percent(evaluation.equal_error_rate.value),
        ];
        row.extend(evaluation.tar_at_far.iter().map(|tar| match tar {
            TarAtFar::Read { tar, .. } => percent(tar.value),
            TarAtFar::Refused(refusal) => format!("too fine for {} pairs", refusal.impostors),
        }));
        rows.push(row);
    }
    terminal::table(&rows)
}
