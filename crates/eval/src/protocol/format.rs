//! The formats of protocol files, by name: none is guessed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{Protocol, ProtocolError};

/// How a protocol is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// LFW's `pairs.txt` and pair files of View 1, see [`Protocol::read_lfw`].
    #[default]
    Lfw,
    /// One pair a line with its label, see [`Protocol::read_list`]; how AgeDB-30 is often passed on.
    List,
    /// One pair in two lines, see [`Protocol::read_two_line`]; `pairs_CALFW.txt` and `pairs_CPLFW.txt`.
    TwoLine,
    /// The folder `Protocol` of Celebrities in Frontal-Profile, frontal to frontal, see [`Protocol::read_cfp`].
    CfpFrontalFrontal,
    /// The same folder, frontal to profile.
    CfpFrontalProfile,
    /// `splits.txt` of YouTube Faces, see [`Protocol::read_ytf`].
    YouTubeFaces,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [
        Self::Lfw,
        Self::List,
        Self::TwoLine,
        Self::CfpFrontalFrontal,
        Self::CfpFrontalProfile,
        Self::YouTubeFaces,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lfw => "lfw",
            Self::List => "list",
            Self::TwoLine => "two-line",
            Self::CfpFrontalFrontal => "cfp-ff",
            Self::CfpFrontalProfile => "cfp-fp",
            Self::YouTubeFaces => "ytf",
        }
    }

    /// Whether a name of the protocol is a set of images, such as a video.
    pub fn names_sets(self) -> bool {
        self == Self::YouTubeFaces
    }

    /// Reads a protocol in this format.
    ///
    /// # Errors
    /// See [`ProtocolError`].
    pub fn read(self, path: &Path) -> Result<Protocol, ProtocolError> {
        match self {
            Self::Lfw => Protocol::read_lfw(path),
            Self::List => Protocol::read_list(path),
            Self::TwoLine => Protocol::read_two_line(path),
            Self::CfpFrontalFrontal | Self::CfpFrontalProfile => Protocol::read_cfp(path, self),
            Self::YouTubeFaces => Protocol::read_ytf(path),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No format has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such format, the known ones are lfw, list, two-line, cfp-ff, cfp-fp and ytf: {name}")]
pub struct UnknownFormat {
    /// The name that was given.
    pub name: String,
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or_else(|| UnknownFormat { name: name.to_owned() })
    }
}
