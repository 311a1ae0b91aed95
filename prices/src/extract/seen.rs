//! The amounts of money that a page shows, and what each of them is.

use super::{markup, view::View};
use crate::{
    amount::{self, Money, Role},
    dom::At,
    words::{self, Part, Said},
};

/// So many amounts of a page are looked at.
const AMOUNTS: usize = 3_000;
/// An amount's text is shorter than this.
const LONGEST: usize = 120;
/// An element around one amount has no more in it than this.
const PARTS: usize = 60;
/// So many letters a piece of an amount has.
const LETTERS: usize = 4;
/// So many letters stand around the pieces of one.
const WORDS: usize = 14;
/// So far up from its digits an amount's sign can stand.
const UP: usize = 4;
/// So many amounts before and behind one are compared with it.
const TWICE: usize = 4;
/// So many elements around an amount speak of it.
const SPEAKING: usize = 5;

/// An amount that the page shows.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The element that holds it.
    pub(super) at: At,
    pub(super) money: Money,
    /// What its own words, those beside it and the names around it say.
    pub(super) part: Part,
    pub(super) is_aside: bool,
    /// A sign or code of a currency stands beside it.
    pub(super) has_sign: bool,
    /// What stands beside the amount, for the measure of a price.
    pub(super) text: String,
}

impl Seen {
    /// Whether it is no price of one new piece for anybody, or of another product.
    pub(super) fn is_other(&self) -> bool {
        self.is_aside || self.part.has(Part::OLD.and(Part::INSTALMENT).and(Part::SHIPPING).and(Part::SAVING))
    }

    /// Whether it counts only where nothing better stands beside it.
    pub(super) fn is_lesser(&self) -> bool {
        self.part.has(Part::REGULAR.and(Part::UNIT).and(Part::UNTAXED)) && !self.part.has(Part::NOW)
    }
}

/// An element that holds an amount, the text in it that has the first digits, and all its text.
struct Found {
    at: At,
    digits: At,
    text: String,
}

/// All amounts in the order of the page. `currency`: what the page says of it elsewhere.
pub(super) fn amounts(view: &View<'_>, currency: Option<&str>) -> Vec<Seen> {
    let dom = view.dom;
    let mut places: Vec<Found> = Vec::new();
    let mut covered = 0;
    for at in 1..dom.len() {
        if places.len() >= AMOUNTS {
            break;
        }
        if at < covered || !dom.is_text(at) || !may_be_amount(dom.raw(at)) {
            continue;
        }
        let parent = dom.name(dom.parent(at));
        if matches!(parent, "script" | "style" | "noscript" | "title" | "textarea" | "option" | "iframe" | "xmp") {
            continue;
        }
        let last = places.last().map_or(0, |found| found.at);
        // Amounts of other products are many, and count for nothing.
        if view.is_aside(at) {
            continue;
        }
        if let Some((place, text)) = element_of(view, at, last, currency) {
            covered = dom.end(place);
            places.push(Found { at: place, digits: at, text });
        }
    }
    let mut seen = Vec::new();
    for (index, found) in places.iter().enumerate() {
        // The same amount may stand there twice, for readers and for who hears the page.
        let other = |place: &&Found| place.text != found.text;
        let before =
            places[index.saturating_sub(TWICE)..index].iter().rfind(other).map_or(0, |found| dom.end(found.at));
        let behind = places[index..].iter().take(TWICE).find(other).map_or(dom.len(), |found| found.at);
        read(view, found, (before, behind), currency, &mut seen);
    }
    ranges(view, &mut seen);
    seen
}

/// The currency of all signs of a page, if it is one.
pub(super) fn currency(seen: &[Seen]) -> Option<String> {
    let mut all = seen.iter().filter_map(|seen| seen.money.currency.as_ref());
    let first = all.next()?;
    all.all(|other| other == first).then(|| first.clone())
}

/// Marks the lower ends of ranges whose ends stand in elements of their own: `95 € – 115 €`.
fn ranges(view: &View<'_>, seen: &mut [Seen]) {
    let dom = view.dom;
    for index in 1..seen.len() {
        let (from, to) = (dom.end(seen[index - 1].at), seen[index].at);
        if from > to || to - from > 8 || seen[index].money.amount <= seen[index - 1].money.amount {
            continue;
        }
        let between: String = (from..to).filter(|at| dom.is_text(*at)).map(|at| dom.text(at)).collect();
        if matches!(
            between.trim(),
            "-" | "–" | "—" | "~" | "to" | "bis" | "à" | "a" | "do" | "tot" | "até" | "до" | "till" | "til"
        ) {
            seen[index - 1].part = seen[index - 1].part.and(Part::FROM);
        }
    }
}

