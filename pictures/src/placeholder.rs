//! Draws a picture that has only a product's name. The same name and look give the same bytes.

use std::{collections::HashSet, sync::Arc};

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use cosmic_text::{
    Align, Attrs, Buffer, Ellipsize, EllipsizeHeightLimit, Family, FontSystem, LayoutGlyph, Metrics, Shaping, Weight,
    Wrap,
    fontdb::{Database, Source},
};
use sha2::{Digest, Sha256};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

use crate::picture::Picture;

/// What the bundled font can write. What it lacks is left out.
pub const SCRIPTS: &str = "Latin, Greek, Cyrillic, Arabic, Hebrew";

/// Noto Sans, under the SIL Open Font License; see `fonts/OFL.txt`.
static FONTS: [&[u8]; 3] = [
    include_bytes!("../fonts/NotoSans-Medium.ttf"),
    include_bytes!("../fonts/NotoSansArabic-Medium.ttf"),
    include_bytes!("../fonts/NotoSansHebrew-Medium.ttf"),
];
const FAMILY: &str = "Noto Sans";
const WEIGHT: Weight = Weight::MEDIUM;

/// Grounds, and the colours of frame and name on each: all pairs have a contrast of at least 7 to 1.
const COLOURS: [([u8; 3], [u8; 3]); 8] = [
    ([0xe8, 0xee, 0xf7], [0x1f, 0x3a, 0x5f]),
    ([0xe6, 0xf2, 0xea], [0x1d, 0x47, 0x33]),
    ([0xf6, 0xee, 0xe3], [0x5a, 0x37, 0x12]),
    ([0xf3, 0xe9, 0xf3], [0x4f, 0x26, 0x54]),
    ([0xf8, 0xea, 0xea], [0x64, 0x1f, 0x26]),
    ([0xe5, 0xf2, 0xf3], [0x10, 0x44, 0x4c]),
    ([0xf4, 0xf2, 0xe2], [0x47, 0x40, 0x0f]),
    ([0xee, 0xee, 0xf0], [0x2f, 0x33, 0x3b]),
];

/// Lines that a name may take; what is left over ends in an ellipsis.
const LINES: usize = 4;
/// By the shorter side: the largest letters are a ninth of it, the smallest a twentieth.
const LARGEST: f32 = 1.0 / 9.0;
const SMALLEST: f32 = 1.0 / 20.0;
const STEPS: u8 = 6;
const LINE_HEIGHT: f32 = 1.35;
/// Of the picture's width, for the name.
const WIDTH: f32 = 0.76;

/// A picture with `name` on it, as large as that. `look` chooses among the colours, together with the name.
#[must_use]
pub fn placeholder(name: &str, look: &str, width: u32, height: u32) -> Picture {
    let (width, height) = (width.max(1), height.max(1));
    let hash = Sha256::digest(format!("{name}\n{look}"));
    let (ground, ink) = COLOURS[usize::from(hash[0]) % COLOURS.len()];
    let mut canvas = Canvas { width, height, pixels: ground.repeat(width as usize * height as usize) };
    canvas.frame(ground, ink);
    canvas.write(name, ink);
    Picture::from_rgb(width, height, canvas.pixels).unwrap_or_else(|| unreachable!("a canvas has all its pixels"))
}

struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A thin line a little inside the edges, between ground and ink.
    fn frame(&mut self, ground: [u8; 3], ink: [u8; 3]) {
        let shorter = self.width.min(self.height);
        let (inset, line) = (shorter / 24, (shorter / 300).max(1));
        let (right, bottom) = (self.width - inset, self.height - inset);
        if inset == 0 {
            return;
        }
        let pale: [u8; 3] = std::array::from_fn(|i| blend(ground[i], ink[i], 80));
        for y in inset..bottom {
            for x in inset..right {
                let inner = (inset + line..right - line).contains(&x) && (inset + line..bottom - line).contains(&y);
                if !inner {
                    let at = (y as usize * self.width as usize + x as usize) * 3;
                    self.pixels[at..at + 3].copy_from_slice(&pale);
                }
            }
        }
    }

    fn write(&mut self, name: &str, ink: [u8; 3]) {
        let mut fonts = fonts();
        let shorter = self.width.min(self.height) as f32;
        let name = writable(name, &mut fonts);
        if name.is_empty() {
            return;
        }
        let text = laid_out(&name, self.width as f32 * WIDTH, shorter, &mut fonts);
        let lines: Vec<(f32, f32)> = text.layout_runs().map(|run| (run.line_top, run.line_height)).collect();
        let used = lines.last().map_or(0.0, |(top, height)| top + height);
        let (left, top) = (self.width as f32 * (1.0 - WIDTH) / 2.0, (self.height as f32 - used) / 2.0);
        for run in text.layout_runs() {
            for glyph in run.glyphs {
                // Each line on whole pixels, so that all letters of it stand alike.
                let line = (top + run.line_y).round();
                fonts.db().with_face_data(glyph.font_id, |data, index| {
                    let Ok(face) = Face::parse(data, index) else { return };
                    self.draw(glyph, &face, left, line, ink);
                });
            }
        }
    }

    fn draw(&mut self, glyph: &LayoutGlyph, face: &Face<'_>, left: f32, line: f32, ink: [u8; 3]) {
        let id = GlyphId(glyph.glyph_id);
        // Spaces have none.
        let Some(bounds) = face.glyph_bounding_box(id) else { return };
        let scale = glyph.font_size / f32::from(face.units_per_em());
        let x = left + glyph.x + glyph.font_size * glyph.x_offset;
        let y = line + glyph.y - glyph.font_size * glyph.y_offset;
        // With a pixel around, because rounding may take a point of the outline over its bounds, where the rasterizer smears it.
        let x_min = (x + f32::from(bounds.x_min) * scale).floor() - 1.0;
        let y_min = (y - f32::from(bounds.y_max) * scale).floor() - 1.0;
        let across = (x + f32::from(bounds.x_max) * scale).ceil() + 1.0 - x_min;
        let down = (y - f32::from(bounds.y_min) * scale).ceil() + 1.0 - y_min;
        let mut outline = Outline {
            raster: Rasterizer::new(across as usize, down as usize),
            scale,
            origin: point(x - x_min, y - y_min),
            start: point(0.0, 0.0),
            at: point(0.0, 0.0),
        };
        face.outline_glyph(id, &mut outline);
        outline.raster.for_each_pixel_2d(|across, down, coverage| {
            let alpha = (coverage.clamp(0.0, 1.0) * 255.0).round() as u8;
            self.ink(x_min as i32 + across as i32, y_min as i32 + down as i32, ink, alpha);
        });
    }

    /// Letters may stand out over the edge.
    fn ink(&mut self, x: i32, y: i32, ink: [u8; 3], alpha: u8) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        for (colour, ink) in self.pixels[at..at + 3].iter_mut().zip(ink) {
            *colour = blend(*colour, ink, alpha);
        }
    }
}

