//! What scraped pages ask for a product, over time: a point a change, and an e-mail for each move that a tenant wants to hear of.
//!
//! A page's offer is one document (see `store/src/prices/`), which is read, changed here, and written back only if it is as it was read.
//! So of jobs that run twice, side by side or in another order than they were made, the newest fetch counts and each change once. What
//! is to be told is written with the price that it is about, and taken off when its e-mail is on its way; that has a fixed id, so whoever
//! finishes what another began sends no second one.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use prices::{Asked, Comparison, Details, Method, Price, Rates};
use queue::Client;
use rust_decimal::Decimal;
use store::{
    Alert, Documents, Error, Moment, Money, Offer, PricePoint, StoredRates, Tenant, Unreadable, WriteOffer, offer_id,
};

use super::alerts::{alert_percent, decimal, send_alerts};
use crate::{
    handler::Context,
    kinds::email::tenant::{ms, time},
};

/// Others that write the same offers at the same moment make one begin anew so often at most; each time one of them is done.
const TRIES: u32 = 20;
/// A page asks in so many currencies at most; of more those are forgotten whose price moved longest ago.
const MOST_REFERENCES: usize = 8;
/// What a page said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Visit {
    url: String,
    /// Of the element that was read, if the job named one.
    selector: Option<String>,
    at_ms: u64,
    /// `None` when it names none any more.
    price: Option<Price>,
    /// Why the last price does not hold any more, where there is none.
    gone: Option<String>,
    name: Option<String>,
    condition: Option<String>,
    seller: Option<String>,
}

/// A page that was fetched from its shop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched<'a> {
    pub(super) at: DateTime<Utc>,
    pub(super) title: Option<&'a String>,
    pub(super) price: Option<&'a Price>,
    pub(super) details: &'a Details,
    pub(super) error: Option<&'a String>,
}

impl Visit {
    /// What the page at `url` says; `None` where that is nothing of a price, or made up.
    pub(super) fn of(url: &str, selector: Option<&str>, page: &Fetched<'_>) -> Option<Self> {
        let Fetched { price, details, error, .. } = *page;
        if price.is_some_and(|price| price.method == Method::Mock || price.amount <= Decimal::ZERO) {
            return None;
        }
        let gone = match (price, error, &details.availability) {
            (Some(_), ..) => None,
            (None, Some(error), _) => Some(format!("the page is gone: {error}")),
            (None, None, Some(availability)) => {
                Some(format!("the page names no price any more and says {availability}"))
            }
            // Perhaps we do not understand it.
            (None, None, None) => return None,
        };
        Some(Self {
            url: url.to_owned(),
            // Where there is no such element the price is what the page asks by itself.
            selector: selector
                .filter(|_| price.is_none_or(|price| price.method == Method::Selector))
                .map(str::to_owned),
            at_ms: ms(page.at),
            price: price.cloned(),
            gone,
            name: details.name.as_ref().or(page.title).cloned(),
            condition: details.condition.clone(),
            seller: details.seller.clone(),
        })
    }

    fn offer_id(&self, tenant: &str, product_id: &str) -> String {
        offer_id(tenant, product_id, &self.url, self.selector.as_deref())
    }

