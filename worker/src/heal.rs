//! Sees to it that healing jobs are pushed: when a breaker closes, when the mode is switched, and now and then.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use fleet::{Event, Mode};
use jobs::{healable, maintenance::Maintenance};
use providers::Providers;
use queue::{Client, Job, NewJob, OnConflict, Priority, Pushed, Unique};
use services::Name;
use store::{Moment, Store};
use tokio::{sync::broadcast::error::RecvError, time::sleep};

/// Every replica looks so often, give or take a quarter, whether there is something to heal.
const LOOK_EVERY: Duration = Duration::from_secs(45);
/// Whose jobs these are: nobody's.
const TENANT: &str = "system";

/// Pushes healing jobs.
#[derive(Debug)]
pub(crate) struct Healer {
    pub(crate) providers: Arc<Providers>,
    pub(crate) client: Client,
    pub(crate) store: Store,
}

impl Healer {
    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut events = self.providers.fleet.events();
        loop {
            tokio::select! {
                () = sleep(about(LOOK_EVERY)) => self.look(None).await,
                event = events.recv() => match event {
                    Ok(Event::BreakerClosed { service, .. }) => self.look(Name::named(&service)).await,
                    Ok(Event::ModeChanged { service, mode: Mode::Real }) => self.look(service.as_deref().and_then(Name::named)).await,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => self.look(None).await,
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    /// Has the results of `service` healed, or those of all, where there are any.
    async fn look(&self, service: Option<Name>) {
        for (name, collections) in healable() {
            if service.is_some_and(|service| service != name) || !self.providers.is_real(name) {
                continue;
            }
            for collection in collections {
                let now = Moment::from_ms(queue::Clock::default().now_ms());
                match self.store.has_degraded(collection, now).await {
                    Ok(true) => self.heal(name, service.is_some()).await,
                    Ok(false) => {}
                    Err(error) => tracing::debug!(%error, "it is not known whether there is something to heal"),
                }
            }
        }
    }

    /// One healing job a service, whoever pushes it. One that waits for the service goes on at once when that is back (`now`).
    async fn heal(&self, service: Name, now: bool) {
        if let Err(error) = self.push(service, now).await {
            tracing::warn!(service = service.as_str(), %error, "results of stand-ins are healed later");
        }
    }

    async fn push(&self, service: Name, now: bool) -> Result<(), queue::Error> {
        let payload = serde_json::to_string(&Maintenance::heal(service)).unwrap_or_default();
        let mut job = NewJob::new(Maintenance::KIND, payload);
        job.tenant = TENANT.to_owned();
        job.priority = Priority::Low;
        job.unique =
            Some(Unique { key: format!("heal {service}"), hold: None, on_conflict: OnConflict::ReturnExisting });
        match self.client.submit(job).await? {
            Pushed::New(id) => {
                tracing::info!(service = service.as_str(), job.id = %id, "results of stand-ins are to be healed")
            }
            Pushed::Existing(id) if now => match self.client.run_now(id).await {
                // It runs, or has just ended.
                Ok(_) | Err(queue::Error::Conflict(_) | queue::Error::NotFound) => {}
                Err(error) => return Err(error),
            },
            Pushed::Existing(_) => {}
        }
        Ok(())
    }
}

/// This time, give or take a quarter, so that replicas that started together do not act together.
fn about(time: Duration) -> Duration {
    let random = f64::from(RandomState::new().hash_one(0_u8) as u32) / f64::from(u32::MAX);
    time.mul_f64(0.75 + random / 2.0)
}
