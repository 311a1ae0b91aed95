//! What the shops that sell a product ask for it, taken together.

use std::fmt;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::rates::{BASE, Rates, rounded};

/// A price that was last seen longer ago than this does not count.
pub const STALE_AFTER: TimeDelta = TimeDelta::days(30);
/// Of fewer offers none is told to be an outlier: nobody knows which one is.
const ENOUGH: usize = 4;
/// An outlier is further from the median than this many times the median of all such distances (3.5 standard deviations, were prices
/// spread normally) …
const DEVIATIONS: Decimal = Decimal::from_parts(5_189, 0, 0, false, 3);
/// … and further than this share of the median, because shops that all ask about the same have no outliers among them.
const SHARE: Decimal = Decimal::from_parts(5, 0, 0, false, 1);

/// What one page asked last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The page.
    pub url: String,
    /// The price.
    pub amount: Decimal,
    /// ISO 4217, if the page told.
    pub currency: Option<String>,
    /// The word of schema.org.
    pub availability: Option<String>,
    /// The word of schema.org.
    pub condition: Option<String>,
    /// Since when it is this price.
    pub since: DateTime<Utc>,
    /// When it was last seen.
    pub seen_at: DateTime<Utc>,
    /// Why there is no such page any more.
    pub gone: Option<String>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// How much.
    pub amount: Decimal,
    /// ISO 4217.
    pub currency: String,
}

/// What all offers of a product say together. Amounts are in `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PriceComparison)]
pub struct Comparison {
    /// ISO 4217: the one of the own price, or else the one that most offers have. `null` without either.
    pub currency: Option<String>,
    /// Half of the offers ask no more.
    #[schema(value_type = Option<String>, example = "59.90")]
    pub median: Option<Decimal>,
    /// From the lowest offer to the highest.
    #[schema(value_type = Option<String>, example = "12.00")]
    pub spread: Option<Decimal>,
    /// The lowest offer that is not known to be out of stock.
    pub cheapest: Option<ComparedOffer>,
    /// The place of the own price among the offers that are not known to be out of stock: 1 when none is lower. Those who ask the same have
    /// the same place.
    pub position: Option<usize>,
    /// Offers that are too far from the others to be of the same thing; they do not count.
    pub outliers: Vec<Excluded>,
    /// Those that count, the lowest first.
    pub offers: Vec<ComparedOffer>,
    /// Offers that cannot be compared.
    pub left_out: Vec<Excluded>,
    /// The day of the exchange rates, if any were needed.
    pub rates_date: Option<NaiveDate>,
    /// When it was compared.
    #[serde(serialize_with = "with_milliseconds")]
    pub at: DateTime<Utc>,
}

/// An offer that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComparedOffer {
    /// The page.
    pub url: String,
    /// In the currency of the comparison.
    #[schema(value_type = String, example = "59.90")]
    pub amount: Decimal,
    /// As the page asks, if that is in another currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<AskedAs>,
    /// The word of schema.org, if the page told.
    pub availability: Option<String>,
    /// Whether it can be had, if the page told.
    pub in_stock: Option<bool>,
    /// Since when it is this price.
    #[serde(serialize_with = "with_milliseconds")]
    pub since: DateTime<Utc>,
    /// When it was last seen.
    #[serde(serialize_with = "with_milliseconds")]
    pub seen_at: DateTime<Utc>,
}

/// A price in the currency of its page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AskedAs {
    /// Decimal.
    #[schema(value_type = String, example = "64.17")]
    pub amount: Decimal,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub currency: String,
}

/// An offer that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Excluded {
    /// The page.
    pub url: String,
    /// Why.
    pub reason: String,
}

