//! Float buffers whose first element starts a cache line.

/// Bytes of a cache line, and of the widest vector register.
const LINE: usize = 64;

/// A buffer of `f32` aligned to a cache line, so that full-width vector loads never straddle two lines.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Buffer {
        let storage = vec![0.0; len + LINE / size_of::<f32>()];
        let start = storage.as_ptr().align_offset(LINE);
        assert!(start <= LINE / size_of::<f32>(), "allocation cannot be aligned");
        Buffer { storage, start, len }
    }

    /// At least `len` floats; contents are unspecified after a growth.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            *self = Buffer::zeros(len);
        }
        &mut self.as_mut_slice()[..len]
    }

    /// Exactly `len` floats with unspecified contents; memory is kept where it suffices.
    pub(crate) fn resize(&mut self, len: usize) {
        if self.storage.len() < len + LINE / size_of::<f32>() {
            *self = Buffer::zeros(len);
        }
        self.len = len;
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_float_starts_a_cache_line_also_after_growing() {
        let mut buffer = Buffer::zeros(3);
        assert_eq!(buffer.as_slice().as_ptr() as usize % LINE, 0);
        assert_eq!(buffer.at_least(100_000).as_ptr() as usize % LINE, 0);
        assert_eq!(buffer.as_slice().len(), 100_000);
    }
}
