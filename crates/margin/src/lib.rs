//! The margin loss family exactly as its papers define it, in f64.