    /// The offer as it is after this visit; `None` when that changes nothing: a later one is known, or there is no offer. `percent` is the
    /// move that the tenant wants to hear of, `None` when nobody is to be told. It is `now_ms`.
    fn after(
        &self,
        found: Option<&Offer>,
        tenant: &str,
        product_id: &str,
        percent: Option<Decimal>,
        now_ms: u64,
    ) -> Option<WriteOffer> {
        let at = Moment::from_ms(self.at_ms);
        // A visit to come is of a clock that was ahead, and must not hold up those of now.
        let is_newer = |found: &Offer| found.visited_at < at || found.visited_at.ms() > now_ms;
        let Some(price) = &self.price else {
            let found = found.filter(|found| is_newer(found))?;
            let offer = Offer { visited_at: at, gone: self.gone.clone(), ..found.clone() };
            return Some(WriteOffer { offer, point: None });
        };
        let amount = price.amount.to_string();
        let Some(found) = found else {
            let offer = Offer {
                id: self.offer_id(tenant, product_id),
                tenant: tenant.to_owned(),
                product_id: product_id.to_owned(),
                url: self.url.clone(),
                selector: self.selector.clone(),
                revision: 0,
                name: self.name.clone(),
                condition: self.condition.clone(),
                seller: self.seller.clone(),
                references: money(price).into_iter().collect(),
                amount,
                currency: price.currency.clone(),
                availability: price.availability.clone(),
                since: at,
                seen_at: at,
                visited_at: at,
                gone: None,
                alerts: Vec::new(),
            };
            let point = Some(point_of(&offer));
            return Some(WriteOffer { offer, point });
        };
        if !is_newer(found) {
            return None;
        }
        let is_same = decimal(&found.amount) == Some(price.amount);
        let has_changed = !is_same
            || differ(found.currency.as_ref(), price.currency.as_ref())
            || differ(found.availability.as_ref(), price.availability.as_ref());
        // What the page does not tell this time is as it was.
        let kept = |old: &Option<String>| old.clone().filter(|_| !has_changed);
        let mut offer = Offer {
            name: self.name.clone().or_else(|| found.name.clone()),
            condition: self.condition.clone().or_else(|| found.condition.clone()),
            seller: self.seller.clone(),
            currency: price.currency.clone().or_else(|| found.currency.clone().filter(|_| is_same)),
            availability: price.availability.clone().or_else(|| kept(&found.availability)),
            amount: if is_same { found.amount.clone() } else { amount },
            since: if has_changed { at } else { found.since.min(at) },
            seen_at: at,
            visited_at: at,
            gone: None,
            ..found.clone()
        };
        tell(&mut offer, price, percent);
        let point = has_changed.then(|| point_of(&offer));
        Some(WriteOffer { offer, point })
    }

    /// Whether this may be a move that a tenant wants to hear of.
    fn moves(&self, found: &Offer) -> bool {
        let becomes = self.price.as_ref().and_then(money);
        becomes.is_some_and(|becomes| {
            let reference = found.references.iter().find(|reference| reference.currency == becomes.currency);
            reference.is_some_and(|reference| decimal(&reference.amount) != decimal(&becomes.amount))
        })
    }
}

