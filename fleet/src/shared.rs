//! What replicas share, in Redis.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use redis::AsyncCommands;
use tokio::{sync::broadcast, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    call::{BreakerState, Call, Health},
    connect::Redis,
    error::Error,
    event::Event,
    keys,
    mode::{Modes, Switch},
    once::OnceAMinute,
    outbox::{FLUSH_WITHIN, Outbox},
    report::Report,
    scripts::{Server, Verdict},
    settings::{Settings, ms},
    spending::Reserved,
};

/// A service's health is that of so many accounts, those used last.
const MOST_ACCOUNTS: isize = 100;
const MINUTE_MS: u64 = 60_000;
const HOUR_MINUTES: u64 = 60;

/// What replicas share, in Redis.
#[derive(Debug)]
pub(crate) struct Shared {
    server: Server,
    settings: Settings,
    sender: String,
    /// As it was last read; `None`: not yet.
    modes: RwLock<Option<Modes>>,
    /// Held while it is read, so that what was read later is kept.
    reading: tokio::sync::Mutex<()>,
    events: broadcast::Sender<Event>,
    pub(crate) outbox: Arc<Outbox>,
    /// Money on its way back.
    returns: TaskTracker,
    slow: OnceAMinute,
}

impl Shared {
    pub(crate) const ACCOUNT_SAID_AGAIN_MS: u64 = 10 * 60 * 1000;

