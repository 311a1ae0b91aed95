//! How long the jobs of a killed worker wait until another runs them. The workers are processes of their own.

use std::{
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout},
};

use crate::{server, system::System};

/// Jobs that the killed worker has.
const JOBS: usize = 16;

/// Seconds from `kill -9` of a worker until another has started all its jobs; `None`: not within `patience`, or no such worker.
pub(crate) async fn measure(system: &dyn System, url: &str, patience: Duration) -> anyhow::Result<Option<f64>> {
    let (Some(first), Some(second)) = (system.hanging_worker(url)?, system.hanging_worker(url)?) else {
        return Ok(None);
    };
    let mut first = Worker::start(first)?;
    first.hear("ready", 1).await?;
    system.fill(url, JOBS).await?;
    first.hear("started", JOBS).await?;
    let mut second = Worker::start(second)?;
    second.hear("ready", 1).await?;
    first.process.kill().await?;
    let killed = Instant::now();
    match tokio::time::timeout(patience, second.hear("started", JOBS)).await {
        Ok(heard) => heard.map(|()| Some(killed.elapsed().as_secs_f64())),
        Err(_) => Ok(None),
    }
}

struct Worker {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    fn start(command: Command) -> anyhow::Result<Self> {
        let mut command = tokio::process::Command::from(command);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().context("a worker process has no output")?;
        Ok(Self { process, lines: BufReader::new(stdout).lines() })
    }

    async fn hear(&mut self, word: &str, times: usize) -> anyhow::Result<()> {
        let mut heard = 0;
        while heard < times {
            let line = self.lines.next_line().await?.context("a worker process ended by itself")?;
            heard += usize::from(line == word);
        }
        Ok(())
    }
}

/// This program as a worker process of `system`.
pub(crate) fn this_program(system: &str, url: &str) -> anyhow::Result<Command> {
    let mut command = server::mortal(&std::env::current_exe()?);
    command.args(["hang", system, url]);
    Ok(command)
}

/// Tells the parent process.
pub(crate) fn say(word: &str) {
    let mut stdout = std::io::stdout().lock();
    // A parent that is gone needs to know nothing.
    let _ = writeln!(stdout, "{word}").and_then(|()| stdout.flush());
}
