//! Images of every kind, whole and hostile, through the one public door.

use std::error::Error;
use std::io::Cursor;
use std::path::Path;

use face::{ImageError, ImageFault, Limits, decode, decode_file, decode_photograph, decode_photograph_file};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};

/// No two pixels alike, no symmetry.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 7) as u8, (y * 11) as u8, (x * y % 251) as u8]))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(image: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(image).unwrap();
    bytes
}

fn decoded(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    decode(bytes, Path::new("people/ann.jpg"), &Limits::default())
}

fn photograph(bytes: &[u8]) -> Result<RgbImage, ImageError> {
    decode_photograph(bytes, Path::new("people/ann.jpg"), &Limits::default())
}

fn fault(bytes: &[u8]) -> ImageFault {
    decoded(bytes).expect_err("the image must be refused").fault
}

/// A PNG chunk: length, kind, data, checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for &byte in kind.iter().chain(data) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &(!crc).to_be_bytes()].concat()
}

/// `bytes` with `insert` put in at `at`.
fn spliced(bytes: &[u8], at: usize, insert: &[u8]) -> Vec<u8> {
    [&bytes[..at], insert, &bytes[at..]].concat()
}

/// TIFF data, little endian, with one entry: the orientation (tag 0x0112, type SHORT).
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II\x2A\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    tiff
}

fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let data = [&b"Exif\0\0"[..], &exif(orientation)].concat();
    let length = (data.len() as u16 + 2).to_be_bytes();
    spliced(jpeg, 2, &[&[0xFF, 0xE1][..], &length, &data].concat())
}

#[test]
fn lossless_formats_come_back_pixel_for_pixel() {
    let image = picture(13, 9);
    for format in [ImageFormat::Png, ImageFormat::Pnm, ImageFormat::WebP, ImageFormat::Bmp] {
        let bytes = encoded(&image.clone().into(), format);
        assert!(decoded(&bytes).unwrap() == image, "{format:?}");
    }
}

#[test]
fn a_jpeg_comes_back_in_rgb_order() {
    let red = RgbImage::from_pixel(16, 24, Rgb([200, 60, 20]));
    let image = decoded(&jpeg(&red)).unwrap();
    assert_eq!((image.width(), image.height()), (16, 24));
    // Quality 95 keeps a flat colour within a few steps; red and blue are far apart.
    assert!(image.pixels().all(|p| p[0].abs_diff(200) < 4 && p[1].abs_diff(60) < 4 && p[2].abs_diff(20) < 4));
}

#[test]
fn grey_becomes_three_equal_channels() {
    let grey = DynamicImage::ImageRgb8(picture(16, 16)).into_luma8();
    let mut as_jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut as_jpeg, 100).encode_image(&grey).unwrap();
    for (bytes, slack) in [(encoded(&grey.clone().into(), ImageFormat::Png), 0), (as_jpeg, 3)] {
        let image = decoded(&bytes).unwrap();
        for (pixel, sample) in image.pixels().zip(grey.iter()) {
            assert!(pixel[0] == pixel[1] && pixel[1] == pixel[2]);
            assert!(pixel[0].abs_diff(*sample) <= slack, "{} for {sample}", pixel[0]);
        }
    }
}

/// The eight orientations: where the stored pixel (x, y) of a W x H image belongs (EXIF 2.3, tag 274).
#[test]
fn every_exif_orientation_is_turned_upright() {
    const W: u32 = 6;
    const H: u32 = 4;
    let stored = picture(W, H);
    let upright = |orientation: u8, x: u32, y: u32| match orientation {
        1 => (x, y),
        2 => (W - 1 - x, y),
        3 => (W - 1 - x, H - 1 - y),
        4 => (x, H - 1 - y),
        5 => (y, x),
        6 => (H - 1 - y, x),
        7 => (H - 1 - y, W - 1 - x),
        _ => (y, W - 1 - x),
    };
    for orientation in 1..=8 {
        let png = spliced(
            &encoded(&stored.clone().into(), ImageFormat::Png),
            33,
            &chunk(b"eXIf", &exif(orientation)),
        );
        let mut webp = Vec::new();
        let mut encoder = WebPEncoder::new_lossless(&mut webp);
        encoder.set_exif_metadata(exif(orientation)).unwrap();
        encoder.write_image(&stored, W, H, ExtendedColorType::Rgb8).unwrap();
        for bytes in [png, webp] {
            let image = decoded(&bytes).unwrap();
            for (x, y, pixel) in stored.enumerate_pixels() {
                let (column, row) = upright(orientation, x, y);
                assert_eq!(image.get_pixel(column, row), pixel, "orientation {orientation} at {x}, {y}");
            }
        }
    }
    // A JPEG is lossy: its turned image is compared with itself unturned.
    let plain = jpeg(&picture(24, 16));
    for orientation in 1..=8 {
        let mut expected = DynamicImage::ImageRgb8(decoded(&plain).unwrap());
        expected.apply_orientation(Orientation::from_exif(orientation).unwrap());
        assert!(decoded(&with_exif(&plain, orientation)).unwrap() == expected.into_rgb8(), "{orientation}");
    }
}

