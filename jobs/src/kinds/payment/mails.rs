//! Which e-mails an event makes, by what Stripe has now. Pure: the name of each is fixed by what it is about, so that it goes out once.

use chrono::{TimeDelta, Timelike};
use providers::payments::{Invoice, InvoiceStatus, Status, Subscription};
use rust_decimal::RoundingStrategy;
use serde_json::json;
use store::{Moment, OutboxEntry, StripeEvent, Tenant};

use crate::kinds::email::{
    PaymentFailedData, Template, TrialEndingData,
    tenant::{email, ms, time, zone},
};

/// So long a mail is remembered, and not sent again.
const KEPT_DAYS: u32 = 400;
/// Stripe tells of a trial's end three days before. Nearer to the end than this, it was cut short.
const CUT_SHORT: TimeDelta = TimeDelta::hours(70);
/// A trial that is told of so soon after its begin was as short from the begin.
const SHORT_FROM_BEGIN: TimeDelta = TimeDelta::hours(1);
const FAILED: [&str; 2] = ["invoice.payment_failed", "invoice.payment_action_required"];
const TRIAL: &str = "customer.subscription.trial_will_end";
/// What an e-mail takes.
const MOST_NUMBER_LETTERS: usize = 60;
const MOST_URL_LETTERS: usize = 2_000;
const MOST_WHOLE_DIGITS: usize = 12;

/// Whether an event may make an e-mail.
pub(super) fn may_mail(event: &StripeEvent) -> bool {
    FAILED.contains(&event.kind.as_str()) || event.kind == TRIAL
}

/// The name that an e-mail of a trial's end has on a day of the tenant's: one a day, whoever sends it.
pub(crate) fn trial_name(tenant: &str, day: chrono::NaiveDate) -> String {
    format!("trial reminder/{tenant}/{day}")
}

/// The e-mail that an event makes, if what it told of still holds.
pub(super) fn mail(
    event: &StripeEvent,
    tenant: &Tenant,
    subscriptions: &[Subscription],
    invoices: &[Invoice],
    now: Moment,
) -> Option<OutboxEntry> {
    let (name, at, template) = if event.kind == TRIAL {
        let subscription = subscriptions.iter().find(|found| Some(&found.id) == event.subscription.as_ref())?;
        trial(event, tenant, subscription, now)?
    } else {
        let invoice = invoices.iter().find(|found| Some(&found.id) == event.object.as_ref())?;
        failed(invoice)?
    };
    let payload = json!(email(tenant, &zone(tenant), &template)).to_string();
    Some(OutboxEntry::new(name, "email", &tenant.id, payload, at, now).kept_for_days(KEPT_DAYS))
}

/// One for each time that the payment of an invoice was tried; none if it is paid by now, or given up.
fn failed(invoice: &Invoice) -> Option<(String, Moment, Template)> {
    if invoice.status != InvoiceStatus::Open {
        return None;
    }
    let money = &invoice.amount_remaining;
    let amount = money.amount.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero).to_string();
    let whole = amount.split('.').next().unwrap_or_default().len();
    if money.amount.is_sign_negative() || whole > MOST_WHOLE_DIGITS {
        return None;
    }
    let attempt = invoice.attempt_count.max(1);
    let name = format!("payment failed/{}/{attempt}", invoice.id);
    let fits = |text: &String, most: usize| (1..=most).contains(&text.chars().count());
    let template = Template::PaymentFailed(PaymentFailedData {
        amount,
        currency: money.currency.clone(),
        invoice: invoice.number.clone().filter(|number| fits(number, MOST_NUMBER_LETTERS)),
        card_last4: None,
        next_attempt_at: invoice.next_payment_attempt,
        action_url: invoice.hosted_invoice_url.clone().filter(|url| fits(url, MOST_URL_LETTERS)),
    });
    Some((name, Moment::from_ms(ms(invoice.created)), template))
}