/// As all times of the API are written.
fn with_milliseconds<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Takes the offers of a product together, as they are known at `now`.
#[must_use]
pub fn compare(offers: &[Offer], own: Option<&Asked>, rates: Option<&Rates>, now: DateTime<Utc>) -> Comparison {
    let (mut counted, mut left_out, mut rates_date) = (Vec::new(), Vec::new(), None);
    let good: Vec<&Offer> = offers
        .iter()
        .filter(|offer| {
            let reason = unfit(offer, now);
            left_out.extend(reason.iter().map(|reason| Excluded { url: offer.url.clone(), reason: reason.clone() }));
            reason.is_none()
        })
        .collect();
    let currency = own.map(|own| own.currency.clone()).or_else(|| most_common(&good));
    for offer in good {
        let (Some(to), Some(from)) = (&currency, &offer.currency) else { continue };
        if to == from {
            counted.push(compared(offer, offer.amount, None));
            continue;
        }
        match rates.and_then(|rates| Some((rates.date(), rates.convert(offer.amount, from, to)?))) {
            Some((date, amount)) => {
                rates_date = Some(date);
                counted.push(compared(offer, amount, Some(from)));
            }
            None => {
                let table = rates.map_or_else(
                    || "there are no rates".to_owned(),
                    |rates| format!("the rates of {} have none", rates.date()),
                );
                let reason = format!("it is in {from}, and there is no rate from {from} to {to}: {table}");
                left_out.push(Excluded { url: offer.url.clone(), reason });
            }
        }
    }
    counted.sort_by(|one, other| (one.amount, &one.url).cmp(&(other.amount, &other.url)));
    let outliers = take_outliers(&mut counted, currency.as_deref().unwrap_or(BASE));
    let amounts: Vec<Decimal> = counted.iter().map(|offer| offer.amount).collect();
    let to_be_had = || counted.iter().filter(|offer| offer.in_stock != Some(false));
    let median = median(&amounts).zip(currency.as_deref()).map(|(median, currency)| rounded(median, currency));
    let spread = amounts.first().zip(amounts.last()).and_then(|(lowest, highest)| highest.checked_sub(*lowest));
    let position = own.map(|own| 1 + to_be_had().filter(|offer| offer.amount < own.amount).count());
    let cheapest = to_be_had().next().cloned();
    Comparison {
        currency,
        median,
        spread,
        cheapest,
        position,
        outliers,
        offers: counted,
        left_out,
        rates_date,
        at: now,
    }
}

fn compared(offer: &Offer, amount: Decimal, asked_in: Option<&String>) -> ComparedOffer {
    ComparedOffer {
        url: offer.url.clone(),
        amount,
        asked: asked_in.map(|currency| AskedAs { amount: offer.amount, currency: currency.clone() }),
        availability: offer.availability.clone(),
        in_stock: offer.availability.as_deref().map(is_in_stock),
        since: offer.since,
        seen_at: offer.seen_at,
    }
}

/// Why an offer cannot be compared, whatever its currency.
fn unfit(offer: &Offer, now: DateTime<Utc>) -> Option<String> {
    if let Some(gone) = &offer.gone {
        return Some(format!("the page is gone: {gone}"));
    }
    if now - offer.seen_at > STALE_AFTER {
        let days = (now - offer.seen_at).num_days();
        return Some(format!("its price was last seen {days} days ago, on {}", offer.seen_at.format("%Y-%m-%d")));
    }
    if let Some(condition) = offer.condition.as_deref().filter(|condition| *condition != "NewCondition") {
        return Some(format!("it is not new: {condition}"));
    }
    if offer.amount <= Decimal::ZERO {
        return Some("its price is not above 0".to_owned());
    }
    offer.currency.is_none().then(|| "the page does not tell its currency".to_owned())
}

/// The currency that most offers have; of several such the euro, or else the first by its name.
fn most_common(offers: &[&Offer]) -> Option<String> {
    let currencies = offers.iter().filter_map(|offer| offer.currency.as_deref());
    let n = |wanted: &str| currencies.clone().filter(|currency| *currency == wanted).count();
    let best = currencies.clone().max_by(|one, other| {
        let rank = |currency: &str| (n(currency), currency == BASE);
        rank(one).cmp(&rank(other)).then_with(|| other.cmp(one))
    });
    best.map(str::to_owned)
}

