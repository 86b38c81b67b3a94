//! What the outputs of YuNet mean: cells of three grids, one face each (OpenCV, `modules/objdetect/src/face_detect.cpp`).

use face::Point;

use crate::single_shot::Grid;
use crate::{DetectedFace, Rectangle};

/// Least score; libfacedetection's examples use 0.6.
pub(crate) const THRESHOLD: f32 = 0.6;
/// Most overlap of two faces; 0.3 in OpenCV.
pub(crate) const OVERLAP: f64 = 0.3;

/// Adds the faces of one grid: class, objectness, box and landmarks.
///
/// With cell `(c, r)` and stride `s`, the score is `sqrt(class objectness)`, the box's middle `s (c + x)`, its sides
/// `s exp(w)`, and a landmark `s (c + x)`.
pub(crate) fn decode(grids: [Grid<'_>; 4], stride: usize, threshold: f32, faces: &mut Vec<DetectedFace>) {
    let [classes, objects, boxes, landmarks] = grids;
    let stride = stride as f64;
    let scores = classes.cells().zip(objects.values).zip(boxes.cells()).zip(landmarks.cells());
    for (((([column, row], class), object), (_, bounds)), (_, points)) in scores {
        let score = (class[0].clamp(0.0, 1.0) * object.clamp(0.0, 1.0)).sqrt();
        if score < threshold || score.is_nan() {
            continue;
        }
        let x = |value: f32| (column as f64 + f64::from(value)) * stride;
        let y = |value: f32| (row as f64 + f64::from(value)) * stride;
        let (width, height) = (f64::from(bounds[2]).exp() * stride, f64::from(bounds[3]).exp() * stride);
        let (left, top) = (x(bounds[0]) - width / 2.0, y(bounds[1]) - height / 2.0);
        faces.push(DetectedFace {
            bounds: Rectangle { left, top, right: left + width, bottom: top + height },
            score,
            landmarks: std::array::from_fn(|index| Point {
                x: x(points[2 * index]),
                y: y(points[2 * index + 1]),
            }),
        });
    }
}
