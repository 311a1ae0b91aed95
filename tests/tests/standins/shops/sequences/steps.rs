//! What can happen: jobs in any order, each run cut off, killed or left alone. Proptest makes a failing sequence shorter by leaving runs
//! out and by taking the smaller of each number.

use proptest::{collection::vec, prelude::*};
use providers::publication::Shop;
use tests::standins::Fault;

use super::said::{Said, said};

const MOST_JOBS: usize = 5;
const MOST_RUNS: usize = 10;
/// Of a run, at which something happens to it.
const MOST_REQUESTS: usize = 24;
const MOST_SAVES: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Sequence {
    /// By id, in order.
    pub(super) jobs: Vec<Job>,
    /// One after the other; then each job that is not at its end is run until it is.
    pub(super) runs: Vec<Run>,
    /// In which order that is done: of two jobs the one with the smaller number goes first.
    pub(super) rest: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) enum Job {
    Publish(Said),
    Unpublish,
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Modulo their number.
    pub(super) job: usize,
    pub(super) cut: Cut,
}

/// What happens to a run; numbers count from 1, and nothing happens to a run that makes fewer.
#[derive(Debug, Clone)]
pub(super) enum Cut {
    Never,
    /// This request is answered otherwise.
    Fault(usize, Fault),
    /// The worker is killed while this request is under way.
    Killed(usize, Fault),
    /// The worker is killed while this is noted for later runs.
    KilledSaving {
        nth: usize,
        is_kept: bool,
    },
}

fn cuts() -> impl Strategy<Value = Cut> {
    // Most runs take few requests.
    let request = || prop_oneof![3 => 1..=6_usize, 1 => 1..=MOST_REQUESTS];
    let fault =
        prop_oneof![Just(Fault::DropBefore), Just(Fault::DropAfter), Just(Fault::HalfBody), Just(Fault::status(502)),];
    let kill = prop_oneof![Just(Fault::Hang), Just(Fault::HangAfter)];
    prop_oneof![
        2 => Just(Cut::Never),
        3 => (request(), fault).prop_map(|(nth, fault)| Cut::Fault(nth, fault)),
        3 => (request(), kill).prop_map(|(nth, fault)| Cut::Killed(nth, fault)),
        1 => (1..=MOST_SAVES, any::<bool>()).prop_map(|(nth, is_kept)| Cut::KilledSaving { nth, is_kept }),
    ]
}

fn job(shop: Shop, has_variants: bool) -> BoxedStrategy<Job> {
    prop_oneof![
        5 => said(shop, has_variants, true).prop_map(Job::Publish),
        4 => said(shop, has_variants, false).prop_map(Job::Publish),
        1 => Just(Job::Unpublish),
    ]
    .boxed()
}

pub(super) fn sequences(shop: Shop) -> impl Strategy<Value = Sequence> {
    let of = move |has_variants: bool| {
        let jobs = vec(job(shop, has_variants), 1..=MOST_JOBS);
        let runs = vec((0..MOST_JOBS, cuts()).prop_map(|(job, cut)| Run { job, cut }), 0..=MOST_RUNS);
        (jobs, runs, vec(any::<u8>(), MOST_JOBS))
    };
    let sequence = |(jobs, runs, rest)| Sequence { jobs, runs, rest };
    prop_oneof![2 => of(false).prop_map(sequence), 1 => of(true).prop_map(sequence)]
}

/// Leaves out each run, and each field of a job, without which the sequence fails too.
pub(super) fn shorter(
    mut sequence: Sequence,
    mut fault: String,
    fails: impl Fn(&Sequence) -> Option<String>,
) -> (Sequence, String) {
    let mut is_shorter = true;
    while std::mem::take(&mut is_shorter) {
        for smaller in smaller(&sequence) {
            if let Some(found) = fails(&smaller) {
                (sequence, fault, is_shorter) = (smaller, found, true);
                break;
            }
        }
    }
    (sequence, fault)
}

/// The sequence with one thing less, in each way.
fn smaller(sequence: &Sequence) -> Vec<Sequence> {
    let mut all = Vec::new();
    for at in 0..sequence.runs.len() {
        let mut without = sequence.clone();
        without.runs.remove(at);
        all.push(without);
    }
    for (at, job) in sequence.jobs.iter().enumerate() {
        let Job::Publish(said) = job else { continue };
        for name in said.keys().filter(|name| !matches!(name.as_str(), "title" | "price")) {
            let mut without = sequence.clone();
            let mut said = said.clone();
            said.remove(name);
            without.jobs[at] = Job::Publish(said);
            all.push(without);
        }
    }
    all
}
