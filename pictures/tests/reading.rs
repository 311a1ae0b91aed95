//! What is read of bytes that somebody sent, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use moxcms::ColorProfile;
use pictures::{Error, Format, MAX_PIXELS, MAX_SIDE, Picture, Source, read};

const WIDTH: u32 = 48;
const HEIGHT: u32 = 32;

/// Red above on the left, green on the right, blue below: which way is up can be told.
fn scene() -> RgbImage {
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| match (x < WIDTH / 2, y < HEIGHT / 2) {
        (true, true) => Rgb([200, 20, 20]),
        (false, true) => Rgb([20, 200, 20]),
        (_, false) => Rgb([20, 20, 200]),
    })
}

fn as_format(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(scene()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn as_jpeg(pixels: &[u8], colors: ColorType, set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    set(&mut encoder);
    encoder.encode(pixels, WIDTH as u16, HEIGHT as u16, colors).unwrap();
    bytes
}

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let n = if picture.has_alpha() { 4 } else { 3 };
    let at = (y * picture.width() + x) as usize * n;
    picture.bytes()[at..at + 3].try_into().unwrap()
}

fn is_near(pixel: [u8; 3], expected: [u8; 3]) -> bool {
    pixel.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 24)
}

#[track_caller]
fn assert_scene(picture: &Picture) {
    assert_eq!((picture.width(), picture.height(), picture.has_alpha()), (WIDTH, HEIGHT, false));
    for (x, y, expected) in [(8, 8, [200, 20, 20]), (40, 8, [20, 200, 20]), (24, 24, [20, 20, 200])] {
        assert!(is_near(pixel(picture, x, y), expected), "{x},{y}: {:?}", pixel(picture, x, y));
    }
}

#[test]
fn each_format_is_known_by_its_bytes() {
    for (format, expected) in [
        (ImageFormat::Jpeg, Format::Jpeg),
        (ImageFormat::Png, Format::Png),
        (ImageFormat::WebP, Format::WebP),
        (ImageFormat::Gif, Format::Gif),
    ] {
        let bytes = as_format(format);
        assert_eq!(Source::look(&bytes).unwrap().format(), expected);
        assert_scene(&read(&bytes).unwrap());
    }
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    assert_eq!(read(b""), Err(Error::Empty));
    for page in ["<!DOCTYPE html><html>", "\n <html>gone</html>", "\u{feff}<?xml version=\"1.0\"?><Error/>", "<svg/>"] {
        assert_eq!(read(page.as_bytes()), Err(Error::Page), "{page}");
    }
    let error = read(br#"{"detail":"not found"}"#).unwrap_err().to_string();
    assert!(error.starts_with("it is no JPEG, PNG, WebP or GIF: it begins with"), "{error}");
    let large = vec![0xff; pictures::MAX_BYTES + 1];
    assert_eq!(read(&large), Err(Error::TooLarge { bytes: large.len() }));
}

#[test]
fn a_picture_that_is_cut_off_is_refused_wherever_the_cut_is() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = as_format(format);
        let whole = read(&bytes).unwrap();
        for share in [0.3, 0.5, 0.9, 0.99] {
            let cut = &bytes[..(bytes.len() as f64 * share) as usize];
            match read(cut) {
                // Only its end marker is missing.
                Ok(picture) => assert!(format != ImageFormat::Jpeg && picture == whole, "{format:?} {share}"),
                Err(error) => {
                    let is_told = matches!(error, Error::Truncated { .. } | Error::Damaged { .. });
                    assert!(is_told, "{format:?} {share}: {error}");
                }
            }
        }
    }
    let jpeg = as_format(ImageFormat::Jpeg);
    let error = read(&jpeg[..jpeg.len() - 2]).unwrap_err();
    assert_eq!(error, Error::Truncated { format: Format::Jpeg, bytes: jpeg.len() - 2 });
    // What follows the end is no part of the picture.
    assert_scene(&read(&[&jpeg[..], b"\0\0\0"].concat()).unwrap());
}

#[test]
fn a_jpeg_with_a_scan_a_colour_has_its_colours() {
    let bytes = as_jpeg(&scene(), ColorType::Rgb, |encoder| {
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.set_optimized_huffman_tables(true);
    });
    assert_scene(&read(&bytes).unwrap());
}

