//! What is done to a subscription.

use jobs::{
    payment::{Read, ReadError},
    payments::{AtStripe, kept},
};
use providers::{
    ProviderError,
    payments::{
        ChangePrice, Invoice, Money, PortalSession, Preview as AtStripePreview, Price, Proration, Status, Subscription,
    },
};
use store::{StoredSubscription, SubscriptionState};

use super::{
    customer::carry_out,
    desk::Desk,
    refusal::{conflict, declined, problem},
};
use crate::answer::{Problem, Type};

/// What became of a subscription.
pub(crate) struct Changed {
    /// As Stripe has it.
    pub(crate) record: StoredSubscription,
    /// Whether it is kept here, too.
    pub(crate) recorded: bool,
}

/// What a change would cost.
pub(crate) struct Preview {
    /// The plan now.
    pub(crate) from: Option<String>,
    /// The invoice.
    pub(crate) invoice: AtStripePreview,
    /// What is paid at once.
    pub(crate) due_now: Money,
}

/// How a subscription shall end.
pub(crate) struct Cancel<'a> {
    /// With the period that is paid, or now.
    pub(crate) at_period_end: bool,
    /// Why.
    pub(crate) reason: Option<&'a str>,
}

/// A change that is possible.
struct Change {
    record: StoredSubscription,
    subscription: String,
    item: String,
    price: Price,
    proration: Proration,
}

impl Change {
    fn asked(&self) -> ChangePrice<'_> {
        ChangePrice {
            subscription: &self.subscription,
            item: &self.item,
            price: &self.price.id,
            proration: self.proration,
            proration_date: None,
        }
    }
}

impl Desk {
    /// A page where a tenant manages payment methods and its subscription.
    pub(crate) async fn portal(&self, tenant: &str, return_url: &str, key: &str) -> Result<PortalSession, Problem> {
        if let Some(error) = self.hosts.check("/return_url", return_url) {
            return Err(Problem::invalid(vec![error]));
        }
        let kept = self.kept(tenant).await?;
        let customer = Self::known_customer(kept.as_ref())?;
        let calls = self.calls(tenant);
        let write = |key: String| async move { calls.create_portal_session(&key, customer, return_url, None).await };
        // One that nobody knows of does no harm.
        carry_out(key, write, || async { Ok(None) }).await.map_err(|error| problem(&error))
    }

    /// What a change of plan would cost.
    pub(crate) async fn preview(&self, tenant: &str, plan: &str) -> Result<Preview, Problem> {
        let change = self.change_to(tenant, plan).await?;
        let invoice = match self.calls(tenant).preview(&change.asked()).await {
            Ok(invoice) => invoice,
            Err(error) => return Err(self.refused(tenant, &error, |record| refuse_change(record, plan)).await),
        };
        let due_now = match change.proration {
            Proration::AlwaysInvoice => invoice.amount_due.clone(),
            _ => Money::of_units(0, &invoice.amount_due.currency),
        };
        Ok(Preview { from: change.record.plan, invoice, due_now })
    }

    /// Changes the plan. `is_again`: the same was asked before, and nobody knows whether it was done; so it is with all calls. What is so by
    /// now was then done, and is not refused because it is so.
    pub(crate) async fn change(&self, tenant: &str, plan: &str, key: &str, is_again: bool) -> Result<Changed, Problem> {
        if is_again && let Some(record) = self.is_so(tenant, |record| has_plan(record, plan)).await? {
            return Ok(Changed { record, recorded: true });
        }
        let change = self.change_to(tenant, plan).await?;
        let (calls, asked) = (self.calls(tenant), &change.asked());
        let write = |key: String| async move { calls.change_price(&key, asked).await };
        let look = || async move {
            let found = calls.subscription(asked.subscription).await?;
            Ok(found.filter(|found| found.price.as_deref() == Some(asked.price)).map(Ok))
        };
        let changed = match carry_out(key, write, look).await {
            Ok(changed) => changed.map_err(|refused| declined(&refused))?,
            Err(error) => return Err(self.refused(tenant, &error, |record| refuse_change(record, plan)).await),
        };
        tracing::info!(tenant, from = change.record.plan, plan, "the plan was changed");
        Ok(self.changed(change.record, changed).await)
    }

    /// What has to be done for another plan, if that is possible.
    async fn change_to(&self, tenant: &str, plan: &str) -> Result<Change, Problem> {
        let offer = self.offer(plan).await?;
        let record = self.fresh(tenant).await?;
        refuse_change(&record, plan)?;
        let (Some(subscription), Some(item)) = (record.subscription.clone(), record.item.clone()) else {
            return Err(never_subscribed());
        };
        let now = match record.price.as_deref() {
            Some(price) => self.calls(tenant).price(price).await.map_err(|error| problem(&error))?,
            None => None,
        };
        let proration = proration(record.state, now.as_ref(), &offer.price);
        Ok(Change { record, subscription, item, price: offer.price, proration })
    }

