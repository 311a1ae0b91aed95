//! What a plan costs and allows, and where a subscription stands, in a reader's words: for pages.

use jobs::{email::Locale, payments::Plan};
use providers::{
    content::{Language, Tier},
    payments::{Money, Price},
};
use serde::Serialize;
use store::{Moment, StoredSubscription, SubscriptionState, Tenant};

use super::page::say;
use crate::payments::Offer;

/// A reader of pages.
pub(super) struct Reader {
    pub(super) language: Language,
    pub(super) locale: Locale,
}

impl Reader {
    /// Somebody of this tenant, whose clock counts.
    pub(super) fn new(language: Language, tenant: Option<&Tenant>) -> Self {
        Self { language, locale: Locale::new(language, tenant.map_or("UTC", |tenant| &tenant.time_zone)) }
    }

    pub(super) fn say<'a>(&self, french: &'a str, english: &'a str) -> &'a str {
        say(self.language, french, english)
    }

    pub(super) fn money(&self, money: &Money) -> String {
        self.locale.money(&money.amount.to_string(), &money.currency)
    }

    /// A day; empty for a time that no calendar has.
    pub(super) fn day(&self, at: Moment) -> String {
        let time = i64::try_from(at.ms()).ok().and_then(chrono::DateTime::from_timestamp_millis);
        time.and_then(|time| self.locale.day(&time.to_rfc3339())).unwrap_or_default()
    }

    /// What is paid each time.
    pub(super) fn price(&self, price: &Price) -> String {
        price
            .unit_amount
            .as_ref()
            .map_or_else(|| self.say("Selon la quantité", "Depends on how much").to_owned(), |money| self.money(money))
    }

    /// How often it is paid.
    pub(super) fn every(&self, price: &Price) -> String {
        let n = price.interval_count;
        let (one, some) = match price.interval.as_deref() {
            Some("day") => (("par jour", "a day"), ("jours", "days")),
            Some("week") => (("par semaine", "a week"), ("semaines", "weeks")),
            Some("month") => (("par mois", "a month"), ("mois", "months")),
            Some("year") => (("par an", "a year"), ("ans", "years")),
            _ => return String::new(),
        };
        if n == 1 {
            return self.say(one.0, one.1).to_owned();
        }
        let every = if matches!(price.interval.as_deref(), Some("week")) { "toutes les" } else { "tous les" };
        format!("{} {n} {}", self.say(every, "every"), self.say(some.0, some.1))
    }
}

/// As the table of plans has it, with a capital letter.
pub(super) fn name(plan: &str) -> String {
    let mut letters = plan.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// An offer as the page of plans shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ShownOffer {
    plan: String,
    name: String,
    price: String,
    every: String,
    tier: &'static str,
    jobs_per_day: Option<String>,
    spending_cap: Option<String>,
    kinds: Option<String>,
}

impl ShownOffer {
    pub(super) fn new(offer: &Offer, allows: &Plan, reader: &Reader) -> Self {
        Self {
            plan: offer.plan.clone(),
            name: name(&offer.plan),
            price: reader.price(&offer.price),
            every: reader.every(&offer.price),
            tier: match allows.tier {
                Tier::Basic => "basic",
                Tier::Standard => "standard",
                Tier::Premium => "premium",
            },
            jobs_per_day: allows.jobs_per_day.map(|jobs| reader.locale.number(jobs)),
            spending_cap: allows.spending_cap_per_day.map(|cap| reader.locale.money(&cap.to_string(), "USD")),
            kinds: allows.kinds.as_ref().map(|kinds| kinds.join(", ")),
        }
    }
}

/// A subscription that goes on, as the page of plans shows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Current {
    plan: Option<String>,
    name: String,
    state: &'static str,
    ends: Option<String>,
    trial_end: Option<String>,
    renews: Option<String>,
}

