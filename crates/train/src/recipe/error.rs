//! Everything that can be wrong with a recipe.

use std::path::PathBuf;

use super::RECIPE_BYTES_AT_MOST;
use super::tree::Place;

/// Why a recipe was refused. Every variant that concerns a value names the place where it was written.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read the recipe")]
    Read(#[source] std::io::Error),
    /// The file is larger than any recipe.
    #[error("a recipe may have {RECIPE_BYTES_AT_MOST} bytes, {} has: {bytes}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The text is not TOML; the source shows line and column.
    #[error("{origin}: not valid TOML")]
    Syntax {
        /// Name of the file.
        origin: String,
        /// What the TOML parser says, with the line.
        source: Box<toml::de::Error>,
    },
    /// An override that cannot be applied.
    #[error("--set {text}: {reason}; write section.key=value")]
    Override {
        /// The override as given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that no recipe has.
    #[error("{place}: unknown key `{key}`{}", suggestion(*.nearest, .known, "keys", .section))]
    UnknownKey {
        /// Where the key stands.
        place: Place,
        /// Dotted path of the key.
        key: String,
        /// Section that holds it; empty at the top.
        section: String,
        /// Known key most like it.
        nearest: Option<&'static str>,
        /// Every key of that section.
        known: &'static [&'static str],
    },
    /// A name outside a fixed list.
    #[error("{place}: `{key}` has no choice `{name}`{}", suggestion(*.nearest, .known, "choices", .key))]
    UnknownName {
        /// Where it stands.
        place: Place,
        /// Dotted path of the key.
        key: String,
        /// The name that was given.
        name: String,
        /// Known name most like it.
        nearest: Option<&'static str>,
        /// Every name that is known.
        known: &'static [&'static str],
    },
    /// A key that must be given.
    #[error("{place}: `{key}` is missing")]
    Missing {
        /// Where the table stands that lacks it.
        place: Place,
        /// Dotted path of the missing key.
        key: String,
    },
    /// A value of another type, or text that cannot be understood.
    #[error("{place}: {}{reason}", if .key.is_empty() { String::new() } else { format!("`{key}`: ") })]
    Value {
        /// Where the value stands.
        place: Place,
        /// Dotted path of the key.
        key: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A value of the right type outside its range.
    #[error("{place}: `{key}` {rule}: {value}")]
    Range {
        /// Where the value stands.
        place: Place,
        /// Dotted path of the key.
        key: String,
        /// What must hold.
        rule: String,
        /// The value that breaks it.
        value: String,
    },
    /// A run that is continued with another setting than it began with.
    #[error(
        "{place}: `{key}` cannot change within a run: {given}, where the run began with {begun}; begin another run \
         with --out, or leave the setting as it was"
    )]
    Changed {
        /// Where the setting stands, or the section that would hold it.
        place: Place,
        /// Dotted path of the key.
        key: String,
        /// Its value now.
        given: String,
        /// Its value when the run began.
        begun: String,
    },
    /// Settings that make no network.
    #[error("{place}: the network cannot be built")]
    Network {
        /// Where the section stands.
        place: Place,
        /// What is wrong with it.
        source: Box<net::ArchitectureError>,
    },
    /// Settings that make no loss.
    #[error("{place}: the loss is not defined")]
    Loss {
        /// Where the setting stands.
        place: Place,
        /// What is wrong with it.
        source: margin::ParameterError,
    },
    /// A number of people that no margin can tell apart.
    #[error("{place}: these people cannot be trained on")]
    Classes {
        /// Where the data is described.
        place: Place,
        /// What is wrong.
        source: margin::bounds::BoundsError,
    },
}

fn suggestion(nearest: Option<&str>, known: &[&str], what: &str, section: &str) -> String {
    match nearest {
        Some(word) => format!("; did you mean `{word}`?"),
        None if section.is_empty() => format!("; the {what} here are {}", known.join(", ")),
        None => format!("; the {what} of `{section}` are {}", known.join(", ")),
    }
}
