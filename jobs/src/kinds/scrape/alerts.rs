//! Moves of prices that tenants are told of: an e-mail each, and a weekly summary.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use queue::Client;
use rust_decimal::{Decimal, RoundingStrategy};
use store::{Alert, Error, Moment, Offer, Store, Tenant};
use url::Url;

use crate::kinds::email::{
    PriceAlertData, PriceChange, Template,
    tenant::{NotPushed, email, email_job, ms, push_emails, zone},
};

/// A tenant is told of moves of so many percent, unless it says otherwise.
pub(super) const ALERT_PERCENT: Decimal = Decimal::from_parts(5, 0, 0, false, 0);
/// Who wants to hear of moves of so many percent wants to hear of none.
const NEVER_PERCENT: f64 = 1_000_000.0;
/// Changes that a weekly summary tells.
const MOST_CHANGES: usize = 20;
/// Offers that are looked at for it, those that changed last.
const LOOKED_AT: usize = 200;

/// From which move on the tenant wants to hear of a price; `None` when of none. What is no share of a price is as if nothing were said.
pub(super) fn alert_percent(tenant: &Tenant) -> Option<Decimal> {
    let said = tenant.price_alert_percent.as_deref();
    if said.and_then(|text| text.parse().ok()).is_some_and(|percent: f64| percent >= NEVER_PERCENT) {
        return None;
    }
    let said = said.and_then(|text| text.parse().or_else(|_| Decimal::from_scientific(text)).ok());
    Some(said.filter(|percent: &Decimal| !percent.is_sign_negative()).unwrap_or(ALERT_PERCENT))
}

/// Pushes the e-mails that wait at these offers, and takes them off; returns how many were added.
pub(crate) async fn send_alerts(store: &Store, client: &Client, offers: &[Offer]) -> Result<u64, NotPushed> {
    let mut tenants: BTreeMap<&str, Option<Tenant>> = BTreeMap::new();
    let (mut jobs, mut sent) = (Vec::new(), Vec::new());
    for offer in offers.iter().filter(|offer| !offer.alerts.is_empty()) {
        if !tenants.contains_key(offer.tenant.as_str()) {
            tenants.insert(&offer.tenant, store.tenant(&offer.tenant).await?);
        }
        let tenant = tenants[offer.tenant.as_str()].as_ref().filter(|tenant| !tenant.email.is_empty());
        for alert in &offer.alerts {
            sent.push((offer.id.as_str(), alert.at));
            // Who has no address any more is not told.
            let Some((tenant, template)) = tenant.zip(alert_email(offer, alert)) else { continue };
            let name = format!("price alert/{}/{}", offer.id, alert.at.ms());
            let id = client.fixed_id("email", &name, alert.at.ms()).await?;
            let email = email(tenant, &zone(tenant), &template);
            jobs.push((id, email_job(offer.tenant.clone(), &email)));
        }
    }
    let n_added = push_emails(store, client, jobs).await?;
    for (id, at) in sent {
        store.forget_alert(id, at).await?;
    }
    Ok(n_added)
}

/// What the tenant reads of a move; `None` of amounts that no mail can show.
fn alert_email(offer: &Offer, alert: &Alert) -> Option<Template> {
    Some(Template::PriceAlert(PriceAlertData {
        product: product_name(offer),
        competitor: competitor(&offer.url),
        selector: offer.selector.as_deref().map(line).filter(|selector| !selector.is_empty()),
        old_price: Some(shown(&alert.was)?),
        new_price: shown(&alert.becomes)?,
        own_price: None,
        currency: alert.currency.clone(),
        action_url: None,
    }))
}

/// The name of the product in one line.
fn product_name(offer: &Offer) -> String {
    let name = |text: &str| Some(line(text).chars().take(200).collect::<String>()).filter(|name| !name.is_empty());
    offer.name.as_deref().and_then(name).or_else(|| name(&offer.product_id)).unwrap_or_else(|| "?".to_owned())
}

/// A text without breaks, as e-mails take it.
fn line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The host of a page without `www.`.
fn competitor(url: &str) -> String {
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = host.unwrap_or_else(|| url.to_owned());
    host.strip_prefix("www.").unwrap_or(&host).chars().take(200).collect()
}

/// An amount as e-mails take it: with cents at most, and no more than twelve digits before them.
fn shown(amount: &str) -> Option<String> {
    let rounded = decimal(amount)?.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero);
    let text = rounded.to_string();
    let whole = text.split('.').next().unwrap_or_default();
    (rounded.is_sign_positive() && whole.len() <= 12).then_some(text)
}

