//! The way in.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::broadcast;

use crate::{
    alone::Alone,
    call::{Admission, Call, Health, Permit, Report, Reported},
    connect::Redis,
    error::Error,
    limiter::Ask,
    mode::{Mode, Modes, Switch},
    settings::Settings,
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
    store: Alone,
    modes: RwLock<Modes>,
    events: broadcast::Sender<Event>,
    /// Names this process's probes.
    sender: String,
    n_calls: AtomicU64,
}

/// What the store says of a call.
pub(crate) enum Verdict {
    Go { is_probe: bool },
    Wait(Duration),
    Open { retry_in: Duration, reason: String },
}

impl Fleet {
    /// Shares what is in this Redis, with the default times. Does not wait for Redis. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(redis: &Redis) -> Self {
        Self::with_settings(redis, Settings::default())
    }

    /// The same with these times.
    #[must_use]
    pub fn with_settings(_redis: &Redis, settings: Settings) -> Self {
        Self::alone_with(settings)
    }

    /// Without Redis, for tests and tools: the same rules, kept in this process.
    #[must_use]
    pub fn alone() -> Self {
        Self::alone_with(Settings::default())
    }

    /// The same with these times.
    #[must_use]
    pub fn alone_with(settings: Settings) -> Self {
        let backend = Backend {
            settings,
            store: Alone::default(),
            modes: RwLock::default(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            sender: uuid::Uuid::new_v4().simple().to_string(),
            n_calls: AtomicU64::new(0),
        };
        Self { backend: Arc::new(backend) }
    }

    /// What the service was switched to at run time; `None`: what the variables say. Costs nothing.
    #[must_use]
    pub fn mode(&self, service: &str) -> Option<Mode> {
        self.backend.modes.read().unwrap_or_else(PoisonError::into_inner).of(service)
    }

    /// The switches now in force: at most one a service, and one of all (`service: None`) for those without.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn switches(&self) -> Result<Vec<Switch>, Error> {
        Ok(self.backend.modes.read().unwrap_or_else(PoisonError::into_inner).switches())
    }

    /// The last 100 switches, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn changes(&self) -> Result<Vec<Switch>, Error> {
        Ok(self.backend.store.changes())
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
        self.backend.store.switch(switch.clone());
        self.backend.modes.write().unwrap_or_else(PoisonError::into_inner).apply(switch);
        let _ = self.backend.events.send(Event::ModeChanged { service: service.map(str::to_owned), mode });
        Ok(())
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
        let probe = format!("{}/{}", backend.sender, backend.n_calls.fetch_add(1, Ordering::Relaxed));
        match backend.store.admit(call, &probe, now_ms, &backend.settings) {
            Verdict::Go { is_probe } => Admission::Go(Permit {
                account: call.account.to_owned(),
                service: call.service.to_owned(),
                admitted_ms: now_ms,
                requests: u32::from(call.requests_per_min.is_some()),
                tokens: Ask::new(call.tokens, call.tokens_per_min).map_or(0, |ask| ask.need),
                probe: is_probe.then_some(probe),
                backend: Some(backend.clone()),
            }),
            Verdict::Wait(wait) => Admission::Wait(wait),
            Verdict::Open { retry_in, reason } => Admission::Open { retry_in, reason },
        }
    }

    /// What came of a call. Costs nothing: reports are collected, and written in batches at most 200 ms later.
    pub fn report(&self, mut permit: Permit, outcome: Reported) {
        permit.backend = None;
        self.backend.report(Report::new(&mut permit, outcome));
    }

    /// How the accounts of a service are.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        Ok(self.backend.store.health(service, self.backend.settings.clock.now_ms()))
    }

    /// Sets money aside for a call, if the tenant's spending of this UTC day stays within the cap; of many that ask at once, no more
    /// than fit get it.
    ///
    /// # Errors
    /// [`Error::OverCap`], [`Error::Unavailable`].
    pub async fn reserve(&self, tenant: &str, micro_usd: u64, cap_micro_usd: u64) -> Result<Reserved, Error> {
        let day = self.backend.settings.clock.now_ms() / DAY_MS;
        let reserved = Reserved { tenant: tenant.to_owned(), day, micro_usd };
        self.backend.store.reserve(reserved, cap_micro_usd)
    }

    /// Replaces what was set aside by what the call really cost; 0 gives it back.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may be settled or not; if not, it counts as spent until its day is over.
    pub async fn settle(&self, reserved: Reserved, actual_micro_usd: u64) -> Result<(), Error> {
        self.backend.store.settle(&reserved, actual_micro_usd);
        Ok(())
    }

    /// Writes what is not written yet.
    pub async fn flush(&self) {}

    /// Writes what is not written yet, and ends what runs in the background.
    pub async fn close(&self) {}
}

impl Backend {
    pub(crate) fn report(&self, mut report: Report) {
        let now_ms = self.settings.clock.now_ms();
        report.at_ms = now_ms;
        if let Some(event) = self.store.report(&report, now_ms, &self.settings) {
            let _ = self.events.send(event);
        }
    }
}
