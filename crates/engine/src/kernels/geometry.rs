//! Which input positions a convolution's output reads.

use std::ops::Range;

use net::Shape;
use smallvec::SmallVec;

/// A convolution's sizes for a batch of images. A linear layer is one whose kernel covers its whole input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) images: usize,
    pub(crate) source: Shape,
    pub(crate) target: Shape,
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

/// A kernel position as it acts on a regular grid of positions: grid point `(y, x)` meets source position
/// `(y * step + down, x * step + right)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Row-major index in the kernel.
    pub(crate) index: usize,
    pub(crate) down: isize,
    pub(crate) right: isize,
}

/// Some taps: without an allocation those of kernels up to 7 x 7.
pub(crate) type Taps = SmallVec<[Tap; 49]>;

/// The source positions of one residue class of the stride, and the taps that reach them.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) top: usize,
    pub(crate) left: usize,
    /// Positions of this class.
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) taps: Taps,
}

#[cfg(test)]
impl Geometry {
    /// That of images, height, width, inputs, outputs, kernel, stride and padding.
    pub(crate) fn of(
        (images, height, width, inputs, outputs, kernel, stride, padding): (
            usize,
            usize,
            usize,
            usize,
            usize,
            [usize; 2],
            usize,
            usize,
        ),
    ) -> Geometry {
        let size = |side: usize, kernel: usize| (side + 2 * padding - kernel) / stride + 1;
        let target =
            Shape { height: size(height, kernel[0]), width: size(width, kernel[1]), channels: outputs };
        let source = Shape { height, width, channels: inputs };
        Geometry { images, source, target, kernel, stride, padding }
    }
}

impl Geometry {
    /// Whether the kernel covers the whole input, as that of a linear layer does: one row of a product for an image.
    pub(crate) fn covers_input(&self) -> bool {
        [self.source.height, self.source.width] == self.kernel && self.padding == 0
    }

    /// Whether the rows of its product are the activations themselves, position by position.
    pub(crate) fn is_dense(&self) -> bool {
        self.kernel == [1, 1] && self.stride == 1 && self.padding == 0
    }

    /// Elements of all images at the input.
    pub(crate) fn source_len(&self) -> usize {
        self.images * self.source.elements()
    }

    pub(crate) fn target_len(&self) -> usize {
        self.images * self.target.elements()
    }

    /// The source rows, those of all images numbered through, that target row `row` of all images meets.
    pub(crate) fn rows_met(&self, row: usize) -> Range<usize> {
        let (image, y) = (row / self.target.height, row % self.target.height);
        let top = y * self.stride;
        let first = top.saturating_sub(self.padding).min(self.source.height);
        let end = (top + self.kernel[0]).saturating_sub(self.padding).clamp(first, self.source.height);
        image * self.source.height + first..image * self.source.height + end
    }

    /// The source rows from a target row's own to that of the next, or to the end of the image: each belongs to one
    /// target row.
    pub(crate) fn rows_owned(&self, row: usize) -> Range<usize> {
        let (image, y) = (row / self.target.height, row % self.target.height);
        let first = (y * self.stride).min(self.source.height);
        let end = if y + 1 == self.target.height { self.source.height } else { first + self.stride };
        image * self.source.height + first..image * self.source.height + end.min(self.source.height)
    }

    /// Target rows before and after one that its own source rows are read by.
    fn reach(&self) -> [usize; 2] {
        let before = (self.kernel[0] - 1).saturating_sub(self.padding) / self.stride;
        [before, self.padding.div_ceil(self.stride)]
    }

    /// The target rows that read the source rows of target row `row`, and the row itself.
    pub(crate) fn rows_around(&self, row: usize) -> Range<usize> {
        let (image, y) = (row / self.target.height, row % self.target.height);
        let [before, after] = self.reach();
        let first = image * self.target.height + y.saturating_sub(before);
        first..image * self.target.height + (y + after + 1).min(self.target.height)
    }

    /// The most that [`Geometry::rows_around`] gives.
    pub(crate) fn most_rows_around(&self) -> usize {
        let [before, after] = self.reach();
        (before + after + 1).min(self.target.height)
    }

    /// The taps of the forward pass, on the grid of target positions with step `stride`.
    pub(crate) fn taps(&self) -> Taps {
        let padding = self.padding as isize;
        (0..self.kernel[0] * self.kernel[1])
            .map(|index| Tap {
                index,
                down: (index / self.kernel[1]) as isize - padding,
                right: (index % self.kernel[1]) as isize - padding,
            })
            .collect()
    }

    /// The classes of source positions by residue of the stride. On the grid of a class, with step 1, its taps
    /// name the target positions that read a source position: source `y` is read by target
    /// `(y + padding - tap) / stride` where that is whole.
    pub(crate) fn phases(&self) -> SmallVec<[Phase; 4]> {
        let along = |residue: usize, kernel: usize| {
            (0..kernel).filter_map(move |tap| {
                let position = (residue + self.padding) as isize - tap as isize;
                let stride = self.stride as isize;
                (position.rem_euclid(stride) == 0).then_some((tap, position.div_euclid(stride)))
            })
        };
        let mut phases = SmallVec::new();
        for top in 0..self.stride.min(self.source.height) {
            for left in 0..self.stride.min(self.source.width) {
                let taps = along(top, self.kernel[0])
                    .flat_map(|(row, down)| {
                        along(left, self.kernel[1]).map(move |(column, right)| (row, down, column, right))
                    })
                    .map(|(row, down, column, right)| Tap {
                        index: row * self.kernel[1] + column,
                        down,
                        right,
                    })
                    .collect();
                phases.push(Phase {
                    top,
                    left,
                    height: (self.source.height - top).div_ceil(self.stride),
                    width: (self.source.width - left).div_ceil(self.stride),
                    taps,
                });
            }
        }
        phases
    }
}
