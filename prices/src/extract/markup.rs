//! Texts of a page's elements, as people read them.

use ego_tree::{NodeRef, iter::Edge};
use scraper::{ElementRef, Html, Node};

use super::bounds;

/// An element with more in it has no value: the elements around it look into it, too, and half of a text would be another one.
const EDGES: usize = 5_000;
/// The same for its letters.
pub(super) const LONGEST_TEXT: usize = 2_000;

/// The text of a string that may have entities and tags in it. Empty when it would take all time to parse it.
pub(super) fn text_of(text: &str) -> String {
    if !text.contains(['&', '<']) {
        return text.to_owned();
    }
    if bounds::too_much(text).is_some() {
        return String::new();
    }
    let fragment = Html::parse_fragment(text);
    spoken(*fragment.root_element(), usize::MAX)
}

/// The text of an element, with raised or small cents parted from what stands before them, and without what is struck out.
pub(super) fn price_text(element: ElementRef<'_>) -> String {
    spoken(*element, LONGEST_TEXT)
}

fn spoken(root: NodeRef<'_, Node>, longest: usize) -> String {
    let mut text = String::new();
    // The outermost element that is passed over.
    let mut skipped = None;
    // An element began or ended since the last text.
    let mut crossed = false;
    for (n, edge) in root.traverse().enumerate() {
        if n == EDGES || text.len() > longest {
            return String::new();
        }
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) if skipped.is_none() => {
                    let hidden = element.attr("hidden").is_some() || element.attr("aria-hidden") == Some("true");
                    let silent =
                        matches!(element.name(), "del" | "s" | "strike" | "script" | "style" | "template" | "noscript");
                    let passed_over =
                        silent || (hidden && element.attr("itemprop").is_none()) || is_footnote(node, element.name());
                    if node != root && passed_over {
                        skipped = Some(node.id());
                    } else if is_block(element.name()) {
                        text.push(' ');
                    }
                    crossed = true;
                }
                Node::Text(piece) if skipped.is_none() => {
                    if crossed && text.ends_with(|c: char| c.is_ascii_digit()) && is_cents(piece) {
                        text.push('.');
                    }
                    text.push_str(if text.is_empty() { piece.trim_start() } else { piece });
                    crossed = false;
                }
                _ => {}
            },
            Edge::Close(node) => {
                if skipped == Some(node.id()) {
                    skipped = None;
                } else if let Node::Element(element) = node.value()
                    && skipped.is_none()
                {
                    if is_block(element.name()) {
                        text.push(' ');
                    }
                    crossed = true;
                }
            }
        }
    }
    text
}

/// One raised digit: `12,99 €<sup>1</sup>`. Cents have two.
fn is_footnote(node: NodeRef<'_, Node>, name: &str) -> bool {
    let digit = |text: &str| {
        text.trim().trim_end_matches([')', '*', ',']).bytes().all(|b| b.is_ascii_digit()) && text.trim().len() <= 2
    };
    let mut texts = node.descendants().filter_map(|inner| inner.value().as_text());
    name == "sup"
        && texts.next().is_some_and(|text| digit(text) && text.bytes().filter(u8::is_ascii_digit).count() == 1)
        && texts.next().is_none()
}

fn is_block(name: &str) -> bool {
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
