//! The price as readers see it: the amount at the product's name and at the button that buys.

use rust_decimal::Decimal;

use super::{seen::Seen, view::View};
use crate::{
    amount::Money,
    dom::At,
    words::{self, Part, Said},
};

/// So far behind the button the price still stands at it.
const BEHIND: usize = 60;
/// Without a name, so far before the button.
const BEFORE: usize = 400;
/// Without a button, so far behind the name.
const WITHOUT: usize = 300;
/// Amounts so near each other are an old price and a new one, or a price and what it is for a measure.
const NEAR: usize = 30;
/// More buttons that buy, and no name: a list of products.
const LIST: usize = 4;

/// More different amounts behind a name without a button are of a list.
const KINDS: usize = 3;
/// An amount that stands there oftener is not of one product.
const LONELY: usize = 6;

/// What is said of an amount that is saved.
const SAVED: [&str; 15] = [
    "save",
    "saving",
    " off",
    "spar",
    "rabatt",
    "écono",
    "remise",
    "ahorr",
    "descuento",
    "rispar",
    "sconto",
    "bespaar",
    "korting",
    "econom",
    "oszcz",
];
/// So many amounts are asked whether they are listed.
const LISTED: usize = 16;
/// A text with more letters is a sentence.
const WORDS: usize = 24;

/// So many elements around an amount, and so many beside each, are looked at.
const LEVELS: usize = 5;
const SIBLINGS: usize = 60;
/// A card of a list has no more in it than this.
const CARD: usize = 60;

/// How sure a price is from its place alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The only amount of the page.
    Lonely,
    /// At the name or at the button.
    Near,
    /// At both.
    Between,
}

/// Where a price of the product stands: from its name to the button behind it.
pub(super) fn between(view: &View<'_>) -> (At, At) {
    let name = view.name.unwrap_or(0);
    match view.button_of_product() {
        Some(button) if button.end > name => (name, button.end),
        Some(_) => (name, name + WITHOUT),
        None => (name, usize::MAX),
    }
}

/// The price that readers see.
#[derive(Debug, Clone)]
pub(super) struct Visible {
    pub(super) money: Money,
    pub(super) at: At,
    pub(super) place: Place,
    /// What was asked earlier.
    pub(super) former: Option<Money>,
    /// What a measure costs, with the words beside it.
    pub(super) unit: Option<(Money, String)>,
    /// What stands beside the amount.
    pub(super) text: String,
}

/// The visible price, if the page leaves no doubt which it is.
pub(super) fn price(view: &View<'_>, seen: &[Seen]) -> Option<Visible> {
    let fits: Vec<&Seen> = seen.iter().filter(|seen| !seen.is_other()).collect();
    let button = view.button_of_product();
    let (from, to, place) = match (view.name, button) {
        (Some(name), Some(button)) if button.at > name => (name, button.end + BEHIND, Place::Between),
        (Some(name), _) => (name, name + WITHOUT, Place::Near),
        (None, Some(button)) if view.buttons.len() < LIST => {
            (button.at.saturating_sub(BEFORE), button.end + BEHIND, Place::Near)
        }
        (None, Some(_)) => return None,
        (None, None) => (0, usize::MAX, Place::Lonely),
    };
    if is_on_request(view, from, to) {
        return None;
    }
    let within = |seen: &&&Seen| seen.at >= from && seen.at <= to;
    let mut region: Vec<&Seen> = fits.iter().filter(within).copied().collect();
    let mut place = place;
    if region.is_empty() && place == Place::Between {
        region = fits.iter().filter(|seen| seen.at >= from).copied().collect();
        place = Place::Near;
    }
    if region.is_empty() && view.name.is_some() {
        region = only_called_old(seen, from, if button.is_some() { to } else { usize::MAX });
        place = Place::Near;
    }
    if region.is_empty() {
        if view.buttons.len() >= LIST {
            return None;
        }
        // A sentence, or what stands over the product, tells no price of it.
        let fits_alone = |seen: &&Seen| {
            let is_far = view.name.is_some_and(|name| seen.at + 2 * NEAR < name) && !seen.part.has(Part::PRICE);
            seen.has_sign && !is_far && seen.text.chars().filter(|c| c.is_alphabetic()).count() <= WORDS
        };
        region = fits.into_iter().filter(fits_alone).collect();
        place = Place::Lonely;
    }
    let named: Vec<&Seen> = region.iter().filter(|seen| seen.part.has(Part::PRICE)).copied().collect();
    let is_named = !named.is_empty();
    let pool = if is_named { named } else { region };
    if button.is_none() && place == Place::Near && kinds(&pool) > KINDS {
        return None;
    }
    if place == Place::Lonely && pool.len() > LONELY {
        return None;
    }
    if place == Place::Lonely || (place == Place::Near && !is_named && view.name.is_none()) {
        let first = pool.first()?;
        if pool.iter().any(|other| other.money.amount != first.money.amount) {
            return None;
        }
    }
    let nearest = || {
        // Without a name the nearest before the button begins what belongs to it.
        let button = button?;
        let last = pool.iter().rposition(|seen| seen.at < button.at)?;
        let start = (0..=last).rev().take_while(|index| pool[last].at.abs_diff(pool[*index].at) <= NEAR).last()?;
        Some(start)
    };
    let first = if view.name.is_none() { nearest().unwrap_or(0) } else { 0 };
    let chosen = in_groups(view, seen, &pool[first..], place)?;
    let sure = if is_named && !chosen.is_lesser() { place } else { place.min(Place::Near) };
    Some(Visible {
        money: chosen.money.clone(),
        at: chosen.at,
        place: sure,
        former: former(seen, chosen),
        unit: unit(seen, chosen),
        text: chosen.text.clone(),
    })
}

