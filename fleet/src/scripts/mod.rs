//! One typed function a script: Rust in, Rust out. The only place that runs scripts.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use crate::{
    breaker::{BUCKET_MS, BUCKETS, FAILURES_AT_LEAST, PROBE_ASK_AGAIN_MS},
    call::{Call, Report},
    connect::Connection,
    error::Error,
    fleet::Verdict,
    keys,
    limiter::Ask,
    mode::{CHANGES_KEPT, Switch},
    news::News,
    settings::{Settings, ms},
};

/// The state of an account that is not used for so long is forgotten. Longer than any breaker is open.
const STATE_KEPT_S: u64 = 24 * 3600;
/// Somebody may settle what was reserved the day before.
const SPENDING_KEPT_S: u64 = 2 * 24 * 3600;

macro_rules! script {
    ($name:literal) => {{
        static SCRIPT: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $name, ".lua"))));
        &*SCRIPT
    }};
}

/// Where scripts run, and what their keys begin with.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) connection: Connection,
    pub(crate) prefix: String,
}

impl Server {
    pub(crate) async fn admit(
        &self,
        call: &Call<'_>,
        name: &str,
        now_ms: u64,
        settings: &Settings,
    ) -> Result<Verdict, Error> {
        let tokens = Ask::new(call.tokens, call.tokens_per_min);
        let mut script = script!("admit").key(keys::account(&self.prefix, call.account));
        script
            .arg(now_ms)
            .arg(call.requests_per_min.unwrap_or(0))
            .arg(tokens.map_or(0, |ask| ask.need))
            .arg(tokens.map_or(0, |ask| ask.per_min))
            .arg(name)
            .arg(ms(settings.probe_lease))
            .arg(PROBE_ASK_AGAIN_MS)
            .arg(STATE_KEPT_S);
        let reply: Vec<redis::Value> = script.invoke_async(&mut self.connection.clone()).await?;
        let text = |n: usize| reply.get(n).map(redis::from_redis_value_ref::<String>).transpose();
        let number = |n: usize| reply.get(n).map(redis::from_redis_value_ref::<u64>).transpose();
        let what = text(0).map_err(unreadable)?.unwrap_or_default();
        let wait = Duration::from_millis(number(1).map_err(unreadable)?.unwrap_or(0));
        Ok(match what.as_str() {
            "open" => Verdict::Open { retry_in: wait, reason: text(2).map_err(unreadable)?.unwrap_or_default() },
            "wait" => Verdict::Wait(wait),
            what => Verdict::Go { is_probe: what == "probe" },
        })
    }

    /// Reports of one account. A batch that is sent again changes nothing the second time.
    pub(crate) async fn report(
        &self,
        account: &str,
        batch: (&str, u64),
        reports: &[Report],
        now_ms: u64,
        settings: &Settings,
    ) -> Result<(), Error> {
        let mut script = script!("report").key(keys::account(&self.prefix, account));
        script.arg(batch.0).arg(batch.1).arg(now_ms).arg(keys::news(&self.prefix)).arg(account).arg(STATE_KEPT_S);
        for length in [settings.open, settings.open_at_most, settings.parked, settings.parked_at_most] {
            script.arg(ms(length));
        }
        script.arg(BUCKETS).arg(BUCKET_MS).arg(FAILURES_AT_LEAST);
        for report in reports {
            script.arg(report.outcome.name()).arg(&report.service).arg(report.at_ms).arg(report.admitted_ms);
            script.arg(report.probe.as_deref().unwrap_or_default()).arg(report.requests_back).arg(report.tokens_back);
            script.arg(report.pause_ms).arg(&report.reason);
        }
        Ok(script.invoke_async(&mut self.connection.clone()).await?)
    }

    /// Says that a service uses an account.
    pub(crate) async fn used(&self, service: &str, account: &str, now_ms: u64) -> Result<(), Error> {
        let mut script = script!("used").key(keys::accounts(&self.prefix, service));
        script.arg(account).arg(now_ms).arg(STATE_KEPT_S);
        Ok(script.invoke_async(&mut self.connection.clone()).await?)
    }

    /// Until when an account's breaker is open (0: closed), why, its calls of these minutes and those that were answered.
    pub(crate) async fn health(
        &self,
        account: &str,
        service: &str,
        minute: u64,
        n_minutes: u64,
    ) -> Result<(u64, String, u64, u64), Error> {
        let mut script = script!("health").key(keys::account(&self.prefix, account));
        script.arg(service).arg(minute).arg(n_minutes);
        Ok(script.invoke_async(&mut self.connection.clone()).await?)
    }

    /// Adds to a tenant's spending of a day, unless it would go over the cap; what was spent before, and whether it was added.
    pub(crate) async fn spend(
        &self,
        tenant: &str,
        day: u64,
        micro_usd: i64,
        cap_micro_usd: Option<u64>,
    ) -> Result<(bool, u64), Error> {
        let mut script = script!("spend").key(keys::spending(&self.prefix, tenant, day));
        let cap = cap_micro_usd.map(|cap| cap.to_string()).unwrap_or_default();
        script.arg(micro_usd).arg(cap).arg(SPENDING_KEPT_S);
        let (added, before): (bool, i64) = script.invoke_async(&mut self.connection.clone()).await?;
        Ok((added, u64::try_from(before).unwrap_or(0)))
    }

    pub(crate) async fn switch(&self, switch: &Switch) -> Result<(), Error> {
        let json = serde_json::to_string(switch).map_err(|e| Error::corrupt("switch", e))?;
        let news = serde_json::to_string(&News::Mode).map_err(|e| Error::corrupt("message", e))?;
        let mut script = script!("switch").key(keys::modes(&self.prefix));
        script.key(keys::mode_changes(&self.prefix));
        script.arg(switch.service.as_deref().unwrap_or("*")).arg(json).arg(CHANGES_KEPT);
        script.arg(keys::news(&self.prefix)).arg(news);
        Ok(script.invoke_async(&mut self.connection.clone()).await?)
    }
}

fn unreadable(error: redis::ParsingError) -> Error {
    Error::corrupt("answer of a script", error)
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
