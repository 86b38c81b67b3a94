//! The hardest pairs of an evaluation as pictures.

use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eval::protocol::Kind;
use eval::report::{Block, Picture, Section};
use eval::{Protocol, ScoredPairs};
use face::{Limits, Size, decode_file, resize};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

/// Pairs of each kind that are shown.
const PAIRS: usize = 12;
/// Height of a picture, pixels: that of a crop.
const HEIGHT: u32 = 112;
const BETWEEN: u32 = 4;
const QUALITY: u8 = 85;

/// Pairs of one person with the lowest cosines and of two people with the highest; `files` has the file of each image of
/// the protocol.
pub(crate) fn section(
    protocol: &Protocol,
    scored: &ScoredPairs,
    files: &[PathBuf],
) -> anyhow::Result<Section> {
    let mut blocks = Vec::new();
    for (kind, text) in [
        (Kind::Genuine, "One person, and the lowest cosines:"),
        (Kind::Impostor, "Two people, and the highest cosines:"),
    ] {
        let mut pictures = Vec::new();
        for place in scored.hardest(kind, PAIRS) {
            let (pair, row) = (&protocol.pairs[place], &scored.rows[place]);
            let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
            let names = format!("{}, {}", last(&row.first), last(&row.second));
            let judged = if row.right { "" } else { ", judged wrongly" };
            pictures.push(Picture {
                address: address(&files[pair.first], &files[pair.second])?,
                caption: format!("{:.3}{judged}. {names}", row.cosine),
            });
        }
        blocks.extend([Block::Text(text.to_owned()), Block::Pictures(pictures)]);
    }
    Ok(Section { heading: "The hardest pairs".to_owned(), blocks })
}

/// Both images beside each other as JPEG within a `data:` address.
fn address(first: &Path, second: &Path) -> anyhow::Result<String> {
    let images = [reduced(first)?, reduced(second)?];
    let width = images[0].width() + BETWEEN + images[1].width();
    let mut both = RgbImage::from_pixel(width, HEIGHT, image::Rgb([255; 3]));
    image::imageops::replace(&mut both, &images[0], 0, 0);
    image::imageops::replace(&mut both, &images[1], i64::from(images[0].width() + BETWEEN), 0);
    let mut bytes = Vec::new();
    both.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
        .with_context(|| format!("cannot encode the picture of {}", first.display()))?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

/// An image at the height of the others, not wider than three times that.
fn reduced(path: &Path) -> anyhow::Result<RgbImage> {
    let image = decode_file(path, &Limits::default())?;
    let width = f64::from(image.width()) * f64::from(HEIGHT) / f64::from(image.height());
    let width = (width.round() as u32).clamp(1, 3 * HEIGHT);
    Ok(resize(&image, Size { height: HEIGHT, width }))
}