    /// Ends the subscription: with its period, or now.
    pub(crate) async fn cancel(
        &self,
        tenant: &str,
        &Cancel { at_period_end, reason }: &Cancel<'_>,
        key: &str,
        is_again: bool,
    ) -> Result<Changed, Problem> {
        let has_ended = |record: &StoredSubscription| !at_period_end && record.state == SubscriptionState::Canceled;
        if is_again && let Some(record) = self.is_so(tenant, has_ended).await? {
            return Ok(Changed { record, recorded: true });
        }
        let record = self.fresh(tenant).await?;
        let id = living(&record)?.to_owned();
        if at_period_end && record.cancel_at_period_end {
            return Ok(Changed { record, recorded: true });
        }
        let (calls, id) = (self.calls(tenant), &id);
        let write = |key: String| async move {
            if at_period_end {
                return calls.cancel_at_period_end(&key, id, reason).await.map(Some);
            }
            calls.cancel_now(id, reason).await
        };
        let is_done = move |found: &Subscription| match at_period_end {
            true => found.cancel_at_period_end,
            false => found.status == Status::Canceled,
        };
        let look = || async move { Ok(calls.subscription(id).await?.filter(is_done).map(Some)) };
        let ended = match carry_out(key, write, look).await {
            Ok(ended) => ended,
            Err(error) => return Err(self.refused(tenant, &error, |record| living(record).map(drop)).await),
        };
        tracing::info!(tenant, subscription = id, at_period_end, "the subscription was cancelled");
        match ended {
            Some(ended) => Ok(self.changed(record, ended).await),
            // Somebody else was faster.
            None => Ok(Changed { record: self.fresh(tenant).await?, recorded: true }),
        }
    }

    /// Takes back that a subscription ends, or lets one that is paused go on.
    pub(crate) async fn resume(&self, tenant: &str, key: &str, is_again: bool) -> Result<Changed, Problem> {
        if is_again && let Some(record) = self.is_so(tenant, goes_on).await? {
            return Ok(Changed { record, recorded: true });
        }
        let record = self.fresh(tenant).await?;
        let (id, how) = (living(&record)?.to_owned(), resumption(&record)?);
        let (calls, id) = (self.calls(tenant), &id);
        let write = |key: String| async move {
            match how {
                Resumption::Go => calls.resume_paused(&key, id).await,
                Resumption::KeepBeyondPeriod => calls.resume(&key, id).await,
                Resumption::KeepBeyondDate => calls.keep_beyond_date(&key, id).await,
            }
        };
        let is_done = move |found: &Subscription| match how {
            Resumption::Go => found.status != Status::Paused,
            Resumption::KeepBeyondPeriod | Resumption::KeepBeyondDate => {
                !found.cancel_at_period_end && found.cancel_at.is_none()
            }
        };
        let look = || async move { Ok(calls.subscription(id).await?.filter(is_done)) };
        let resumed = match carry_out(key, write, look).await {
            Ok(resumed) => resumed,
            Err(error) => return Err(self.refused(tenant, &error, |record| resumption(record).map(drop)).await),
        };
        let changed = self.changed(record, resumed).await;
        if how == Resumption::Go && changed.record.state == SubscriptionState::Paused {
            let detail = "the invoice could not be paid, so the subscription is still paused: POST /api/payments/portal gives a page for a \
                          payment method";
            return Err(Problem::new(Type::PaymentFailed, detail));
        }
        tracing::info!(tenant, subscription = id, "the subscription goes on");
        Ok(changed)
    }

