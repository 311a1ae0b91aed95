//! Lines over time, as SVG and as PNG: both are drawn from one list of shapes, so that they look the same.
//!
//! A value holds until the next one, so lines go in steps: every stroke is level or upright.

use std::fmt::Write;

use cosmic_text::{Buffer, FontSystem, Metrics, Shaping, Wrap};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use ttf_parser::Face;

use crate::canvas::{Canvas, attributes, blend, fonts, writable};

const WIDTH: f32 = 960.0;
const LEFT: f32 = 84.0;
const RIGHT: f32 = 44.0;
const TOP: f32 = 72.0;
const PLOT_HEIGHT: f32 = 380.0;
/// From the plot to the legend.
const BELOW: f32 = 52.0;
const ROW: f32 = 22.0;
const COLUMNS: usize = 3;
/// So many letters fit in a column of the legend, and in a title.
const NAME_CHARS: usize = 33;
const TITLE_CHARS: usize = 90;
const TEXT: f32 = 13.0;
const TITLE: f32 = 18.0;
/// Points of so few are marked; more would be a chain of dots.
const MARKED: usize = 120;
/// About so many lines across the plot.
const STEPS: f64 = 6.0;

const GROUND: [u8; 3] = [0xff, 0xff, 0xff];
const INK: [u8; 3] = [0x22, 0x2b, 0x38];
const PALE: [u8; 3] = [0x5a, 0x64, 0x73];
const GRID: [u8; 3] = [0xdd, 0xe2, 0xe9];
/// All of them have a contrast of at least 4.5 to 1 on white.
const COLOURS: [[u8; 3]; 10] = [
    [0x1f, 0x5f, 0xa8],
    [0xb8, 0x46, 0x12],
    [0x1f, 0x7a, 0x43],
    [0x8b, 0x3a, 0x8f],
    [0x8a, 0x65, 0x00],
    [0x0b, 0x76, 0x87],
    [0xc2, 0x25, 0x5c],
    [0x55, 0x55, 0x55],
    [0x7a, 0x4a, 0x1e],
    [0x3b, 0x3b, 0xb3],
];
/// Where the colours begin anew, lines are broken: so long, with such gaps.
const DASHES: [Option<(f32, f32)>; 3] = [None, Some((9.0, 5.0)), Some((2.5, 3.5))];

/// Lines over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// In what is counted; stands at the upright axis.
    pub unit: String,
    /// The first and the last time, in Unix milliseconds.
    pub times: (i64, i64),
    /// What stands along the level axis: a time and its words.
    pub ticks: Vec<(i64, String)>,
    /// The lines; their names are the legend.
    pub lines: Vec<Line>,
    /// What stands in the middle when there is no line.
    pub empty: String,
    /// What stands below, if there is something to be told.
    pub note: Option<String>,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Times in Unix milliseconds and values, in order. Where the first is before the chart, the line begins with it.
    pub points: Vec<(i64, f64)>,
    /// Until when the last value is known to hold.
    pub until: i64,
}

enum Shape {
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        colour: [u8; 3],
    },
    /// Level and upright strokes, from corner to corner.
    Steps {
        corners: Vec<(f32, f32)>,
        colour: [u8; 3],
        dash: Option<(f32, f32)>,
    },
    Dot {
        x: f32,
        y: f32,
        colour: [u8; 3],
    },
    Text {
        x: f32,
        y: f32,
        anchor: Anchor,
        size: f32,
        colour: [u8; 3],
        text: String,
    },
}

#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

const STROKE: f32 = 2.0;
const RADIUS: f32 = 3.5;

