//! Limits per minute, as buckets: full at first, refilled evenly, never fuller than one minute's worth.
//! `scripts/admit.lua` has the same rules.

/// What an account has left of its requests and tokens.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    /// When so much was left.
    at_ms: u64,
}

/// What is left may be off by a rounding error.
const ROUNDING: f64 = 1e-6;

/// One limit of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) need: u64,
    pub(crate) per_min: u32,
}

impl Ask {
    /// More than a minute's worth is taken as a minute's worth, or it would never be let through.
    pub(crate) fn new(need: u64, per_min: Option<u32>) -> Option<Self> {
        let per_min = per_min.filter(|limit| *limit > 0)?;
        Some(Self { need: need.min(u64::from(per_min)), per_min })
    }
}

impl Limiter {
    /// Takes one request and the tokens, or says after how many milliseconds there will be enough of both.
    pub(crate) fn take(&mut self, requests: Option<Ask>, tokens: Option<Ask>, now_ms: u64) -> Result<(), u64> {
        let mut asks = [(&mut self.requests, requests), (&mut self.tokens, tokens)];
        let wait_ms =
            asks.iter().filter_map(|(bucket, ask)| Some(missing_ms((*ask)?, left(**bucket, (*ask)?, now_ms))));
        let wait_ms = wait_ms.max().unwrap_or(0);
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        for (bucket, ask) in &mut asks {
            if let Some(ask) = *ask {
                **bucket = Some(Bucket { left: left(**bucket, ask, now_ms) - number(ask.need), at_ms: now_ms });
            }
        }
        Ok(())
    }

    /// Gives back what was not used; below zero takes what was used besides.
    pub(crate) fn give_back(&mut self, requests: u32, tokens: i64) {
        #[expect(clippy::cast_precision_loss, reason = "no call uses 2^52 tokens")]
        let amounts = [(&mut self.requests, f64::from(requests)), (&mut self.tokens, tokens as f64)];
        for (bucket, amount) in amounts {
            if let Some(bucket) = bucket {
                bucket.left += amount;
            }
        }
    }
}

fn left(bucket: Option<Bucket>, ask: Ask, now_ms: u64) -> f64 {
    let full = f64::from(ask.per_min);
    bucket.map_or(full, |Bucket { left, at_ms }| {
        (left + number(now_ms.saturating_sub(at_ms)) * full / 60_000.0).min(full)
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the time of a bucket, never below zero")]
fn missing_ms(ask: Ask, left: f64) -> u64 {
    let missing = number(ask.need) - left;
    if missing <= ROUNDING { 0 } else { (missing * 60_000.0 / f64::from(ask.per_min)).ceil() as u64 }
}

#[expect(clippy::cast_precision_loss, reason = "times of a day and tokens of a minute are far below 2^52")]
fn number(n: u64) -> f64 {
    n as f64
}
