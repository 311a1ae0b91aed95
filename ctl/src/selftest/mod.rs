//! `ecomctl selftest`: shows on this machine that the queue keeps its promises while its processes are killed, stopped and
//! restarted. Nothing of a running system is touched: server, data and workers are its own.
//!
//! Reading order: `plan.rs` (what is to happen), `worker.rs` (one worker process), `runs.rs` (what handlers write down), `crew.rs`,
//! `server.rs`, `proxy.rs` and `pusher.rs` (the parts), `judge.rs` (what must not be), `report.rs`.

mod crew;
mod judge;
mod plan;
mod process;
mod proxy;
mod pusher;
mod report;
mod runs;
mod server;
mod worker;

use std::{
    collections::{HashSet, VecDeque},
    io::{IsTerminal, Write as _, stderr},
    ops::Range,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use queue::{Client, Clock, JobId};
use tokio::signal::unix::{SignalKind, signal};

use self::{
    crew::{Crew, SUSPECT},
    judge::{Job, Seen, judge},
    plan::{Fault, Numbered, Planned},
    proxy::Proxy,
    pusher::Answers,
    report::{Faults, Report},
    runs::Runs,
    server::{Fsync, Server},
    worker::{LEASES_LOST, PREFIX, QUEUE, REFUSED},
};
use crate::table::{cut, output_width};

pub(crate) use process::{Mortal, become_mortal};
pub(crate) use worker::{Worker, run as run_worker};

const TICK: Duration = Duration::from_millis(50);
const LOG_LINE: Duration = Duration::from_secs(5);
/// How long all workers may take to start.
const START: Duration = Duration::from_secs(30);
/// The queue counts as stuck when nothing has changed for so long.
const STUCK: Duration = Duration::from_secs(20);
/// Jobs that are pushed with each poison job, to see that none of them is blamed for what it does.
const COMPANIONS: u64 = 100;
/// How far apart overlapping poison jobs are.
const OVERLAP_MS: u64 = 1300;
/// Look-ups at a time.
const LOOKS: usize = 64;
/// The folder is removed with so many tries.
const REMOVALS: u32 = 8;
const SETUP_PROBLEM: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Kill, stop and restart the queue's processes and see that nothing is lost (about 6 minutes)
///
/// Starts a Redis server and workers of its own, pushes numbered jobs, and meanwhile kills workers, stops them past their lease,
/// cuts connections and restarts the server. Then it compares what was accepted, what the handlers wrote down outside Redis, and
/// what the queue says. Exit codes: 0 all is well, 1 an accepted job was lost, run without a reason or quarantined without guilt,
/// 2 it could not be run.
#[derive(Debug, Args)]
pub(crate) struct Selftest {
    /// Fewer jobs and faults: at most 90 s
    #[arg(long)]
    quick: bool,
    /// How many jobs are pushed [default: 50000, quick 20000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    jobs: Option<u64>,
    /// How long faults happen, while jobs are pushed [default: 300, quick 35]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(2..=64))]
    workers: u64,
    /// Jobs that take their worker down, one after the other when the other faults are over [default: 3, quick 1]
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=100))]
    poison: Option<u64>,
    /// Repeats the plan of another run: the same jobs, and the same faults at the same times
    #[arg(long)]
    seed: Option<u64>,
    /// The server's binary [default: .dev/bin/valkey-server, else valkey-server or redis-server on the PATH]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// When the append-only file is synced to disk
    #[arg(long, value_enum, default_value = "everysec")]
    fsync: Fsync,
    /// Keep the folder with logs and data
    #[arg(long)]
    keep: bool,
    /// Poison jobs come 1.3 s apart instead of one after the other, so that they are in all stages at once
    #[arg(long, hide = true)]
    poison_overlap: bool,
    /// Deletes one waiting job behind the queue's back: shows that the loss is found
    #[arg(long, hide = true)]
    plant_loss: bool,
}

pub(crate) async fn run(selftest: &Selftest, json: bool) -> Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let done = tokio::select! {
        biased;
        _ = interrupt.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        _ = terminate.recv() => return Ok(ExitCode::from(INTERRUPTED)),
        done = Test::run(selftest, json) => done,
    };
    let report = match done {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: the selftest could not be run: {error:#}");
            return Ok(ExitCode::from(SETUP_PROBLEM));
        }
    };
    if json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report.text(output_width()));
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A folder that is removed at the end.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn create(keep: bool) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ecomctl-selftest-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
            return;
        }
        // A server that was killed in the middle of its restart may still write.
        let removed = (0..REMOVALS).any(|turn| {
            std::thread::sleep(TICK * turn);
            std::fs::remove_dir_all(&self.path).is_ok()
        });
        if !removed {
            eprintln!("could not remove {}", self.path.display());
        }
    }
}

