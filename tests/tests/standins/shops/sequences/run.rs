//! Runs a sequence at a stand-in and looks at what it holds in the end.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Add,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::future::{BoxFuture, FutureExt};
use providers::{
    ProviderError,
    publication::{Action, Listing, Notes, Patch, Publication, PublishError, Shop},
};
use serde_json::Value;
use tests::standins::any_shop::AnyShop;
use tokio::sync::Notify;

use super::{
    super::Till,
    merge::{Merge, may_be_shown},
    said::{self, Said},
    steps::{Cut, Job, Sequence},
};

/// So often a job is run until it is at its end, when nothing more is cut off.
const MOST_RUNS: usize = 20;

/// What happened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    jobs: usize,
    runs: usize,
    requests: usize,
    cut: usize,
    killed: usize,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            jobs: self.jobs + other.jobs,
            runs: self.runs + other.runs,
            requests: self.requests + other.requests,
            cut: self.cut + other.cut,
            killed: self.killed + other.killed,
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { jobs, runs, requests, cut, killed } = self;
        write!(
            f,
            "{jobs} jobs accepted, {runs} runs with {requests} requests, of which {cut} were cut off and {killed} killed"
        )
    }
}

/// Notes whose worker dies at the `nth` time that something is saved.
struct Mortal<'a> {
    notes: &'a dyn Notes,
    nth: usize,
    is_kept: bool,
    n_saved: AtomicUsize,
    died: Notify,
}

impl Notes for Mortal<'_> {
    fn save<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>> {
        async move {
            if self.n_saved.fetch_add(1, Ordering::Relaxed) + 1 != self.nth {
                return self.notes.save(listing).await;
            }
            if self.is_kept {
                self.notes.save(listing).await?;
            }
            self.died.notify_one();
            std::future::pending().await
        }
        .boxed()
    }
}

type Outcome = Result<Publication, PublishError>;

/// One shop with the jobs of a sequence.
struct Course<'a> {
    shop: Shop,
    standin: AnyShop,
    till: Till,
    sequence: &'a Sequence,
    /// Whether jobs have ids of their own.
    is_ordered: bool,
    merge: Merge,
    /// Jobs that were refused, as they had to be.
    refused: BTreeSet<usize>,
    maker: Option<usize>,
    counts: Counts,
}

/// How the sequence goes, and what is wrong in the end.
pub(super) async fn run(shop: Shop, sequence: &Sequence, is_ordered: bool) -> (Counts, Option<String>) {
    let standin = AnyShop::start(shop).await.unwrap();
    let variables = standin.variables();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let till = Till::new(shop, &variables, "CUP-1");
    let mut course = Course {
        shop,
        standin,
        till,
        sequence,
        is_ordered,
        merge: Merge::default(),
        refused: BTreeSet::new(),
        maker: None,
        counts: Counts::default(),
    };
    let fault = course.run().await.err();
    course.counts.jobs = course.merge.ids().len();
    course.counts.requests = course.standin.faults().n_requests();
    (course.counts, fault)
}