impl Chart {
    /// As SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let height = self.height();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
             font-family=\"Noto Sans, Helvetica, Arial, sans-serif\"><title>{}</title>\n",
            escaped(&self.title)
        );
        for shape in self.shapes() {
            shape.write(&mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// As PNG. Takes some milliseconds of a core.
    #[must_use]
    pub fn png(&self) -> Vec<u8> {
        let mut canvas = Canvas::new(WIDTH as u32, self.height() as u32, GROUND);
        let mut fonts = fonts();
        for shape in self.shapes() {
            shape.paint(&mut canvas, &mut fonts);
        }
        let mut png = Vec::new();
        let encoder = PngEncoder::new(&mut png);
        let written = encoder.write_image(&canvas.pixels, canvas.width, canvas.height, ExtendedColorType::Rgb8);
        debug_assert!(written.is_ok(), "a canvas has all its pixels, and memory takes all that is written");
        png
    }

    fn height(&self) -> f32 {
        let rows = self.lines.len().div_ceil(COLUMNS);
        TOP + PLOT_HEIGHT + BELOW + rows as f32 * ROW + if self.note.is_some() { ROW } else { 0.0 } + 10.0
    }

    fn shapes(&self) -> Vec<Shape> {
        let (width, bottom) = (WIDTH - LEFT - RIGHT, TOP + PLOT_HEIGHT);
        let mut shapes = vec![Shape::Rect { x: 0.0, y: 0.0, width: WIDTH, height: self.height(), colour: GROUND }];
        shapes.push(text(24.0, 30.0, Anchor::Start, TITLE, INK, clip(&self.title, TITLE_CHARS)));
        let (from, to) = self.times;
        let span = (to - from).max(1) as f64;
        let x_of = |time: i64| LEFT + width * ((time.clamp(from, to) - from) as f64 / span) as f32;
        for (time, words) in self.ticks.iter().filter(|(time, _)| (from..=to).contains(time)) {
            shapes.push(Shape::Rect { x: x_of(*time), y: TOP, width: 1.0, height: PLOT_HEIGHT, colour: GRID });
            shapes.push(text(x_of(*time), bottom + 20.0, Anchor::Middle, TEXT, PALE, words.clone()));
        }
        let scale = Scale::of(self.lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value)));
        let y_of = |value: f64| bottom - PLOT_HEIGHT * scale.share(value);
        for (value, words) in scale.ticks().filter(|_| !self.lines.is_empty()) {
            shapes.push(Shape::Rect { x: LEFT, y: y_of(value), width, height: 1.0, colour: GRID });
            shapes.push(text(LEFT - 10.0, y_of(value) + 4.5, Anchor::End, TEXT, PALE, words));
        }
        shapes.push(Shape::Rect { x: LEFT, y: TOP, width: 1.0, height: PLOT_HEIGHT, colour: PALE });
        shapes.push(Shape::Rect { x: LEFT, y: bottom, width, height: 1.0, colour: PALE });
        if self.lines.is_empty() {
            let (x, y) = (LEFT + width / 2.0, TOP + PLOT_HEIGHT / 2.0);
            shapes.push(text(x, y, Anchor::Middle, TITLE, PALE, self.empty.clone()));
        } else {
            shapes.push(text(LEFT - 10.0, TOP - 16.0, Anchor::End, TEXT, PALE, self.unit.clone()));
        }
        let n_points: usize = self.lines.iter().map(|line| line.points.len()).sum();
        for (place, line) in self.lines.iter().enumerate() {
            let (colour, dash) = look(place);
            let mut corners: Vec<(f32, f32)> = Vec::with_capacity(2 * line.points.len() + 1);
            for (time, value) in &line.points {
                let (x, y) = (x_of(*time), y_of(*value));
                if let Some((_, before)) = corners.last() {
                    corners.push((x, *before));
                }
                corners.push((x, y));
            }
            if let Some((_, last)) = corners.last().copied() {
                corners.push((x_of(line.until), last));
            }
            shapes.push(Shape::Steps { corners, colour, dash });
            for (time, value) in line.points.iter().filter(|(time, _)| n_points <= MARKED && *time >= from) {
                shapes.push(Shape::Dot { x: x_of(*time), y: y_of(*value), colour });
            }
        }
        for (place, line) in self.lines.iter().enumerate() {
            let (colour, dash) = look(place);
            let x = 24.0 + (place % COLUMNS) as f32 * (WIDTH - 48.0) / COLUMNS as f32;
            let y = bottom + BELOW + (place / COLUMNS) as f32 * ROW;
            shapes.push(Shape::Steps { corners: vec![(x, y - 4.5), (x + 28.0, y - 4.5)], colour, dash });
            shapes.push(text(x + 36.0, y, Anchor::Start, TEXT, INK, clip(&line.name, NAME_CHARS)));
        }
        if let Some(note) = &self.note {
            shapes.push(text(24.0, self.height() - 14.0, Anchor::Start, TEXT, PALE, clip(note, 2 * TITLE_CHARS)));
        }
        shapes
    }
}

