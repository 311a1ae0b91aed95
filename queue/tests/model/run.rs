//! Applies a sequence of steps to the queue and to the model, and compares the two after each.

use std::{collections::BTreeMap, time::Duration};

use queue::{Claimed, Client, Clock, Error, Kind, NewJob, Priority, Session, State, Timing};
use redis::Commands;

use crate::{
    agree::Slack,
    model::{Job, Model, Number, Refusal, Taken, worker_of},
    reader::{Reader, job_id},
    steps::{Action, DEAD_KEPT_MS, Ending, LEASE_MS, New, Pick, RETENTION_MS, Step, Time, WIDTH_MS, WORKERS},
    wire::Wire,
    worker::{Ended, Worker},
};

const QUEUE: &str = "parcel";
const START_MS: u64 = 1_760_000_000_000;
/// A record's version byte that this release does not know.
const NEWER: u8 = 2;

/// The queue beside its model.
pub(crate) struct Run {
    clock: Clock,
    client: Client,
    wire: Option<Wire>,
    reader: Reader,
    model: Model,
    workers: Vec<Worker>,
    next_number: Number,
    /// A worker took the wake token and has not claimed since.
    token_taken: bool,
    n_deaths: usize,
    /// The wire is to be cut during the call, and was during the last one.
    armed: bool,
    was_cut: bool,
    /// What the step leads through.
    between: Vec<Model>,
    /// What was done, to be told when it goes wrong.
    told: Vec<String>,
}

/// How a call ended.
enum Answer<T> {
    Came(T),
    /// What was asked was done or not.
    Lost,
}

impl Run {
    /// A queue of its own on the server at `url`.
    pub(crate) async fn new(url: &str, wire: Option<Wire>) -> Self {
        let prefix = servers::prefix();
        let redis =
            fleet::Redis::open_within(wire.as_ref().map_or(url, Wire::url), &prefix, servers::PATIENCE).unwrap();
        let kind =
            Kind { name: QUEUE.to_owned(), max_attempts: 3, timeout_s: 60, allow_fallback: false, history: false };
        let clock = Clock::simulated(START_MS);
        let client = Client::with_clock(&redis, vec![kind], clock.clone());
        let mut run = Self {
            reader: Reader::new(url, &prefix, QUEUE),
            clock,
            client,
            wire,
            model: Model::default(),
            workers: Vec::new(),
            next_number: 0,
            token_taken: false,
            n_deaths: 0,
            armed: false,
            was_cut: false,
            between: Vec::new(),
            told: Vec::new(),
        };
        for at in 0..WORKERS {
            let worker = run.worker(&format!("w{at}"));
            run.workers.push(worker);
        }
        // The partition's number is known from here on, so that each call sends the requests of its own alone.
        run.client.delete_dead(QUEUE, None).await.unwrap();
        run
    }

    fn worker(&self, host: &str) -> Worker {
        Worker::new(Session::new(self.client.clone(), host, 1, Timing::default()))
    }

    /// Takes all steps.
    ///
    /// # Errors
    /// What was done, and what is wrong then.
    pub(crate) async fn steps(&mut self, steps: &[Step]) -> Result<(), String> {
        for step in steps {
            if let Err(fault) = self.step(step).await {
                let told = self.told.join("\n  ");
                return Err(format!("{fault}\nafter\n  {told}"));
            }
        }
        Ok(())
    }

    pub(crate) fn clean(mut self) {
        self.reader.clean();
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let before = self.model.clone();
        self.tell(format!("{:?}", step.action));
        (self.armed, self.was_cut) = (step.cut.is_some(), false);
        self.between.clear();
        if let (Some(wire), Some(cut)) = (&self.wire, step.cut) {
            wire.arm(cut);
        }
        let slack = self.act(&step.action).await?;
        self.mend().await;
        let seen = self.reader.read()?;
        self.model.agree(&before, &self.between, &seen, slack, self.clock.now_ms())?;
        if self.model.n_ready() > 0 && seen.wake == 0 && !self.model.paused && !self.token_taken {
            return Err("jobs are ready, and no wake token is there: they wait although workers are idle".to_owned());
        }
        match &step.action {
            Action::Push(new) => self.all_or_none(new.len(), &before)?,
            Action::Upkeep { .. } if !slack.lost => self.buckets_are_freed(&seen.buckets)?,
            _ => {}
        }
        self.agree_on_workers()
    }

