//! Detectors that see a whole photograph at once.

use std::path::Path;

use engine::{Pixels, Pool};
use face::{Size, resize};
use image::RgbImage;
use net::{ChannelOrder, Input, OnnxNetwork, OnnxOutput};

use crate::plans::Plans;
use crate::suppression::{Measure, suppress};
use crate::{DetectError, DetectedFace, Settings, scrfd, yunet};

/// Largest step of the grids; the sides of an input are multiples of it.
const COARSEST: usize = 32;
/// Steps of the three grids, in pixels.
pub(crate) const STRIDES: [usize; 3] = [8, 16, 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    YuNet,
    Scrfd,
}

/// Values of one output of a network, a grid of cells with some values each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid<'a> {
    pub(crate) values: &'a [f32],
    /// Cells in a row.
    pub(crate) width: usize,
    /// Values of one cell.
    pub(crate) channels: usize,
}

impl<'a> Grid<'a> {
    /// The cells with their column and row.
    pub(crate) fn cells(self) -> impl Iterator<Item = ([usize; 2], &'a [f32])> {
        let cells = self.values.chunks_exact(self.channels).enumerate();
        cells.map(move |(index, values)| ([index % self.width, index / self.width], values))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SingleShot {
    family: Family,
    plans: Plans,
    /// Channels of each output and its stride, in the order of the file.
    outputs: Vec<(usize, usize)>,
    /// Where the roles of the family find their outputs: role by role, stride by stride.
    roles: Vec<[usize; 3]>,
    settings: Settings,
    /// The photograph as the network takes it.
    pixels: Vec<u8>,
}

impl SingleShot {
    pub(crate) fn new(onnx: OnnxNetwork, path: &Path, settings: Settings) -> Result<SingleShot, DetectError> {
        let unknown = || DetectError::Unknown {
            path: path.to_owned(),
            outputs: onnx.outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>().join(", "),
        };
        let height = onnx.network.input.height;
        let stride = |output: &OnnxOutput| height.checked_div(output.shape.height).unwrap_or(0);
        let outputs: Vec<(usize, usize)> =
            onnx.outputs.iter().map(|output| (output.shape.channels, stride(output))).collect();
        // The outputs of one kind, recognised by the channels of a cell, in the order of their strides.
        let of_kind = |channels: usize, names: Option<&str>| -> Option<[usize; 3]> {
            let found = STRIDES.map(|stride| {
                let mut fitting = (0..outputs.len()).filter(|index| {
                    let named = names.is_none_or(|name| onnx.outputs[*index].name.starts_with(name));
                    named && outputs[*index] == (channels, stride)
                });
                fitting.next().filter(|_| fitting.next().is_none())
            });
            let [Some(fine), Some(middle), Some(coarse)] = found else { return None };
            Some([fine, middle, coarse])
        };
        let (family, roles) = if outputs.len() == 12 {
            let roles = [(1, "cls"), (1, "obj"), (4, "bbox"), (10, "kps")];
            (Family::YuNet, roles.map(|(channels, name)| of_kind(channels, Some(name))).to_vec())
        } else {
            let anchors = scrfd::ANCHORS;
            (Family::Scrfd, [1, 4, 10].map(|channels| of_kind(anchors * channels, None)).to_vec())
        };
        let roles = roles.into_iter().collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        if outputs.len() != roles.len() * STRIDES.len() {
            return Err(unknown());
        }
        let plans = Plans::new(onnx.network, onnx.weights, 1);
        Ok(SingleShot { family, plans, outputs, roles, settings, pixels: Vec::new() })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.family {
            Family::YuNet => "yunet",
            Family::Scrfd => "scrfd",
        }
    }

    pub(crate) fn detect(
        &mut self,
        pool: &Pool,
        photograph: &RgbImage,
    ) -> Result<Vec<DetectedFace>, DetectError> {
        let size = Size::of(photograph);
        let searched = searched_size(size, self.settings.longest_side);
        let reduced = (searched != size).then(|| resize(photograph, searched));
        let image = reduced.as_ref().unwrap_or(photograph);
        let input = Input {
            height: (searched.height as usize).next_multiple_of(COARSEST),
            width: (searched.width as usize).next_multiple_of(COARSEST),
        };
        let (order, mean, scale) = match self.family {
            // OpenCV's FaceDetectorYN gives the network the bytes of its BGR image.
            Family::YuNet => (ChannelOrder::Bgr, [0.0; 3], [1.0; 3]),
            // insightface/python-package, model_zoo/scrfd.py.
            Family::Scrfd => (ChannelOrder::Rgb, [127.5; 3], [128.0; 3]),
        };
        lay_out(image, input, order, &mut self.pixels);
        let features = self.plans.run(pool, input, Pixels { bytes: &self.pixels, mean, scale })?;
        let mut grids = Vec::with_capacity(self.outputs.len());
        let mut rest = features;
        let promised: usize = self.outputs.iter().map(|output| values_of(*output, input)).sum();
        if features.len() != promised {
            let Input { height, width } = input;
            return Err(DetectError::Grids { height, width, promised, found: features.len() });
        }
        for (channels, stride) in &self.outputs {
            let width = input.width / stride;
            let (values, after) = rest.split_at(values_of((*channels, *stride), input));
            grids.push(Grid { values, width, channels: *channels });
            rest = after;
        }
        let mut faces = Vec::new();
        for (level, stride) in STRIDES.into_iter().enumerate() {
            let grid = |role: usize| grids[self.roles[role][level]];
            match self.family {
                Family::YuNet => {
                    let threshold = self.settings.threshold.unwrap_or(yunet::THRESHOLD);
                    yunet::decode([grid(0), grid(1), grid(2), grid(3)], stride, threshold, &mut faces);
                }
                Family::Scrfd => {
                    let threshold = self.settings.threshold.unwrap_or(scrfd::THRESHOLD);
                    scrfd::decode([grid(0), grid(1), grid(2)], stride, threshold, &mut faces);
                }
            }
        }
        faces.retain(DetectedFace::is_finite);
        let overlap = match self.family {
            Family::YuNet => yunet::OVERLAP,
            Family::Scrfd => scrfd::OVERLAP,
        };
        let boxes: Vec<_> = faces.iter().map(|face| (face.bounds, face.score)).collect();
        let kept = suppress(&boxes, overlap, Measure::Union);
        let back = scale_between(searched, size);
        Ok(kept.into_iter().map(|index| faces[index].scaled(back)).collect())
    }
}

/// Values of an output of some channels and a stride.
fn values_of((channels, stride): (usize, usize), input: Input) -> usize {
    (input.width / stride) * (input.height / stride) * channels
}

/// The size at which a photograph is searched: its own, or that with the longest side.
pub(crate) fn searched_size(size: Size, longest: u32) -> Size {
    let side = size.height.max(size.width);
    if side <= longest {
        return size;
    }
    let reduced = |side_of: u32| {
        let rounded = (f64::from(side_of) * f64::from(longest) / f64::from(side)).round();
        (rounded as u32).max(1)
    };
    Size { height: reduced(size.height), width: reduced(size.width) }
}

/// Factors of columns and rows from one size to another.
pub(crate) fn scale_between(from: Size, to: Size) -> [f64; 2] {
    [f64::from(to.width) / f64::from(from.width), f64::from(to.height) / f64::from(from.height)]
}

/// The image in the upper left corner of an input that is black elsewhere.
fn lay_out(image: &RgbImage, input: Input, order: ChannelOrder, pixels: &mut Vec<u8>) {
    pixels.clear();
    pixels.resize(input.height * input.width * 3, 0);
    let line = image.width() as usize * 3;
    for (target, source) in pixels.chunks_exact_mut(input.width * 3).zip(image.as_raw().chunks_exact(line)) {
        match order {
            ChannelOrder::Rgb => target[..line].copy_from_slice(source),
            ChannelOrder::Bgr => {
                for (target, source) in target.chunks_exact_mut(3).zip(source.chunks_exact(3)) {
                    target.copy_from_slice(&[source[2], source[1], source[0]]);
                }
            }
        }
    }
}
