//! Non-maximum suppression: of boxes that overlap much, the surest stays.

use crate::Rectangle;

/// Most candidates that are compared with each other: crowds have some thousand before suppression.
const CANDIDATES_AT_MOST: usize = 1 << 13;

/// What the overlap of two boxes is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// The area that either covers.
    Union,
    /// The area of the smaller one.
    Smaller,
}

/// Goes through the boxes from the surest on and drops those that overlap one that stays by more than `most`.
/// Returns the indices of those that stay, the surest first; equal scores keep their order.
pub(crate) fn suppress(boxes: &[(Rectangle, f32)], most: f64, measure: Measure) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|one, other| boxes[*other].1.total_cmp(&boxes[*one].1));
    order.truncate(CANDIDATES_AT_MOST);
    let mut kept: Vec<usize> = Vec::new();
    for index in order {
        let bounds = &boxes[index].0;
        let hidden = kept.iter().any(|other| {
            let other = &boxes[*other].0;
            let shared = bounds.overlap(other);
            let whole = match measure {
                Measure::Union => bounds.area() + other.area() - shared,
                Measure::Smaller => bounds.area().min(other.area()),
            };
            shared > most * whole
        });
        if !hidden {
            kept.push(index);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f64, side: f64) -> Rectangle {
        Rectangle { left, top: 0.0, right: left + side, bottom: side }
    }

    #[test]
    fn of_overlapping_boxes_the_surest_stays_and_others_are_left_alone() {
        // The second shares 80 of a union of 120 with the first, the third nothing.
        let boxes = [(square(2.0, 10.0), 0.6), (square(0.0, 10.0), 0.9), (square(30.0, 10.0), 0.1)];
        assert_eq!(suppress(&boxes, 0.6, Measure::Union), [1, 2]);
        assert_eq!(suppress(&boxes, 0.7, Measure::Union), [1, 0, 2]);
    }

    #[test]
    fn a_box_inside_another_is_hidden_only_by_the_measure_of_the_smaller() {
        let boxes = [(square(0.0, 10.0), 0.9), (square(1.0, 3.0), 0.8)];
        assert_eq!(suppress(&boxes, 0.5, Measure::Union), [0, 1]);
        assert_eq!(suppress(&boxes, 0.5, Measure::Smaller), [0]);
    }

    #[test]
    fn a_box_that_is_hidden_hides_nothing() {
        let boxes = [(square(0.0, 10.0), 0.9), (square(4.0, 10.0), 0.8), (square(8.0, 10.0), 0.7)];
        assert_eq!(suppress(&boxes, 0.4, Measure::Union), [0, 2]);
    }
}
