//! What makes up for webhooks that did not come, and for a collection that was lost: Stripe is asked.
//!
//! Both tasks only order `payment` jobs, through the outbox and under names that are fixed by what they are for; these read from Stripe what
//! is to be kept. A task writes down where it is, makes room for others when its time is over, and goes on from there; so it does when
//! Stripe cannot answer.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use providers::{
    ProviderError,
    payments::{Subscription, WhichEvents},
};
use serde::Serialize;
use serde_json::Value;
use store::{Cursor, Moment, StoredSubscription, SubscriptionState};
use utoipa::ToSchema;

use crate::{
    handler::{Context, JobError},
    kinds::{
        email::tenant::{ms, time},
        payment::{Payment, changes},
    },
    payments::{AtStripe, EVENT_KINDS, goes_on, kept, rank, state_of, stored_event},
    recurring::{Task, Walk},
};

/// Stripe has events of so long.
const EVENTS: TimeDelta = TimeDelta::days(30);
/// When a task goes on that Stripe did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Records that are compared one by one before it is written down where the task is.
const BATCH: usize = 20;
/// Differences that are told.
const MOST_TOLD: usize = 100;
/// Behind it stands where a task is: in Stripe's list, and then in ours.
const STRIPES: &str = "stripe:";
const OURS: &str = "ours:";
/// The field of one that goes on beside the one that counts: both are paid.
const SECOND: &str = "second_subscription";
/// What the list of subscriptions does not tell.
const NOT_LISTED: [&str; 3] = ["invoice", "past_due_since", "trial_used"];

/// What differs between Stripe and us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reconciled {
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// Subscriptions that this run compared.
    pub compared: u64,
    /// Those of no tenant.
    pub unowned: u64,
    /// Customers that are read again, or would be, with those of earlier runs of the same job.
    pub differing: u64,
    /// What differs, the first hundred of this run.
    pub differences: Vec<Difference>,
}

/// One that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// Whose.
    pub tenant: String,
    /// Stripe's id of the customer.
    pub customer: String,
    /// Stripe's id of the subscription.
    pub subscription: String,
    /// The field; `subscription` where nothing is kept of it, `second_subscription` where it is paid beside the one that is kept.
    pub field: String,
    /// What is kept.
    #[schema(value_type = Object)]
    pub ours: Value,
    /// What Stripe has.
    #[schema(value_type = Object)]
    pub stripes: Value,
}

/// Puts the events of the last 30 days that Stripe could not deliver where webhooks put theirs; returns how many were new.
pub(crate) async fn events(context: &Context) -> Result<u64, JobError> {
    let task = task(context)?;
    let payments = &context.providers.payments;
    let since = time(task.job.created_ms()) - EVENTS;
    let mut walk = Walk::go_on(task).await.map_err(|error| error.put_off())?;
    loop {
        let after = walk.after.as_ref().and_then(Cursor::as_text).map(str::to_owned);
        let which = WhichEvents { kinds: &EVENT_KINDS, since: Some(since), undelivered: true };
        let page = payments.calls(context.policy()).events(which, after.as_deref()).await.map_err(put_off)?;
        let mut n_new = 0;
        for event in page.items {
            let event = stored_event(event, payments.livemode, Moment::from_ms(task.client.now_ms()));
            if task.store.put_stripe_event(&event).await.map_err(away)? {
                n_new += 1;
            }
        }
        let turned = walk.turn_the_page(n_new, page.next.map(Cursor::text)).await;
        if let Some(n_new) = turned.map_err(|error| error.put_off())? {
            return Ok(n_new);
        }
    }
}

