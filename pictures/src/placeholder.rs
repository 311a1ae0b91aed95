//! Draws a picture that has only a product's name. The same name and look give the same bytes.

use cosmic_text::{Align, Buffer, Ellipsize, EllipsizeHeightLimit, FontSystem, Metrics, Shaping, Wrap};
use sha2::{Digest, Sha256};
use ttf_parser::Face;

use crate::{
    canvas::{Canvas, attributes, blend, fonts, writable},
    picture::Picture,
};

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
    let mut canvas = Canvas::new(width, height, ground);
    canvas.frame(ground, ink);
    canvas.write(name, ink);
    Picture::from_rgb(width, height, canvas.pixels).unwrap_or_else(|| unreachable!("a canvas has all its pixels"))
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
