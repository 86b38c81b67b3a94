//! Images of other sizes by means of whole pixels.

use face::Size;

use crate::Rectangle;

/// Part of an image: rows and columns from the first to before the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) rows: [usize; 2],
    pub(crate) columns: [usize; 2],
}

impl Window {
    /// The whole of an image.
    pub(crate) fn whole(size: Size) -> Window {
        Window { rows: [0, size.height as usize], columns: [0, size.width as usize] }
    }

    /// The part of an image inside a box whose columns and rows are counted from 1; none where they do not meet.
    pub(crate) fn inside(bounds: Rectangle, size: Size) -> Option<Window> {
        let side = |first: f64, last: f64, size: u32| {
            let (first, last) = (first.trunc().max(1.0), last.trunc().min(f64::from(size)));
            (first <= last).then(|| [first as usize - 1, last as usize])
        };
        Some(Window {
            rows: side(bounds.top, bounds.bottom, size.height)?,
            columns: side(bounds.left, bounds.right, size.width)?,
        })
    }
}

/// A window of an image at another size: output cell `i` of `n` is the mean of the pixels from `floor(i size / n)` to
/// before `ceil((i + 1) size / n)`, in both directions. This is PyTorch's `interpolate(mode="area")`, with which the
/// weights of MTCNN were made to work.
///
/// # Shapes
/// `image` `[height, width, 3]` of size `of`; `output` `[to.height, to.width, 3]`.
pub(crate) fn resample(image: &[u8], of: Size, window: Window, to: Size, output: &mut [u8]) {
    let stride = of.width as usize * 3;
    let [left, right] = window.columns;
    let cells = |size: usize, count: u32| {
        let count = count as usize;
        (0..count).map(move |cell| [cell * size / count, ((cell + 1) * size).div_ceil(count)])
    };
    let columns: Vec<[usize; 2]> = cells(right - left, to.width).collect();
    let mut line = vec![0_u32; (right - left) * 3];
    let rows = cells(window.rows[1] - window.rows[0], to.height);
    for ([top, bottom], output) in rows.zip(output.chunks_exact_mut(to.width as usize * 3)) {
        line.fill(0);
        for row in window.rows[0] + top..window.rows[0] + bottom {
            let pixels = &image[row * stride + left * 3..row * stride + right * 3];
            line.iter_mut().zip(pixels).for_each(|(sum, value)| *sum += u32::from(*value));
        }
        for ([first, last], pixel) in columns.iter().zip(output.chunks_exact_mut(3)) {
            let mut sums = [0_u32; 3];
            for cell in line[first * 3..last * 3].chunks_exact(3) {
                sums.iter_mut().zip(cell).for_each(|(sum, value)| *sum += value);
            }
            let count = ((bottom - top) * (last - first)) as u32;
            for (value, sum) in pixel.iter_mut().zip(sums) {
                *value = ((sum + count / 2) / count) as u8;
            }
        }
    }
}
