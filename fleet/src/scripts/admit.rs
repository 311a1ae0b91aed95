//! Whether a call to an account may be made now.
//!
//! Limits are buckets: full at first, refilled evenly, never fuller than one minute's worth; a vendor's own is as full as it was told last.
//! The breaker is told in `report.rs`.

use std::time::Duration;

use super::{STATE_KEPT_S, Server, call};
use crate::{
    call::Call,
    error::Error,
    keys,
    settings::{Settings, ms},
};

/// While the probe is under way others ask again after so long.
const PROBE_ASK_AGAIN_MS: u64 = 5_000;

/// What is said of a call.
pub(crate) enum Verdict {
    /// With the units that were taken.
    Go {
        is_probe: bool,
        units: u64,
    },
    Wait(Duration),
    Full,
    Open {
        retry_in: Duration,
        reason: String,
    },
}

impl Server {
    /// `name`: of the call; `under_way`: among those that are under way.
    pub(crate) async fn admit(
        &self,
        call: &Call<'_>,
        (name, under_way): (&str, &str),
        now_ms: u64,
        settings: &Settings,
    ) -> Result<Verdict, Error> {
        let call = call!(
            admit,
            keys::account(&self.prefix, call.account),
            now_ms = now_ms,
            requests_per_min = call.requests_per_min.unwrap_or(0),
            units_needed = call.units,
            units_per_min = call.units_per_min.unwrap_or(0),
            name = name,
            under_way = under_way,
            at_most = call.in_flight.map_or(0, |in_flight| in_flight.at_most),
            lasts_ms = call.in_flight.map_or(0, |in_flight| ms(in_flight.lasts)),
            probe_lease_ms = ms(settings.probe_lease),
            ask_again_ms = PROBE_ASK_AGAIN_MS,
            kept_s = STATE_KEPT_S,
        );
        let reply: Vec<redis::Value> = self.run(&call).await?;
        let text = |n: usize| reply.get(n).map(redis::from_redis_value_ref::<String>).transpose();
        let number = |n: usize| reply.get(n).map(redis::from_redis_value_ref::<u64>).transpose();
        let what = text(0).map_err(unreadable)?.unwrap_or_default();
        let wait = Duration::from_millis(number(1).map_err(unreadable)?.unwrap_or(0));
        Ok(match what.as_str() {
            "open" => Verdict::Open { retry_in: wait, reason: text(2).map_err(unreadable)?.unwrap_or_default() },
            "wait" => Verdict::Wait(wait),
            "full" => Verdict::Full,
            what => Verdict::Go { is_probe: what == "probe", units: number(1).map_err(unreadable)?.unwrap_or(0) },
        })
    }
}

fn unreadable(error: redis::ParsingError) -> Error {
    Error::corrupt("answer of a script", error)
}
