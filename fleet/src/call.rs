//! What is asked before a call to an outside service, and what is said after it.

use std::{sync::Arc, time::Duration};

use crate::{
    outbox::Outbox,
    report::{CallEnd, Level, Report},
    settings::ms,
};

/// So many characters of a reason are kept.
const REASON_AT_MOST: usize = 300;
/// What stands for an address in it.
const ADDRESS: &str = "[address]";

/// A call that somebody wants to make.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The service, such as `ai`.
    pub service: &'a str,
    /// Whose limits and breaker count, such as `openai`: the vendor, or one account of ours with it. Without braces.
    pub account: &'a str,
    /// Requests per minute that the account may make, in all replicas together; `None` or 0 is no limit.
    pub requests_per_min: Option<u32>,
    /// Units per minute that the account may use, in all replicas together; `None` or 0 is no limit. A unit is what calls use besides
    /// requests: tokens of language models, or messages.
    pub units_per_min: Option<u32>,
    /// How many units the call will use, estimated. More than the account can have at once is taken as all that it can have, or it would
    /// never be let through.
    pub units: u64,
    /// `None`: nobody counts how many calls the account has under way, which costs nothing.
    pub in_flight: Option<InFlight>,
}

/// Calls of an account that are under way at the same time, in all replicas together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// So many at most. 0 is no limit: then it is only known which are under way, for [`Permit::told`].
    pub at_most: u32,
    /// One of which nothing was heard for so long counts no more: its replica was killed. As long as the call may take.
    pub lasts: Duration,
}

/// Whether a call may be made now.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// It may. What came of it is to be told with [`Fleet::report`](crate::Fleet::report).
    Go(Permit),
    /// Not before this time has passed: a limit is reached, or the vendor asked for a pause.
    Wait(Duration),
    /// As many calls are under way as may be: as soon as one ends, and nobody knows when that is.
    Full,
    /// The breaker is open, or another call is the probe.
    Open {
        /// Ask again after so long.
        retry_in: Duration,
        /// What opened it.
        reason: String,
    },
}

/// The right to make one call. Dropped without a report it counts for nothing, is under way no more, and gives a probe back.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    pub(crate) account: String,
    pub(crate) service: String,
    pub(crate) admitted_ms: u64,
    /// What was taken from the account's requests.
    pub(crate) requests: u32,
    /// What was taken from the account's units.
    pub(crate) units: u64,
    /// Its name, when it is the one call that a breaker lets through to see whether the service works again.
    pub(crate) probe: Option<String>,
    /// Its name among the calls that are under way, if they are counted.
    pub(crate) under_way: Option<String>,
    /// What the vendor told.
    pub(crate) level: Option<Level>,
    /// Where the report goes, which takes it out. Who shares nothing has none.
    pub(crate) outbox: Option<Arc<Outbox>>,
}

impl Permit {
    /// Whether it is the one call that an open breaker lets through.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe.is_some()
    }

    /// Notes what the answer told of the account's units, to be written with the report. Where other calls were under way meanwhile it only
    /// shows that no more is left.
    pub fn told(&mut self, level: Level) {
        self.level = Some(level);
    }

    pub(crate) fn report(&mut self, reported: Reported) -> Report {
        let (requests, units) = (self.requests, signed(self.units));
        match reported {
            Reported::Answered { units: used, pause } => Report {
                units_back: used.map_or(0, |used| units.saturating_sub(signed(used))),
                pause_ms: pause.map_or(0, ms),
                ..self.with(CallEnd::Answered)
            },
            Reported::Failed { reason } => Report { reason: short(&reason), ..self.with(CallEnd::Failed) },
            Reported::Limited { pause, reason } => {
                Report { pause_ms: ms(pause), reason: short(&reason), ..self.with(CallEnd::Limited) }
            }
            Reported::Parked { reason } => Report { reason: short(&reason), ..self.with(CallEnd::Parked) },
            Reported::Unused => Report { requests_back: requests, units_back: units, ..self.with(CallEnd::Unused) },
        }
    }

    /// Without a time, a pause, and anything given back.
    fn with(&mut self, end: CallEnd) -> Report {
        Report {
            account: std::mem::take(&mut self.account),
            service: std::mem::take(&mut self.service),
            end,
            at_ms: 0,
            admitted_ms: self.admitted_ms,
            probe: self.probe.take(),
            under_way: self.under_way.take(),
            level: self.level.take(),
            requests_back: 0,
            units_back: 0,
            pause_ms: 0,
            reason: String::new(),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(outbox) = self.outbox.take_if(|_| self.probe.is_some() || self.under_way.is_some()) {
            outbox.put(self.with(CallEnd::Unused));
        }
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// The service answered; an input that it refused is an answer, too.
    Answered {
        /// Units that were really used, where the answer says so.
        units: Option<u64>,
        /// Its headers say that nothing is left until then; holds for all replicas.
        pause: Option<Duration>,
    },
    /// It could not be reached, or failed; counts for the breaker.
    Failed {
        /// What happened, for people.
        reason: String,
    },
    /// It asked to be left alone (429); holds for all replicas, and is no failure for the breaker.
    Limited {
        /// For how long.
        pause: Duration,
        /// What it said, for people.
        reason: String,
    },
    /// The account is unusable (credentials, quota, plan): the breaker opens at once, and for long.
    Parked {
        /// What it said, for people.
        reason: String,
    },
    /// Nothing was asked: gives the probe, the request and the units back.
    Unused,
}

/// How the accounts of a service are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Of the account that is worst off.
    pub breaker: BreakerState,
    /// Calls of the last hour.
    pub calls_1h: u64,
    /// Those that were answered.
    pub succeeded_1h: u64,
}

/// Whether calls go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakerState {
    /// They do.
    Closed,
    /// None does.
    Open {
        /// Until then, in Unix milliseconds.
        until: u64,
        /// The account and what opened it.
        reason: String,
    },
    /// One does, to see whether the service works again; it may be under way.
    HalfOpen,
}

/// What services say can be long. And it is shown to all whose calls are held, so it must not name what the one call asked for.
fn short(reason: &str) -> String {
    without_addresses(reason).chars().take(REASON_AT_MOST).collect()
}

/// With a sign in the place of URLs and of mail addresses.
fn without_addresses(text: &str) -> String {
    let ends_word = |character: char| character.is_whitespace() || "<>()[]{}\"'`,;".contains(character);
    let mut clean = String::with_capacity(text.len());
    for part in text.split_inclusive(ends_word) {
        let word = part.trim_end_matches(ends_word);
        let is_address = word.contains("://") || word.split_once('@').is_some_and(|(before, _)| !before.is_empty());
        clean.push_str(if is_address { ADDRESS } else { word });
        clean.push_str(&part[word.len()..]);
    }
    clean
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_no_address() {
        for (reason, shown) in [
            ("GET https://shop.example/a?b=1#c: 503 Service Unavailable", "GET [address] 503 Service Unavailable"),
            ("error sending request for url (http://127.0.0.1:9/x)", "error sending request for url ([address])"),
            ("550 5.7.1 <zoe@customer.example>: Relay access denied", "550 5.7.1 <[address]>: Relay access denied"),
            ("no such user: zoe+tea@customer.example.", "no such user: [address]"),
            ("see \"ftp://x.example\", or 'a@b'", "see \"[address]\", or '[address]'"),
            ("2 @ 3, a: b / c", "2 @ 3, a: b / c"),
            ("", ""),
        ] {
            assert_eq!(short(reason), shown);
        }
    }
}