    /// Has the connection made again, so that the next cut does not meet its beginning.
    async fn mend(&self) {
        let Some(wire) = &self.wire else { return };
        wire.disarm();
        if self.was_cut {
            let up = async || self.client.ping().await.is_ok();
            servers::wait_until("the connection is made again", Duration::from_secs(10), up).await;
        }
    }

    fn tell(&mut self, what: String) {
        self.told.push(what);
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    async fn act(&mut self, action: &Action) -> Result<Slack, String> {
        let now_ms = self.now_ms();
        let mut slack = Slack::default();
        match action {
            Action::Push(new) => slack.lost = self.push(new).await?,
            Action::PushNewer { priority } => self.push_newer(*priority),
            Action::Claim { worker, want, woken } => slack.lost = self.claim(*worker, *want, *woken).await?,
            Action::Settle { worker, jobs } => slack.lost = self.settle(*worker, jobs).await?,
            Action::Report { worker, n } => self.report(*worker, *n).await?,
            Action::Renew { worker } => slack.lost = self.renew(*worker).await?,
            Action::Upkeep { worker, reclaim } => slack = self.upkeep(*worker, *reclaim).await?,
            Action::Die { worker } => {
                self.n_deaths += 1;
                self.workers[*worker] = self.worker(&format!("w{worker}-{}", self.n_deaths));
            }
            Action::Beat { worker } => {
                let answer = self.workers[*worker].session.beat(&[QUEUE.to_owned()]).await;
                self.answer(answer)?;
            }
            Action::PutAside { priority } => self.put_aside(*priority),
            Action::Unhold { worker } => {
                let expected = self.model.unhold();
                let answer = self.workers[*worker].session.unhold(QUEUE).await;
                slack.lost = self.expect("jobs given back", answer, &expected)?;
            }
            Action::Cancel(pick) => {
                if let Some(number) = self.pick(*pick, |job| !job.state().is_finished()) {
                    let id = self.id(number);
                    let expected = self.model.cancel(number, now_ms);
                    let answer = refusal(self.client.cancel(id).await.map(|view| view.state));
                    slack.lost = self.expect("the answer", answer, &expected)?;
                }
            }
            Action::Retry(pick) => {
                if let Some(number) = self.pick(*pick, Job::is_retryable) {
                    let id = self.id(number);
                    let expected = self.model.retry(number);
                    let answer = refusal(self.client.retry(id).await.map(|view| view.state));
                    slack.lost = self.expect("the answer", answer, &expected)?;
                }
            }
            Action::ReplayDead(pick) => {
                let (numbers, ids) = self.dead(*pick);
                let n = numbers.into_iter().filter(|number| self.model.retry(*number).is_ok()).count() as u64;
                let answer = self.client.replay_dead(QUEUE, ids.as_deref()).await;
                slack.lost = self.expect("jobs replayed", answer, &n)?;
            }
            Action::DeleteDead(pick) => {
                let (numbers, ids) = self.dead(*pick);
                for number in &numbers {
                    self.model.jobs.remove(number);
                }
                let answer = self.client.delete_dead(QUEUE, ids.as_deref()).await;
                slack.lost = self.expect("jobs deleted", answer, &(numbers.len() as u64))?;
            }
            Action::Pause => {
                let expected = !std::mem::replace(&mut self.model.paused, true);
                let answer = self.client.pause(QUEUE).await;
                slack.lost = self.expect("newly paused", answer, &expected)?;
            }
            Action::Resume => {
                let expected = std::mem::replace(&mut self.model.paused, false);
                let answer = self.client.resume(QUEUE).await;
                slack.lost = self.expect("was paused", answer, &expected)?;
            }
            Action::LookAtJob(pick) => self.look_at_job(*pick).await?,
            Action::LookAtQueue => self.look_at_queue().await?,
            Action::Pass(time) => self.pass(*time),
        }
        Ok(slack)
    }

    /// A call may fail only because the wire was cut, and then says so.
    fn answer<T>(&mut self, answer: Result<T, Error>) -> Result<Answer<T>, String> {
        self.was_cut = self.armed && self.wire.as_ref().is_some_and(|wire| !wire.disarm());
        match answer {
            Ok(answer) => Ok(Answer::Came(answer)),
            Err(Error::Unavailable(_)) if self.was_cut => {
                self.tell("  the answer was lost".to_owned());
                Ok(Answer::Lost)
            }
            Err(error) => Err(format!("the call failed: {error}")),
        }
    }

    /// Whether the answer was lost; otherwise it is the expected one.
    fn expect<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        answer: Result<T, Error>,
        expected: &T,
    ) -> Result<bool, String> {
        match self.answer(answer)? {
            Answer::Lost => Ok(true),
            Answer::Came(answer) if answer == *expected => Ok(false),
            Answer::Came(answer) => Err(format!("{what} ought to be {expected:?}, and was {answer:?}")),
        }
    }

