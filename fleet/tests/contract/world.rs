//! What every test has: a prefix of its own, a clock that it moves, and as many replicas as it wants.

use std::time::Duration;

use fleet::{Admission, BreakerState, Call, Clock, Event, Fleet, Mode, Permit, Redis, Reported, Settings};
use servers::{RedisKind, wait_until};
use tokio::sync::broadcast::Receiver;

/// The first millisecond of a day and of a minute.
pub(crate) const START_MS: u64 = 1_760_054_400_000;
pub(crate) const CALL: Call<'static> =
    Call { service: "ai", account: "openai", requests_per_min: None, units_per_min: None, units: 0, in_flight: None };

/// Shorter than the time after which a replica looks without being told.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(6);
/// A service that is switched only to see who hears of it.
const NOISE: &str = "backup";

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) url: String,
    pub(crate) prefix: String,
}

impl World {
    pub(crate) fn on(kind: RedisKind) -> Option<Self> {
        Some(Self::at(servers::redis(kind)?))
    }

    pub(crate) fn at(url: &str) -> Self {
        let clock = Clock::simulated(START_MS);
        Self { clock, url: url.to_owned(), prefix: servers::prefix() }
    }

    /// A further replica.
    pub(crate) fn replica(&self) -> Fleet {
        Fleet::with_settings(&self.redis(), settings(&self.clock))
    }

    pub(crate) fn redis(&self) -> Redis {
        Redis::open_within(&self.url, &self.prefix, servers::PATIENCE).unwrap()
    }

    /// Waits until these replicas are told what others do.
    pub(crate) async fn connected(&self, replicas: &[&Fleet]) {
        // Asking or switching makes a replica look, so another one switches.
        self.replica().switch(Some(NOISE), Mode::Mock, "test", "").await.unwrap();
        for fleet in replicas {
            wait_until("it follows", TOLD_WITHIN, async || fleet.mode(NOISE).is_some()).await;
        }
    }

    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(seconds * 1000);
    }

    /// Calls that fail, one after the other, until the breaker is open.
    pub(crate) async fn break_down(&self, fleet: &Fleet) {
        for _ in 0..5 {
            report(fleet, go(fleet).await, failed()).await;
        }
    }
}

fn settings(clock: &Clock) -> Settings {
    // A machine that builds beside may be slow: that is no reason to let all calls go.
    Settings { clock: clock.clone(), answer_within: Duration::from_secs(20), ..Settings::default() }
}

pub(crate) async fn go(fleet: &Fleet) -> Permit {
    permit(fleet.admit(&CALL).await)
}

pub(crate) fn permit(admission: Admission) -> Permit {
    match admission {
        Admission::Go(permit) => permit,
        other => panic!("the call is let through, but: {other:?}"),
    }
}

/// Reports and waits until it counts.
pub(crate) async fn report(fleet: &Fleet, permit: Permit, reported: Reported) {
    fleet.report(permit, reported);
    fleet.flush().await;
}

pub(crate) fn answered() -> Reported {
    Reported::Answered { units: None, pause: None }
}

pub(crate) fn failed() -> Reported {
    Reported::Failed { reason: "500".to_owned() }
}

pub(crate) fn parked() -> Reported {
    Reported::Parked { reason: "bad key".to_owned() }
}

/// For how many milliseconds the breaker is open yet; 0 when it is not.
pub(crate) async fn open_ms(fleet: &Fleet) -> u128 {
    match fleet.admit(&CALL).await {
        Admission::Open { retry_in, .. } => retry_in.as_millis(),
        Admission::Go(permit) => {
            report(fleet, permit, Reported::Unused).await;
            0
        }
        other => panic!("the breaker is asked for, but: {other:?}"),
    }
}

pub(crate) async fn is_closed(fleet: &Fleet) -> bool {
    fleet.health("ai").await.unwrap().breaker == BreakerState::Closed
}

fn is_noise(event: &Event) -> bool {
    matches!(event, Event::ModeChanged { service: Some(service), .. } if service == NOISE)
}

/// The next event, within a time in which only a message can have brought it.
pub(crate) async fn next(events: &mut Receiver<Event>) -> Event {
    let next = async {
        loop {
            let event = events.recv().await.unwrap();
            if !is_noise(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(TOLD_WITHIN, next).await.expect("an event comes")
}

pub(crate) fn nothing_more(events: &mut Receiver<Event>) -> bool {
    while let Ok(event) = events.try_recv() {
        if !is_noise(&event) {
            return false;
        }
    }
    true
}

/// A test that hangs fails instead of holding up the run.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test ends within two minutes");
}
