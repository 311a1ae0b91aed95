//! The state machine in memory: what each step ought to do to the jobs. Knows nothing of Redis but the names of the lists.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::RangeInclusive,
};

use queue::{JobId, State};

use crate::steps::{DEAD_KEPT_MS, Ending, LEASE_MS, New, RETENTION_MS};

/// Jobs are numbered in the order in which they were pushed.
pub(crate) type Number = usize;

/// Positions in [`Model::lists`]; the first four are the priorities.
pub(crate) const SUSPECTS: usize = 4;
pub(crate) const HELD: usize = 5;

const MAX_ATTEMPTS: u32 = 3;
const ATTEMPTS_KEPT: u32 = 20;
const LOWEST_FIRST_EVERY: u64 = 16;

/// Where a job is: in exactly one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// In this list.
    Listed(usize),
    Scheduled {
        due_ms: RangeInclusive<u64>,
    },
    Retrying {
        due_ms: RangeInclusive<u64>,
    },
    Running {
        by: ClaimedBy,
        /// Someone cancelled it.
        stop: bool,
    },
    Dead {
        at_ms: u64,
    },
    Finished(State),
}

/// Who has a running job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ClaimedBy {
    Claim(String),
    /// A claim of this worker that was not made before.
    NewClaimOf(String),
}

/// What is stored of earlier attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Past {
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
    pub(crate) attempts: u32,
    pub(crate) snoozes: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) place: Place,
    pub(crate) past: Option<Past>,
    /// Not known while the answer to its push was lost and Redis has not been looked at.
    pub(crate) id: Option<JobId>,
    priority: usize,
    max_attempts: u32,
    /// A newer release wrote it.
    pub(crate) newer: bool,
    /// When it finished.
    pub(crate) finished_ms: u64,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) jobs: BTreeMap<Number, Job>,
    /// The ready jobs by priority, the suspects and those put aside; with those that were cancelled and are still in there.
    pub(crate) lists: [VecDeque<Number>; 6],
    /// Claim → end of its lease.
    pub(crate) leases: BTreeMap<String, u64>,
    /// Worker → the suspect that it runs.
    pub(crate) marks: BTreeMap<String, Number>,
    pub(crate) paused: bool,
    pub(crate) came_in: u64,
    pub(crate) went_out: u64,
}

/// What a claim ought to bring.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken {
    pub(crate) jobs: Vec<Number>,
    /// A newer release wrote them.
    pub(crate) aside: Vec<Number>,
    pub(crate) suspect: bool,
    pub(crate) left: bool,
    pub(crate) next_due_ms: Option<u64>,
}

impl Model {
    pub(crate) fn push(&mut self, number: Number, id: Option<JobId>, new: &New, now_ms: u64) {
        let place = match new.delay_ms {
            Some(delay) => Place::Scheduled { due_ms: exactly(now_ms + delay) },
            None => Place::Listed(new.priority),
        };
        if new.delay_ms.is_none() {
            self.lists[new.priority].push_back(number);
        }
        let max_attempts = new.max_attempts.unwrap_or(MAX_ATTEMPTS);
        let job = Job { place, past: None, id, priority: new.priority, max_attempts, newer: false, finished_ms: 0 };
        self.jobs.insert(number, job);
    }

    /// The `count`-th claim of `worker`, but for what it puts aside then.
    pub(crate) fn claim(&mut self, worker: &str, count: u64, want: usize, suspects: bool, now_ms: u64) -> Taken {
        if self.paused {
            return Taken::default();
        }
        self.promote(now_ms);
        let mut ids = Vec::new();
        let suspect = if suspects { self.lists[SUSPECTS].pop_front() } else { None };
        ids.extend(suspect);
        let mut order = [0, 1, 2, 3];
        if count.is_multiple_of(LOWEST_FIRST_EVERY) {
            order.reverse();
        }
        for priority in order {
            while suspect.is_none()
                && ids.len() < want
                && let Some(number) = self.lists[priority].pop_front()
            {
                ids.push(number);
            }
        }
        let left = self.n_ready() > 0 || (suspects && !self.lists[SUSPECTS].is_empty());
        let mut taken = Taken { left, next_due_ms: self.next_due_ms(), ..Taken::default() };
        for number in ids {
            // One that was cancelled is only dropped from its list.
            if let Some(job) = self.jobs.get_mut(&number).filter(|job| job.is_waiting()) {
                job.place = Place::Running { by: ClaimedBy::NewClaimOf(worker.to_owned()), stop: false };
                // A suspect that failed or was snoozed is not run beside others.
                let aside = job.newer || suspect.is_none() && job.is_suspect();
                if aside { &mut taken.aside } else { &mut taken.jobs }.push(number);
            }
        }
        taken.suspect = suspect.is_some() && taken.jobs.first() == suspect.as_ref();
        taken
    }

