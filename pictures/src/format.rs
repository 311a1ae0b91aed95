//! What a picture can come as, and how large it may be.

use std::fmt;

/// More bytes are not read.
pub const MAX_BYTES: usize = 24 * 1024 * 1024;
/// More pixels are not decoded: 40 million are 7,300 x 5,480.
pub const MAX_PIXELS: u64 = 40_000_000;
/// WebP cannot have more on a side.
pub const MAX_SIDE: u32 = 16_383;

/// What a picture can come as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// As most photographs.
    Jpeg,
    /// Without loss.
    Png,
    /// Google's.
    WebP,
    /// Of which the first frame counts.
    Gif,
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
        })
    }
}
