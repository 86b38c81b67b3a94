//! `cosface evaluate`: a model, or embeddings alone, measured on pairs of faces.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use cosface::{Embedder, Features, rule_of};
use eval::embeddings::SetRule;
use eval::evaluation::TarAtFar;
use eval::interval::Bootstrap;
use eval::protocol::{Format, NameTable};
use eval::report::{Report, evaluation_sections};
use eval::{
    Embeddings, Evaluation, FeatureRule, ModelIdentity, Protocol, Rule, ScoredPairs, Settings, Vectors,
};
use net::FlipRule;

use super::hardest;
use super::operands::{Operands, open};
use super::terminal::{self, Stage};

/// Endings of image files.
const ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "pgm", "ppm", "pnm"];

/// Longer lists of pairs are kept only where someone asks for them: a line takes some 90 bytes.
const LISTED_PAIRS: usize = 1_000_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Model file
    #[arg(required_unless_present = "embeddings", requires = "images")]
    model: Option<PathBuf>,
    /// Vectors and their names instead of a model and images: .safetensors as `embed` writes it, or .npz with arrays
    /// embeddings and names
    #[arg(long, conflicts_with_all = ["model", "images", "resize", "precision", "threads"])]
    embeddings: Option<PathBuf>,
    /// Folder of aligned crops, laid out as the protocol names them: for LFW one folder for each person
    #[arg(long)]
    images: Option<PathBuf>,
    /// The protocol: a file, for CFP the folder Protocol
    #[arg(long)]
    pairs: PathBuf,
    /// Format of the protocol: lfw, list (`first second label`), two-line (CALFW, CPLFW), cfp-ff, cfp-fp or ytf
    #[arg(long, default_value = "lfw")]
    format: Format,
    /// Table `image<TAB>person` for a protocol that does not name people; intervals resample people
    #[arg(long)]
    people: Option<PathBuf>,
    /// Table `name<TAB>group`, where a name is an image or a person: results for each group
    #[arg(long)]
    groups: Option<PathBuf>,
    /// How the frames of a video become one vector: mean-of-units or mean
    #[arg(long, default_value = "mean-of-units")]
    set_rule: SetRule,
    /// Directory for evaluation.json, report.html, table.md and pairs.tsv
    #[arg(long)]
    out: PathBuf,
    /// Write pairs.tsv also for more than a million pairs
    #[arg(long)]
    all_pairs: bool,
    /// How an image becomes a feature: image, concatenated or summed; the rule of the model card or of the embeddings
    /// unless given
    #[arg(long)]
    feature: Option<FeatureRule>,
    /// How accuracy is taken: other-folds (also called paper), insightface, sphereface or best-on-test (optimistic)
    #[arg(long, default_value = "other-folds")]
    rule: Rule,
    /// False accept rates at which the true accept rate is stated
    #[arg(long, value_delimiter = ',', default_value = "0.1,0.01,0.001")]
    far: Vec<f64>,
    /// What to do with images of another size than the model's: exact, stretch or crop
    #[arg(long, default_value = "exact", value_parser = fit)]
    resize: data::Fit,
    /// What the operands of the network's products are rounded to
    #[arg(long, value_enum, default_value_t = Operands::F32)]
    precision: Operands,
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
    let mut settings = Settings {
        model: ModelIdentity { name: String::new(), fingerprint: "not stated".to_owned() },
        feature_rule: arguments.feature.unwrap_or_default(),
        rule: arguments.rule,
        fars: arguments.far.clone(),
        bootstrap: Bootstrap::default(),
        set_rule: arguments.format.names_sets().then_some(arguments.set_rule),
    };
    settings.check()?;
    let mut protocol = arguments.format.read(&arguments.pairs)?;
    if let Some(path) = &arguments.people {
        protocol.name_people(&NameTable::read(path)?)?;
    }
    let groups = arguments.groups.as_deref().map(NameTable::read).transpose()?;
    let mut files = None;
    let vectors = match (&arguments.embeddings, &arguments.model, &arguments.images) {
        (Some(embeddings), ..) => vectors_of_file(arguments, embeddings, &protocol, &mut settings)?,
        (None, Some(model), Some(images)) => {
            let (vectors, found) = vectors_of_images(arguments, model, images, &protocol, &mut settings)?;
            files = found;
            vectors
        }
        _ => bail!("a model with --images, or --embeddings, is needed"),
    };
    let mut evaluation = Evaluation::of(&protocol, &vectors, &settings)?;
    if let Some(groups) = &groups {
        evaluation.add_groups(&protocol, &vectors, groups)?;
    }
    let listed = protocol.pairs.len() <= LISTED_PAIRS || arguments.all_pairs;
    let scored = listed.then(|| ScoredPairs::of(&protocol, &vectors, settings.rule)).transpose()?;
    fs_err::create_dir_all(&arguments.out)?;
    let listing = arguments.out.join("pairs.tsv");
    match &scored {
        Some(scored) => scored.write(&listing)?,
        // That of an earlier evaluation would belong to other figures.
        None if listing.exists() => fs_err::remove_file(&listing)?,
        None => {}
    }
    evaluation.write(&arguments.out.join("evaluation.json"))?;
    let title = format!("{} on {}", evaluation.model.name, protocol.name);
    let subtitle = match arguments.format.names_sets() {
        true => format!(
            "model {}, sets of images by the rule {}",
            evaluation.model.fingerprint, arguments.set_rule
        ),
        false => format!("model {}", evaluation.model.fingerprint),
    };
    let mut table = markdown(&[(&title, &evaluation)]);
    if let Some(rule) = evaluation.set_rule {
        table += &format!("\n{}\n", rule.in_words());
    }
    if !evaluation.operating_points.is_empty() {
        table += &format!("\n{}", markdown_table(&thresholds(&evaluation)));
    }
    net::atomic_file::write(&arguments.out.join("table.md"), |file| -> io::Result<()> {
        file.write_all(table.as_bytes())
    })?;
    let mut sections = evaluation_sections(&evaluation);
    if let (Some(files), Some(scored)) = (&files, &scored) {
        // Before the last one, which says how all this was measured.
        let hardest = hardest::section(&protocol, scored, files)?;
        sections.insert(sections.len() - 1, hardest);
    }
    let report = Report { title, subtitle, sections };
    report.write(&arguments.out.join("report.html"))?;
    terminal::say(&summary(&[("", &evaluation)]));
    if !evaluation.operating_points.is_empty() {
        terminal::say("");
        terminal::say(&terminal::table(&thresholds(&evaluation)));
    }
    if scored.is_none() {
        terminal::say(&format!(
            "pairs.tsv, which compare reads, is left out for {} pairs, more than {LISTED_PAIRS}: --all-pairs writes it",
            protocol.pairs.len()
        ));
    }
    terminal::say(&format!("report: {}", arguments.out.join("report.html").display()));
    Ok(())
}

