//! From a file to an upright RGB image.
//!
//! There are two doors. [`decode`] takes what training data should be, 8 bits a channel in RGB or grey, and refuses the
//! rest. [`decode_photograph`] is for photographs as they come and also converts deeper and printing colours.

use std::io::{self, Cursor, Read};
use std::path::Path;

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::pnm::PnmDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage, Rgba, RgbaImage};

use crate::format::Format;
use crate::{ImageError, ImageFault, Limits, jpeg, png};

/// Reads and decodes the image file at `path`; the rules are those of [`decode`].
///
/// # Errors
/// As [`decode`], and where the file cannot be read.
pub fn decode_file(path: &Path, limits: &Limits) -> Result<RgbImage, ImageError> {
    let bytes = read_within(path, limits).map_err(|fault| ImageError { path: path.to_owned(), fault })?;
    decode(&bytes, path, limits)
}

/// Decodes an image to upright RGB, 8 bits a channel.
///
/// JPEG, PNG, PGM/PPM/PBM, WebP and BMP, known by their content. The orientation in EXIF data is applied.
/// Grey becomes three equal channels. A transparent image is laid over black, as an aligned crop's
/// missing border is black; an opaque alpha channel changes nothing. Colour profiles are not applied.
///
/// `name` stands for the image in errors: its path, or whatever its origin is called.
///
/// # Errors
/// Limits are checked on the header, before pixels are allocated. Refused with a reason: too many bytes or
/// pixels, a truncated or damaged file, more than 8 bits a channel, CMYK, animations, other formats.
pub fn decode(bytes: &[u8], name: &Path, limits: &Limits) -> Result<RgbImage, ImageError> {
    decode_bytes(bytes, limits, Colours::Strict).map_err(|fault| ImageError { path: name.to_owned(), fault })
}

/// Reads and decodes the photograph at `path`; the rules are those of [`decode_photograph`].
///
/// # Errors
/// As [`decode_photograph`], and where the file cannot be read.
pub fn decode_photograph_file(path: &Path, limits: &Limits) -> Result<RgbImage, ImageError> {
    let bytes = read_within(path, limits).map_err(|fault| ImageError { path: path.to_owned(), fault })?;
    decode_photograph(&bytes, path, limits)
}

/// Decodes a photograph as it comes to upright RGB, 8 bits a channel: as [`decode`], and
///
/// - 16 bits a channel become 8 by `round(value 255 / 65535)`;
/// - CMYK and YCCK in JPEG become RGB by `R = C K / 255` (likewise green and blue): they are taken for stored inverted,
///   as Adobe's programs do, with or without its marker, which is how Pillow reads them.
///
/// # Errors
/// As [`decode`], without the refusal of these.
pub fn decode_photograph(bytes: &[u8], name: &Path, limits: &Limits) -> Result<RgbImage, ImageError> {
    decode_bytes(bytes, limits, Colours::Converted)
        .map_err(|fault| ImageError { path: name.to_owned(), fault })
}

/// What becomes of an image that is not of 8 bits a channel in RGB or grey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// It is refused.
    Strict,
    /// It is converted.
    Converted,
}