impl Course<'_> {
    async fn run(&mut self) -> Result<(), String> {
        for run in &self.sequence.runs {
            let job = run.job % self.sequence.jobs.len();
            if !self.refused.contains(&job) {
                let outcome = self.once(job, &run.cut).await;
                self.note(job, outcome)?;
            }
        }
        for job in self.in_any_order((0..self.sequence.jobs.len()).collect()) {
            self.finish(job).await?;
        }
        self.look().map_err(|fault| format!("{fault}\nmemory: {:#?}", self.till.listing()))?;
        // A worker that died right after the end of its job has it run again.
        let before = self.standin.products();
        for job in self.in_any_order(self.merge.ids()) {
            self.finish(job).await?;
        }
        match self.standin.products() {
            after if after == before => Ok(()),
            after => Err(format!("jobs at their end change something: {before:?} to {after:?}")),
        }
    }

    fn in_any_order(&self, mut jobs: Vec<usize>) -> Vec<usize> {
        jobs.sort_by_key(|job| (self.sequence.rest[*job], *job));
        jobs
    }

    async fn finish(&mut self, job: usize) -> Result<(), String> {
        for _ in 0..MOST_RUNS {
            if self.refused.contains(&job) {
                return Ok(());
            }
            let outcome = self.once(job, &Cut::Never).await;
            let is_done = outcome.as_ref().is_some_and(Result::is_ok);
            self.note(job, outcome)?;
            if is_done {
                return Ok(());
            }
        }
        Err(format!("job {} never came to an end", job + 1))
    }

    /// One run; `None`: it was killed.
    async fn once(&mut self, job: usize, cut: &Cut) -> Option<Outcome> {
        let (action, patch) = match &self.sequence.jobs[job] {
            Job::Publish(said) => (Action::Publish, said::patch(said, self.shop)),
            Job::Unpublish => (Action::Unpublish, Patch::default()),
        };
        let faults = self.standin.faults();
        let (nth, is_kept) = match cut {
            Cut::KilledSaving { nth, is_kept } => (*nth, *is_kept),
            _ => (0, false),
        };
        if let Cut::Fault(nth, fault) | Cut::Killed(nth, fault) = cut {
            faults.nth(*nth, fault.clone());
        }
        let mortal =
            Mortal { notes: self.till.notes(), nth, is_kept, n_saved: AtomicUsize::new(0), died: Notify::new() };
        let id = if self.is_ordered { job + 1 } else { 1 }.to_string();
        let hangs = faults.hangs();
        let outcome = tokio::select! {
            outcome = self.till.run_noting(&mortal, &id, action, &patch, false) => Some(outcome),
            () = hangs => None,
            () = mortal.died.notified() => None,
        };
        self.counts.runs += 1;
        self.counts.killed += usize::from(outcome.is_none());
        self.counts.cut += usize::from(outcome.is_some() && faults.all_met() && matches!(cut, Cut::Fault(..)));
        faults.recover();
        if self.maker.is_none() && !self.standin.products().is_empty() {
            self.maker = Some(job);
        }
        outcome
    }

    fn note(&mut self, job: usize, outcome: Option<Outcome>) -> Result<(), String> {
        let is_there = self.maker.is_some();
        match outcome {
            Some(Ok(_)) => self.merge.accept(job, &self.sequence.jobs[job]),
            Some(Err(PublishError::Provider(ProviderError::Held { retry_in, .. }))) => self.till.pass(retry_in),
            None
            | Some(Err(PublishError::Provider(
                ProviderError::Transient { .. }
                | ProviderError::UnknownOutcome { .. }
                | ProviderError::RateLimited { .. },
            ))) => {}
            Some(Err(PublishError::Refused(_))) if !is_there && !is_whole(&self.sequence.jobs[job]) => {
                self.refused.insert(job);
            }
            Some(Err(error)) => return Err(format!("job {} failed: {error}", job + 1)),
        }
        Ok(())
    }

    /// What the shop holds, and what customers saw.
    fn look(&self) -> Result<(), String> {
        let products = self.standin.products();
        let shown = self.standin.shown();
        let Some(maker) = self.maker else {
            return if products.is_empty() && shown.is_empty() { Ok(()) } else { Err("who made it?".to_owned()) };
        };
        let [is] = products.as_slice() else {
            return Err(format!("there are {} products: {products:?}", products.len()));
        };
        let mut ought = self.merge.fields(maker);
        if ought.contains_key("variants") {
            // These have prices of their own.
            ought.remove("price");
        }
        for (name, ought) in &ought {
            let is = is.get(name).unwrap_or(&Value::Null);
            if is != ought {
                return Err(format!("{name} is {is} and ought to be {ought}"));
            }
        }
        let Job::Publish(made) = &self.sequence.jobs[maker] else {
            return Err("a product was hidden into being".to_owned());
        };
        let mut made = made.clone();
        if ought.contains_key("variants") {
            made.remove("price");
        }
        let said = |job: &'_ Job| -> Option<Said> {
            match job {
                Job::Publish(said) => Some(said.clone()),
                Job::Unpublish => None,
            }
        };
        let all: Vec<Said> = self.sequence.jobs.iter().filter_map(said).collect();
        let all: Vec<&Said> = all.iter().collect();
        for (n, state) in shown.iter().enumerate() {
            may_be_shown(state, &made, &all, n == 0)?;
        }
        Ok(())
    }
}

/// Whether a product can be made of it.
fn is_whole(job: &Job) -> bool {
    matches!(job, Job::Publish(said) if said.contains_key("title") && said.contains_key("price"))
}
