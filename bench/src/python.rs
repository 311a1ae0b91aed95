//! Celery and taskiq, in Python processes of their own for each measurement. `python_peers.py` says how they are set up.
//!
//! Neither has a way to push in bulk. What a killed worker had is handed out again after an hour (Celery, and only when told
//! to) or after 10 minutes (taskiq): too late to be measured.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{payload, progress::PATIENCE, server, system::System};

const SCRIPT: &str = include_str!("python_peers.py");
/// A few seconds of work.
const MOST_JOBS: usize = 5_000;

/// One of them, and the Python that runs it.
#[derive(Debug)]
pub(crate) struct Python {
    /// As the script knows it.
    pub(crate) system: &'static str,
    /// The `python3` program.
    pub(crate) python: PathBuf,
    /// The folder in which pip installed it.
    pub(crate) modules: PathBuf,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

impl Python {
    async fn ask<T: DeserializeOwned>(&self, url: &str, what: &str, options: Value) -> anyhow::Result<T> {
        let Self { system, .. } = self;
        let modules = self.modules.canonicalize().with_context(|| format!("no folder {}", self.modules.display()))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut task =
            json!({ "system": system, "do": what, "url": url, "payload_bytes": payload::BYTES, "processes": cores });
        if let (Value::Object(task), Value::Object(options)) = (&mut task, options) {
            task.extend(options);
        }
        let mut command = tokio::process::Command::from(server::mortal(&self.python));
        command.args(["-c", SCRIPT, &task.to_string()]).env("PYTHONPATH", modules);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output)
            .await
            .with_context(|| format!("{system}: {what} takes too long"))??;
        anyhow::ensure!(output.status.success(), "{system}: {what} failed with {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().with_context(|| format!("{system}: {what} said nothing"))?;
        Ok(serde_json::from_str::<Answer<T>>(line)?.result)
    }
}

#[async_trait]
impl System for Python {
    fn name(&self) -> &'static str {
        self.system
    }

    fn most_jobs(&self) -> usize {
        MOST_JOBS
    }

    fn has_bulk(&self) -> bool {
        false
    }

    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64> {
        self.ask(url, "push", json!({ "clients": clients, "time_s": time.as_secs_f64() })).await
    }

    async fn fill(&self, url: &str, jobs: usize) -> anyhow::Result<f64> {
        self.ask(url, "fill", json!({ "jobs": jobs })).await
    }

    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64> {
        self.ask(url, "drain", json!({ "jobs": jobs, "keep": kept })).await
    }

    async fn start(&self, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Option<Vec<f64>>> {
        self.ask(url, "start", json!({ "per_second": per_second, "jobs": jobs })).await.map(Some)
    }

    fn hanging_worker(&self, _url: &str) -> anyhow::Result<Option<Command>> {
        Ok(None)
    }
}
