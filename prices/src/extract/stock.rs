//! Whether the product can be had, as readers are told: by the button that buys, and by what stands around it.

use super::view::View;
use crate::{
    dom::At,
    words::{self, Part, Said},
};

/// So many parts behind the button still speak of it.
const BEHIND: usize = 120;
/// Without a button, so many behind the name.
const WITHOUT: usize = 400;

/// What the page shows. `price`: where the price stands.
pub(super) fn shown(view: &View<'_>, price: Option<At>) -> Option<&'static str> {
    let button = view.button_of_product();
    let dom = view.dom;
    let (from, to) = match (view.name.or(price), button) {
        (Some(name), Some(button)) => (name.min(button.at), button.end.max(name) + BEHIND),
        (Some(name), None) => (name, name + WITHOUT),
        (None, Some(button)) => (button.at.saturating_sub(WITHOUT), button.end + BEHIND),
        (None, None) => return None,
    };
    if let Some(button) = button {
        if button.said.has(Said::GONE) {
            return Some("OutOfStock");
        }
        if button.said.has(Said::PREORDER) && !button.said.has(Said::BUY) {
            return Some("PreOrder");
        }
    }
    let mut found = None;
    for at in from..to.min(dom.len()) {
        if !dom.is_text(at) || dom.raw(at).len() > 400 {
            continue;
        }
        let text = dom.text(at);
        let text = text.trim();
        if text.len() < 2
            || matches!(dom.name(dom.parent(at)), "script" | "style" | "noscript" | "option" | "template" | "textarea")
        {
            continue;
        }
        let text = text.to_lowercase();
        let said = words::said(&text);
        let word = if said.has(Said::GONE) {
            "OutOfStock"
        } else if said.has(Said::LATER) {
            "BackOrder"
        } else if said.has(Said::HERE) {
            "InStock"
        } else {
            continue;
        };
        if view.is_aside(at) {
            continue;
        }
        // What is said where the stock is said counts, and so does what stands on a line of its own.
        let is_of_stock = dom.around(at).take(3).any(|around| view.part(around).has(Part::STOCK));
        if is_of_stock {
            return Some(word);
        }
        // Sizes that are gone, and other ways to have it, stand beside a button that works.
        if word == "InStock" || button.is_none_or(|button| button.is_disabled) {
            found = found.or(Some(word));
        }
    }
    if let Some(word) = found {
        return Some(word);
    }
    button.map(|_| "InStock")
}