    /// Invoices of a tenant, newest first, behind the one of this id; at least `n` of them, if there are so many.
    pub(crate) async fn invoices(&self, tenant: &str, after: Option<&str>, n: usize) -> Result<Vec<Invoice>, Problem> {
        let kept = self.kept(tenant).await?;
        let Some(customer) = kept.and_then(|kept| kept.customer) else { return Ok(Vec::new()) };
        let (mut invoices, mut after) = (Vec::new(), after.map(str::to_owned));
        while invoices.len() < n {
            let page = self.calls(tenant).invoices(&customer, after.as_deref()).await.map_err(|error| match error {
                ProviderError::Rejected { .. } => {
                    crate::request::bad_parameter("cursor", "must be a next_cursor of this list")
                }
                error => problem(&error),
            })?;
            invoices.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(invoices)
    }

    /// What Stripe's refusal means: most often somebody was faster, and the same is told as if that had been so before. `check` is what was looked
    /// at before the write.
    async fn refused(
        &self,
        tenant: &str,
        error: &ProviderError,
        check: impl Fn(&StoredSubscription) -> Result<(), Problem>,
    ) -> Problem {
        if matches!(error, ProviderError::Rejected { .. })
            && let Ok(record) = self.fresh(tenant).await
            && let Err(told) = check(&record)
        {
            return told;
        }
        problem(error)
    }

    /// What Stripe has of a tenant now, if that is so.
    async fn is_so(
        &self,
        tenant: &str,
        is: impl Fn(&StoredSubscription) -> bool,
    ) -> Result<Option<StoredSubscription>, Problem> {
        Ok(Some(self.fresh(tenant).await?).filter(is))
    }

    /// What Stripe has of a tenant now, which is kept at the same time.
    async fn fresh(&self, tenant: &str) -> Result<StoredSubscription, Problem> {
        let kept = self.kept(tenant).await?;
        let customer = Self::known_customer(kept.as_ref())?;
        match self.reading(tenant)?.of(customer).await {
            Ok(Read::Kept(kept)) => Ok(kept.record),
            Ok(Read::Nobodys | Read::Stripes(_)) => Err(never_subscribed()),
            Err(ReadError::Stripe(error)) => Err(problem(&error)),
            Err(ReadError::Store(error)) => Err(Problem::store_away(error)),
            Err(error @ ReadError::Contended(_)) => Err(Problem::new(Type::Overloaded, error.to_string())),
        }
    }

    /// After a write: what Stripe has is read and kept, so that whoever looks next sees it. Where that fails, the write has been done all the
    /// same, and `after` is what Stripe has said of it.
    async fn changed(&self, before: StoredSubscription, after: Subscription) -> Changed {
        if let Some(record) = self.read_again(&before.tenant, &after.customer).await {
            return Changed { record, recorded: true };
        }
        let (customer, mock) = (after.customer.clone(), !self.is_real());
        let at = AtStripe { customer: &customer, subscriptions: &[after], invoices: &[], mock };
        let record = kept(&before.tenant, Some(&before), &at, self.plans(), self.now());
        Changed { record, recorded: false }
    }
}

fn has_plan(record: &StoredSubscription, plan: &str) -> bool {
    record.plan.as_deref() == Some(plan) && is_used(record)
}

fn goes_on(record: &StoredSubscription) -> bool {
    is_used(record) && !ends(record)
}

/// Whether its end is settled: with its period, or, as somebody has done at Stripe, at a date.
fn ends(record: &StoredSubscription) -> bool {
    record.cancel_at_period_end || record.cancel_at.is_some()
}

fn is_used(record: &StoredSubscription) -> bool {
    matches!(record.state, SubscriptionState::Active | SubscriptionState::Trialing)
}

fn never_subscribed() -> Problem {
    Problem::new(Type::NotFound, "the tenant has no subscription: POST /api/payments/checkout begins one")
}

/// The id of a subscription that has not ended.
fn living(record: &StoredSubscription) -> Result<&str, Problem> {
    match (&record.subscription, record.state) {
        (None, _) => Err(never_subscribed()),
        (Some(_), SubscriptionState::Canceled) => {
            Err(conflict("the subscription has ended: POST /api/payments/checkout begins a new one"))
        }
        (Some(id), _) => Ok(id),
    }
}

/// How a subscription goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resumption {
    /// It is paused.
    Go,
    /// It ends with its period.
    KeepBeyondPeriod,
    /// It ends at a date.
    KeepBeyondDate,
}

fn resumption(record: &StoredSubscription) -> Result<Resumption, Problem> {
    living(record)?;
    if record.state == SubscriptionState::Paused {
        return Ok(Resumption::Go);
    }
    if record.cancel_at_period_end {
        return Ok(Resumption::KeepBeyondPeriod);
    }
    if ends(record) {
        return Ok(Resumption::KeepBeyondDate);
    }
    Err(conflict(format!("the subscription is {}, and is neither paused nor cancelled", record.state.as_str())))
}

fn refuse_change(record: &StoredSubscription, plan: &str) -> Result<(), Problem> {
    living(record)?;
    match record.state {
        SubscriptionState::Active | SubscriptionState::Trialing if record.plan.as_deref() == Some(plan) => {
            Err(conflict(format!("the tenant has the plan {plan} already")))
        }
        SubscriptionState::Active | SubscriptionState::Trialing => Ok(()),
        SubscriptionState::PastDue | SubscriptionState::Unpaid => {
            Err(conflict("a payment is due: it is paid at POST /api/payments/portal before the plan is changed"))
        }
        SubscriptionState::Paused => {
            Err(conflict("the subscription is paused: POST /api/payments/resume before the plan is changed"))
        }
        _ => Err(conflict(format!("the subscription is {}, so its plan cannot be changed", record.state.as_str()))),
    }
}