/// Takes a letter's outline to pixels.
struct Outline {
    raster: Rasterizer,
    scale: f32,
    origin: Point,
    start: Point,
    at: Point,
}

impl Outline {
    /// Fonts count upwards, pixels downwards.
    fn placed(&self, x: f32, y: f32) -> Point {
        point(self.origin.x + x * self.scale, self.origin.y - y * self.scale)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.placed(x, y);
        self.start = self.at;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.placed(x, y);
        self.raster.draw_line(self.at, to);
        self.at = to;
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (by, to) = (self.placed(x1, y1), self.placed(x, y));
        self.raster.draw_quad(self.at, by, to);
        self.at = to;
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (by, and, to) = (self.placed(x1, y1), self.placed(x2, y2), self.placed(x, y));
        self.raster.draw_cubic(self.at, by, and, to);
        self.at = to;
    }

    fn close(&mut self) {
        self.raster.draw_line(self.at, self.start);
        self.at = self.start;
    }
}

/// `alpha` of `over` on `under`, rounded.
fn blend(under: u8, over: u8, alpha: u8) -> u8 {
    let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
    // At most 255 * 255 / 255.
    ((over * alpha + under * (255 - alpha) + 127) / 255) as u8
}

/// The bundled ones alone: what is installed on a machine changes no picture.
fn fonts() -> FontSystem {
    let mut fonts = Database::new();
    for font in FONTS {
        fonts.load_font_source(Source::Binary(Arc::new(font)));
    }
    FontSystem::new_with_locale_and_db("en".to_owned(), fonts)
}

fn attributes() -> Attrs<'static> {
    Attrs::new().family(Family::Name(FAMILY)).weight(WEIGHT)
}

/// What of the name can be written, in one paragraph. Letters that no font has would be boxes.
fn writable(name: &str, fonts: &mut FontSystem) -> String {
    let plain = name.chars().filter(|c| !turns_around(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let plain: String = plain.collect();
    let mut text = Buffer::new(fonts, Metrics::new(20.0, 27.0));
    text.set_wrap(Wrap::None);
    text.set_text(&plain, &attributes(), Shaping::Advanced, None);
    text.shape_until_scroll(fonts, false);
    let missing: HashSet<usize> = text
        .layout_runs()
        .flat_map(|run| run.glyphs.iter().filter(|glyph| glyph.glyph_id == 0).flat_map(|glyph| glyph.start..glyph.end))
        .collect();
    let kept: String = plain.char_indices().filter(|(at, _)| !missing.contains(at)).map(|(_, c)| c).collect();
    let words = kept.split_whitespace().collect::<Vec<_>>().join(" ");
    // The quotation marks of the French belong to what they embrace, with a space between.
    words.replace("« ", "«\u{a0}").replace(" »", "\u{a0}»")
}

/// Marks that would have a name read the other way round; letters know by themselves which way they go.
fn turns_around(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// As large as it can be within the lines; at the smallest, long words are broken and the rest is cut off.
fn laid_out(name: &str, width: f32, shorter: f32, fonts: &mut FontSystem) -> Buffer {
    for step in 0..=STEPS {
        let share = LARGEST + (SMALLEST - LARGEST) * f32::from(step) / f32::from(STEPS);
        let size = (shorter * share).max(1.0);
        let is_last = step == STEPS;
        let mut text = Buffer::new(fonts, Metrics::new(size, (size * LINE_HEIGHT).ceil()));
        text.set_size(Some(width), None);
        text.set_wrap(if is_last { Wrap::WordOrGlyph } else { Wrap::Word });
        if is_last {
            text.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(LINES)));
        }
        text.set_text(name, &attributes(), Shaping::Advanced, Some(Align::Center));
        text.shape_until_scroll(fonts, false);
        // Two lines fit at any size; four only if the letters are smaller.
        let n_lines = text.layout_runs().count();
        let fits = n_lines <= LINES && text.layout_runs().all(|run| run.line_w <= width);
        if fits || is_last {
            return text;
        }
    }
    unreachable!("the last step returns")
}