    async fn push(&mut self, new: &[New]) -> Result<bool, String> {
        let now_ms = self.now_ms();
        let first = self.next_number;
        self.next_number += new.len();
        let jobs = new.iter().enumerate().map(|(at, new)| {
            let mut job = NewJob::new(QUEUE, payload(first + at));
            job.priority = Priority::ALL[new.priority];
            job.run_at_ms = new.delay_ms.map(|delay| now_ms + delay);
            job.max_attempts = new.max_attempts;
            job.expires_at_ms = new.expires.then_some(now_ms + 10_000);
            job
        });
        let results: Result<Vec<_>, Error> = self.client.push_many(jobs.collect()).await.into_iter().collect();
        let ids = match self.answer(results)? {
            Answer::Came(ids) => ids.into_iter().map(Some).collect(),
            Answer::Lost => vec![None; new.len()],
        };
        for (at, (new, id)) in new.iter().zip(&ids).enumerate() {
            self.model.push(first + at, *id, new, now_ms);
        }
        self.tell(format!("  jobs {first} to {}", self.next_number - 1));
        Ok(ids.contains(&None))
    }

    fn all_or_none(&self, n: usize, before: &Model) -> Result<(), String> {
        let came = self.model.jobs.keys().filter(|number| !before.jobs.contains_key(number)).count();
        if came == n || came == 0 { Ok(()) } else { Err(format!("{came} of {n} jobs were pushed")) }
    }

    fn push_newer(&mut self, priority: usize) {
        let mut id = uuid::Uuid::now_v7().into_bytes();
        id[..6].copy_from_slice(&self.now_ms().to_be_bytes()[2..]);
        // The only partition has the number 1.
        (id[6], id[7]) = (0x70, 1);
        let mut record = vec![NEWER, priority as u8, 0, 0, 0, 0, 0, 0];
        record.extend(payload(self.next_number).bytes());
        self.model.jobs.insert(self.next_number, Job::newer(job_id(&id).unwrap(), priority));
        self.model.lists[priority].push_back(self.next_number);
        self.tell(format!("  job {}", self.next_number));
        self.next_number += 1;
        let mut pipe = redis::pipe();
        pipe.hset(self.reader.key(&format!("jobs:{}", id[9])), &id, record)
            .rpush(self.reader.key(&format!("ready:{priority}")), &id);
        pipe.del(self.reader.key("wake")).rpush(self.reader.key("wake"), 1).ignore();
        let _: redis::Value = self.reader.command(|redis| pipe.query(redis));
    }

