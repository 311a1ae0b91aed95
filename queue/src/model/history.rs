//! What only jobs have that were run before, or made ready again.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{
    attempt::{Attempt, AttemptOutcome},
    error::Error,
    outcome::Success,
    reports::Reports,
};

/// Only the last so many attempts of a job are kept in full.
const ATTEMPTS_KEPT: usize = 20;
/// After this many crashes a job is run alone.
const SUSPECT_AFTER: u32 = 2;

/// How often a job was put off without fault: runs that are no attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snoozed {
    #[serde(rename = "n")]
    pub(crate) count: u32,
    /// Why, the last time.
    #[serde(rename = "c")]
    pub(crate) last_code: String,
    #[serde(rename = "t")]
    pub(crate) last_ms: u64,
    /// How many steps (see [`History::steps`]) the job had made before that run.
    #[serde(rename = "i", default)]
    pub(crate) last_step: u32,
}

/// What only jobs have that were run before or made ready again: sparse, so that the common job does not pay for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// Attempts that used up one of `max_attempts`.
    #[serde(rename = "u", default)]
    pub(crate) failures: u32,
    /// How often a worker died with it.
    #[serde(rename = "c", default)]
    pub(crate) crashes: u32,
    /// The last 20.
    #[serde(rename = "a", default)]
    pub(crate) attempts: Vec<Attempt>,
    /// When it is next due, while it is scheduled again or retrying.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_ms: Option<u64>,
    /// A result that could not be stored yet.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) draft: Option<ByteBuf>,
    /// Attempts of any outcome, and times that someone made the job ready again; also those no longer kept. Never falls, so
    /// that ids of events count from it.
    #[serde(rename = "i", default)]
    pub(crate) steps: u32,
    /// When someone made the job ready, if it was not run since.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(crate) revived_ms: Option<u64>,
    /// What handlers have reported.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reports: Option<Reports>,
    /// Absent when it was never put off.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub(crate) snoozed: Option<Snoozed>,
}

impl History {
    pub(crate) fn add(&mut self, mut attempt: Attempt) {
        attempt.step = self.steps;
        attempt.revived_ms = self.revived_ms.take();
        self.steps += 1;
        if attempt.outcome.uses_attempt() && attempt.outcome != AttemptOutcome::Succeeded {
            self.failures += 1;
        }
        if attempt.outcome == AttemptOutcome::Crashed {
            self.crashes += 1;
        }
        self.attempts.push(attempt);
        let surplus = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..surplus);
    }

    /// A run that put the job off.
    pub(crate) fn snooze(&mut self, code: &str, at_ms: u64) {
        self.count_snooze(code, at_ms, self.steps);
        self.steps += 1;
        self.revived_ms = None;
    }

    fn count_snooze(&mut self, code: &str, last_ms: u64, last_step: u32) {
        let count = self.snoozed.as_ref().map_or(0, |snoozed| snoozed.count).saturating_add(1);
        self.snoozed = Some(Snoozed { count, last_code: code.to_owned(), last_ms, last_step });
    }

    /// As it is since snoozes are no attempts: they had their place among these, and their steps stay.
    pub(super) fn with_counted_snoozes(mut self) -> Self {
        let is_snooze = |attempt: &mut Attempt| attempt.outcome == AttemptOutcome::Snoozed;
        let snoozes: Vec<Attempt> = self.attempts.extract_if(.., is_snooze).collect();
        for snooze in snoozes {
            let code = snooze.error.map(|error| error.code).unwrap_or_default();
            self.count_snooze(&code, snooze.finished_ms, snooze.step);
        }
        self
    }

    /// Someone made the job ready again.
    pub(crate) fn revive(&mut self, now_ms: u64) {
        self.due_ms = None;
        self.steps += 1;
        self.revived_ms = Some(now_ms);
    }

    /// The number of the attempt that runs now or comes next.
    pub(crate) fn attempt(&self) -> u32 {
        self.failures + 1
    }

    /// Whether it is run alone from now on.
    pub(crate) fn is_suspect(&self) -> bool {
        self.crashes >= SUSPECT_AFTER
    }

    pub(crate) fn draft(&self) -> Option<Success> {
        self.draft.as_ref().map(|draft| Success::new(draft.to_vec()))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|e| Error::Invalid(format!("history of a job: {e}")))
    }

    /// The stored history; one that cannot be read counts as none, because losing it is better than losing the job.
    pub(crate) fn decode(bytes: Option<&[u8]>) -> Self {
        let stored = bytes.and_then(|bytes| rmp_serde::from_slice::<Self>(bytes).ok());
        stored.map(Self::with_counted_snoozes).unwrap_or_default()
    }
}
