//! Where images come from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One origin of labelled images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A folder with one folder for each person.
    Tree {
        /// The folder of folders.
        root: PathBuf,
        /// An LFW people file ([`People`](super::People)): only the people it names are taken.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        people: Option<PathBuf>,
    },
    /// A text file with one image a line: path, a tab (or blanks), name of the person. Without a tab the
    /// last blank separates. A relative path starts at the list file's own folder. Empty lines are skipped.
    List {
        /// The text file.
        file: PathBuf,
    },
}

impl Source {
    /// A whole tree.
    pub fn tree(root: impl Into<PathBuf>) -> Self {
        Self::Tree { root: root.into(), people: None }
    }

    /// The folder of a tree, the file of a list.
    pub fn path(&self) -> &Path {
        match self {
            Self::Tree { root, .. } => root,
            Self::List { file } => file,
        }
    }
}
