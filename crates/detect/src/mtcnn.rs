//! MTCNN: three small networks, one after another, over a pyramid of sizes (arXiv:1604.02878), as facenet-pytorch
//! runs them (`models/utils/detect_face.py`), with its thresholds.

mod networks;

use std::path::Path;

use engine::{Pixels, Pool};
use face::{Point, Size, resize};
use image::RgbImage;
use net::Input;

use crate::area::{Window, resample};
use crate::plans::Plans;
use crate::single_shot::{scale_between, searched_size};
use crate::suppression::{Measure, suppress};
use crate::{DetectError, DetectedFace, Rectangle, Settings};

/// Least probabilities of the three stages.
const THRESHOLDS: [f32; 3] = [0.6, 0.7, 0.7];
/// Side that one size of the pyramid has of the one before; 0.709 halves the area.
const STEP: f64 = 0.709;
/// Side of the window, and step between two windows, of the first network.
const CELL: usize = 12;
const STRIDE: usize = 2;
/// A pixel's value as the networks take it.
const MEAN: [f32; 3] = [127.5; 3];
const SCALE: [f32; 3] = [128.0; 3];

#[derive(Clone, Debug)]
pub(crate) struct Mtcnn {
    proposal: Plans,
    refinement: Plans,
    output: Plans,
    settings: Settings,
}

/// A box that may be a face, with columns and rows counted from 1 as in the authors' code.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    bounds: Rectangle,
    score: f32,
}

impl Mtcnn {
    pub(crate) fn read(folder: &Path, settings: Settings) -> Result<Mtcnn, DetectError> {
        let (proposal, weights) = networks::proposal(&folder.join("pnet.pt"))?;
        let proposal = Plans::new(proposal, weights, 1);
        let (refinement, weights) = networks::refinement(&folder.join("rnet.pt"))?;
        let refinement = Plans::new(refinement, weights, 32);
        let (output, weights) = networks::output(&folder.join("onet.pt"))?;
        let output = Plans::new(output, weights, 8);
        Ok(Mtcnn { proposal, refinement, output, settings })
    }

    pub(crate) fn detect(
        &mut self,
        pool: &Pool,
        photograph: &RgbImage,
    ) -> Result<Vec<DetectedFace>, DetectError> {
        let whole = Size::of(photograph);
        let size = searched_size(whole, self.settings.longest_side);
        let reduced = (size != whole).then(|| resize(photograph, size));
        let image = reduced.as_ref().unwrap_or(photograph);
        let proposed = self.propose(pool, image, size)?;
        let refined = self.refine(pool, image, size, &proposed)?;
        let faces = self.finish(pool, image, size, &refined)?;
        let back = scale_between(size, whole);
        Ok(faces.iter().map(|face| face.scaled(back)).collect())
    }

    /// First stage: every window of every size.
    fn propose(&mut self, pool: &Pool, image: &RgbImage, size: Size) -> Result<Vec<Candidate>, DetectError> {
        let mut scale = CELL as f64 / f64::from(self.settings.smallest_face);
        let mut all: Vec<(Candidate, [f64; 4])> = Vec::new();
        let mut pixels = Vec::new();
        while f64::from(size.height.min(size.width)) * scale >= CELL as f64 {
            let side = |side: u32| (f64::from(side) * scale + 1.0) as u32;
            let to = Size { height: side(size.height), width: side(size.width) };
            pixels.resize(to.rgb_bytes(), 0);
            resample(image.as_raw(), size, Window::whole(size), to, &mut pixels);
            let input = Input { height: to.height as usize, width: to.width as usize };
            let features =
                self.proposal.run(pool, input, Pixels { bytes: &pixels, mean: MEAN, scale: SCALE })?;
            // Two probabilities for each cell, then four corrections for each.
            let cells = features.len() / 6;
            let rows = (input.height - 2).div_ceil(2) - 4;
            let width = cells / rows;
            let (probabilities, corrections) = features.split_at(2 * cells);
            let mut found = Vec::new();
            for (index, (pair, correction)) in
                probabilities.chunks_exact(2).zip(corrections.chunks_exact(4)).enumerate()
            {
                if pair[1] < THRESHOLDS[0] || pair[1].is_nan() {
                    continue;
                }
                let place = |cell: usize, reach: usize| ((STRIDE * cell + reach) as f64 / scale).floor();
                let (column, row) = (index % width, index / width);
                let bounds = Rectangle {
                    left: place(column, 1),
                    top: place(row, 1),
                    right: place(column, CELL),
                    bottom: place(row, CELL),
                };
                let correction = std::array::from_fn(|index| f64::from(correction[index]));
                found.push((Candidate { bounds, score: pair[1] }, correction));
            }
            all.extend(surest(&found, 0.5).into_iter().map(|index| found[index]));
            scale *= STEP;
        }
        let kept = surest(&all, 0.7).into_iter().map(|index| {
            let (Candidate { bounds, score }, correction) = all[index];
            let bounds = moved(bounds, correction, [bounds.width(), bounds.height()]);
            Candidate { bounds: squared(bounds), score }
        });
        Ok(kept.collect())
    }

