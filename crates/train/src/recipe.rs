//! `recipe.toml`: everything a run depends on, as written ([`Recipe`]) and as checked ([`CheckedRecipe`]).

mod check;
mod continuation;
mod decode;
mod default;
mod error;
mod length;
mod sections;
mod tree;

use std::path::{Path, PathBuf};

pub use check::CheckedRecipe;
pub use default::for_folder;
pub use error::RecipeError;
pub use length::{Length, NotALength};
pub use sections::{
    Checkpoints, Data, Decay, FeatureLossName, FeatureSettings, LambdaFall, LossSettings, Optimizer,
    Precision, Recipe, Run, ScaleWarmUp, Schedule, Shape, Source, Validation,
};
pub use tree::Place;

use tree::Tree;

/// Largest recipe, in bytes; the longest here has a hundredth of it. Finding the line of every value takes a time that
/// grows with the square.
pub const RECIPE_BYTES_AT_MOST: u64 = 1 << 18;

/// Reads a recipe file, applies overrides such as `loss.m=0.4`, and checks the result.
///
/// Relative paths in the recipe, those of overrides too, are taken from the directory of the file.
///
/// # Errors
/// Every problem of a recipe, with the place where it was written.
pub fn load(path: &Path, overrides: &[String]) -> Result<CheckedRecipe, RecipeError> {
    let bytes = fs_err::metadata(path).map_err(RecipeError::Read)?.len();
    if bytes > RECIPE_BYTES_AT_MOST {
        return Err(RecipeError::TooLarge { path: path.to_owned(), bytes });
    }
    let text = fs_err::read_to_string(path).map_err(RecipeError::Read)?;
    let tree = Tree::parse(&text, &path.display().to_string())?;
    let base = std::path::absolute(path).map_err(RecipeError::Read)?;
    decode_and_check(tree, overrides, base.parent().unwrap_or(Path::new("/")))
}

/// Applies overrides to a recipe made in code, and checks the result.
///
/// Relative paths are taken from the working directory.
///
/// # Errors
/// As [`load`].
pub fn check(recipe: &Recipe, overrides: &[String]) -> Result<CheckedRecipe, RecipeError> {
    let tree = Tree::from_recipe(recipe)?;
    let base = std::path::absolute(".").map_err(RecipeError::Read)?;
    decode_and_check(tree, overrides, &base)
}

fn decode_and_check(mut tree: Tree, overrides: &[String], base: &Path) -> Result<CheckedRecipe, RecipeError> {
    for text in overrides {
        tree.set(text)?;
    }
    let mut recipe: Recipe = decode::decode(&tree)?;
    let resolve = |path: &mut PathBuf| *path = base.join(&*path);
    for source in &mut recipe.data.sources {
        [&mut source.tree, &mut source.list, &mut source.people].into_iter().flatten().for_each(resolve);
    }
    recipe.run.start.iter_mut().for_each(resolve);
    if let Some(validation) = &mut recipe.validation {
        [&mut validation.tree, &mut validation.pairs].into_iter().for_each(resolve);
    }
    CheckedRecipe::new(recipe, tree)
}
