//! What the outputs of SCRFD mean: two faces for each cell of three grids (arXiv:2105.04714; insightface,
//! `python-package/insightface/model_zoo/scrfd.py`).

use face::Point;

use crate::single_shot::Grid;
use crate::{DetectedFace, Rectangle};

/// Faces of one cell.
pub(crate) const ANCHORS: usize = 2;
/// Least score; 0.5 in insightface.
pub(crate) const THRESHOLD: f32 = 0.5;
/// Most overlap of two faces; 0.4 in insightface.
pub(crate) const OVERLAP: f64 = 0.4;

/// Adds the faces of one grid: score, box and landmarks.
///
/// With cell `(c, r)` and stride `s`, the box reaches from the point `(s c, s r)` by `s` times its four values to the
/// left, up, right and down; a landmark lies `s` times its values from that point.
pub(crate) fn decode(grids: [Grid<'_>; 3], stride: usize, threshold: f32, faces: &mut Vec<DetectedFace>) {
    let [scores, boxes, landmarks] = grids;
    let size = stride as f64;
    for ((([column, row], scores), (_, boxes)), (_, landmarks)) in
        scores.cells().zip(boxes.cells()).zip(landmarks.cells())
    {
        let (x, y) = (column as f64 * size, row as f64 * size);
        let anchors = scores.iter().zip(boxes.chunks_exact(4)).zip(landmarks.chunks_exact(10));
        for ((score, bounds), points) in anchors {
            if *score < threshold || score.is_nan() {
                continue;
            }
            let far = |index: usize| size * f64::from(bounds[index]);
            faces.push(DetectedFace {
                bounds: Rectangle {
                    left: x - far(0),
                    top: y - far(1),
                    right: x + far(2),
                    bottom: y + far(3),
                },
                score: *score,
                landmarks: std::array::from_fn(|index| Point {
                    x: x + size * f64::from(points[2 * index]),
                    y: y + size * f64::from(points[2 * index + 1]),
                }),
            });
        }
    }
}