/// Compares all subscriptions at Stripe with what is kept, and what is kept with Stripe; where that differs, the customer is read again.
/// A dry run reads only, and ends with what it has found when its time is over.
pub(crate) async fn subscriptions(context: &Context, dry_run: bool) -> Result<Reconciled, JobError> {
    let task = task(context)?;
    let until = Instant::now() + task.time;
    let mut comparing = Comparing {
        context,
        task,
        is_mock: !context.providers.payments.is_real(),
        seen: HashSet::new(),
        found: Reconciled { dry_run, ..Reconciled::default() },
    };
    if dry_run {
        let mut after = Some(STRIPES.to_owned());
        while let Some(place) = after
            && Instant::now() < until
        {
            after = comparing.page(&place).await?.1;
        }
        return Ok(comparing.found);
    }
    let mut walk = Walk::go_on(task).await.map_err(|error| error.put_off())?;
    loop {
        let place = walk.after.as_ref().and_then(Cursor::as_text).unwrap_or(STRIPES).to_owned();
        let (n_differing, next) = comparing.page(&place).await?;
        let turned = walk.turn_the_page(n_differing, next.map(Cursor::text)).await;
        if let Some(n_differing) = turned.map_err(|error| error.put_off())? {
            return Ok(Reconciled { differing: n_differing, ..comparing.found });
        }
    }
}

struct Comparing<'a> {
    context: &'a Context,
    task: Task<'a>,
    is_mock: bool,
    /// Tenants whose subscription was found in Stripe's list by this run.
    seen: HashSet<String>,
    found: Reconciled,
}