/// Whether a word of schema.org says that the product can be had now.
fn is_in_stock(availability: &str) -> bool {
    matches!(availability, "InStock" | "LimitedAvailability" | "OnlineOnly" | "InStoreOnly" | "MadeToOrder")
}

/// Takes out of the offers, which are in order, those that are too far from the others.
fn take_outliers(offers: &mut Vec<ComparedOffer>, currency: &str) -> Vec<Excluded> {
    if offers.len() < ENOUGH {
        return Vec::new();
    }
    let amounts: Vec<Decimal> = offers.iter().map(|offer| offer.amount).collect();
    let Some(median) = median(&amounts) else { return Vec::new() };
    let mut distances: Vec<Decimal> = amounts.iter().map(|amount| (*amount - median).abs()).collect();
    distances.sort_unstable();
    let by_distance = self::median(&distances).and_then(|distance| distance.checked_mul(DEVIATIONS));
    let (Some(by_distance), Some(by_share)) = (by_distance, median.checked_mul(SHARE)) else { return Vec::new() };
    let limit = by_distance.max(by_share);
    let mut outliers = Vec::new();
    offers.retain(|offer| {
        let is_out = (offer.amount - median).abs() > limit;
        if is_out {
            let reason = Far { amount: offer.amount, median: rounded(median, currency), currency }.to_string();
            outliers.push(Excluded { url: offer.url.clone(), reason });
        }
        !is_out
    });
    outliers
}

/// How far an offer is from the others, in words.
struct Far<'a> {
    amount: Decimal,
    median: Decimal,
    currency: &'a str,
}

impl fmt::Display for Far<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { amount, median, currency } = self;
        let side = if amount < median { "below" } else { "above" };
        write!(formatter, "{amount} {currency} is far {side} the others, whose median is {median} {currency}")
    }
}

