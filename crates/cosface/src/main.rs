//! The `cosface` program.

fn main() {}
