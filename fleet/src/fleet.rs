//! The way in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    call::{Admission, BreakerState, Call, Health, Permit, Reported},
    connect::Redis,
    error::Error,
    event::Event,
    follower::follow,
    mode::{Mode, Switch},
    report::Report,
    scripts::Verdict,
    settings::{Settings, ms},
    shared::Shared,
    spending::{DAY_MS, Reserved},
    turn::{Begun, Turn},
    writer::write_reports,
};

/// Who is slower than this many events behind loses the oldest.
const EVENTS_KEPT: usize = 256;

/// Redis has so long to say whose turn it is.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// And so long to close a breaker.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);

/// What replicas share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

/// What all clones of a fleet have.
#[derive(Debug)]
struct Inner {
    settings: Settings,
    /// Absent: nothing is shared.
    shared: Option<Arc<Shared>>,
    events: broadcast::Sender<Event>,
    /// Names this process among the replicas.
    sender: String,
    n_calls: AtomicU64,
    /// The last clone that is dropped ends what runs in the background.
    stop: CancellationToken,
    _guard: DropGuard,
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
        Self::new(settings, |settings, sender, events, stop| {
            let shared = Shared::new(redis, settings, sender, events);
            redis.tasks().spawn("news", stop, follow(shared.clone(), redis.clone(), stop.clone()));
            redis.tasks().spawn("outbox of reports", stop, write_reports(shared.clone(), stop.clone()));
            Some(shared)
        })
    }

    /// Shares nothing: every call goes out, and nothing is limited, counted or switched. For tests, and until what is to be shared is
    /// known.
    #[must_use]
    pub fn alone() -> Self {
        Self::new(Settings::default(), |_, _, _, _| None)
    }

    fn new(
        settings: Settings,
        share: impl FnOnce(Settings, String, broadcast::Sender<Event>, &CancellationToken) -> Option<Arc<Shared>>,
    ) -> Self {
        let (events, stop) = (broadcast::Sender::new(EVENTS_KEPT), CancellationToken::new());
        let sender = uuid::Uuid::new_v4().simple().to_string();
        let shared = share(settings.clone(), sender.clone(), events.clone(), &stop);
        let _guard = stop.clone().drop_guard();
        Self { inner: Arc::new(Inner { settings, shared, events, sender, n_calls: AtomicU64::new(0), stop, _guard }) }
    }

    /// What the service was switched to at run time; `None`: what the variables say. Costs nothing.
    #[must_use]
    pub fn mode(&self, service: &str) -> Option<Mode> {
        self.inner.shared.as_ref()?.with_modes(|modes| modes.of(service)).flatten()
    }

    /// The switches now in force: at most one a service, and one of all (`service: None`) for those without.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn switches(&self) -> Result<Vec<Switch>, Error> {
        let Some(shared) = &self.inner.shared else { return Ok(Vec::new()) };
        shared.read_modes().await?;
        Ok(shared.modes().switches())
    }

    /// The last 100 switches, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub async fn changes(&self) -> Result<Vec<Switch>, Error> {
        match &self.inner.shared {
            Some(shared) => shared.changes().await,
            None => Ok(Vec::new()),
        }
    }

    /// Switches a service, or all of them (`None`; this ends the switches of single ones). Takes effect in every replica within
    /// 2 s and interrupts nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may have been switched or not.
    pub async fn switch(&self, service: Option<&str>, mode: Mode, by: &str, reason: &str) -> Result<(), Error> {
        let shared = self.inner.shared.as_ref().ok_or_else(|| Error::Unavailable("nothing is shared".to_owned()))?;
        let switch = Switch {
            service: service.map(str::to_owned),
            mode,
            since_ms: self.inner.settings.clock.now_ms(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        shared.switch(&switch).await
    }

    /// What happens from now on, in this replica and all others. An event may be lost while Redis is away, but no change of mode:
    /// this is told late.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Whether a call may be made now. One Redis call; when it takes longer than 100 ms or fails, the answer is [`Admission::Go`],
    /// and the log says so at most once a minute.
    pub async fn admit(&self, call: &Call<'_>) -> Admission {
        let inner = &self.inner;
        let now_ms = inner.settings.clock.now_ms();
        let name = format!("{}/{}", inner.sender, inner.n_calls.fetch_add(1, Ordering::Relaxed));
        // Before Redis is asked: whoever stops to wait for the answer has it taken out of those that are under way.
        let mut permit = Permit {
            account: call.account.to_owned(),
            service: call.service.to_owned(),
            admitted_ms: now_ms,
            requests: 0,
            units: 0,
            probe: None,
            under_way: call.in_flight.map(|_| format!("{name} {}", call.units)),
            level: None,
            outbox: inner.shared.as_ref().map(|shared| shared.outbox.clone()),
        };
        let under_way = permit.under_way.as_deref().unwrap_or_default();
        let verdict = match &inner.shared {
            Some(shared) => shared.admit(call, (&name, under_way), now_ms).await,
            None => None,
        };
        let refused = match verdict {
            Some(Verdict::Go { is_probe, units }) => {
                permit.probe = is_probe.then_some(name);
                (permit.requests, permit.units) = (u32::from(call.requests_per_min.is_some()), units);
                return Admission::Go(permit);
            }
            // Nothing was taken, as far as we know.
            None => return Admission::Go(permit),
            Some(Verdict::Wait(wait)) => Admission::Wait(wait),
            Some(Verdict::Full) => Admission::Full,
            Some(Verdict::Open { retry_in, reason }) => Admission::Open { retry_in, reason },
        };
        permit.outbox = None;
        refused
    }

    /// What came of a call. Costs nothing: reports are collected, and written in batches at most 200 ms later.
    pub fn report(&self, mut permit: Permit, outcome: Reported) {
        if let Some(outbox) = permit.outbox.take() {
            outbox.put(permit.report(outcome));
        }
    }

    /// Has nobody ask `account` for so long: what is behind it asked for that wait elsewhere. Reported as calls are.
    pub fn pause(&self, service: &str, account: &str, wait: Duration) {
        let Some(shared) = &self.inner.shared else { return };
        let mut nothing = Permit {
            account: account.to_owned(),
            service: service.to_owned(),
            admitted_ms: self.inner.settings.clock.now_ms(),
            requests: 0,
            units: 0,
            probe: None,
            under_way: None,
            level: None,
            outbox: None,
        };
        shared.outbox.put(Report { pause_ms: ms(wait), ..nothing.report(Reported::Unused) });
    }

    /// Lets calls to `account` through again, whose breaker is open or half open: somebody has seen that it works. What calls of this
    /// process came to by now is written first. False when it was closed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn release(&self, service: &str, account: &str) -> Result<bool, Error> {
        let Some(shared) = &self.inner.shared else { return Ok(false) };
        shared.outbox.flush().await;
        let late = |_| Err(Error::Unavailable("no answer in time".to_owned()));
        timeout(RELEASE_WITHIN, shared.release(service, account)).await.unwrap_or_else(late)
    }

    /// How the accounts of a service are: the 100 that were used last.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        match &self.inner.shared {
            Some(shared) => shared.health(service).await,
            None => Ok(Health { breaker: BreakerState::Closed, calls_1h: 0, succeeded_1h: 0 }),
        }
    }

    /// Waits for nothing: whether it is the turn of `ticket` at `place`, where one begins after the other, in all replicas together, `pace`
    /// after the one before and not before its end (or `busy` after its beginning). A ticket that comes again keeps its time. Redis has a
    /// second to answer: that is less than most paces.
    pub async fn turn(&self, place: &str, ticket: &str, pace: Duration, busy: Duration) -> Turn {
        let Some(shared) = &self.inner.shared else { return Turn::Unknown(None) };
        let within = self.inner.settings.answer_within.max(TURN_WITHIN);
        let unknown = || Turn::Unknown(Some(Begun::new(shared, place, ticket)));
        match timeout(within, shared.turn(place, ticket, pace, busy)).await {
            Ok(Ok(Some(wait))) => Turn::Wait(wait),
            Ok(Ok(None)) => Turn::Begun(Begun::new(shared, place, ticket)),
            Ok(Err(error)) => {
                tracing::debug!(%error, place, "no turns are kept");
                unknown()
            }
            Err(_) => unknown(),
        }
    }

    /// The text that some replica [kept](Self::keep) under this name, if its time is not over.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn kept(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(shared) = &self.inner.shared else { return Ok(None) };
        let late = |_| Err(Error::Unavailable("no answer in time".to_owned()));
        timeout(self.inner.settings.answer_within.max(TURN_WITHIN), shared.kept(name)).await.unwrap_or_else(late)
    }

    /// Keeps a small text for all replicas, for so long. Whoever may read Redis reads it: seal what is secret.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may be kept or not.
    pub async fn keep(&self, name: &str, text: &str, lasts: Duration) -> Result<(), Error> {
        let Some(shared) = &self.inner.shared else { return Ok(()) };
        let late = |_| Err(Error::Unavailable("no answer in time".to_owned()));
        timeout(self.inner.settings.answer_within.max(TURN_WITHIN), shared.keep(name, text, lasts))
            .await
            .unwrap_or_else(late)
    }

    /// How many calls of a service one account had in the last hour, and how many of them were answered.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn calls_1h(&self, service: &str, account: &str) -> Result<(u64, u64), Error> {
        let Some(shared) = &self.inner.shared else { return Ok((0, 0)) };
        let late = |_| Err(Error::Unavailable("no answer in time".to_owned()));
        timeout(self.inner.settings.answer_within, shared.calls_1h(service, account)).await.unwrap_or_else(late)
    }

    /// Sets money aside for a call, if the tenant's spending of this UTC day stays within the cap; of many that ask at once, no more
    /// than fit get it.
    ///
    /// # Errors
    /// [`Error::OverCap`], [`Error::Unavailable`].
    pub async fn reserve(&self, tenant: &str, micro_usd: u64, cap_micro_usd: u64) -> Result<Reserved, Error> {
        let day = self.inner.settings.clock.now_ms() / DAY_MS;
        let reserved = Reserved { tenant: tenant.to_owned(), day, micro_usd };
        match &self.inner.shared {
            Some(shared) => shared.reserve(reserved, cap_micro_usd).await,
            None => Ok(reserved),
        }
    }

    /// Replaces what was set aside by what the call really cost; 0 gives it back.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it may be settled or not; if not, it counts as spent until its day is over.
    pub async fn settle(&self, reserved: Reserved, actual_micro_usd: u64) -> Result<(), Error> {
        match &self.inner.shared {
            Some(shared) => shared.settle(&reserved, actual_micro_usd).await,
            None => Ok(()),
        }
    }

    /// Gives back what was set aside for a call that was never ended. Does not wait for Redis: [`Self::flush`] does.
    pub fn give_back(&self, reserved: Reserved) {
        if let Some(shared) = &self.inner.shared {
            shared.give_back(reserved);
        }
    }

    /// Waits until all reports are written and all money is given back; gives up after 3 s.
    pub async fn flush(&self) {
        if let Some(shared) = &self.inner.shared {
            tokio::join!(shared.outbox.flush(), shared.all_given_back());
        }
    }

    /// Waits until all reports are written, 3 s at most, and ends what runs in the background: the mode is no longer followed. Without
    /// this the last clone that is dropped has the reports written in the background.
    pub async fn close(&self) {
        self.flush().await;
        self.inner.stop.cancel();
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
