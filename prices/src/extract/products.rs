//! Which of a page's products and variants the page is about, and what it costs. Several prices of which none is named are not
//! guessed from.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{
    availability::{self, Rank},
    facts::{self, Facts},
    graph::Graph,
    names::{Level, Page},
    offers::{Candidate, Offered, Offers},
};
use crate::amount::Money;

/// So many products of a page are looked at.
const PRODUCTS: usize = 1_000;

const KINDS: [&str; 17] = [
    "product",
    "productgroup",
    "productmodel",
    "individualproduct",
    "someproducts",
    "productcollection",
    "vehicle",
    "car",
    "motorcycle",
    "motorizedbicycle",
    "book",
    "audiobook",
    "game",
    "videogame",
    "musicalbum",
    "drug",
    "dietarysupplement",
];

/// What one kind of data of a page says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) price: Option<(Money, Option<&'static str>)>,
    /// Also where there is no price.
    pub(super) availability: Option<&'static str>,
    /// Prices between which the data do not tell.
    pub(super) open: Vec<Candidate>,
    /// Amounts that are of used pieces, or for members only.
    pub(super) refused: Vec<Decimal>,
    /// What else they say of the product.
    pub(super) facts: Facts,
    /// The first day on which a date of the page may have it read otherwise.
    pub(super) until: Option<NaiveDate>,
}

/// A product with its variants.
struct Pool {
    key: usize,
    members: Vec<usize>,
    found: Offered,
}

/// What a page calls its product: headings and titles.
#[derive(Debug, Default)]
pub(super) struct Titles {
    /// Names that stand alone.
    pub(super) whole: Vec<String>,
    /// Names that stand among other words.
    pub(super) within: Vec<String>,
}

pub(super) fn read(graph: &Graph, page: &Page, titles: &Titles, today: NaiveDate) -> Reading {
    let offers = Offers::new(graph, page, today);
    let mut pools: Vec<Pool> = Vec::new();
    let products = (0..graph.nodes.len()).filter(|at| graph.canonical(*at) == *at && graph.is(*at, &KINDS));
    for at in products.take(PRODUCTS) {
        let Some(key) = group(graph, at) else { continue };
        let found = offers.of(at);
        match pools.iter_mut().find(|pool| pool.key == key) {
            Some(pool) => {
                pool.members.push(at);
                pool.found.add(found);
            }
            None => pools.push(Pool { key, members: vec![at], found }),
        }
    }
    stand_alone(&offers, &mut pools);
    let pools = about_the_page(pools, graph, page, titles);
    let members: Vec<usize> = pools.iter().flat_map(|pool| pool.members.iter().copied()).collect();
    let facts = facts::read(graph, &members);
    let availability =
        pools.iter().filter_map(|pool| pool.found.availability).min_by_key(|word| availability::rank(Some(word)));
    let candidates: Vec<Candidate> = pools.into_iter().flat_map(|pool| pool.found.candidates).collect();
    let until = offers.until.get();
    Reading { availability, refused: offers.refused.into_inner(), facts, until, ..choose(candidates) }
}

/// The group that a product is a variant of, or itself. `None` for a product that only says what an offer is for.
fn group(graph: &Graph, at: usize) -> Option<usize> {
    if let Some(group) = graph.children(at, "isvariantof").first() {
        return Some(graph.canonical(*group));
    }
    match &graph.nodes[at].parent {
        Some((parent, name)) if name == "hasvariant" => return Some(graph.canonical(*parent)),
        Some((_, name)) if name == "itemoffered" => return None,
        _ => {}
    }
    let of_group =
        |group: &usize| graph.children(*group, "hasvariant").iter().any(|variant| graph.canonical(*variant) == at);
    let groups =
        || (0..graph.nodes.len()).filter(|group| graph.nodes[*group].types.iter().any(|name| name == "productgroup"));
    let named = graph.text(at, "inproductgroupwithid");
    let by_name = |group: &usize| named.is_some() && graph.text(*group, "productgroupid") == named;
    let group = groups().take(20).find(|group| *group != at && (of_group(group) || by_name(group)));
    // Variants can name a group that the page does not show.
    let sibling = || (0..at).find(|other| named.is_some() && graph.text(*other, "inproductgroupwithid") == named);
    Some(group.or_else(|| named.is_some().then(sibling).flatten()).map_or(at, |group| graph.canonical(group)))
}