/// Asks again while the server is not back, or this connection is the one that it closed.
async fn patiently<T, F: Future<Output = Result<T, queue::Error>>>(ask: impl Fn() -> F) -> Result<T> {
    let deadline = Instant::now() + START;
    loop {
        match ask().await {
            Err(queue::Error::Unavailable(_)) if Instant::now() < deadline => tokio::time::sleep(TICK).await,
            answer => return Ok(answer?),
        }
    }
}

/// A selftest under way. The order of the fields is the one in which they end.
struct Test {
    crew: Crew,
    pusher_proxy: Proxy,
    server: Server,
    client: Client,
    answers: Answers,
    runs: Runs,
    faults: Faults,
    seed: u64,
    began: Instant,
    progress: Progress,
    folder: Folder,
}

impl Test {
    async fn run(selftest: &Selftest, json: bool) -> Result<Report> {
        let (jobs, seconds, poison) = if selftest.quick { (20_000, 35, 1) } else { (50_000, 300, 3) };
        let n_jobs = selftest.jobs.unwrap_or(jobs);
        let length = Duration::from_secs(selftest.seconds.unwrap_or(seconds));
        // Each poison job comes with companions, which are the last of the numbered jobs.
        let companions = COMPANIONS.min(n_jobs / 4);
        let n_poison = selftest.poison.unwrap_or(poison);
        let n_first = n_jobs.saturating_sub(n_poison * companions);

        let mut test = Self::start(selftest, json).await?;
        let pusher_client = worker::client(&test.pusher_proxy.url())?;
        let pushing = pusher::push_all(pusher_client, test.seed, 0..n_first, length, test.answers.clone());
        let mut pushing = tokio::spawn(pushing);
        if selftest.plant_loss {
            test.plant_loss(n_jobs + n_poison).await?;
        }
        test.cause_faults(length, selftest.workers as usize).await?;
        while !pushing.is_finished() {
            test.step().await?;
        }
        (&mut pushing).await?;
        let mut findings = test.drain().await?;
        if selftest.poison_overlap {
            findings.extend(test.poison_overlap(n_jobs..n_jobs + n_poison, n_first..n_jobs).await?);
        } else {
            for turn in 0..n_poison {
                let first = n_first + turn * companions;
                findings.extend(test.poison(n_jobs + turn, first..(first + companions).min(n_jobs)).await?);
            }
        }
        test.report(selftest, n_jobs..n_jobs + n_poison, findings).await
    }

    async fn start(selftest: &Selftest, json: bool) -> Result<Self> {
        let seed = selftest.seed.unwrap_or_else(|| Clock::default().now_ms());
        let folder = Folder::create(selftest.keep)?;
        let binary = server::find_binary(selftest.server.as_deref())?;
        let server = Server::start(binary, &folder.path, selftest.fsync).await?;
        let mut progress = Progress::new(json);
        progress.say(&format!("{}, {} workers, seed {seed}", server.name, selftest.workers));
        let client = worker::client(&server.url())?;
        let crew = Crew::start(selftest.workers as usize, server.port, &folder.path).await?;
        let pusher_proxy = Proxy::start(server.port).await?;
        let runs = Runs::in_folder(&folder.path.join("runs"));
        let (answers, faults, began) = (Answers::default(), Faults::default(), Instant::now());
        let mut test =
            Self { crew, pusher_proxy, server, client, answers, runs, faults, seed, began, progress, folder };
        while patiently(|| test.client.replicas()).await? < selftest.workers {
            ensure!(test.began.elapsed() < START, "the workers do not start: {}", test.worker_log());
            ensure!(test.crew.n_ended == 0, "a worker ended as it started: {}", test.worker_log());
            test.step().await?;
        }
        Ok(test)
    }

    fn worker_log(&self) -> String {
        std::fs::read_to_string(self.folder.path.join("worker-0.log")).unwrap_or_default()
    }

    /// A moment passes: processes that are due go on, the line of progress is kept up.
    async fn step(&mut self) -> Result<()> {
        self.server.check()?;
        self.crew.tick()?;
        if self.progress.is_due() {
            self.runs.refresh()?;
            let Faults { kills, stops, cuts, restarts } = self.faults;
            let line = format!(
                "{:>4.0} s: {} accepted, {} done; {kills} kills, {stops} stops, {cuts} cuts, {restarts} restarts",
                self.began.elapsed().as_secs_f64(),
                self.answers.n_accepted(),
                self.runs.n_done()
            );
            self.progress.say(&line);
        }
        tokio::time::sleep(TICK).await;
        Ok(())
    }

