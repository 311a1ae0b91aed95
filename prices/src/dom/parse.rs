//! From a page's text to its tree, in one pass.

use super::{
    Dom, Part,
    kinds::{Kind, is_notable, lower},
};

/// Elements within elements. Pages have some dozens of levels; a page with more is made to take all time.
const DEPTH: usize = 2_000;
/// Attributes of one element.
const ATTRIBUTES: usize = 500;
/// So many open elements are looked at for whom an end belongs to, in a page.
const STEPS: usize = 20_000_000;

/// Reads a page, or a piece of one.
///
/// # Errors
/// Why it is not read: it nests too deep, or has too many attributes.
pub(crate) fn parse(html: &str) -> Result<Dom<'_>, &'static str> {
    let mut parser = Parser { html, bytes: html.as_bytes(), at: 0, dom: Dom::default(), open: Vec::new(), steps: 0 };
    parser.dom.parts.reserve(html.len() / 24);
    parser.push("", "", (0, 0), Kind::default());
    parser.open.push(0);
    parser.run()?;
    parser.close_to(0);
    Ok(parser.dom)
}

struct Parser<'a> {
    html: &'a str,
    bytes: &'a [u8],
    at: usize,
    dom: Dom<'a>,
    /// The elements that are open, the page first.
    open: Vec<usize>,
    steps: usize,
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), &'static str> {
        let mut text_from = 0;
        while let Some(found) = find(self.bytes, self.at, b'<') {
            let next = self.bytes.get(found + 1).copied().unwrap_or(b' ');
            if !(next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?')) {
                self.at = found + 1;
                continue;
            }
            self.text(text_from, found);
            self.at = found + 1;
            match next {
                b'/' if self.bytes.get(found + 2).is_some_and(u8::is_ascii_alphabetic) => self.end_tag(),
                b'!' if self.bytes[found + 1..].starts_with(b"!--") => self.comment(found + 4),
                b'/' | b'!' | b'?' => self.at = find(self.bytes, self.at, b'>').map_or(self.bytes.len(), |at| at + 1),
                _ => self.start_tag()?,
            }
            text_from = self.at;
        }
        self.text(text_from, self.bytes.len());
        Ok(())
    }

    fn text(&mut self, from: usize, to: usize) {
        if from < to {
            self.push("", &self.html[from..to], (0, 0), Kind::default());
        }
    }

    fn push(&mut self, name: &'a str, text: &'a str, attributes: (u32, u32), kind: Kind) -> usize {
        let at = self.dom.parts.len();
        let parent = short(self.open.last().copied().unwrap_or(0));
        self.dom.parts.push(Part { name, text, parent, end: short(at + 1), attributes, kind });
        at
    }

    /// `at`: behind the opening mark.
    fn comment(&mut self, at: usize) {
        let rest = &self.bytes[at.min(self.bytes.len())..];
        if rest.starts_with(b">") || rest.starts_with(b"->") {
            self.at = at + rest.iter().position(|b| *b == b'>').unwrap_or(0) + 1;
            return;
        }
        let mut from = at;
        while let Some(end) = find(self.bytes, from, b'>') {
            let before = &self.bytes[at..end];
            if before.ends_with(b"--") || before.ends_with(b"--!") {
                self.at = end + 1;
                return;
            }
            from = end + 1;
        }
        self.at = self.bytes.len();
    }

    /// The name at this place, in lower case.
    fn name(&mut self) -> &'a str {
        let from = self.at;
        let is_end = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'>' | b'/');
        self.at = self.bytes[from..].iter().position(is_end).map_or(self.bytes.len(), |length| from + length);
        lower(&self.html[from..self.at])
    }

    fn end_tag(&mut self) {
        self.at += 1;
        let name = self.name();
        self.at = find(self.bytes, self.at, b'>').map_or(self.bytes.len(), |at| at + 1);
        let kind = Kind::of(name);
        if kind.has(Kind::PAGE) && name != "head" || kind.has(Kind::VOID) {
            return;
        }
        let mut level = self.open.len();
        while level > 1 {
            level -= 1;
            self.steps += 1;
            if self.steps > STEPS {
                return;
            }
            let part = &self.dom.parts[self.open[level]];
            let fits = part.name == name || (kind.has(Kind::HEADING) && part.kind.has(Kind::HEADING));
            if fits {
                self.close_to(level);
                return;
            }
            let is_wall = if kind.has(Kind::TABLE) || name == "table" {
                matches!(part.name, "table" | "template" | "svg" | "body")
            } else if kind.has(Kind::SPECIAL) {
                part.kind.has(Kind::SCOPE)
            } else {
                part.kind.has(Kind::SPECIAL)
            };
            if is_wall {
                return;
            }
        }
    }

    fn start_tag(&mut self) -> Result<(), &'static str> {
        let name = self.name();
        let (attributes, closes_itself) = self.attributes(name)?;
        let kind = Kind::of(name);
        if kind.has(Kind::PAGE) {
            if self.open.iter().take(8).any(|at| self.dom.parts[*at].name == name) {
                return Ok(());
            }
            if name == "body" {
                self.close_open(|part| part.name == "head", |part| part.name == "html");
            }
        }
        self.close_before(name, kind);
        let at = self.push(name, "", attributes, kind);
        if is_notable(name) {
            self.dom.notable.push(short(at));
        }
        let in_drawing = || self.dom.parts[at].parent > 0 && self.in_drawing();
        if kind.has(Kind::VOID) || (closes_itself && (kind.has(Kind::FOREIGN) || in_drawing())) {
            return Ok(());
        }
        if self.open.len() > DEPTH {
            return Err("nests its elements too deep");
        }
        self.open.push(at);
        if kind.has(Kind::RAW) && !self.in_drawing() {
            let from = self.at;
            let end = self.raw_end(name);
            self.text(from, end);
            self.at = find(self.bytes, end, b'>').map_or(self.bytes.len(), |at| at + 1);
            self.close_to(self.open.len() - 1);
        }
        Ok(())
    }

    fn in_drawing(&self) -> bool {
        self.open.iter().rev().take(50).any(|at| self.dom.parts[*at].kind.has(Kind::FOREIGN))
    }

    /// Closes what cannot stay open beside the new element.
    fn close_before(&mut self, name: &str, kind: Kind) {
        if kind.has(Kind::ENDS_P) {
            self.close_open(|part| part.name == "p", |part| part.kind.has(Kind::SCOPE) || part.name == "button");
        }
        let in_list = |part: &Part<'_>| part.kind.has(Kind::SPECIAL) && !matches!(part.name, "address" | "div" | "p");
        match name {
            "li" => self.close_open(|part| part.name == "li", in_list),
            "dd" | "dt" => self.close_open(|part| matches!(part.name, "dd" | "dt"), in_list),
            "option" | "optgroup" => self.close_open(|part| part.name == "option", |part| part.name != "option"),
            "td" | "th" => {
                self.close_open(|part| matches!(part.name, "td" | "th"), |part| matches!(part.name, "tr" | "table"))
            }
            "tr" => self.close_open(|part| part.name == "tr", |part| part.name == "table"),
            "tbody" | "thead" | "tfoot" => {
                self.close_open(|part| matches!(part.name, "tbody" | "thead" | "tfoot"), |part| part.name == "table");
            }
            "a" | "button" => {
                let own = name.len();
                self.close_open(
                    |part| part.name.len() == own && matches!(part.name, "a" | "button"),
                    |part| part.kind.has(Kind::SPECIAL),
                );
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.close_open(|part| part.kind.has(Kind::HEADING), |part| !part.kind.has(Kind::HEADING));
            }
            _ => {}
        }
    }

    /// Closes the innermost open element that fits, unless a wall stands before it.
    fn close_open(&mut self, fits: impl Fn(&Part<'_>) -> bool, is_wall: impl Fn(&Part<'_>) -> bool) {
        for level in (1..self.open.len()).rev() {
            self.steps += 1;
            let part = &self.dom.parts[self.open[level]];
            if fits(part) {
                self.close_to(level);
                return;
            }
            if is_wall(part) || self.steps > STEPS {
                return;
            }
        }
    }

    /// Closes the open elements from a level on.
    fn close_to(&mut self, level: usize) {
        let end = short(self.dom.parts.len());
        for at in self.open.drain(level..) {
            self.dom.parts[at].end = end;
        }
    }

    /// The attributes up to the end of the tag, and whether the tag closes itself.
    fn attributes(&mut self, element: &str) -> Result<((u32, u32), bool), &'static str> {
        let from = self.dom.attributes.len();
        let mut closes_itself = false;
        loop {
            while self.peek().is_some_and(|b| b.is_ascii_whitespace() || b == b'/') {
                closes_itself = self.peek() == Some(b'/');
                self.at += 1;
            }
            match self.peek() {
                None => break,
                Some(b'>') => {
                    self.at += 1;
                    break;
                }
                Some(_) => {}
            }
            closes_itself = false;
            let name_from = self.at;
            self.at += 1;
            self.skip(|b| !b.is_ascii_whitespace() && !matches!(b, b'/' | b'>' | b'='));
            let name = &self.html[name_from..self.at];
            match name.len() {
                8 => {
                    self.dom.has_microdata |=
                        name.eq_ignore_ascii_case("itemprop") || name.eq_ignore_ascii_case("itemtype");
                    self.dom.has_rdfa |= element != "meta" && name.eq_ignore_ascii_case("property");
                }
                9 => self.dom.has_microdata |= name.eq_ignore_ascii_case("itemscope"),
                6 => self.dom.has_rdfa |= name.eq_ignore_ascii_case("typeof"),
                _ => {}
            }
            let before = self.at;
            self.skip(|b| b.is_ascii_whitespace());
            let value = if self.peek() == Some(b'=') {
                self.at += 1;
                self.skip(|b| b.is_ascii_whitespace());
                self.value()
            } else {
                self.at = before;
                ""
            };
            self.dom.attributes.push((name, value));
            if self.dom.attributes.len() - from > ATTRIBUTES {
                return Err("has an element with too many attributes");
            }
        }
        Ok(((short(from), short(self.dom.attributes.len())), closes_itself))
    }

    fn value(&mut self) -> &'a str {
        if let Some(quote @ (b'"' | b'\'')) = self.peek() {
            let from = self.at + 1;
            let end = find(self.bytes, from, quote).unwrap_or(self.bytes.len());
            self.at = (end + 1).min(self.bytes.len());
            return &self.html[from..end];
        }
        let from = self.at;
        self.skip(|b| !b.is_ascii_whitespace() && b != b'>');
        &self.html[from..self.at]
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip(&mut self, fits: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&fits) {
            self.at += 1;
        }
    }

    /// Where the end tag of an element that holds text only begins.
    fn raw_end(&self, name: &str) -> usize {
        let mut from = self.at;
        while let Some(at) = find(self.bytes, from, b'<') {
            let behind = &self.bytes[at + 1..];
            let is_end = behind.first() == Some(&b'/')
                && behind.get(1..=name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()))
                && behind.get(1 + name.len()).is_none_or(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
            if is_end {
                return at;
            }
            from = at + 1;
        }
        self.bytes.len()
    }
}

fn find(bytes: &[u8], from: usize, mark: u8) -> Option<usize> {
    memchr::memchr(mark, bytes.get(from..)?).map(|at| from + at)
}

/// Pages are shorter than four gigabytes.
fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
