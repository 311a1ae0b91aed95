//! Compares the model with what Redis holds, and takes over from Redis what the model leaves open.

use std::collections::BTreeSet;

use crate::{
    model::{ClaimedBy, Job, Model, Number, Place, worker_of},
    reader::{Seen, SeenJob},
    steps::LEASE_MS,
};

/// How much the model leaves open after a step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Slack {
    /// The answer was lost: each job is as before, or as after the step.
    pub(crate) lost: bool,
    /// Jobs of one worker go back in no order.
    pub(crate) unordered: bool,
}

impl Model {
    /// `between`: what may be seen besides when the answer was lost, because the step sends several calls.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn agree(
        &mut self,
        before: &Self,
        between: &[Self],
        seen: &Seen,
        slack: Slack,
        now_ms: u64,
    ) -> Result<(), String> {
        let old = slack.lost.then_some(before);
        let between = if slack.lost { between } else { &[] };
        let expected = std::mem::take(&mut self.jobs);
        let numbers: BTreeSet<Number> =
            expected.keys().chain(seen.jobs.keys()).chain(before.jobs.keys()).copied().collect();
        for number in numbers {
            let found = seen.jobs.get(&number);
            let after = expected.get(&number);
            let job = [after]
                .into_iter()
                .chain(old.into_iter().chain(between).map(|old| old.jobs.get(&number)))
                .find(|job| fits(*job, found, now_ms))
                .ok_or_else(|| {
                    format!("job {number} ought to be {}, and redis has {}", tell(after), tell_seen(found))
                })?;
            if let (Some(job), Some(found)) = (job, found) {
                let mut job = job.clone();
                (job.id, job.place) = (Some(found.id), found.place.clone());
                self.jobs.insert(number, job);
            }
        }
        self.agree_on_leases(old, seen, now_ms)?;
        self.agree_on_lists(seen, slack)?;
        self.agree_on_counts(before, seen)?;
        if self.paused != seen.paused && old.is_none_or(|old| old.paused != seen.paused) {
            return Err(format!("the queue ought to be paused: {}; redis says {}", self.paused, seen.paused));
        }
        self.paused = seen.paused;
        self.marks.clone_from(&seen.marks);
        Ok(())
    }

    fn agree_on_leases(&mut self, old: Option<&Self>, seen: &Seen, now_ms: u64) -> Result<(), String> {
        let claims: BTreeSet<&str> = self.jobs.values().filter_map(Job::claim).collect();
        for (claim, end) in &seen.leases {
            if !claims.contains(claim.as_str()) {
                return Err(format!("the lease of {claim} is without a running job"));
            }
            let new = claims.contains(claim.as_str()).then_some(now_ms + LEASE_MS);
            let expected = self.leases.get(claim).copied().or(new).unwrap_or(0);
            let before = old.and_then(|old| old.leases.get(claim));
            if *end != expected && before != Some(end) {
                return Err(format!("the lease of {claim} ought to end at {expected}, and ends at {end}"));
            }
        }
        self.leases.clone_from(&seen.leases);
        Ok(())
    }

    fn agree_on_lists(&mut self, seen: &Seen, slack: Slack) -> Result<(), String> {
        for (list, (expected, found)) in self.lists.iter_mut().zip(&seen.lists).enumerate() {
            // Which jobs are in it was compared job by job.
            if !slack.lost && !slack.unordered && expected != found {
                return Err(format!("list {list} ought to be {expected:?}, and is {found:?}"));
            }
            expected.clone_from(found);
        }
        Ok(())
    }

    /// The counters of the minutes count every push, and every end of a run.
    fn agree_on_counts(&mut self, before: &Self, seen: &Seen) -> Result<(), String> {
        let came = self.jobs.iter().filter(|(number, job)| !job.newer && !before.jobs.contains_key(number)).count();
        let ended = |number: &Number| {
            let ran = before.jobs.get(number).is_some_and(|job| matches!(job.place, Place::Running { .. }));
            ran && self.jobs.get(number).is_some_and(|job| matches!(job.place, Place::Dead { .. } | Place::Finished(_)))
        };
        let went = self.jobs.keys().filter(|number| ended(number)).count();
        self.came_in = before.came_in + came as u64;
        self.went_out = before.went_out + went as u64;
        let (expected, found) = ((self.came_in, self.went_out), (seen.came_in, seen.went_out));
        if expected != found {
            return Err(format!("{expected:?} jobs came in and went out, and the minutes count {found:?}"));
        }
        Ok(())
    }
}

fn fits(expected: Option<&Job>, found: Option<&SeenJob>, now_ms: u64) -> bool {
    match (expected, found) {
        (None, None) => true,
        (Some(expected), None) => expected.may_be_gone(now_ms),
        (None, Some(_)) => false,
        (Some(expected), Some(found)) => {
            expected.past == found.past
                && expected.id.is_none_or(|id| id == found.id)
                && fits_place(&expected.place, &found.place)
        }
    }
}

fn fits_place(expected: &Place, found: &Place) -> bool {
    match (expected, found) {
        (Place::Scheduled { due_ms }, Place::Scheduled { due_ms: found })
        | (Place::Retrying { due_ms }, Place::Retrying { due_ms: found }) => due_ms.contains(found.start()),
        (Place::Running { by, stop }, Place::Running { by: ClaimedBy::Claim(found), stop: found_stop }) => {
            let same = match by {
                ClaimedBy::Claim(claim) => claim == found,
                ClaimedBy::NewClaimOf(worker) => worker_of(found) == worker,
            };
            same && stop == found_stop
        }
        _ => expected == found,
    }
}

fn tell(job: Option<&Job>) -> String {
    job.map_or("gone".to_owned(), |job| format!("{:?} after {:?}", job.place, job.past))
}

fn tell_seen(job: Option<&SeenJob>) -> String {
    job.map_or("none".to_owned(), |job| format!("{:?} after {:?}", job.place, job.past))
}
