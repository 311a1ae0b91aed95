//! Writes what came of calls to one account, which decides when they are stopped, and when they go on.
//!
//! A breaker opens when of the calls of the last minute at least 5 and at least half failed, or at once when the account is
//! unusable. When its time is over it is half open: one call, the probe, goes through. If the probe is answered, the breaker
//! closes; if it fails, the breaker opens again for twice as long.

use super::{STATE_KEPT_S, Server, call};
use crate::{
    error::Error,
    keys,
    report::{Level, Report},
    settings::{Settings, ms},
};

/// The window has so many buckets.
pub(super) const BUCKETS: u64 = 6;
/// Width of a bucket of the window.
pub(super) const BUCKET_MS: u64 = 10_000;
/// Fewer failures in the window do not open it.
const FAILURES_AT_LEAST: u64 = 5;

impl Server {
    /// Reports of one account. A batch that is sent again changes nothing the second time.
    pub(crate) async fn report(
        &self,
        account: &str,
        batch: (&str, u64),
        reports: &[Report],
        now_ms: u64,
        settings: &Settings,
    ) -> Result<(), Error> {
        let mut call = call!(
            report,
            keys::account(&self.prefix, account),
            sender = batch.0,
            number = batch.1,
            now_ms = now_ms,
            channel = keys::news(&self.prefix),
            account = account,
            kept_s = STATE_KEPT_S,
            open_ms = ms(settings.open),
            open_at_most_ms = ms(settings.open_at_most),
            parked_ms = ms(settings.parked),
            parked_at_most_ms = ms(settings.parked_at_most),
            buckets = BUCKETS,
            bucket_ms = BUCKET_MS,
            failures_at_least = FAILURES_AT_LEAST,
        );
        for report in reports {
            call.arg(report.end.name()).arg(&report.service).arg(report.at_ms).arg(report.admitted_ms);
            call.arg(report.probe.as_deref().unwrap_or_default()).arg(report.requests_back).arg(report.units_back);
            call.arg(report.pause_ms).arg(&report.reason).arg(report.under_way.as_deref().unwrap_or_default());
            match report.level {
                Some(Level { available, at_most, per_s }) => call.arg(available).arg(at_most).arg(per_s),
                None => call.arg("").arg("").arg(""),
            };
        }
        self.run(&call).await
    }
}