    async fn claim(&mut self, worker: usize, want: usize, woken: bool) -> Result<bool, String> {
        let now_ms = self.now_ms();
        if woken {
            let wake = self.reader.key("wake");
            let _: Option<String> = self.reader.command(|redis| redis.lpop(wake, None));
            self.token_taken = true;
        }
        self.give_back(worker);
        let worker = &mut self.workers[worker];
        worker.n_claims += 1;
        let suspects = worker.held.is_empty() && worker.suspect.is_none();
        let expected = if worker.suspect.is_some_and(|suspect| worker.held.contains_key(&suspect)) {
            Taken::default()
        } else {
            self.model.claim(&worker.name, worker.n_claims, want, suspects, now_ms)
        };
        self.between.push(self.model.clone());
        self.model.hold(&expected.aside);
        let answer = worker.session.claim(QUEUE, want).await;
        let name = worker.name.clone();
        let Answer::Came(report) = self.answer(answer)? else {
            self.worker_named(&name).mark_unsure |= expected.suspect;
            return Ok(true);
        };
        self.token_taken = false;
        let numbers: Vec<Number> = report.jobs.iter().map(number_of).collect();
        self.tell(format!("  {name} has jobs {numbers:?}"));
        let found = (&numbers, report.left, report.next_due_ms);
        if found != (&expected.jobs, expected.left, expected.next_due_ms) {
            return Err(format!("the claim ought to bring {expected:?}, and brought {found:?}"));
        }
        let claim = self.claim_of(&numbers);
        let worker = self.worker_named(&name);
        if expected.suspect {
            (worker.suspect, worker.mark_unsure) = (numbers.first().copied(), false);
        }
        if let Some(claim) = claim {
            worker.take(&claim, numbers, report.jobs);
        }
        Ok(false)
    }

    /// The worker gives back what it claimed without knowing.
    fn give_back(&mut self, at: usize) {
        let worker = &self.workers[at];
        let unknown = |claim: &String| worker_of(claim) == worker.name && !worker.claims.contains_key(claim);
        for (claim, jobs) in self.reader.claims() {
            if unknown(&claim) {
                self.model.give_back(&claim, &jobs, self.clock.now_ms());
            }
        }
        self.between.push(self.model.clone());
    }

    /// Which claim has these jobs, as Redis says.
    fn claim_of(&mut self, numbers: &[Number]) -> Option<String> {
        let first = numbers.first()?;
        self.reader.claims().into_iter().find(|(_, jobs)| jobs.contains(first)).map(|(claim, _)| claim)
    }

    fn worker_named(&mut self, name: &str) -> &mut Worker {
        self.workers.iter_mut().find(|worker| worker.name == name).unwrap()
    }

    async fn settle(&mut self, at: usize, jobs: &[(u8, Ending)]) -> Result<bool, String> {
        let now_ms = self.now_ms();
        let worker = &mut self.workers[at];
        for (n, ending) in jobs {
            worker.end(*n, *ending, now_ms)?;
        }
        let mut refused = worker.drop_outdated();
        let calls = worker.calls();
        let mut stopped = Vec::new();
        for Ended { number, claim, ending, decided_ms } in calls.iter().flatten() {
            let is_settled = self.model.settle(*number, claim, *ending, *decided_ms, now_ms);
            refused += usize::from(!is_settled);
            let is_cancelled = self.model.jobs.get(number).is_some_and(|job| job.state() == State::Cancelled);
            if is_settled && is_cancelled && *ending != Ending::Cancelled {
                stopped.push(*number);
            }
        }
        let answer = worker.session.settle(&mut worker.settlements).await;
        let (n_sealed, n_left) = (worker.session.n_sealed().await, worker.settlements.len());
        let told: Vec<String> =
            calls.iter().flatten().map(|ended| format!("{} {:?}", ended.number, ended.ending)).collect();
        self.tell(format!("  jobs {}", told.join(", ")));
        let lost = self.expect("settlements refused", answer, &refused)?;

        let worker = &mut self.workers[at];
        let mut written = Vec::new();
        let mut after: usize = calls.iter().map(Vec::len).sum();
        for call in calls {
            after -= call.len();
            if n_sealed == 0 || after > n_left || (after == n_left && call.is_empty()) {
                written.extend(call);
            } else if after < n_left {
                worker.ended.extend(call);
            } else if n_sealed == call.len() {
                worker.sealed = call;
            } else {
                // Only the end of those that someone had cancelled meanwhile was not answered.
                let (sealed, others) = call.into_iter().partition(|ended| stopped.contains(&ended.number));
                worker.sealed = sealed;
                written.extend::<Vec<Ended>>(others);
            }
        }
        written.iter().for_each(|ended| worker.let_go(ended));
        if !lost {
            worker.forget_suspect(self.was_cut);
        }
        Ok(lost)
    }

