//! What is kept of a tenant's subscription, made of what Stripe has now.

use chrono::{DateTime, Utc};
use providers::payments::{Invoice, InvoiceStatus, PaymentsMode, Subscription};
use store::{Moment, StoredInvoice, StoredSubscription, SubscriptionState};

use super::{
    plans::Plans,
    state::{mode_of, rank, state_of},
};

/// What Stripe, or the mock, has of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct AtStripe<'a> {
    /// The customer whose subscriptions were asked for first.
    pub customer: &'a str,
    /// All subscriptions of the tenant's customers, in any state.
    pub subscriptions: &'a [Subscription],
    /// The invoices of the customer of the one that [counts](AtStripe::counts).
    pub invoices: &'a [Invoice],
    /// Who said so.
    pub mode: PaymentsMode,
}

impl AtStripe<'_> {
    /// Of several subscriptions, the one that counts: the one that is used now, and of these the newest. One whose status is a new word of
    /// Stripe's goes on to count, if it did.
    #[must_use]
    pub fn counts<'a>(
        subscriptions: &'a [Subscription],
        before: Option<&StoredSubscription>,
    ) -> Option<&'a Subscription> {
        let is_before =
            |subscription: &&Subscription| before.and_then(|kept| kept.subscription.as_ref()) == Some(&subscription.id);
        let unknown = subscriptions.iter().find(|found| is_before(found) && state_of(&found.status).is_none());
        let order = |found: &&Subscription| (rank(state_of(&found.status)), found.created, found.id.clone());
        unknown.or_else(|| subscriptions.iter().max_by_key(order))
    }
}

/// What is to be kept of a tenant, in the place of `before`, which tells nothing if it is of another [mode](AtStripe::mode). Its version and time are
/// those of `before`.
#[must_use]
pub fn kept(
    tenant: &str,
    before: Option<&StoredSubscription>,
    found: &AtStripe<'_>,
    plans: &Plans,
    now: Moment,
) -> StoredSubscription {
    let (version, updated_at) = before.map_or((0, now), |before| (before.version, before.updated_at));
    let before = before.filter(|before| mode_of(before) == found.mode);
    let counts = AtStripe::counts(found.subscriptions, before);
    let same = before.filter(|before| {
        before.subscription.is_some() && before.subscription.as_deref() == counts.map(|counts| counts.id.as_str())
    });
    let trial_used = before.is_some_and(|before| before.trial_used)
        || found.subscriptions.iter().any(|subscription| subscription.trial_end.is_some());
    let base = StoredSubscription {
        customer: Some(found.customer.to_owned()),
        mock: found.mode == PaymentsMode::Mock,
        livemode: found.mode == PaymentsMode::Live,
        trial_used,
        version,
        updated_at,
        ..StoredSubscription::none(tenant, now)
    };
    let Some(counts) = counts else {
        // Stripe forgets nothing by itself: it was deleted there, in test mode perhaps.
        return match before.filter(|before| before.subscription.is_some()) {
            Some(before) => StoredSubscription { state: SubscriptionState::Canceled, ..before.clone() },
            None => base,
        };
    };
    let state = state_of(&counts.status);
    let plan = counts.price.as_deref().and_then(|price| plans.of_price(price));
    let unknown = match (state, plan) {
        (None, _) => Some(format!("the status {:?}", counts.status.as_str())),
        (_, None) => Some(format!("the price {:?}", counts.price.as_deref().unwrap_or_default())),
        _ => None,
    };
    let state = state.or(same.map(|same| same.state)).unwrap_or(SubscriptionState::None);
    let plan = plan.map(str::to_owned).or_else(|| same.and_then(|same| same.plan.clone()));
    let last = counts.latest_invoice.as_ref();
    let last = last.and_then(|last| found.invoices.iter().find(|invoice| invoice.id == *last));
    let is = |wanted| state == wanted;
    StoredSubscription {
        plan,
        state,
        unknown,
        customer: Some(counts.customer.clone()),
        subscription: Some(counts.id.clone()),
        item: counts.item.clone(),
        price: counts.price.clone(),
        created: counts.created.map(moment),
        trial_end: counts.trial_end.map(moment),
        period_end: counts.current_period_end.map(moment),
        cancel_at_period_end: counts.cancel_at_period_end,
        cancel_at: counts.cancel_at.map(moment),
        ended_at: counts.ended_at.map(moment),
        invoice: last.map(stored_invoice),
        past_due_since: is(SubscriptionState::PastDue).then(|| due_since(counts, found.invoices)).flatten().map(moment),
        paused: counts.paused.as_ref().filter(|_| is(SubscriptionState::Paused)).map(|why| why.as_str().to_owned()),
        ..base
    }
}

