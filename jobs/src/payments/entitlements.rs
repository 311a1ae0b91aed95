//! What a tenant may use now.

use chrono::{DateTime, TimeDelta, Utc};
use providers::content::Tier;
use serde::Serialize;
use serde_json::Value;
use store::{Moment, StoredSubscription, SubscriptionState};
use utoipa::ToSchema;

use super::{plans::Plans, state::way_on};

/// Kinds of the system itself: no plan says anything of them.
const EXEMPT: [&str; 4] = ["maintenance", "payment", "backup", "callback"];

/// What one does whose plan is too small.
const CHANGE: &str = "change the plan by POST /api/payments/change";

/// Whether jobs of this kind are the system's own, which no plan restricts.
#[must_use]
pub fn is_exempt(kind: &str) -> bool {
    EXEMPT.contains(&kind)
}

/// What a tenant may use now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Entitlements {
    /// The plan; `default` without a subscription.
    #[schema(example = "pro")]
    pub plan: String,
    /// `none`, `trialing`, `active`, `past_due`, `unpaid`, `canceled`, `incomplete` or `paused`.
    #[schema(example = "active")]
    pub state: String,
    /// Whether jobs may be enqueued; what is there can always be read.
    pub may_enqueue: bool,
    /// Until when jobs may be enqueued although a payment is due.
    pub grace_until: Option<DateTime<Utc>>,
    /// The kinds of jobs that may be enqueued; `null`: all.
    pub kinds: Option<Vec<String>>,
    /// The best tier of texts: `basic`, `standard`, `premium`.
    pub tier: Tier,
    /// Jobs that may be enqueued on a UTC day; `null`: the plan has no limit.
    pub jobs_per_day: Option<u64>,
    /// US dollars that models may cost on a UTC day; `null`: the plan has no cap.
    #[schema(example = "10")]
    pub spending_cap_per_day: Option<String>,
}

/// Why a job may not be enqueued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PlanRequired {
    /// For people.
    pub reason: String,
    /// The plans that would allow it.
    pub plans: Vec<String>,
}

/// What a tenant may use at `now`, by what is kept of its subscription. Without one, and where only the mock knows of one although payments
/// are real, that is what the plan `default` allows.
#[must_use]
pub fn entitlements(
    kept: Option<&StoredSubscription>,
    is_real: bool,
    plans: &Plans,
    now: DateTime<Utc>,
) -> Entitlements {
    let kept = kept.filter(|kept| kept.mock != is_real && kept.state != SubscriptionState::None);
    let state = kept.map_or(SubscriptionState::None, |kept| kept.state);
    let (name, plan) = plans.plan(kept.and_then(|kept| kept.plan.as_deref()));
    let grace = TimeDelta::days(i64::from(plans.grace_days));
    let grace_until = kept.filter(|_| state == SubscriptionState::PastDue).map(|kept| {
        // Since when is not known only of what a newer release has written.
        let since = kept.past_due_since.unwrap_or(kept.updated_at);
        time(since).checked_add_signed(grace).unwrap_or(DateTime::<Utc>::MAX_UTC)
    });
    let may_enqueue = match state {
        SubscriptionState::None | SubscriptionState::Trialing | SubscriptionState::Active => true,
        SubscriptionState::PastDue => grace_until.is_some_and(|until| now < until),
        SubscriptionState::Unpaid
        | SubscriptionState::Canceled
        | SubscriptionState::Incomplete
        | SubscriptionState::Paused => false,
    };
    Entitlements {
        plan: name.to_owned(),
        state: state.as_str().to_owned(),
        may_enqueue,
        grace_until,
        kinds: plan.kinds.clone(),
        tier: plan.tier,
        jobs_per_day: plan.jobs_per_day,
        spending_cap_per_day: plan.spending_cap_per_day.map(|cap| cap.to_string()),
    }
}

impl Entitlements {
    /// Whether a job of this kind with this payload may be enqueued. How many a day, the caller counts.
    ///
    /// # Errors
    /// [`PlanRequired`]: why not, and which plans would allow it.
    pub fn allow(&self, plans: &Plans, kind: &str, payload: &Value) -> Result<(), PlanRequired> {
        if is_exempt(kind) {
            return Ok(());
        }
        let tier = asked_tier(payload).unwrap_or_default();
        let refuse = |why: String, how: &str| {
            let plans = plans.that_allow(kind, tier);
            let those = if plans.is_empty() { String::new() } else { format!(" (plans: {})", plans.join(", ")) };
            Err(PlanRequired { reason: format!("{why}; {how}{those}"), plans })
        };
        let (_, plan) = plans.plan(Some(&self.plan));
        if !self.may_enqueue {
            let (why, state) = match self.state.as_str() {
                "past_due" => ("a payment is due, and the days of grace are over", SubscriptionState::PastDue),
                "unpaid" => ("payments have failed", SubscriptionState::Unpaid),
                "canceled" => ("the subscription has ended", SubscriptionState::Canceled),
                "incomplete" => ("the first payment is awaited", SubscriptionState::Incomplete),
                _ => ("the subscription is paused", SubscriptionState::Paused),
            };
            return refuse(format!("{why}: what is there can be read, and nothing new be enqueued"), way_on(state));
        }
        let how = if self.state == "none" { way_on(SubscriptionState::None) } else { CHANGE };
        if !plan.allows_kind(kind) {
            return refuse(format!("the plan {} has no jobs of kind {kind}", self.plan), how);
        }
        match asked_tier(payload) {
            Some(tier) if !plan.allows_tier(tier) => {
                refuse(format!("the plan {} has no texts of tier {}", self.plan, tier_word(tier)), how)
            }
            _ => Ok(()),
        }
    }
}

