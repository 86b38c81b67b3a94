//! A face in a photograph.

use face::Point;

/// A face that a detector found.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectedFace {
    /// The box around it.
    pub bounds: Rectangle,
    /// How sure the detector is, from 0 to 1; comparable within one detector only.
    pub score: f32,
    /// Left eye, right eye, nose, left and right corner of the mouth, "left" as the viewer sees it.
    pub landmarks: [Point; 5],
}

/// A rectangle in a photograph, in pixels; whole numbers are centres of pixels. It may reach over the edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    /// Smallest column.
    pub left: f64,
    /// Smallest row.
    pub top: f64,
    /// Largest column.
    pub right: f64,
    /// Largest row.
    pub bottom: f64,
}

impl Rectangle {
    /// Width, 0 where right is left of left.
    pub fn width(&self) -> f64 {
        (self.right - self.left).max(0.0)
    }

    /// Height, 0 where bottom is above top.
    pub fn height(&self) -> f64 {
        (self.bottom - self.top).max(0.0)
    }

    /// Area in square pixels.
    pub fn area(&self) -> f64 {
        self.width() * self.height()
    }

    /// The middle.
    pub fn centre(&self) -> Point {
        Point { x: (self.left + self.right) / 2.0, y: (self.top + self.bottom) / 2.0 }
    }

    /// Area of what both cover.
    pub fn overlap(&self, other: &Rectangle) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }
}

impl DetectedFace {
    /// The face under a map of both coordinates, `place -> scale (place + 1/2) - 1/2`: from an image to one that is
    /// `scale` times as large.
    pub(crate) fn scaled(&self, scale: [f64; 2]) -> DetectedFace {
        let x = |x: f64| (x + 0.5) * scale[0] - 0.5;
        let y = |y: f64| (y + 0.5) * scale[1] - 0.5;
        let Rectangle { left, top, right, bottom } = self.bounds;
        DetectedFace {
            bounds: Rectangle { left: x(left), top: y(top), right: x(right), bottom: y(bottom) },
            score: self.score,
            landmarks: self.landmarks.map(|point| Point { x: x(point.x), y: y(point.y) }),
        }
    }

    pub(crate) fn is_finite(&self) -> bool {
        let Rectangle { left, top, right, bottom } = self.bounds;
        let points = self.landmarks.iter().all(|point| point.x.is_finite() && point.y.is_finite());
        points && self.score.is_finite() && [left, top, right, bottom].iter().all(|side| side.is_finite())
    }
}