#[test]
fn transparency_is_laid_over_black_and_opaque_alpha_changes_nothing() {
    let colours = [[200, 100, 50, 255], [200, 100, 50, 0], [200, 100, 50, 128]];
    let image = image::RgbaImage::from_fn(3, 1, |x, _| image::Rgba(colours[x as usize]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp] {
        let pixels = decoded(&encoded(&image.clone().into(), format)).unwrap();
        let expected = [[200, 100, 50], [0, 0, 0], [100, 50, 25]];
        assert!(
            pixels.pixels().zip(expected).all(|(pixel, colour)| pixel.0 == colour),
            "{format:?}: {pixels:?}"
        );
    }
}

#[test]
fn a_pgm_with_a_smaller_largest_value_runs_to_255() {
    let image = decoded(b"P5 3 1 15\n\x00\x07\x0F").unwrap();
    assert_eq!(image.pixels().map(|pixel| pixel[0]).collect::<Vec<_>>(), [0, 119, 255]);
    assert_eq!(decoded(b"P1 # bits, 1 is black\n2 1\n1 0\n").unwrap().as_raw(), &[0, 0, 0, 255, 255, 255]);
}

/// Every prefix of a JPEG that lacks as little as its end marker: none may be filled in with grey.
#[test]
fn a_truncated_image_is_an_error_wherever_it_is_cut() {
    let image = picture(40, 32);
    let grey = DynamicImage::ImageRgb8(image.clone()).into_luma8();
    let mut grey_jpeg = Vec::new();
    JpegEncoder::new(&mut grey_jpeg).encode_image(&grey).unwrap();
    let mut whole = vec![("JPEG", jpeg(&image)), ("grey JPEG", grey_jpeg)];
    for format in [ImageFormat::Png, ImageFormat::Pnm, ImageFormat::WebP, ImageFormat::Bmp] {
        whole.push((format.to_mime_type(), encoded(&image.clone().into(), format)));
    }
    for (name, bytes) in whole {
        decoded(&bytes).unwrap();
        for length in 12..bytes.len() {
            let error = fault(&bytes[..length]);
            assert!(
                matches!(error, ImageFault::Truncated(_) | ImageFault::Damaged { .. }),
                "{name} cut at {length} of {}: {error:?}",
                bytes.len()
            );
            if length > bytes.len() / 2 {
                assert!(matches!(error, ImageFault::Truncated(_)), "{name} cut at {length}: {error:?}");
            }
        }
    }
    assert!(matches!(fault(&[]), ImageFault::Truncated(_)));
}

#[test]
fn a_thumbnail_that_ends_does_not_end_the_photograph_around_it() {
    let inner = jpeg(&picture(16, 16));
    let length = (inner.len() as u16 + 2).to_be_bytes();
    let outer = spliced(&jpeg(&picture(32, 32)), 2, &[&[0xFF, 0xE5][..], &length, &inner].concat());
    assert_eq!(decoded(&outer).unwrap().width(), 32);
    assert!(matches!(fault(&outer[..outer.len() - 2]), ImageFault::Truncated(_)));
}

#[test]
fn a_stated_size_over_the_limit_is_refused_before_pixels_exist() {
    let side = 60_000_u32;
    let two = (side as u16).to_be_bytes();
    let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 11, 8];
    jpeg.extend([two, two].concat());
    jpeg.extend([1, 1, 0x11, 0, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0, 0xFF, 0xD9]);
    let header = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let png =
        [&b"\x89PNG\r\n\x1A\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &[]), &chunk(b"IEND", &[])]
            .concat();
    let mut bmp = encoded(&picture(2, 2).into(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&side.to_le_bytes());
    bmp[22..26].copy_from_slice(&side.to_le_bytes());
    let pgm = b"P5 60000 60000 255\n0".to_vec();
    for bytes in [jpeg, png, bmp, pgm] {
        let error = decoded(&bytes).unwrap_err();
        assert!(
            matches!(error.fault, ImageFault::TooManyPixels { width: 60_000, height: 60_000, .. }),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("people/ann.jpg") && text.contains("60000 x 60000"), "{text}");
        assert!(text.contains(&Limits::default().pixels.to_string()), "{text}");
    }
    // 2^16 x 2^16 is 0 in 32 bits.
    assert!(matches!(fault(b"P5 65536 65536 255\n0"), ImageFault::TooManyPixels { width: 65_536, .. }));
    // WebP states at most 16384 a side; here 16383 x 16383 in the lossless header.
    let bits = (16_382_u32 | (16_382 << 14)).to_le_bytes();
    let mut webp = b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2F".to_vec();
    webp.extend(bits);
    webp.push(0);
    assert!(matches!(fault(&webp), ImageFault::TooManyPixels { width: 16_383, .. }));
}

#[test]
fn the_limits_bind_at_exactly_their_values() {
    let bytes = encoded(&picture(10, 5).into(), ImageFormat::Png);
    let size = bytes.len() as u64;
    let with = |pixels, bytes_limit| decode(&bytes, Path::new("x"), &Limits { pixels, bytes: bytes_limit });
    assert!(with(50, size).is_ok());
    assert!(matches!(with(49, size).unwrap_err().fault, ImageFault::TooManyPixels { limit: 49, .. }));
    assert!(matches!(with(50, size - 1).unwrap_err().fault, ImageFault::TooManyBytes { .. }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.png");
    fs_err::write(&path, &bytes).unwrap();
    let error = decode_file(&path, &Limits { pixels: 50, bytes: size - 1 }).unwrap_err();
    assert!(matches!(error.fault, ImageFault::TooManyBytes { .. }) && error.path == path);
}

#[test]
fn what_holds_other_than_eight_bit_grey_or_rgb_is_refused_by_its_kind() {
    let deep = image::ImageBuffer::from_pixel(4, 4, Rgb([1000_u16, 2000, 3000]));
    assert!(matches!(fault(&encoded(&deep.into(), ImageFormat::Png)), ImageFault::Deep { bits: 16 }));
    assert!(matches!(fault(b"P5 1 1 1023\n\x01\x02"), ImageFault::Deep { bits: 16 }));

    let mut cmyk = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 20, 8, 0, 8, 0, 8, 4];
    cmyk.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0, 0xFF, 0xD9]);
    assert!(matches!(fault(&cmyk), ImageFault::Cmyk));
    let mut twelve_bits = jpeg(&picture(8, 8));
    let frame = twelve_bits.windows(2).position(|marker| marker == [0xFF, 0xC0]).unwrap();
    twelve_bits[frame + 4] = 12;
    assert!(matches!(fault(&twelve_bits), ImageFault::Deep { bits: 12 }));

    let still = encoded(&picture(4, 4).into(), ImageFormat::Png);
    let frames = |count: u32| spliced(&still, 33, &chunk(b"acTL", &[count.to_be_bytes(), [0; 4]].concat()));
    assert!(matches!(fault(&frames(2)), ImageFault::Animated));
    assert!(decoded(&frames(1)).is_ok());
    // VP8X with the animation flag, as every animated WebP file begins.
    let webp = b"RIFF\x16\0\0\0WEBPVP8X\x0A\0\0\0\x02\0\0\0\x03\0\0\x03\0\0";
    assert!(matches!(fault(webp), ImageFault::Animated));

    for (bytes, name) in
        [(&b"GIF89a\x01\0\x01\0"[..], "GIF"), (b"II\x2A\0", "TIFF"), (b"\0\0\0\x18ftypheic", "HEIC")]
    {
        let text = decoded(bytes).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("convert"), "{text}");
    }
    assert!(matches!(fault(b"<html>not found</html>"), ImageFault::NotAnImage));
}

