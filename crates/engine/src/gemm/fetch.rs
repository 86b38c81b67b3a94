//! What is fetched from memory while a kernel computes from the caches, and memory would have nothing to do.

use super::vector::Vector;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Steps in depth for each of which a tile fetches a line.
pub(super) const STEPS: usize = 4;
/// Steps in depth before which a left side is fetched that lies step by step.
pub(super) const AHEAD: usize = 16;

/// What is read after a product: its tiles fetch a part of it each.
#[derive(Debug, Default)]
pub(crate) struct Fetch<'a> {
    rest: [&'a [u8]; 3],
}

impl<'a> Fetch<'a> {
    pub(crate) fn new(bytes: [&'a [u8]; 3]) -> Fetch<'a> {
        Fetch { rest: bytes }
    }

    /// What a tile of so many steps in depth fetches, which reads `near` anyway.
    pub(super) fn take(&mut self, depth: usize, near: &[f32]) -> Lines {
        let Some(rest) = self.rest.iter_mut().find(|rest| !rest.is_empty()) else {
            return Lines::none(near);
        };
        let (here, after) = rest.split_at((depth / STEPS * LINE).min(rest.len()));
        *rest = after;
        Lines { next: here.as_ptr(), step: LINE }
    }
}

/// Bytes that are fetched step by step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines {
    next: *const u8,
    step: usize,
}

impl Lines {
    /// All of `bytes` in `count` steps, of a kernel that reads `near` anyway.
    pub(crate) fn over(bytes: &[u8], count: usize, near: &[f32]) -> Lines {
        if bytes.is_empty() {
            return Lines::none(near);
        }
        Lines { next: bytes.as_ptr(), step: bytes.len().div_ceil(count.max(1)) }
    }

    /// Nothing new: an address that no page has would cost more.
    fn none(near: &[f32]) -> Lines {
        Lines { next: near.as_ptr().cast(), step: 0 }
    }

    /// Begins to fetch the next of them to the second-level cache.
    ///
    /// # Safety
    /// The processor has `V`'s instruction set.
    #[expect(unsafe_code, reason = "prefetches")]
    #[inline(always)]
    pub(crate) unsafe fn fetch<V: Vector>(&mut self) {
        // SAFETY: the caller's promise; a prefetch may name any address.
        unsafe { V::prefetch_far(self.next) }
        self.next = self.next.wrapping_add(self.step);
    }
}

/// Part `index` of `parts` of what is fetched ahead.
pub(crate) fn share<T>(values: &[T], index: usize, parts: usize) -> &[T] {
    &values[values.len() * index / parts..values.len() * (index + 1) / parts]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_fetched_once_by_a_tile_or_a_step() {
        let bytes = [0; 1000];
        let near = [0.0; 4];
        let mut fetch = Fetch::new([&bytes[..300], &[], &bytes[300..]]);
        // Tiles of 8 and 12 steps take two and three lines, the last of a run what is left.
        let mut takes = |depth| fetch.take(depth, &near);
        let starts: Vec<*const u8> = [8, 12, 8, 400, 8].map(|depth| takes(depth).next).to_vec();
        let at = |index: usize| bytes[index..].as_ptr();
        assert_eq!(starts, [at(0), at(128), at(300), at(428), near.as_ptr().cast()]);

        let lines = Lines::over(&bytes, 7, &near);
        assert!(lines.next == at(0) && lines.step * 7 >= 1000 && lines.step * 6 < 1000);
        assert_eq!(Lines::over(&[], 7, &near).step, 0);
    }
}
