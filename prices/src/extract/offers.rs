//! The prices that a product is offered for: not those of used pieces, of members, of shipping, for a measure or of earlier days.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{
    availability,
    graph::{Graph, Value},
    items, markup,
    names::{Level, Page},
};
use crate::amount::{self, Money};

/// Offers within offers: an aggregate, its offers, their prices.
const DEPTH: usize = 6;
/// So many offers of a product are looked at.
const OFFERS: usize = 2_000;

/// A price that may be the page's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) money: Money,
    pub(super) availability: Option<&'static str>,
    pub(super) level: Level,
    /// The lowest of several, as the page itself says.
    pub(super) is_lowest: bool,
    /// For others than somebody who buys one new piece today: counts only where there is nothing else.
    pub(super) is_lesser: bool,
}

/// What a product or an offer hands down to the offers in it.
#[derive(Debug, Clone, Default)]
struct Around {
    currency: Option<String>,
    availability: Option<&'static str>,
    links: Vec<String>,
    features: Vec<(&'static str, String)>,
}

/// Reads the offers of one page.
pub(super) struct Offers<'a> {
    pub(super) graph: &'a Graph,
    pub(super) page: &'a Page,
    today: NaiveDate,
    /// The first day on which a date of the page may have it read otherwise.
    pub(super) until: Cell<Option<NaiveDate>>,
    /// Offers that belong to a product.
    pub(super) seen: RefCell<HashSet<usize>>,
    /// Offers of the product that is being read, so that circles end.
    pub(super) visited: RefCell<HashSet<usize>>,
    /// Amounts of used pieces and of members: no other data of the page may bring them back.
    pub(super) refused: RefCell<Vec<Decimal>>,
}

/// What is known of a product's price.
#[derive(Debug, Default)]
pub(super) struct Offered {
    pub(super) candidates: Vec<Candidate>,
    /// Of all its offers, also those without a price.
    pub(super) availability: Option<&'static str>,
}

impl Offered {
    pub(super) fn add(&mut self, other: Self) {
        self.candidates.extend(other.candidates);
        self.note(other.availability);
    }

    fn note(&mut self, availability: Option<&'static str>) {
        if availability::rank(availability) < availability::rank(self.availability) || self.availability.is_none() {
            self.availability = availability.or(self.availability);
        }
    }
}

impl<'a> Offers<'a> {
    pub(super) fn new(graph: &'a Graph, page: &'a Page, today: NaiveDate) -> Self {
        let (seen, visited, refused, until) = Default::default();
        Self { graph, page, today, until, seen, visited, refused }
    }

    /// The prices of a product, a variant or an offer that stands by itself.
    pub(super) fn of(&self, at: usize) -> Offered {
        let mut found = Offered::default();
        self.visited.borrow_mut().clear();
        let around = self.around(at, &Around::default());
        found.note(around.availability);
        let is_offer = self.graph.is(at, &["offer", "aggregateoffer", "offer-aggregate"]);
        let mut offers: Vec<usize> = if is_offer { vec![at] } else { self.offers(at) };
        for reverse in self.graph.children(at, "@reverse") {
            offers.extend(self.graph.children(reverse, "itemoffered"));
        }
        // A price can stand at the product itself.
        if offers.is_empty() {
            offers.push(at);
        }
        for offer in offers {
            if self.is_used(at) {
                self.refuse(offer);
            } else {
                self.read(offer, &around, DEPTH, &mut found);
            }
        }
        // Some pages close the offer before its price.
        if found.candidates.is_empty() && self.refused.borrow().is_empty() && !self.is_used(at) {
            self.read(at, &Around { links: around.links, ..Around::default() }, DEPTH, &mut found);
        }
        found
    }

    /// Remembers the prices of an offer that counts for nobody.
    fn refuse(&self, at: usize) {
        let specifications = self.graph.children(at, "pricespecification");
        let prices = [at]
            .into_iter()
            .chain(specifications)
            .take(20)
            .filter_map(|at| self.money(at, "price", &Around::default()));
        self.refused.borrow_mut().extend(prices.map(|(money, _)| money.amount));
    }