/// Offers that no product has: they name their product themselves, or belong to the only one that has none.
fn stand_alone(offers: &Offers<'_>, pools: &mut Vec<Pool>) {
    let graph = offers.graph;
    let alone = (0..graph.nodes.len()).filter(|at| {
        let at_top =
            graph.nodes[*at].parent.as_ref().is_none_or(|(_, name)| matches!(name.as_str(), "@graph" | "mainentity"));
        at_top && graph.is(*at, &["offer", "aggregateoffer", "offer-aggregate"]) && graph.canonical(*at) == *at
    });
    let alone: Vec<usize> = alone.take(PRODUCTS).filter(|at| !offers.seen.borrow().contains(at)).collect();
    let mut nameless = Vec::new();
    for at in alone {
        let found = offers.of(at);
        let items: Vec<usize> =
            graph.children(at, "itemoffered").into_iter().map(|item| graph.canonical(item)).collect();
        let own = pools.iter().position(|pool| items.iter().any(|item| pool.members.contains(item)));
        let bare = || (pools.len() == 1 && pools[0].found.candidates.is_empty() && items.is_empty()).then_some(0);
        match own.or_else(bare) {
            Some(own) => pools[own].found.add(found),
            None if !items.is_empty() => pools.push(Pool { key: items[0], members: items, found }),
            None => nameless.push(Pool { key: at, members: vec![at], found }),
        }
    }
    // Offers of nobody knows what count where nothing else does.
    if pools.iter().all(|pool| pool.found.candidates.is_empty()) {
        pools.append(&mut nameless);
    }
}

/// The products that the page is about, as far as it tells.
fn about_the_page(pools: Vec<Pool>, graph: &Graph, page: &Page, titles: &Titles) -> Vec<Pool> {
    let links = |pool: &Pool| -> Vec<String> {
        let of = |at: &usize| {
            let mut links = graph.texts(*at, "url");
            links.extend(graph.texts(*at, "mainentityofpage"));
            links.extend(graph.nodes[*at].id.clone().filter(|id| !id.contains('#') && page.is_address(id)));
            links
        };
        pool.members.iter().flat_map(of).collect()
    };
    let is_named = |pool: &Pool| {
        page.is_named_by(&links(pool)) == Some(true)
            || pool.found.candidates.iter().any(|candidate| candidate.level >= Level::Page)
    };
    let is_aside = |pool: &Pool| pool.members.iter().all(|at| graph.is_aside(*at));
    let names = |pool: &Pool| -> Vec<String> {
        pool.members.iter().filter_map(|at| graph.text(*at, "name")).map(|name| simple(&name)).collect()
    };
    let mut pools: Vec<Pool> = pools
        .into_iter()
        .filter(|pool| !pool.found.candidates.is_empty() || pool.found.availability.is_some())
        .filter(|pool| !is_aside(pool) || is_named(pool))
        .collect();
    let has_price = |pool: &Pool| !pool.found.candidates.is_empty();
    narrow(&mut pools, has_price);
    narrow(&mut pools, |pool| pool.found.candidates.iter().any(|candidate| candidate.level == Level::Variant));
    narrow(&mut pools, is_named);
    narrow(&mut pools, |pool| !is_aside(pool));
    narrow(&mut pools, |pool| pool.members.iter().any(|at| !graph.is_far(*at)));
    narrow(&mut pools, |pool| pool.members.iter().any(|at| graph.is_main(*at)));
    narrow(&mut pools, |pool| names(pool).iter().any(|name| titles.whole.contains(name)));
    let longest = pools
        .iter()
        .flat_map(&names)
        .filter(|name| name.len() >= 4 && titles.within.iter().any(|title| title.contains(name.as_str())));
    if let Some(longest) = longest.max_by_key(String::len) {
        narrow(&mut pools, |pool| names(pool).contains(&longest));
    }
    narrow(&mut pools, |pool| page.is_named_by(&links(pool)) != Some(false));
    pools
}

/// Keeps what fits, if anything does and there is a choice.
fn narrow<T>(all: &mut Vec<T>, fits: impl Fn(&T) -> bool) {
    let fitting: Vec<bool> = all.iter().map(fits).collect();
    if fitting.contains(&true) {
        let mut fitting = fitting.into_iter();
        all.retain(|_| fitting.next().unwrap_or(true));
    }
}

