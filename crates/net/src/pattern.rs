//! Patterns over dotted names, for renaming.

use std::collections::BTreeSet;

use thiserror::Error;

/// Most placeholders of one pattern.
const PLACEHOLDERS_AT_MOST: usize = 4;

/// Text with placeholders: `{name}` stands for one or more characters other than a dot, `{*name}` for one or more
/// of any characters. Each stands for as few characters as the rest of the pattern allows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Text(String),
    Placeholder { name: String, reach: Reach },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Reach {
    OnePart,
    AllParts,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PatternError {
    /// A brace without its partner, or a placeholder without a name.
    #[error("braces of a name pattern must enclose a name, as in {{block}} or {{*rest}}: {pattern}")]
    Braces {
        /// The pattern.
        pattern: String,
    },
    /// A placeholder that follows another without text between them.
    #[error("placeholders of a name pattern need text between them: {pattern}")]
    Adjacent {
        /// The pattern.
        pattern: String,
    },
    /// A placeholder occurs twice, or there are more than four.
    #[error("a name pattern has at most {PLACEHOLDERS_AT_MOST} placeholders, each once: {pattern}")]
    Placeholders {
        /// The pattern.
        pattern: String,
    },
    /// The new name uses a placeholder that the old name does not have.
    #[error("new name has a placeholder that the old name lacks, {placeholder}: {pattern}")]
    Unknown {
        /// The new name.
        pattern: String,
        /// The placeholder.
        placeholder: String,
    },
}

impl Pattern {
    pub(crate) fn parse(pattern: &str) -> Result<Pattern, PatternError> {
        let braces = || PatternError::Braces { pattern: pattern.to_owned() };
        let mut pieces = Vec::new();
        let mut rest = pattern;
        while !rest.is_empty() {
            let (text, found) = rest.split_at(rest.find(['{', '}']).unwrap_or(rest.len()));
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            rest = found;
            if let Some(opened) = rest.strip_prefix('{') {
                let (inside, after) = opened.split_once('}').ok_or_else(braces)?;
                let (name, reach) = match inside.strip_prefix('*') {
                    Some(name) => (name, Reach::AllParts),
                    None => (inside, Reach::OnePart),
                };
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                    return Err(braces());
                }
                if matches!(pieces.last(), Some(Piece::Placeholder { .. })) {
                    return Err(PatternError::Adjacent { pattern: pattern.to_owned() });
                }
                pieces.push(Piece::Placeholder { name: name.to_owned(), reach });
                rest = after;
            } else if !rest.is_empty() {
                return Err(braces());
            }
        }
        let parsed = Pattern { pieces };
        let mut names: Vec<&str> = parsed.placeholders().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() < count || count > PLACEHOLDERS_AT_MOST {
            return Err(PatternError::Placeholders { pattern: pattern.to_owned() });
        }
        Ok(parsed)
    }

    fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder { name, .. } => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// What each placeholder stands for in `name`, in order, if the whole name fits.
    pub(crate) fn matches<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        let mut found = Vec::new();
        matches_from(&self.pieces, name, &mut found, &mut BTreeSet::new()).then_some(found)
    }

    /// Checks that this pattern only has placeholders that `old` has.
    pub(crate) fn check_fillable_from(&self, old: &Pattern, text: &str) -> Result<(), PatternError> {
        match self.placeholders().find(|name| !old.placeholders().any(|known| known == *name)) {
            Some(placeholder) => {
                Err(PatternError::Unknown { pattern: text.to_owned(), placeholder: placeholder.to_owned() })
            }
            None => Ok(()),
        }
    }

    /// This pattern with what `old`'s placeholders stood for.
    ///
    /// # Panics
    /// If a placeholder is not one of `old`'s; see [`Pattern::check_fillable_from`].
    pub(crate) fn filled(&self, old: &Pattern, found: &[&str]) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text.push_str(fixed),
                Piece::Placeholder { name, .. } => {
                    let (_, value) = old
                        .placeholders()
                        .zip(found)
                        .find(|(known, _)| known == name)
                        .unwrap_or_else(|| panic!("placeholder {name} was checked"));
                    text.push_str(value);
                }
            }
        }
        text
    }
}

/// `failed` holds which numbers of pieces do not fit which lengths of the name's end. Without it the time would grow
/// with a power of the name's length.
fn matches_from<'n>(
    pieces: &[Piece],
    name: &'n str,
    found: &mut Vec<&'n str>,
    failed: &mut BTreeSet<(usize, usize)>,
) -> bool {
    let Some((piece, rest)) = pieces.split_first() else {
        return name.is_empty();
    };
    if failed.contains(&(pieces.len(), name.len())) {
        return false;
    }
    let fits = match piece {
        Piece::Text(text) => {
            name.strip_prefix(text.as_str()).is_some_and(|name| matches_from(rest, name, found, failed))
        }
        Piece::Placeholder { reach, .. } => {
            let farthest = match reach {
                Reach::OnePart => name.find('.').unwrap_or(name.len()),
                Reach::AllParts => name.len(),
            };
            let ends = name.char_indices().map(|(start, letter)| start + letter.len_utf8());
            for end in ends.take_while(|end| *end <= farthest) {
                let (value, after) = name.split_at(end);
                found.push(value);
                if matches_from(rest, after, found, failed) {
                    return true;
                }
                found.pop();
            }
            false
        }
    };
    if !fits {
        failed.insert((pieces.len(), name.len()));
    }
    fits
}
