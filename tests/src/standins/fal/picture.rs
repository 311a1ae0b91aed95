//! The pictures that the stand-in of fal makes: one that could be of a product, and those that a CDN should not give.

use std::io::Cursor;

use anyhow::Context;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, imageops::FilterType};
use jpeg_encoder::{ColorType, Encoder};
use sha2::{Digest, Sha256};

const QUALITY: u8 = 92;
/// It is drawn so large at most, and enlarged: a test waits for it.
const DRAWN: u32 = 480;
const TOO_MANY_BYTES: usize = 25 << 20;
const PAGE: &str = "<!doctype html><html><body>the file has expired</body></html>";

/// A file of the CDN, with its type; `None` when it is gone.
///
/// What it is follows from the word behind `picture:` in the prompt: `truncated`, `empty`, `html`, `bomb` (few bytes that say of
/// themselves to be enormous), `turned` (upright only by its EXIF data), `png16` (16 bits a colour), `cmyk`, `webp`, `heavy` (25 MiB),
/// `small` (half as large as asked for), `gone`. Without it is as it was asked for.
pub(super) fn file(
    prompt: &str,
    seed: u64,
    (width, height): (u32, u32),
    ending: &str,
) -> anyhow::Result<Option<(Vec<u8>, &'static str)>> {
    let scene = |width, height| draw(prompt, seed, width, height);
    let word = prompt.split_once("picture:").map_or("", |(_, rest)| rest);
    let word = word.split(|character: char| !character.is_ascii_alphanumeric()).next().unwrap_or_default();
    Ok(Some(match word {
        "truncated" => {
            let mut bytes = jpeg(&scene(width, height), None)?;
            bytes.truncate(bytes.len() / 2);
            (bytes, "image/jpeg")
        }
        "empty" => (Vec::new(), "image/jpeg"),
        "html" => (PAGE.into(), "text/html"),
        "bomb" => (bomb()?, "image/png"),
        "turned" => {
            // As a camera stores what was held in this way: it has to be turned by a quarter to the right.
            let turned = DynamicImage::from(scene(width, height)).rotate270().into_rgb8();
            (jpeg(&turned, Some(6))?, "image/jpeg")
        }
        "png16" => {
            let deep = DynamicImage::from(scene(width, height)).into_rgb16();
            (written(&deep.into(), ImageFormat::Png)?, "image/png")
        }
        "cmyk" => (cmyk(&scene(width, height))?, "image/jpeg"),
        "webp" => (written(&scene(width, height).into(), ImageFormat::WebP)?, "image/webp"),
        "heavy" => {
            let mut bytes = jpeg(&scene(64, 64), None)?;
            bytes.resize(TOO_MANY_BYTES, 0);
            (bytes, "image/jpeg")
        }
        "small" => (jpeg(&scene(width.div_ceil(2), height.div_ceil(2)), None)?, "image/jpeg"),
        "gone" => return Ok(None),
        _ if ending == "png" => (written(&scene(width, height).into(), ImageFormat::Png)?, "image/png"),
        _ => (jpeg(&scene(width, height), None)?, "image/jpeg"),
    }))
}

fn written(picture: &DynamicImage, format: ImageFormat) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

fn jpeg(picture: &RgbImage, orientation: Option<u8>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, QUALITY);
    if let Some(orientation) = orientation {
        // One entry: the orientation.
        let mut tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        encoder.add_exif_metadata(&tiff)?;
    }
    let (width, height) = sides(picture)?;
    encoder.encode(picture, width, height, ColorType::Rgb)?;
    Ok(bytes)
}

fn cmyk(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let inks: Vec<u8> = picture.pixels().flat_map(|Rgb([r, g, b])| [255 - r, 255 - g, 255 - b, 0]).collect();
    let (mut bytes, (width, height)) = (Vec::new(), sides(picture)?);
    Encoder::new(&mut bytes, QUALITY).encode(&inks, width, height, ColorType::Cmyk)?;
    Ok(bytes)
}

fn sides(picture: &RgbImage) -> anyhow::Result<(u16, u16)> {
    let side = |side: u32| u16::try_from(side).context("a JPEG is not so large");
    Ok((side(picture.width())?, side(picture.height())?))
}

/// A PNG says of itself what it likes.
fn bomb() -> anyhow::Result<Vec<u8>> {
    let mut bytes = written(&RgbImage::new(8, 8).into(), ImageFormat::Png)?;
    for at in [16, 20] {
        bytes[at..at + 4].copy_from_slice(&16_383_u32.to_be_bytes());
    }
    let sum = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    Ok(bytes)
}

/// A glazed vase in a studio, in colours and a form that follow from prompt and seed.
fn draw(prompt: &str, seed: u64, width: u32, height: u32) -> RgbImage {
    let scene = Scene::of(prompt, seed);
    let scale = f64::from(DRAWN) / f64::from(width.max(height));
    let small = |side: u32| if scale < 1.0 { ((f64::from(side) * scale).round() as u32).max(1) } else { side };
    let drawn = RgbImage::from_fn(small(width), small(height), {
        let (w, h) = (small(width) as f32, small(height) as f32);
        let half = w.min(h) / 2.0;
        move |x, y| scene.pixel((x as f32 + 0.5 - w / 2.0) / half, (y as f32 + 0.5 - h / 2.0) / half, 1.5 / half)
    });
    let mut picture = DynamicImage::from(drawn).resize_exact(width, height, FilterType::CatmullRom).into_rgb8();
    // The grain of a sensor: without, everything compresses as no photo does.
    let mut noise = seed as u32 | 1;
    for colour in picture.iter_mut() {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        *colour = colour.saturating_add((noise & 3) as u8).saturating_sub(2);
    }
    picture
}

