//! Photographs of people to a trained, honestly measured, usable face recogniser.
