//! What the crops of a folder were made with, kept beside them.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use detect::{Detector, Settings};
use net::atomic_file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Name of the file.
pub(super) const FILE: &str = "aligned.json";

/// Changes whenever the same settings give other crops.
const FORMAT: u32 = 1;

/// Everything that crops depend on besides the photographs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    format: u32,
    /// Kind of the detector.
    detector: String,
    /// SHA-256 of each of its files, by name.
    weights: Vec<(String, String)>,
    /// `None` for the detector's own.
    least_score: Option<f32>,
    longest_side: u32,
    smallest_face: u32,
    faces: String,
    template: String,
}

impl Record {
    pub(super) fn new(
        path: &Path,
        detector: &Detector,
        settings: Settings,
        faces: detect::Choice,
        template: face::Template,
    ) -> anyhow::Result<Record> {
        let files: Vec<PathBuf> = if path.is_dir() {
            ["pnet.pt", "rnet.pt", "onet.pt"].iter().map(|name| path.join(name)).collect()
        } else {
            vec![path.to_owned()]
        };
        let name = |file: &Path| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let weights = files.iter().map(|file| Ok((name(file), sha256(file)?)));
        Ok(Record {
            format: FORMAT,
            detector: detector.name().to_owned(),
            weights: weights.collect::<anyhow::Result<_>>()?,
            least_score: settings.threshold,
            longest_side: settings.longest_side,
            smallest_face: settings.smallest_face,
            faces: faces.to_string(),
            template: format!("{}x{}", template.size.height, template.size.width),
        })
    }

    /// The record of a folder, if it has one.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Option<Record>> {
        let path = folder.join(FILE);
        let text = match fs_err::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        serde_json::from_str(&text).map(Some).with_context(|| {
            format!("not a record of alignment, give --redo or another destination: {}", path.display())
        })
    }

    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        atomic_file::write(&folder.join(FILE), |out| -> std::io::Result<()> { writeln!(out, "{text}") })?;
        Ok(())
    }

    /// Refuses crops that were made otherwise than `self` says.
    pub(super) fn agree_with(&self, there: &Record, folder: &Path) -> anyhow::Result<()> {
        let (ours, theirs) = (serde_json::to_value(self)?, serde_json::to_value(there)?);
        let fields = ours.as_object().into_iter().flatten();
        let other = fields.filter(|(name, value)| theirs.get(name) != Some(value));
        let other: Vec<String> = other
            .map(|(name, value)| match name.as_str() {
                "weights" => "the detector's weights are others".to_owned(),
                _ => format!("{name} was {} and is {value}", theirs.get(name).unwrap_or_default()),
            })
            .collect();
        if other.is_empty() {
            return Ok(());
        }
        bail!(
            "the crops in {} were made otherwise ({}); --redo makes all anew, or choose another destination",
            folder.display(),
            other.join(", ")
        )
    }
}

fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
