//! What a replica holds: jobs, and the claims that have them.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::AbortHandle;

use crate::{keys::Partition, model::id::JobId};

/// Why a running handler is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Someone cancelled the job.
    Cancelled,
    /// The lease is lost: nothing may be written any more.
    Lost,
    /// The replica shuts down.
    HandBack,
}

/// Lets others stop a running handler.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    pub(crate) handle: AbortHandle,
    why: Arc<Mutex<Option<Stop>>>,
}

impl Stopper {
    pub(crate) fn new(handle: AbortHandle) -> Self {
        Self { handle, why: Arc::default() }
    }

    pub(super) fn stop(&self, why: Stop) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.handle.abort();
    }

    pub(crate) fn why(&self) -> Option<Stop> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) jobs: HashMap<JobId, HeldJob, BuildHasherDefault<IdHasher>>,
    pub(super) claims: HashMap<Arc<str>, HeldClaim>,
}

/// Half of an id is random already.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(random) = bytes.last_chunk() {
            // The table looks at the lowest bits and at the highest ones.
            self.0 = u64::from_le_bytes(*random).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Held {
    /// A claim has this job. An earlier one may have it as well, whose end of the job is written and not answered.
    pub(super) fn hold(&mut self, id: JobId, claim: &Arc<str>) {
        let job = |before| HeldJob { claim: claim.clone(), stopper: None, before };
        match self.jobs.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(job(None))),
            Entry::Occupied(mut entry) => {
                let before = entry.get().claim.clone();
                entry.insert(job(Some(before)));
            }
        }
    }

    /// It is written how this job's run ended, or refused.
    pub(super) fn let_go(&mut self, id: JobId, claim: &Arc<str>) {
        if let Entry::Occupied(mut job) = self.jobs.entry(id) {
            if job.get().is_of(claim) {
                job.remove();
            } else if job.get().before.as_ref() == Some(claim) {
                job.get_mut().before = None;
            }
        }
    }

    /// A claim whose jobs could not be read has this one no longer: it is as if it had never had it.
    pub(super) fn give_up(&mut self, id: JobId, claim: &Arc<str>) {
        if let Entry::Occupied(mut job) = self.jobs.entry(id)
            && job.get().is_of(claim)
        {
            match job.get_mut().before.take() {
                Some(before) => job.get_mut().claim = before,
                None => drop(job.remove()),
            }
        }
    }

    /// The ends of so many more jobs of a claim are being written.
    pub(super) fn sealed(&mut self, claim: &Arc<str>, n: usize) {
        if let Some(claim) = self.claims.get_mut(claim) {
            claim.sealed += n;
        }
    }

    /// So many more jobs of a claim, whose ends were being written, are settled.
    pub(super) fn settled(&mut self, claim: &Arc<str>, n: usize) {
        if let Some(held) = self.claims.get_mut(claim) {
            held.left = held.left.saturating_sub(n);
            held.sealed = held.sealed.saturating_sub(n);
            if held.left == 0 {
                self.claims.remove(claim);
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct HeldJob {
    pub(super) claim: Arc<str>,
    pub(super) stopper: Option<Stopper>,
    /// The earlier claim that has it as well.
    before: Option<Arc<str>>,
}

impl HeldJob {
    pub(super) fn is_of(&self, claim: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.claim, claim) || self.claim == *claim
    }
}

#[derive(Debug)]
pub(super) struct HeldClaim {
    pub(super) partition: Arc<Partition>,
    /// Jobs that are not known to be settled.
    pub(super) left: usize,
    /// How many of them are being written: Redis may have done it, and its answer be on the way.
    pub(super) sealed: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(held: &Held, id: JobId) -> Option<&str> {
        held.jobs.get(&id).map(|job| &*job.claim)
    }

    #[test]
    fn a_claim_that_could_not_be_read_leaves_what_an_earlier_one_holds() {
        let (id, first, second): (_, Arc<str>, Arc<str>) = (JobId::new(0, 1), "w/1".into(), "w/2".into());
        let mut held = Held::default();
        held.hold(id, &first);
        held.hold(id, &second);
        held.give_up(id, &second);
        assert_eq!(claims(&held, id), Some("w/1"));
        // Unless the end that the earlier one wrote was answered meanwhile.
        held.hold(id, &second);
        held.let_go(id, &first);
        assert_eq!(claims(&held, id), Some("w/2"));
        held.give_up(id, &second);
        assert_eq!(claims(&held, id), None);
        // What is written of the later one is the end of both.
        held.hold(id, &first);
        held.hold(id, &second);
        held.let_go(id, &second);
        assert_eq!(claims(&held, id), None);
    }
}
