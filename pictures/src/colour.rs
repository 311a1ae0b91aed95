//! From the colours of a profile to sRGB.

use std::sync::Arc;

use image::{DynamicImage, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};

/// The same picture in sRGB, 8 bits a colour, with or without alpha. A profile that cannot be read, or is of other colours than
/// the picture, is passed over, as browsers do.
pub(crate) fn to_srgb(picture: DynamicImage, profile: Option<&[u8]>) -> DynamicImage {
    let has_alpha = picture.color().has_alpha();
    let profile = profile.and_then(|bytes| ColorProfile::new_from_slice(bytes).ok());
    let converted = match profile.map(|profile| (profile.color_space, profile)) {
        Some((DataColorSpace::Rgb, profile)) if picture.color().has_color() => from_rgb(picture, has_alpha, &profile),
        Some((DataColorSpace::Gray, profile)) if !picture.color().has_color() => {
            from_grey(picture, has_alpha, &profile)
        }
        _ => picture,
    };
    if has_alpha { converted.into_rgba8().into() } else { converted.into_rgb8().into() }
}

/// Row by row and in place, so that no second picture is needed.
fn from_rgb(picture: DynamicImage, has_alpha: bool, profile: &ColorProfile) -> DynamicImage {
    let layout = if has_alpha { Layout::Rgba } else { Layout::Rgb };
    let Some(transform) = transform(profile, layout, layout) else { return picture };
    let row = picture.width() as usize * layout.channels();
    let mut before = vec![0; row];
    let mut convert = |pixels: &mut [u8]| {
        for pixels in pixels.chunks_exact_mut(row) {
            before.copy_from_slice(pixels);
            // Fails only where lengths do not fit, which these do.
            let _ = transform.transform(&before, pixels);
        }
    };
    if has_alpha {
        let mut picture = picture.into_rgba8();
        convert(&mut picture);
        picture.into()
    } else {
        let mut picture = picture.into_rgb8();
        convert(&mut picture);
        picture.into()
    }
}

fn from_grey(picture: DynamicImage, has_alpha: bool, profile: &ColorProfile) -> DynamicImage {
    let (from, to) = if has_alpha { (Layout::GrayAlpha, Layout::Rgba) } else { (Layout::Gray, Layout::Rgb) };
    let Some(transform) = transform(profile, from, to) else { return picture };
    let (width, height) = (picture.width(), picture.height());
    if has_alpha {
        let mut converted = RgbaImage::new(width, height);
        let _ = transform.transform(&picture.into_luma_alpha8(), &mut converted);
        converted.into()
    } else {
        let mut converted = RgbImage::new(width, height);
        let _ = transform.transform(&picture.into_luma8(), &mut converted);
        converted.into()
    }
}

fn transform(profile: &ColorProfile, from: Layout, to: Layout) -> Option<Arc<Transform8BitExecutor>> {
    profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default()).ok()
}
