//! A page as readers see it: where its product's name and the button that buys stand, and what is beside them. Pure reading of the tree,
//! each element looked at once.

use std::cell::RefCell;

use super::products::simple;
use crate::{
    dom::{At, Dom},
    words::{self, Part, Said},
};

/// So many buttons that buy are looked at.
const BUTTONS: usize = 60;
/// A button has no more in it than this.
const IN_A_BUTTON: usize = 24;
/// So many levels around a part are looked at.
const LEVELS: usize = 60;
/// Headings of a page that are compared with its titles.
const HEADINGS: usize = 12;

/// A button, or what looks like one, that buys.
#[derive(Debug, Clone)]
pub(super) struct Button {
    pub(super) at: At,
    pub(super) end: At,
    pub(super) said: Said,
    pub(super) is_disabled: bool,
}

/// A page and what was found out of it.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) dom: &'a Dom<'a>,
    /// The heading that names the product.
    pub(super) name: Option<At>,
    /// Buttons that buy, not those beside other products.
    pub(super) buttons: Vec<Button>,
    /// From a heading over other products to the end of what holds it.
    related: Vec<(At, At)>,
    /// What only may stand beside the product does not: nothing else buys it.
    is_loose: bool,
    /// What names say of each element that was looked at.
    parts: RefCell<Vec<Option<Part>>>,
    /// Whether an element stands in something beside the product.
    aside: RefCell<Vec<Option<bool>>>,
}

impl<'a> View<'a> {
    /// `titles`: what the page calls its product, letters and digits only.
    pub(super) fn new(dom: &'a Dom<'a>, titles: &[String]) -> Self {
        let n = dom.len();
        let mut view = Self {
            dom,
            name: None,
            buttons: Vec::new(),
            related: Vec::new(),
            is_loose: false,
            parts: RefCell::new(vec![None; n]),
            aside: RefCell::new(vec![None; n]),
        };
        view.name = view.find_name(titles);
        view.related = view.find_related();
        view.buttons = view.find_buttons();
        if view.buttons.is_empty() {
            view.is_loose = true;
            view.aside.borrow_mut().fill(None);
            view.buttons = view.find_buttons();
        }
        view
    }

    /// What its class, id and test names say of an element.
    pub(super) fn part(&self, at: At) -> Part {
        if let Some(part) = self.parts.borrow()[at] {
            return part;
        }
        let mut found = Part::default();
        for (name, value) in self.dom.written(at) {
            let lower = name.to_ascii_lowercase();
            match lower.as_str() {
                "class" | "id" | "data-testid" | "data-test" | "data-qa" | "data-test-id" | "data-hook"
                | "data-price-type" | "data-automation-id" | "data-element-id" | "data-cy" => {
                    found = found.and(words::part(value));
                }
                "data-a-strike" if value == "true" => found = found.and(Part::OLD).and(Part::SURE),
                "hidden" => found = found.and(Part::HIDDEN),
                "style" => {
                    let simple: String = value.chars().filter(|c| !c.is_whitespace()).collect();
                    if simple.contains("display:none") || simple.contains("visibility:hidden") {
                        found = found.and(Part::HIDDEN);
                    }
                    if simple.contains("line-through") {
                        found = found.and(Part::OLD).and(Part::SURE);
                    }
                }
                _ => {}
            }
        }
        match self.dom.name(at) {
            "del" | "s" | "strike" => found = found.and(Part::OLD).and(Part::SURE),
            "nav" | "footer" | "dialog" => found = found.and(Part::ASIDE),
            "template" | "noscript" | "select" | "datalist" => found = found.and(Part::HIDDEN),
            _ => {}
        }
        self.parts.borrow_mut()[at] = Some(found);
        found
    }

    /// Whether a part stands beside the product: in menus, carts, lists of other products, or where nobody sees it. What holds the
    /// product's name is never beside it.
    pub(super) fn is_aside(&self, at: At) -> bool {
        if self.related.iter().any(|(from, to)| *from <= at && at < *to) {
            return true;
        }
        let mut passed = Vec::new();
        let mut known = false;
        let mut here = at;
        for _ in 0..LEVELS {
            if let Some(aside) = self.aside.borrow()[here] {
                known = aside;
                break;
            }
            if here == 0 || self.holds_name(here) || matches!(self.dom.name(here), "body" | "html" | "main") {
                break;
            }
            passed.push(here);
            let aside = Part::ASIDE.and(Part::HIDDEN).and(if self.is_loose { Part::default() } else { Part::LOOSE });
            if !self.dom.is_text(here) && self.part(here).has(aside) {
                known = true;
                break;
            }
            here = self.dom.parent(here);
        }
        let mut aside = self.aside.borrow_mut();
        passed.into_iter().for_each(|at| aside[at] = Some(known));
        known
    }

    fn find_related(&self) -> Vec<(At, At)> {
        let dom = self.dom;
        let mut related = Vec::new();
        for at in (1..dom.len()).filter(|at| matches!(dom.name(*at), "h2" | "h3" | "h4" | "h5" | "h6")) {
            if dom.end(at) - at > IN_A_BUTTON || related.len() >= HEADINGS * 4 {
                continue;
            }
            if words::said(&dom.line(at).to_lowercase()).has(Said::RELATED) {
                // A heading can be wrapped up with nothing else.
                let mut around = dom.parent(at);
                while around > 0 && dom.end(around) <= dom.end(at) + 1 {
                    around = dom.parent(around);
                }
                related.push((at, dom.end(around)));
            }
        }
        related
    }

