//! A decoded picture.

use std::fmt;

use image::{DynamicImage, RgbImage};

/// A picture in memory: upright, in sRGB, 8 bits a colour.
#[derive(Clone, PartialEq)]
pub struct Picture {
    // Rgb8, or Rgba8 where something can be seen through.
    pub(crate) pixels: DynamicImage,
}

impl fmt::Debug for Picture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Picture({} x {}, alpha: {})", self.width(), self.height(), self.has_alpha())
    }
}

impl Picture {
    /// Alpha that hides nothing is dropped: it would cost a third more in each step that follows.
    pub(crate) fn new(pixels: DynamicImage) -> Self {
        let pixels = match pixels {
            DynamicImage::ImageRgba8(pixels) if pixels.pixels().all(|pixel| pixel.0[3] == u8::MAX) => {
                DynamicImage::from(pixels).into_rgb8().into()
            }
            pixels => pixels,
        };
        Self { pixels }
    }

    /// Of pixels with red, green and blue, row by row; `None` when there are not as many as that.
    #[must_use]
    pub fn from_rgb(width: u32, height: u32, pixels: Vec<u8>) -> Option<Self> {
        RgbImage::from_raw(width, height, pixels).map(|pixels| Self { pixels: pixels.into() })
    }

    /// In pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// In pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// Whether something can be seen through it.
    #[must_use]
    pub fn has_alpha(&self) -> bool {
        self.pixels.color().has_alpha()
    }

    /// Red, green and blue, and alpha if it has any, row by row.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_bytes()
    }
}
