//! `cosface bench photo`: from the bytes of a photograph to an embedding, stage by stage.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use cosface::{Aligner, Embedder, template_of};
use data::synth::Population;
use detect::{Choice, Detector, Settings};
use engine::{Pool, Precision};
use face::{Limits, Size, Template, align, decode_photograph, decode_photograph_file, resize};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use net::Model;
use serde_json::json;

use super::median;

/// Size of the photograph: VGA, 4:3.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const QUALITY: u8 = 92;
const ROUNDS: usize = 40;

/// What is measured on.
pub(super) struct Files<'a> {
    pub(super) detector: &'a Path,
    pub(super) model: &'a Path,
    /// A photograph with a face, brought to 640x480; a synthetic face unless given.
    pub(super) photograph: Option<&'a Path>,
}

/// Prints a row with the medians of all stages and of the whole.
pub(super) fn run(files: &Files<'_>, pool: &Pool, precision: Precision) -> anyhow::Result<()> {
    let bytes = jpeg(files.photograph)?;
    let name = Path::new("the photograph of the benchmark");
    let mut embedder = Embedder::with_precision(
        Model::read(files.model)?,
        Pool::with_isa(pool.threads(), pool.isa())?,
        precision,
    )?;
    let template = template_of(embedder.model().card().preprocessing.template)
        .with_context(|| format!("the model takes images that are not aligned: {}", files.model.display()))?;
    let detector = Detector::read(files.detector, Settings::default())?;
    let kind = detector.name();
    let mut aligner =
        Aligner::new(detector, Pool::with_isa(pool.threads(), pool.isa())?, template, Choice::Prominent);
    let flip = embedder.model().card().preprocessing.flip;
    let mut times: [Vec<f64>; 5] = std::array::from_fn(|_| Vec::new());
    for round in 0..ROUNDS + 2 {
        let mut last = Instant::now();
        let mut lap = || {
            let now = Instant::now();
            now.duration_since(std::mem::replace(&mut last, now)).as_secs_f64()
        };
        let photograph = decode_photograph(&bytes, name, &Limits::default())?;
        let decode = lap();
        let faces = aligner.faces(&photograph)?;
        let detect = lap();
        let face =
            faces.first().context("no face is found in the photograph, name another with --photograph")?;
        let crop = align(&photograph, &face.landmarks, &template).context("the face cannot be aligned")?;
        let align = lap();
        embedder.features_of_crop(&crop, flip, name)?.embedding(flip).context("no embedding")?;
        let embed = lap();
        // The first two compile the networks for this size and warm the caches.
        if round >= 2 {
            let all = [decode, detect, align, embed, decode + detect + align + embed];
            times.iter_mut().zip(all).for_each(|(times, time)| times.push(1e3 * time));
        }
    }
    let [decode, detect, align, embed, total] = times.map(median);
    super::report(
        pool,
        precision,
        json!({
            "bench": "photo", "network": embedder.model().card().network, "detector": kind,
            "photograph": format!("{WIDTH}x{HEIGHT} JPEG, {} bytes", bytes.len()), "flip": flip.to_string(),
            "decode_milliseconds": decode, "detect_milliseconds": detect, "align_milliseconds": align,
            "embed_milliseconds": embed, "milliseconds": total,
        }),
    )
}

/// The photograph as JPEG: fitted into its size on grey.
fn jpeg(photograph: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let image = match photograph {
        Some(path) => decode_photograph_file(path, &Limits::default())?,
        None => Population::new(7, 0.5, Template::SQUARE).face(0, 0),
    };
    let (width, height) = image.dimensions();
    let scale = (f64::from(WIDTH) / f64::from(width)).min(f64::from(HEIGHT) / f64::from(height));
    // A face that fills the picture is not what photographs show.
    let scale = if photograph.is_none() { scale * 0.5 } else { scale };
    let side = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let fitted = resize(&image, Size { height: side(height), width: side(width) });
    ensure!(
        fitted.width() <= WIDTH && fitted.height() <= HEIGHT,
        "the photograph cannot be fitted into its size"
    );
    let mut canvas = RgbImage::from_pixel(WIDTH, HEIGHT, image::Rgb([128; 3]));
    let (x, y) = ((WIDTH - fitted.width()) / 2, (HEIGHT - fitted.height()) / 2);
    image::imageops::replace(&mut canvas, &fitted, i64::from(x), i64::from(y));
    let mut bytes = Vec::new();
    canvas
        .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
        .context("cannot encode the photograph")?;
    Ok(bytes)
}
