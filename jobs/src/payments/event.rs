//! Which events of Stripe tell anything that is kept, and how they are stored.

use providers::payments::{Event, MOST_EVENT_KINDS, is_mock};
use store::{Moment, StripeEvent, StripeEventState};

/// The types of events that tell anything: for each, what its customer has is read from Stripe again. The end point of the webhook needs
/// no others.
pub const EVENT_KINDS: [&str; 17] = [
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.pending_update_applied",
    "customer.subscription.pending_update_expired",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "invoice.finalization_failed",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_attempt_required",
    "invoice.payment_failed",
    "invoice.voided",
];

// They are asked for in one call.
const _: () = assert!(EVENT_KINDS.len() <= MOST_EVENT_KINDS);

/// An event as it is stored, where the key is for this mode (`None` without a key), for [`store::Store::put_stripe_event`], with what becomes of it: `new` for one that a job is to handle,
/// `refused` for one of the other mode than the key, `ignored` for one that tells nothing that is kept.
#[must_use]
pub fn stored_event(event: Event, livemode: Option<bool>, now: Moment) -> StripeEvent {
    let (state, reason) = judge(&event, livemode);
    let ms = u64::try_from(event.created.timestamp_millis()).unwrap_or(0);
    StripeEvent {
        id: event.id,
        kind: event.kind,
        api_version: event.api_version,
        created: Moment::from_ms(ms),
        livemode: event.livemode,
        object_kind: event.object_kind,
        object: event.object_id,
        customer: event.customer,
        subscription: event.subscription,
        tenant: event.tenant,
        state,
        at: now,
        settled_at: None,
        reason,
        order: None,
    }
}

/// What becomes of an event where the key is for this mode; without a key the mock's events are test events.
fn judge(event: &Event, livemode: Option<bool>) -> (StripeEventState, Option<String>) {
    let word = |live: bool| if live { "live" } else { "test" };
    // The mock's are test events, whatever the key is for.
    let is_mock = event.customer.as_deref().is_some_and(is_mock);
    let ours = livemode.filter(|_| !is_mock).unwrap_or(false);
    if event.livemode != ours {
        let reason = format!("it is a {} event, and payments are in {} mode", word(event.livemode), word(ours));
        return (StripeEventState::Refused, Some(reason));
    }
    if !EVENT_KINDS.contains(&event.kind.as_str()) {
        return (StripeEventState::Ignored, Some(format!("{} tells nothing that is kept", event.kind)));
    }
    if event.customer.is_none() && event.subscription.is_none() {
        return (StripeEventState::Ignored, Some("it names neither customer nor subscription".to_owned()));
    }
    (StripeEventState::New, None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, customer: Option<&str>, livemode: bool) -> Event {
        let object = json!({ "object": "invoice", "id": "in_1", "customer": customer });
        Event::read(&json!({ "id": "evt_1", "object": "event", "type": kind, "created": 7, "livemode": livemode,
            "data": { "object": object } }))
        .unwrap()
    }

    fn becomes(event: &Event, livemode: Option<bool>) -> &'static str {
        judge(event, livemode).0.as_str()
    }

    #[test]
    fn an_event_of_the_other_mode_is_refused() {
        let (test, live) = (event("invoice.paid", Some("cus_1"), false), event("invoice.paid", Some("cus_1"), true));
        assert_eq!((becomes(&test, Some(false)), becomes(&live, Some(true))), ("new", "new"));
        assert_eq!((becomes(&test, Some(true)), becomes(&live, Some(false))), ("refused", "refused"));
        assert_eq!((becomes(&test, None), becomes(&live, None)), ("new", "refused"), "without a key");
        let mock = event("invoice.paid", Some("cus_mock01234567891"), false);
        assert_eq!(becomes(&mock, Some(true)), "new", "the mock's, while a live key is there");
        let (_, reason) = judge(&test, Some(true));
        assert_eq!(reason.as_deref(), Some("it is a test event, and payments are in live mode"));
    }

    #[test]
    fn an_unknown_type_and_what_is_nobodys_are_ignored() {
        assert_eq!(becomes(&event("charge.refunded", Some("cus_1"), false), Some(false)), "ignored");
        assert_eq!(becomes(&event("invoice.paid", None, false), Some(false)), "ignored");
    }

    #[test]
    fn an_event_is_stored_as_it_came_with_the_mock() {
        let stored = stored_event(event("invoice.paid", Some("cus_1"), false), None, Moment::from_ms(9));
        assert_eq!((stored.created.ms(), stored.at.ms(), stored.state), (7_000, 9, StripeEventState::New));
        assert_eq!((stored.object.as_deref(), stored.customer.as_deref()), (Some("in_1"), Some("cus_1")));
    }
}