fn look(place: usize) -> ([u8; 3], Option<(f32, f32)>) {
    (COLOURS[place % COLOURS.len()], DASHES[place / COLOURS.len() % DASHES.len()])
}

fn text(x: f32, y: f32, anchor: Anchor, size: f32, colour: [u8; 3], text: String) -> Shape {
    Shape::Text { x, y, anchor, size, colour, text }
}

fn clip(text: &str, most: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// The upright axis: from one round value to another.
struct Scale {
    from: f64,
    step: f64,
    n_steps: u32,
    decimals: usize,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (lowest, highest) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (lowest, highest) = if lowest <= highest { (lowest, highest) } else { (0.0, 1.0) };
        // A line that never changes stands in the middle, and others do not touch the edges.
        let room = if highest > lowest { (highest - lowest) * 0.06 } else { (highest.abs() * 0.1).max(0.01) };
        let (low, high) = ((lowest - room).max(lowest.min(0.0)), highest + room);
        let rough = (high - low) / STEPS;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let nice = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|nice| nice * magnitude >= rough).unwrap_or(10.0);
        let step = nice * magnitude;
        let from = (low / step).floor() * step;
        let n_steps = ((high - from) / step).ceil().clamp(1.0, 20.0) as u32;
        let decimals = (0..4_usize).find(|places| {
            let shifted = step * 10_f64.powi(i32::try_from(*places).unwrap_or(0));
            (shifted - shifted.round()).abs() < 1e-6
        });
        Self { from, step, n_steps, decimals: decimals.unwrap_or(4) }
    }

    fn share(&self, value: f64) -> f32 {
        (((value - self.from) / (self.step * f64::from(self.n_steps))) as f32).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        (0..=self.n_steps).map(|n| {
            let value = self.from + self.step * f64::from(n);
            (value, format!("{value:.*}", self.decimals))
        })
    }
}

impl Shape {
    fn write(&self, svg: &mut String) {
        // Writing to a text does not fail.
        let _ = match self {
            Self::Rect { x, y, width, height, colour } => writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"/>",
                hex(*colour)
            ),
            Self::Steps { corners, colour, dash } => {
                let mut path = String::new();
                for (at, (x, y)) in corners.iter().enumerate() {
                    let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
                }
                let dash = dash.map(|(on, off)| format!(" stroke-dasharray=\"{on} {off}\"")).unwrap_or_default();
                writeln!(
                    svg,
                    "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{STROKE}\"{dash}/>",
                    hex(*colour)
                )
            }
            Self::Dot { x, y, colour } => {
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\" fill=\"{}\"/>", hex(*colour))
            }
            Self::Text { x, y, anchor, size, colour, text } => {
                let anchor = match anchor {
                    Anchor::Start => "start",
                    Anchor::Middle => "middle",
                    Anchor::End => "end",
                };
                writeln!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{}\">{}</text>",
                    hex(*colour),
                    escaped(text)
                )
            }
        };
    }

    fn paint(&self, canvas: &mut Canvas, fonts: &mut FontSystem) {
        match self {
            Self::Rect { x, y, width, height, colour } => canvas.fill(*x, *y, *width, *height, *colour),
            Self::Steps { corners, colour, dash } => canvas.steps(corners, *colour, *dash),
            Self::Dot { x, y, colour } => canvas.dot(*x, *y, *colour),
            Self::Text { x, y, anchor, size, colour, text } => {
                canvas.line_of_text((*x, *y), *anchor, *size, *colour, text, fonts);
            }
        }
    }
}

