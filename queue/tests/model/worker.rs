//! A worker of the queue: its session, and what that ought to know.

use std::{collections::BTreeMap, time::Duration};

use queue::{Claimed, Failure, Outcome, Session, Settlement, Success, Verdict};

use crate::{model::Number, steps::Ending};

/// A session, and what it knows.
pub(crate) struct Worker {
    pub(crate) session: Session,
    pub(crate) name: String,
    pub(crate) n_claims: u64,
    /// Jobs whose runs have not ended; also those whose leases are lost.
    running: Vec<Running>,
    /// Ends of runs that are still to be written, in the order of `settlements`.
    pub(crate) ended: Vec<Ended>,
    /// Of them, those whose call was sent and not answered: it is sent again first.
    pub(crate) sealed: Vec<Ended>,
    pub(crate) settlements: Vec<Settlement>,
    /// Claim → how many of its jobs are not settled.
    pub(crate) claims: BTreeMap<String, usize>,
    pub(crate) held: BTreeMap<Number, String>,
    pub(crate) suspect: Option<Number>,
    /// An answer about the mark was lost.
    pub(crate) mark_unsure: bool,
}

struct Running {
    number: Number,
    claim: String,
    job: Claimed,
    reports: Reports,
}

/// What became of what its handler has reported.
#[derive(PartialEq)]
enum Reports {
    Written,
    Waiting,
    /// It is no longer asked.
    Refused,
}

#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) number: Number,
    pub(crate) claim: String,
    pub(crate) ending: Ending,
    pub(crate) decided_ms: u64,
}

impl Worker {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            name: session.worker().to_owned(),
            session,
            n_claims: 0,
            running: Vec::new(),
            ended: Vec::new(),
            sealed: Vec::new(),
            settlements: Vec::new(),
            claims: BTreeMap::new(),
            held: BTreeMap::new(),
            suspect: None,
            mark_unsure: false,
        }
    }

    /// It has claimed these jobs.
    pub(crate) fn take(&mut self, claim: &str, numbers: Vec<Number>, jobs: Vec<Claimed>) {
        self.claims.insert(claim.to_owned(), numbers.len());
        for (number, job) in numbers.into_iter().zip(jobs) {
            self.held.insert(number, claim.to_owned());
            self.running.push(Running { number, claim: claim.to_owned(), job, reports: Reports::Written });
        }
    }

    /// The run of the `n`-th of its jobs ends.
    pub(crate) fn end(&mut self, n: u8, ending: Ending, now_ms: u64) -> Result<(), String> {
        let Some(at) = usize::from(n).checked_rem(self.running.len()) else { return Ok(()) };
        let Running { number, claim, job, .. } = self.running.remove(at);
        let settlement = self.session.verdict(&job, verdict(ending), now_ms).map_err(|e| e.to_string())?;
        self.settlements.push(settlement);
        self.ended.push(Ended { number, claim, ending, decided_ms: now_ms });
        Ok(())
    }

    /// The handler of the `n`-th of its jobs reports.
    pub(crate) fn report(&mut self, n: u8) {
        let Some(at) = usize::from(n).checked_rem(self.running.len()) else { return };
        let running = &mut self.running[at];
        running.job.reporter().set(n, "weighing");
        if running.reports != Reports::Refused {
            running.reports = Reports::Waiting;
        }
    }

    /// The jobs whose reports are to be written, and their claims.
    pub(crate) fn reporting(&self) -> impl Iterator<Item = (Number, &str)> {
        let waiting = self.running.iter().filter(|running| running.reports == Reports::Waiting);
        waiting.map(|running| (running.number, running.claim.as_str()))
    }

    /// All reports are written, but those that were refused.
    pub(crate) fn reported(&mut self, is_refused: impl Fn(Number, &str) -> bool) {
        for running in self.running.iter_mut().filter(|running| running.reports == Reports::Waiting) {
            let refused = is_refused(running.number, &running.claim);
            running.reports = if refused { Reports::Refused } else { Reports::Written };
        }
    }

    /// Once it no longer holds the suspect, its mark is cleared; that fails without a word, and is tried again.
    pub(crate) fn forget_suspect(&mut self, was_cut: bool) {
        if self.suspect.is_none_or(|suspect| self.held.contains_key(&suspect)) {
            return;
        }
        self.mark_unsure = was_cut;
        if !was_cut {
            self.suspect = None;
        }
    }

    /// Drops the ends of runs whose job it has claimed again since. Returns how many.
    pub(crate) fn drop_outdated(&mut self) -> usize {
        let held = &self.held;
        let is_outdated = |ended: &mut Ended| held.get(&ended.number).is_some_and(|claim| *claim != ended.claim);
        let outdated: Vec<Ended> = self.ended.extract_if(.., is_outdated).collect();
        outdated.iter().for_each(|ended| self.let_go(ended));
        outdated.len()
    }

    /// What is to be written, in the calls in which it is: the one that was not answered, then one for jobs that end and one for
    /// those that go back.
    pub(crate) fn calls(&mut self) -> [Vec<Ended>; 3] {
        let first = self.ended.first().is_some_and(|ended| ends(ended.ending));
        let (first, second) = self.ended.drain(..).partition(|ended| ends(ended.ending) == first);
        [std::mem::take(&mut self.sealed), first, second]
    }

    pub(crate) fn lose(&mut self, claim: &str) {
        self.claims.remove(claim);
        self.held.retain(|_, by| by != claim);
    }

    /// It is written how this run ended, or refused.
    pub(crate) fn let_go(&mut self, ended: &Ended) {
        if self.held.get(&ended.number) == Some(&ended.claim) {
            self.held.remove(&ended.number);
        }
        if let Some(left) = self.claims.get_mut(&ended.claim) {
            *left -= 1;
            if *left == 0 {
                self.claims.remove(&ended.claim);
            }
        }
    }
}

/// Whether the job ends with it.
fn ends(ending: Ending) -> bool {
    matches!(ending, Ending::Done | Ending::Cancelled | Ending::Expired)
}

fn verdict(ending: Ending) -> Verdict {
    let error = Failure::new("broken", "the scale is broken");
    let after = Duration::from_millis;
    Verdict::Ran(match ending {
        Ending::Done => Outcome::Done(Success::default()),
        Ending::Retry => Outcome::Retry { error, after: None },
        Ending::RetryAfter { ms } => Outcome::Retry { error, after: Some(after(ms)) },
        Ending::Snooze { ms } => Outcome::Snooze { error, after: after(ms), draft: None },
        Ending::Dead => Outcome::Dead(error),
        Ending::Cancelled => return Verdict::Cancelled,
        Ending::Expired => return Verdict::Expired,
        Ending::HandedBack { started } => return Verdict::HandedBack { started },
    })
}