    /// Puts aside what was claimed and cannot be run, or not so.
    pub(crate) fn hold(&mut self, aside: &[Number]) {
        for number in aside {
            if let Some(job) = self.jobs.get_mut(number) {
                let list = if job.newer { HELD } else { SUSPECTS };
                job.place = Place::Listed(list);
                self.lists[list].push_back(*number);
            }
        }
    }

    /// Gives back `jobs` of a claim whose answer was lost, in the order in which it has them.
    pub(crate) fn give_back(&mut self, claim: &str, jobs: &[Number], now_ms: u64) {
        for number in jobs.iter().rev() {
            let Some(job) = self.jobs.get(number).filter(|job| job.is_held_by(claim)) else { continue };
            let suspect = job.is_suspect();
            if self.end_if_cancelled(*number, now_ms) {
                continue;
            }
            if suspect { self.suspect(*number) } else { self.list(*number, End::Front) }
        }
    }

    /// A job that someone cancelled while it ran waits for nothing any more.
    fn end_if_cancelled(&mut self, number: Number, now_ms: u64) -> bool {
        let Some(job) = self.jobs.get_mut(&number) else { return false };
        let stop = matches!(job.place, Place::Running { stop: true, .. });
        if stop {
            job.finish(State::Cancelled, now_ms);
        }
        stop
    }

    /// Makes due jobs ready: scheduled ones first, each by its time and then its id.
    fn promote(&mut self, now_ms: u64) {
        for retrying in [false, true] {
            let due_of = |job: &Job| match &job.place {
                Place::Scheduled { due_ms } if !retrying => Some(*due_ms.start()),
                Place::Retrying { due_ms } if retrying => Some(*due_ms.start()),
                _ => None,
            };
            let mut due: Vec<_> = self
                .jobs
                .iter()
                .filter_map(|(number, job)| Some((due_of(job)?, job.id, *number)))
                .filter(|(due_ms, ..)| *due_ms <= now_ms)
                .collect();
            due.sort();
            for (.., number) in due {
                self.list(number, End::Back);
            }
        }
    }

