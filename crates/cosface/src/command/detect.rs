//! `cosface detect`: faces and landmarks in photographs, as JSON lines or drawn.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use detect::{DetectedFace, Detector, Rectangle};
use engine::Pool;
use face::{Limits, decode_photograph_file};
use image::{Rgb, RgbImage};
use serde::Serialize;

use super::faces::Search;
use super::images;
use super::{terminal, workers};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Detector: an ONNX file of YuNet or SCRFD, or a folder with MTCNN's pnet.pt, rnet.pt and onet.pt
    detector: PathBuf,
    /// Photographs, or folders of them at any depth
    #[arg(required = true)]
    photographs: Vec<PathBuf>,
    /// Image file to write, one photograph with boxes and landmarks drawn
    #[arg(long)]
    draw: Option<PathBuf>,
    #[command(flatten)]
    search: Search,
    /// Worker threads, 0 for one on each processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// What is printed for a photograph.
#[derive(Serialize)]
struct Line<'a> {
    file: &'a Path,
    width: u32,
    height: u32,
    faces: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    score: f32,
    /// Left, top, right, bottom.
    r#box: [f64; 4],
    /// Left eye, right eye, nose, left and right corner of the mouth.
    landmarks: [[f64; 2]; 5],
}

impl Found {
    fn of(face: &DetectedFace) -> Found {
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let Rectangle { left, top, right, bottom } = face.bounds;
        Found {
            score: face.score,
            r#box: [left, top, right, bottom].map(rounded),
            landmarks: face.landmarks.map(|point| [rounded(point.x), rounded(point.y)]),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let files = images::collect(&arguments.photographs)?;
    if let Some(out) = &arguments.draw {
        ensure!(files.len() == 1, "--draw takes one photograph: {} are given", files.len());
        terminal::refuse_overwriting(&files[0], out)?;
    }
    let detector = arguments.search.detector(&arguments.detector)?;
    // The threads share one photograph, or each has photographs of its own.
    let count = workers::count(arguments.threads, &files);
    let threads = if files.len() == 1 { arguments.threads } else { 1 };
    let worker = |_| -> anyhow::Result<(Detector, Pool)> { Ok((detector.clone(), Pool::new(threads)?)) };
    let workers = (0..count).map(worker).collect::<anyhow::Result<Vec<_>>>()?;
    let work = |(detector, pool): &mut (Detector, Pool), file: &Path| -> anyhow::Result<_> {
        let photograph = match decode_photograph_file(file, &Limits::default()) {
            Ok(photograph) => photograph,
            Err(error) => return Ok(Err(error)),
        };
        let faces = arguments.search.faces.of(detector.detect(pool, &photograph)?, &photograph);
        let dimensions = photograph.dimensions();
        Ok(Ok((dimensions, faces, arguments.draw.is_some().then_some(photograph))))
    };
    let mut unreadable = Vec::new();
    workers::each_in_order(&files, workers, work, |index, outcome| {
        let file = &files[index];
        let ((width, height), faces, photograph) = match outcome {
            Ok(found) => found,
            Err(error) => {
                unreadable.push(error);
                return Ok(());
            }
        };
        let line = Line { file, width, height, faces: faces.iter().map(Found::of).collect() };
        terminal::say(&serde_json::to_string(&line)?);
        if let (Some(out), Some(mut photograph)) = (&arguments.draw, photograph) {
            faces.iter().for_each(|face| draw(&mut photograph, face));
            photograph.save(out).with_context(|| format!("cannot write the drawing: {}", out.display()))?;
        }
        Ok(())
    })?;
    if files.len() > 1 {
        terminal::list_skipped(&unreadable);
    }
    let count = unreadable.len();
    match unreadable.into_iter().next() {
        None => Ok(()),
        Some(error) if files.len() == 1 => Err(error.into()),
        Some(error) => Err(anyhow::Error::new(error)
            .context(format!("{count} of {} photographs cannot be used", files.len()))),
    }
}

/// Paints the box green and the landmarks red.
fn draw(photograph: &mut RgbImage, face: &DetectedFace) {
    let (width, height) = photograph.dimensions();
    let line = f64::from(width.max(height)) / 800.0 + 0.5;
    let mut fill = |bounds: Rectangle, colour: [u8; 3]| {
        let side = |from: f64, to: f64, size: u32| {
            let inside = |place: f64| place.round().clamp(0.0, f64::from(size)) as u32;
            inside(from)..inside(to + 1.0)
        };
        for y in side(bounds.top, bounds.bottom, height) {
            for x in side(bounds.left, bounds.right, width) {
                photograph.put_pixel(x, y, Rgb(colour));
            }
        }
    };
    let around = |bounds: Rectangle| Rectangle {
        left: bounds.left - line,
        top: bounds.top - line,
        right: bounds.right + line,
        bottom: bounds.bottom + line,
    };
    let bounds = face.bounds;
    for edge in [
        Rectangle { right: bounds.left, ..bounds },
        Rectangle { left: bounds.right, ..bounds },
        Rectangle { bottom: bounds.top, ..bounds },
        Rectangle { top: bounds.bottom, ..bounds },
    ] {
        fill(around(edge), [0, 220, 60]);
    }
    for point in face.landmarks {
        fill(
            around(Rectangle { left: point.x, top: point.y, right: point.x, bottom: point.y }),
            [255, 30, 30],
        );
    }
}
