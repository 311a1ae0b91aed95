//! BullMQ, in a Node process of its own for each measurement.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    payload,
    progress::PATIENCE,
    server,
    system::System,
    whole_way::{DATABASE, Figures, Place, SAMPLES, WORKERS, Work, keep_samples, ready, stop},
};

/// Of these, the best counts for the whole way.
const CONCURRENCIES: [usize; 3] = [32, 128, 512];
const SCRIPT: &str = include_str!("bullmq.mjs");
/// How many jobs its worker runs at a time.
const CONCURRENCY: usize = 200;

/// BullMQ and the Node that runs it.
#[derive(Debug)]
pub(crate) struct BullMq {
    /// The `node` program.
    pub(crate) node: PathBuf,
    /// The folder with `node_modules`.
    pub(crate) modules: PathBuf,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

impl BullMq {
    pub(crate) fn command(&self, url: &str, what: &str, options: Value) -> anyhow::Result<Command> {
        let modules = self.modules.canonicalize().with_context(|| format!("no folder {}", self.modules.display()))?;
        let mut task = json!({ "do": what, "url": url, "modules": modules, "payload_bytes": payload::BYTES });
        if let (Value::Object(task), Value::Object(options)) = (&mut task, options) {
            task.extend(options);
        }
        let mut command = server::mortal(&self.node);
        command.args(["--input-type=module", "-e", SCRIPT, "--", &task.to_string()]).env("NODE_ENV", "production");
        Ok(command)
    }

    pub(crate) async fn ask<T: DeserializeOwned>(&self, url: &str, what: &str, options: Value) -> anyhow::Result<T> {
        let mut command = tokio::process::Command::from(self.command(url, what, options)?);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output)
            .await
            .with_context(|| format!("bullmq: {what} takes too long"))??;
        anyhow::ensure!(output.status.success(), "bullmq: {what} failed with {}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().with_context(|| format!("bullmq: {what} said nothing"))?;
        Ok(serde_json::from_str::<Answer<T>>(line)?.result)
    }
}

#[async_trait]
impl System for BullMq {
    fn name(&self) -> &'static str {
        "bullmq"
    }

    fn most_jobs(&self) -> usize {
        50_000
    }

    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64> {
        self.ask(url, "push", json!({ "clients": clients, "time_s": time.as_secs_f64() })).await
    }

    async fn fill(&self, url: &str, jobs: usize) -> anyhow::Result<f64> {
        self.ask(url, "fill", json!({ "jobs": jobs })).await
    }

    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64> {
        self.ask(url, "drain", json!({ "jobs": jobs, "keep": kept, "concurrency": CONCURRENCY })).await
    }

    async fn start(&self, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Option<Vec<f64>>> {
        let options = json!({ "per_second": per_second, "jobs": jobs, "concurrency": CONCURRENCY });
        self.ask(url, "start", options).await.map(Some)
    }

    async fn whole_way(&self, place: &mut Place<'_>, work: &Work, jobs: usize) -> anyhow::Result<Option<Figures>> {
        // Its processors write what is found after ours has run; the best of several concurrencies.
        keep_samples(place, work).await?;
        let mut best: Option<Figures> = None;
        for concurrency in CONCURRENCIES {
            place.clear().await?;
            let url = place.server.url();
            let options = json!({ "mongo_url": place.mongod.url(), "database": DATABASE, "samples": SAMPLES,
                "concurrency": concurrency, "data": (work.payload)(0), "jobs": jobs });
            self.ask::<f64>(&url, "fill_paused", options.clone()).await?;
            let mut workers = Vec::new();
            for _ in 0..WORKERS {
                workers.push(ready(self.command(&url, "whole_way", options.clone())?).await?);
            }
            let begin = async { self.ask::<f64>(&url, "resume", json!({})).await.map(drop) };
            let figures = place.measured(work, jobs - 1, &workers, begin).await;
            stop(workers).await?;
            let figures = figures?;
            if best.is_none_or(|best| figures[0] > best[0]) {
                best = Some(figures);
            }
        }
        best.context("no concurrency was tried").map(Some)
    }

    fn hanging_worker(&self, url: &str) -> anyhow::Result<Option<Command>> {
        self.command(url, "hang", json!({})).map(Some)
    }
}