/// More is paid for at once, or not given; of less, what was paid too much is taken off the next invoice. In a trial nothing was paid.
fn proration(state: SubscriptionState, now: Option<&Price>, new: &Price) -> Proration {
    if state == SubscriptionState::Trialing {
        return Proration::None;
    }
    let comparable = |now: &&Price| {
        (now.interval.as_ref(), now.interval_count, &now.currency)
            == (new.interval.as_ref(), new.interval_count, &new.currency)
    };
    let amounts = now
        .filter(comparable)
        .and_then(|now| Some((&now.unit_amount.as_ref()?.amount, &new.unit_amount.as_ref()?.amount)));
    match amounts {
        Some((now, new)) if new < now => Proration::CreateProrations,
        _ => Proration::AlwaysInvoice,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use store::Moment;

    use super::*;

    fn record(state: SubscriptionState) -> StoredSubscription {
        let none = StoredSubscription::none("acme", Moment::from_ms(1));
        StoredSubscription { state, plan: Some("pro".to_owned()), subscription: Some("sub_1".to_owned()), ..none }
    }

    fn told(problem: Problem) -> Value {
        serde_json::to_value(problem).unwrap()
    }

    #[test]
    fn a_plan_is_changed_only_where_nothing_is_owed() {
        use SubscriptionState as State;
        for state in [State::Active, State::Trialing] {
            assert!(refuse_change(&record(state), "premium").is_ok(), "{state:?}");
            assert_eq!(told(refuse_change(&record(state), "pro").unwrap_err())["status"], 409, "{state:?}");
        }
        for (state, word) in [
            (State::PastDue, "portal"),
            (State::Unpaid, "portal"),
            (State::Paused, "resume"),
            (State::Incomplete, "incomplete"),
            (State::Canceled, "checkout"),
        ] {
            let problem = told(refuse_change(&record(state), "premium").unwrap_err());
            assert_eq!(problem["status"], 409, "{state:?}");
            assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
        }
        let never = StoredSubscription::none("acme", Moment::from_ms(1));
        assert_eq!(told(refuse_change(&never, "premium").unwrap_err())["status"], 404);
    }

    #[test]
    fn what_is_paused_or_ends_can_go_on() {
        use SubscriptionState as State;
        let active = record(State::Active);
        let dated = StoredSubscription { cancel_at: Some(Moment::from_ms(9)), ..active.clone() };
        let with_period = StoredSubscription { cancel_at_period_end: true, ..dated.clone() };
        for (record, how) in [
            (record(State::Paused), Resumption::Go),
            (with_period.clone(), Resumption::KeepBeyondPeriod),
            (dated.clone(), Resumption::KeepBeyondDate),
        ] {
            assert_eq!(resumption(&record).ok(), Some(how), "{record:?}");
        }
        assert!(goes_on(&active) && !goes_on(&dated) && !goes_on(&with_period));
        for (record, told) in [(&active, "neither paused nor cancelled"), (&self::record(State::Canceled), "has ended")]
        {
            let problem = self::told(resumption(record).unwrap_err());
            assert_eq!(problem["status"], 409);
            assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
        }
    }

    #[test]
    fn more_is_paid_at_once_and_less_is_taken_off_the_next_invoice() {
        let price = |units: i64, currency: &str, interval: &str| {
            Price::read(&json!({ "id": "price_1", "active": true, "currency": currency, "unit_amount": units,
                "recurring": { "interval": interval, "interval_count": 1 } }))
            .unwrap()
        };
        let (pro, premium) = (price(2_900, "eur", "month"), price(9_900, "eur", "month"));
        let active = |now: Option<&Price>, new: &Price| proration(SubscriptionState::Active, now, new);
        assert_eq!(active(Some(&pro), &premium), Proration::AlwaysInvoice);
        assert_eq!(active(Some(&premium), &pro), Proration::CreateProrations);
        // What cannot be compared is paid for at once.
        let yearly = price(90_000, "eur", "year");
        assert_eq!(active(Some(&yearly), &pro), Proration::AlwaysInvoice);
        assert_eq!(active(Some(&price(9_900, "usd", "month")), &pro), Proration::AlwaysInvoice);
        assert_eq!(active(None, &pro), Proration::AlwaysInvoice);
        assert_eq!(proration(SubscriptionState::Trialing, Some(&pro), &premium), Proration::None);
    }
}