/// The price of the first amounts that stand together and are no list of choices.
fn in_groups<'a>(view: &View<'_>, seen: &[Seen], pool: &[&'a Seen], place: Place) -> Option<&'a Seen> {
    let is_price = |chosen: &&Seen| !chosen.part.has(Part::FROM);
    let chosen = choose(view, seen, &near(pool), place).filter(is_price)?;
    if !is_listed(view, chosen, seen) {
        return Some(chosen);
    }
    if place < Place::Between {
        return None;
    }
    // What can be had along with it is listed; the price stands beside the list, at the button.
    let own: Vec<&Seen> = pool.iter().take(LISTED).filter(|other| !is_listed(view, other, seen)).copied().collect();
    choose(view, seen, &near(&own), place).filter(is_price)
}

/// Amounts that are called old by the names of their elements only, where there is no newer one.
fn only_called_old(seen: &[Seen], from: At, to: At) -> Vec<&Seen> {
    let other = Part::INSTALMENT.and(Part::SHIPPING).and(Part::SAVING).and(Part::SURE);
    let is_alike = |seen: &&Seen| seen.at >= from && seen.at <= to && !seen.is_aside && seen.has_sign;
    let own: Vec<&Seen> = seen.iter().filter(is_alike).collect();
    let called: Vec<&Seen> =
        own.iter().filter(|seen| seen.part.has(Part::OLD) && !seen.part.has(other)).copied().collect();
    if kinds(&called) == 1 && !own.iter().any(|seen| seen.part.has(Part::SURE)) { called } else { Vec::new() }
}

/// Whether the page tells how much lower one amount is than the other: `-15%`, or what is saved.
fn is_discount(view: &View<'_>, seen: &[Seen], lower: &Seen, higher: &Seen) -> bool {
    let (low, high) = (lower.money.amount, higher.money.amount);
    if low <= Decimal::ZERO || low >= high {
        return false;
    }
    let (from, to) = (lower.at.min(higher.at), lower.at.max(higher.at));
    let (from, to) = (from.saturating_sub(NEAR), (to + NEAR).min(view.dom.len()));
    let saved = high - low;
    let is_saved = |seen: &Seen| {
        let text = seen.text.to_lowercase();
        seen.part.has(Part::SAVING) && seen.money.amount == saved && SAVED.iter().any(|word| text.contains(word))
    };
    if seen.iter().any(|seen| seen.at >= from && seen.at <= to && is_saved(seen)) {
        return true;
    }
    let share = saved * Decimal::ONE_HUNDRED / high;
    (from..to).filter(|at| view.dom.is_text(*at) && view.dom.raw(*at).len() <= 60).any(|at| {
        let text = view.dom.text(at);
        let percent = text.split('%').next().filter(|start| start.len() < text.len());
        let digits = percent.map(|start| {
            let start = start.trim_end();
            let digits = start.bytes().rev().take_while(u8::is_ascii_digit).count();
            &start[start.len() - digits..]
        });
        let told =
            digits.filter(|digits| (1..=2).contains(&digits.len())).and_then(|digits| digits.parse::<i64>().ok());
        told.is_some_and(|told| (Decimal::from(told) - share).abs() <= Decimal::ONE)
    })
}

/// Whether there is no price for everybody, at the product's name.
pub(super) fn is_withheld(view: &View<'_>) -> bool {
    view.name.is_some_and(|name| is_on_request(view, name, name + WITHOUT))
}

/// Whether the page says in the place of a price that there is none for everybody, or that the piece is used.
fn is_on_request(view: &View<'_>, from: At, to: At) -> bool {
    let dom = view.dom;
    let texts =
        (from..to.min(from + WITHOUT).min(dom.len())).filter(|at| dom.is_text(*at) && dom.raw(*at).len() <= 200);
    texts.into_iter().any(|at| {
        let parent = dom.parent(at);
        if matches!(dom.name(parent), "script" | "style" | "noscript" | "option") {
            return false;
        }
        let text = dom.text(at).trim().to_lowercase();
        let is_used = || {
            matches!(
                text.as_str(),
                "used" | "gebraucht" | "usado" | "usato" | "d'occasion" | "occasion" | "pre-owned" | "tweedehands"
            ) && dom
                .around(at)
                .take(2)
                .any(|at| dom.attr(at, "class").is_some_and(|class| class.to_ascii_lowercase().contains("condition")))
        };
        (words::said(&text).has(Said::ON_REQUEST) || is_used()) && !view.is_aside(at)
    })
}

/// Whether an amount stands in one of several equal elements with amounts of their own: cards of a list, rows of variants, choices.
fn is_listed(view: &View<'_>, chosen: &Seen, seen: &[Seen]) -> bool {
    let dom = view.dom;
    let mut here = chosen.at;
    for _ in 0..LEVELS {
        if here == 0
            || view.name.is_some_and(|name| here <= name && name < dom.end(here))
            || matches!(dom.name(here), "body" | "main" | "tr")
        {
            return false;
        }
        let holds_button =
            view.button_of_product().is_some_and(|button| here <= button.at && button.at < dom.end(here));
        if dom.end(here) - here > CARD {
            return false;
        }
        let around = dom.parent(here);
        let class = dom.attr(here, "class");
        let mut child = around + 1;
        let mut n = 0;
        let mut others: Vec<Decimal> = Vec::new();
        while child < dom.end(around) && n < SIBLINGS {
            n += 1;
            let fits = dom.name(child) == dom.name(here) && dom.end(child) - child <= CARD;
            // A card with a button is one of a list where the others have buttons, too.
            let has_button = || view.buttons.iter().any(|button| child <= button.at && button.at < dom.end(child));
            let fits = fits && (!holds_button || has_button());
            if fits && dom.attr(child, "class") == class && child != here {
                let own = seen
                    .iter()
                    .find(|seen| seen.at >= child && seen.at < dom.end(child) && !seen.is_other() && !seen.is_lesser());
                others.extend(own.map(|own| own.money.amount).filter(|amount| *amount != chosen.money.amount));
            }
            child = dom.end(child);
        }
        others.sort_unstable();
        others.dedup();
        if others.len() >= 2 {
            return true;
        }
        here = around;
    }
    false
}

/// How many different amounts there are.
fn kinds(pool: &[&Seen]) -> usize {
    let mut amounts: Vec<Decimal> = pool.iter().map(|seen| seen.money.amount).collect();
    amounts.sort_unstable();
    amounts.dedup();
    amounts.len()
}

/// The first amount and those near it.
fn near<'a>(pool: &[&'a Seen]) -> Vec<&'a Seen> {
    let mut group: Vec<&Seen> = Vec::new();
    for seen in pool {
        if group.last().is_some_and(|last| seen.at.abs_diff(last.at) > NEAR) || group.len() >= 8 {
            break;
        }
        group.push(seen);
    }
    group
}

