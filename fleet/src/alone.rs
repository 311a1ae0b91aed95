//! The same rules without Redis, for one process.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    breaker::{Breaker, Change, Gate},
    call::{BreakerState, Call, Health, Outcome, Report},
    error::Error,
    fleet::{Event, Verdict},
    limiter::{Ask, Limiter},
    mode::{CHANGES_KEPT, Modes, Switch},
    settings::{Settings, ms},
    spending::Reserved,
};

pub(crate) const MINUTE_MS: u64 = 60_000;
pub(crate) const HOUR_MINUTES: u64 = 60;

/// What replicas would share.
#[derive(Debug, Default)]
pub(crate) struct Alone(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    accounts: HashMap<String, Account>,
    services: HashMap<String, Calls>,
    modes: Modes,
    changes: Vec<Switch>,
    spent: HashMap<(String, u64), u64>,
}

#[derive(Debug, Default)]
struct Account {
    breaker: Breaker,
    limiter: Limiter,
    paused_until_ms: u64,
}

/// The calls of a service.
#[derive(Debug, Default)]
struct Calls {
    accounts: HashSet<String>,
    /// All and answered, by minute.
    minutes: BTreeMap<u64, (u64, u64)>,
}

impl Alone {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn admit(&self, call: &Call<'_>, probe: &str, now_ms: u64, settings: &Settings) -> Verdict {
        let mut memory = self.memory();
        let account = memory.accounts.entry(call.account.to_owned()).or_default();
        let gate = account.breaker.gate(now_ms);
        if let Gate::Open { retry_in, reason } = gate {
            return Verdict::Open { retry_in, reason };
        }
        if account.paused_until_ms > now_ms {
            return Verdict::Wait(Duration::from_millis(account.paused_until_ms - now_ms));
        }
        let (requests, tokens) = (Ask::new(1, call.requests_per_min), Ask::new(call.tokens, call.tokens_per_min));
        if let Err(wait_ms) = account.limiter.take(requests, tokens, now_ms) {
            return Verdict::Wait(Duration::from_millis(wait_ms));
        }
        let is_probe = matches!(gate, Gate::HalfOpen);
        if is_probe {
            account.breaker.send_probe(probe, now_ms + ms(settings.probe_lease));
        }
        Verdict::Go { is_probe }
    }

    pub(crate) fn report(&self, report: &Report, now_ms: u64, settings: &Settings) -> Option<Event> {
        let mut memory = self.memory();
        let account = memory.accounts.entry(report.account.clone()).or_default();
        account.limiter.give_back(report.requests_back, report.tokens_back);
        if report.pause_ms > 0 {
            account.paused_until_ms = account.paused_until_ms.max(report.at_ms + report.pause_ms);
        }
        let change = account.breaker.report(report, now_ms, settings);
        if report.outcome != Outcome::Unused {
            let calls = memory.services.entry(report.service.clone()).or_default();
            calls.count(&report.account, report.outcome == Outcome::Answered, report.at_ms / MINUTE_MS);
        }
        let account = report.account.clone();
        Some(match change? {
            Change::Opened => Event::BreakerOpened { account, reason: report.reason.clone() },
            Change::Closed => Event::BreakerClosed { service: report.service.clone(), account },
        })
    }

    pub(crate) fn health(&self, service: &str, now_ms: u64) -> Health {
        let memory = self.memory();
        let Some(calls) = memory.services.get(service) else {
            return Health { breaker: BreakerState::Closed, calls_1h: 0, succeeded_1h: 0 };
        };
        let states = calls.accounts.iter().filter_map(|name| Some((name, memory.accounts.get(name)?)));
        let breaker = worst(states.map(|(name, account)| (name.as_str(), account.breaker.state(now_ms))));
        let since = (now_ms / MINUTE_MS).saturating_sub(HOUR_MINUTES - 1);
        let (calls_1h, succeeded_1h) =
            calls.minutes.range(since..).fold((0, 0), |sum, (_, n)| (sum.0 + n.0, sum.1 + n.1));
        Health { breaker, calls_1h, succeeded_1h }
    }

    pub(crate) fn switch(&self, switch: Switch) {
        let mut memory = self.memory();
        memory.modes.apply(switch.clone());
        memory.changes.insert(0, switch);
        memory.changes.truncate(CHANGES_KEPT);
    }

    pub(crate) fn modes(&self) -> Modes {
        self.memory().modes.clone()
    }

    pub(crate) fn changes(&self) -> Vec<Switch> {
        self.memory().changes.clone()
    }

    pub(crate) fn reserve(&self, reserved: Reserved, cap_micro_usd: u64) -> Result<Reserved, Error> {
        let mut memory = self.memory();
        let spent = memory.spent.entry((reserved.tenant.clone(), reserved.day)).or_default();
        let after = spent.saturating_add(reserved.micro_usd);
        if after > cap_micro_usd {
            return Err(Error::OverCap {
                tenant: reserved.tenant,
                spent_micro_usd: *spent,
                asked_micro_usd: reserved.micro_usd,
                cap_micro_usd,
            });
        }
        *spent = after;
        memory.spent.retain(|(_, day), _| day + 1 >= reserved.day);
        Ok(reserved)
    }

    pub(crate) fn settle(&self, reserved: &Reserved, actual_micro_usd: u64) {
        let mut memory = self.memory();
        if let Some(spent) = memory.spent.get_mut(&(reserved.tenant.clone(), reserved.day)) {
            *spent = spent.saturating_sub(reserved.micro_usd).saturating_add(actual_micro_usd);
        }
    }
}

impl Calls {
    fn count(&mut self, account: &str, answered: bool, minute: u64) {
        self.accounts.insert(account.to_owned());
        self.minutes.retain(|other, _| other + HOUR_MINUTES > minute);
        let counts = self.minutes.entry(minute).or_default();
        counts.0 += 1;
        counts.1 += u64::from(answered);
    }
}

/// The state of the account that is worst off, with its name in the reason.
pub(crate) fn worst<'a>(states: impl Iterator<Item = (&'a str, BreakerState)>) -> BreakerState {
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
