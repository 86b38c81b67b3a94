//! From folders of files to batches. One program, so that the fixtures are shared:
//! - `catalogue`: what counts as a person and an image, and what is refused.
//! - `reading`: sizes, budgets, unreadable images, lists of files.
//! - `batches`: order, resume, threads.
//! - `augmentation`: what variation may and may not do.

mod augmentation;
mod batches;
mod catalogue;
mod fixtures;
mod reading;
