//! Why an image was refused.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error as ThisError;

/// An image that cannot be used: which one, and why.
///
/// The message holds both; [`source`](Error::source) leads on to the decoder's or the system's own error.
#[derive(Debug)]
pub struct ImageError {
    /// The file, or the name that the caller gave to bytes of other origin.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: ImageFault,
}

impl fmt::Display for ImageError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot use image {}: {}", self.path.display(), self.fault)
    }
}

impl Error for ImageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.fault.source()
    }
}

/// What is wrong with an image.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum ImageFault {
    /// The file cannot be opened or read.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file is larger than [`Limits::bytes`](crate::Limits::bytes).
    #[error("{bytes} bytes, over the limit of {limit} bytes for one file; store the photograph smaller")]
    TooManyBytes {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The header states more pixels than [`Limits::pixels`](crate::Limits::pixels).
    #[error(
        "{width} x {height} pixels, over the limit of {limit} pixels for one image; scale the photograph down"
    )]
    TooManyPixels {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// The limit on width times height.
        limit: u64,
    },
    /// Width or height is zero.
    #[error("the image is empty: {width} x {height} pixels")]
    Empty {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
    },
    /// The content is no image that we know, whatever the file is called.
    #[error("the content is not JPEG, PNG, PGM/PPM, WebP or BMP")]
    NotAnImage,
    /// A known format that is not read.
    #[error("{0} is not read; convert the image to JPEG or PNG")]
    UnreadFormat(&'static str),
    /// More than 8 bits a channel.
    #[error("{bits} bits a channel, where 8 are needed; convert the image to 8 bits a channel")]
    Deep {
        /// Bits a channel.
        bits: u8,
    },
    /// Four printing colours.
    #[error("the colours are CMYK, where RGB or grey is needed; convert the image to RGB")]
    Cmyk,
    /// A JPEG file whose scans together would pass over more pixels than any photograph's.
    #[error(
        "{scans} scans over {width} x {height} pixels, more work than a photograph is; save it anew as JPEG"
    )]
    TooManyScans {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// Scans in the file.
        scans: u32,
    },
    /// More than one frame.
    #[error("the image is animated; save the one frame to use as JPEG or PNG")]
    Animated,
    /// The file ends before the image does.
    #[error("the file is truncated: {0}; fetch it again")]
    Truncated(&'static str),
    /// The content breaks the rules of its format.
    #[error("the {format} data are damaged")]
    Damaged {
        /// The format, found from the content.
        format: &'static str,
        /// What the decoder says.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}