    async fn cause_faults(&mut self, length: Duration, workers: usize) -> Result<()> {
        let began = Instant::now();
        let mut planned: VecDeque<Planned> = plan::faults(self.seed, workers, length).into();
        while began.elapsed() < length {
            while let Some(next) = planned.front().filter(|next| next.at <= began.elapsed()) {
                let next = next.clone();
                if !self.cause(&next).await? {
                    // No worker may be hit right now: a little later.
                    break;
                }
                planned.pop_front();
            }
            self.step().await?;
        }
        Ok(())
    }

    /// Whether a job waits or runs that workers have died with twice.
    async fn has_suspects(&mut self) -> Result<bool> {
        let pushed = self.answers.pushed().accepted.into_iter();
        let again: Vec<(u64, JobId)> = pushed.filter(|(number, _)| self.runs.again.contains(number)).collect();
        for (number, id) in again {
            match patiently(|| self.client.find(id)).await? {
                Some(view) if !view.state.is_finished() => {
                    if view.crashes >= SUSPECT {
                        return Ok(true);
                    }
                }
                // It is over, whatever the end; it is not looked at again.
                _ => drop(self.runs.again.remove(&number)),
            }
        }
        Ok(false)
    }

    /// False when it has to wait.
    async fn cause(&mut self, planned: &Planned) -> Result<bool> {
        self.runs.refresh()?;
        if matches!(planned.fault, Fault::Kill | Fault::Stop) && self.has_suspects().await? {
            return Ok(false);
        }
        match planned.fault {
            Fault::Kill => {
                let killed = self.crew.kill(planned.worker, planned.extra, &self.runs).await?;
                self.faults.kills += usize::from(killed);
                return Ok(killed);
            }
            Fault::Stop => {
                let stopped = self.crew.stop(planned.worker, planned.extra, &self.runs)?;
                self.faults.stops += usize::from(stopped);
                return Ok(stopped);
            }
            Fault::Cut { everyone, answer } => {
                self.faults.cuts += 1;
                self.crew.cut(planned.worker, everyone, answer);
                self.pusher_proxy.cut(answer);
            }
            Fault::Restart => {
                self.faults.restarts += 1;
                self.server.restart().await?;
            }
        }
        Ok(true)
    }

    /// Waits until no job is left. Returns what is wrong when some stay.
    async fn drain(&mut self) -> Result<Vec<String>> {
        let (mut before, mut changed) = (None, Instant::now());
        loop {
            self.step().await?;
            let depth = self.depth().await?;
            let left = depth.ready + depth.scheduled + depth.running + depth.retrying;
            if left == 0 && self.crew.is_whole() {
                return Ok(Vec::new());
            }
            self.runs.refresh()?;
            let now = Some((left, self.runs.n_done()));
            if now != before {
                (before, changed) = (now, Instant::now());
            }
            if changed.elapsed() > STUCK {
                return Ok(vec![format!(
                    "{left} jobs stay in the queue: nothing has changed for {STUCK:?} ({depth:?})"
                )]);
            }
        }
    }

    async fn depth(&self) -> Result<queue::Depth> {
        let queues = patiently(|| self.client.queues()).await?;
        Ok(queues.iter().find(|queue| queue.name == QUEUE).context("the queue is not there")?.depth)
    }

    /// Pushes a job that takes its worker down, among others that do nothing, and waits for the end of all.
    async fn poison(&mut self, number: u64, companions: Range<u64>) -> Result<Vec<String>> {
        let mut jobs: Vec<Numbered> = companions.map(|number| plan::job(self.seed, number)).collect();
        jobs.insert(jobs.len() / 2, plan::poison(number));
        self.push_and_drain(jobs).await
    }

    /// The same with all poison jobs at once, at a distance, while the others come evenly and take their time.
    async fn poison_overlap(&mut self, poison: Range<u64>, companions: Range<u64>) -> Result<Vec<String>> {
        let apart = OVERLAP_MS * (poison.end - poison.start) / (companions.end - companions.start).max(1);
        let poison = poison.zip(0..).map(|(number, turn)| (plan::poison(number), turn * OVERLAP_MS));
        let companions = companions.zip(0..).map(|(number, turn)| (plan::job(self.seed, number), turn * apart));
        let jobs = poison.chain(companions).map(|(mut job, delay_ms)| {
            job.work.ms = job.work.ms.max(300);
            job.delay_ms = Some(1 + delay_ms);
            job
        });
        self.push_and_drain(jobs.collect()).await
    }