/// Letters and digits in lower case.
pub(super) fn simple(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn choose(mut candidates: Vec<Candidate>) -> Reading {
    candidates.retain(|candidate| candidate.level != Level::Other);
    let is_gone = |candidate: &Candidate| availability::rank(candidate.availability) == Rank::Gone;
    // Shops write 0 where they have no price.
    candidates.retain(|candidate| !candidate.money.amount.is_zero() || !is_gone(candidate));
    narrow(&mut candidates, |candidate| !candidate.money.amount.is_zero());
    narrow(&mut candidates, |candidate| !candidate.is_lesser);
    narrow(&mut candidates, |candidate| candidate.level == Level::Variant);
    if let Some(lowest) = lowest(&candidates) {
        return Reading { price: Some(lowest), ..Reading::default() };
    }
    if let Some(best) = candidates.iter().map(|candidate| candidate.level).max() {
        candidates.retain(|candidate| candidate.level == best);
    }
    let of_level = candidates.clone();
    if let Some(best) = candidates.iter().map(|candidate| availability::rank(candidate.availability)).min() {
        candidates.retain(|candidate| availability::rank(candidate.availability) == best);
    }
    let Some(first) = candidates.first() else { return Reading::default() };
    if candidates.iter().any(|candidate| !same(&candidate.money, &first.money)) {
        return Reading { open: candidates, ..Reading::default() };
    }
    let money = known(&candidates, &first.money);
    let availability = best_availability(&of_level, &money);
    Reading { price: Some((money, availability)), ..Reading::default() }
}

/// What an aggregate of offers calls the lowest price: of those that can be had, if it lists them.
fn lowest(candidates: &[Candidate]) -> Option<(Money, Option<&'static str>)> {
    let mut lows = candidates.iter().filter(|candidate| candidate.is_lowest);
    let low = lows.next()?;
    if lows.any(|other| !same(&other.money, &low.money))
        || candidates.iter().any(|candidate| candidate.level > low.level.max(Level::Finer))
    {
        return None;
    }
    let singles: Vec<&Candidate> = candidates.iter().filter(|candidate| !candidate.is_lowest).collect();
    let at_low: Vec<&Candidate> =
        singles.iter().copied().filter(|candidate| same(&candidate.money, &low.money)).collect();
    let gone = |candidate: &&Candidate| availability::rank(candidate.availability) == Rank::Gone;
    let here = |candidate: &&&Candidate| availability::rank(candidate.availability) < Rank::Gone;
    if !at_low.is_empty() && at_low.iter().all(gone) {
        let cheapest = singles.iter().filter(here).min_by_key(|candidate| candidate.money.amount);
        if let Some(cheapest) = cheapest {
            return Some((cheapest.money.clone(), best_availability(candidates, &cheapest.money)));
        }
    }
    let at_low = at_low.into_iter().filter_map(|candidate| candidate.availability);
    let availability = at_low.min_by_key(|word| availability::rank(Some(word)));
    let others = || {
        singles.iter().filter_map(|candidate| candidate.availability).min_by_key(|word| availability::rank(Some(word)))
    };
    let money = known(candidates, &low.money);
    Some((money, availability.or(low.availability).or_else(others)))
}

/// In stock, if anything at this price is.
fn best_availability(candidates: &[Candidate], money: &Money) -> Option<&'static str> {
    let same = candidates.iter().filter(|candidate| same(&candidate.money, money));
    same.filter_map(|candidate| candidate.availability).min_by_key(|word| availability::rank(Some(word)))
}

/// An unnamed currency can be any.
fn same(one: &Money, other: &Money) -> bool {
    one.amount == other.amount && (one.currency == other.currency || one.currency.is_none() || other.currency.is_none())
}

/// With the currency of whoever names it.
fn known(candidates: &[Candidate], money: &Money) -> Money {
    let named = || {
        candidates
            .iter()
            .filter(|candidate| same(&candidate.money, money))
            .find_map(|candidate| candidate.money.currency.clone())
    };
    Money { currency: money.currency.clone().or_else(named), amount: money.amount }
}

/// The amount of the one open price that the page shows.
pub(super) fn shown(open: &[Candidate], text: &str) -> Option<(Money, Option<&'static str>)> {
    let mut amounts: Vec<Decimal> = open.iter().map(|candidate| candidate.money.amount).collect();
    amounts.sort_unstable();
    amounts.dedup();
    let mut shown = amounts.into_iter().take(50).filter(|amount| is_shown(*amount, text));
    let only = shown.next().filter(|_| shown.next().is_none())?;
    let candidates: Vec<Candidate> = open.iter().filter(|candidate| candidate.money.amount == only).cloned().collect();
    let first = candidates.first()?;
    let money = known(&candidates, &first.money);
    candidates
        .iter()
        .all(|candidate| same(&candidate.money, &money))
        .then(|| (money.clone(), best_availability(&candidates, &money)))
}

/// Whether a text has the amount in it, with two decimal places in any writing.
fn is_shown(amount: Decimal, text: &str) -> bool {
    let plain = format!("{:.2}", amount.round_dp(2));
    let Some((whole, places)) = plain.split_once('.') else { return false };
    let grouped = |mark: &str| {
        let mut grouped = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                grouped.push_str(mark);
            }
            grouped.push(digit);
        }
        grouped
    };
    let mut ways: Vec<String> = Vec::new();
    for whole in ["", ".", ",", " ", "'", "’"].map(grouped) {
        ways.extend([format!("{whole}.{places}"), format!("{whole},{places}")]);
    }
    ways.iter().any(|way| {
        text.match_indices(way.as_str()).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let behind = text[at + way.len()..].chars().next();
            let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            !is_digit(before) && !is_digit(behind) && !matches!(before, Some('.' | ','))
        })
    })
}
