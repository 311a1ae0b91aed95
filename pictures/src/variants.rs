//! The sizes that shops need, each in two formats.

use std::fmt;

use bytes::Bytes;
use fast_image_resize::{
    FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::{U8x3, U8x4},
};
use image::DynamicImage;
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr};

use crate::{error::Error, format::Format, picture::Picture};

/// Of a JPEG.
const JPEG_QUALITY: u8 = 82;
/// Of a WebP.
const WEBP_QUALITY: f32 = 80.0;

/// How large, by the longest side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Size {
    /// As it came.
    Master,
    /// 1,200 pixels.
    Large,
    /// 600 pixels.
    Medium,
    /// 150 pixels.
    Small,
}

impl Size {
    /// The largest first.
    pub const ALL: [Self; 4] = [Self::Master, Self::Large, Self::Medium, Self::Small];

    /// As it stands in addresses and results.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Large => "1200",
            Self::Medium => "600",
            Self::Small => "150",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.as_str() == name)
    }

    fn longest_side(self) -> u32 {
        match self {
            Self::Master => u32::MAX,
            Self::Large => 1200,
            Self::Medium => 600,
            Self::Small => 150,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One size of a picture, in both formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// What can be seen through is white in it.
    pub jpg: Bytes,
    /// With alpha, if the picture has any.
    pub webp: Bytes,
}

/// All sizes of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variants([Encoded; 4]);

impl Variants {
    /// One of them.
    #[must_use]
    pub fn get(&self, size: Size) -> &Encoded {
        &self.0[size as usize]
    }

    /// The largest first.
    pub fn iter(&self) -> impl Iterator<Item = (Size, &Encoded)> {
        Size::ALL.into_iter().zip(&self.0)
    }
}

impl Picture {
    /// All sizes. None is larger than the picture itself: where it is smaller than a size, the bytes are those of the size above.
    ///
    /// # Errors
    /// [`Error::Unwritable`], which only a picture can be that is larger than [`read`](crate::read) lets through.
    pub fn variants(self) -> Result<Variants, Error> {
        let (width, height) = (self.width(), self.height());
        let mut pixels = self.pixels;
        let master = encode(&pixels)?;
        let mut next = |above: &Encoded, size: Size| {
            let Some((width, height)) = smaller(width, height, size.longest_side()) else {
                return Ok(above.clone());
            };
            // Each is made of the one before, which is no longer needed then.
            pixels = resized(&pixels, width, height)?;
            encode(&pixels)
        };
        let large = next(&master, Size::Large)?;
        let medium = next(&large, Size::Medium)?;
        let small = next(&medium, Size::Small)?;
        Ok(Variants([master, large, medium, small]))
    }
}

/// The sides of the same picture whose longest side is `longest`; `None` when it is no longer than that.
fn smaller(width: u32, height: u32, longest: u32) -> Option<(u32, u32)> {
    let now = width.max(height);
    let scaled = |side: u32| {
        let (side, longest, now) = (u64::from(side), u64::from(longest), u64::from(now));
        // Rounded; a line of a picture stays a line.
        u32::try_from((side * longest + now / 2) / now).unwrap_or(longest as u32).max(1)
    };
    (now > longest).then(|| (scaled(width), scaled(height)))
}

fn resized(pixels: &DynamicImage, width: u32, height: u32) -> Result<DynamicImage, Error> {
    let (from, mut smaller) = (pixels, DynamicImage::new(width, height, pixels.color()));
    let resized = match &mut smaller {
        DynamicImage::ImageRgba8(to) => resize::<U8x4>(from, to, width, height),
        DynamicImage::ImageRgb8(to) => resize::<U8x3>(from, to, width, height),
        _ => Err("it has other pixels than a picture has".to_owned()),
    };
    resized.map_err(|reason| unwritable(Format::Jpeg, reason))?;
    Ok(smaller)
}

fn resize<P: PixelTrait>(from: &DynamicImage, to: &mut [u8], width: u32, height: u32) -> Result<(), String> {
    let wrong = |error: &dyn fmt::Display| error.to_string();
    let how = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    let from = TypedImageRef::<P>::from_buffer(from.width(), from.height(), from.as_bytes()).map_err(|e| wrong(&e))?;
    let mut to = TypedImage::<P>::from_buffer(width, height, to).map_err(|e| wrong(&e))?;
    Resizer::new().resize_typed(&from, &mut to, &how).map_err(|e| wrong(&e))
}

fn encode(pixels: &DynamicImage) -> Result<Encoded, Error> {
    Ok(Encoded { width: pixels.width(), height: pixels.height(), jpg: jpg(pixels)?, webp: webp(pixels)? })
}

fn jpg(pixels: &DynamicImage) -> Result<Bytes, Error> {
    let side = |side| u16::try_from(side).map_err(|_| unwritable(Format::Jpeg, format!("{side} pixels on a side")));
    let (width, height) = (side(pixels.width())?, side(pixels.height())?);
    let mut jpg = Vec::new();
    // One scan with the standard tables. Tables made for the picture would save 3 %, but come with a scan a colour, which some decoders
    // misread (see `jpeg.rs`); progressive ones are larger where a picture has the noise of a sensor.
    let mut encoder = Encoder::new(&mut jpg, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
    let encoded = if pixels.color().has_alpha() {
        encoder.encode_image(OnWhite { rgba: pixels.as_bytes(), width, height })
    } else {
        encoder.encode(pixels.as_bytes(), width, height, jpeg_encoder::ColorType::Rgb)
    };
    encoded.map_err(|error| unwritable(Format::Jpeg, error))?;
    Ok(jpg.into())
}

fn webp(pixels: &DynamicImage) -> Result<Bytes, Error> {
    let (bytes, width, height) = (pixels.as_bytes(), pixels.width(), pixels.height());
    let encoder = if pixels.color().has_alpha() {
        webp::Encoder::from_rgba(bytes, width, height)
    } else {
        webp::Encoder::from_rgb(bytes, width, height)
    };
    let encoded = encoder.encode_simple(false, WEBP_QUALITY);
    let encoded = encoded.map_err(|error| unwritable(Format::WebP, format!("{error:?}")))?;
    Ok(Bytes::copy_from_slice(&encoded))
}

fn unwritable(format: Format, reason: impl fmt::Display) -> Error {
    Error::Unwritable { format, reason: reason.to_string() }
}

/// What can be seen through, on white, row by row as it is encoded: no second picture is needed.
struct OnWhite<'a> {
    rgba: &'a [u8],
    width: u16,
    height: u16,
}

impl ImageBuffer for OnWhite<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let row = usize::from(self.width) * 4;
        for pixel in self.rgba.chunks_exact(row).nth(usize::from(y)).unwrap_or_default().chunks_exact(4) {
            let alpha = u32::from(pixel[3]);
            let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(|colour| {
                // At most 255 * 255 / 255.
                ((u32::from(colour) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
            });
            let (y, cb, cr) = rgb_to_ycbcr(red, green, blue);
            buffers[0].push(y);
            buffers[1].push(cb);
            buffers[2].push(cr);
        }
    }
}