/// Vectors of a file, which itself says what made them.
fn vectors_of_file(
    arguments: &Arguments,
    path: &Path,
    protocol: &Protocol,
    settings: &mut Settings,
) -> anyhow::Result<Vectors> {
    let embeddings = Embeddings::read(path)?;
    settings.model.name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    if let Some(model) = &embeddings.model {
        settings.model.fingerprint.clone_from(model);
    }
    settings.feature_rule = match (embeddings.feature_rule, arguments.feature) {
        (Some(stated), Some(asked)) if stated != asked => bail!(
            "the vectors were made by the feature rule {stated}, which cannot be changed afterwards, asked for: {asked}"
        ),
        (Some(rule), _) | (None, Some(rule)) => rule,
        (None, None) => bail!(
            "the file does not say how image and mirror image became one vector, say it with --feature: {}",
            path.display()
        ),
    };
    Ok(match arguments.format.names_sets() {
        true => embeddings.sets_of(protocol, arguments.set_rule)?,
        false => embeddings.of_protocol(protocol)?,
    })
}

/// Vectors that a model makes of images, and the file of each image where one image stands for each vector.
fn vectors_of_images(
    arguments: &Arguments,
    model: &Path,
    images: &Path,
    protocol: &Protocol,
    settings: &mut Settings,
) -> anyhow::Result<(Vectors, Option<Vec<PathBuf>>)> {
    let files = match arguments.format.names_sets() {
        true => find_frames(protocol, images)?,
        false => find_images(protocol, images)?,
    };
    let mut embedder = open(model, arguments.threads, arguments.precision)?;
    settings.feature_rule =
        arguments.feature.unwrap_or_else(|| rule_of(embedder.model().card().preprocessing.flip));
    settings.model = ModelIdentity {
        name: embedder.model().card().network.clone(),
        fingerprint: embedder.model().fingerprint().to_string(),
    };
    // Nothing is left to refuse but the images themselves, and a directory that cannot be made should not cost them.
    let made = !arguments.out.exists();
    fs_err::create_dir_all(&arguments.out)?;
    let names = files.iter().map(|file| file.display().to_string()).collect();
    let shown = (!arguments.format.names_sets()).then(|| files.clone());
    let vectors = embed(&mut embedder, files, arguments.resize, settings.feature_rule).inspect_err(|_| {
        if made {
            // The error of the images is the one to report.
            let _ = fs_err::remove_dir(&arguments.out);
        }
    })?;
    match arguments.format.names_sets() {
        true => Ok((Embeddings::new(names, vectors)?.sets_of(protocol, arguments.set_rule)?, shown)),
        false => Ok((vectors, shown)),
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

/// The frames of each video that the protocol names.
fn find_frames(protocol: &Protocol, root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let videos = protocol.resolve(|key| {
        let frames: Vec<PathBuf> = images_in(&root.join(&key.name)).into_values().flatten().collect();
        (!frames.is_empty()).then_some(frames)
    })?;
    let mut frames: Vec<PathBuf> = videos.into_iter().flatten().collect();
    frames.sort();
    Ok(frames)
}

/// Whether a file's ending is that of an image.
fn is_image(path: &Path) -> bool {
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
    let vectors = embed(embedder, files, fit, settings.feature_rule)?;
    Ok(Evaluation::of(protocol, &vectors, settings)?)
}

/// One vector for each file.
fn embed(
    embedder: &mut Embedder,
    files: Vec<PathBuf>,
    fit: data::Fit,
    rule: FeatureRule,
) -> anyhow::Result<Vectors> {
    let flip = match rule.needs_mirror() {
        true => FlipRule::Concatenated,
        false => FlipRule::None,
    };
    let mut stage = Stage::start("embed", files.len() as u64);
    let features = embedder.features(files, fit, flip, &mut |done| stage.show(done as u64, ""))?;
    stage.finish();
    let combine = |feature: &Features| rule.combine(&feature.image, &feature.mirrored);
    let rows: Vec<Vec<f32>> = features.iter().map(combine).collect();
    Ok(Vectors::from_rows(rows.iter().map(Vec::as_slice))?)
}

/// A short table of evaluations by name.
pub(crate) fn summary(evaluations: &[(&str, &Evaluation)]) -> String {
    terminal::table(&rows(evaluations))
}

/// The same as a table in Markdown.
pub(crate) fn markdown(evaluations: &[(&str, &Evaluation)]) -> String {
    markdown_table(&rows(evaluations))
}

/// Rows as a table in Markdown, the first as its head; all columns but the first hold numbers.
pub(crate) fn markdown_table(rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let escaped = |row: &[String]| row.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let Some((head, rows)) = rows.split_first() else { return String::new() };
    let rule = (0..head.len()).map(|at| if at == 0 { "---" } else { "---:" }.to_owned()).collect();
    let mut text = line(escaped(head)) + &line(rule);
    rows.iter().for_each(|row| text += &line(escaped(row)));
    text
}

/// Thresholds for the false accept rates that were asked for, and what they do on pairs they were not chosen on.
fn thresholds(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let head =
        ["FAR wanted", "accept from cosine", "95 % interval", "FAR on other folds", "TAR on other folds"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for point in &evaluation.operating_points {
        let interval = point.threshold.interval;
        let [far, tar] = match point.elsewhere {
            Some(elsewhere) => {
                [elsewhere.far, elsewhere.tar].map(|rate| format!("{:.3} %", 100.0 * rate.value))
            }
            None => ["too fine".to_owned(), String::new()],
        };
        rows.push(vec![
            format!("{} %", 100.0 * point.far),
            format!("{:.4}", point.threshold.value),
            interval.map_or("none".to_owned(), |ends| format!("{:.4} to {:.4}", ends.low, ends.high)),
            far,
            tar,
        ]);
    }
    rows
}

fn rows(evaluations: &[(&str, &Evaluation)]) -> Vec<Vec<String>> {
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let mut head = ["", "accuracy", "95 % interval", "AUC", "EER"].map(str::to_owned).to_vec();
    let asked = |tar: &TarAtFar| match tar {
        TarAtFar::Read { far, .. } => *far,
        TarAtFar::Refused(refusal) => refusal.wanted,
    };
    // Every rate that someone asked for, in the order in which it was first asked.
    let mut fars: Vec<f64> = Vec::new();
    for far in evaluations.iter().flat_map(|(_, evaluation)| evaluation.tar_at_far.iter().map(asked)) {
        if !fars.contains(&far) {
            fars.push(far);
        }
    }
    head.extend(fars.iter().map(|far| format!("TAR at FAR {} %", 100.0 * far)));
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
        row.extend(fars.iter().map(
            |&far| match evaluation.tar_at_far.iter().find(|tar| asked(tar) == far) {
                Some(TarAtFar::Read { tar, .. }) => percent(tar.value),
                Some(TarAtFar::Refused(refusal)) => {
                    format!("too fine, {} pairs resolve {:.2e} %", refusal.impostors, 100.0 * refusal.finest)
                }
                None => "not asked".to_owned(),
            },
        ));
        rows.push(row);
    }
    rows
}
