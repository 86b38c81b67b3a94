//! Which models are known: where their files are, what they must hash to, and under which terms.

use std::fmt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

/// The models that this program knows.
const KNOWN: &str = include_str!("known.toml");

/// Descriptions of imports, by the names that manifests use.
const DESCRIPTIONS: [(&str, &str); 1] =
    [("mobilefacenet_pytorch", include_str!("../../../../net/imports/mobilefacenet_pytorch.toml"))];

/// Bytes that a file of a manifest may have.
const BYTES_AT_MOST: u64 = 4 << 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(rename = "model")]
    pub(super) models: Vec<Listed>,
}

/// A model of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// What it is, trained on what, and what was published of it.
    pub(super) about: String,
    pub(super) repository: String,
    /// Commit or version of the repository.
    pub(super) revision: String,
    /// A command that uses the files; `{folder}` stands for where they lie.
    pub(super) usage: String,
    /// Name of the description with which `cosface import` makes a model of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) licence: Licence,
    #[serde(rename = "file")]
    pub(super) files: Vec<RemoteFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Detector,
    Recogniser,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Licence {
    pub(super) name: String,
    pub(super) terms: Terms,
    pub(super) note: String,
}

/// What a licence allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Terms {
    /// Any use, with attribution.
    Free,
    /// Research and other uses that earn nothing.
    NonCommercial,
    /// Nothing is stated.
    Unstated,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoteFile {
    /// Its name on disk.
    pub(super) name: String,
    pub(super) url: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    /// The manifest of a file, or the one of this program.
    pub(super) fn read(path: Option<&Path>) -> anyhow::Result<Manifest> {
        match path {
            None => Manifest::parse(KNOWN).context("the manifest of this program"),
            Some(path) => {
                let text = fs_err::read_to_string(path)?;
                Manifest::parse(&text)
                    .with_context(|| format!("not a manifest of models: {}", path.display()))
            }
        }
    }

    fn parse(text: &str) -> anyhow::Result<Manifest> {
        let manifest: Manifest = toml::from_str(text)?;
        for (index, model) in manifest.models.iter().enumerate() {
            model.check().with_context(|| format!("model {}", model.name))?;
            let again = manifest.models[..index].iter().any(|other| other.name == model.name);
            ensure!(!again, "two models have one name: {}", model.name);
        }
        Ok(manifest)
    }

    pub(super) fn find(&self, name: &str) -> anyhow::Result<&Listed> {
        let names = || self.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.models.iter().find(|model| model.name == name);
        found.with_context(|| format!("no model of this name is known, there are {}: {name}", names()))
    }
}

impl Listed {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The text of the description.
    pub(super) fn description(&self) -> Option<&'static str> {
        let name = self.description.as_deref()?;
        DESCRIPTIONS.into_iter().find(|(known, _)| *known == name).map(|(_, text)| text)
    }

    fn check(&self) -> anyhow::Result<()> {
        plain(&self.name)?;
        ensure!(!self.files.is_empty(), "it has no file");
        for (index, file) in self.files.iter().enumerate() {
            file.check().with_context(|| format!("file {}", file.name))?;
            let again = self.files[..index].iter().any(|other| other.name == file.name);
            ensure!(!again, "two files have one name: {}", file.name);
        }
        if let (Some(name), None) = (&self.description, self.description()) {
            bail!("no description of this name is known: {name}");
        }
        Ok(())
    }
}

impl RemoteFile {
    fn check(&self) -> anyhow::Result<()> {
        plain(&self.name)?;
        let digits = self.sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        ensure!(
            self.sha256.len() == 64 && digits,
            "a SHA-256 has 64 digits from 0 to 9 and a to f: {}",
            self.sha256
        );
        ensure!(
            (1..=BYTES_AT_MOST).contains(&self.bytes),
            "a file has between 1 and {BYTES_AT_MOST} bytes: {}",
            self.bytes
        );
        let web = self.url.starts_with("https://") || self.url.starts_with("http://");
        ensure!(web, "a URL begins with https:// or http://: {}", self.url);
        Ok(())
    }
}

/// A name that leads to no other folder.
fn plain(name: &str) -> anyhow::Result<()> {
    let letters = name.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"._-".contains(&letter));
    ensure!(
        letters && !name.is_empty() && !name.starts_with('.') && name.len() <= 100,
        "a name has 1 to 100 letters, digits, dots, dashes and underscores, and does not begin with a dot: {name:?}"
    );
    Ok(())
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Kind::Detector => "detector",
            Kind::Recogniser => "recogniser",
        })
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Terms::Free => "free to use",
            Terms::NonCommercial => "non-commercial use only",
            Terms::Unstated => "no terms of use stated",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_of_the_program_names_its_revision() {
        let manifest = Manifest::read(None).unwrap();
        for model in &manifest.models {
            for file in &model.files {
                assert!(
                    file.url.starts_with("https://") && file.url.contains(&model.revision),
                    "{}",
                    file.url
                );
                assert!(file.url.ends_with(&format!("/{}", file.name)), "{}", file.url);
                assert!(model.usage.contains("{folder}"), "{}", model.usage);
            }
        }
        let terms = |name| manifest.find(name).unwrap().licence.terms;
        assert_eq!([terms("yunet"), terms("mtcnn")], [Terms::Free; 2]);
        assert_eq!(
            (terms("scrfd-2.5g"), terms("mobilefacenet-casia")),
            (Terms::NonCommercial, Terms::Unstated)
        );
    }

    #[test]
    fn a_manifest_that_could_write_elsewhere_or_verify_nothing_is_refused() {
        let wrong = [
            ("name = \"068.ckpt\"", "name = \"../068.ckpt\"", "does not begin with a dot"),
            ("name = \"mtcnn\"", "name = \"a/b\"", "letters, digits"),
            ("name = \"mtcnn\"", "name = \"yunet\"", "two models have one name: yunet"),
            ("name = \"rnet.pt\"", "name = \"pnet.pt\"", "two files have one name: pnet.pt"),
            ("sha256 = \"165b", "sha256 = \"165B", "64 digits"),
            ("sha256 = \"165b", "sha256 = \"165", "64 digits"),
            ("bytes = 28570", "bytes = 0", "between 1 and"),
            ("url = \"https://raw", "url = \"file:///raw", "begins with https://"),
            ("terms = \"free\"", "terms = \"whatever\"", "unknown variant"),
            ("description = \"mobile", "description = \"other", "no description of this name"),
            ("kind = \"detector\"", "kind = \"detector\"\nlicense = 1", "unknown field"),
        ];
        for (from, to, message) in wrong {
            assert!(KNOWN.contains(from), "{from}");
            let error = format!("{:#}", Manifest::parse(&KNOWN.replacen(from, to, 1)).unwrap_err());
            assert!(error.contains(message), "{error}");
        }
        assert!(Manifest::parse("[[model]]\nname = \"x\"").is_err());
    }
}
