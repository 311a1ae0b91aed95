//! Whether tenants may enqueue what they want to: decided here, for all doors by which jobs come.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use providers::payments::PaymentsMode;
use queue::{Client, Taken};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::Value;
use store::{Store, StoredSubscription};

use super::{
    entitlements::{Entitlements, PlanRequired, entitlements, is_exempt},
    plans::Plans,
};

/// What was read of a tenant is good for so long.
const KEPT: Duration = Duration::from_secs(10);
/// After so long somebody reads it again, while the others go on with what there is.
const FRESH: Duration = Duration::from_secs(5);
/// So many tenants are known at a time.
const MOST: usize = 10_000;
/// A job is taken by what was known before rather than late.
const READ_WITHIN: Duration = Duration::from_secs(1);
/// While MongoDB is away it is asked so seldom.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// A tenant has enqueued as many jobs as its plan allows on a day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan {plan} has {most} jobs a day, and they are used up until midnight UTC")]
pub struct OverQuota {
    /// The plan.
    pub plan: String,
    /// How many it allows.
    pub most: u64,
    /// How long this day lasts.
    pub wait: Duration,
}

/// Why a job was not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLetIn {
    /// The plan does not allow it.
    #[error(transparent)]
    Plan(#[from] PlanRequired),
    /// Not today.
    #[error(transparent)]
    Quota(#[from] OverQuota),
    /// It cannot be counted, and then not be pushed either.
    #[error(transparent)]
    Queue(#[from] queue::Error),
}

/// What is kept of a tenant, if anything.
type Kept = Option<Arc<StoredSubscription>>;

/// What is known of a tenant.
#[derive(Debug, Clone)]
struct Known {
    kept: Kept,
    /// When it was read, or believed because MongoDB was away.
    read: Instant,
    /// When somebody began to read it last.
    asked: Instant,
}

/// Remembers for some seconds what tenants have subscribed to, so that a job that comes needs no look at MongoDB.
#[derive(Debug, Default)]
pub struct Gate {
    known: Mutex<HashMap<String, Known>>,
    /// Until when MongoDB is not asked.
    away_until: Mutex<Option<Instant>>,
    is_away: AtomicBool,
}

/// By what it is decided.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// What each plan allows.
    pub plans: &'a Plans,
    /// Who answers what tenants have subscribed to.
    pub mode: PaymentsMode,
    /// Where subscriptions are kept; `None` while its address is not known.
    pub store: Option<&'a Store>,
}

impl Gate {
    /// What a tenant may use at `now`, by what was read of it in the last ten seconds. While MongoDB is away, what was known last holds, and
    /// whoever is not known may use everything.
    pub async fn entitlements(&self, tenant: &str, by: By<'_>, now: DateTime<Utc>) -> Entitlements {
        let kept = self.kept(tenant, by.store).await;
        entitlements(kept.as_deref(), by.mode, by.plans, now)
    }

    /// What is kept of a tenant's subscription, at most some seconds ago.
    pub async fn kept(&self, tenant: &str, store: Option<&Store>) -> Option<Arc<StoredSubscription>> {
        let before = match self.known_now(tenant, Instant::now()) {
            Ok(known) => return known.kept,
            Err(before) => before,
        };
        let read = match store {
            Some(store) if !self.leaves_alone() => tokio::time::timeout(READ_WITHIN, store.subscription(tenant)).await,
            Some(_) => return before,
            None => {
                self.say_away("its address cannot be looked up");
                return before;
            }
        };
        match read {
            Ok(Ok(kept)) => {
                let kept = kept.map(Arc::new);
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("subscriptions are read again");
                }
                self.remember(tenant, kept.clone(), Instant::now());
                kept
            }
            // That says nothing of the other tenants, and reconciliation makes it anew.
            Ok(Err(error)) if error.is_unreadable() => {
                tracing::error!(tenant, %error, "what is kept of a subscription cannot be read: what was known last holds, or the plan default");
                self.remember(tenant, before.clone(), Instant::now());
                before
            }
            Ok(Err(error)) => {
                self.say_away(&error.to_string());
                before
            }
            Err(_) => {
                self.say_away("no answer in time");
                before
            }
        }
    }

    /// What is known, or, if it is to be read now, what was known before.
    fn known_now(&self, tenant: &str, now: Instant) -> Result<Known, Kept> {
        let mut all = lock(&self.known);
        let Some(known) = all.get_mut(tenant) else { return Err(None) };
        let age = |since: Instant| now.saturating_duration_since(since);
        if age(known.read) < FRESH || (age(known.read) < KEPT && age(known.asked) < FRESH) {
            return Ok(known.clone());
        }
        known.asked = now;
        Err(known.kept.clone())
    }

    fn remember(&self, tenant: &str, kept: Kept, now: Instant) {
        let mut all = lock(&self.known);
        if all.len() >= MOST && !all.contains_key(tenant) {
            all.retain(|_, known| now.saturating_duration_since(known.read) < KEPT);
            if all.len() >= MOST {
                all.clear();
            }
        }
        all.insert(tenant.to_owned(), Known { kept, read: now, asked: now });
    }

    fn leaves_alone(&self) -> bool {
        lock(&self.away_until).is_some_and(|until| Instant::now() < until)
    }

    fn say_away(&self, error: &str) {
        *lock(&self.away_until) = Some(Instant::now() + ASK_AGAIN);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error,
                "subscriptions cannot be read: what was known last holds, and who is not known may enqueue everything"
            );
        }
    }
}