impl Current {
    /// `None`: nothing keeps the tenant from subscribing.
    pub(super) fn of(kept: Option<&StoredSubscription>, reader: &Reader) -> Option<Self> {
        use SubscriptionState as State;
        let kept = kept.filter(|kept| !matches!(kept.state, State::None | State::Canceled | State::Incomplete))?;
        let day = |at: Option<Moment>| at.map(|at| reader.day(at));
        let end = kept.cancel_at.or_else(|| kept.period_end.filter(|_| kept.cancel_at_period_end));
        Some(Self {
            plan: kept.plan.clone(),
            name: kept.plan.as_deref().map(name).unwrap_or_default(),
            state: kept.state.as_str(),
            ends: day(end),
            trial_end: day(kept.trial_end),
            renews: day(kept.period_end),
        })
    }
}

/// Whether a tenant may still have a trial.
pub(super) fn may_try(kept: Option<&StoredSubscription>) -> bool {
    kept.is_none_or(|kept| !kept.trial_used && kept.subscription.is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn price(units: &Value, currency: &str, interval: &str, count: u32) -> Price {
        Price::read(&json!({ "id": "price_1", "active": true, "currency": currency, "unit_amount": units,
            "recurring": { "interval": interval, "interval_count": count } }))
        .unwrap()
    }

    fn readers() -> (Reader, Reader) {
        (Reader::new(Language::Fr, None), Reader::new(Language::En, None))
    }

    #[test]
    fn a_price_is_written_as_the_language_does() {
        let (fr, en) = readers();
        for (units, currency, french, english) in [
            (123_450, "eur", "1\u{202f}234,50\u{a0}€", "€1,234.50"),
            (2_900, "usd", "29,00\u{a0}$", "$29.00"),
            (123_450, "jpy", "123\u{202f}450\u{a0}JPY", "123,450\u{a0}JPY"),
            (5_120, "kwd", "5,120\u{a0}KWD", "5.120\u{a0}KWD"),
        ] {
            let price = price(&json!(units), currency, "month", 1);
            assert_eq!((fr.price(&price).as_str(), en.price(&price).as_str()), (french, english));
        }
        assert_eq!(en.price(&price(&Value::Null, "eur", "month", 1)), "Depends on how much");
        let every = |interval: &str, count: u32| {
            let price = price(&json!(1), "eur", interval, count);
            (fr.every(&price), en.every(&price))
        };
        assert_eq!(every("month", 1), ("par mois".to_owned(), "a month".to_owned()));
        assert_eq!(every("month", 3), ("tous les 3 mois".to_owned(), "every 3 months".to_owned()));
        assert_eq!(every("week", 2), ("toutes les 2 semaines".to_owned(), "every 2 weeks".to_owned()));
        assert_eq!(every("year", 1), ("par an".to_owned(), "a year".to_owned()));
    }

    #[test]
    fn a_subscription_that_has_ended_or_never_began_keeps_nobody_from_another() {
        let (_, en) = readers();
        let none = StoredSubscription::none("acme", Moment::from_ms(1));
        let of = |state| {
            let kept = StoredSubscription {
                state,
                plan: Some("pro".to_owned()),
                period_end: Some(Moment::from_ms(1_790_000_000_000)),
                cancel_at_period_end: true,
                ..none.clone()
            };
            Current::of(Some(&kept), &en).map(|current| (current.state, current.name, current.ends))
        };
        use SubscriptionState as State;
        for state in [State::None, State::Canceled, State::Incomplete] {
            assert_eq!(of(state), None, "{state:?}");
        }
        let ends = Some("Monday 21\u{a0}September 2026".to_owned());
        for state in [State::Trialing, State::Active, State::PastDue, State::Unpaid, State::Paused] {
            assert_eq!(of(state), Some((state.as_str(), "Pro".to_owned(), ends.clone())));
        }
        assert!(may_try(None) && may_try(Some(&none)));
        assert!(!may_try(Some(&StoredSubscription { trial_used: true, ..none.clone() })));
        assert!(!may_try(Some(&StoredSubscription { subscription: Some("sub_1".to_owned()), ..none })));
    }
}
