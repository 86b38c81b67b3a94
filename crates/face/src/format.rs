//! Which format a file has, from its first bytes. Names of files are not looked at.

use crate::ImageFault;

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
    /// PBM, PGM, PPM (plain or raw) and PAM.
    Pnm,
    WebP,
    Bmp,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Pnm => "PNM",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
        }
    }

    /// The format of a file that begins with `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, ImageFault> {
        match bytes {
            [0xFF, 0xD8, ..] => Ok(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Ok(Self::Png),
            [b'P', b'1'..=b'7', b'\t' | b'\n' | b'\r' | b' ' | b'#', ..] => Ok(Self::Pnm),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(Self::WebP),
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Ok(Self::Bmp),
            [b'G', b'I', b'F', b'8', ..] => Err(ImageFault::UnreadFormat("GIF, a format for animations,")),
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Err(ImageFault::UnreadFormat("TIFF")),
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4) {
                Some(b"avif" | b"avis") => Err(ImageFault::UnreadFormat("AVIF")),
                Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1") => {
                    Err(ImageFault::UnreadFormat("HEIC"))
                }
                _ => Err(ImageFault::NotAnImage),
            },
            [] => Err(ImageFault::Truncated("it is empty")),
            _ => Err(ImageFault::NotAnImage),
        }
    }
}