    async fn push_and_drain(&mut self, jobs: Vec<Numbered>) -> Result<Vec<String>> {
        ensure!(
            pusher::push(&self.client, &Clock::default(), jobs, &self.answers).await,
            "jobs were refused while nothing was done to the server"
        );
        self.drain().await
    }

    /// Deletes the record of one waiting job.
    async fn plant_loss(&mut self, number: u64) -> Result<()> {
        let mut job = plan::job(self.seed, number);
        job.delay_ms = Some(5000);
        let answers = Answers::default();
        pusher::push(&self.client, &Clock::default(), vec![job.clone()], &answers).await;
        let Some((_, id)) = answers.pushed().accepted.first().copied() else { bail!("the planted job was refused") };
        let bytes = uuid::Uuid::parse_str(&id.to_string())?.into_bytes();
        self.server.delete_field(&format!("{PREFIX}:{{{QUEUE}.0}}:jobs:{}", bytes[9]), &bytes).await?;
        self.answers.accept(number, id);
        Ok(())
    }

    async fn report(&mut self, selftest: &Selftest, poison: Range<u64>, findings: Vec<String>) -> Result<Report> {
        self.runs.refresh()?;
        let pushed = self.answers.pushed();
        let client = &self.client;
        let found = stream::iter(pushed.accepted.clone())
            .map(|(number, id)| async move { anyhow::Ok((number, id, patiently(|| client.find(id)).await?)) })
            .buffer_unordered(LOOKS);
        let runs = &self.runs;
        let jobs: Vec<Job> = found
            .map_ok(|(number, id, view)| Job {
                number,
                id: id.to_string(),
                poison: poison.contains(&number),
                found: view.map(Seen::from),
                starts: runs.starts.get(&number).cloned().unwrap_or_default(),
                n_done: runs.done.get(&number).copied().unwrap_or(0),
            })
            .try_collect()
            .await?;
        let mut verdict = judge(&jobs, &self.crew.hits);
        verdict.findings.extend(findings);
        if self.crew.n_ended > 0 {
            verdict.findings.push(format!("{} workers ended by themselves", self.crew.n_ended));
        }
        let known_dead =
            jobs.iter().filter(|job| matches!(&job.found, Some(found) if found.state == queue::State::Dead));
        let n_dead = usize::try_from(self.depth().await?.dead)?;
        let n_other_dead = n_dead.saturating_sub(known_dead.count());
        if n_other_dead > 0 {
            verdict.n_innocents_quarantined += n_other_dead;
            verdict
                .findings
                .push(format!("{n_other_dead} dead letters among the jobs whose push was answered with an error"));
        }
        let unknown: HashSet<u64> = pushed.unknown.iter().copied().collect();
        let counter = |name| self.runs.counters.get(name).copied().unwrap_or(0);
        Ok(Report {
            server: self.server.name.clone(),
            fsync: selftest.fsync.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
            seed: self.seed,
            seconds: self.began.elapsed().as_secs_f64(),
            workers: selftest.workers as usize,
            faults: self.faults,
            n_pushed: jobs.len() + unknown.len(),
            n_unknown: unknown.len(),
            n_unknown_run: unknown.iter().filter(|number| self.runs.starts.contains_key(number)).count(),
            n_poison: usize::try_from(poison.end - poison.start)?,
            n_refused: counter(REFUSED),
            n_leases_lost: counter(LEASES_LOST),
            ok: verdict.holds(),
            verdict,
        })
    }
}

/// Says on standard error how far it is: on a terminal on one line that changes, else in a line every few seconds.
struct Progress {
    quiet: bool,
    on_terminal: bool,
    last: Instant,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        Self { quiet, on_terminal: stderr().is_terminal(), last: Instant::now() }
    }

    fn is_due(&self) -> bool {
        let pause = if self.on_terminal { Duration::from_millis(500) } else { LOG_LINE };
        !self.quiet && self.last.elapsed() >= pause
    }

    fn say(&mut self, line: &str) {
        self.last = Instant::now();
        // A reader of the progress that went away must not stop the work.
        let _ = match (self.quiet, self.on_terminal) {
            (true, _) => Ok(()),
            (false, true) => write!(stderr(), "\r\x1b[2K{}", cut(line, output_width().saturating_sub(1))),
            (false, false) => writeln!(stderr(), "{line}"),
        };
        let _ = stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if !self.quiet && self.on_terminal {
            let _ = writeln!(stderr());
        }
    }
}
