//! When calls to an account are stopped, and when they go on. `scripts/admit.lua` and `scripts/report.lua` have the same rules.
//!
//! A breaker opens when of the calls of the last minute at least 5 and at least half failed, or at once when the account is
//! unusable. When its time is over it is half open: one call, the probe, goes through. If the probe is answered, the breaker
//! closes; if it fails, the breaker opens again for twice as long.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    call::{BreakerState, Outcome, Report},
    settings::{Settings, ms},
};

/// The window has so many buckets.
pub(crate) const BUCKETS: u64 = 6;
/// Width of a bucket of the window.
pub(crate) const BUCKET_MS: u64 = 10_000;
/// Fewer failures in the window do not open it.
pub(crate) const FAILURES_AT_LEAST: u64 = 5;
/// While the probe is under way others ask again after so long.
pub(crate) const PROBE_ASK_AGAIN_MS: u64 = 5_000;

/// Why it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Failures,
    Parked,
}

#[derive(Debug)]
struct Open {
    cause: Cause,
    reason: String,
    until_ms: u64,
    length_ms: u64,
    /// Its name, and the end of its lease.
    probe: Option<(String, u64)>,
}

/// The breaker of one account.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    open: Option<Open>,
    /// What failed of the calls that were admitted before then says nothing about now.
    closed_at_ms: u64,
    /// Answered and failed calls by bucket.
    window: BTreeMap<u64, (u64, u64)>,
}

/// What a breaker lets through.
pub(crate) enum Gate {
    Closed,
    /// A probe.
    HalfOpen,
    Open {
        retry_in: Duration,
        reason: String,
    },
}

/// What a report changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened,
    Closed,
}

impl Breaker {
    pub(crate) fn gate(&self, now_ms: u64) -> Gate {
        let Some(open) = &self.open else { return Gate::Closed };
        let wait_ms = if now_ms < open.until_ms {
            open.until_ms - now_ms
        } else {
            let lease_end_ms = open.probe.as_ref().map_or(0, |(_, lease_end_ms)| *lease_end_ms);
            lease_end_ms.saturating_sub(now_ms).min(PROBE_ASK_AGAIN_MS)
        };
        if wait_ms == 0 {
            return Gate::HalfOpen;
        }
        Gate::Open { retry_in: Duration::from_millis(wait_ms), reason: open.reason.clone() }
    }

    pub(crate) fn send_probe(&mut self, name: &str, lease_end_ms: u64) {
        if let Some(open) = &mut self.open {
            open.probe = Some((name.to_owned(), lease_end_ms));
        }
    }

    pub(crate) fn state(&self, now_ms: u64) -> BreakerState {
        match &self.open {
            None => BreakerState::Closed,
            Some(open) if now_ms < open.until_ms => {
                BreakerState::Open { until: open.until_ms, reason: open.reason.clone() }
            }
            Some(_) => BreakerState::HalfOpen,
        }
    }

    pub(crate) fn report(&mut self, report: &Report, now_ms: u64, settings: &Settings) -> Option<Change> {
        let is_probe = self.open.as_mut().is_some_and(|open| {
            let probe = open.probe.take_if(|(name, _)| report.probe.as_ref() == Some(name));
            probe.is_some()
        });
        match report.outcome {
            Outcome::Answered => {
                self.bucket(report.at_ms).0 += 1;
                let answers = report.probe.is_some() && self.open.is_some();
                answers.then(|| self.close(now_ms))
            }
            Outcome::Failed if report.admitted_ms >= self.closed_at_ms => {
                self.bucket(report.at_ms).1 += 1;
                let opens = if self.open.is_some() { is_probe } else { self.fails_too_often(now_ms) };
                opens.then(|| self.open(Cause::Failures, &report.reason, now_ms, settings))?
            }
            Outcome::Parked if report.admitted_ms >= self.closed_at_ms => {
                let parked = self.open.as_ref().is_some_and(|open| open.cause == Cause::Parked);
                (is_probe || !parked).then(|| self.open(Cause::Parked, &report.reason, now_ms, settings))?
            }
            Outcome::Failed | Outcome::Parked | Outcome::Limited | Outcome::Unused => None,
        }
    }

    fn bucket(&mut self, at_ms: u64) -> &mut (u64, u64) {
        let bucket = at_ms / BUCKET_MS;
        self.window.retain(|other, _| other + BUCKETS > bucket);
        self.window.entry(bucket).or_default()
    }

    fn fails_too_often(&self, now_ms: u64) -> bool {
        let oldest = (now_ms / BUCKET_MS).saturating_sub(BUCKETS - 1);
        let counts = self.window.range(oldest..).map(|(_, counts)| *counts);
        let (answered, failed) = counts.fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
        failed >= FAILURES_AT_LEAST && failed >= answered
    }

    fn open(&mut self, cause: Cause, reason: &str, now_ms: u64, settings: &Settings) -> Option<Change> {
        let (first, at_most) = match cause {
            Cause::Failures => (settings.open, settings.open_at_most),
            Cause::Parked => (settings.parked, settings.parked_at_most),
        };
        let before = self.open.as_ref().map(|open| (open.cause, open.length_ms));
        let length_ms = match before {
            Some((before, length_ms)) if before == cause => (length_ms * 2).min(ms(at_most)),
            _ => ms(first),
        };
        self.open =
            Some(Open { cause, reason: reason.to_owned(), until_ms: now_ms + length_ms, length_ms, probe: None });
        before.is_none_or(|(before, _)| before != cause).then_some(Change::Opened)
    }

    fn close(&mut self, now_ms: u64) -> Change {
        *self = Self { closed_at_ms: now_ms, ..Self::default() };
        Change::Closed
    }
}