    async fn renew(&mut self, at: usize) -> Result<bool, String> {
        let now_ms = self.now_ms();
        self.give_back(at);
        let worker = &self.workers[at];
        let mut lost = self.model.renew(worker.claims.keys(), now_ms);
        // Whether a claim was lost whose last jobs' settlement was not answered is for that settlement to find out.
        let n_sealed = |claim: &String| worker.sealed.iter().filter(|ended| ended.claim == *claim).count();
        lost.retain(|claim| worker.claims.get(claim).is_some_and(|left| *left != n_sealed(claim)));
        let answer = worker.session.renew().await;
        if self.expect("leases lost", answer, &lost.len())? {
            return Ok(true);
        }
        let worker = &mut self.workers[at];
        for claim in lost {
            worker.lose(&claim);
        }
        worker.forget_suspect(self.was_cut);
        Ok(false)
    }

    async fn upkeep(&mut self, at: usize, reclaim: bool) -> Result<Slack, String> {
        let now_ms = self.now_ms();
        self.model.trim(now_ms);
        let next_end = self.model.leases.values().min().copied();
        let n = if reclaim { self.model.reclaim(now_ms) } else { 0 };
        let answer = self.workers[at].session.upkeep(QUEUE, reclaim).await;
        let answer = answer.map(|report| (report.reclaimed, report.next_lease_end_ms));
        self.tell(format!("  {n} jobs are reclaimed"));
        let lost = self.expect("(jobs reclaimed, next lease's end)", answer, &(n, next_end))?;
        Ok(Slack { lost, unordered: n > 1 })
    }

    async fn report(&mut self, at: usize, n: u8) -> Result<(), String> {
        self.workers[at].report(n);
        let jobs: Vec<_> = self.workers[at].reporting().map(|(number, _)| number).collect();
        self.tell(format!("  jobs {jobs:?} report"));
        let n_refused = {
            let is_refused = |(number, claim): (Number, &str)| !self.model.is_held(number, claim);
            self.workers[at].reporting().filter(|job| is_refused(*job)).count()
        };
        let answer = self.workers[at].session.report().await;
        if !self.expect("reports refused", answer, &n_refused)? {
            self.workers[at].reported(|number, claim| !self.model.is_held(number, claim));
        }
        Ok(())
    }

    /// As a worker of an older release does that meets a record it cannot read.
    fn put_aside(&mut self, priority: usize) {
        self.model.put_aside(priority);
        let list = self.reader.key(&format!("ready:{priority}"));
        let (ghosts, held) = (self.reader.key("ghosts"), self.reader.key("held"));
        self.reader.command(|redis| {
            let Some(id) = redis.lpop::<_, Option<Vec<u8>>>(list, None)? else { return Ok(()) };
            if redis.srem(ghosts, &id)? { Ok(()) } else { redis.rpush(held, id) }
        });
    }

    async fn look_at_job(&mut self, pick: Pick) -> Result<(), String> {
        let Some(number) = self.pick(pick, |_| true) else { return Ok(()) };
        let job = &self.model.jobs[&number];
        let past = job.past.unwrap_or_default();
        let expected = (job.state(), past.crashes);
        let id = self.id(number);
        let answer = self.client.find(id).await;
        let Answer::Came(view) = self.answer(answer)? else { return Ok(()) };
        let found = view.map(|view| (view.state, view.crashes));
        if found == Some(expected) {
            return Ok(());
        }
        Err(format!("job {number} ought to be found as {expected:?}, and was as {found:?}"))
    }

