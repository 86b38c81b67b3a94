//! What the fuzz targets run; the tests of the program run the same functions on the whole corpus.

mod targets;

pub use targets::{Target, run};
