//! Texts of a page's elements, as people read them.

use crate::dom::{self, At, Dom};

/// An element with more in it has no value: the elements around it look into it, too, and half of a text would be another one.
const PARTS: usize = 2_500;
/// The same for its letters.
pub(super) const LONGEST_TEXT: usize = 2_000;

/// The text of a string that may have entities and tags in it. Empty when it would take all time to read it.
pub(super) fn text_of(text: &str) -> String {
    if !text.contains(['&', '<']) {
        return text.to_owned();
    }
    dom::parse(text).map_or_else(|_| String::new(), |dom| spoken(&dom, 0, usize::MAX, false))
}

/// The text of an element, with raised or small cents parted from what stands before them, and without what is struck out.
pub(super) fn price_text(dom: &Dom<'_>, at: At) -> String {
    spoken(dom, at, LONGEST_TEXT, false)
}

/// The same, with what is struck out.
pub(super) fn struck_text(dom: &Dom<'_>, at: At) -> String {
    spoken(dom, at, LONGEST_TEXT, true)
}

fn spoken(dom: &Dom<'_>, root: At, longest: usize, with_struck: bool) -> String {
    let mut text = String::new();
    // Where the open blocks end.
    let mut blocks: Vec<At> = Vec::new();
    // An element began or ended since the last text.
    let mut crossed = false;
    let mut last_end = dom.end(root);
    if last_end - root > PARTS {
        return String::new();
    }
    let mut at = root;
    while at < dom.end(root) {
        while blocks.last().is_some_and(|end| *end <= at) {
            blocks.pop();
            text.push(' ');
        }
        if text.len() > longest {
            return String::new();
        }
        if dom.is_text(at) {
            let piece = dom.text(at);
            crossed |= last_end <= at;
            if crossed && text.ends_with(|c: char| c.is_ascii_digit()) && is_cents(&piece) {
                text.push('.');
            }
            // "Price" for those who only hear the page, right before the digits.
            if crossed && text.ends_with(char::is_alphabetic) && piece.starts_with(|c: char| c.is_ascii_digit()) {
                text.push(' ');
            }
            text.push_str(if text.is_empty() { piece.trim_start() } else { &piece });
            crossed = false;
            last_end = dom.end(dom.parent(at));
            at += 1;
            continue;
        }
        if at != root {
            if is_passed_over(dom, at, with_struck) {
                crossed = true;
                at = dom.end(at);
                continue;
            }
            crossed = true;
        }
        if is_block(dom.name(at)) {
            text.push(' ');
            blocks.push(dom.end(at));
        }
        at += 1;
    }
    if text.len() > longest { String::new() } else { text }
}

/// Whether readers do not hear an element.
pub(super) fn is_passed_over(dom: &Dom<'_>, at: At, with_struck: bool) -> bool {
    let name = dom.name(at);
    let silent = match name {
        "script" | "style" | "template" | "noscript" => true,
        "del" | "s" | "strike" => !with_struck,
        _ => false,
    };
    silent
        || ((dom.has_attr(at, "hidden") || dom.attr(at, "aria-hidden").as_deref() == Some("true"))
            && !dom.has_attr(at, "itemprop"))
        || is_footnote(dom, at)
}

/// One raised digit: `12,99 €<sup>1</sup>`. Cents have two.
fn is_footnote(dom: &Dom<'_>, at: At) -> bool {
    if dom.name(at) != "sup" {
        return false;
    }
    let digit = |text: &str| {
        text.trim().trim_end_matches([')', '*', ',']).bytes().all(|b| b.is_ascii_digit()) && text.trim().len() <= 2
    };
    let mut texts = (at..dom.end(at)).filter(|at| dom.is_text(*at)).map(|at| dom.text(at));
    texts.next().is_some_and(|text| digit(&text) && text.bytes().filter(u8::is_ascii_digit).count() == 1)
        && texts.next().is_none()
}

pub(super) fn is_block(name: &str) -> bool {
    matches!(
        name,
        "div"
            | "p"
            | "br"
            | "li"
            | "ul"
            | "td"
            | "tr"
            | "table"
            | "dd"
            | "dt"
            | "h1"
            | "h2"
            | "h3"
            | "section"
            | "label"
            | "option"
    )
}

/// Exactly two digits: cents that an element of their own raises or shrinks.
fn is_cents(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    digits == 2 && !text[2..].starts_with(['.', ',', '%'])
}
