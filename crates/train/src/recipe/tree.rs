//! TOML as a tree in which every value knows where it was written.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::RecipeError;
use super::sections::Recipe;

/// Where a value was written: what an error about it must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of a recipe file, counted from 1.
    Line {
        /// Name of the file as it was given.
        file: String,
        /// Line, counted from 1.
        line: usize,
    },
    /// An override given beside the file, such as `loss.m=0.4`.
    Override(String),
    /// A recipe put together in code, without a text.
    Code,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(out, "{file}:{line}"),
            Self::Override(text) => write!(out, "--set {text}"),
            Self::Code => out.write_str("recipe"),
        }
    }
}

/// One value and the place that set it.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What TOML can say in a recipe; dates have no use there.
#[derive(Clone, Debug)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Tree>),
    /// Entries with the place of each key, in the order of the keys.
    Table(Vec<Entry>),
}

/// A key of a table, where it stands, and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) tree: Tree,
}

impl Tree {
    /// Parses a whole document; `file` is the name that errors will show.
    ///
    /// # Errors
    /// Text that is not TOML, integers beyond 64 bits, and dates.
    pub(super) fn parse(text: &str, file: &str) -> Result<Self, RecipeError> {
        let table = DeTable::parse(text)
            .map_err(|source| RecipeError::Syntax { origin: file.to_owned(), source: Box::new(source) })?;
        let lines = Lines { file, text };
        let (span, table) = (table.span(), table.into_inner());
        Ok(Self { value: lines.table(table)?, place: lines.place(span.start) })
    }

    /// The tree of a recipe made in code.
    ///
    /// # Errors
    /// A value that TOML cannot say, such as a seed of 2^63 or more.
    pub(super) fn from_recipe(recipe: &Recipe) -> Result<Self, RecipeError> {
        let text = toml::to_string(recipe).map_err(|source| RecipeError::Value {
            place: Place::Code,
            key: String::new(),
            reason: source.to_string(),
        })?;
        let mut tree = Self::parse(&text, "recipe")?;
        relocate(&mut tree, &Place::Code);
        Ok(tree)
    }

    /// Applies one override `a.b=value`: `value` is TOML, or else a bare string.
    ///
    /// # Errors
    /// Text without `=`, an empty part in the path, or a path through something that is not a table.
    pub(super) fn set(&mut self, text: &str) -> Result<(), RecipeError> {
        let refuse =
            |reason: &str| RecipeError::Override { text: text.to_owned(), reason: reason.to_owned() };
        let (path, value) = text.split_once('=').ok_or_else(|| refuse("it has no `=`"))?;
        let keys: Vec<&str> = path.split('.').map(str::trim).collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(refuse("its path has an empty part"));
        }
        let place = Place::Override(text.to_owned());
        let mut tree = self;
        for key in keys {
            // An array of tables is reached by position: `data.sources.0.minimum_images=5`.
            tree = match &mut tree.value {
                Value::Array(items) => {
                    let count = items.len();
                    key.parse::<usize>().ok().and_then(|index| items.get_mut(index)).ok_or_else(|| {
                        refuse(&format!("`{key}` must be a position in a list of {count} items"))
                    })?
                }
                Value::Table(entries) => {
                    let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
                        let empty = Self { value: Value::Table(Vec::new()), place: place.clone() };
                        entries.push(Entry { key: key.to_owned(), place: place.clone(), tree: empty });
                        entries.len() - 1
                    });
                    entries[index].place = place.clone();
                    &mut entries[index].tree
                }
                _ => return Err(refuse(&format!("`{key}` lies below a value that is no table"))),
            };
        }
        *tree = override_value(value.trim(), &place);
        Ok(())
    }

    /// Place of the value under a dotted path, or of the deepest part of the path that exists.
    pub(super) fn place_of(&self, path: &str) -> &Place {
        let mut tree = self;
        for key in path.split('.') {
            let next = match &tree.value {
                Value::Table(entries) => {
                    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.tree)
                }
                Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(found) => tree = found,
                None => break,
            }
        }
        &tree.place
    }
}

/// A value of an override: TOML where it parses as TOML, otherwise the bare text.
fn override_value(text: &str, place: &Place) -> Tree {
    let bare = || Tree { value: Value::String(text.to_owned()), place: place.clone() };
    let Ok(parsed) = DeValue::parse(text) else { return bare() };
    let Ok(mut tree) = (Lines { file: "", text }).tree(parsed) else { return bare() };
    relocate(&mut tree, place);
    tree
}

fn relocate(tree: &mut Tree, place: &Place) {
    tree.place = place.clone();
    match &mut tree.value {
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, place)),
        Value::Table(entries) => entries.iter_mut().for_each(|entry| {
            entry.place = place.clone();
            relocate(&mut entry.tree, place);
        }),
        _ => {}
    }
}

/// Turns byte offsets of a text into places.
struct Lines<'t> {
    file: &'t str,
    text: &'t str,
}

impl Lines<'_> {
    fn place(&self, offset: usize) -> Place {
        let line =
            1 + self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|&&b| b == b'\n').count();
        Place::Line { file: self.file.to_owned(), line }
    }

    fn table(&self, table: DeTable<'_>) -> Result<Value, RecipeError> {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let place = self.place(key.span().start);
            entries.push(Entry { key: key.into_inner().into_owned(), place, tree: self.tree(value)? });
        }
        Ok(Value::Table(entries))
    }

    fn tree(&self, value: Spanned<DeValue<'_>>) -> Result<Tree, RecipeError> {
        let place = self.place(value.span().start);
        let unreadable = |kind: &str, text: &str| RecipeError::Value {
            place: place.clone(),
            key: String::new(),
            reason: format!("{kind}: {text}"),
        };
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Boolean(truth) => Value::Boolean(truth),
            DeValue::Integer(digits) => Value::Integer(
                i64::from_str_radix(digits.as_str(), digits.radix())
                    .map_err(|_| unreadable("an integer beyond 64 bits", digits.as_str()))?,
            ),
            DeValue::Float(digits) => Value::Float(
                digits.as_str().parse().map_err(|_| unreadable("not a number", digits.as_str()))?,
            ),
            DeValue::Datetime(date) => {
                return Err(unreadable("a recipe has no use for dates", &date.to_string()));
            }
            DeValue::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.tree(item)).collect::<Result<_, _>>()?)
            }
            DeValue::Table(table) => self.table(table)?,
        };
        Ok(Tree { value, place })
    }
}
