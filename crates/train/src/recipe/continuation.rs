//! Whether a recipe continues a run that began with another.

use toml::Value;

use super::CheckedRecipe;
use super::error::RecipeError;
use super::sections::{Checkpoints, Recipe, Run};
use super::tree::Place;

impl CheckedRecipe {
    /// The settings that the trained weights depend on; what may differ between two parts of one run has its default.
    ///
    /// Threads, memory, checkpoints and validation may differ, and the places of the images, because the data has a
    /// fingerprint of its own.
    #[must_use]
    pub(crate) fn lasting(&self) -> Recipe {
        let mut recipe = self.recipe().clone();
        recipe.data.sources.clear();
        recipe.data.memory_mib = 0;
        let precision = recipe.run.precision.resolved(engine::Isa::detect());
        // The folder that the start lies in may move.
        let start = recipe.run.start.as_ref().and_then(|start| start.file_name()).map(Into::into);
        recipe.run = Run { threads: 0, precision, start, checkpoints: Checkpoints::default(), ..recipe.run };
        recipe.validation = None;
        recipe
    }

    /// Checks that a run which began with the recipe `begun` can go on with this one.
    ///
    /// # Errors
    /// The first setting, by its key, that the trained weights depend on and that is another.
    pub fn check_continues(&self, begun: &Self) -> Result<(), RecipeError> {
        let value = |recipe: &Self| {
            Value::try_from(recipe.lasting()).expect("a checked recipe is within what TOML can say")
        };
        match difference("", Some(&value(self)), Some(&value(begun))) {
            None => Ok(()),
            Some((key, given, begun)) => {
                Err(RecipeError::Changed { place: self.place_of(&key), key, given, begun })
            }
        }
    }

    fn place_of(&self, key: &str) -> Place {
        self.written().place_of(key).clone()
    }
}

/// The first key below `key` whose two values differ, with both.
fn difference(key: &str, one: Option<&Value>, other: Option<&Value>) -> Option<(String, String, String)> {
    if one == other {
        return None;
    }
    if let (Some(Value::Table(one)), Some(Value::Table(other))) = (one, other) {
        let mut keys: Vec<&String> = one.keys().chain(other.keys()).collect();
        keys.sort();
        let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        return keys.into_iter().find_map(|name| difference(&below(name), one.get(name), other.get(name)));
    }
    let text = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    Some((key.to_owned(), text(one), text(other)))
}
