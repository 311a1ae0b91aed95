//! From what machines are told and what readers see to one price: where they disagree, readers are right.

use rust_decimal::Decimal;

use super::{
    availability, embedded,
    facts::{self, Facts},
    products::Reading,
    seen::Seen,
    visible::{Place, Visible},
};
use crate::{
    amount::Money,
    found::{Confidence, Method, Price, UnitPrice},
    words::Part,
};

/// All that a page says of its prices.
pub(super) struct Weights<'a> {
    pub(super) readings: &'a [(Method, Reading)],
    pub(super) embedded: &'a [embedded::Told],
    pub(super) visible: Option<&'a Visible>,
    pub(super) seen: &'a [Seen],
    /// From the product's name to the button that buys.
    pub(super) between: (usize, usize),
}

/// Whether readers see an amount as a price of the product.
pub(super) fn is_shown(amount: Decimal, seen: &[Seen]) -> bool {
    seen.iter().any(|seen| seen.money.amount == amount && !seen.is_other() && !seen.is_lesser())
}

/// The price that the job's selector names. `other`: what the page says without.
pub(super) fn selected(money: Money, other: Option<&Price>) -> Price {
    let currency = money.currency.or_else(|| other.and_then(|other| other.currency.clone()));
    let availability = other.and_then(|other| other.availability.clone());
    Price { amount: money.amount, currency, availability, method: Method::Selector, confidence: Confidence::High }
}