impl Comparing<'_> {
    /// Compares what comes behind a place. Returns how many customers differ, and where it goes on.
    async fn page(&mut self, place: &str) -> Result<(u64, Option<String>), JobError> {
        let before = self.found.differing;
        let next = match (place.strip_prefix(STRIPES), place.strip_prefix(OURS)) {
            (Some(after), _) => self.stripes(after).await?,
            (None, after) => self.ours(after.unwrap_or_default()).await?,
        };
        Ok((self.found.differing - before, next))
    }

    async fn stripes(&mut self, after: &str) -> Result<Option<String>, JobError> {
        let calls = self.context.providers.payments.calls(self.context.policy());
        let after = Some(after).filter(|after| !after.is_empty());
        let page = calls.subscriptions(None, after).await.map_err(put_off)?;
        for subscription in page.items {
            self.found.compared += 1;
            let customer = &subscription.customer;
            let tenant = match &subscription.tenant {
                Some(tenant) => Some(tenant.clone()),
                None => match self.task.store.subscription_of_customer(customer).await.map_err(away)? {
                    Some(known) => Some(known.tenant),
                    None => calls.customer(customer).await.map_err(put_off)?.and_then(|customer| customer.tenant),
                },
            };
            let Some(tenant) = tenant else {
                self.found.unowned += 1;
                continue;
            };
            let known = self.task.store.subscription(&tenant).await.map_err(away)?;
            if known.as_ref().is_some_and(|known| known.subscription.as_ref() == Some(&subscription.id)) {
                self.seen.insert(tenant.clone());
            }
            self.compare(&tenant, known.as_ref(), &subscription).await?;
        }
        Ok(Some(page.next.map_or_else(|| OURS.to_owned(), |next| format!("{STRIPES}{next}"))))
    }

    /// Those that Stripe's list did not name: they were deleted there, or made meanwhile, or an earlier run has seen them.
    async fn ours(&mut self, after: &str) -> Result<Option<String>, JobError> {
        let calls = self.context.providers.payments.calls(self.context.policy());
        let page = self.task.store.subscriptions(Some(after), BATCH).await.map_err(away)?;
        let ids = page.read.iter().map(|known| &known.tenant).chain(page.unreadable.iter().map(|odd| &odd.id));
        let next = ids.max().filter(|_| page.n() == BATCH).map(|last| format!("{OURS}{last}"));
        for known in page.read {
            let is_over = known.state == SubscriptionState::Canceled || self.seen.contains(&known.tenant);
            let Some(id) = known.subscription.clone().filter(|_| known.mock == self.is_mock && !is_over) else {
                continue;
            };
            match calls.subscription(&id).await.map_err(put_off)? {
                Some(subscription) => self.compare(&known.tenant, Some(&known), &subscription).await?,
                None => {
                    let customer = known.customer.clone().unwrap_or_default();
                    let difference = Difference {
                        tenant: known.tenant.clone(),
                        customer: customer.clone(),
                        subscription: id,
                        field: "state".to_owned(),
                        ours: known.state.as_str().into(),
                        stripes: Value::Null,
                    };
                    self.differ(&customer, vec![difference]).await?;
                }
            }
        }
        Ok(next)
    }

    async fn compare(
        &mut self,
        tenant: &str,
        known: Option<&StoredSubscription>,
        subscription: &Subscription,
    ) -> Result<(), JobError> {
        let known = known.filter(|known| known.mock == self.is_mock);
        let differences = self.differences(tenant, known, subscription);
        // What it owes is not in the list of subscriptions.
        let is_owed = known.and_then(|known| known.invoice.as_ref()).is_some_and(|last| last.status == "open");
        if !differences.is_empty() || is_owed && !self.found.dry_run {
            self.differ(&subscription.customer, differences).await?;
        }
        Ok(())
    }

    /// What is kept of a subscription otherwise than Stripe has it; nothing if it has ended and does not count beside the one
    /// that is kept.
    fn differences(
        &self,
        tenant: &str,
        known: Option<&StoredSubscription>,
        subscription: &Subscription,
    ) -> Vec<Difference> {
        let told = |field: &str, ours: Value, stripes: Value| Difference {
            tenant: tenant.to_owned(),
            customer: subscription.customer.clone(),
            subscription: subscription.id.clone(),
            field: field.to_owned(),
            ours,
            stripes,
        };
        let Some(known) = known else {
            return vec![told("subscription", Value::Null, subscription.id.as_str().into())];
        };
        if known.subscription.as_ref() != Some(&subscription.id) {
            let created = subscription.created.map(|created| Moment::from_ms(ms(created)));
            let theirs = (rank(state_of(&subscription.status)), created, Some(&subscription.id));
            let is_better = theirs > (rank(Some(known.state)), known.created, known.subscription.as_ref());
            let ours = known.subscription.as_deref().map_or(Value::Null, Value::from);
            let is_second = goes_on(subscription) && rank(Some(known.state)) >= rank(Some(SubscriptionState::Paused));
            let field = match (is_better, is_second) {
                (true, _) => "subscription",
                (_, true) => SECOND,
                _ => return Vec::new(),
            };
            return vec![told(field, ours, subscription.id.as_str().into())];
        }
        let at = AtStripe {
            customer: &subscription.customer,
            subscriptions: std::slice::from_ref(subscription),
            invoices: &[],
            mock: self.is_mock,
        };
        let becomes = kept(tenant, Some(known), &at, &self.context.plans, known.updated_at);
        let mut differences: Vec<Difference> = changes(Some(known), &becomes)
            .into_iter()
            .filter(|change| !NOT_LISTED.contains(&change.field.as_str()))
            .map(|change| told(&change.field, change.was, change.becomes))
            .collect();
        let (ours, stripes) = (known.invoice.as_ref().map(|last| &last.id), subscription.latest_invoice.as_ref());
        if ours != stripes {
            let id = |id: Option<&String>| id.map_or(Value::Null, |id| id.as_str().into());
            differences.push(told("invoice", id(ours), id(stripes)));
        }
        differences
    }

    async fn differ(&mut self, customer: &str, differences: Vec<Difference>) -> Result<(), JobError> {
        self.found.differing += 1;
        let room = MOST_TOLD.saturating_sub(self.found.differences.len());
        self.found.differences.extend(differences.into_iter().take(room));
        if !self.found.dry_run {
            let (at, now) = (Moment::from_ms(self.task.job.created_ms()), Moment::from_ms(self.task.client.now_ms()));
            let job = Payment::reread(customer, &self.task.job.to_string(), at, now);
            self.task.store.put_outbox(&job).await.map_err(away)?;
        }
        Ok(())
    }
}

fn task(context: &Context) -> Result<Task<'_>, JobError> {
    let (Some(store), Some(client)) = (&context.store, &context.client) else {
        return Err(JobError::Fatal { code: "no_store", message: "this task needs redis and mongodb".to_owned() });
    };
    Ok(Task { store, client, job: context.job_id, time: context.time_for_a_task() })
}

/// Stripe being away is no fault of the task: no attempt is used, and it goes on from the last page that it wrote down.
fn put_off(error: ProviderError) -> JobError {
    match JobError::from(error) {
        JobError::Retry { code, message, after } => {
            JobError::Snooze { code, message, after: after.unwrap_or(AGAIN_AFTER) }
        }
        other => other,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what is left of the error is its words")]
fn away(error: store::Error) -> JobError {
    JobError::Snooze { code: "away", message: error.to_string(), after: AGAIN_AFTER }
}