    pub(crate) fn new(
        redis: &Redis,
        settings: Settings,
        sender: String,
        events: broadcast::Sender<Event>,
    ) -> Arc<Self> {
        Arc::new(Self {
            server: Server { connection: redis.connection(), prefix: redis.prefix().to_owned() },
            sender,
            modes: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            events,
            outbox: Arc::new(Outbox::new(settings.clock.clone())),
            settings,
            returns: TaskTracker::new(),
            slow: OnceAMinute::default(),
        })
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.settings.clock.now_ms()
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    pub(crate) fn modes(&self) -> Modes {
        self.modes.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    pub(crate) fn with_modes<T>(&self, look: impl FnOnce(&Modes) -> T) -> Option<T> {
        self.modes.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    /// Sets the clock after the server's.
    pub(crate) async fn set_clock(&self) -> Result<(), Error> {
        let asked = Instant::now();
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut self.server.connection.clone()).await?;
        self.settings.clock.follow(seconds * 1000 + micros / 1000, asked.elapsed());
        Ok(())
    }

    /// Reads what is in force, and tells of what changed.
    pub(crate) async fn read_modes(&self) -> Result<(), Error> {
        let _reading = self.reading.lock().await;
        let key = keys::modes(&self.server.prefix);
        let switches: HashMap<String, String> = self.server.connection.clone().hgetall(key).await?;
        let after = Modes::new(switches.values().filter_map(|json| readable(json)));
        let before = self.modes.write().unwrap_or_else(PoisonError::into_inner).replace(after.clone());
        let known = before.clone().unwrap_or_default();
        if after.is_empty() && !known.is_empty() {
            tracing::warn!("redis has lost which services were switched: what the variables say is in force again");
        }
        for switch in after.news(&known) {
            let Switch { service, mode, by, reason, .. } = switch;
            let named = service.as_deref().unwrap_or("all services");
            tracing::info!(service = named, by, reason, "{named}: switched to {mode} at run time");
            // What was in force before this process is no news.
            if before.is_some() {
                self.tell(Event::ModeChanged { service: service.clone(), mode: *mode });
            }
        }
        Ok(())
    }

    pub(crate) async fn changes(&self) -> Result<Vec<Switch>, Error> {
        let key = keys::mode_changes(&self.server.prefix);
        let changes: Vec<String> = self.server.connection.clone().lrange(key, 0, -1).await?;
        Ok(changes.iter().filter_map(|json| readable(json)).collect())
    }

    pub(crate) async fn switch(&self, switch: &Switch) -> Result<(), Error> {
        self.server.switch(switch).await?;
        self.read_modes().await
    }

    /// `None`: Redis did not say.
    pub(crate) async fn admit(&self, call: &Call<'_>, names: (&str, &str), now_ms: u64) -> Option<Verdict> {
        let asked = timeout(self.settings.answer_within, self.server.admit(call, names, now_ms, &self.settings)).await;
        let error = match asked {
            Ok(Ok(verdict)) => return Some(verdict),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer from redis within {} ms", self.settings.answer_within.as_millis()),
        };
        if self.slow.now() {
            tracing::warn!(error, "calls to outside services go out without shared limits and breakers for now");
        }
        None
    }

    pub(crate) async fn write(&self, account: &str, number: u64, reports: &[Report]) -> Result<(), Error> {
        self.server.report(account, (&self.sender, number), reports, self.now_ms(), &self.settings).await
    }

    pub(crate) async fn release(&self, service: &str, account: &str) -> Result<bool, Error> {
        self.server.release(service, account, self.now_ms()).await
    }

    pub(crate) async fn add_account(&self, service: &str, account: &str) -> Result<(), Error> {
        self.server.used(service, account, self.now_ms()).await
    }

    pub(crate) async fn health(&self, service: &str) -> Result<Health, Error> {
        let key = keys::accounts(&self.server.prefix, service);
        let accounts: Vec<String> = self.server.connection.clone().zrevrange(key, 0, MOST_ACCOUNTS - 1).await?;
        let now_ms = self.now_ms();
        let (mut states, mut calls_1h, mut succeeded_1h) = (Vec::new(), 0, 0);
        for account in &accounts {
            let (until, reason, calls, answered) =
                self.server.health(account, service, now_ms / MINUTE_MS, HOUR_MINUTES).await?;
            calls_1h += calls;
            succeeded_1h += answered;
            let state = match until {
                0 => BreakerState::Closed,
                until if until > now_ms => BreakerState::Open { until, reason },
                _ => BreakerState::HalfOpen,
            };
            states.push((account.as_str(), state));
        }
        Ok(Health { breaker: worst(states.into_iter()), calls_1h, succeeded_1h })
    }

    pub(crate) async fn turn(
        &self,
        place: &str,
        ticket: &str,
        pace: Duration,
        busy: Duration,
    ) -> Result<Option<Duration>, Error> {
        self.server.turn(place, ticket, self.now_ms(), pace, busy).await
    }

    /// In the background: the turn ends with what is dropped.
    pub(crate) fn leave(self: &Arc<Self>, place: String, ticket: String) {
        // Without a runtime the process ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = Arc::clone(self);
        runtime.spawn(async move {
            if let Err(error) = shared.server.leave(&place, &ticket).await {
                tracing::warn!(%error, place, "a turn that has ended is waited for a while longer");
            }
        });
    }

    pub(crate) async fn kept(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.server.connection.clone().get(keys::kept(&self.server.prefix, name)).await?)
    }

    pub(crate) async fn keep(&self, name: &str, text: &str, lasts: Duration) -> Result<(), Error> {
        let key = keys::kept(&self.server.prefix, name);
        Ok(self.server.connection.clone().pset_ex(key, text, ms(lasts).max(1)).await?)
    }

    pub(crate) async fn calls_1h(&self, service: &str, account: &str) -> Result<(u64, u64), Error> {
        let minute = self.now_ms() / MINUTE_MS;
        let (_, _, calls, answered) = self.server.health(account, service, minute, HOUR_MINUTES).await?;
        Ok((calls, answered))
    }

    pub(crate) async fn reserve(&self, reserved: Reserved, cap_micro_usd: u64) -> Result<Reserved, Error> {
        let Reserved { tenant, day, micro_usd } = &reserved;
        let asked = i64::try_from(*micro_usd).unwrap_or(i64::MAX);
        let (added, spent_micro_usd) = self.server.spend(tenant, *day, asked, Some(cap_micro_usd)).await?;
        if added {
            return Ok(reserved);
        }
        let asked_micro_usd = reserved.micro_usd;
        Err(Error::OverCap { tenant: reserved.tenant, spent_micro_usd, asked_micro_usd, cap_micro_usd })
    }

    /// In the background: whoever gives back is being dropped.
    pub(crate) fn give_back(self: &Arc<Self>, reserved: Reserved) {
        // Without a runtime the process ends.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let shared = Arc::clone(self);
        let task = async move {
            if let Err(error) = shared.settle(&reserved, 0).await {
                tracing::warn!(%error, "money of a call that was not made counts as spent until the day is over");
            }
        };
        self.returns.spawn_on(task, &runtime);
    }

    /// Waits until the money that is on its way is back, or a few seconds.
    pub(crate) async fn all_given_back(&self) {
        self.returns.close();
        if timeout(FLUSH_WITHIN, self.returns.wait()).await.is_err() {
            tracing::warn!("redis did not take back the money of the last calls within {} s", FLUSH_WITHIN.as_secs());
        }
        self.returns.reopen();
    }

    pub(crate) async fn settle(&self, reserved: &Reserved, actual_micro_usd: u64) -> Result<(), Error> {
        let difference = i128::from(actual_micro_usd) - i128::from(reserved.micro_usd);
        let difference = i64::try_from(difference).unwrap_or(i64::MAX);
        self.server.spend(&reserved.tenant, reserved.day, difference, None).await.map(|_| ())
    }
}

/// One that a newer release wrote, or that is damaged, does not hide the others.
fn readable(json: &str) -> Option<Switch> {
    serde_json::from_str(json)
        .inspect_err(
            |error| tracing::warn!(%error, "a switch of the mode in redis cannot be read and is left out: {json}"),
        )
        .ok()
}

/// The state of the account that is worst off, with its name in the reason.
fn worst<'a>(states: impl Iterator<Item = (&'a str, BreakerState)>) -> BreakerState {
    let named = states.map(|(account, state)| match state {
        BreakerState::Open { until, reason } => BreakerState::Open { until, reason: format!("{account}: {reason}") },
        other => other,
    });
    let badness = |state: &BreakerState| match state {
        BreakerState::Closed => (0, 0),
        BreakerState::HalfOpen => (1, 0),
        BreakerState::Open { until, .. } => (2, *until),
    };
    named.max_by_key(badness).unwrap_or(BreakerState::Closed)
}