impl Weights<'_> {
    /// `told`: the best of what machines are told. `local`: what a sign means on the page.
    pub(super) fn price(&self, told: Option<Price>, local: impl Fn(&str) -> Option<String>) -> Option<Price> {
        if let Some(asked) = self.asked() {
            return Some(asked);
        }
        let told = told.filter(|told| !told.amount.is_zero() || self.visible.is_none()).or_else(|| self.embedded());
        let told = told.filter(|told| !self.is_doubtful(told));
        let refused = |amount: &Decimal| self.readings.iter().any(|(_, reading)| reading.refused.contains(amount));
        match (told, self.visible.filter(|visible| !refused(&visible.money.amount))) {
            (Some(told), Some(visible)) if told.amount == visible.money.amount => {
                let currency =
                    told.currency.or_else(|| visible.money.currency.clone()).or_else(|| local(&visible.text));
                Some(Price { confidence: Confidence::High, currency, ..told })
            }
            (Some(told), Some(visible)) => Some(self.differ(told, visible, local)),
            (Some(told), None) => {
                let confidence = if is_shown(told.amount, self.seen) { Confidence::High } else { Confidence::Medium };
                Some(Price { confidence, ..told })
            }
            (None, Some(visible)) => {
                let confidence = if visible.place == Place::Between { Confidence::Medium } else { Confidence::Low };
                Some(seen_price(visible, confidence, local))
            }
            (None, None) => None,
        }
    }

    /// The variant that the page's address names, as scripts are told.
    fn asked(&self) -> Option<Price> {
        let asked = self.embedded.iter().find(|told| told.is_asked)?;
        let confidence = if is_shown(asked.money.amount, self.seen) { Confidence::High } else { Confidence::Medium };
        Some(Price {
            amount: asked.money.amount,
            currency: asked.money.currency.clone(),
            availability: asked.availability.map(str::to_owned),
            method: Method::Embedded,
            confidence,
        })
    }

    fn differ(&self, told: Price, visible: &Visible, local: impl Fn(&str) -> Option<String>) -> Price {
        let amount = visible.money.amount;
        let others =
            self.readings.iter().filter_map(|(method, reading)| Some((*method, reading.price.as_ref()?.0.clone())));
        let scripts = self.embedded.iter().map(|told| (Method::Embedded, told.money.clone()));
        // The same digits: whether a dot groups or parts the cents, or cents were written, is what readers see.
        let scale = |zeros: u32| Decimal::from(10_u64.pow(zeros));
        if [2, 3].into_iter().any(|zeros| told.amount == amount * scale(zeros) || told.amount * scale(zeros) == amount)
        {
            return Price { amount, confidence: Confidence::High, ..told };
        }
        // Something else that is made for machines agrees with what readers see.
        let mut agrees = others.chain(scripts).filter(|(_, money)| money.amount == amount);
        if let (Some((method, money)), true) = (agrees.next(), visible.place >= Place::Near) {
            let currency = money.currency.or(told.currency);
            return Price { amount, currency, method, confidence: Confidence::High, availability: told.availability };
        }
        // Scripts and attributes may speak of another currency, or without the tax.
        let is_hidden = told.method == Method::Embedded && !is_shown(told.amount, self.seen);
        let is_unlike = visible.place == Place::Between && !self.is_between(told.amount);
        if is_unlike || (is_hidden && visible.place >= Place::Near) {
            let seen = seen_price(visible, Confidence::Low, local);
            return Price { currency: seen.currency.or(told.currency), availability: told.availability, ..seen };
        }
        let confidence = if is_shown(told.amount, self.seen) { Confidence::High } else { Confidence::Medium };
        Price { confidence, ..told }
    }

    /// Whether only scripts tell a price and readers see others where it should stand.
    fn is_doubtful(&self, told: &Price) -> bool {
        let (from, to) = self.between;
        let is_rival = |seen: &Seen| seen.at >= from && seen.at <= to && seen.has_sign && !seen.is_other();
        told.method == Method::Embedded
            && self.visible.is_none()
            && !self.seen.iter().any(|seen| seen.money.amount == told.amount)
            && self.seen.iter().any(is_rival)
    }

    /// Whether an amount stands where the price does, between the product's name and the button.
    fn is_between(&self, amount: Decimal) -> bool {
        let (from, to) = self.between;
        let is_within = |seen: &&Seen| seen.at >= from && seen.at <= to;
        self.seen
            .iter()
            .filter(is_within)
            .any(|seen| seen.money.amount == amount && !seen.is_other() && !seen.is_lesser())
    }

    /// The price that scripts are told: the one that readers see, or the only one.
    fn embedded(&self) -> Option<Price> {
        let is_visible =
            |told: &&embedded::Told| self.visible.is_some_and(|visible| visible.money.amount == told.money.amount);
        let first = self.embedded.first()?;
        let is_only = self.embedded.iter().all(|told| told.money.amount == first.money.amount);
        let at_name = || {
            let (from, to) = self.between;
            let own = self.seen.iter().filter(|seen| seen.at >= from && seen.at <= to);
            let mut own = own.filter(|seen| !seen.is_other() && !seen.is_lesser());
            let nearest = own.next().filter(|_| self.visible.is_none())?;
            self.embedded.iter().find(|told| told.money.amount == nearest.money.amount)
        };
        let told = self.embedded.iter().find(is_visible).or_else(|| is_only.then_some(first)).or_else(at_name)?;
        // "As low as": the cheapest of several.
        if self.seen.iter().any(|seen| seen.money.amount == told.money.amount && seen.part.has(Part::FROM)) {
            return None;
        }
        let currency = self.embedded.iter().find_map(|told| told.money.currency.clone());
        Some(Price {
            amount: told.money.amount,
            currency: told.money.currency.clone().or(currency),
            availability: self.best_of_variants(told.money.amount).map(str::to_owned),
            method: Method::Embedded,
            confidence: Confidence::Medium,
        })
    }

    /// Of the variants that ask the same, one that can be had.
    fn best_of_variants(&self, amount: Decimal) -> Option<&'static str> {
        let same = self.embedded.iter().filter(|told| told.money.amount == amount);
        same.filter_map(|told| told.availability).min_by_key(|word| availability::rank(Some(word)))
    }

    /// What was asked earlier, higher than the price.
    pub(super) fn list_price(&self, price: Option<&Price>) -> Option<Price> {
        let price = price?;
        let told = self.fact(|facts| facts.list_price.clone());
        let scripts = || {
            let same = self.embedded.iter().find(|told| told.money.amount == price.amount)?;
            Some((Method::Embedded, same.former.clone()?))
        };
        let shown = || {
            let visible = self.visible.filter(|visible| visible.money.amount == price.amount)?;
            Some((Method::Visible, visible.former.clone()?))
        };
        let (method, money) = told.or_else(scripts).or_else(shown)?;
        (money.amount > price.amount).then(|| self.beside(method, money, price))
    }

    /// What a measure costs.
    pub(super) fn unit_price(&self, price: Option<&Price>) -> Option<UnitPrice> {
        let told = self.fact(|facts| facts.unit_price.clone());
        let shown = || {
            let (money, text) = self.visible?.unit.clone()?;
            Some((Method::Visible, (money, facts::measure(&text)?)))
        };
        let (method, (money, per)) = told.or_else(shown)?;
        let Price { amount, currency, method, confidence, .. } = self.beside(method, money, price?);
        Some(UnitPrice { amount, currency, per, method, confidence })
    }

    /// What sending it costs.
    pub(super) fn shipping(&self) -> Option<Price> {
        let (method, money) = self.fact(|facts| facts.shipping.clone())?;
        let Money { amount, currency } = money;
        Some(Price { amount, currency, availability: None, method, confidence: Confidence::Medium })
    }

    fn fact<T>(&self, find: impl Fn(&Facts) -> Option<T>) -> Option<(Method, T)> {
        self.readings.iter().find_map(|(method, reading)| Some((*method, find(&reading.facts)?)))
    }

    /// An amount that stands beside the price: in its currency, unless it says another.
    fn beside(&self, method: Method, money: Money, price: &Price) -> Price {
        let is_seen = self.seen.iter().any(|seen| seen.money.amount == money.amount);
        let confidence = match (method, is_seen) {
            (Method::Visible, _) => Confidence::Low,
            (_, true) => Confidence::High,
            (_, false) => Confidence::Medium,
        };
        let currency = money.currency.or_else(|| price.currency.clone());
        Price { amount: money.amount, currency, availability: None, method, confidence }
    }
}

fn seen_price(visible: &Visible, confidence: Confidence, local: impl Fn(&str) -> Option<String>) -> Price {
    let currency = visible.money.currency.clone().or_else(|| local(&visible.text));
    Price { amount: visible.money.amount, currency, availability: None, method: Method::Visible, confidence }
}
