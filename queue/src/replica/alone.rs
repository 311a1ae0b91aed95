//! Runs what only one job at a time may do.

use std::time::Duration;

use futures::future::join_all;

use super::{claimed::Claimed, locks::HasLock};
use crate::model::{
    concurrency_key::ConcurrencyKey,
    id::JobId,
    outcome::{Failure, Outcome},
};

/// The code of a job that is put off because of its concurrency key.
const CODE: &str = "concurrency_key";
/// The first of those that wait looks again after this time by itself, the second after twice as much, and so on.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// All look again within this time.
const LOOK_AT_LEAST: Duration = Duration::from_secs(60);

/// Why a job has to wait for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Busy {
    /// Who has it, and how many wait before.
    pub message: String,
    /// When it looks by itself again; it is told before, when its turn comes.
    pub after: Duration,
}

/// Has a key. Dropping it lets the next job go on.
#[derive(Debug)]
pub struct HasKey(HasLock);

impl HasKey {
    /// Ends when another job took the key, because this one's lease had ended.
    pub async fn lost(&self) {
        self.0.lost().await;
    }
}

/// Takes keys for a run of a job that is about many things.
#[derive(Debug, Clone)]
pub struct Keys(Claimed);

impl Keys {
    /// Takes those of `keys` that are free; for each of the others the job is noted among those that wait.
    pub async fn take(&self, keys: &[ConcurrencyKey]) -> Vec<Result<HasKey, Busy>> {
        join_all(keys.iter().map(|key| self.0.take_key(key))).await
    }
}

impl Claimed {
    /// Takes keys in the middle of the work.
    #[must_use]
    pub fn keys(&self) -> Keys {
        Keys(self.clone())
    }

    /// Awaits `work` while no other job that has the same `key` does so, in any replica. Dropping it lets the next one go on, as the end
    /// of the work does.
    ///
    /// # Errors
    /// What the run is to answer instead, so that the job comes again, with what it had made before and without using an attempt: another
    /// job has the key, or took it from this one after its lease had ended, and the work was stopped.
    pub async fn alone<T>(&self, key: impl Into<ConcurrencyKey>, work: impl Future<Output = T>) -> Result<T, Outcome> {
        let key = key.into();
        let has = self.take_key(&key).await.map_err(|busy| self.put_off(busy))?;
        tokio::select! {
            biased;
            () = has.lost() => Err(self.put_off(lost(&key))),
            done = work => Ok(done),
        }
    }

    async fn take_key(&self, key: &ConcurrencyKey) -> Result<HasKey, Busy> {
        let word = key.as_str();
        match self.locks().take((self.tenant(), key), self.id(), self.claim()).await {
            Ok(Ok(has)) => Ok(HasKey(has)),
            Ok(Err(waits)) => {
                let n = waits.before;
                let message = match waits.holder {
                    Some(holder) => format!("the job {holder} has the key {word:?}, and {n} wait before this one"),
                    None => format!("{n} jobs with the key {word:?} wait before this one"),
                };
                Err(Busy { message, after: look_again(self.id(), n) })
            }
            Err(error) => Err(Busy { message: format!("cannot take the key {word:?}: {error}"), after: LOOK_AGAIN }),
        }
    }

    fn put_off(&self, Busy { message, after }: Busy) -> Outcome {
        Outcome::Snooze { error: Failure::new(CODE, message), after, draft: self.draft() }
    }
}

fn lost(key: &ConcurrencyKey) -> Busy {
    let message = format!("another job took the key {:?}: this one's lease had ended", key.as_str());
    Busy { message, after: LOOK_AGAIN }
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
