//! A [`Tree`] to any `Deserialize` type, with errors that keep the key, its place and the keys that exist.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use super::error::RecipeError;
use super::tree::{Entry, Place, Tree, Value};

/// Decodes a whole recipe or a part of one.
pub(super) fn decode<T: DeserializeOwned>(tree: &Tree) -> Result<T, RecipeError> {
    T::deserialize(tree).map_err(|fault| fault.into_error(tree))
}

/// What went wrong, and, once the error has passed the value that caused it, where.
#[derive(Debug)]
pub(super) struct Fault {
    kind: Kind,
    /// Keys from the innermost outwards.
    path: Vec<String>,
    place: Option<Place>,
}

#[derive(Debug)]
enum Kind {
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownName { name: String, known: &'static [&'static str] },
    Missing(&'static str),
    Other(String),
}

impl Fault {
    fn new(kind: Kind) -> Self {
        Self { kind, path: Vec::new(), place: None }
    }

    /// Adds the place where none is known yet; an unknown key is found again in its table.
    fn at(mut self, tree: &Tree) -> Self {
        if self.place.is_none() {
            let own_key = match (&self.kind, &tree.value) {
                (Kind::UnknownKey { key, .. }, Value::Table(entries)) => {
                    entries.iter().find(|entry| entry.key == *key).map(|entry| entry.place.clone())
                }
                _ => None,
            };
            self.place = Some(own_key.unwrap_or_else(|| tree.place.clone()));
        }
        self
    }

    fn under(mut self, key: String) -> Self {
        self.path.push(key);
        self
    }

    fn into_error(mut self, root: &Tree) -> RecipeError {
        let place = self.place.unwrap_or_else(|| root.place.clone());
        self.path.reverse();
        let section = self.path.join(".");
        let join = |key: &str| if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
        match self.kind {
            Kind::UnknownKey { key, known } => RecipeError::UnknownKey {
                place,
                nearest: nearest(&key, known),
                key: join(&key),
                section,
                known,
            },
            Kind::UnknownName { name, known } => {
                RecipeError::UnknownName { place, key: section, nearest: nearest(&name, known), name, known }
            }
            Kind::Missing(field) => RecipeError::Missing { place, key: join(field) },
            Kind::Other(reason) => RecipeError::Value { place, key: section, reason },
        }
    }
}

/// The known word most like `word`, unless none is much like it.
///
/// Likeness is Jaro-Winkler, which favours a shared beginning; at 0.7 `lr` still finds `learning_rate`
/// (0.746) and words that share nothing find none.
pub(super) fn nearest(word: &str, known: &'static [&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= 0.7)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.kind)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Other(message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey { key: field.to_owned(), known: expected })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownName { name: variant.to_owned(), known: expected })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }
}

impl<'de> Deserializer<'de> for &'de Tree {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::String(text) => visitor.visit_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Array(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Table(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        }
        .map_err(|fault| fault.at(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.value {
            Value::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            Value::Table(entries) => {
                visitor.visit_enum(MapAccessDeserializer::new(Entries { entries, next: 0 }))
            }
            _ => Err(Fault::custom("a name or a table is expected here")),
        }
        .map_err(|fault: Fault| fault.at(self))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Fault> for &'de Tree {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Items<'de> {
    items: &'de [Tree],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        seed.deserialize(item).map(Some).map_err(|fault| fault.at(item).under(index.to_string()))
    }
}

struct Entries<'de> {
    entries: &'de [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key: StringDeserializer<Fault> = entry.key.clone().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let entry = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(&entry.tree).map_err(|fault| fault.at(&entry.tree).under(entry.key.clone()))
    }
}
