//! What tenants' plans allow, for whoever enqueues their jobs here and whoever spends their money.

use std::sync::{Arc, Weak};

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use jobs::payments::{By, Entitlements, Gate, NotLetIn, Plans};
use providers::{PlanCaps, Providers, payments::PaymentsMode};
use queue::{Client, NewJob};
use schedules::{Admission, Admitted};
use store::Store;

/// Knows what tenants may use.
#[derive(Debug)]
pub(crate) struct Entitled {
    pub(crate) gate: Gate,
    pub(crate) plans: Arc<Plans>,
    /// They ask it in their turn.
    pub(crate) providers: Weak<Providers>,
    pub(crate) client: Client,
    pub(crate) store: Store,
}

impl Entitled {
    /// What a tenant may use now; `None` while payments are mock: then no plan is minded.
    async fn of(&self, tenant: &str) -> Option<Entitlements> {
        let mode = self.providers.upgrade().map_or(PaymentsMode::Mock, |providers| providers.payments.mode());
        if mode == PaymentsMode::Mock {
            return None;
        }
        let by = By { plans: &self.plans, mode, store: Some(&self.store) };
        Some(self.gate.entitlements(tenant, by, self.now()).await)
    }

    fn now(&self) -> DateTime<Utc> {
        let ms = i64::try_from(self.client.now_ms()).unwrap_or_default();
        DateTime::from_timestamp_millis(ms).unwrap_or_default()
    }
}

impl Admission for Entitled {
    fn admit<'a>(&'a self, job: &'a NewJob) -> BoxFuture<'a, Result<Admitted, queue::Error>> {
        async move {
            let Some(entitlements) = self.of(&job.tenant).await else { return Ok(Admitted::Yes(None)) };
            let by = (&self.client, &*self.plans);
            match entitlements.let_in(by, &job.tenant, &job.kind, &job.payload).await {
                Ok(taken) => Ok(Admitted::Yes(taken)),
                Err(NotLetIn::Queue(error)) => Err(error),
                Err(refused) => Ok(Admitted::No(refused.to_string())),
            }
        }
        .boxed()
    }
}

impl PlanCaps for Entitled {
    fn of<'a>(&'a self, tenant: &'a str) -> BoxFuture<'a, Option<u64>> {
        async move { Self::of(self, tenant).await?.spending_cap_micro_usd() }.boxed()
    }
}