/// Two words that are known and not the same.
fn differ(one: Option<&String>, other: Option<&String>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

fn point_of(offer: &Offer) -> PricePoint {
    let Offer { since, amount, currency, availability, .. } = offer;
    PricePoint { at: *since, amount: amount.clone(), currency: currency.clone(), availability: availability.clone() }
}

/// `None` of a price whose currency the page does not tell.
fn money(price: &Price) -> Option<Money> {
    Some(Money { amount: price.amount.to_string(), currency: price.currency.clone()? })
}

/// Compares an offer's new price with the one of its currency that was told last. What has none says nothing of a move.
fn tell(offer: &mut Offer, price: &Price, percent: Option<Decimal>) {
    let Some(becomes) = money(price) else { return };
    let old = offer.references.iter().find(|reference| reference.currency == becomes.currency);
    if let Some((was, told)) = old.and_then(|old| Some((decimal(&old.amount)?, old.amount.clone())))
        && let Some(percent) = percent
    {
        let moved = (price.amount - was).abs().checked_mul(Decimal::ONE_HUNDRED);
        let moved = moved.and_then(|moved| moved.checked_div(was.abs()));
        if was == price.amount || moved.is_some_and(|moved| moved < percent) {
            return;
        }
        let Money { amount: becomes, currency } = becomes.clone();
        offer.alerts.push(Alert { at: offer.seen_at, was: told, becomes, currency });
    }
    offer.references.retain(|reference| reference.currency != becomes.currency);
    offer.references.push(becomes);
    let too_many = offer.references.len().saturating_sub(MOST_REFERENCES);
    offer.references.drain(..too_many);
}

/// Writes down what pages said, and has the tenant told of moves. Costs two calls of MongoDB, however many pages there are, and none
/// where nothing real was read; a move costs three more and one of Redis.
pub(crate) async fn remember(context: &Context, product_id: &str, visits: &[Visit]) -> Result<(), Error> {
    let Some(store) = context.store.as_ref().filter(|_| !visits.is_empty()) else { return Ok(()) };
    let tenant = context.tenant.as_str();
    let now_ms = context.client.as_ref().map_or(u64::MAX, Client::now_ms);
    // Of a page that is named twice the later visit counts.
    let mut by_id = BTreeMap::new();
    for visit in visits {
        let known = by_id.entry(visit.offer_id(tenant, product_id)).or_insert(visit);
        if known.at_ms < visit.at_ms {
            *known = visit;
        }
    }
    let ids: Vec<String> = by_id.keys().cloned().collect();
    let mut to_tell: Option<Option<Tenant>> = None;
    for _ in 0..TRIES {
        let Documents { read, unreadable } = store.offers(&ids).await?;
        for Unreadable { id, reason } in unreadable {
            if let Some(Visit { url, .. }) = by_id.remove(&id) {
                tracing::error!(job.id = %context.job_id, offer.id = id, url, reason, "an offer cannot be read, and its history lacks this visit");
            }
        }
        let found: BTreeMap<String, Offer> = read.into_iter().map(|offer| (offer.id.clone(), offer)).collect();
        if to_tell.is_none() && by_id.iter().any(|(id, visit)| found.get(id).is_some_and(|found| visit.moves(found))) {
            to_tell = Some(store.tenant(tenant).await?.filter(|tenant| !tenant.email.is_empty()));
        }
        let percent = to_tell.iter().flatten().find_map(alert_percent);
        let after = |(id, visit): (&String, &&Visit)| visit.after(found.get(id), tenant, product_id, percent, now_ms);
        let writes: Vec<WriteOffer> = by_id.iter().filter_map(after).collect();
        if store.write_offers(&writes).await? {
            let offers: Vec<Offer> = writes.into_iter().map(|write| write.offer).collect();
            if let Some(client) = &context.client
                && let Err(error) = send_alerts(store, client, &offers).await
            {
                // They are written down, and the timetable's task sends what is.
                tracing::warn!(job.id = %context.job_id, %error, "alerts of prices go out later");
            }
            return Ok(());
        }
    }
    let what = format!("write what {} pages ask", ids.len());
    Err(Error::Unavailable { what, reason: "others write the same all the time".to_owned() })
}

/// What the offers of a product say together at `now`; see [`prices::compare`].
#[must_use]
pub fn compare(offers: &[Offer], own: Option<&Asked>, rates: Option<&StoredRates>, now: DateTime<Utc>) -> Comparison {
    let read = |offer: &Offer| {
        Some(prices::Offer {
            url: offer.url.clone(),
            selector: offer.selector.clone(),
            amount: decimal(&offer.amount)?,
            currency: offer.currency.clone(),
            availability: offer.availability.clone(),
            condition: offer.condition.clone(),
            since: time(offer.since.ms()),
            seen_at: time(offer.seen_at.ms()),
            gone: offer.gone.clone(),
        })
    };
    let offers: Vec<prices::Offer> = offers.iter().filter_map(read).collect();
    prices::compare(&offers, own, rates.and_then(read_rates).as_ref(), now)
}

fn read_rates(stored: &StoredRates) -> Option<Rates> {
    let rates = stored.rates.iter().map(|(currency, rate)| (currency.as_str(), rate.as_str()));
    Rates::read(stored.date.parse().ok()?, rates).ok()
}

/// Rates as they are stored. `set`: by somebody, `by`, and no file.
#[must_use]
pub fn stored_rates(rates: &Rates, set: bool, by: &str, at_ms: u64) -> StoredRates {
    StoredRates {
        date: rates.date().to_string(),
        base: prices::BASE.to_owned(),
        rates: rates.rates().iter().map(|(currency, rate)| (currency.clone(), rate.to_string())).collect(),
        set,
        by: by.to_owned(),
        at: Moment::from_ms(at_ms),
    }
}

/// The last day of which there may be rates: tomorrow's are there already where it is tomorrow.
#[must_use]
pub fn last_day_of_rates(now: DateTime<Utc>) -> chrono::NaiveDate {
    (now + TimeDelta::days(1)).date_naive()
}

#[cfg(test)]
mod tests {
    use prices::Confidence;

    use super::*;
    use crate::kinds::scrape::alerts::ALERT_PERCENT;

    const URL: &str = "https://www.shop.example/lamp";
    const FIVE: Option<Decimal> = Some(ALERT_PERCENT);

    /// What a page says.
    #[derive(Debug, Clone, Default)]
    struct Said {
        price: Option<Price>,
        details: Details,
        error: Option<String>,
    }

    fn page(amount: &str, currency: &str, availability: Option<&str>) -> Said {
        let price = Price {
            amount: amount.parse().unwrap(),
            currency: Some(currency.to_owned()).filter(|currency| !currency.is_empty()),
            availability: availability.map(str::to_owned),
            method: Method::JsonLd,
            confidence: Confidence::High,
        };
        Said { price: Some(price), ..Said::default() }
    }

    fn visit(at_ms: u64, Said { price, details, error }: &Said) -> Option<Visit> {
        let (price, error) = (price.as_ref(), error.as_ref());
        Visit::of(URL, None, &Fetched { at: time(at_ms), title: None, price, details, error })
    }

    fn at(at_ms: u64, page: &Said) -> Visit {
        visit(at_ms, page).unwrap()
    }

    fn euros(at_ms: u64, amount: &str) -> Visit {
        at(at_ms, &page(amount, "EUR", Some("InStock")))
    }

    /// What MongoDB would have after these visits, one after the other.
    struct Known {
        offer: Option<Offer>,
        points: Vec<PricePoint>,
        now_ms: u64,
    }

    impl Known {
        fn after(visits: &[Visit], percent: Option<Decimal>) -> Self {
            let mut known = Self { offer: None, points: Vec::new(), now_ms: 100 };
            for visit in visits {
                known.see(visit, percent);
            }
            known
        }

        fn see(&mut self, visit: &Visit, percent: Option<Decimal>) {
            if let Some(write) = visit.after(self.offer.as_ref(), "acme", "L-1", percent, self.now_ms) {
                self.points.extend(write.point);
                self.offer = Some(Offer { revision: write.offer.revision + 1, ..write.offer });
            }
        }

        fn amounts(&self) -> Vec<(u64, &str)> {
            self.points.iter().map(|point| (point.at.ms(), point.amount.as_str())).collect()
        }

        fn alerts(&self) -> Vec<(u64, &str, &str)> {
            let alerts = self.offer.iter().flat_map(|offer| &offer.alerts);
            alerts.map(|alert| (alert.at.ms(), alert.was.as_str(), alert.becomes.as_str())).collect()
        }
    }

    #[test]
    fn there_is_a_point_a_change_and_none_a_visit() {
        let visits = [euros(1, "10.00"), euros(2, "10"), euros(3, "9.50"), euros(4, "9.50"), euros(5, "10.00")];
        let known = Known::after(&visits, None);
        assert_eq!(known.amounts(), [(1, "10.00"), (3, "9.50"), (5, "10.00")]);
        let offer = known.offer.unwrap();
        assert_eq!((offer.since.ms(), offer.seen_at.ms(), offer.revision), (5, 5, 5));
    }

    #[test]
    fn an_older_fetch_never_becomes_the_newest_and_the_same_one_counts_once() {
        let mut known = Known::after(&[euros(1, "10"), euros(3, "9")], FIVE);
        for late in [euros(2, "12"), euros(3, "9"), euros(3, "8"), euros(1, "10")] {
            known.see(&late, FIVE);
        }
        assert_eq!(known.amounts(), [(1, "10"), (3, "9")]);
        assert_eq!(known.alerts(), [(3, "10", "9")]);
    }

    #[test]
    fn a_visit_that_a_clock_was_ahead_for_holds_up_none_of_now() {
        let gone = Said { error: Some("404 Not Found".to_owned()), ..Said::default() };
        for now in [euros(20, "9"), euros(20, "10"), at(20, &gone)] {
            let mut known = Known::after(&[euros(5, "10"), euros(3_600_000, "10")], None);
            known.see(&now, None);
            let offer = known.offer.clone().unwrap();
            assert_eq!((offer.visited_at.ms(), offer.gone.is_some()), (20, now.price.is_none()), "{now:?}");
            known.see(&euros(15, "8"), None);
            assert_eq!(known.offer.unwrap().visited_at.ms(), 20, "what is older than that changes nothing");
        }
    }

    #[test]
    fn another_availability_or_currency_is_a_change_and_what_is_not_told_is_none() {
        let with = |at_ms, currency, availability| at(at_ms, &page("10", currency, availability));
        let known = Known::after(
            &[
                with(1, "EUR", Some("InStock")),
                with(2, "", None),
                with(3, "EUR", Some("OutOfStock")),
                with(4, "EUR", None),
                with(5, "USD", None),
            ],
            None,
        );
        let points: Vec<_> = known
            .points
            .iter()
            .map(|point| (point.at.ms(), point.currency.as_deref(), point.availability.as_deref()))
            .collect();
        assert_eq!(
            points,
            [(1, Some("EUR"), Some("InStock")), (3, Some("EUR"), Some("OutOfStock")), (5, Some("USD"), None)]
        );
        // A currency that is told later is no change either.
        let known = Known::after(&[with(1, "", None), with(2, "EUR", None)], None);
        assert_eq!((known.points.len(), known.offer.unwrap().currency.as_deref()), (1, Some("EUR")));
    }

    #[test]
    fn an_element_that_a_job_names_has_a_price_of_its_own() {
        let read = |selector: Option<&str>, amount, method| {
            let Said { mut price, details, .. } = page(amount, "EUR", None);
            price.as_mut().unwrap().method = method;
            let fetched = Fetched { at: time(1), title: None, price: price.as_ref(), details: &details, error: None };
            let offer =
                Visit::of(URL, selector, &fetched).unwrap().after(None, "acme", "L-1", FIVE, 100).unwrap().offer;
            (offer.id, offer.selector)
        };
        let of = |selector: Option<&str>, amount| {
            read(selector, amount, if selector.is_some() { Method::Selector } else { Method::JsonLd })
        };
        let (whole, variant) = (of(None, "60"), of(Some(".variant-b .price"), "12"));
        assert_eq!((whole.1, variant.1.as_deref()), (None, Some(".variant-b .price")));
        assert_ne!(whole.0, variant.0, "so neither is a move of the other");
        assert_ne!(of(Some(".variant-c .price"), "12").0, variant.0);
        assert_eq!(read(Some(".variant-b .price"), "60", Method::JsonLd).0, whole.0, "there is no such element");
        assert_eq!(whole.0, "6037c03572c5369c22bafb4a05a4e8ff", "ids of pages stay as they are");
    }

    #[test]
    fn what_is_used_does_not_become_new_when_the_page_once_leaves_that_out() {
        let used = |at_ms, amount, condition: Option<&str>| {
            let mut said = page(amount, "EUR", None);
            said.details.condition = condition.map(str::to_owned);
            at(at_ms, &said)
        };
        let mut known = Known::after(&[used(1, "30", Some("UsedCondition")), used(2, "29", None)], None);
        assert_eq!(known.offer.as_ref().unwrap().condition.as_deref(), Some("UsedCondition"));
        known.see(&used(3, "29", Some("NewCondition")), None);
        assert_eq!(known.offer.unwrap().condition.as_deref(), Some("NewCondition"));
    }

    #[test]
    fn what_is_made_up_or_no_price_makes_no_point() {
        let mut mock = page("10", "EUR", None);
        mock.price.as_mut().unwrap().method = Method::Mock;
        for page in [mock, Said::default(), page("0", "EUR", None)] {
            assert_eq!(visit(1, &page), None, "{page:?}");
        }
        let sold_out = Details { availability: Some("SoldOut".to_owned()), ..Details::default() };
        let sold_out = Said { details: sold_out, ..Said::default() };
        let gone = Said { error: Some("404 Not Found".to_owned()), ..Said::default() };
        let (first, sold_out, gone) = (euros(1, "10"), at(2, &sold_out), at(3, &gone));
        assert_eq!(sold_out.after(None, "acme", "L-1", None, 100), None, "nothing is known of it");
        let mut known = Known::after(&[first, sold_out], None);
        let told = |known: &Known| known.offer.as_ref().unwrap().gone.clone();
        assert_eq!(told(&known).as_deref(), Some("the page names no price any more and says SoldOut"));
        known.see(&gone, None);
        assert_eq!(told(&known).as_deref(), Some("the page is gone: 404 Not Found"));
        assert_eq!(known.offer.as_ref().unwrap().seen_at.ms(), 1, "the price was last seen then");
        known.see(&euros(4, "10"), None);
        assert_eq!((told(&known), known.amounts()), (None, vec![(1, "10")]));
    }

    #[test]
    fn small_steps_alert_once_they_are_far_enough_and_each_move_back_and_forth_does() {
        let creeping = [euros(1, "100"), euros(2, "103"), euros(3, "106.09"), euros(4, "108")];
        assert_eq!(Known::after(&creeping, FIVE).alerts(), [(3, "100", "106.09")]);
        let to_and_fro = [euros(1, "100"), euros(2, "90"), euros(3, "100"), euros(4, "100"), euros(5, "90")];
        assert_eq!(Known::after(&to_and_fro, FIVE).alerts(), [(2, "100", "90"), (3, "90", "100"), (5, "100", "90")]);
        let exactly = [euros(1, "100"), euros(2, "95"), euros(3, "99.75"), euros(4, "99.74")];
        assert_eq!(Known::after(&exactly, FIVE).alerts(), [(2, "100", "95"), (3, "95", "99.75")]);
        let ten = Some(Decimal::TEN);
        assert_eq!(Known::after(&exactly, ten).alerts(), []);
    }

    #[test]
    fn nobody_is_told_without_an_address_or_of_another_currency() {
        let visits = [euros(1, "100"), euros(2, "50"), euros(3, "49")];
        let known = Known::after(&visits, None);
        assert_eq!((known.alerts(), known.points.len()), (vec![], 3));
        assert_eq!(
            known.offer.unwrap().references,
            [Money { amount: "49".to_owned(), currency: "EUR".to_owned() }],
            "an address that comes later is told of what is new"
        );
        let dollars = |at_ms, amount| at(at_ms, &page(amount, "USD", None));
        let known = Known::after(&[euros(1, "100"), dollars(2, "80"), dollars(3, "81"), dollars(4, "70")], FIVE);
        assert_eq!(known.alerts(), [(4, "80", "70")]);
        let unknown = Known::after(&[euros(1, "100"), at(2, &page("50", "", None)), euros(3, "100")], FIVE);
        assert_eq!(unknown.alerts(), []);
    }

    /// The tenant is looked up only for what [`Visit::moves`] says.
    fn see_as_a_job_does(known: &mut Known, visit: &Visit) {
        let moves = known.offer.as_ref().is_some_and(|offer| visit.moves(offer));
        known.see(visit, FIVE.filter(|_| moves));
    }

    #[test]
    fn a_visit_that_tells_no_currency_moves_nothing_that_is_compared_with() {
        let mut known = Known::after(&[], FIVE);
        for visit in [euros(1, "100"), euros(2, "104"), at(3, &page("104", "", None)), euros(4, "108")] {
            see_as_a_job_does(&mut known, &visit);
        }
        assert_eq!(known.alerts(), [(4, "100", "108")]);
    }

    #[test]
    fn a_visit_in_another_currency_swallows_no_move() {
        let mut known = Known::after(&[], FIVE);
        let dollars = |at_ms, amount| at(at_ms, &page(amount, "USD", None));
        for visit in [euros(1, "60"), dollars(2, "66"), euros(3, "30"), dollars(4, "66"), dollars(5, "33")] {
            see_as_a_job_does(&mut known, &visit);
        }
        assert_eq!(known.alerts(), [(3, "60", "30"), (5, "66", "33")]);
        for n in 0..20_u64 {
            see_as_a_job_does(&mut known, &at(6 + n, &page("5", &format!("X{n:02}"), None)));
        }
        assert_eq!(known.offer.unwrap().references.len(), MOST_REFERENCES);
    }
}