    fn offers(&self, at: usize) -> Vec<usize> {
        ["offers", "offerdetails"].into_iter().flat_map(|name| self.graph.children(at, name)).collect()
    }

    fn around(&self, at: usize, outer: &Around) -> Around {
        let graph = self.graph;
        let currency = ["pricecurrency", "currency"].into_iter().find_map(|name| graph.text(at, name));
        let said: Vec<&'static str> =
            graph.texts(at, "availability").iter().filter_map(|text| availability::from_text(text)).collect();
        let flag = graph.values(at, "availability").into_iter().find_map(|value| match value {
            Value::Bool(here) => Some(if *here { "InStock" } else { "OutOfStock" }),
            _ => None,
        });
        let best = said.into_iter().chain(flag).min_by_key(|word| availability::rank(Some(word)));
        let mut around = Around {
            currency: currency
                .and_then(|text| amount::currency(&text))
                .or_else(|| outer.currency.clone())
                .or_else(|| graph.text(at, items::SHOWN).and_then(|text| amount::from_text(&text, None)?.currency)),
            availability: best.or(outer.availability),
            ..outer.clone()
        };
        let mut links = graph.texts(at, "url");
        links.extend(graph.texts(at, "mainentityofpage"));
        if !links.is_empty() {
            around.links = links;
        }
        around.links.extend(graph.nodes[at].id.clone().filter(|id| self.page.is_address(id)));
        for (name, own) in FEATURES {
            if let Some(value) = graph.text(at, own).filter(|value| value.len() <= 100) {
                around.features.retain(|(feature, _)| *feature != name);
                around.features.push((name, value));
            }
        }
        around
    }

    fn read(&self, at: usize, outer: &Around, depth: usize, found: &mut Offered) {
        let graph = self.graph;
        let Some(depth) = depth.checked_sub(1) else { return };
        self.seen.borrow_mut().insert(graph.canonical(at));
        if !self.visited.borrow_mut().insert(at) || found.candidates.len() >= OFFERS {
            return;
        }
        if self.is_for_others(at) {
            self.refuse(at);
            return;
        }
        let mut around = self.around(at, outer);
        let mut is_used = self.is_used(at);
        for item in graph.children(at, "itemoffered") {
            around = self.around(item, &around);
            is_used |= self.is_used(item);
        }
        if is_used {
            self.refuse(at);
            return;
        }
        found.note(around.availability);
        let mut inner = Offered::default();
        for offer in self.offers(at) {
            self.read(offer, &around, depth, &mut inner);
        }
        found.note(inner.availability);
        let low = self.money(at, "lowprice", &around);
        let is_lowest = low.is_some();
        let price = low.or_else(|| self.price(at, &around));
        if let Some((money, is_lesser)) = price {
            let availability = if inner.candidates.is_empty() {
                around.availability.or(inner.availability)
            } else {
                around.availability
            };
            found.candidates.push(Candidate {
                money,
                availability,
                level: self.page.level(&around.links, &around.features),
                is_lowest: is_lowest || !inner.candidates.is_empty(),
                is_lesser: self.is_lesser(at) || is_lesser,
            });
        }
        found.candidates.extend(inner.candidates);
    }

