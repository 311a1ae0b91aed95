//! Runs what only one job at a time may do.

use std::time::Duration;

use super::claimed::Claimed;
use crate::model::{
    id::JobId,
    outcome::{Failure, Outcome},
};

/// The code of a job that is put off because of its concurrency key.
const CODE: &str = "concurrency_key";
/// The first of those that wait looks again after this time by itself, the second after twice as much, and so on.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// All look again within this time.
const LOOK_AT_LEAST: Duration = Duration::from_secs(60);

impl Claimed {
    /// Awaits `work` while no other job of this tenant that has the same `key` does so, in any replica. Dropping it lets the next one go
    /// on, as the end of the work does.
    ///
    /// # Errors
    /// What the run is to answer instead, so that the job comes again, with what it had made before and without using an attempt: another
    /// job has the key, or took it from this one after its lease had ended, and the work was stopped.
    pub async fn alone<T>(&self, key: &str, work: impl Future<Output = T>) -> Result<T, Outcome> {
        let has = match self.locks().take((self.tenant(), key), self.id(), self.claim()).await {
            Ok(Ok(has)) => has,
            Ok(Err(waits)) => {
                let n = waits.before;
                let message = match waits.holder {
                    Some(holder) => format!("the job {holder} has the key {key:?}, and {n} wait before this one"),
                    None => format!("{n} jobs with the key {key:?} wait before this one"),
                };
                return Err(self.put_off(message, look_again(self.id(), n)));
            }
            Err(error) => return Err(self.put_off(format!("cannot take the key {key:?}: {error}"), LOOK_AGAIN)),
        };
        tokio::select! {
            biased;
            () = has.lost() => {
                Err(self.put_off(format!("another job took the key {key:?}: this one's lease had ended"), LOOK_AGAIN))
            }
            done = work => Ok(done),
        }
    }

    fn put_off(&self, message: String, after: Duration) -> Outcome {
        Outcome::Snooze { error: Failure::new(CODE, message), after, draft: self.draft() }
    }
}

/// After which time a job looks by itself again whose turn comes after so many others; up to a quarter sooner, so that not all of those far
/// behind come at the same moment.
fn look_again(id: JobId, before: usize) -> Duration {
    let place = u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1);
    let latest = LOOK_AGAIN.saturating_mul(place).min(LOOK_AT_LEAST);
    latest.mul_f64(1.0 - f64::from(id.as_bytes()[15]) / 1024.0).max(LOOK_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_look_again_the_sooner_the_fewer_are_before_them() {
        for _ in 0..100 {
            let id = JobId::new(1, 0);
            let seconds = |before| look_again(id, before).as_secs_f64();
            assert!(seconds(0) == 1.0 && (1.5..=2.0).contains(&seconds(1)), "{} {}", seconds(0), seconds(1));
            assert!((22.5..=30.0).contains(&seconds(29)), "{}", seconds(29));
            for far in [59, 10_000, usize::MAX] {
                assert!((45.0..=60.0).contains(&seconds(far)), "{}", seconds(far));
            }
        }
    }
}
