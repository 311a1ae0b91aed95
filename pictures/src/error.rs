//! What can be wrong with a picture.

use crate::format::Format;

/// Why bytes are no picture that could be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing.
    #[error("the picture is empty: 0 bytes")]
    Empty,
    /// More bytes than are read.
    #[error("the picture has {bytes} bytes, more than {}", crate::format::MAX_BYTES)]
    TooLarge {
        /// So many.
        bytes: usize,
    },
    /// A page, where a picture should be.
    #[error("it is a page of HTML or XML, not a picture")]
    Page,
    /// Its first bytes are of none of the formats.
    #[error("it is no JPEG, PNG, WebP or GIF: it begins with {begins:?}")]
    Unknown {
        /// As far as they can be shown.
        begins: String,
    },
    /// Wider, higher or with more pixels than is decoded.
    #[error(
        "the picture has {width} x {height} pixels: more than {} on a side or {} in all",
        crate::format::MAX_SIDE,
        crate::format::MAX_PIXELS
    )]
    TooManyPixels {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// It has no pixels.
    #[error("the picture has {width} x {height} pixels")]
    NoPixels {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// It ends in the middle.
    #[error("the {format} is cut off: its end is missing after {bytes} bytes")]
    Truncated {
        /// What it began as.
        format: Format,
        /// So many came.
        bytes: usize,
    },
    /// It has the four inks of a printer, which cannot be shown without knowing the paper.
    #[error("the JPEG is in CMYK, the colours of a printer; save it in RGB")]
    Cmyk,
    /// It cannot be decoded.
    #[error("the {format} is damaged: {reason}")]
    Damaged {
        /// What it began as.
        format: Format,
        /// As the decoder says it.
        reason: String,
    },
    /// An encoder refused it.
    #[error("the picture cannot be written as {format}: {reason}")]
    Unwritable {
        /// What it should have become.
        format: Format,
        /// As the encoder says it.
        reason: String,
    },
}
