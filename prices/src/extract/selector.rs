//! The element that the CSS selector of a job names. The only place that needs a whole parser of HTML and CSS, so the page is parsed
//! for it a second time.

use scraper::{Html, Selector};

use super::markup;
use crate::dom;

/// Longer selectors are none.
const LONGEST: usize = 500;
/// So many levels the parser of HTML may be given: what it does grows with them.
const DEPTH: usize = 400;

/// Whether a text is a CSS selector.
#[must_use]
pub fn is_selector(css: &str) -> bool {
    css.len() <= LONGEST && Selector::parse(css).is_ok()
}

/// The text of the first element that a selector fits, or its `content` or `value`.
pub(super) fn text(html: &str, css: &str) -> Option<String> {
    if css.len() > LONGEST || dom::parse(html).is_ok_and(|dom| dom.depth() > DEPTH) {
        return None;
    }
    let selector = Selector::parse(css).ok()?;
    let page = Html::parse_document(html);
    let element = page.select(&selector).next()?;
    if let Some(value) = ["content", "value"].into_iter().find_map(|name| element.attr(name)) {
        return Some(value.to_owned());
    }
    let written = element.html();
    let dom = dom::parse(&written).ok()?;
    Some(markup::price_text(&dom, 0)).filter(|text| !text.trim().is_empty())
}
