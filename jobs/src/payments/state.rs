//! What a status of Stripe's means here.

use providers::payments::{Status, Subscription};
use store::SubscriptionState;

/// The state that a status means; `None`: Stripe has added a word, which changes nothing until it is known here.
#[must_use]
pub fn state_of(status: &Status) -> Option<SubscriptionState> {
    Some(match status {
        Status::Incomplete => SubscriptionState::Incomplete,
        // It never began.
        Status::IncompleteExpired | Status::Canceled => SubscriptionState::Canceled,
        Status::Trialing => SubscriptionState::Trialing,
        Status::Active => SubscriptionState::Active,
        Status::PastDue => SubscriptionState::PastDue,
        Status::Unpaid => SubscriptionState::Unpaid,
        Status::Paused => SubscriptionState::Paused,
        Status::Unknown(_) => return None,
    })
}

/// Of several subscriptions of one tenant, the one with the highest rank counts.
#[must_use]
pub fn rank(state: Option<SubscriptionState>) -> u8 {
    match state {
        Some(SubscriptionState::Active | SubscriptionState::Trialing) => 5,
        Some(SubscriptionState::PastDue) => 4,
        Some(SubscriptionState::Unpaid | SubscriptionState::Paused) => 3,
        Some(SubscriptionState::Incomplete) => 2,
        Some(SubscriptionState::Canceled) => 1,
        Some(SubscriptionState::None) | None => 0,
    }
}

/// Whether a subscription is paid, or waits to be: of these a tenant has one. One whose state is a new word of Stripe's may be such a one.
#[must_use]
pub fn goes_on(subscription: &Subscription) -> bool {
    let ended = [SubscriptionState::Canceled, SubscriptionState::Incomplete];
    state_of(&subscription.status).is_none_or(|state| !ended.contains(&state))
}

/// What a tenant does whose subscription is in this state, so that jobs can be enqueued again. Each of these calls is one that the state allows.
#[must_use]
pub fn way_on(state: SubscriptionState) -> &'static str {
    match state {
        SubscriptionState::PastDue => "pay the open invoice by POST /api/payments/portal",
        SubscriptionState::Unpaid => {
            "pay the open invoice by POST /api/payments/portal, or end the subscription by POST /api/payments/cancel with \
             \"at_period_end\": false and begin another by POST /api/payments/checkout"
        }
        SubscriptionState::Paused => {
            "take a payment method by POST /api/payments/portal, if there is none, and go on by POST /api/payments/resume"
        }
        SubscriptionState::None
        | SubscriptionState::Trialing
        | SubscriptionState::Active
        | SubscriptionState::Canceled
        | SubscriptionState::Incomplete => "subscribe by POST /api/payments/checkout or at /subscribe",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_status_of_stripe_has_a_state_and_a_new_word_has_none() {
        for (word, state) in [
            ("incomplete", "incomplete"),
            ("incomplete_expired", "canceled"),
            ("trialing", "trialing"),
            ("active", "active"),
            ("past_due", "past_due"),
            ("canceled", "canceled"),
            ("unpaid", "unpaid"),
            ("paused", "paused"),
        ] {
            assert_eq!(state_of(&Status::named(word)).map(SubscriptionState::as_str), Some(state), "{word}");
        }
        assert_eq!(state_of(&Status::named("hibernating")), None);
    }

    #[test]
    fn what_has_ended_or_never_began_keeps_nobody_from_another() {
        let of = |status: &str| {
            let object = json!({ "id": "sub_1", "customer": "cus_1", "status": status });
            goes_on(&Subscription::read(&object).unwrap())
        };
        for status in ["trialing", "active", "past_due", "unpaid", "paused", "hibernating"] {
            assert!(of(status), "{status}");
        }
        for status in ["canceled", "incomplete", "incomplete_expired"] {
            assert!(!of(status), "{status}");
        }
    }

    #[test]
    fn what_is_paid_counts_before_what_is_owed_and_that_before_what_has_ended() {
        use SubscriptionState as State;
        let order = [State::Active, State::PastDue, State::Unpaid, State::Incomplete, State::Canceled, State::None];
        assert!(order.iter().is_sorted_by_key(|state| std::cmp::Reverse(rank(Some(*state)))));
    }
}
