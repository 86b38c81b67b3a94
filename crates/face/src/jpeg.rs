//! JPEG: a walk over the markers that sees what a forgiving decoder hides, and the decoding.

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use crate::decode::{Colours, check_pixels, upright};
use crate::{ImageFault, Limits};

/// The frame header (marker SOF, ITU-T T.81, B.2.2), from a file that is known to reach its end.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    width: u32,
    height: u32,
    bits: u8,
    channels: u8,
    /// Scans, each a pass over the image.
    scans: u32,
}

/// Passes over as many pixels as the limit allows, which all scans of an image may take together. A progressive
/// photograph has about ten scans; one that sends nothing takes a handful of bytes, so a small file could keep a
/// processor busy for minutes.
const PASSES_AT_MOST: u64 = 16;

/// Most scans: libjpeg's own progressive script has 10, and the finest one that makes sense some dozens. Each is a walk
/// over all blocks of the image, however few bytes it has.
const SCANS_AT_MOST: u32 = 100;

/// Decodes a JPEG file. Damage and truncation are errors: no pixel is filled in.
pub(crate) fn decode(bytes: &[u8], limits: &Limits, colours: Colours) -> Result<RgbImage, ImageFault> {
    let frame = walk(bytes)?;
    if frame.bits != 8 {
        return Err(ImageFault::Deep { bits: frame.bits });
    }
    if frame.channels == 4 && colours == Colours::Strict {
        return Err(ImageFault::Cmyk);
    }
    check_pixels(frame.width, frame.height, limits)?;
    check_scans(&frame, limits)?;

    // The decoder takes four channels for inverted, as Adobe's programs store them and Pillow reads them.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode().map_err(damaged)?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    let image = RgbImage::from_raw(frame.width, frame.height, pixels)
        .ok_or_else(|| damaged("the decoder's image has another size than the frame header"))?;
    Ok(upright(DynamicImage::ImageRgb8(image), orientation).into_rgb8())
}

fn check_scans(frame: &Frame, limits: &Limits) -> Result<(), ImageFault> {
    let pixels = u64::from(frame.width) * u64::from(frame.height);
    if u64::from(frame.scans).saturating_mul(pixels) > limits.pixels.saturating_mul(PASSES_AT_MOST) {
        let Frame { width, height, scans, .. } = *frame;
        return Err(ImageFault::TooManyScans { width, height, scans });
    }
    Ok(())
}

/// Follows the markers of a JPEG file from its first to its last (T.81, B.1.1) and returns the frame header.
///
/// Decoders fill in what a truncated file lacks, and differ in whether they say so, so the file's
/// structure is checked here: a file that does not reach its end-of-image marker is truncated.
fn walk(bytes: &[u8]) -> Result<Frame, ImageFault> {
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    let mut rest = &bytes[2..];
    loop {
        // Up to the next marker: 0xFF, then neither 0x00 (a stuffed data byte) nor 0xFF (a fill byte).
        let at = rest
            .windows(2)
            .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xFF))
            .ok_or(ImageFault::Truncated("its end-of-image marker is missing"))?;
        let marker = rest[at + 1];
        rest = &rest[at + 2..];
        match marker {
            0xD9 => {
                let frame = frame.ok_or_else(|| damaged("no frame header before the end of the image"))?;
                return Ok(Frame { scans, ..frame });
            }
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let [high, low, ..] = *rest else {
            return Err(ImageFault::Truncated("it ends inside a marker segment"));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(damaged("a marker segment shorter than its own length field"));
        }
        let segment = rest.get(2..length).ok_or(ImageFault::Truncated("it ends inside a marker segment"))?;
        if marker == 0xDA {
            scans += 1;
            if scans > SCANS_AT_MOST {
                return Err(damaged(format!("more than {SCANS_AT_MOST} scans")));
            }
        }
        if matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC) {
            // The limits are checked on this one, so there must be no other for the decoder to go by.
            if frame.is_some() {
                return Err(damaged("a second frame header"));
            }
            let [bits, h1, h0, w1, w0, channels, ..] = *segment else {
                return Err(damaged("a frame header that is too short"));
            };
            let width = u32::from(u16::from_be_bytes([w1, w0]));
            let height = u32::from(u16::from_be_bytes([h1, h0]));
            frame = Some(Frame { width, height, bits, channels, scans });
        }
        rest = &rest[length..];
    }
}

fn damaged(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ImageFault {
    ImageFault::Damaged { format: "JPEG", source: source.into() }
}