fn read_within(path: &Path, limits: &Limits) -> Result<Vec<u8>, ImageFault> {
    let file = fs_err::File::open(path).map_err(ImageFault::Unreadable)?;
    let length = file.metadata().map_err(ImageFault::Unreadable)?.len();
    check_bytes(length, limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // A file that grows, or a device without a length, still ends at one byte over the limit.
    file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(ImageFault::Unreadable)?;
    Ok(bytes)
}

fn decode_bytes(bytes: &[u8], limits: &Limits, colours: Colours) -> Result<RgbImage, ImageFault> {
    check_bytes(bytes.len() as u64, limits)?;
    let format = Format::of(bytes)?;
    match format {
        Format::Jpeg => jpeg::decode(bytes, limits, colours),
        Format::Png => {
            png::walk(bytes)?;
            let mut memory = image::Limits::no_limits();
            // Rows, palettes and profiles of an image within the limits fit its own size at 16 bits RGBA.
            memory.max_alloc = Some(limits.pixels.saturating_mul(8).saturating_add(1 << 20));
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), memory)
                .map_err(|error| undecoded(format, error))?;
            pixels_of(decoder, format, limits, colours)
        }
        Format::Pnm => {
            let decoder = PnmDecoder::new(Cursor::new(bytes)).map_err(|error| undecoded(format, error))?;
            pixels_of(decoder, format, limits, colours)
        }
        Format::WebP => {
            check_webp(bytes)?;
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| undecoded(format, error))?;
            pixels_of(decoder, format, limits, colours)
        }
        Format::Bmp => {
            let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| undecoded(format, error))?;
            pixels_of(decoder, format, limits, colours)
        }
    }
}

/// The pixels behind a decoder that has read its header.
fn pixels_of(
    mut decoder: impl ImageDecoder,
    format: Format,
    limits: &Limits,
    colours: Colours,
) -> Result<RgbImage, ImageFault> {
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let colour = decoder.color_type();
    let bits = colour.bits_per_pixel() / u16::from(colour.channel_count());
    if bits > 8 && (colours == Colours::Strict || bits > 16) {
        return Err(ImageFault::Deep { bits: u8::try_from(bits).unwrap_or(u8::MAX) });
    }
    let orientation = decoder.orientation().map_err(|error| undecoded(format, error))?;
    let image = DynamicImage::from_decoder(decoder).map_err(|error| undecoded(format, error))?;
    let image = upright(image, orientation);
    if image.color().has_alpha() { Ok(over_black(&image.into_rgba8())) } else { Ok(image.into_rgb8()) }
}

/// Turns an image as its EXIF orientation asks.
pub(crate) fn upright(mut image: DynamicImage, orientation: Orientation) -> DynamicImage {
    image.apply_orientation(orientation);
    image
}

pub(crate) fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), ImageFault> {
    if width == 0 || height == 0 {
        return Err(ImageFault::Empty { width, height });
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(ImageFault::TooManyPixels { width, height, limit: limits.pixels });
    }
    Ok(())
}

fn check_bytes(bytes: u64, limits: &Limits) -> Result<(), ImageFault> {
    if bytes > limits.bytes {
        return Err(ImageFault::TooManyBytes { bytes, limit: limits.bytes });
    }
    Ok(())
}

/// `round(colour * alpha / 255)`: the image in front of a black ground.
fn over_black(image: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let Rgba([red, green, blue, alpha]) = *image.get_pixel(x, y);
        let shade = |colour: u8| ((u32::from(colour) * u32::from(alpha) + 127) / 255) as u8;
        image::Rgb([shade(red), shade(green), shade(blue)])
    })
}

/// What the container of a WebP file says: its length, less the 8 bytes up to and with that statement, and
/// in an extended header (`VP8X`) whether the image moves.
fn check_webp(bytes: &[u8]) -> Result<(), ImageFault> {
    let stated = u64::from(u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]])) + 8;
    if (bytes.len() as u64) < stated {
        return Err(ImageFault::Truncated("it is shorter than its RIFF header states"));
    }
    let extended = bytes[12..].starts_with(b"VP8X");
    if extended && bytes.get(20).is_some_and(|flags| flags & 0b10 != 0) {
        return Err(ImageFault::Animated);
    }
    Ok(())
}

/// An early end of the data is truncation; anything else is damage.
fn undecoded(format: Format, error: image::ImageError) -> ImageFault {
    match error {
        image::ImageError::IoError(ended) if ended.kind() == io::ErrorKind::UnexpectedEof => {
            ImageFault::Truncated("it ends before its last pixel")
        }
        other => ImageFault::Damaged { format: format.name(), source: other.into() },
    }
}