/// The middle of values that are in order.
fn median(sorted: &[Decimal]) -> Option<Decimal> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    // Their sum may be too large, and half of their distance not.
    let lower = sorted[middle - 1];
    lower.checked_add(upper.checked_sub(lower)? / Decimal::TWO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dec(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    /// In stock, seen an hour ago; named by its amount.
    fn offer(amount: &str, currency: &str) -> Offer {
        Offer {
            url: format!("https://{amount}.example/"),
            amount: dec(amount),
            currency: Some(currency.to_owned()),
            availability: Some("InStock".to_owned()),
            condition: None,
            since: now() - TimeDelta::days(9),
            seen_at: now() - TimeDelta::hours(1),
            gone: None,
        }
    }

    fn euros(amounts: &[&str]) -> Vec<Offer> {
        amounts.iter().map(|amount| offer(amount, "EUR")).collect()
    }

    fn own(amount: &str, currency: &str) -> Asked {
        Asked { amount: dec(amount), currency: currency.to_owned() }
    }

    fn rates() -> Rates {
        Rates::read("2026-11-27".parse().unwrap(), [("USD", "1.25"), ("JPY", "160")]).unwrap()
    }

    fn text(amount: Option<Decimal>) -> Option<String> {
        amount.map(|amount| amount.to_string())
    }

    #[track_caller]
    fn reason_of<'a>(excluded: &'a [Excluded], url: &str) -> &'a str {
        let found = excluded.iter().find(|one| one.url == url);
        &found.unwrap_or_else(|| panic!("{url} is not among {excluded:?}")).reason
    }

    #[test]
    fn the_median_the_spread_the_cheapest_and_the_own_place_are_told() {
        let all = compare(&euros(&["64.90", "59.90", "70.00"]), Some(&own("62.00", "EUR")), None, now());
        assert_eq!((text(all.median), text(all.spread)), (Some("64.90".into()), Some("10.10".into())));
        assert_eq!(all.cheapest.as_ref().map(|offer| offer.url.as_str()), Some("https://59.90.example/"));
        assert_eq!((all.position, all.currency.as_deref(), all.rates_date), (Some(2), Some("EUR"), None));
        let amounts: Vec<String> = all.offers.iter().map(|offer| offer.amount.to_string()).collect();
        assert_eq!(amounts, ["59.90", "64.90", "70.00"], "the lowest first");
        let two = compare(&euros(&["10", "10.01"]), None, None, now());
        assert_eq!(text(two.median), Some("10.01".into()), "half a cent counts as one");
        assert_eq!(two.position, None);
    }

    #[test]
    fn those_who_ask_the_same_have_the_same_place() {
        let place = |amount: &str| {
            compare(&euros(&["10.00", "12.00", "12.00", "15.00"]), Some(&own(amount, "EUR")), None, now()).position
        };
        for (amount, expected) in [("9", 1), ("10.0", 1), ("11", 2), ("12", 2), ("12.01", 4), ("15", 4), ("99", 5)] {
            assert_eq!(place(amount), Some(expected), "{amount}");
        }
    }

    #[test]
    fn what_is_out_of_stock_is_not_the_cheapest_and_takes_no_place() {
        let mut offers = euros(&["8", "9", "10"]);
        offers[0].availability = Some("SoldOut".to_owned());
        offers[1].availability = None;
        let all = compare(&offers, Some(&own("8.50", "EUR")), None, now());
        assert_eq!(all.cheapest.unwrap().amount, dec("9"), "of which nothing is told");
        assert_eq!((all.position, text(all.median)), (Some(1), Some("9.00".into())));
        assert_eq!(all.offers.iter().map(|offer| offer.in_stock).collect::<Vec<_>>(), [Some(false), None, Some(true)]);
        for offer in &mut offers {
            offer.availability = Some("PreOrder".to_owned());
        }
        let none = compare(&offers, None, None, now());
        assert_eq!((none.cheapest, none.offers.len()), (None, 3));
    }

    #[test]
    fn currencies_are_converted_and_a_pair_without_a_rate_is_left_out_and_named() {
        let offers =
            [offer("10", "EUR"), offer("25", "USD"), offer("1600", "JPY"), offer("7", "CHF"), offer("8", "PLN")];
        let all = compare(&offers, None, Some(&rates()), now());
        assert_eq!(all.currency.as_deref(), Some("EUR"), "of equals the euro");
        let amounts: Vec<String> = all.offers.iter().map(|offer| offer.amount.to_string()).collect();
        assert_eq!(amounts, ["10", "10.00", "20.00"]);
        let dollars = all.offers[2].asked.as_ref().unwrap();
        assert_eq!((dollars.amount.to_string(), dollars.currency.as_str()), ("25".into(), "USD"));
        assert_eq!(all.rates_date.map(|date| date.to_string()).as_deref(), Some("2026-11-27"));
        let reason = reason_of(&all.left_out, "https://7.example/");
        assert_eq!(reason, "it is in CHF, and there is no rate from CHF to EUR: the rates of 2026-11-27 have none");
        assert!(reason_of(&all.left_out, "https://8.example/").contains("from PLN to EUR"));

        let in_dollars = compare(&offers[..2], Some(&own("12.50", "USD")), Some(&rates()), now());
        assert_eq!((in_dollars.currency.as_deref(), in_dollars.position), (Some("USD"), Some(1)), "it asks the same");
        assert_eq!(text(in_dollars.median), Some("18.75".into()));

        let without = compare(&offers[..2], None, None, now());
        assert_eq!((without.offers.len(), without.rates_date), (1, None));
        assert!(reason_of(&without.left_out, "https://25.example/").ends_with("there are no rates"));
        let unknown = compare(&offers[..2], Some(&own("5", "CHF")), Some(&rates()), now());
        assert_eq!((unknown.offers.len(), unknown.left_out.len(), unknown.position), (0, 2, Some(1)));
    }

    #[test]
    fn the_currency_is_the_own_one_or_that_of_most_offers() {
        let offers = [offer("1", "EUR"), offer("2", "USD"), offer("3", "USD")];
        assert_eq!(compare(&offers, None, None, now()).currency.as_deref(), Some("USD"));
        assert_eq!(compare(&offers, Some(&own("1", "GBP")), None, now()).currency.as_deref(), Some("GBP"));
        assert_eq!(
            compare(&[offer("1", "USD"), offer("2", "CHF")], None, None, now()).currency.as_deref(),
            Some("CHF")
        );
        assert_eq!(compare(&[], None, None, now()).currency, None);
    }

    #[test]
    fn an_outlier_is_named_with_the_reason_and_counts_for_nothing() {
        let offers = euros(&["59.90", "61.00", "58.00", "9.90", "62.50", "240.00"]);
        let all = compare(&offers, Some(&own("57.00", "EUR")), None, now());
        assert_eq!(
            reason_of(&all.outliers, "https://9.90.example/"),
            "9.90 EUR is far below the others, whose median is 60.45 EUR"
        );
        assert!(reason_of(&all.outliers, "https://240.00.example/").contains("far above"));
        assert_eq!((all.outliers.len(), all.offers.len(), all.position), (2, 4, Some(1)));
        assert_eq!(all.cheapest.unwrap().amount, dec("58.00"), "an accessory is not the cheapest");
    }

    #[test]
    fn of_few_offers_and_of_those_that_differ_much_none_is_an_outlier() {
        for amounts in [
            &["10", "60", "61"][..],
            &["10", "12", "50", "60"],
            &["100", "100", "100", "149"],
            &["1", "2", "3", "4", "5"],
        ] {
            assert_eq!(compare(&euros(amounts), None, None, now()).outliers, [], "{amounts:?}");
        }
        // Where all ask the same to the cent, half as much again is far.
        let same = compare(&euros(&["100", "100.0", "100.00", "151"]), None, None, now());
        assert_eq!(same.outliers.len(), 1);
    }

    #[test]
    fn what_cannot_be_compared_is_left_out_with_the_reason() {
        let with = |change: &dyn Fn(&mut Offer)| {
            let mut changed = offer("10", "EUR");
            change(&mut changed);
            let all = compare(&[changed, offer("20", "EUR")], None, None, now());
            assert_eq!(all.offers.len(), 1);
            all.left_out[0].reason.clone()
        };
        let stale = with(&|offer| offer.seen_at = now() - TimeDelta::days(31));
        assert_eq!(stale, "its price was last seen 31 days ago, on 2026-10-28");
        let used = with(&|offer| offer.condition = Some("RefurbishedCondition".to_owned()));
        assert_eq!(used, "it is not new: RefurbishedCondition");
        assert_eq!(with(&|offer| offer.gone = Some("404 Not Found".to_owned())), "the page is gone: 404 Not Found");
        assert_eq!(with(&|offer| offer.currency = None), "the page does not tell its currency");
        assert_eq!(with(&|offer| offer.amount = Decimal::ZERO), "its price is not above 0");
        let mut fresh = offer("10", "EUR");
        fresh.seen_at = now() - STALE_AFTER;
        fresh.condition = Some("NewCondition".to_owned());
        assert_eq!(compare(&[fresh], None, None, now()).left_out, []);
    }

    #[test]
    fn without_offers_there_is_nothing_but_the_own_place() {
        let none = compare(&[], Some(&own("5", "EUR")), None, now());
        assert_eq!((none.median, none.spread, none.cheapest, none.position), (None, None, None, Some(1)));
    }

    #[test]
    fn huge_amounts_break_nothing() {
        let mut offers = euros(&["1", "2", "3", "4", "5"]);
        offers.iter_mut().for_each(|offer| offer.amount = Decimal::MAX);
        let all = compare(&offers, Some(&own("1", "EUR")), Some(&rates()), now());
        assert_eq!((all.offers.len(), all.position), (5, Some(1)));
    }
}