/// Of amounts that stand together the one that counts.
fn choose<'a>(view: &View<'_>, seen: &[Seen], group: &[&'a Seen], place: Place) -> Option<&'a Seen> {
    let better: Vec<&Seen> = group.iter().filter(|seen| !seen.is_lesser()).copied().collect();
    let pool: &[&Seen] = if better.is_empty() { group } else { &better };
    let now: Vec<&Seen> = pool.iter().filter(|seen| seen.part.has(Part::NOW)).copied().collect();
    let pool = if now.is_empty() { pool } else { &now };
    let first = pool.first()?;
    // An old price and a new one, neither marked: nobody raises a price beside the old one.
    let second = pool.iter().find(|other| other.money.amount != first.money.amount);
    if let Some(second) = second
        && second.at.abs_diff(first.at) <= NEAR / 2
    {
        if is_discount(view, seen, second, first) {
            return Some(second);
        }
        if is_discount(view, seen, first, second) {
            return Some(first);
        }
    }
    match second {
        // Several are left, and nothing of the product's own is beside them.
        Some(_) if place < Place::Between => None,
        Some(second)
            if second.money.amount < first.money.amount
                && second.money.amount * Decimal::from(5) > first.money.amount * Decimal::TWO
                && !second.text.contains('/')
                && second.at.abs_diff(first.at) <= NEAR / 2 =>
        {
            Some(second)
        }
        _ => Some(first),
    }
}

/// The earlier price that stands at the price.
fn former(seen: &[Seen], chosen: &Seen) -> Option<Money> {
    let is_near = |seen: &&Seen| !seen.is_aside && seen.at.abs_diff(chosen.at) <= 2 * NEAR;
    let marked = |seen: &&Seen| seen.part.has(Part::OLD.and(Part::REGULAR)) && seen.money.amount > chosen.money.amount;
    let found = seen.iter().filter(is_near).filter(marked).min_by_key(|seen| seen.at.abs_diff(chosen.at))?;
    (found.money.amount < chosen.money.amount * Decimal::from(20)).then(|| found.money.clone())
}

fn unit(seen: &[Seen], chosen: &Seen) -> Option<(Money, String)> {
    let is_near = |seen: &&Seen| !seen.is_aside && seen.at.abs_diff(chosen.at) <= 2 * NEAR;
    let found = seen
        .iter()
        .filter(is_near)
        .find(|seen| seen.part.has(Part::UNIT) && seen.money.amount != chosen.money.amount)?;
    Some((found.money.clone(), found.text.clone()))
}
