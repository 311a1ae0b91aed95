//! The way in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    alone::Alone,
    call::{Admission, Call, Health, Permit, Report, Reported},
    connect::Redis,
    error::Error,
    limiter::Ask,
    mode::{Mode, Switch},
    news, outbox,
    settings::Settings,
    shared::Shared,
    spending::{DAY_MS, Reserved},
};

/// Who is slower than this many events behind loses the oldest.
const EVENTS_KEPT: usize = 256;

/// What happened, in this replica or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody switched between mock and real.
    ModeChanged {
        /// The service; `None` is all of them.
        service: Option<String>,
        /// What it is now.
        mode: Mode,
    },
    /// Calls to an account are stopped.
    BreakerOpened {
        /// The account.
        account: String,
        /// Why.
        reason: String,
    },
    /// An account's service works again.
    BreakerClosed {
        /// The service whose call was answered.
        service: String,
        /// The account.
        account: String,
    },
}

/// What replicas share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    backend: Arc<Backend>,
}

/// What all clones of a fleet have.
#[derive(Debug)]
pub(crate) struct Backend {
    settings: Settings,
    store: Store,
    events: broadcast::Sender<Event>,
    /// Names this process among the replicas.
    sender: String,
    n_calls: AtomicU64,
}

#[derive(Debug)]
enum Store {
    Alone(Alone),
    Shared {
        shared: Arc<Shared>,
        /// The last clone that is dropped ends what runs in the background.
        stop: CancellationToken,
        _guard: DropGuard,
    },
}

/// What the store says of a call.
pub(crate) enum Verdict {
    Go { is_probe: bool },
    Wait(Duration),
    Open { retry_in: Duration, reason: String },
}