/// Since when it is owed: the oldest invoice that is open was made then. So it can be told of Stripe's invoices alone.
fn due_since(subscription: &Subscription, invoices: &[Invoice]) -> Option<DateTime<Utc>> {
    let open = invoices.iter().filter(|invoice| {
        invoice.status == InvoiceStatus::Open && invoice.subscription.as_ref() == Some(&subscription.id)
    });
    open.map(|invoice| invoice.created).min().or(subscription.current_period_start)
}

fn stored_invoice(invoice: &Invoice) -> StoredInvoice {
    StoredInvoice {
        id: invoice.id.clone(),
        number: invoice.number.clone(),
        status: invoice.status.as_str().to_owned(),
        hosted_url: invoice.hosted_invoice_url.clone(),
        amount: invoice.amount_due.amount.to_string(),
        currency: invoice.amount_due.currency.clone(),
        attempts: invoice.attempt_count,
    }
}

fn moment(time: DateTime<Utc>) -> Moment {
    Moment::from_ms(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use providers::payments::PlanPrices;
    use serde_json::{Value, json};

    use super::*;

    fn plans() -> Plans {
        Plans::built_in(&PlanPrices { pro: "price_pro".to_owned(), premium: "price_premium".to_owned() })
    }

    fn subscription(id: &str, status: &str, more: &Value) -> Subscription {
        let mut object = json!({ "id": id, "customer": "cus_1", "status": status, "created": 100, "metadata": { "tenant": "acme" },
            "items": { "data": [{ "id": "si_1", "price": { "id": "price_pro" }, "current_period_start": 200, "current_period_end": 900 }] } });
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Subscription::read(&object).unwrap()
    }

    fn invoice(id: &str, status: &str, created: i64) -> Invoice {
        let details = json!({ "subscription_details": { "subscription": "sub_1" } });
        Invoice::read(&json!({ "id": id, "customer": "cus_1", "status": status, "currency": "eur", "amount_due": 2900, "amount_paid": 0,
            "amount_remaining": 2900, "created": created, "attempt_count": 2, "parent": details, "hosted_invoice_url": "https://pay.example/1" }))
        .unwrap()
    }

    fn made(
        before: Option<&StoredSubscription>,
        subscriptions: &[Subscription],
        invoices: &[Invoice],
    ) -> StoredSubscription {
        let found = AtStripe { customer: "cus_1", subscriptions, invoices, mode: PaymentsMode::Test };
        kept("acme", before, &found, &plans(), Moment::from_ms(5))
    }

    #[test]
    fn a_subscription_is_kept_as_stripe_has_it() {
        let due = subscription(
            "sub_1",
            "past_due",
            &json!({ "latest_invoice": "in_2", "trial_end": 150, "cancel_at_period_end": true }),
        );
        let invoices = [invoice("in_2", "open", 700), invoice("in_1", "open", 400), invoice("in_0", "paid", 100)];
        let made = made(None, &[due], &invoices);
        assert_eq!((made.plan.as_deref(), made.state, made.unknown), (Some("pro"), SubscriptionState::PastDue, None));
        assert_eq!(made.past_due_since, Some(Moment::from_ms(400_000)), "since the oldest that is open");
        assert_eq!((made.period_end, made.trial_end), (Some(Moment::from_ms(900_000)), Some(Moment::from_ms(150_000))));
        assert!(made.trial_used && made.cancel_at_period_end && !made.mock);
        let last = made.invoice.unwrap();
        assert_eq!((last.id.as_str(), last.amount.as_str(), last.attempts), ("in_2", "29.00", 2));
    }

    #[test]
    fn of_several_the_one_that_is_used_counts_and_then_the_newest() {
        let old = subscription("sub_1", "canceled", &json!({ "created": 300, "trial_end": 7 }));
        let used = subscription("sub_2", "active", &json!({ "created": 100 }));
        let newer = subscription("sub_3", "trialing", &json!({ "created": 200 }));
        let of = |all: &[Subscription]| made(None, all, &[]).subscription.unwrap();
        assert_eq!(of(&[old.clone(), used.clone()]), "sub_2");
        assert_eq!(of(&[newer, used.clone()]), "sub_3");
        assert!(made(None, &[used, old], &[]).trial_used, "a tenant has one trial");
    }

    #[test]
    fn a_new_word_of_stripes_changes_nothing_and_is_told() {
        let active = made(None, &[subscription("sub_1", "active", &json!({}))], &[]);
        let odd = [
            subscription("sub_1", "hibernating", &json!({ "latest_invoice": "in_9" })),
            subscription("sub_0", "canceled", &json!({ "created": 900 })),
        ];
        let after = made(Some(&active), &odd, &[]);
        assert_eq!((after.state, after.plan.as_deref()), (SubscriptionState::Active, Some("pro")));
        assert_eq!(after.unknown.as_deref(), Some("the status \"hibernating\""));
        let fresh = made(None, &odd[..1], &[]);
        assert_eq!(fresh.state, SubscriptionState::None, "nothing is taken from a tenant for a word");
        let price = json!({ "items": { "data": [{ "id": "si_1", "price": { "id": "price_x" } }] } });
        let other = made(Some(&active), &[subscription("sub_1", "active", &price)], &[]);
        assert_eq!((other.plan.as_deref(), other.unknown.as_deref()), (Some("pro"), Some("the price \"price_x\"")));
    }

    #[test]
    fn what_is_paused_says_why() {
        let why = json!({ "status_details": { "paused": { "subscription": { "type": "on_the_moon" } } } });
        let made = made(None, &[subscription("sub_1", "paused", &why)], &[]);
        assert_eq!((made.state, made.paused.as_deref()), (SubscriptionState::Paused, Some("on_the_moon")));
    }

    #[test]
    fn what_stripe_has_no_more_has_ended_and_what_was_never_there_is_none() {
        let active = made(None, &[subscription("sub_1", "active", &json!({}))], &[]);
        let gone = made(Some(&active), &[], &[]);
        assert_eq!((gone.state, gone.subscription.as_deref()), (SubscriptionState::Canceled, Some("sub_1")));
        let none = made(None, &[], &[]);
        assert_eq!((none.state, none.customer.as_deref()), (SubscriptionState::None, Some("cus_1")));
        let mock = StoredSubscription { mock: true, trial_used: true, version: 4, ..active };
        let real = made(Some(&mock), &[], &[]);
        assert_eq!(
            (real.state, real.trial_used, real.version),
            (SubscriptionState::None, false, 4),
            "a mock leaves nothing"
        );
    }

    #[test]
    fn test_mode_leaves_nothing_in_live_mode() {
        let trial = subscription("sub_1", "trialing", &json!({ "trial_end": 150 }));
        let test = StoredSubscription { version: 4, ..made(None, &[trial], &[]) };
        assert!(test.trial_used && !test.livemode);
        let found = AtStripe { customer: "cus_2", subscriptions: &[], invoices: &[], mode: PaymentsMode::Live };
        let live = kept("acme", Some(&test), &found, &plans(), Moment::from_ms(5));
        assert_eq!((live.state, live.trial_used, live.livemode), (SubscriptionState::None, false, true));
        assert_eq!((live.customer.as_deref(), live.version), (Some("cus_2"), 4));
    }
}
