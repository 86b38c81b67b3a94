//! Checkpoints: everything that a run needs to go on as if it had never stopped.
//!
//! ```text
//! checkpoints/step-0000012000/backbone.safetensors   weights, running statistics, momentum of the network
//! checkpoints/step-0000012000/head.safetensors       class centres and their momentum
//! checkpoints/step-0000012000/state.json             step, fingerprints, sizes and checksums of the two files
//! ```
//! A directory of that name is complete: it is written under another name, synced and then renamed, and renamed
//! before it is deleted.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use net::atomic_file::PARTIAL_ENDING;
use net::tensor_file::{self, Array, NamedArray, TensorFile, TensorFileError};
use serde::{Deserialize, Serialize};

use crate::crc32c::Crc32c;

/// Version of the layout, in `state.json` under `format`.
const FORMAT: u32 = 1;

const BACKBONE: &str = "backbone.safetensors";
const HEAD: &str = "head.safetensors";
const STATE: &str = "state.json";

/// What a run is, beside its weights: two runs that agree in all of it can share a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Fingerprint of the recipe, without what does not change the model.
    pub recipe: String,
    /// Fingerprint of the network's nodes.
    pub network: String,
    /// Fingerprint of the images and their people.
    pub data: String,
    /// Seed that all random numbers are derived from.
    pub seed: u64,
}

/// Where a run stands. Random numbers are derived from seed, step and image, so there is no generator to save.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates of the weights that are done.
    pub step: u64,
    /// Epoch of the next update, from 0.
    pub epoch: u64,
    /// Images of that epoch already used.
    pub offset: u64,
    /// Which run it is.
    pub identity: Identity,
    /// What an adaptive loss has seen, by the names of [`margin::Loss::state`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub loss: BTreeMap<String, f64>,
}

/// A checkpoint in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: State,
    /// Arrays of the network by name.
    pub backbone: BTreeMap<String, Array>,
    /// Arrays of the head by name.
    pub head: BTreeMap<String, Array>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused; the message names the file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// `state.json` is not what this program writes.
    #[error("the checkpoint's state cannot be read; delete the checkpoint to resume from the one before: {}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The layout is of another version of the program.
    #[error("the checkpoint has layout {found}, this version reads layout {FORMAT}: {}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Version of the layout.
        found: u32,
    },
    /// A file is shorter or longer than it was written.
    #[error(
        "the checkpoint is damaged: {} has {found} bytes, not {expected}; delete the checkpoint to resume from the \
         one before",
        path.display()
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes that were written.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A file does not have the bytes that were written.
    #[error(
        "the checkpoint is damaged: {} has the CRC-32C {found:08x}, not {expected:08x}; delete the checkpoint to \
         resume from the one before",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Checksum that was written.
        expected: u32,
        /// Checksum of what is there.
        found: u32,
    },
    /// A file is intact but no tensor file.
    #[error("the checkpoint cannot be read")]
    Tensors(#[from] TensorFileError),
    /// The checkpoint belongs to another run.
    #[error("the checkpoint has another {what} than this run: {}: {found}, not {expected}", path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// Recipe, network, data or seed.
        what: &'static str,
        /// This run's.
        expected: String,
        /// The checkpoint's.
        found: String,
    },
}

/// Size and CRC-32C of a file.
#[derive(Serialize, Deserialize)]
struct FileFacts {
    bytes: u64,
    crc32c: u32,
}

/// Content of `state.json`.
#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    #[serde(flatten)]
    state: State,
    backbone: FileFacts,
    head: FileFacts,
}