    fn holds_name(&self, at: At) -> bool {
        self.name.is_some_and(|name| at <= name && name < self.dom.end(at))
    }

    /// The heading that names the product: the one that the titles have, otherwise the first.
    fn find_name(&self, titles: &[String]) -> Option<At> {
        let dom = self.dom;
        let is_visible = |at: &At| {
            !dom.around(*at).take(LEVELS).chain([*at]).any(|at| {
                at > 0 && (self.part(at).has(Part::HIDDEN) || matches!(dom.name(at), "nav" | "footer" | "dialog"))
            })
        };
        let headings: Vec<(At, String)> = dom
            .all("h1")
            .filter(is_visible)
            .map(|at| (at, simple(&dom.line(at))))
            .filter(|(_, text)| text.len() >= 2)
            .take(HEADINGS)
            .collect();
        let in_titles = |text: &str| {
            text.len() >= 3 && titles.iter().any(|title| title.contains(text) || text.contains(title.as_str()))
        };
        if let Some((at, _)) = headings.iter().find(|(_, text)| in_titles(text)) {
            return Some(*at);
        }
        let lesser = (1..dom.len())
            .filter(|at| matches!(dom.name(*at), "h2" | "h3" | "h4") || (!dom.is_text(*at) && self.is_named_name(*at)))
            .filter(|at| dom.end(*at) - at <= IN_A_BUTTON)
            .take(200)
            .find(|at| {
                let text = simple(&dom.line(*at));
                text.len() >= 6 && titles.iter().any(|title| title.contains(&text)) && is_visible(at)
            });
        lesser.or_else(|| headings.first().map(|(at, _)| *at))
    }

    fn is_named_name(&self, at: At) -> bool {
        let is_name = |value: &str| {
            value.len() <= 200
                && value.split_ascii_whitespace().any(|name| {
                    let name = name.to_ascii_lowercase();
                    name.contains("product") && (name.contains("title") || name.contains("name"))
                })
        };
        self.dom.written(at).any(|(name, value)| match name {
            "class" | "id" => is_name(value),
            "itemprop" => value == "name",
            _ => false,
        })
    }

    fn find_buttons(&self) -> Vec<Button> {
        let dom = self.dom;
        (1..dom.len()).filter(|at| !dom.is_text(*at)).filter_map(|at| self.button(at)).take(BUTTONS).collect()
    }

    /// The element as a button that buys, if it is one.
    fn button(&self, at: At) -> Option<Button> {
        let dom = self.dom;
        let name = dom.name(at);
        let is_input = name == "input"
            && dom
                .attr(at, "type")
                .is_some_and(|kind| matches!(kind.to_ascii_lowercase().as_str(), "submit" | "button" | "image"));
        let is_button = is_input || matches!(name, "button" | "a");
        let plays_button =
            || matches!(name, "div" | "span" | "li" | "p") && dom.attr(at, "role").as_deref() == Some("button");
        if !(is_button || plays_button()) {
            return None;
        }
        if dom.end(at) - at > IN_A_BUTTON {
            return None;
        }
        // Most links of a page stand in its menus, before the name.
        if name == "a" && (dom.end(at) - at > 8 || self.name.is_some_and(|name| at < name)) {
            return None;
        }
        let mut text = if is_input { String::new() } else { dom.line(at) };
        if text.len() > 200 {
            return None;
        }
        for name in ["value", "aria-label", "title", "alt"] {
            if text.len() < 3
                && let Some(value) = dom.attr(at, name)
            {
                text.push_str(value.trim());
            }
        }
        let said = words::said(&text.to_lowercase());
        let buys =
            said.has(Said::BUY) || said.has(Said::PREORDER) || self.is_named_buy(at) || self.is_in_form(at, name);
        if !(buys || (said.has(Said::GONE) && name != "a")) || self.is_aside(at) {
            return None;
        }
        let is_disabled = dom.has_attr(at, "disabled") || dom.attr(at, "aria-disabled").as_deref() == Some("true");
        Some(Button { at, end: dom.end(at), said, is_disabled })
    }

    /// Whether a button sends a form that is named after the cart.
    fn is_in_form(&self, at: At, name: &str) -> bool {
        let dom = self.dom;
        let submits = dom.attr(at, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("submit"));
        if name == "a" || !submits {
            return false;
        }
        let form = dom.around(at).take(12).find(|at| dom.name(*at) == "form");
        form.is_some_and(|form| {
            dom.written(form)
                .any(|(name, value)| matches!(name, "class" | "id" | "name" | "action") && words::names_buy(value))
        })
    }

    fn is_named_buy(&self, at: At) -> bool {
        self.dom.written(at).any(|(name, value)| {
            matches!(
                name,
                "class"
                    | "id"
                    | "name"
                    | "data-action"
                    | "onclick"
                    | "data-testid"
                    | "data-test"
                    | "data-qa"
                    | "data-role"
            ) && words::names_buy(value)
        })
    }

    /// The button that buys the product: the first one behind its name that is in use, otherwise the first.
    pub(super) fn button_of_product(&self) -> Option<&Button> {
        let behind = |button: &&Button| self.name.is_none_or(|name| button.at > name);
        self.buttons.iter().find(behind).or_else(|| self.buttons.first())
    }
}
