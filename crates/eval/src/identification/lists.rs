//! Lists that the authors of IJB-B, IJB-C and MegaFace publish beside their images.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Longest line of a list.
const LINE_BYTES_AT_MOST: usize = 2048;

/// Which template and medium an image belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// Name of the image, as `1.jpg`.
    pub name: String,
    /// Number of the template.
    pub template: u64,
    /// Number of the medium: frames of one video share it, a photograph has its own.
    pub medium: u64,
}

/// A list of MegaFace's development kit: a JSON object with `path` and, for probes, `id`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FeatureList {
    /// Names of images below the folder of features.
    pub path: Vec<String>,
    /// Who is in each of them, where the list says so.
    #[serde(default)]
    pub id: Option<Vec<String>>,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The file cannot be read; the source names it.
    #[error("cannot read the list")]
    Read(#[source] std::io::Error),
    /// A line is malformed.
    #[error("{}, line {line}: {expected} was expected: {text}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What was expected.
        expected: &'static str,
        /// Its beginning.
        text: String,
    },
    /// A name or number stands in two lines and they disagree.
    #[error("{}, line {line}: {name} stands in an earlier line with another value", path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The name.
        name: String,
    },
    /// Nothing is listed.
    #[error("the list is empty: {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is no list of MegaFace's kit.
    #[error("not a JSON object with `path`: {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A list with another number of people than of images.
    #[error("{} has {paths} images and {people} people", path.display())]
    People {
        /// The file.
        path: PathBuf,
        /// Number of images.
        paths: usize,
        /// Number of people.
        people: usize,
    },
}

/// Reads `ijbc_face_tid_mid.txt` and its like: `image template medium` in each line.
///
/// # Errors
/// [`ListError`]; an image that stands twice is one, whatever its template.
pub fn read_media(path: &Path) -> Result<Vec<ListedImage>, ListError> {
    let mut images = Vec::new();
    let mut seen = HashMap::new();
    each_line(path, |line, text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let parsed = match words[..] {
            [name, template, medium] => {
                template.parse().ok().zip(medium.parse().ok()).map(|numbers| (name, numbers))
            }
            _ => None,
        };
        let Some((name, (template, medium))) = parsed else {
            return Err(malformed(path, line, "an image, a template and a medium", text));
        };
        if seen.insert(name.to_owned(), ()).is_some() {
            return Err(ListError::Twice { path: path.to_owned(), line, name: name.to_owned() });
        }
        images.push(ListedImage { name: name.to_owned(), template, medium });
        Ok(())
    })?;
    filled(path, images)
}

/// Reads the last column of `ijbc_name_5pts_score.txt` and its like, how sure a detector was, by the image's name in the
/// first.
///
/// # Errors
/// [`ListError`]; a score that is not finite and above 0 is malformed.
pub fn read_detector_scores(path: &Path) -> Result<HashMap<String, f32>, ListError> {
    let mut scores = HashMap::new();
    each_line(path, |line, text| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let score = words.last().filter(|_| words.len() >= 2).and_then(|word| word.parse().ok());
        let Some(score) = score.filter(|score: &f32| score.is_finite() && *score > 0.0) else {
            return Err(malformed(path, line, "an image and, last, a score above 0", text));
        };
        match scores.insert(words[0].to_owned(), score) {
            Some(other) if other != score => {
                Err(ListError::Twice { path: path.to_owned(), line, name: words[0].to_owned() })
            }
            _ => Ok(()),
        }
    })?;
    if scores.is_empty() { Err(ListError::Empty { path: path.to_owned() }) } else { Ok(scores) }
}

/// Reads `ijbc_1N_gallery_G1.csv` and its like: under a line of heads, a template and its subject in the first two
/// columns, a line for each image. The subject of each template, by its number.
///
/// # Errors
/// [`ListError`]; a template of two subjects.
pub fn read_subjects(path: &Path) -> Result<BTreeMap<u64, String>, ListError> {
    let mut subjects = BTreeMap::new();
    each_line(path, |line, text| {
        let mut columns = text.split(',').map(str::trim);
        let (template, subject) = (columns.next(), columns.next().filter(|subject| !subject.is_empty()));
        let template: Option<u64> = template.and_then(|template| template.parse().ok());
        let (Some(template), Some(subject)) = (template, subject) else {
            // The heads are words.
            let heads = line == 1 && template.is_none();
            return if heads { Ok(()) } else { Err(malformed(path, line, "a template and a subject", text)) };
        };
        match subjects.insert(template, subject.to_owned()) {
            Some(other) if other != subject => {
                Err(ListError::Twice { path: path.to_owned(), line, name: format!("template {template}") })
            }
            _ => Ok(()),
        }
    })?;
    if subjects.is_empty() { Err(ListError::Empty { path: path.to_owned() }) } else { Ok(subjects) }
}

impl FeatureList {
    /// Reads `facescrub_features_list.json`, `megaface_features_list.json_1000_1` and their like.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn read(path: &Path) -> Result<FeatureList, ListError> {
        let file = fs_err::File::open(path).map_err(ListError::Read)?;
        let list: FeatureList = serde_json::from_reader(BufReader::new(file))
            .map_err(|source| ListError::Json { path: path.to_owned(), source })?;
        if list.path.is_empty() {
            return Err(ListError::Empty { path: path.to_owned() });
        }
        match &list.id {
            Some(people) if people.len() != list.path.len() => {
                Err(ListError::People { path: path.to_owned(), paths: list.path.len(), people: people.len() })
            }
            _ => Ok(list),
        }
    }
}

/// Calls `read` with the number and text of each line that is not blank, one line in memory at a time.
fn each_line(
    path: &Path,
    mut read: impl FnMut(usize, &str) -> Result<(), ListError>,
) -> Result<(), ListError> {
    let file = fs_err::File::open(path).map_err(ListError::Read)?;
    let (mut reader, mut bytes) = (BufReader::new(file), Vec::new());
    for line in 1.. {
        bytes.clear();
        let most = LINE_BYTES_AT_MOST as u64 + 1;
        let count = std::io::Read::take(&mut reader, most).read_until(b'\n', &mut bytes);
        if count.map_err(ListError::Read)? == 0 {
            break;
        }
        let text = str::from_utf8(&bytes).ok().filter(|_| bytes.len() <= LINE_BYTES_AT_MOST);
        let Some(text) = text else {
            return Err(malformed(
                path,
                line,
                "a line of at most 2048 bytes of text",
                &String::from_utf8_lossy(&bytes),
            ));
        };
        let text = if line == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        if !text.trim().is_empty() {
            read(line, text.trim_end())?;
        }
    }
    Ok(())
}

fn malformed(path: &Path, line: usize, expected: &'static str, text: &str) -> ListError {
    let text = text.chars().take(120).flat_map(char::escape_debug).collect();
    ListError::Line { path: path.to_owned(), line, expected, text }
}

fn filled<T>(path: &Path, list: Vec<T>) -> Result<Vec<T>, ListError> {
    if list.is_empty() { Err(ListError::Empty { path: path.to_owned() }) } else { Ok(list) }
}