/// Whether a text can hold digits of an amount. Cheap, since it is asked of every text.
fn may_be_amount(text: &str) -> bool {
    let text = text.trim();
    // What is off, and how many liked it.
    let is_share = text.contains('%') && !text.contains(['$', '€', '£']);
    if text.len() > 2 * LONGEST || is_share || !text.chars().any(char::is_numeric) {
        return false;
    }
    if is_date(text) {
        return false;
    }
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    letters <= 6 || text.bytes().any(|b| b == b'$' || b == b'&' || !b.is_ascii()) || letters <= 40 && has_code(text)
}

/// Whether a sign or word of a currency may stand in a text, or a dash for the cents. Cheap, too.
fn may_have_sign(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.iter().any(|b| !b.is_ascii() || matches!(b, b'$' | b'-')) {
        return true;
    }
    let words = bytes.split(|b| !b.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    words.into_iter().any(|word| {
        word.len() <= 3
            || (word.len() <= 9
                && [
                    "euro", "cent", "doll", "poun", "peso", "reai", "rubl", "rupe", "fran", "lira", "kron", "zlot",
                    "yuan", "baht", "fcfa",
                ]
                .into_iter()
                .any(|start| word[..4].eq_ignore_ascii_case(start.as_bytes())))
            || word.len() == 4
    })
}

/// Whether a text is a date: `12.04.2026`.
fn is_date(text: &str) -> bool {
    let mut lengths = [0; 3];
    let mut pieces = text.split(['.', '/', '-']);
    for length in &mut lengths {
        match pieces.next() {
            Some(piece) if !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit()) => *length = piece.len(),
            _ => return false,
        }
    }
    pieces.next().is_none() && matches!(lengths, [1 | 2, 1 | 2, 2 | 4] | [4, 1 | 2, 1 | 2])
}

/// Whether three capitals, or two or three letters right beside digits, can be a currency.
fn has_code(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphabetic())
        .any(|word| (2..=4).contains(&word.len()) && amount::currency(word).is_some())
        || text.split_ascii_whitespace().any(|word| {
            matches!(word.to_ascii_lowercase().as_str(), "kr" | "lei" | "ft" | "rs" | "euros" | "euro" | "tl")
        })
}