/// How competitors' prices of a tenant changed from one time to another, the largest move first.
pub(crate) async fn price_changes(
    store: &Store,
    tenant: &str,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<PriceChange>, Error> {
    let changed =
        store.changed_offers(tenant, Moment::from_ms(ms(from)), Moment::from_ms(ms(until)), LOOKED_AT).await?;
    let mut changes: Vec<(Decimal, PriceChange)> = changed
        .iter()
        .filter_map(|line| {
            let last_before = |until: u64| line.points.iter().rfind(|point| point.at.ms() < until);
            // Of what was first seen in that time the first price is the old one.
            let old = last_before(ms(from)).or_else(|| line.points.first())?;
            let new = last_before(ms(until))?;
            let currency = new.currency.clone().filter(|currency| prices::is_code(currency))?;
            let (was, becomes) = (decimal(&old.amount)?, decimal(&new.amount)?);
            if old.currency.as_ref() != Some(&currency) || was == becomes || was.is_zero() {
                return None;
            }
            let moved = (becomes - was).abs().checked_div(was)?;
            let change = PriceChange {
                product: product_name(&line.offer),
                competitor: competitor(&line.offer.url),
                old_price: shown(&old.amount)?,
                new_price: shown(&new.amount)?,
                currency,
            };
            Some((moved, change))
        })
        .collect();
    changes.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(changes.into_iter().take(MOST_CHANGES).map(|(_, change)| change).collect())
}

/// An amount as it was stored; `None`: it is none.
pub(super) fn decimal(text: &str) -> Option<Decimal> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://www.shop.example/lamp";

    #[test]
    fn the_threshold_is_the_tenants_or_five_percent_or_never() {
        let percent = |said: Option<&str>| {
            let tenant = Tenant {
                id: "acme".to_owned(),
                name: String::new(),
                email: "a@b.example".to_owned(),
                language: "en".to_owned(),
                time_zone: String::new(),
                trial_ends_at: None,
                price_alert_percent: said.map(str::to_owned),
            };
            alert_percent(&tenant).map_or_else(|| "never".to_owned(), |percent| percent.to_string())
        };
        for (said, expected) in [
            (None, "5"),
            (Some("2.5"), "2.5"),
            (Some("10"), "10"),
            (Some("1E+1"), "10"),
            (Some("0"), "0"),
            (Some("-3"), "5"),
            (Some("NaN"), "5"),
            (Some("much"), "5"),
            (Some("999999"), "999999"),
            (Some("1000000"), "never"),
            (Some("1e300"), "never"),
            (Some("1E+6144"), "never"),
            (Some("inf"), "never"),
            (Some("-inf"), "5"),
        ] {
            assert_eq!(percent(said), expected, "{said:?}");
        }
    }

    #[test]
    fn an_alert_can_always_be_sent() {
        use crate::handler::Handler;

        let offer = Offer {
            id: "an offer".to_owned(),
            tenant: "acme".to_owned(),
            product_id: "L-1".to_owned(),
            url: URL.to_owned(),
            selector: None,
            revision: 1,
            name: Some(format!("{}\nlamp", "x".repeat(300))),
            condition: None,
            seller: None,
            references: Vec::new(),
            amount: "100".to_owned(),
            currency: Some("EUR".to_owned()),
            availability: None,
            since: Moment::from_ms(1),
            seen_at: Moment::from_ms(1),
            visited_at: Moment::from_ms(1),
            gone: None,
            alerts: Vec::new(),
        };
        let tenant = Tenant {
            id: "acme".to_owned(),
            name: "Acme".to_owned(),
            email: "a@customer.example".to_owned(),
            language: "fr".to_owned(),
            time_zone: "Europe/Paris".to_owned(),
            trial_ends_at: None,
            price_alert_percent: None,
        };
        for (was, becomes) in [("100", "90.5"), ("0.001", "1299.999"), ("7", "6.005")] {
            let alert = Alert {
                at: Moment::from_ms(2),
                was: was.to_owned(),
                becomes: becomes.to_owned(),
                currency: "EUR".to_owned(),
            };
            for selector in [None, Some(".price\n > b".to_owned()), Some("a".repeat(500))] {
                let offer = Offer { selector, ..offer.clone() };
                let template = alert_email(&offer, &alert).unwrap();
                assert_eq!(email(&tenant, &zone(&tenant), &template).check(), [], "{was} {becomes}");
                let told = template.data().get("selector").cloned();
                let expected = offer.selector.map(|selector| selector.replace('\n', " ").replace("  ", " "));
                assert_eq!(told.as_ref().and_then(|told| told.as_str()), expected.as_deref(), "which price it is");
            }
        }
        assert_eq!(shown("1234567890123.45"), None);
        assert_eq!((competitor(URL).as_str(), shown("6.005").as_deref()), ("shop.example", Some("6.01")));
    }
}