    /// The price of an offer and whether it is for few: a price of sale, the price itself, or what a specification of it says.
    fn price(&self, at: usize, around: &Around) -> Option<(Money, bool)> {
        let own = self.money(at, "price", around).filter(|_| !self.is_former(at));
        let mut specifications = self.graph.children(at, "pricespecification");
        specifications.extend(self.graph.children(at, "price"));
        let mut prices: Vec<(Kind, Money, bool)> = Vec::new();
        for specification in specifications.into_iter().take(OFFERS) {
            if self.is_for_others(specification)
                || self.is_former(specification)
                || self.is_for_a_measure(specification)
            {
                continue;
            }
            let around = self.around(specification, around);
            let money =
                ["price", "minprice", "value"].into_iter().find_map(|name| self.money(specification, name, &around));
            if let Some((money, _)) = money {
                prices.push((self.kind(specification), money, self.is_lesser(specification)));
            }
        }
        let best = prices.iter().map(|(kind, _, lesser)| (*lesser, *kind)).min();
        let sale = matches!(best, Some((false, Kind::Sale)));
        if let Some((own, lesser)) = own.filter(|_| !sale) {
            let same = prices.iter().map(|(_, money, _)| money).find(|money| money.amount == own.amount);
            let currency = own.currency.or_else(|| same.and_then(|money| money.currency.clone()));
            return Some((Money { currency, ..own }, lesser));
        }
        let mut prices: Vec<(Kind, Money, bool)> =
            prices.into_iter().filter(|(kind, _, lesser)| Some((*lesser, *kind)) == best).collect();
        // The same with and without tax: buyers pay it.
        let (_, first, lesser) = prices.pop()?;
        prices.iter().all(|(_, money, _)| *money == first).then_some((first, lesser))
    }

    /// The amount of a property. Several different ones are none.
    fn money(&self, at: usize, name: &str, around: &Around) -> Option<(Money, bool)> {
        let currency = around.currency.as_deref();
        // What readers see tells whether the attribute's 12.990 is 12,99 or twelve thousand.
        let shown = self.graph.text(at, items::SHOWN).and_then(|text| amount::from_text(&text, currency));
        let read = |text: &str| {
            let decimal = amount::from_number(text.trim());
            let found = match shown.clone().filter(|shown| Some(shown.amount) == decimal) {
                Some(shown) => shown,
                None => amount::from_text(text, currency)?,
            };
            Some(Money { currency: found.currency.or_else(|| around.currency.clone()), ..found })
        };
        let mut found: Option<Money> = None;
        for value in self.graph.values(at, name).into_iter().take(20) {
            let money = match value {
                Value::Number(digits) => {
                    amount::from_number(digits).map(|amount| Money { amount, currency: around.currency.clone() })
                }
                Value::Text(text) if text.len() <= markup::LONGEST_TEXT => read(&markup::text_of(text)),
                Value::Text(_) | Value::Bool(_) | Value::Node(_) => None,
            };
            match (&found, money) {
                (_, None) => {}
                (None, money) => found = money,
                (Some(first), Some(money)) if first.amount == money.amount => {}
                (Some(_), Some(_)) => return None,
            }
        }
        found.map(|money| (money, false))
    }

    fn words(&self, at: usize, name: &str) -> Vec<String> {
        self.graph.texts(at, name).iter().map(|text| super::graph::word(text)).collect()
    }

    fn is_used(&self, at: usize) -> bool {
        ["itemcondition", "condition"].into_iter().flat_map(|name| self.words(at, name)).any(|word| {
            matches!(
                word.as_str(),
                "usedcondition"
                    | "damagedcondition"
                    | "used"
                    | "damaged"
                    | "gebraucht"
                    | "occasion"
                    | "usado"
                    | "usato"
            )
        })
    }

    /// Members, shipping, demand, what is let or repaired instead of sold.
    fn is_for_others(&self, at: usize) -> bool {
        let others = [
            "demand",
            "deliverychargespecification",
            "paymentchargespecification",
            "offershippingdetails",
            "shippingratesettings",
            "shippingdeliverytime",
        ];
        let sold = |word: &String| word == "sell" || word.is_empty();
        !self.words(at, "businessfunction").iter().all(sold)
            || !self.graph.values(at, "validformembertier").is_empty()
            || self.graph.is(at, &others)
            || self.words(at, "pricetype").iter().any(|word| word.contains("member"))
    }

    fn is_former(&self, at: usize) -> bool {
        self.words(at, "pricetype").iter().any(|word| {
            matches!(
                word.as_str(),
                "listprice"
                    | "strikethroughprice"
                    | "srp"
                    | "msrp"
                    | "suggestedretailprice"
                    | "minimumadvertisedprice"
                    | "map"
                    | "invoiceprice"
            )
        })
    }