/// The innermost element around digits that has an amount with its sign in it, or that is named after prices.
fn element_of(view: &View<'_>, at: At, last: At, currency: Option<&str>) -> Option<(At, String)> {
    let dom = view.dom;
    let mut bare = None;
    let mut here = dom.parent(at);
    for level in 0..UP {
        if here <= last || dom.end(here) - here > PARTS || matches!(dom.name(here), "body" | "html" | "table" | "tr") {
            break;
        }
        let text = markup::struck_text(dom, here);
        let text = one_line(&text);
        if text.is_empty() || text.len() > LONGEST {
            break;
        }
        // Pieces of an amount have few words around them.
        let letters = text.chars().filter(|c| c.is_alphabetic()).count();
        if level > 0 && letters > WORDS {
            break;
        }
        if may_have_sign(&text) && amount::all(&text, currency).iter().any(|told| told.has_sign) {
            // "$119" and then ".99" in an element beside it.
            let around = dom.parent(here);
            let next = dom.end(here) + usize::from(dom.end(here) < dom.len() && !dom.is_text(dom.end(here)));
            if next < dom.end(around) && dom.is_text(next) && is_cents(&dom.text(next)) {
                return Some((around, one_line(&markup::struck_text(dom, around))));
            }
            return Some((here, text));
        }
        // What has words in it is no piece of an amount.
        if text.chars().filter(|c| c.is_alphabetic()).count() > LETTERS
            && bare.is_none()
            && !view.part(here).has(Part::PRICE)
        {
            break;
        }
        let is_named = view.part(here).has(Part::PRICE) || dom.attr(here, "itemprop").as_deref() == Some("price");
        if is_named
            && bare.is_none()
            && (currency.is_some() || text.contains(['.', ',']))
            && amount::from_text(&text, currency).is_some()
        {
            bare = Some((here, text));
        }
        here = dom.parent(here);
    }
    bare
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Cents with their point: `.99`.
fn is_cents(text: &str) -> bool {
    let text = text.trim();
    text.len() == 3 && text.starts_with(['.', ',']) && text[1..].bytes().all(|b| b.is_ascii_digit())
}

/// Adds the amounts of an element. `between`: where the amounts before and behind it are.
fn read(view: &View<'_>, found: &Found, between: (At, At), currency: Option<&str>, seen: &mut Vec<Seen>) {
    let dom = view.dom;
    let Found { at, digits, text } = found;
    let at = *at;
    let (mut part, mut label_from) = (Part::default(), at);
    for (level, here) in [at].into_iter().chain(dom.around(at)).take(SPEAKING).enumerate() {
        let is_alone = here >= between.0 && dom.end(here) <= between.1 && dom.end(here) - here <= 2 * PARTS;
        if here == 0 || !is_alone {
            // The amounts of a block share its name, but not what it says of one of them.
            if here > 0 && level <= 2 && view.part(here).has(Part::PRICE) {
                part = part.and(Part::PRICE);
            }
            break;
        }
        label_from = here;
        part = part.and(view.part(here));
    }
    // What the elements in it say that hold its digits.
    for inner in dom.around(*digits).take_while(|inner| *inner > at) {
        part = part.and(view.part(inner).without(Part::HIDDEN));
    }
    let is_aside = view.is_aside(at) || part.has(Part::HIDDEN);
    let before = match label_before(view, at, between.0) {
        label if label.is_empty() => label_before(view, label_from.min(at), between.0),
        label => label,
    };
    let behind = label_behind(view, dom.end(at), between.1);
    let whole = format!("{before} {text} {behind}");
    let mut told = amount::all(text, currency);
    if !(before.is_empty() && behind.is_empty()) {
        let with_labels = amount::all(&whole, currency);
        if with_labels.len() == told.len() {
            // What a label ends with is no sign: "Boots NZ", "$120".
            for (told, mut labelled) in told.iter_mut().zip(with_labels) {
                labelled.money.currency = told.money.currency.take();
                labelled.has_sign = told.has_sign;
                *told = labelled;
            }
        }
    }
    if told.is_empty() {
        told.extend(amount::from_text(text, currency).map(|money| amount::Told {
            money,
            role: Role::Price,
            has_sign: false,
        }));
    }
    let is_range = told.iter().any(|told| told.role == Role::Upper);
    if is_range || amount::is_from(&whole) || amount::is_from(text) {
        part = part.and(Part::FROM);
    }
    let said = words::said(&whole.to_lowercase());
    if said.has(Said::FEW) {
        part = part.and(Part::SAVING);
    }
    let is_untaxed = |text: &str| words::said(&text.to_lowercase()).has(Said::UNTAXED);
    // Of several amounts in one text the text tells which is which.
    if told.len() == 1
        && said.has(Said::UNTAXED)
        && (is_untaxed(text) || is_untaxed(&behind) || (before.ends_with(':') && is_untaxed(&before)))
    {
        part = part.and(Part::UNTAXED);
    }
    if said.has(Said::LOWEST) {
        part = part.and(Part::OLD).and(Part::SURE);
    }
    let n_prices = told.iter().filter(|told| told.role == Role::Price).count();
    for told in told {
        if told.money.amount.is_zero() {
            continue;
        }
        let role = match told.role {
            Role::Price => Part::default(),
            Role::Untaxed => Part::UNTAXED,
            Role::Regular => Part::REGULAR,
            Role::Part => Part::UNIT,
            Role::Former => Part::OLD.and(Part::SURE),
            Role::Upper | Role::Cents => continue,
            Role::Other => Part::SAVING,
        };
        // Names that speak of one of two amounts do not speak of both.
        let part = if n_prices > 1 { part.without(Part::OLD) } else { part };
        seen.push(Seen {
            at,
            money: told.money,
            part: part.and(role),
            is_aside,
            has_sign: told.has_sign,
            text: whole.clone(),
        });
    }
}

/// The words right before an amount: "Was:", "UVP".
fn label_before(view: &View<'_>, at: At, from: At) -> String {
    let dom = view.dom;
    let texts = (from.max(at.saturating_sub(8))..at).rev().filter(|at| dom.is_text(*at));
    let mut texts = texts.map(|at| dom.text(at).trim().to_owned()).filter(|text| !text.is_empty());
    let label = texts.next().unwrap_or_default();
    let is_label = label.chars().count() <= 32
        && !label.starts_with('/')
        && (label.ends_with(':') || !amount::is_of_last(&label))
        && !label.bytes().any(|b| b.is_ascii_digit());
    if is_label { label } else { String::new() }
}

/// The words right behind it: "/ kg", "per month".
fn label_behind(view: &View<'_>, at: At, to: At) -> String {
    let dom = view.dom;
    let texts = (at..to.min(at + 6)).filter(|at| dom.is_text(*at));
    let mut texts = texts.map(|at| dom.text(at).trim().to_owned()).filter(|text| !text.is_empty());
    let label = texts.next().unwrap_or_default();
    let is_label = label.chars().count() <= 24 && !label.bytes().any(|b| b.is_ascii_digit());
    if is_label && !label.ends_with(':') && amount::is_of_last(&label) { label } else { String::new() }
}