/// Files and pixels are made by `golden/make_jpegs.py` with Pillow, whose decoder rounds otherwise than ours.
#[test]
fn printing_colours_of_photographs_become_the_rgb_that_pillow_reads() {
    const ROUNDING: u8 = 3;
    let files: [(&str, &[u8], &[u8]); 4] = [
        ("Adobe CMYK", include_bytes!("golden/cmyk_adobe.jpg"), include_bytes!("golden/cmyk_adobe.rgb")),
        ("Adobe YCCK", include_bytes!("golden/ycck_adobe.jpg"), include_bytes!("golden/ycck_adobe.rgb")),
        ("plain CMYK", include_bytes!("golden/cmyk_plain.jpg"), include_bytes!("golden/cmyk_plain.rgb")),
        ("progressive", include_bytes!("golden/progressive.jpg"), include_bytes!("golden/progressive.rgb")),
    ];
    for (name, bytes, expected) in files {
        let image = photograph(bytes).unwrap();
        assert_eq!(image.dimensions(), (16, 12), "{name}");
        let worst = image.as_raw().iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(ROUNDING), "{name}: {worst:?}");
        if name == "progressive" {
            assert!(decoded(bytes).is_ok());
        } else {
            assert!(matches!(fault(bytes), ImageFault::Cmyk), "{name}");
        }
    }
}

