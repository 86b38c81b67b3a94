//! How large an image may be.

/// The largest image that is decoded. Both limits are checked before any pixel is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, as the file's header states them.
    pub pixels: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

impl Default for Limits {
    /// 64 Mi pixels (a 50-megapixel photograph passes; 192 MiB as RGB) and 64 MiB of file.
    fn default() -> Self {
        Self { pixels: 64 << 20, bytes: 64 << 20 }
    }
}