impl Entitlements {
    /// The same as [`Self::allow`] for a payload that is text.
    ///
    /// # Errors
    /// [`PlanRequired`].
    pub fn allow_text(&self, plans: &Plans, kind: &str, payload: &[u8]) -> Result<(), PlanRequired> {
        let (_, plan) = plans.plan(Some(&self.plan));
        let payload = if plan.allows_every_payload() || is_exempt(kind) {
            Value::Null
        } else {
            serde_json::from_slice(payload).unwrap_or_default()
        };
        self.allow(plans, kind, &payload)
    }

    /// Takes up to `n` of the jobs of this day before they are pushed; `None`: the plan does not limit them. Fewer than one is
    /// [`Self::over_quota`].
    ///
    /// # Errors
    /// [`queue::Error::Unavailable`].
    pub async fn take(&self, client: &Client, tenant: &str, n: u64) -> Result<Option<Taken>, queue::Error> {
        match self.jobs_per_day {
            Some(most) => client.take_quota(tenant, n, most).await.map(Some),
            None => Ok(None),
        }
    }

    /// Lets one job in, if it is allowed, and counts it.
    ///
    /// # Errors
    /// [`NotLetIn`].
    pub async fn let_in(
        &self,
        (client, plans): (&Client, &Plans),
        tenant: &str,
        kind: &str,
        payload: &[u8],
    ) -> Result<Option<Taken>, NotLetIn> {
        self.allow_text(plans, kind, payload)?;
        if is_exempt(kind) {
            return Ok(None);
        }
        match self.take(client, tenant, 1).await? {
            Some(taken) if taken.n() == 0 => Err(self.over_quota(client.rest_of_day()).into()),
            taken => Ok(taken),
        }
    }

    /// That the jobs of a day are used up.
    #[must_use]
    pub fn over_quota(&self, wait: Duration) -> OverQuota {
        OverQuota { plan: self.plan.clone(), most: self.jobs_per_day.unwrap_or(0), wait }
    }

    /// What models may cost on a UTC day, in millionths of a US dollar; `None`: the plan has no cap.
    #[must_use]
    pub fn spending_cap_micro_usd(&self) -> Option<u64> {
        let cap: Decimal = self.spending_cap_per_day.as_ref()?.parse().ok()?;
        (cap * Decimal::from(1_000_000)).to_u64()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use providers::payments::PlanPrices;
    use store::{Moment, SubscriptionState};

    use super::*;

    fn plans() -> Plans {
        Plans::built_in(&PlanPrices { pro: "price_pro".to_owned(), premium: "price_premium".to_owned() })
    }

    fn pro() -> StoredSubscription {
        let none = StoredSubscription::none("acme", Moment::from_ms(1));
        StoredSubscription { plan: Some("pro".to_owned()), state: SubscriptionState::Active, ..none }
    }

    #[test]
    fn what_was_read_is_good_for_ten_seconds_and_one_reads_it_again_before() {
        let (gate, now) = (Gate::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(gate.known_now("acme", now).is_err(), "nobody has asked");
        let kept = Some(Arc::new(pro()));
        gate.remember("acme", kept.clone(), now);
        assert_eq!(gate.known_now("acme", after(4)).unwrap().kept, kept);
        assert_eq!(gate.known_now("acme", after(5)).unwrap_err(), kept, "this one reads");
        assert!(gate.known_now("acme", after(6)).is_ok(), "the others do not wait for it");
        assert_eq!(gate.known_now("acme", after(10)).unwrap_err(), kept);
        assert!(gate.known_now("acme", after(10)).is_err(), "older than that it is used by nobody who can read");
    }

    #[test]
    fn so_many_tenants_are_known_at_a_time() {
        let (gate, now) = (Gate::default(), Instant::now());
        for n in 0..MOST {
            gate.remember(&n.to_string(), None, now);
        }
        gate.remember("new", None, now + KEPT);
        assert_eq!(lock(&gate.known).len(), 1, "those whose time was over have gone");
    }

    #[tokio::test]
    async fn while_nothing_can_be_read_what_was_known_last_holds_and_others_may_use_everything() {
        let (gate, plans) = (Gate::default(), plans());
        let by = By { plans: &plans, mode: PaymentsMode::Test, store: None };
        let long_ago = Instant::now().checked_sub(2 * KEPT).unwrap();
        gate.remember("acme", Some(Arc::new(pro())), long_ago);
        assert_eq!(gate.entitlements("acme", by, Utc::now()).await.plan, "pro");
        let unknown = gate.entitlements("other", by, Utc::now()).await;
        assert_eq!((unknown.plan.as_str(), unknown.may_enqueue), ("default", true));
    }

    #[test]
    fn caps_are_counted_in_millionths() {
        let of = |kept: &StoredSubscription| entitlements(Some(kept), PaymentsMode::Test, &plans(), Utc::now());
        assert_eq!(of(&pro()).spending_cap_micro_usd(), Some(10_000_000));
        assert_eq!(entitlements(None, PaymentsMode::Test, &plans(), Utc::now()).spending_cap_micro_usd(), None);
        let refused = of(&pro()).allow_text(&plans(), "content", br#"{"tier":"premium"}"#).unwrap_err();
        assert_eq!(refused.plans, ["premium"]);
        assert!(of(&pro()).allow_text(&plans(), "content", br#"{"tier":"basic"}"#).is_ok());
    }
}