/// Only for a trial that was cut short and goes on: of all others our own reminders tell in time.
fn trial(
    event: &StripeEvent,
    tenant: &Tenant,
    subscription: &Subscription,
    now: Moment,
) -> Option<(String, Moment, Template)> {
    let (end, now, told) = (subscription.trial_end?, time(now.ms()), time(event.created.ms()));
    let was_short = subscription.trial_start.is_some_and(|start| told - start < SHORT_FROM_BEGIN);
    if subscription.status != Status::Trialing || end <= now || end - told >= CUT_SHORT || was_short {
        return None;
    }
    let zone = zone(tenant);
    let day = zone.local(now).date_naive();
    let days_left = (zone.local(end).date_naive() - day).num_days();
    let data = TrialEndingData {
        trial_ends_at: end.with_nanosecond(0).unwrap_or(end),
        days_left: u32::try_from(days_left).ok(),
        plan: None,
        action_url: None,
    };
    let begin = day.and_time(chrono::NaiveTime::MIN).and_utc();
    Some((trial_name(&tenant.id, day), Moment::from_ms(ms(begin)), Template::TrialEnding(data)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use store::StripeEventState;

    use super::*;
    use crate::{handler::Handler, kinds::email::Email};

    const NOW_S: i64 = 1_790_000_000;
    const DAY_S: i64 = 86_400;

    fn tenant() -> Tenant {
        Tenant {
            id: "acme".to_owned(),
            name: "Zoé Müller".to_owned(),
            email: "zoe@customer.example".to_owned(),
            language: "fr".to_owned(),
            time_zone: "Europe/Paris".to_owned(),
            trial_ends_at: None,
            price_alert_percent: None,
        }
    }

    fn moment(s: i64) -> Moment {
        Moment::from_ms(u64::try_from(s).unwrap() * 1000)
    }

    fn event(kind: &str, created_s: i64) -> StripeEvent {
        StripeEvent {
            id: "evt_1".to_owned(),
            kind: kind.to_owned(),
            api_version: None,
            created: moment(created_s),
            livemode: false,
            object_kind: String::new(),
            object: Some("in_1".to_owned()),
            customer: Some("cus_1".to_owned()),
            subscription: Some("sub_1".to_owned()),
            tenant: None,
            state: StripeEventState::New,
            at: moment(created_s),
            settled_at: None,
            reason: None,
            order: None,
        }
    }

    fn invoice(status: &str, currency: &str, attempts: u32) -> Invoice {
        Invoice::read(&json!({ "id": "in_1", "customer": "cus_1", "status": status, "currency": currency, "amount_due": 2900,
            "amount_paid": 0, "amount_remaining": 2900, "created": NOW_S - DAY_S, "attempt_count": attempts, "number": "F-1",
            "hosted_invoice_url": "https://pay.example/1", "next_payment_attempt": NOW_S + DAY_S })).unwrap()
    }

    /// The e-mail, which can be sent.
    fn made(entry: OutboxEntry) -> (String, Value) {
        assert_eq!((entry.kind.as_str(), entry.tenant.as_str(), entry.keep_days), ("email", "acme", 400));
        let email: Email = serde_json::from_str(&entry.payload.unwrap()).unwrap();
        assert_eq!(email.check(), [], "it can be sent");
        assert_eq!(email.to, "zoe@customer.example");
        (entry.name, json!(email.data))
    }

    #[test]
    fn a_payment_that_failed_is_told_once_a_try_with_where_to_pay() {
        for kind in FAILED {
            let mail = mail(&event(kind, NOW_S), &tenant(), &[], &[invoice("open", "eur", 2)], moment(NOW_S));
            let (name, data) = made(mail.unwrap());
            assert_eq!(name, "payment failed/in_1/2", "the same for both");
            assert_eq!((&data["amount"], &data["currency"]), (&json!("29.00"), &json!("EUR")));
            assert_eq!((&data["action_url"], &data["invoice"]), (&json!("https://pay.example/1"), &json!("F-1")));
        }
        let yen = mail(&event(FAILED[0], NOW_S), &tenant(), &[], &[invoice("open", "jpy", 1)], moment(NOW_S));
        assert_eq!(made(yen.unwrap()).1["amount"], "2900");
        let dinar = mail(&event(FAILED[0], NOW_S), &tenant(), &[], &[invoice("open", "kwd", 1)], moment(NOW_S));
        assert_eq!(made(dinar.unwrap()).1["amount"], "2.90");
    }

    #[test]
    fn what_is_paid_by_now_is_not_asked_for() {
        for status in ["paid", "void", "uncollectible", "draft"] {
            let of = mail(&event(FAILED[0], NOW_S), &tenant(), &[], &[invoice(status, "eur", 1)], moment(NOW_S));
            assert_eq!(of, None, "{status}");
        }
    }

    fn trial_mail(status: &str, start_s: i64, told_s: i64, end_s: i64) -> Option<OutboxEntry> {
        let subscription = Subscription::read(&json!({ "id": "sub_1", "customer": "cus_1", "status": status,
            "trial_start": start_s, "trial_end": end_s, "items": { "data": [] } }))
        .unwrap();
        mail(&event(TRIAL, told_s), &tenant(), &[subscription], &[], moment(NOW_S))
    }

    #[test]
    fn only_of_a_trial_that_was_cut_short_is_told_here() {
        let start = NOW_S - 4 * DAY_S;
        assert_eq!(trial_mail("trialing", start, NOW_S, NOW_S + 3 * DAY_S), None, "our own reminders tell in time");
        let (name, data) = made(trial_mail("trialing", start, NOW_S, NOW_S + DAY_S).unwrap());
        assert_eq!((name.as_str(), &data["days_left"]), ("trial reminder/acme/2026-09-21", &json!(1)));
        assert_eq!(trial_mail("active", start, NOW_S, NOW_S + DAY_S), None, "it is paid already");
        assert_eq!(trial_mail("trialing", start, NOW_S - DAY_S, NOW_S), None, "it is over");
        assert_eq!(trial_mail("trialing", NOW_S - 60, NOW_S, NOW_S + DAY_S), None, "it was never longer");
    }
}