impl Fleet {
    /// Shares what is in this Redis, with the default times. Does not wait for Redis: until it has answered first, [`Self::mode`] knows
    /// of no switch. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(redis: &Redis) -> Self {
        Self::with_settings(redis, Settings::default())
    }

    /// The same with these times.
    #[must_use]
    pub fn with_settings(redis: &Redis, settings: Settings) -> Self {
        Self::new(settings, |settings, sender, events| {
            let (shared, stop) = (Shared::new(redis, settings, sender, events), CancellationToken::new());
            redis.tasks().spawn("news", &stop, news::follow(shared.clone(), redis.clone(), stop.clone()));
            redis.tasks().spawn("outbox of reports", &stop, outbox::write(shared.clone(), stop.clone()));
            Store::Shared { shared, stop: stop.clone(), _guard: stop.drop_guard() }
        })
    }

    /// Without Redis, for tests and tools: the same rules, kept in this process.
    #[must_use]
    pub fn alone() -> Self {
        Self::alone_with(Settings::default())
    }

    /// The same with these times.
    #[must_use]
    pub fn alone_with(settings: Settings) -> Self {
        Self::new(settings, |_, _, _| Store::Alone(Alone::default()))
    }

    fn new(settings: Settings, store: impl FnOnce(Settings, String, broadcast::Sender<Event>) -> Store) -> Self {
        let events = broadcast::Sender::new(EVENTS_KEPT);
        let sender = uuid::Uuid::new_v4().simple().to_string();
        let store = store(settings.clone(), sender.clone(), events.clone());
        Self { backend: Arc::new(Backend { settings, store, events, sender, n_calls: AtomicU64::new(0) }) }
    }

    /// What the service was switched to at run time; `None`: what the variables say. Costs nothing.
    #[must_use]
    pub fn mode(&self, service: &str) -> Option<Mode> {
        match &self.backend.store {
            Store::Alone(alone) => alone.modes().of(service),
            Store::Shared { shared, .. } => shared.with_modes(|modes| modes.of(service)).flatten(),
        }
    }

    /// The switches now in force: at most one a service, and one of all (`service: None`) for those without.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn switches(&self) -> Result<Vec<Switch>, Error> {
        Ok(match &self.backend.store {
            Store::Alone(alone) => alone.modes().switches(),
            Store::Shared { shared, .. } => {
                shared.read_modes().await?;
                shared.modes().switches()
            }
        })
    }

    /// The last 100 switches, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn changes(&self) -> Result<Vec<Switch>, Error> {
        match &self.backend.store {
            Store::Alone(alone) => Ok(alone.changes()),
            Store::Shared { shared, .. } => shared.changes().await,
        }
    }

    /// Switches a service, or all of them (`None`; this ends the switches of single ones). Takes effect in every replica within
    /// 2 s and interrupts nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may have been switched or not.
    pub async fn switch(&self, service: Option<&str>, mode: Mode, by: &str, reason: &str) -> Result<(), Error> {
        let switch = Switch {
            service: service.map(str::to_owned),
            mode,
            since_ms: self.backend.settings.clock.now_ms(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        match &self.backend.store {
            Store::Alone(alone) => {
                alone.switch(switch);
                self.backend.tell(Event::ModeChanged { service: service.map(str::to_owned), mode });
                Ok(())
            }
            Store::Shared { shared, .. } => shared.switch(&switch).await,
        }
    }

    /// What happens from now on, in this replica and all others. An event may be lost while Redis is away, but no change of mode:
    /// this is told late.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.backend.events.subscribe()
    }

    /// Whether a call may be made now. One Redis call; when it takes longer than 100 ms or fails, the answer is [`Admission::Go`],
    /// and the log says so at most once a minute.
    pub async fn admit(&self, call: &Call<'_>) -> Admission {
        let backend = &self.backend;
        let now_ms = backend.settings.clock.now_ms();
        let name = format!("{}/{}", backend.sender, backend.n_calls.fetch_add(1, Ordering::Relaxed));
        let verdict = match &backend.store {
            Store::Alone(alone) => Some(alone.admit(call, &name, now_ms, &backend.settings)),
            Store::Shared { shared, .. } => shared.admit(call, &name, now_ms).await,
        };
        let mut permit = Permit {
            account: call.account.to_owned(),
            service: call.service.to_owned(),
            admitted_ms: now_ms,
            requests: u32::from(call.requests_per_min.is_some()),
            tokens: Ask::new(call.tokens, call.tokens_per_min).map_or(0, |ask| ask.need),
            probe: None,
            backend: Some(backend.clone()),
        };
        match verdict {
            Some(Verdict::Go { is_probe }) => {
                permit.probe = is_probe.then_some(name);
                Admission::Go(permit)
            }
            Some(Verdict::Wait(wait)) => Admission::Wait(wait),
            Some(Verdict::Open { retry_in, reason }) => Admission::Open { retry_in, reason },
            None => {
                // Nothing was taken, as far as we know.
                (permit.requests, permit.tokens) = (0, 0);
                Admission::Go(permit)
            }
        }
    }

    /// What came of a call. Costs nothing: reports are collected, and written in batches at most 200 ms later.
    pub fn report(&self, mut permit: Permit, outcome: Reported) {
        permit.backend = None;
        self.backend.report(Report::new(&mut permit, outcome));
    }

    /// How the accounts of a service are: the 100 that were used last.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        match &self.backend.store {
            Store::Alone(alone) => Ok(alone.health(service, self.backend.settings.clock.now_ms())),
            Store::Shared { shared, .. } => shared.health(service).await,
        }
    }

    /// Sets money aside for a call, if the tenant's spending of this UTC day stays within the cap; of many that ask at once, no more
    /// than fit get it.
    ///
    /// # Errors
    /// [`Error::OverCap`], [`Error::Unavailable`].
    pub async fn reserve(&self, tenant: &str, micro_usd: u64, cap_micro_usd: u64) -> Result<Reserved, Error> {
        let day = self.backend.settings.clock.now_ms() / DAY_MS;
        let reserved = Reserved { tenant: tenant.to_owned(), day, micro_usd };
        match &self.backend.store {
            Store::Alone(alone) => alone.reserve(reserved, cap_micro_usd),
            Store::Shared { shared, .. } => shared.reserve(reserved, cap_micro_usd).await,
        }
    }

    /// Replaces what was set aside by what the call really cost; 0 gives it back.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may be settled or not; if not, it counts as spent until its day is over.
    pub async fn settle(&self, reserved: Reserved, actual_micro_usd: u64) -> Result<(), Error> {
        match &self.backend.store {
            Store::Alone(alone) => alone.settle(&reserved, actual_micro_usd),
            Store::Shared { shared, .. } => shared.settle(&reserved, actual_micro_usd).await?,
        }
        Ok(())
    }

    /// Gives back what was set aside for a call that was never ended. Does not wait for Redis: [`Self::flush`] does.
    pub fn give_back(&self, reserved: Reserved) {
        match &self.backend.store {
            Store::Alone(alone) => alone.settle(&reserved, 0),
            Store::Shared { shared, .. } => shared.give_back(reserved),
        }
    }

    /// Waits until all reports are written and all money is given back; gives up after 3 s.
    pub async fn flush(&self) {
        if let Store::Shared { shared, .. } = &self.backend.store {
            tokio::join!(shared.outbox.flush(), shared.all_given_back());
        }
    }

    /// Waits until all reports are written, 3 s at most, and ends what runs in the background: the mode is no longer followed. Without
    /// this the last clone that is dropped has the reports written in the background.
    pub async fn close(&self) {
        self.flush().await;
        if let Store::Shared { stop, .. } = &self.backend.store {
            stop.cancel();
        }
    }
}

impl Backend {
    fn tell(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    pub(crate) fn report(&self, mut report: Report) {
        report.at_ms = self.settings.clock.now_ms();
        match &self.store {
            Store::Alone(alone) => {
                if let Some(event) = alone.report(&report, report.at_ms, &self.settings) {
                    self.tell(event);
                }
            }
            Store::Shared { shared, .. } => shared.outbox.put(report),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_told() {
        for task in ["news", "outbox of reports"] {
            let redis = Redis::open("redis://127.0.0.1:1", "unit").unwrap();
            let fleet = Fleet::start(&redis);
            redis.tasks().plant_panic(task);
            assert_eq!(redis.tasks().ended_early().await.task, task);
            fleet.close().await;
        }
    }

    #[tokio::test]
    async fn a_fleet_that_is_closed_ends_its_tasks_as_it_should() {
        let redis = Redis::open("redis://127.0.0.1:1", "unit").unwrap();
        let fleet = Fleet::start(&redis);
        fleet.close().await;
        drop(fleet);
        tokio::task::yield_now().await;
        assert_eq!(redis.tasks().check(), Ok(()));
    }
}