#[test]
fn sixteen_bits_of_photographs_become_eight_by_rounding() {
    // 255 / 65535 is 1 / 257: 128 is the first value that rounds to 1, 65406 the last that rounds to 254.
    let values = [0_u16, 128, 129, 257, 65_406, 65_407, 65_535];
    let expected = [0_u8, 0, 1, 1, 254, 255, 255];
    let deep = image::ImageBuffer::from_fn(7, 1, |x, _| Rgb([values[x as usize]; 3]));
    let read = photograph(&encoded(&deep.into(), ImageFormat::Png)).unwrap();
    assert_eq!(read.pixels().map(|pixel| pixel[0]).collect::<Vec<_>>(), expected);
    // Half transparent over black: 0x8000 of 0xFFFF is 128 of 255.
    let clear = image::ImageBuffer::from_pixel(2, 2, image::Rgba([51_400_u16, 25_700, 0, 0x8000]));
    let read = photograph(&encoded(&clear.into(), ImageFormat::Png)).unwrap();
    assert!(read.pixels().all(|pixel| pixel.0 == [100, 50, 0]), "{read:?}");
    let grey = image::ImageBuffer::from_pixel(2, 2, image::Luma([25_700_u16]));
    let read = photograph(&encoded(&grey.into(), ImageFormat::Png)).unwrap();
    assert!(read.pixels().all(|pixel| pixel.0 == [100; 3]), "{read:?}");
    assert!(photograph(b"P5 1 1 1023\n\x01\x02").is_ok());
}

/// A photograph is one picture: what moves, and what the decoder cannot read, is refused there, too.
#[test]
fn a_photograph_that_moves_or_is_too_large_is_refused() {
    let still = encoded(&picture(4, 4).into(), ImageFormat::Png);
    let moving = spliced(&still, 33, &chunk(b"acTL", &[2_u32.to_be_bytes(), [0; 4]].concat()));
    assert!(matches!(photograph(&moving).unwrap_err().fault, ImageFault::Animated));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.png");
    fs_err::write(&path, &still).unwrap();
    let error = decode_photograph_file(&path, &Limits { pixels: 15, bytes: 1 << 20 }).unwrap_err();
    assert!(matches!(error.fault, ImageFault::TooManyPixels { .. }) && error.path == path);
    assert_eq!(decode_photograph_file(&path, &Limits::default()).unwrap(), picture(4, 4));
}

/// Eighty scans of a file of a few kilobytes that states 64 million pixels would take minutes.
#[test]
fn scans_without_end_over_a_large_image_are_refused_before_they_are_read() {
    let progressive = include_bytes!("golden/progressive.jpg");
    let scan = progressive.windows(2).position(|marker| marker == [0xFF, 0xDA]).unwrap();
    let frame = progressive.windows(2).position(|marker| marker == [0xFF, 0xC2]).unwrap();
    let end = progressive.len() - 2;
    // Each scan is a header without data, which zeros of refinement need not follow.
    let more = progressive[scan..scan + 14].repeat(80);
    let mut bytes = spliced(progressive, end, &more);
    assert!(!matches!(photograph(&bytes), Err(ImageError { fault: ImageFault::TooManyScans { .. }, .. })));
    bytes[frame + 5..frame + 9].copy_from_slice(&[31, 255, 31, 255]);
    let fault = photograph(&bytes).unwrap_err().fault;
    assert!(
        matches!(fault, ImageFault::TooManyScans { width: 8191, height: 8191, scans: 86.. }),
        "{fault:?}"
    );
    assert!(matches!(decoded(&bytes).unwrap_err().fault, ImageFault::TooManyScans { .. }));
}

