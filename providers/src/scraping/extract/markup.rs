//! Texts of a page's elements, as people read them.

use ego_tree::{NodeRef, iter::Edge};
use scraper::{ElementRef, Html, Node};

/// No more of an element is looked at: the elements around it look into it, too.
const EDGES: usize = 5_000;

/// The text of a string that may have entities and tags in it.
pub(super) fn text_of(text: &str) -> String {
    if !text.contains(['&', '<']) {
        return text.to_owned();
    }
    let fragment = Html::parse_fragment(text);
    spoken(*fragment.root_element())
}

/// The text of an element, with raised or small cents parted from what stands before them, and without what is struck out.
pub(super) fn price_text(element: ElementRef<'_>) -> String {
    spoken(*element)
}

fn spoken(root: NodeRef<'_, Node>) -> String {
    let mut text = String::new();
    // The outermost element that is passed over.
    let mut skipped = None;
    // An element began or ended since the last text.
    let mut crossed = false;
    for edge in root.traverse().take(EDGES) {
        match edge {
            Edge::Open(node) => match node.value() {
                Node::Element(element) if skipped.is_none() => {
                    let hidden = element.attr("hidden").is_some() || element.attr("aria-hidden") == Some("true");
                    let silent =
                        matches!(element.name(), "del" | "s" | "strike" | "script" | "style" | "template" | "noscript");
                    if node != root && (silent || (hidden && element.attr("itemprop").is_none())) {
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
                    text.push_str(piece);
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
