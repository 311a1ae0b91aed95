//! What can happen, and how sequences of it are drawn. Proptest makes a failing sequence shorter by leaving steps out and by taking
//! the smaller of each number.

use proptest::{collection::vec, prelude::*};

/// How many workers there are at any time.
pub(crate) const WORKERS: usize = 3;
pub(crate) const LEASE_MS: u64 = 12_000;
pub(crate) const RETENTION_MS: u64 = 24 * 3_600_000;
pub(crate) const DEAD_KEPT_MS: u64 = 180 * 24 * 3_600_000;
/// Finished jobs are kept in buckets of this width.
pub(crate) const WIDTH_MS: u64 = RETENTION_MS / 24;

/// One step, and what happens to the wire meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) cut: Option<Cut>,
}

/// The connection breaks at one of the requests that the step sends; it is made again for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// At which request, from 1.
    pub(crate) request: u8,
    /// Redis got the request and carried it out; only its answer is lost.
    pub(crate) carried_out: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Push(Vec<New>),
    /// A newer release pushes a job whose record this release cannot read.
    PushNewer {
        priority: usize,
    },
    /// `woken`: the worker took the wake token before.
    Claim {
        worker: usize,
        want: usize,
        woken: bool,
    },
    Settle {
        worker: usize,
        jobs: Vec<(u8, Ending)>,
    },
    /// The handler of one of its jobs reports, and it writes what handlers have reported.
    Report {
        worker: usize,
        n: u8,
    },
    Renew {
        worker: usize,
    },
    Upkeep {
        worker: usize,
        reclaim: bool,
    },
    /// Another process takes the worker's place, and knows nothing of what it held.
    Die {
        worker: usize,
    },
    Beat {
        worker: usize,
    },
    /// A worker of an older release puts the first ready job of this priority aside.
    PutAside {
        priority: usize,
    },
    Unhold {
        worker: usize,
    },
    Cancel(Pick),
    Retry(Pick),
    /// Of all dead jobs, or one.
    ReplayDead(Option<Pick>),
    DeleteDead(Option<Pick>),
    Pause,
    Resume,
    LookAtJob(Pick),
    LookAtQueue,
    Pass(Time),
}

#[derive(Debug, Clone, Default)]
pub(crate) struct New {
    pub(crate) priority: usize,
    pub(crate) delay_ms: Option<u64>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) expires: bool,
}

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Retry,
    RetryAfter { ms: u64 },
    Snooze { ms: u64 },
    Dead,
    Cancelled,
    Expired,
    HandedBack { started: bool },
}

/// One of the jobs there are: of those for which the step is meant, or of `any`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pick {
    pub(crate) n: u8,
    pub(crate) any: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Time {
    Ms(u64),
    /// Until the next job is due.
    ToNextDue,
    Lease,
    /// Into another bucket of finished jobs.
    Bucket,
    /// Until buckets of now are to be freed.
    Retention,
    DeadKept,
}

/// Sequences of `most` steps at most; with `cuts`, some of them lose their connection.
pub(crate) fn sequences(most: usize, cuts: bool) -> impl Strategy<Value = Vec<Step>> {
    vec(step(cuts), 1..=most)
}

fn step(cuts: bool) -> impl Strategy<Value = Step> {
    let cut = if cuts { prop_oneof![5 => Just(None), 1 => cut().prop_map(Some)].boxed() } else { Just(None).boxed() };
    (action(), cut).prop_map(|(action, cut)| Step { action, cut })
}

fn cut() -> impl Strategy<Value = Cut> {
    (1..=3_u8, any::<bool>()).prop_map(|(request, carried_out)| Cut { request, carried_out })
}

fn action() -> impl Strategy<Value = Action> {
    let worker = 0..WORKERS;
    prop_oneof![
        12 => vec(new(), 1..=4).prop_map(Action::Push),
        1 => (0..4_usize).prop_map(|priority| Action::PushNewer { priority }),
        18 => (worker.clone(), 1..=5_usize, any::<bool>())
            .prop_map(|(worker, want, woken)| Action::Claim { worker, want, woken }),
        22 => (worker.clone(), vec((any::<u8>(), ending()), 1..=4))
            .prop_map(|(worker, jobs)| Action::Settle { worker, jobs }),
        6 => (worker.clone(), any::<u8>()).prop_map(|(worker, n)| Action::Report { worker, n }),
        4 => worker.clone().prop_map(|worker| Action::Renew { worker }),
        8 => (worker.clone(), prop_oneof![3 => Just(true), 1 => Just(false)])
            .prop_map(|(worker, reclaim)| Action::Upkeep { worker, reclaim }),
        3 => worker.clone().prop_map(|worker| Action::Die { worker }),
        1 => worker.clone().prop_map(|worker| Action::Beat { worker }),
        1 => (0..4_usize).prop_map(|priority| Action::PutAside { priority }),
        1 => worker.prop_map(|worker| Action::Unhold { worker }),
        6 => pick().prop_map(Action::Cancel),
        6 => pick().prop_map(Action::Retry),
        2 => proptest::option::of(pick()).prop_map(Action::ReplayDead),
        1 => proptest::option::of(pick()).prop_map(Action::DeleteDead),
        1 => Just(Action::Pause),
        2 => Just(Action::Resume),
        2 => pick().prop_map(Action::LookAtJob),
        1 => Just(Action::LookAtQueue),
        14 => time().prop_map(Action::Pass),
    ]
}

fn new() -> impl Strategy<Value = New> {
    let delay_ms = prop_oneof![3 => Just(None), 1 => (1..=20_000_u64).prop_map(Some)];
    let max_attempts = prop_oneof![2 => Just(None), 1 => (1..=4_u32).prop_map(Some)];
    (0..4_usize, delay_ms, max_attempts, any::<bool>()).prop_map(|(priority, delay_ms, max_attempts, expires)| New {
        priority,
        delay_ms,
        max_attempts,
        expires,
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        6 => Just(Ending::Done),
        4 => Just(Ending::Retry),
        1 => (1_000..=30_000_u64).prop_map(|ms| Ending::RetryAfter { ms }),
        2 => (1_000..=30_000_u64).prop_map(|ms| Ending::Snooze { ms }),
        2 => Just(Ending::Dead),
        2 => Just(Ending::Cancelled),
        1 => Just(Ending::Expired),
        2 => any::<bool>().prop_map(|started| Ending::HandedBack { started }),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    (any::<u8>(), prop_oneof![4 => Just(false), 1 => Just(true)]).prop_map(|(n, any)| Pick { n, any })
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        12 => (1..=5_000_u64).prop_map(Time::Ms),
        6 => Just(Time::ToNextDue),
        10 => Just(Time::Lease),
        2 => Just(Time::Bucket),
        2 => Just(Time::Retention),
        1 => Just(Time::DeadKept),
    ]
}