    fn kind(&self, specification: usize) -> Kind {
        let types = self.words(specification, "pricetype");
        let taxed =
            self.graph.values(specification, "valueaddedtaxincluded").into_iter().find_map(|value| match value {
                Value::Bool(taxed) => Some(*taxed),
                Value::Text(text) => Some(text.trim().eq_ignore_ascii_case("true")),
                Value::Number(_) | Value::Node(_) => None,
            });
        if types.iter().any(|word| matches!(word.as_str(), "saleprice" | "sale")) {
            Kind::Sale
        } else if types.iter().any(|word| word == "regularprice") {
            Kind::Regular
        } else if taxed == Some(false) {
            Kind::Untaxed
        } else {
            Kind::Plain
        }
    }

    /// For a kilogram or a litre. A piece is no measure.
    fn is_for_a_measure(&self, specification: usize) -> bool {
        let graph = self.graph;
        let measured = |at: usize| {
            let units: Vec<String> = ["unitcode", "unittext"]
                .into_iter()
                .flat_map(|name| graph.texts(at, name))
                .map(|unit| unit.to_lowercase())
                .collect();
            units.iter().any(|unit| {
                !matches!(
                    unit.as_str(),
                    "c62"
                        | "ea"
                        | "h87"
                        | "pce"
                        | "pcb"
                        | "pc"
                        | "piece"
                        | "pieces"
                        | "unit"
                        | "units"
                        | "each"
                        | "st"
                        | "stk"
                        | "stück"
                        | "nar"
                        | "ann"
                        | "mon"
                        | "one"
                )
            })
        };
        let reference = graph.children(specification, "referencequantity");
        measured(specification) || reference.iter().any(|at| measured(*at))
    }

    /// From this day on it may be read otherwise; from tomorrow on if nobody knows which.
    fn holds_until(&self, day: Option<NaiveDate>) {
        let until = day.or_else(|| self.today.succ_opt());
        self.until.set(self.until.get().into_iter().chain(until).min());
    }

    /// A price of another day, for many pieces, for companies, for what was repaired.
    fn is_lesser(&self, at: usize) -> bool {
        let graph = self.graph;
        let today = self.today.to_string();
        let date = |name: &str| {
            let text = graph.text(at, name).filter(|text| text.len() >= 10 && text.is_char_boundary(10));
            text.map(|mut text| {
                text.truncate(10);
                text
            })
        };
        let (from, through) = (date("validfrom"), date("validthrough"));
        let later = from.as_ref().is_some_and(|from| *from > today);
        let past = through.as_ref().is_some_and(|through| *through < today);
        // What ends by its own words may be sold for another price then, although this one is the only one that is written here.
        for last in [through, date("pricevaliduntil")].into_iter().flatten().filter(|last| *last >= today) {
            self.holds_until(last.parse().ok().and_then(|last: NaiveDate| last.succ_opt()));
        }
        if let Some(first) = from.filter(|_| later) {
            self.holds_until(first.parse().ok());
        }
        let many = graph.children(at, "eligiblequantity").into_iter().any(|at| {
            let least = ["minvalue", "value"].into_iter().find_map(|name| graph.text(at, name));
            least.and_then(|least| amount::from_number(&least)).is_some_and(|least| least > Decimal::ONE)
        });
        let companies = self.words(at, "eligiblecustomertype").iter().any(|word| word == "business");
        let repaired = ["itemcondition", "condition"]
            .into_iter()
            .flat_map(|name| self.words(at, name))
            .any(|word| word.contains("refurbished"));
        later || past || many || companies || repaired
    }
}

/// Of a specification, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Sale,
    Plain,
    Untaxed,
    Regular,
}

/// What tells variants apart, and the property that says it.
const FEATURES: [(&str, &str); 12] = [
    ("color", "color"),
    ("material", "material"),
    ("pattern", "pattern"),
    ("size", "size"),
    ("sku", "sku"),
    ("mpn", "mpn"),
    ("gtin", "gtin"),
    ("gtin", "gtin13"),
    ("gtin", "gtin8"),
    ("gtin", "gtin12"),
    ("gtin", "gtin14"),
    ("productid", "productid"),
];
