//! Where the five points of an aligned face lie.

use crate::Size;

/// A point in an image, in pixels: `x` to the right, `y` down, whole numbers at the centres of pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Column.
    pub x: f64,
    /// Row.
    pub y: f64,
}

/// The size of an aligned crop and the places of left eye, right eye, nose, left and right corner of the
/// mouth in it ("left" as the viewer sees it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Template {
    /// Size of the crop.
    pub size: Size,
    /// The five places.
    pub points: [Point; 5],
}

impl Template {
    /// The crop of SphereFace and CosFace (arXiv:1801.09414, section 4.1): 112 high x 96 wide.
    pub const HIGH: Self = Self {
        size: Size { height: 112, width: 96 },
        points: [
            Point { x: 30.2946, y: 51.6963 },
            Point { x: 65.5318, y: 51.5014 },
            Point { x: 48.0252, y: 71.7366 },
            Point { x: 33.5493, y: 92.3655 },
            Point { x: 62.7299, y: 92.2041 },
        ],
    };

    /// The square crop of InsightFace, 112 x 112: [`HIGH`](Self::HIGH) with 8 columns more on either side.
    pub const SQUARE: Self = {
        let mut template = Self::HIGH;
        template.size.width += 16;
        let mut index = 0;
        while index < template.points.len() {
            template.points[index].x += 8.0;
            index += 1;
        }
        template
    };

    /// The template for crops of `size`, where there is one.
    pub fn of_size(size: Size) -> Option<Self> {
        [Self::HIGH, Self::SQUARE].into_iter().find(|template| template.size == size)
    }
}