/// Writes a checkpoint into `directory`, which is made if it is missing, and returns its path.
///
/// # Errors
/// Any failure to write; what was there before is then untouched.
///
/// # Panics
/// Where two arrays of one file have the same name.
pub fn write(
    directory: &Path,
    state: &State,
    backbone: &[NamedArray<'_>],
    head: &[NamedArray<'_>],
) -> Result<PathBuf, CheckpointError> {
    fs_err::create_dir_all(directory)?;
    let name = format!("step-{:010}", state.step);
    let (path, aside) = (directory.join(&name), directory.join(format!(".{name}{PARTIAL_ENDING}")));
    // The lock of the run directory says that nobody else is writing this one.
    remove_if_there(&aside)?;
    let written =
        write_files(&aside, state, backbone, head).and_then(|()| Ok(fs_err::rename(&aside, &path)?));
    if written.is_err() {
        // The first error is the one to report.
        let _ = remove_if_there(&aside);
    }
    written?;
    sync(directory)?;
    Ok(path)
}

fn write_files(
    path: &Path,
    state: &State,
    backbone: &[NamedArray<'_>],
    head: &[NamedArray<'_>],
) -> Result<(), CheckpointError> {
    fs_err::create_dir(path)?;
    let manifest = Manifest {
        format: FORMAT,
        state: state.clone(),
        backbone: write_arrays(&path.join(BACKBONE), backbone)?,
        head: write_arrays(&path.join(HEAD), head)?,
    };
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest has no key that JSON cannot say");
    let mut file = File::create(path.join(STATE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(sync(path)?)
}

fn write_arrays(path: &Path, arrays: &[NamedArray<'_>]) -> Result<FileFacts, CheckpointError> {
    let mut sink = Measured { sink: File::create(path)?, bytes: 0, crc: Crc32c::default() };
    tensor_file::write_to(&mut sink, &BTreeMap::new(), arrays)?;
    sink.sink.sync_all()?;
    Ok(FileFacts { bytes: sink.bytes, crc32c: sink.crc.value() })
}

/// A sink that measures what passes through it.
struct Measured {
    sink: File,
    bytes: u64,
    crc: Crc32c,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.sink.write(bytes)?;
        self.bytes += length as u64;
        self.crc.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Path of the newest complete checkpoint in `directory`, if there is one.
///
/// # Errors
/// A directory that cannot be read; one that is missing holds no checkpoint.
pub fn newest(directory: &Path) -> Result<Option<PathBuf>, CheckpointError> {
    Ok(complete(directory)?.pop().map(|(_, path)| path))
}

/// Reads a checkpoint of the run `identity`.
///
/// # Errors
/// A checkpoint that is damaged, of another layout or of another run.
pub fn read(path: &Path, identity: &Identity) -> Result<Checkpoint, CheckpointError> {
    let checkpoint = read_any(path)?;
    checkpoint.state.identity.check_equals(identity, path)?;
    Ok(checkpoint)
}

/// Reads a checkpoint of whatever run.
///
/// # Errors
/// A checkpoint that is damaged or of another layout.
pub fn read_any(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let state_path = path.join(STATE);
    let manifest: Manifest = serde_json::from_slice(&fs_err::read(&state_path)?)
        .map_err(|source| CheckpointError::State { path: state_path.clone(), source })?;
    if manifest.format != FORMAT {
        return Err(CheckpointError::Format { path: state_path, found: manifest.format });
    }
    Ok(Checkpoint {
        state: manifest.state,
        backbone: read_arrays(&path.join(BACKBONE), &manifest.backbone)?,
        head: read_arrays(&path.join(HEAD), &manifest.head)?,
    })
}

impl Identity {
    fn check_equals(&self, expected: &Self, path: &Path) -> Result<(), CheckpointError> {
        for (what, found, expected) in [
            ("network", &self.network, &expected.network),
            ("data set", &self.data, &expected.data),
            ("recipe", &self.recipe, &expected.recipe),
            ("seed", &self.seed.to_string(), &expected.seed.to_string()),
        ] {
            if found != expected {
                let (expected, found) = (expected.clone(), found.clone());
                return Err(CheckpointError::OtherRun { path: path.to_owned(), what, expected, found });
            }
        }
        Ok(())
    }
}

fn read_arrays(path: &Path, facts: &FileFacts) -> Result<BTreeMap<String, Array>, CheckpointError> {
    let check_size = |found: u64| match found == facts.bytes {
        true => Ok(()),
        false => Err(CheckpointError::Size { path: path.to_owned(), expected: facts.bytes, found }),
    };
    // The size is compared first so that no memory is taken for a file of another size.
    check_size(fs_err::metadata(path)?.len())?;
    let content = fs_err::read(path)?;
    check_size(content.len() as u64)?;
    let (expected, found) = (facts.crc32c, Crc32c::of(&content));
    if found != expected {
        return Err(CheckpointError::Checksum { path: path.to_owned(), expected, found });
    }
    Ok(TensorFile::parse(&content, path)?.tensors)
}

/// Deletes all but the newest `keep` checkpoints, and what a killed process left half written.
///
/// # Errors
/// A directory that cannot be read or an entry that cannot be deleted.
pub fn prune(directory: &Path, keep: usize) -> Result<(), CheckpointError> {
    let mut checkpoints = complete(directory)?;
    checkpoints.truncate(checkpoints.len().saturating_sub(keep));
    for (step, path) in checkpoints {
        fs_err::rename(path, directory.join(format!(".step-{step:010}{PARTIAL_ENDING}")))?;
    }
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(".step-") && name.ends_with(PARTIAL_ENDING) {
            fs_err::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

/// Complete checkpoints with their steps, ascending.
fn complete(directory: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut checkpoints = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(step) = name.strip_prefix("step-").and_then(|digits| digits.parse().ok()) {
            checkpoints.push((step, path));
        }
    }
    checkpoints.sort();
    Ok(checkpoints)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes the names in a directory durable, where directories can be opened as files.
fn sync(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use net::tensor_file::{NamedArray, Values, ValuesRef};

    use super::{CheckpointError, Identity, State, newest, prune, read, write};

    fn identity() -> Identity {
        let text = |text: &str| text.to_owned();
        Identity { recipe: text("r1"), network: text("n1"), data: text("d1"), seed: 7 }
    }

    fn seen() -> BTreeMap<String, f64> {
        BTreeMap::from([("t".to_owned(), 1.0 / 3.0)])
    }

    fn write_step(directory: &Path, step: u64) -> std::path::PathBuf {
        let state = State { step, epoch: 1, offset: 2, identity: identity(), loss: seen() };
        let weights = [step as f32, -0.0, f32::MIN_POSITIVE / 2.0, 0.1];
        let array = |name, values| NamedArray { name, shape: &[2, 2], values: ValuesRef::F32(values) };
        write(directory, &state, &[array("conv.weight", &weights)], &[array("centres", &[1.0; 4])]).unwrap()
    }

    #[test]
    fn what_was_written_comes_back_bit_for_bit() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_step(directory.path(), 3);
        let back = read(&path, &identity()).unwrap();
        assert_eq!(back.state, State { step: 3, epoch: 1, offset: 2, identity: identity(), loss: seen() });
        let Values::F32(values) = &back.backbone["conv.weight"].values else { panic!("not f32") };
        let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(
            bits,
            [3.0_f32.to_bits(), (-0.0_f32).to_bits(), (f32::MIN_POSITIVE / 2.0).to_bits(), 0.1_f32.to_bits()]
        );
        assert_eq!(back.backbone.len(), 1, "class centres never share a file with the backbone");
        assert_eq!(back.head.keys().collect::<Vec<_>>(), ["centres"]);
    }

    #[test]
    fn the_newest_is_found_by_number_and_half_written_ones_are_not_seen() {
        let directory = tempfile::tempdir().unwrap();
        assert!(newest(&directory.path().join("missing")).unwrap().is_none());
        for step in [5, 40, 9, 33, 1, 8, 21, 39, 2, 17] {
            write_step(directory.path(), step);
        }
        fs_err::create_dir(directory.path().join(".step-0000000099.partial")).unwrap();
        let found = newest(directory.path()).unwrap().unwrap();
        assert!(found.ends_with("step-0000000040"), "{found:?}");
    }

    #[test]
    fn pruning_keeps_the_newest_and_clears_what_a_killed_process_left() {
        let directory = tempfile::tempdir().unwrap();
        for step in [7, 10, 1, 2, 3] {
            write_step(directory.path(), step);
        }
        fs_err::create_dir(directory.path().join(".step-0000000099.partial")).unwrap();
        prune(directory.path(), 2).unwrap();
        let mut names: Vec<String> = fs_err::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["step-0000000007", "step-0000000010"]);
    }

    #[test]
    fn a_single_changed_bit_or_a_missing_end_is_damage_with_the_files_name() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["backbone.safetensors", "head.safetensors"] {
            let path = write_step(directory.path(), 1);
            let whole = fs_err::read(path.join(file)).unwrap();
            for place in [0, 9, whole.len() / 2, whole.len() - 1] {
                let mut bytes = whole.clone();
                bytes[place] ^= 1;
                fs_err::write(path.join(file), bytes).unwrap();
                let error = read(&path, &identity()).unwrap_err();
                assert!(
                    matches!(&error, CheckpointError::Checksum { path, .. } if path.ends_with(file)),
                    "{error}"
                );
            }
            fs_err::write(path.join(file), &whole[..whole.len() - 1]).unwrap();
            assert!(matches!(read(&path, &identity()), Err(CheckpointError::Size { .. })));
            fs_err::remove_dir_all(&path).unwrap();
        }
        let path = write_step(directory.path(), 1);
        fs_err::write(path.join("state.json"), "{\"format\": 1").unwrap();
        assert!(matches!(read(&path, &identity()), Err(CheckpointError::State { .. })));
    }

    #[test]
    fn a_checkpoint_of_another_network_data_recipe_or_seed_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_step(directory.path(), 1);
        let other = || "x".to_owned();
        for (what, expected) in [
            ("network", Identity { network: other(), ..identity() }),
            ("data set", Identity { data: other(), ..identity() }),
            ("recipe", Identity { recipe: other(), ..identity() }),
            ("seed", Identity { seed: 8, ..identity() }),
        ] {
            let error = read(&path, &expected).unwrap_err();
            assert!(error.to_string().contains(&format!("another {what}")), "{error}");
        }
    }
}