    fn list(&mut self, number: Number, end: End) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.place = Place::Listed(job.priority);
        match end {
            End::Front => self.lists[job.priority].push_front(number),
            End::Back => self.lists[job.priority].push_back(number),
        }
    }

    fn suspect(&mut self, number: Number) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.place = Place::Listed(SUSPECTS);
            self.lists[SUSPECTS].push_back(number);
        }
    }

    pub(crate) fn is_held(&self, number: Number, claim: &str) -> bool {
        self.jobs.get(&number).is_some_and(|job| job.is_held_by(claim))
    }

    /// False: refused, because `claim` no longer has the job. `decided_ms`: when the run ended.
    pub(crate) fn settle(&mut self, number: Number, claim: &str, ending: Ending, decided_ms: u64, now_ms: u64) -> bool {
        let Some(job) = self.jobs.get_mut(&number).filter(|job| job.is_held_by(claim)) else { return false };
        let failures = job.past.map_or(0, |past| past.failures);
        let last = failures + 1 >= job.max_attempts;
        let stop = matches!(job.place, Place::Running { stop: true, .. });
        match ending {
            Ending::Done => {
                if job.past.is_some() {
                    job.attempted();
                }
                job.finish(State::Succeeded, now_ms);
            }
            Ending::Cancelled => {
                job.attempted();
                job.finish(State::Cancelled, now_ms);
            }
            Ending::Expired => job.finish(State::Expired, now_ms),
            Ending::Retry | Ending::RetryAfter { .. } if last => job.die(now_ms),
            Ending::Dead => job.die(now_ms),
            Ending::Retry | Ending::RetryAfter { .. } if stop => {
                job.attempted().failures += 1;
                job.finish(State::Cancelled, now_ms);
            }
            Ending::Snooze { .. } if stop => {
                job.past.get_or_insert_default().snoozes += 1;
                job.finish(State::Cancelled, now_ms);
            }
            Ending::HandedBack { started: true } if stop => {
                job.attempted();
                job.finish(State::Cancelled, now_ms);
            }
            Ending::HandedBack { started: false } if stop => job.finish(State::Cancelled, now_ms),
            Ending::Retry => {
                job.attempted().failures += 1;
                let bound_ms = (2_000 << failures.min(10)).min(900_000);
                job.place = Place::Retrying { due_ms: decided_ms + 1..=decided_ms + bound_ms };
            }
            Ending::RetryAfter { ms } => {
                job.attempted().failures += 1;
                job.place = Place::Retrying { due_ms: exactly(decided_ms + ms) };
            }
            Ending::Snooze { ms } => {
                job.past.get_or_insert_default().snoozes += 1;
                job.place = Place::Scheduled { due_ms: exactly(decided_ms + ms) };
            }
            Ending::HandedBack { started } => {
                if started {
                    job.attempted();
                }
                if job.is_suspect() { self.suspect(number) } else { self.list(number, End::Front) }
            }
        }
        true
    }

    /// Extends the leases of `claims`; returns those that are lost.
    pub(crate) fn renew<'a>(&mut self, claims: impl Iterator<Item = &'a String>, now_ms: u64) -> Vec<String> {
        let mut lost = Vec::new();
        for claim in claims {
            match self.leases.get_mut(claim) {
                Some(end) => *end = now_ms + LEASE_MS,
                None => lost.push(claim.clone()),
            }
        }
        lost
    }

    /// Forgets dead letters that are too old.
    pub(crate) fn trim(&mut self, now_ms: u64) {
        let too_old = |at_ms: u64| at_ms <= now_ms.saturating_sub(DEAD_KEPT_MS);
        self.jobs.retain(|_, job| !matches!(job.place, Place::Dead { at_ms } if too_old(at_ms)));
    }

    /// Takes the jobs of expired leases from their workers. Returns how many.
    pub(crate) fn reclaim(&mut self, now_ms: u64) -> usize {
        let expired: BTreeSet<String> =
            self.leases.iter().filter(|(_, end)| **end <= now_ms).map(|(claim, _)| claim.clone()).collect();
        let abandoned: Vec<(Number, String)> = self
            .jobs
            .iter()
            .filter_map(|(number, job)| Some((*number, job.claim()?.to_owned())))
            .filter(|(_, claim)| expired.contains(claim))
            .collect();
        for (number, claim) in &abandoned {
            // While a worker ran a suspect, the suspect alone is blamed for its death. One that it had claimed with others was not run.
            let is_alone = || abandoned.iter().filter(|(_, other)| other == claim).count() == 1;
            let blamed = match self.marks.get(worker_of(claim)) {
                Some(suspect) => suspect == number,
                None => !self.jobs[number].is_suspect() || is_alone(),
            };
            self.crash(*number, blamed, now_ms);
        }
        abandoned.len()
    }

    fn crash(&mut self, number: Number, blamed: bool, now_ms: u64) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        job.attempted().crashes += u32::from(blamed);
        let crashes = job.past.map_or(0, |past| past.crashes);
        match crashes {
            3.. => job.place = Place::Dead { at_ms: now_ms },
            _ if self.end_if_cancelled(number, now_ms) => {}
            2 => self.suspect(number),
            _ => self.list(number, End::Front),
        }
    }

    pub(crate) fn put_aside(&mut self, priority: usize) {
        let Some(number) = self.lists[priority].pop_front() else { return };
        if let Some(job) = self.jobs.get_mut(&number).filter(|job| job.is_waiting()) {
            job.place = Place::Listed(HELD);
            self.lists[HELD].push_back(number);
        }
    }

    /// Returns how many are ready again.
    pub(crate) fn unhold(&mut self) -> u64 {
        let mut n = 0;
        for number in std::mem::take(&mut self.lists[HELD]) {
            match self.jobs.get(&number).filter(|job| job.is_waiting()) {
                Some(job) if job.newer => self.lists[HELD].push_back(number),
                Some(_) => {
                    self.list(number, End::Front);
                    n += 1;
                }
                None => {}
            }
        }
        n
    }

    /// The state that the answer names, or why not.
    pub(crate) fn cancel(&mut self, number: Number, now_ms: u64) -> Result<State, Refusal> {
        let job = self.jobs.get_mut(&number).ok_or(Refusal::NotFound)?;
        match &mut job.place {
            Place::Dead { .. } | Place::Finished(_) => return Err(Refusal::Conflict(job.state().name())),
            Place::Running { stop, .. } => *stop = true,
            // In a list its id stays, until a claim meets it.
            _ => job.finish(State::Cancelled, now_ms),
        }
        Ok(job.state())
    }

    pub(crate) fn retry(&mut self, number: Number) -> Result<State, Refusal> {
        let job = self.jobs.get_mut(&number).ok_or(Refusal::NotFound)?;
        if !job.is_retryable() {
            return Err(Refusal::Conflict(job.state().name()));
        }
        let past = job.past.get_or_insert_default();
        if !matches!(job.place, Place::Retrying { .. }) {
            (past.failures, past.crashes) = (0, 0);
        }
        // A cancelled job may still be in its list.
        match self.lists.iter().position(|list| list.contains(&number)) {
            Some(list) => job.place = Place::Listed(list),
            None => self.list(number, End::Back),
        }
        Ok(State::Ready)
    }

    pub(crate) fn dead(&self) -> Vec<Number> {
        let mut dead: Vec<_> = self
            .jobs
            .iter()
            .filter_map(|(number, job)| match job.place {
                Place::Dead { at_ms } => Some((at_ms, job.id, *number)),
                _ => None,
            })
            .collect();
        dead.sort();
        // As they are listed: newest first.
        dead.into_iter().rev().map(|(.., number)| number).collect()
    }

    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        let due = |job: &Job| match &job.place {
            Place::Scheduled { due_ms } | Place::Retrying { due_ms } => Some(*due_ms.start()),
            _ => None,
        };
        self.jobs.values().filter_map(due).min()
    }

    /// How many stand in the lists of ready jobs, with those that were cancelled.
    pub(crate) fn n_ready(&self) -> usize {
        self.lists[..SUSPECTS].iter().map(VecDeque::len).sum()
    }

    pub(crate) fn count(&self, state: State) -> u64 {
        self.jobs.values().filter(|job| job.state() == state).count() as u64
    }
}

