//! Bytes that are said to be a picture.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use crate::{
    colour::to_srgb,
    error::Error,
    format::{Format, MAX_BYTES, MAX_PIXELS, MAX_SIDE},
    jpeg,
    picture::Picture,
};

/// What a pixel takes at most while a picture is decoded, resized and written, in bytes. A JPEG was seen to take 10.
const MEMORY_A_PIXEL: usize = 16;

/// By the first bytes, whatever the name or the header of an answer says.
fn format_of(bytes: &[u8]) -> Result<Format, Error> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => Ok(Format::Jpeg),
        Ok(ImageFormat::Png) => Ok(Format::Png),
        Ok(ImageFormat::WebP) => Ok(Format::WebP),
        Ok(ImageFormat::Gif) => Ok(Format::Gif),
        _ if bytes.is_empty() => Err(Error::Empty),
        _ if is_page(bytes) => Err(Error::Page),
        _ => Err(Error::Unknown { begins: String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned() }),
    }
}

fn as_image_has_it(format: Format) -> ImageFormat {
    match format {
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Png => ImageFormat::Png,
        Format::WebP => ImageFormat::WebP,
        Format::Gif => ImageFormat::Gif,
    }
}

/// A picture of which only the headers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    bytes: &'a [u8],
    format: Format,
    width: u32,
    height: u32,
    has_scan_a_colour: bool,
}

impl<'a> Source<'a> {
    /// What these bytes are. Nothing is decoded yet, so that what is too large costs nothing.
    ///
    /// # Errors
    /// Why they are no picture, or none that is decoded.
    pub fn look(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::TooLarge { bytes: bytes.len() });
        }
        let format = format_of(bytes)?;
        let mut has_scan_a_colour = false;
        if format == Format::Jpeg {
            let markers = jpeg::markers(bytes);
            if !markers.is_whole {
                return Err(Error::Truncated { format, bytes: bytes.len() });
            }
            if markers.n_components == 4 {
                return Err(Error::Cmyk);
            }
            has_scan_a_colour = markers.has_scan_a_colour;
        }
        let (width, height) = decoder(bytes, format)?.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::NoPixels { width, height });
        }
        if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
            return Err(Error::TooManyPixels { width, height });
        }
        Ok(Self { bytes, format, width, height, has_scan_a_colour })
    }

    /// What it is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What decoding it and making its [`variants`](Picture::variants) takes at most, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        memory_of(self.width, self.height)
    }

    /// The picture: upright, in sRGB, nothing of its metadata.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Damaged`].
    pub fn decode(&self) -> Result<Picture, Error> {
        let Self { bytes, format, .. } = *self;
        let failed = |error: ImageError| failed(&error, format, bytes);
        let mut decoder = decoder(bytes, format)?;
        let orientation = decoder.orientation().map_err(failed)?;
        // Profiles are not worth a failure.
        let profile = decoder.icc_profile().ok().flatten();
        let pixels = if self.has_scan_a_colour {
            jpeg::decode(bytes).map_err(|reason| Error::Damaged { format, reason })?
        } else {
            DynamicImage::from_decoder(decoder).map_err(failed)?
        };
        let mut pixels = to_srgb(pixels, profile.as_deref());
        pixels.apply_orientation(orientation);
        Ok(Picture::new(pixels))
    }
}

/// [`Source::look`] and [`Source::decode`] in one.
///
/// # Errors
/// Those of both.
pub fn read(bytes: &[u8]) -> Result<Picture, Error> {
    Source::look(bytes)?.decode()
}

/// What making the variants of a picture of so many pixels takes at most, in bytes.
#[must_use]
pub fn memory_of(width: u32, height: u32) -> usize {
    (width as usize).saturating_mul(height as usize).saturating_mul(MEMORY_A_PIXEL)
}

fn decoder(bytes: &[u8], format: Format) -> Result<impl ImageDecoder + '_, Error> {
    let mut limits = Limits::default();
    // What decoders take beside the pixels too: of profiles that unfold, of frames.
    limits.max_alloc = Some(MAX_PIXELS * MEMORY_A_PIXEL as u64);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), as_image_has_it(format));
    reader.limits(limits);
    reader.into_decoder().map_err(|error| failed(&error, format, bytes))
}

fn failed(error: &ImageError, format: Format, bytes: &[u8]) -> Error {
    let reason = error.to_string();
    let at_end = matches!(error, ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof);
    let at_end =
        at_end || reason.contains("unexpected end") || reason.contains("UnexpectedEof") || reason.contains("EOF");
    if at_end { Error::Truncated { format, bytes: bytes.len() } } else { Error::Damaged { format, reason } }
}

/// What servers send in the place of a picture that is gone.
fn is_page(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    text.trim_ascii_start().starts_with(b"<")
}