    async fn look_at_queue(&mut self) -> Result<(), String> {
        let answer = self.client.queues().await;
        let Answer::Came(queues) = self.answer(answer)? else { return Ok(()) };
        let depth = queues[0].depth;
        let found = [depth.ready, depth.scheduled, depth.running, depth.retrying, depth.dead];
        let states = [State::Ready, State::Scheduled, State::Running, State::Retrying, State::Dead];
        let expected = states.map(|state| self.model.count(state));
        if found != expected {
            return Err(format!("the depths of {states:?} ought to be {expected:?}, and are {found:?}"));
        }
        Ok(())
    }

    fn pass(&mut self, time: Time) {
        let now_ms = self.now_ms();
        let ms = match time {
            Time::Ms(ms) => ms,
            Time::ToNextDue => self.model.next_due_ms().map_or(1, |due| due.saturating_sub(now_ms)),
            Time::Lease => LEASE_MS,
            Time::Bucket => WIDTH_MS,
            Time::Retention => RETENTION_MS + WIDTH_MS * 7 / 2,
            Time::DeadKept => DEAD_KEPT_MS,
        };
        self.clock.advance(ms);
        self.tell(format!("  {ms} ms"));
    }

    /// A bucket is gone three widths after its last job's retention, when upkeep looks then.
    fn buckets_are_freed(&self, buckets: &[u64]) -> Result<(), String> {
        let passed = (self.now_ms() - RETENTION_MS) / WIDTH_MS;
        if buckets.contains(&(passed - 3)) {
            return Err(format!("bucket {} ought to be freed", passed - 3));
        }
        Ok(())
    }

    /// What sessions say of themselves.
    fn agree_on_workers(&mut self) -> Result<(), String> {
        for worker in &self.workers {
            if worker.session.n_held() != worker.held.len() {
                let (name, held, n) = (&worker.name, &worker.held, worker.session.n_held());
                return Err(format!("{name} ought to hold {held:?}, and says that it holds {n} jobs"));
            }
            let mark = self.model.marks.get(&worker.name);
            if !worker.mark_unsure && mark != worker.suspect.as_ref() {
                let (name, suspect) = (&worker.name, worker.suspect);
                return Err(format!("the suspect of {name} ought to be {suspect:?}, and redis has {mark:?}"));
            }
        }
        Ok(())
    }

    fn id(&self, number: Number) -> queue::JobId {
        self.model.jobs[&number].id.expect("ids of all jobs are known")
    }

    fn pick(&mut self, pick: Pick, meant: impl Fn(&Job) -> bool) -> Option<Number> {
        let all: Vec<Number> = self.model.jobs.keys().copied().collect();
        let those: Vec<Number> = all.iter().copied().filter(|number| meant(&self.model.jobs[number])).collect();
        let from = if pick.any || those.is_empty() { all } else { those };
        let number = *from.get(usize::from(pick.n).checked_rem(from.len())?)?;
        self.tell(format!("  job {number}"));
        Some(number)
    }

    /// The dead jobs, or the one that was picked.
    fn dead(&mut self, pick: Option<Pick>) -> (Vec<Number>, Option<Vec<queue::JobId>>) {
        let dead = self.model.dead();
        let Some(pick) = pick else { return (dead, None) };
        let Some(number) = self.pick(pick, |job| job.state() == State::Dead) else {
            return (Vec::new(), Some(Vec::new()));
        };
        (dead.into_iter().filter(|dead| *dead == number).collect(), Some(vec![self.id(number)]))
    }
}

fn payload(number: Number) -> String {
    format!("{{\"n\":{number}}}")
}

fn number_of(job: &Claimed) -> Number {
    let payload: BTreeMap<String, Number> = serde_json::from_slice(job.payload().unwrap()).unwrap();
    payload["n"]
}

fn refusal(answer: Result<State, Error>) -> Result<Result<State, Refusal>, Error> {
    match answer {
        Ok(state) => Ok(Ok(state)),
        Err(Error::NotFound) => Ok(Err(Refusal::NotFound)),
        Err(Error::Conflict(state)) => Ok(Err(Refusal::Conflict(state))),
        Err(error) => Err(error),
    }
}