#[test]
fn an_image_of_one_pixel_and_one_of_fifty_million_are_read() {
    for format in [ImageFormat::Png, ImageFormat::Pnm, ImageFormat::WebP, ImageFormat::Bmp] {
        let one = RgbImage::from_pixel(1, 1, Rgb([9, 8, 7]));
        assert!(photograph(&encoded(&one.clone().into(), format)).unwrap() == one, "{format:?}");
    }
    assert_eq!(photograph(&jpeg(&RgbImage::new(1, 1))).unwrap().dimensions(), (1, 1));
    let grey = image::GrayImage::from_fn(8660, 5774, |x, y| image::Luma([((x / 64 + y / 64) % 256) as u8]));
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 60).encode_image(&grey).unwrap();
    let large = photograph(&bytes).unwrap();
    assert_eq!(large.dimensions(), (8660, 5774));
    for (x, y) in [(32, 32), (8632, 5728), (32, 5728)] {
        let expected = ((x / 64 + y / 64) % 256) as u8;
        assert!(large.get_pixel(x, y)[1].abs_diff(expected) <= 4, "at {x}, {y}: {:?}", large.get_pixel(x, y));
    }
}

#[test]
fn damage_is_an_error_that_keeps_the_decoders_own_words() {
    let mut png = encoded(&picture(20, 20).into(), ImageFormat::Png);
    let middle = png.len() / 2;
    png[middle] ^= 0x55;
    let error = decoded(&png).unwrap_err();
    assert!(matches!(error.fault, ImageFault::Damaged { format: "PNG", .. }), "{error:?}");
    assert!(error.source().is_some() && error.to_string().contains("people/ann.jpg"));
}

#[test]
fn a_missing_file_is_named() {
    let error = decode_file(Path::new("no/such/face.jpg"), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("no/such/face.jpg"));
    assert!(matches!(error.fault, ImageFault::Unreadable(_)) && error.source().is_some());
}

proptest::proptest! {
    /// Random bytes behind each magic number: an error or an image, never a panic or a large allocation.
    #[test]
    fn no_bytes_make_the_decoder_panic(tail in proptest::collection::vec(proptest::num::u8::ANY, 0..200), kind in 0..6_usize) {
        let heads: [&[u8]; 6] =
            [b"\xFF\xD8\xFF\xC0", b"\x89PNG\r\n\x1A\n", b"P5 ", b"RIFF\x20\0\0\0WEBPVP8 ", b"BM\x40\0\0\0\0\0\0\0", b"P3\n"];
        let limits = Limits { pixels: 1 << 16, bytes: 1 << 16 };
        let bytes = [heads[kind], &tail].concat();
        let _ = (decode(&bytes, Path::new("x"), &limits), decode_photograph(&bytes, Path::new("x"), &limits));
    }

    /// One byte changed in a real file of each format.
    #[test]
    fn no_changed_byte_makes_the_decoder_panic(at in 0.0..1.0_f64, value in proptest::num::u8::ANY, kind in 0..7_usize) {
        let image = picture(24, 16);
        let mut bytes = match kind {
            0 => jpeg(&image),
            1 => encoded(&image.into(), ImageFormat::Png),
            2 => encoded(&image.into(), ImageFormat::Pnm),
            3 => encoded(&image.into(), ImageFormat::WebP),
            4 => include_bytes!("golden/cmyk_plain.jpg").to_vec(),
            5 => include_bytes!("golden/ycck_adobe.jpg").to_vec(),
            _ => encoded(&image.into(), ImageFormat::Bmp),
        };
        let position = (at * bytes.len() as f64) as usize;
        bytes[position] = value;
        let limits = Limits { pixels: 1 << 16, bytes: 1 << 16 };
        let _ = (decode(&bytes, Path::new("x"), &limits), decode_photograph(&bytes, Path::new("x"), &limits));
    }
}

/// What the decoder or the walk over the markers says.
fn reason(bytes: &[u8]) -> String {
    fault(bytes).source().expect("damage has a cause").to_string()
}

#[test]
fn a_jpeg_of_more_scans_than_any_script_has_is_refused_before_they_are_decoded() {
    let bytes = jpeg(&picture(16, 16));
    let at = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    let scan = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0];
    let with = |scans: usize| spliced(&bytes, at, &scan.repeat(scans));
    assert_eq!(reason(&with(100)), "more than 100 scans");
    assert_ne!(reason(&with(99)), "more than 100 scans");
}

#[test]
fn a_jpeg_with_a_second_frame_header_that_no_limit_was_checked_on_is_refused() {
    let bytes = jpeg(&picture(16, 16));
    let at = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]])) + 2;
    let mut second = bytes[at..at + length].to_vec();
    second[5..9].copy_from_slice(&[0xFF; 4]);
    assert_eq!(reason(&spliced(&bytes, at + length, &second)), "a second frame header");
}
