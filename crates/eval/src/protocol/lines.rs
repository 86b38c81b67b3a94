//! Lines of a text file with the place to blame.

use std::path::{Path, PathBuf};

use super::{LineProblem, ProtocolError};

/// Longest line. The name of an image can become that of all images of a person, so it must not be long.
const LINE_BYTES_AT_MOST: usize = 2048;

/// A text file as numbered lines, without line ends, trailing blanks, a byte order mark, or blank lines at its end.
pub(super) struct Lines {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// One line and its number, counted from 1.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) number: usize,
    pub(super) text: &'a str,
}

impl Lines {
    pub(super) fn read(path: &Path) -> Result<Self, ProtocolError> {
        let bytes = fs_err::read(path).map_err(ProtocolError::Read)?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Name of the file without its folder.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// All lines; a blank one is an error unless only blank ones follow.
    pub(super) fn all(&self) -> Result<Vec<Line<'_>>, ProtocolError> {
        let bytes = self.bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.bytes);
        let mut lines = Vec::new();
        for (index, bytes) in bytes.trim_ascii_end().split(|&byte| byte == b'\n').enumerate() {
            let number = index + 1;
            if bytes.len() > LINE_BYTES_AT_MOST {
                let text = String::from_utf8_lossy(&bytes[..LINE_BYTES_AT_MOST]);
                return Err(self.blame(Line { number, text: &text }, LineProblem::TooLong));
            }
            let text = str::from_utf8(bytes.trim_ascii_end()).map_err(|_| {
                let text = String::from_utf8_lossy(bytes);
                self.blame(Line { number, text: &text }, LineProblem::NotText)
            })?;
            let line = Line { number, text };
            if text.is_empty() && number > 1 {
                return Err(self.blame(line, LineProblem::Blank));
            }
            lines.push(line);
        }
        Ok(lines)
    }

    pub(super) fn blame(&self, line: Line<'_>, problem: LineProblem) -> ProtocolError {
        const SHOWN: usize = 120;
        let mut text: String = line.text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
        if line.text.chars().nth(SHOWN).is_some() {
            text.push_str("...");
        }
        ProtocolError::Line { path: self.path.clone(), line: line.number, problem, text }
    }
}