impl Canvas {
    /// A rectangle, of which pixels at the edges that it covers by a part get that part of its colour.
    fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, colour: [u8; 3]) {
        let (right, bottom) = ((x + width).min(self.width as f32), (y + height).min(self.height as f32));
        let (x, y) = (x.max(0.0), y.max(0.0));
        let covered = |from: f32, to: f32, pixel: u32| ((pixel + 1) as f32).min(to) - (pixel as f32).max(from);
        for row in y as u32..bottom.ceil() as u32 {
            for column in x as u32..right.ceil() as u32 {
                let share = covered(x, right, column).max(0.0) * covered(y, bottom, row).max(0.0);
                self.tint(column, row, colour, share);
            }
        }
    }

    fn dot(&mut self, x: f32, y: f32, colour: [u8; 3]) {
        let reach = RADIUS + 1.0;
        for row in (y - reach).max(0.0) as u32..(y + reach).ceil().max(0.0) as u32 {
            for column in (x - reach).max(0.0) as u32..(x + reach).ceil().max(0.0) as u32 {
                let (dx, dy) = (column as f32 + 0.5 - x, row as f32 + 0.5 - y);
                self.tint(column, row, colour, (RADIUS + 0.5 - dx.hypot(dy)).clamp(0.0, 1.0));
            }
        }
    }

    fn tint(&mut self, x: u32, y: u32, colour: [u8; 3], share: f32) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * 3;
        let alpha = (share.clamp(0.0, 1.0) * 255.0).round() as u8;
        for (own, colour) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            *own = blend(*own, colour, alpha);
        }
    }

    fn steps(&mut self, corners: &[(f32, f32)], colour: [u8; 3], dash: Option<(f32, f32)>) {
        let half = STROKE / 2.0;
        // How far the line is, for where its gaps are.
        let mut done = 0.0;
        for pair in corners.windows(2) {
            let ((x, y), (to_x, to_y)) = (pair[0], pair[1]);
            let length = (to_x - x).abs() + (to_y - y).abs();
            let is_level = (to_y - y).abs() < f32::EPSILON;
            let sign = if (to_x - x) + (to_y - y) < 0.0 { -1.0 } else { 1.0 };
            let mut piece = |from: f32, to: f32| {
                let (from, to) = (from - half, to + half);
                let (low, high) = if sign < 0.0 { (-to, -from) } else { (from, to) };
                if is_level {
                    self.fill(x + low, y - half, high - low, STROKE, colour);
                } else {
                    self.fill(x - half, y + low, STROKE, high - low, colour);
                }
            };
            match dash {
                None => piece(0.0, length),
                Some((on, off)) => {
                    let mut at = 0.0;
                    while at < length {
                        let phase = (done + at) % (on + off);
                        let (end, is_on) =
                            if phase < on { (at + on - phase, true) } else { (at + on + off - phase, false) };
                        let end = end.min(length).max(at + 0.01);
                        if is_on {
                            piece(at + half, (end - half).max(at + half));
                        }
                        at = end;
                    }
                }
            }
            done += length;
        }
    }

    fn line_of_text(
        &mut self,
        (x, y): (f32, f32),
        anchor: Anchor,
        size: f32,
        colour: [u8; 3],
        text: &str,
        fonts: &mut FontSystem,
    ) {
        let text = writable(text, fonts);
        let mut buffer = Buffer::new(fonts, Metrics::new(size, (size * 1.35).ceil()));
        buffer.set_wrap(Wrap::None);
        buffer.set_text(&text, &attributes(), Shaping::Advanced, None);
        buffer.shape_until_scroll(fonts, false);
        let Some(run) = buffer.layout_runs().next() else { return };
        let left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - run.line_w / 2.0,
            Anchor::End => x - run.line_w,
        };
        for glyph in run.glyphs {
            fonts.db().with_face_data(glyph.font_id, |data, index| {
                let Ok(face) = Face::parse(data, index) else { return };
                self.draw(glyph, &face, left.round(), y.round(), colour);
            });
        }
    }
}

fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// What XML would take for markup or not take at all is written otherwise.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn chart(lines: Vec<Line>) -> Chart {
        Chart {
            title: "Lampe « Étoile » <b>&".to_owned(),
            unit: "EUR".to_owned(),
            times: (0, 30 * DAY),
            ticks: (0..=5).map(|n| (n * 6 * DAY, format!("{} Nov", 1 + n * 6))).collect(),
            lines,
            empty: "No price was read in this time".to_owned(),
            note: None,
        }
    }

    fn line(name: &str, points: &[(i64, f64)]) -> Line {
        let points = points.iter().map(|(day, value)| (day * DAY, *value)).collect();
        Line { name: name.to_owned(), points, until: 30 * DAY }
    }

    fn pixels(chart: &Chart) -> image::RgbImage {
        image::load_from_memory(&chart.png()).unwrap().to_rgb8()
    }

    #[test]
    fn lines_go_in_steps_and_hold_until_the_next_value() {
        let svg = chart(vec![line("shop.example", &[(0, 10.0), (15, 20.0)])]).svg();
        let path = svg.lines().find(|line| line.starts_with("<path d=\"M")).unwrap();
        let corners: Vec<&str> = path.split('"').nth(1).unwrap().split(['M', 'L']).skip(1).collect();
        let [from, before, after, to] = corners.as_slice() else { panic!("{path}") };
        let (x, y) = (
            |corner: &str| corner.split(' ').next().unwrap().to_owned(),
            |corner: &str| corner.split(' ').nth(1).unwrap().to_owned(),
        );
        assert!(y(from) == y(before) && x(before) == x(after) && y(after) == y(to), "{path}");
        assert_eq!(x(to), format!("{:.1}", WIDTH - RIGHT), "until it was last seen");
        assert!(svg.contains("shop.example") && svg.contains("EUR") && svg.contains("7 Nov"));
    }

    #[test]
    fn words_of_others_are_no_markup() {
        let svg = chart(vec![line("<script>alert(1)</script>", &[(0, 1.0)])]).svg();
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;") && svg.contains("&lt;b&gt;&amp;"), "{svg}");
    }

    #[test]
    fn a_png_shows_the_colours_of_its_lines_and_is_as_large_as_the_svg() {
        for n in [0, 1, 20] {
            let lines = (0..n).map(|n| line(&format!("{n}.example"), &[(0, 10.0 + f64::from(n)), (9, 12.0)])).collect();
            let chart = chart(lines);
            let picture = pixels(&chart);
            assert_eq!((picture.width() as f32, picture.height() as f32), (WIDTH, chart.height()));
            for place in 0..n.min(10) {
                let has = picture.pixels().any(|pixel| pixel.0 == COLOURS[place as usize]);
                assert!(has, "line {place} of {n}");
            }
            assert_eq!(picture.get_pixel(2, 2).0, GROUND);
        }
    }

    #[test]
    fn the_axis_has_round_values_around_all_prices() {
        for values in
            [vec![], vec![0.0], vec![59.9], vec![59.9, 64.0], vec![0.001, 0.002], vec![1.0, 1e12], vec![-5.0, 5.0]]
        {
            let scale = Scale::of(values.iter().copied());
            let ticks: Vec<(f64, String)> = scale.ticks().collect();
            assert!((2..=21).contains(&ticks.len()), "{values:?}: {ticks:?}");
            for value in &values {
                let share = scale.share(*value);
                assert!((0.0..=1.0).contains(&share), "{value}: {ticks:?}");
                assert!(ticks[0].0 <= *value && *value <= ticks.last().unwrap().0, "{value}: {ticks:?}");
            }
            let words: std::collections::BTreeSet<&String> = ticks.iter().map(|(_, words)| words).collect();
            assert_eq!(words.len(), ticks.len(), "no two are called the same: {ticks:?}");
        }
    }
}
