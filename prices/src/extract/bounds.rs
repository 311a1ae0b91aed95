//! Refuses pages that are made to take all memory or time of whoever parses them. What HTML asks of a parser grows with the square of
//! what is left open, so what is left open is counted beforehand, which is cheap.

/// Elements within elements. Pages have some dozens of levels.
const DEPTH: usize = 2_000;
/// Attributes of one element; each is compared with those before it.
const ATTRIBUTES: usize = 500;
/// Elements that the parser would add because marks of format were never closed.
const ADDED: usize = 2_000_000;
/// The same within texts that are texts only where they stand in no drawing: `<svg><title><div>`. Scripts have tags in them, too.
const HIDDEN: usize = 10_000;
/// So many marks of format may be left open before they count.
const OPEN: usize = 8;

/// Why a page is not parsed, if it is not.
pub(super) fn too_much(html: &str) -> Option<&'static str> {
    let bytes = html.as_bytes();
    let (mut at, mut depth, mut format, mut added) = (0, 0_usize, 0_usize, 0_usize);
    let (mut draws, mut hidden) = (false, 0);
    while let Some(found) = bytes[at..].iter().position(|b| *b == b'<') {
        at += found + 1;
        if bytes[at..].starts_with(b"!--") {
            at = find(bytes, at + 3, b"-->");
            continue;
        }
        let closes = bytes.get(at) == Some(&b'/');
        let start = at + usize::from(closes);
        if !bytes.get(start).is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        let end = bytes[start..].iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/'));
        let end = end.map_or(bytes.len(), |length| start + length);
        let name = bytes[start..end].to_ascii_lowercase();
        let (after, attributes) = skip_attributes(bytes, end);
        if attributes > ATTRIBUTES {
            return Some("has an element with too many attributes");
        }
        at = after;
        let counts = Counts::of(&name);
        draws |= matches!(name.as_slice(), b"svg" | b"math");
        if closes {
            depth = depth.saturating_sub(usize::from(counts == Counts::Nests || counts == Counts::Formats));
            format = format.saturating_sub(usize::from(counts == Counts::Formats));
            continue;
        }
        match counts {
            Counts::Raw => {
                let close = [b"</", name.as_slice()].concat();
                let end = find_any_case(bytes, at, &close);
                hidden += if draws { left_open(&bytes[at..end]) } else { 0 };
                at = end;
            }
            Counts::Formats => {
                format += 1;
                depth += 1;
            }
            Counts::Nests => depth += 1,
            Counts::Ends => {}
        }
        if format > OPEN {
            added += format;
        }
        if depth > DEPTH || hidden > HIDDEN {
            return Some("nests its elements too deep");
        }
        if added > ADDED {
            return Some("leaves too many marks of format open");
        }
    }
    None
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// Holds what comes until it is closed.
    Nests,
    /// The same, and is begun again in each paragraph until it is closed.
    Formats,
    /// Holds nothing, or is closed by its next of kind.
    Ends,
    /// Holds text only.
    Raw,
}

impl Counts {
    fn of(name: &[u8]) -> Self {
        match name {
            b"a" | b"b" | b"big" | b"code" | b"em" | b"font" | b"i" | b"nobr" | b"s" | b"small" | b"strike"
            | b"strong" | b"tt" | b"u" => Self::Formats,
            b"area" | b"base" | b"br" | b"col" | b"embed" | b"hr" | b"img" | b"input" | b"link" | b"meta"
            | b"param" | b"source" | b"track" | b"wbr" | b"p" | b"li" | b"dd" | b"dt" | b"tr" | b"td" | b"th"
            | b"tbody" | b"thead" | b"tfoot" | b"option" | b"optgroup" | b"html" | b"head" | b"body" | b"path"
            | b"rect" | b"circle" | b"use" | b"line" | b"polygon" | b"ellipse" | b"stop" | b"polyline" => Self::Ends,
            b"script" | b"style" | b"textarea" | b"title" | b"iframe" | b"noscript" | b"xmp" | b"noembed"
            | b"noframes" => Self::Raw,
            _ => Self::Nests,
        }
    }
}

/// How many tags of a text are begun and not ended; `<\/b>` is how scripts write an end.
fn left_open(text: &[u8]) -> usize {
    let tags = |fits: fn(&[u8]) -> bool| text.windows(2).filter(|pair| pair[0] == b'<' && fits(&pair[1..])).count();
    tags(|next| next[0].is_ascii_alphabetic()).saturating_sub(tags(|next| matches!(next[0], b'/' | b'\\')))
}

/// The place behind the `>` of a tag, and how many attributes it has.
fn skip_attributes(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let mut attributes = 0;
    let mut between = true;
    while let Some(b) = bytes.get(at) {
        match b {
            b'>' => return (at + 1, attributes),
            b'"' | b'\''
                if bytes[at - 1] == b'=' || (bytes[at - 1].is_ascii_whitespace() && follows_equals(bytes, at)) =>
            {
                at = bytes[at + 1..].iter().position(|end| end == b).map_or(bytes.len(), |length| at + 1 + length);
                between = true;
            }
            _ if b.is_ascii_whitespace() || *b == b'/' => between = true,
            b'=' => between = false,
            _ if between => {
                attributes += 1;
                between = false;
            }
            _ => {}
        }
        at += 1;
    }
    (bytes.len(), attributes)
}

fn follows_equals(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take(20).find(|b| !b.is_ascii_whitespace()) == Some(&b'=')
}

fn find(bytes: &[u8], from: usize, mark: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.windows(mark.len()).position(|window| window == mark).map_or(bytes.len(), |at| from + at + mark.len())
}

fn find_any_case(bytes: &[u8], from: usize, mark: &[u8]) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.windows(mark.len()).position(|window| window.eq_ignore_ascii_case(mark)).map_or(bytes.len(), |at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_pages_pass() {
        let rows = "<tr><td><b>1</b><p>x<br>y<li>z".repeat(20_000);
        for page in [
            String::new(),
            format!("<html><body><table>{rows}</table></body></html>"),
            format!("<script>{}</script>", "'<div>' + ".repeat(50_000)),
            format!("<div class='{}' data-x=\"<div> a b c\">", "a b c ".repeat(10_000)),
            "<b>".repeat(100) + &"<p>x".repeat(5_000),
            "<!-- <div> ".repeat(10_000),
            "<".repeat(100_000),
            "<div><!-- x --></div>".repeat(50_000),
            format!("<svg></svg><script>{}</script>", r"'<div>' + '<\/div>'".repeat(50_000)),
        ] {
            assert_eq!(too_much(&page), None, "{page:.60}");
        }
    }

    #[test]
    fn pages_that_grow_in_the_parser_are_refused() {
        let many: String = (0..50_000).map(|n| format!(" a{n}")).collect();
        let format: String = (0..20_000).map(|n| format!("<b x={n}>")).collect();
        for page in [
            "<div>".repeat(100_000),
            "<x-y><z-a>".repeat(50_000),
            format!("<p{many}>"),
            format!("{format}{}", "<p>x".repeat(100_000)),
            "<a><b>".repeat(3_000),
            "<DIV\n>".repeat(100_000),
            format!("<svg><title>{}", "<div>".repeat(100_000)),
            format!("<math><style><mi>{}", "<div>".repeat(100_000)),
            format!("<svg><title>{}</title>", "<div>".repeat(9_000)).repeat(2),
        ] {
            assert!(too_much(&page).is_some(), "{page:.60}");
        }
    }
}
