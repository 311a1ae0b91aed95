//! Pixels, and letters on them.

use std::{collections::HashSet, sync::Arc};

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use cosmic_text::{
    Attrs, Buffer, Family, FontSystem, LayoutGlyph, Metrics, Shaping, Weight, Wrap,
    fontdb::{Database, Source},
};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

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

/// Pixels in sRGB, three bytes each.
pub(crate) struct Canvas {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: Vec<u8>,
}

impl Canvas {
    /// All of one colour.
    pub(crate) fn new(width: u32, height: u32, ground: [u8; 3]) -> Self {
        Self { width, height, pixels: ground.repeat(width as usize * height as usize) }
    }

    /// A letter; `left` is where its text begins, `line` what it stands on.
    pub(crate) fn draw(&mut self, glyph: &LayoutGlyph, face: &Face<'_>, left: f32, line: f32, ink: [u8; 3]) {
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
pub(crate) fn blend(under: u8, over: u8, alpha: u8) -> u8 {
    let (under, over, alpha) = (u32::from(under), u32::from(over), u32::from(alpha));
    // At most 255 * 255 / 255.
    ((over * alpha + under * (255 - alpha) + 127) / 255) as u8
}

/// The bundled ones alone: what is installed on a machine changes no picture.
pub(crate) fn fonts() -> FontSystem {
    let mut fonts = Database::new();
    for font in FONTS {
        fonts.load_font_source(Source::Binary(Arc::new(font)));
    }
    FontSystem::new_with_locale_and_db("en".to_owned(), fonts)
}

pub(crate) fn attributes() -> Attrs<'static> {
    Attrs::new().family(Family::Name(FAMILY)).weight(WEIGHT)
}

/// What of the name can be written, in one paragraph. Letters that no font has would be boxes.
pub(crate) fn writable(name: &str, fonts: &mut FontSystem) -> String {
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
