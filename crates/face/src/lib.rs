//! From the bytes of a photograph to an upright RGB image, an aligned face crop and an embedding.
