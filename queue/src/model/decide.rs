//! What follows from an attempt for the job. Pure functions.

use std::time::Duration;

use super::{
    attempt::{AttemptError, AttemptOutcome},
    outcome::{Outcome, Success, TIMED_OUT},
};

/// First retry delay; doubles with every attempt.
const RETRY_BASE: Duration = Duration::from_secs(2);
/// No retry waits longer than this by its own arithmetic.
const RETRY_CAP: Duration = Duration::from_secs(15 * 60);
/// Bounds of every wait that somebody asked for: no stranger's number parks a job for good.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Where a job goes after an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Decision {
    Succeeded(Success),
    Retrying { delay: Duration },
    Scheduled { delay: Duration, draft: Option<Success>, code: String },
    Dead,
}

/// Decides between done, retry, snooze and dead; nothing else in the project does. Besides, how the attempt ended: a snooze is none.
///
/// `failures` counts the attempts that failed before this one; `jitter` is a number in `0..1`.
pub(crate) fn decide(
    outcome: Outcome,
    failures: u32,
    max_attempts: u32,
    jitter: f64,
) -> (Decision, Option<AttemptOutcome>, Option<AttemptError>) {
    match outcome {
        Outcome::Done(success) => (Decision::Succeeded(success), Some(AttemptOutcome::Succeeded), None),
        Outcome::Retry { error, after } => {
            let outcome = if error.code == TIMED_OUT { AttemptOutcome::TimedOut } else { AttemptOutcome::Retry };
            if failures + 1 >= max_attempts {
                let outcome = if outcome == AttemptOutcome::Retry { AttemptOutcome::Dead } else { outcome };
                return (Decision::Dead, Some(outcome), Some(AttemptError::from(error)));
            }
            let delay = after.map_or_else(|| backoff(failures + 1, jitter), bounded);
            (Decision::Retrying { delay }, Some(outcome), Some(AttemptError::from(error)))
        }
        Outcome::Snooze { error, after, draft } => {
            (Decision::Scheduled { delay: bounded(after), draft, code: error.code }, None, None)
        }
        Outcome::Dead(error) => (Decision::Dead, Some(AttemptOutcome::Dead), Some(AttemptError::from(error))),
    }
}

fn bounded(wait: Duration) -> Duration {
    wait.clamp(WAITS.0, WAITS.1)
}

/// Full jitter over an exponential bound: `jitter × min(cap, 2 s × 2^(attempt − 1))`, at least 1 ms.
///
/// Source of the formula: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
fn backoff(attempt: u32, jitter: f64) -> Duration {
    let bound = RETRY_BASE.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1))).min(RETRY_CAP);
    bound.mul_f64(jitter.clamp(0.0, 1.0)).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Failure;

    fn fail() -> Outcome {
        Outcome::Retry { error: Failure::new("x", "y"), after: None }
    }

    #[test]
    fn retry_delay_doubles_up_to_the_cap() {
        let full: Vec<u64> = (1..=12).map(|n| backoff(n, 1.0).as_secs()).collect();
        assert_eq!(full, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        assert_eq!(backoff(3, 0.5), Duration::from_secs(4));
        assert_eq!(backoff(3, 0.0), Duration::from_millis(1));
        assert_eq!(backoff(4_000_000_000, 1.0), RETRY_CAP);
    }

    #[test]
    fn the_last_allowed_failure_is_dead() {
        assert!(matches!(decide(fail(), 3, 5, 0.5).0, Decision::Retrying { .. }));
        assert!(matches!(decide(fail(), 4, 5, 0.5), (Decision::Dead, Some(AttemptOutcome::Dead), Some(_))));
        assert!(matches!(decide(fail(), 0, 1, 0.5).0, Decision::Dead));
    }

    #[test]
    fn retry_after_replaces_the_backoff_within_its_bounds() {
        let after = |s| Outcome::Retry { error: Failure::new("rate_limited", ""), after: Some(Duration::from_secs(s)) };
        let delay = |s| match decide(after(s), 0, 5, 0.5).0 {
            Decision::Retrying { delay } => delay.as_secs(),
            next => panic!("{next:?}"),
        };
        assert_eq!([delay(0), delay(30), delay(86_400), delay(u64::MAX)], [1, 30, 3600, 3600]);
    }

    #[test]
    fn a_snooze_is_kept_within_a_second_and_an_hour() {
        let delay =
            |after| match decide(Outcome::Snooze { error: Failure::new("x", ""), after, draft: None }, 0, 5, 0.5).0 {
                Decision::Scheduled { delay, .. } => delay.as_secs(),
                next => panic!("{next:?}"),
            };
        assert_eq!(delay(Duration::ZERO), 1);
        assert_eq!(delay(Duration::from_secs(30)), 30);
        assert_eq!([delay(Duration::from_secs(999_999_999)), delay(Duration::MAX)], [3600, 3600]);
    }

    #[test]
    fn a_snooze_is_no_attempt() {
        let snooze = Outcome::Snooze { error: Failure::new("store", ""), after: Duration::from_secs(5), draft: None };
        let (next, outcome, _) = decide(snooze, 4, 5, 0.5);
        assert!(matches!(next, Decision::Scheduled { code, .. } if code == "store"));
        assert_eq!(outcome, None);
    }
}
