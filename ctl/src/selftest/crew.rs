//! The worker processes: started, killed, stopped and continued, each behind a proxy of its own.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use queue::Clock;
use rustix::process::Signal;
use tokio::process::Child;

use super::{
    judge::{Blow, Hit},
    process::{end, send, this_program},
    proxy::Proxy,
    runs::Runs,
    worker::TIMING,
};

/// A worker that ended is followed by the next one after at least so long.
const AWAY: Duration = Duration::from_millis(300);
/// A worker is stopped for at least this much longer than its lease.
const PAST_LEASE: Duration = Duration::from_millis(1000);
/// A job that workers died with so often dies with the next one. The queue cannot know that the selftest killed them, so workers
/// are spared while there is such a job.
pub(crate) const SUSPECT: u32 = 2;

/// All workers; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Crew {
    places: Vec<Place>,
    folder: PathBuf,
    clock: Clock,
    /// What was done to workers, or what their jobs did to them.
    pub(crate) hits: Vec<Hit>,
    /// Workers that ended and neither the selftest nor a poison job had done it.
    pub(crate) n_ended: usize,
}

#[derive(Debug)]
struct Place {
    proxy: Proxy,
    process: Option<Child>,
    /// When a stopped worker goes on.
    goes_on: Option<Instant>,
    /// When the next worker takes this place.
    next: Option<Instant>,
}

impl Crew {
    /// Starts the workers; their files go into `folder/runs`, their logs into `folder`.
    pub(crate) async fn start(n: usize, server: u16, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder.join("runs"))?;
        let mut crew = Self {
            places: Vec::new(),
            folder: folder.to_owned(),
            clock: Clock::default(),
            hits: Vec::new(),
            n_ended: 0,
        };
        for index in 0..n {
            let proxy = Proxy::start(server).await?;
            crew.places.push(Place { proxy, process: None, goes_on: None, next: None });
            crew.launch(index)?;
        }
        Ok(crew)
    }

    fn launch(&mut self, index: usize) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join(format!("worker-{index}.log")))?;
        let place = &mut self.places[index];
        let mut command = this_program("selftest-worker")?;
        command.args(["--redis", &place.proxy.url(), "--runs"]).arg(self.folder.join("runs"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        place.process = Some(command.spawn().context("cannot start a worker")?);
        place.next = None;
        Ok(())
    }

    /// Has stopped workers go on and missing ones started when their time has come.
    pub(crate) fn tick(&mut self) -> Result<()> {
        let now = Instant::now();
        for index in 0..self.places.len() {
            self.note_end(index);
            let place = &mut self.places[index];
            if place.goes_on.is_some_and(|at| at <= now) {
                place.goes_on = None;
                if let Some(process) = &place.process {
                    send(process, Signal::CONT)?;
                    let pid = process.id();
                    let stopped = self.hits.iter_mut().rev().find(|hit| Some(hit.pid) == pid);
                    stopped.into_iter().for_each(|hit| hit.to_ms = self.clock.now_ms());
                }
            }
            if self.places[index].next.is_some_and(|at| at <= now) {
                self.launch(index)?;
            }
        }
        Ok(())
    }

    /// A worker that ended by itself: a poison job has it abort, and nothing else may.
    fn note_end(&mut self, index: usize) {
        let place = &mut self.places[index];
        let Some(process) = &mut place.process else { return };
        let pid = process.id().unwrap_or(0);
        let Ok(Some(status)) = process.try_wait() else { return };
        place.process = None;
        place.next = Some(Instant::now() + AWAY);
        if status.signal() == Some(Signal::ABORT.as_raw()) {
            let now_ms = self.clock.now_ms();
            self.hits.push(Hit { pid, blow: Blow::Poison, from_ms: now_ms, to_ms: now_ms });
        } else {
            self.n_ended += 1;
        }
    }

    /// Whether all workers run.
    pub(crate) fn is_whole(&self) -> bool {
        self.places.iter().all(|place| place.process.is_some() && place.goes_on.is_none())
    }

    /// The first worker from `wanted` on that may be hit now.
    fn victim(&self, wanted: usize, runs: &Runs) -> Option<usize> {
        let n = self.places.len();
        (0..n).map(|offset| (wanted + offset) % n).find(|index| {
            let place = &self.places[*index];
            let pid = place.process.as_ref().and_then(Child::id);
            place.goes_on.is_none() && pid.is_some_and(|pid| !runs.runs_job_of_crashes(pid, SUSPECT))
        })
    }

    /// Kills a worker. False when none may be hit now.
    pub(crate) async fn kill(&mut self, wanted: usize, away: Duration, runs: &Runs) -> Result<bool> {
        let Some(index) = self.victim(wanted, runs) else { return Ok(false) };
        let place = &mut self.places[index];
        let Some(mut process) = place.process.take() else { return Ok(false) };
        place.next = Some(Instant::now() + AWAY + away);
        let pid = process.id().unwrap_or(0);
        process.kill().await?;
        let now_ms = self.clock.now_ms();
        self.hits.push(Hit { pid, blow: Blow::Kill, from_ms: now_ms, to_ms: now_ms });
        Ok(true)
    }

    /// Stops a worker until its leases have ended. False when none may be hit now.
    pub(crate) fn stop(&mut self, wanted: usize, longer: Duration, runs: &Runs) -> Result<bool> {
        let Some(index) = self.victim(wanted, runs) else { return Ok(false) };
        let place = &mut self.places[index];
        let Some(process) = &place.process else { return Ok(false) };
        send(process, Signal::STOP)?;
        place.goes_on = Some(Instant::now() + TIMING.lease + PAST_LEASE + longer);
        let pid = process.id().unwrap_or(0);
        self.hits.push(Hit { pid, blow: Blow::Stop, from_ms: self.clock.now_ms(), to_ms: u64::MAX });
        Ok(true)
    }

    /// Cuts the connections of one worker, or of all.
    pub(crate) fn cut(&self, worker: usize, everyone: bool, answer: bool) {
        for (index, place) in self.places.iter().enumerate() {
            if everyone || index == worker {
                place.proxy.cut(answer);
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for place in &mut self.places {
            if let Some(process) = &mut place.process {
                end(process);
            }
        }
    }
}