/// Why a cancellation or a retry is refused.
#[derive(Debug, PartialEq)]
pub(crate) enum Refusal {
    NotFound,
    Conflict(&'static str),
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl Job {
    /// A job of a newer release.
    pub(crate) fn newer(id: JobId, priority: usize) -> Self {
        let place = Place::Listed(priority);
        Self { place, past: None, id: Some(id), priority, max_attempts: MAX_ATTEMPTS, newer: true, finished_ms: 0 }
    }

    pub(crate) fn state(&self) -> State {
        match self.place {
            Place::Listed(_) => State::Ready,
            Place::Scheduled { .. } => State::Scheduled,
            Place::Retrying { .. } => State::Retrying,
            Place::Running { .. } => State::Running,
            Place::Dead { .. } => State::Dead,
            Place::Finished(state) => state,
        }
    }

    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self.state(), State::Dead | State::Retrying | State::Cancelled | State::Expired)
    }

    /// The claim that has it.
    pub(crate) fn claim(&self) -> Option<&str> {
        match &self.place {
            Place::Running { by: ClaimedBy::Claim(claim), .. } => Some(claim),
            _ => None,
        }
    }

    /// Past its retention it may be gone.
    pub(crate) fn may_be_gone(&self, now_ms: u64) -> bool {
        matches!(self.place, Place::Finished(_)) && self.finished_ms + RETENTION_MS <= now_ms
    }

    fn is_suspect(&self) -> bool {
        self.past.is_some_and(|past| past.crashes >= 2)
    }

    fn is_waiting(&self) -> bool {
        matches!(self.place, Place::Listed(_))
    }

    fn is_held_by(&self, claim: &str) -> bool {
        self.claim() == Some(claim)
    }

    fn attempted(&mut self) -> &mut Past {
        let past = self.past.get_or_insert_default();
        past.attempts = (past.attempts + 1).min(ATTEMPTS_KEPT);
        past
    }

    fn die(&mut self, now_ms: u64) {
        self.attempted().failures += 1;
        self.place = Place::Dead { at_ms: now_ms };
    }

    fn finish(&mut self, state: State, now_ms: u64) {
        self.place = Place::Finished(state);
        self.finished_ms = now_ms;
    }
}

pub(crate) fn exactly(ms: u64) -> RangeInclusive<u64> {
    ms..=ms
}

/// A claim is written `host/pid/random/number@ms`, and its worker `host/pid`.
pub(crate) fn worker_of(claim: &str) -> &str {
    let end = claim.match_indices('/').nth(1).map_or(claim.len(), |(at, _)| at);
    &claim[..end]
}
