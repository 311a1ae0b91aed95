//! What a replica holds: jobs, and the claims that have them.

use std::{
    collections::HashMap,
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
    pub(super) jobs: HashMap<JobId, HeldJob>,
    pub(super) claims: HashMap<Arc<str>, HeldClaim>,
}

impl Held {
    /// It is written how this job's run ended, or refused.
    pub(super) fn let_go(&mut self, id: JobId, claim: &Arc<str>) {
        if self.jobs.get(&id).is_some_and(|job| job.claim == *claim) {
            self.jobs.remove(&id);
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
}

#[derive(Debug)]
pub(super) struct HeldClaim {
    pub(super) partition: Arc<Partition>,
    /// Jobs that are not known to be settled.
    pub(super) left: usize,
    /// How many of them are being written: Redis may have done it, and its answer be on the way.
    pub(super) sealed: usize,
}