/// The tier that a payload asks for: its own, or that of the texts in it.
fn asked_tier(payload: &Value) -> Option<Tier> {
    let tier = [&payload["tier"], &payload["content"]["tier"]].into_iter().find(|tier| tier.is_string())?;
    serde_json::from_value(tier.clone()).ok()
}

/// As it is written.
#[must_use]
pub fn tier_word(tier: Tier) -> &'static str {
    match tier {
        Tier::Basic => "basic",
        Tier::Standard => "standard",
        Tier::Premium => "premium",
    }
}

fn time(moment: Moment) -> DateTime<Utc> {
    let ms = i64::try_from(moment.ms()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use providers::payments::PlanPrices;
    use serde_json::json;

    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;
    const NOW: u64 = 1_790_000_000_000;

    fn plans() -> Plans {
        Plans::built_in(&PlanPrices { pro: "price_pro".to_owned(), premium: "price_premium".to_owned() })
    }

    fn record(plan: &str, state: SubscriptionState) -> StoredSubscription {
        let none = StoredSubscription::none("acme", Moment::from_ms(NOW));
        StoredSubscription { plan: Some(plan.to_owned()), state, ..none }
    }

    fn at(kept: &StoredSubscription, now_ms: u64) -> Entitlements {
        entitlements(Some(kept), true, &plans(), time(Moment::from_ms(now_ms)))
    }

    #[test]
    fn without_a_subscription_everything_is_allowed() {
        let customer = record("pro", SubscriptionState::None);
        for kept in [None, Some(&customer)] {
            let all = entitlements(kept, true, &plans(), time(Moment::from_ms(NOW)));
            assert_eq!((all.plan.as_str(), all.state.as_str(), all.may_enqueue), ("default", "none", true));
            assert_eq!((all.kinds.as_ref(), all.jobs_per_day), (None, None));
            assert_eq!(all.allow(&plans(), "content", &json!({ "tier": "premium" })), Ok(()));
        }
    }

    #[test]
    fn a_tier_beyond_the_plan_is_refused_with_the_plans_that_have_it() {
        let pro = at(&record("pro", SubscriptionState::Active), NOW);
        assert_eq!((pro.jobs_per_day, pro.spending_cap_per_day.as_deref()), (Some(2_000), Some("10")));
        assert_eq!(pro.allow(&plans(), "content", &json!({ "tier": "standard" })), Ok(()));
        for payload in [json!({ "tier": "premium" }), json!({ "content": { "tier": "premium" } })] {
            let refused = pro.allow(&plans(), "content", &payload).unwrap_err();
            assert_eq!(refused.plans, ["premium"]);
            assert!(refused.reason.contains("tier premium"), "{refused}");
        }
        let premium = at(&record("premium", SubscriptionState::Trialing), NOW);
        assert_eq!(premium.allow(&plans(), "content", &json!({ "tier": "premium" })), Ok(()));
    }

    #[test]
    fn while_a_payment_is_due_there_are_seven_days_of_grace() {
        let due = StoredSubscription {
            past_due_since: Some(Moment::from_ms(NOW)),
            ..record("pro", SubscriptionState::PastDue)
        };
        let last = at(&due, NOW + 7 * DAY_MS - 1);
        assert!(last.may_enqueue);
        assert_eq!(last.grace_until, Some(time(Moment::from_ms(NOW + 7 * DAY_MS))));
        let over = at(&due, NOW + 7 * DAY_MS);
        let refused = over.allow(&plans(), "content", &json!({})).unwrap_err();
        assert!(refused.reason.contains("grace") && refused.plans == ["premium", "pro"], "{refused:?}");
        assert_eq!(over.allow(&plans(), "maintenance", &json!({})), Ok(()), "the system goes on");
    }

    #[test]
    fn what_has_ended_or_was_never_paid_can_only_be_read() {
        use SubscriptionState as State;
        for state in [State::Unpaid, State::Canceled, State::Incomplete, State::Paused] {
            let ended = at(&record("pro", state), NOW);
            let refused = ended.allow(&plans(), "image", &json!({})).unwrap_err();
            assert!(refused.reason.contains(way_on(state)), "{state:?}: {refused}");
        }
    }

    #[test]
    fn what_the_mock_says_counts_only_where_payments_are_mock_and_the_reverse() {
        let mock = StoredSubscription { mock: true, ..record("pro", SubscriptionState::Canceled) };
        assert_eq!(at(&mock, NOW).plan, "default");
        let there = entitlements(Some(&mock), false, &plans(), time(Moment::from_ms(NOW)));
        assert_eq!((there.plan.as_str(), there.may_enqueue), ("pro", false));
        let real = record("pro", SubscriptionState::Active);
        assert_eq!(entitlements(Some(&real), false, &plans(), time(Moment::from_ms(NOW))).plan, "default");
    }

    #[test]
    fn a_paid_price_of_no_plan_allows_everything_until_it_is_named() {
        let odd = StoredSubscription { plan: None, ..record("pro", SubscriptionState::Active) };
        assert_eq!((at(&odd, NOW).plan.as_str(), at(&odd, NOW).state.as_str()), ("default", "active"));
    }
}
