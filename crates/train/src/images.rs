//! The images that a recipe names, opened for training.

use data::{Catalogue, CatalogueError, Preparation, PreparationError, Store, StoreError, StoreSettings};
use face::{Limits, Size};

use crate::recipe::{CheckedRecipe, Source};

/// Why the images of a recipe cannot be trained on.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// People and images cannot be listed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// `data.image` and `network.input` do not go together.
    #[error("data.image and network.input do not go together")]
    Sizes(#[from] PreparationError),
    /// An image cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Lists the images of a recipe and decodes as many as fit its memory.
///
/// `progress` is told how many more images have been decoded, and of how many.
///
/// # Errors
/// Sources that cannot be listed or hold fewer than two people, and images that cannot be used.
pub fn open(recipe: &CheckedRecipe, progress: &dyn Fn(usize, usize)) -> Result<Store, ImagesError> {
    let data = &recipe.recipe().data;
    let sources: Vec<data::Source> = data.sources.iter().filter_map(source).collect();
    let catalogue = Catalogue::read(&sources, data.minimum_images)?;
    let [height, width] = data.image;
    // A checked network's input is at most a thousand pixels high and wide.
    let [rows, columns] = recipe.recipe().network.input.map(|side| side as u32);
    let preparation = Preparation::new(
        Size { height, width },
        Size { height: rows, width: columns },
        data.resize,
        Limits::default(),
    )?;
    let settings =
        StoreSettings { budget_bytes: (data.memory_mib as u64) << 20, unreadable: data.unreadable };
    Ok(Store::open(catalogue, preparation, settings, progress)?)
}

/// A checked source has a tree or a list.
fn source(source: &Source) -> Option<data::Source> {
    let tree = source.tree.clone().map(|root| data::Source::Tree { root, people: source.people.clone() });
    tree.or_else(|| source.list.clone().map(|file| data::Source::List { file }))
}
