//! `cosface templates`: embeddings of images to one vector for each template of IJB-B or IJB-C.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use eval::identification::lists::{ListedImage, read_detector_scores, read_media, read_subjects};
use eval::identification::template::{Length, TemplateImage, Templates, Weight};
use eval::{Embeddings, FeatureRule, Vectors};
use net::FlipRule;
use net::tensor_file::{self, NamedArray, ValuesRef};

use super::terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Then, 1:1 as the pairs of templates say, and 1:N in each gallery:
  cosface evaluate --embeddings templates.safetensors --format list --pairs ijbc_template_pair_label.txt --out result
  cosface identify --probes mixed.safetensors --gallery g1.safetensors --gallery g2.safetensors")]
pub(crate) struct Arguments {
    /// Embeddings of images, .safetensors or .npz, as `cosface embed --keep-length` writes them
    embeddings: PathBuf,
    /// Which image is of which template and medium: `ijbc_face_tid_mid.txt`
    #[arg(long)]
    media: PathBuf,
    /// Only the templates of this list, named by their subject as 17/123: `ijbc_1N_gallery_G1.csv`
    #[arg(long)]
    subjects: Option<PathBuf>,
    /// Weighs each image by its detector's score, the last column of this list: `ijbc_name_5pts_score.txt`
    #[arg(long)]
    detector_scores: Option<PathBuf>,
    /// Brings each image's vector to length 1 before; unless given, the lengths count as a measure of quality
    #[arg(long)]
    unit: bool,
    /// File to write, embeddings of templates by their number
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let inputs = [Some(&arguments.embeddings), Some(&arguments.media), arguments.subjects.as_ref()];
    for input in inputs.into_iter().flatten().chain(&arguments.detector_scores) {
        terminal::refuse_overwriting(input, &arguments.out)?;
    }
    let embeddings = Embeddings::read(&arguments.embeddings)?;
    let mut listed = read_media(&arguments.media)?;
    let subjects = arguments.subjects.as_deref().map(read_subjects).transpose()?;
    if let Some(subjects) = &subjects {
        listed.retain(|image| subjects.contains_key(&image.template));
        let there: BTreeSet<u64> = listed.iter().map(|image| image.template).collect();
        if let Some((template, subject)) = subjects.iter().find(|(template, _)| !there.contains(template)) {
            bail!(
                "no image of template {template} (subject {subject}) is listed in {}",
                arguments.media.display()
            );
        }
    }
    let scores = arguments.detector_scores.as_deref().map(read_detector_scores).transpose()?;
    let rows = rows(&embeddings, &listed, &arguments.embeddings)?;
    let images = listed.iter().map(|image| {
        let detector_score = match &scores {
            None => 1.0,
            Some(scores) => *scores.get(&image.name).with_context(|| {
                let list = arguments.detector_scores.as_deref().unwrap_or(Path::new(""));
                format!("the list of detector scores has no {}: {}", image.name, list.display())
            })?,
        };
        Ok(TemplateImage { template: image.template, medium: image.medium, detector_score })
    });
    let images = images.collect::<anyhow::Result<Vec<_>>>()?;
    let vectors = Vectors::from_rows(rows.iter().map(|&row| embeddings.vectors().row(row)))?;
    let length = if arguments.unit { Length::Unit } else { Length::Kept };
    let weight = if scores.is_some() { Weight::DetectorScore } else { Weight::Equal };
    let templates = Templates::pool(&vectors, &images, length, weight)?;
    let names: Vec<String> = templates
        .numbers
        .iter()
        .map(|number| match &subjects {
            Some(subjects) => format!("{}/{number}", subjects[number]),
            None => number.to_string(),
        })
        .collect();
    write(&arguments.out, &embeddings, &names, &templates.vectors)?;
    terminal::say(&format!(
        "{} templates of {} images in {} media: {}",
        names.len(),
        images.len(),
        images.iter().map(|image| (image.template, image.medium)).collect::<HashSet<_>>().len(),
        arguments.out.display()
    ));
    Ok(())
}

/// The vector of each listed image: the one whose name is the image's or ends with it as a path does.
fn rows(embeddings: &Embeddings, listed: &[ListedImage], path: &Path) -> anyhow::Result<Vec<usize>> {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (row, name) in embeddings.names().iter().enumerate() {
        let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
        for key in [name.as_str(), last] {
            if let Some(other) = by_name.insert(key, row)
                && other != row
            {
                bail!("two vectors for {key}, keep one: {}", path.display());
            }
        }
    }
    let missing: Vec<&str> =
        listed.iter().map(|image| image.name.as_str()).filter(|name| !by_name.contains_key(name)).collect();
    ensure!(
        missing.is_empty(),
        "{} of {} listed images have no vector, beginning with {}: {}",
        missing.len(),
        listed.len(),
        missing[..missing.len().min(3)].join(", "),
        path.display()
    );
    Ok(listed.iter().map(|image| by_name[image.name.as_str()]).collect())
}

fn write(out: &Path, from: &Embeddings, names: &[String], vectors: &Vectors) -> anyhow::Result<()> {
    let mut metadata = BTreeMap::from([("names".to_owned(), serde_json::to_string(names)?)]);
    metadata.extend(from.model.iter().map(|model| ("model_fingerprint".to_owned(), model.clone())));
    metadata.extend(from.feature_rule.iter().map(|rule| {
        let flip = match rule {
            FeatureRule::Image => FlipRule::None,
            FeatureRule::Concatenated => FlipRule::Concatenated,
            FeatureRule::Summed => FlipRule::Summed,
        };
        ("flip_rule".to_owned(), flip.to_string())
    }));
    let values: Vec<f32> = (0..vectors.rows()).flat_map(|row| vectors.row(row).to_vec()).collect();
    let shape = [vectors.rows(), vectors.dimension()];
    let array = NamedArray { name: "embeddings", shape: &shape, values: ValuesRef::F32(&values) };
    Ok(tensor_file::write(out, &metadata, &[array])?)
}
