//! Results of single trainings, kept so that an interrupted experiment goes on where it stopped.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A directory with one file for each finished training.
pub(super) struct Trials {
    directory: PathBuf,
}

const SETTING: &str = "setting.txt";

impl Trials {
    /// Opens a directory of trials, which must be of the same setting.
    pub(super) fn open(directory: &Path, setting: &str) -> anyhow::Result<Trials> {
        fs_err::create_dir_all(directory)?;
        let path = directory.join(SETTING);
        if path.exists() {
            let found = fs_err::read_to_string(&path)?;
            ensure!(
                found == setting,
                "this directory holds experiments of another setting, choose another --out: {} has {found}, not \
                 {setting}",
                directory.display()
            );
        } else {
            write_file(&path, setting.as_bytes())?;
        }
        Ok(Trials { directory: directory.to_owned() })
    }

    /// The result of a trial: read where it is done, computed and kept where it is not; none where it was stopped.
    pub(super) fn result<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        compute: impl FnOnce() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        let path = self.directory.join(format!("{name}.json"));
        if path.exists() {
            let text = fs_err::read_to_string(&path)?;
            let result = serde_json::from_str(&text).with_context(|| {
                format!("not a result, delete it to compute it again: {}", path.display())
            })?;
            return Ok(Some(result));
        }
        let Some(result) = compute()? else { return Ok(None) };
        let text = serde_json::to_string(&result)?;
        write_file(&path, text.as_bytes())?;
        Ok(Some(result))
    }
}

/// Writes a file that is whole or absent.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    net::atomic_file::write(path, |file| file.write_all(bytes))
}