#[test]
fn a_picture_is_upright_whatever_its_exif_says() {
    for orientation in 1..=8_u8 {
        let turned = turned(orientation);
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 95);
        encoder.add_exif_metadata(&exif(orientation)).unwrap();
        encoder.encode(&turned, turned.width() as u16, turned.height() as u16, ColorType::Rgb).unwrap();
        assert_scene(&read(&bytes).unwrap());
    }
}

/// As a camera stores the scene that was held in this way.
fn turned(orientation: u8) -> RgbImage {
    use image::imageops::{flip_horizontal, flip_vertical, rotate90, rotate180, rotate270};
    let scene = scene();
    match orientation {
        2 => flip_horizontal(&scene),
        3 => rotate180(&scene),
        4 => flip_vertical(&scene),
        5 => flip_horizontal(&rotate90(&scene)),
        6 => rotate270(&scene),
        7 => flip_horizontal(&rotate270(&scene)),
        8 => rotate90(&scene),
        _ => scene,
    }
}

/// One entry: the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    tiff
}

#[test]
fn colours_of_a_profile_become_those_of_srgb() {
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    let bytes = as_jpeg(&scene(), ColorType::Rgb, |encoder| encoder.add_icc_profile(&profile).unwrap());
    let (plain, converted) = (read(&as_format(ImageFormat::Png)).unwrap(), read(&bytes).unwrap());
    // The greens of Display P3 are stronger: in sRGB as strong as they can be, and with no red.
    assert!(is_near(pixel(&plain, 40, 8), [20, 200, 20]));
    let [red, green, blue] = pixel(&converted, 40, 8);
    assert!(red < 8 && green > 200 && blue < 30, "{red} {green} {blue}");
    // A profile that says nothing that can be read changes nothing.
    let bytes = as_jpeg(&scene(), ColorType::Rgb, |encoder| encoder.add_icc_profile(b"no profile").unwrap());
    assert_scene(&read(&bytes).unwrap());
}

#[test]
fn inks_of_a_printer_are_refused_and_not_black() {
    let inks = vec![40; (WIDTH * HEIGHT * 4) as usize];
    for colors in [ColorType::Cmyk, ColorType::CmykAsYcck] {
        assert_eq!(read(&as_jpeg(&inks, colors, |_| ())), Err(Error::Cmyk));
    }
}

#[test]
fn grey_pictures_have_three_colours() {
    let grey = vec![90; (WIDTH * HEIGHT) as usize];
    let picture = read(&as_jpeg(&grey, ColorType::Luma, |_| ())).unwrap();
    assert!(is_near(pixel(&picture, 3, 3), [90, 90, 90]));
    let profile = ColorProfile::new_gray_with_gamma(2.2).encode().unwrap();
    let picture = read(&as_jpeg(&grey, ColorType::Luma, |encoder| encoder.add_icc_profile(&profile).unwrap())).unwrap();
    assert!(is_near(pixel(&picture, 3, 3), [90, 90, 90]), "{:?}", pixel(&picture, 3, 3));
}

#[test]
fn a_bomb_is_refused_before_it_is_decoded() {
    // A PNG of few bytes says of itself what it likes.
    let png = |width: u32, height: u32| {
        let mut bytes = as_format(ImageFormat::Png);
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let sum = crc32fast::hash(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&sum.to_be_bytes());
        bytes
    };
    for (width, height) in
        [(MAX_SIDE, MAX_SIDE), (MAX_SIDE + 1, 1), (1, 60_000), (8_000, (MAX_PIXELS / 8_000) as u32 + 1)]
    {
        assert_eq!(Source::look(&png(width, height)), Err(Error::TooManyPixels { width, height }));
    }
    assert_eq!(Source::look(&png(4000, 3000)).unwrap().memory(), 4000 * 3000 * 16);
    // What it does not keep, is told when it is decoded.
    let error = read(&png(4000, 3000)).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. } | Error::Damaged { .. }), "{error}");
}

#[test]
fn alpha_stays_where_something_can_be_seen_through() {
    let png = |alpha: u8| {
        let pixels = RgbaImage::from_fn(WIDTH, HEIGHT, |x, _| Rgba([200, 20, 20, if x < 10 { alpha } else { 255 }]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(pixels).write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    assert!(read(&png(0)).unwrap().has_alpha());
    assert!(!read(&png(255)).unwrap().has_alpha());
}