type Colour = [f32; 3];

struct Scene {
    glaze: Colour,
    band: Colour,
    wall: Colour,
    table: Colour,
    /// Where the light comes from: 1 is the right.
    side: f32,
    /// Of the neck and of the belly, and where that is.
    neck: f32,
    belly: f32,
    low: f32,
}

const TOP: f32 = -0.62;
const BASE: f32 = 0.62;
const HORIZON: f32 = 0.34;

impl Scene {
    fn of(prompt: &str, seed: u64) -> Self {
        let hash = Sha256::digest(format!("{prompt}\n{seed}"));
        let part = |n: usize| f32::from(hash[n]) / 255.0;
        let hue = part(0);
        Self {
            glaze: colour(hue, 0.55 + 0.35 * part(1), 0.75 + 0.2 * part(2)),
            band: colour(hue + 0.12 + 0.1 * part(3), 0.75, 0.9),
            wall: colour(hue + 0.5, 0.12 + 0.2 * part(4), 0.82),
            table: colour(hue + 0.45, 0.10, 0.93),
            side: if part(5) < 0.5 { -1.0 } else { 1.0 },
            neck: 0.12 + 0.10 * part(6),
            belly: 0.34 + 0.16 * part(7),
            low: 0.8 + 0.7 * part(8),
        }
    }

    /// How wide the vase is, from its top (0) to its base (1).
    fn radius(&self, k: f32) -> f32 {
        let k = k.clamp(0.0, 1.0);
        let lip = 0.05 * (1.0 - (k / 0.12).min(1.0)).powi(2);
        self.neck
            + lip
            + (self.belly - self.neck) * (std::f32::consts::PI * k.powf(self.low)).sin().max(0.0)
            + 0.08 * k * k
    }

    /// The colour at a place, of which 1 is the distance from the middle to the nearer edge; a pixel is `size` wide.
    fn pixel(&self, u: f32, v: f32, size: f32) -> Rgb<u8> {
        let mut seen = self.ground(u, v);
        let k = (v - TOP) / (BASE - TOP);
        if (-0.1..=1.05).contains(&k) {
            let radius = self.radius(k);
            let t = u / radius;
            // The base is round, too.
            let below = BASE - 0.05 + 0.05 * (1.0 - t * t).max(0.0).sqrt();
            let inside = step(0.0, size, radius - u.abs()) * step(0.0, size, v - TOP) * step(0.0, size, below - v);
            if inside > 0.0 {
                seen = mix(seen, self.glazed(t.clamp(-1.0, 1.0), k), inside);
            }
            let (across, down) = (u / self.radius(0.0), (v - TOP) / 0.045);
            let within = across.hypot(down);
            let lip = step(0.0, size * 12.0, 1.0 - within);
            seen = mix(seen, scaled(self.glaze, 1.1), lip);
            let hollow = step(0.0, size * 12.0, 0.86 - within);
            seen = mix(seen, scaled(self.glaze, 0.22 + 0.12 * (down + 1.0)), hollow);
        }
        let vignette = 1.0 - 0.14 * (u * u + v * v).min(2.0);
        Rgb(seen.map(|value| (255.0 * (value * vignette).clamp(0.0, 1.0)) as u8))
    }

    fn ground(&self, u: f32, v: f32) -> Colour {
        let glow = (-((u - 0.5 * self.side).powi(2) + (v + 0.5).powi(2))).exp();
        let wall = scaled(self.wall, 0.72 + 0.4 * glow);
        let table = scaled(self.table, 0.82 + 0.18 * (v - HORIZON));
        let ground = mix(wall, table, step(HORIZON - 0.16, HORIZON + 0.16, v));
        // One shadow where it stands, and a long one away from the light.
        let dark =
            |middle: f32, wide: f32, high: f32| (-(((u - middle) / wide).powi(2) + ((v - BASE) / high).powi(2))).exp();
        let shadow = 0.55 * dark(0.0, 0.34, 0.05) + 0.3 * dark(-0.35 * self.side, 0.6, 0.12);
        scaled(ground, 1.0 - shadow.min(0.8))
    }

    /// The colour of the vase, `t` from its left edge (-1) to its right one.
    fn glazed(&self, t: f32, k: f32) -> Colour {
        let slope = (self.radius(k + 0.02) - self.radius(k - 0.02)) / (0.04 * (BASE - TOP));
        let facing = (1.0 - t * t).max(0.0).sqrt();
        let normal = unit([t, -slope, facing]);
        let light = unit([0.55 * self.side, -0.55, 0.63]);
        let lit = dot(normal, light);
        let painted = if (0.44..0.5).contains(&k) || (0.52..0.535).contains(&k) { self.band } else { self.glaze };
        // What is turned away from us mirrors the wall.
        let shaded = mix(scaled(painted, 0.24 + 0.86 * lit.max(0.0)), self.wall, 0.35 * (1.0 - facing).powi(3));
        let mirrored = (2.0 * lit * normal[2] - light[2]).max(0.0);
        shaded.map(|value| value + 0.7 * mirrored.powi(48) + 0.12 * mirrored.powi(6))
    }
}

fn colour(hue: f32, saturation: f32, value: f32) -> Colour {
    [5.0, 3.0, 1.0].map(|n: f32| {
        let k = (n + hue * 6.0).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|n| from[n] + (to[n] - from[n]) * share)
}

fn scaled(colour: Colour, by: f32) -> Colour {
    colour.map(|value| value * by)
}

fn step(from: f32, to: f32, at: f32) -> f32 {
    let share = ((at - from) / (to - from)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

fn dot(a: Colour, b: Colour) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn unit(of: Colour) -> Colour {
    scaled(of, 1.0 / dot(of, of).sqrt())
}
