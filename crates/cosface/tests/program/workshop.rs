//! A directory with small pictures of six people and a recipe that trains on them in moments.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};

use crate::invocation::{Outcome, cosface};

const RECIPE: &str = r#"
[data]
image = [20, 16]
template = "unaligned"
augment = { flip = 0.5, warp = { probability = 0.5 }, colour = { probability = 0.5 } }
sources = [{ tree = "people" }]
[network]
family = "sphereface"
depth = 4
input = [20, 16]
channels = [4, 8, 8, 8]
feature = 8
batch_norm = true
dropout = 0.3
[loss]
name = "cosface"
s = 16
m = 0.2
margin_warm_up = "6 steps"
[optimizer]
learning_rate = 0.05
clip_norm = 3
[schedule]
length = "12 steps"
warm_up = "2 steps"
[run]
seed = 5
batch = 8
threads = 1
checkpoints = { every = "5 steps", keep = 2 }
"#;

pub(crate) struct Workshop {
    directory: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for person in 0..6 {
            let folder = directory.path().join(format!("people/p{person}"));
            fs_err::create_dir_all(&folder).unwrap();
            for image in 0..5 {
                picture(person, image).save(folder.join(format!("{image}.png"))).unwrap();
            }
        }
        fs_err::write(directory.path().join("recipe.toml"), RECIPE).unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Arguments that start a run with settings of its own.
    pub(crate) fn training(&self, run: &str, settings: &[&str]) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut arguments = vec!["train".to_owned(), text(self.path("recipe.toml"))];
        arguments.extend(["--out".to_owned(), text(self.path(run))]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]));
        arguments
    }

    pub(crate) fn train(&self, run: &str, settings: &[&str]) -> Outcome {
        cosface(self.training(run, settings))
    }

    pub(crate) fn resume(&self, run: &str, settings: &[&str]) -> Outcome {
        let mut arguments = vec!["train".to_owned()];
        arguments.extend(self.resuming(run, settings));
        cosface(arguments)
    }

    /// Arguments that continue a run, with settings of its own.
    pub(crate) fn resuming(&self, run: &str, settings: &[&str]) -> Vec<String> {
        let mut arguments = vec!["--resume".to_owned(), self.path(run).to_str().unwrap().to_owned()];
        arguments.extend(settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]));
        arguments
    }

    pub(crate) fn model(&self, run: &str) -> Vec<u8> {
        fs_err::read(self.path(run).join("model.safetensors")).unwrap()
    }
}

/// A colour for the person, a pattern for the picture.
pub(crate) fn picture(person: u8, image: u32) -> RgbImage {
    RgbImage::from_fn(16, 20, |x, y| {
        let pattern = ((x * 7 + y * 3 + image * 11) % 60) as u8;
        let colour = [40 * person, 200 - 30 * person, if person.is_multiple_of(2) { 160 } else { 20 }];
        Rgb(colour.map(|channel: u8| channel.saturating_add(pattern)))
    })
}

/// Every path below a directory, relative to it, sorted; empty where there is no directory.
pub(crate) fn files_below(directory: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        let Ok(entries) = fs_err::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}
