//! What a status of Stripe's means here.

use providers::payments::{PaymentsMode, Status};
use store::{StoredSubscription, SubscriptionState};

/// Who said what is kept: it counts only where the same one is asked now.
#[must_use]
pub fn mode_of(kept: &StoredSubscription) -> PaymentsMode {
    match (kept.mock, kept.livemode) {
        (true, _) => PaymentsMode::Mock,
        (false, true) => PaymentsMode::Live,
        (false, false) => PaymentsMode::Test,
    }
}

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

#[cfg(test)]
mod tests {
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
    fn what_is_paid_counts_before_what_is_owed_and_that_before_what_has_ended() {
        use SubscriptionState as State;
        let order = [State::Active, State::PastDue, State::Unpaid, State::Incomplete, State::Canceled, State::None];
        assert!(order.iter().is_sorted_by_key(|state| std::cmp::Reverse(rank(Some(*state)))));
    }
}