    /// Second stage: each proposal at 24 x 24.
    fn refine(
        &mut self,
        pool: &Pool,
        image: &RgbImage,
        size: Size,
        proposed: &[Candidate],
    ) -> Result<Vec<Candidate>, DetectError> {
        let mut passed = Vec::new();
        for (candidate, values) in crops(pool, &mut self.refinement, image, size, proposed, 24)? {
            if values[1] > THRESHOLDS[1] {
                let correction = std::array::from_fn(|index| f64::from(values[2 + index]));
                passed.push((Candidate { score: values[1], ..candidate }, correction));
            }
        }
        let kept = surest(&passed, 0.7).into_iter().map(|index| {
            let (Candidate { bounds, score }, correction) = passed[index];
            Candidate { bounds: squared(corrected(bounds, correction)), score }
        });
        Ok(kept.collect())
    }

    /// Third stage: each refined box at 48 x 48, with landmarks.
    fn finish(
        &mut self,
        pool: &Pool,
        image: &RgbImage,
        size: Size,
        refined: &[Candidate],
    ) -> Result<Vec<DetectedFace>, DetectError> {
        let threshold = self.settings.threshold.unwrap_or(THRESHOLDS[2]);
        let mut faces = Vec::new();
        for (candidate, values) in crops(pool, &mut self.output, image, size, refined, 48)? {
            if values[1] <= threshold || values[1].is_nan() {
                continue;
            }
            let bounds = candidate.bounds;
            let (width, height) = (bounds.right - bounds.left + 1.0, bounds.bottom - bounds.top + 1.0);
            let correction = std::array::from_fn(|index| f64::from(values[2 + index]));
            // Shares of the box's extent, which begins half a pixel before the centre of its first pixel; that has the
            // number `left - 1` counted from 0.
            let landmarks = std::array::from_fn(|index| Point {
                x: width * f64::from(values[6 + index]) + bounds.left - 1.5,
                y: height * f64::from(values[11 + index]) + bounds.top - 1.5,
            });
            let Rectangle { left, top, right, bottom } = corrected(bounds, correction);
            // From here on rows and columns are counted from 0.
            let bounds =
                Rectangle { left: left - 1.0, top: top - 1.0, right: right - 1.0, bottom: bottom - 1.0 };
            faces.push(DetectedFace { bounds, score: values[1], landmarks });
        }
        faces.retain(DetectedFace::is_finite);
        let boxes: Vec<_> = faces.iter().map(|face| (face.bounds, face.score)).collect();
        let kept = suppress(&boxes, 0.7, Measure::Smaller);
        Ok(kept.into_iter().map(|index| faces[index].clone()).collect())
    }
}

/// What a network says of each candidate's part of the image, brought to a square of `side`. Candidates that lie
/// outside the image are passed over.
fn crops(
    pool: &Pool,
    plans: &mut Plans,
    image: &RgbImage,
    size: Size,
    candidates: &[Candidate],
    side: usize,
) -> Result<Vec<(Candidate, Vec<f32>)>, DetectError> {
    // Whole pixels, as in the authors' own code, so that corrections refer to what the network sees.
    let whole = |Candidate { bounds: Rectangle { left, top, right, bottom }, score }: &Candidate| Candidate {
        bounds: Rectangle {
            left: left.trunc(),
            top: top.trunc(),
            right: right.trunc(),
            bottom: bottom.trunc(),
        },
        score: *score,
    };
    let inside: Vec<(Candidate, Window)> = candidates
        .iter()
        .map(whole)
        .filter_map(|candidate| Some((candidate, Window::inside(candidate.bounds, size)?)))
        .collect();
    let square = Size { height: side as u32, width: side as u32 };
    let (each, batch) = (square.rgb_bytes(), plans.batch());
    let mut pixels = vec![0; batch.min(inside.len()) * each];
    let mut all = Vec::with_capacity(inside.len());
    for part in inside.chunks(batch) {
        for ((_, window), pixels) in part.iter().zip(pixels.chunks_exact_mut(each)) {
            resample(image.as_raw(), size, *window, square, pixels);
        }
        let bytes = &pixels[..part.len() * each];
        let input = Input { height: side, width: side };
        let features = plans.run(pool, input, Pixels { bytes, mean: MEAN, scale: SCALE })?;
        let values = features.chunks_exact(features.len() / part.len());
        all.extend(part.iter().zip(values).map(|((candidate, _), values)| (*candidate, values.to_vec())));
    }
    Ok(all)
}

fn surest(found: &[(Candidate, [f64; 4])], most: f64) -> Vec<usize> {
    let boxes: Vec<_> = found.iter().map(|(candidate, _)| (candidate.bounds, candidate.score)).collect();
    suppress(&boxes, most, Measure::Union)
}

/// A box whose sides are moved by shares of `size`, its width and height.
fn moved(bounds: Rectangle, [left, top, right, bottom]: [f64; 4], [width, height]: [f64; 2]) -> Rectangle {
    Rectangle {
        left: bounds.left + left * width,
        top: bounds.top + top * height,
        right: bounds.right + right * width,
        bottom: bounds.bottom + bottom * height,
    }
}

/// As [`moved`], by shares of the number of columns and rows.
fn corrected(bounds: Rectangle, correction: [f64; 4]) -> Rectangle {
    let size = [bounds.right - bounds.left + 1.0, bounds.bottom - bounds.top + 1.0];
    moved(bounds, correction, size)
}

/// The square of the longer side about the same middle.
fn squared(bounds: Rectangle) -> Rectangle {
    let (width, height) = (bounds.right - bounds.left, bounds.bottom - bounds.top);
    let side = width.max(height);
    let (left, top) = (bounds.left + (width - side) / 2.0, bounds.top + (height - side) / 2.0);
    Rectangle { left, top, right: left + side, bottom: top + side }
}
