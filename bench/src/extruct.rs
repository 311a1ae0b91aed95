//! Python's extruct with price-parser, in a process of its own for each measurement. `extruct_peer.py` says how they are used.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use crate::{
    extract::{Figures, Pages},
    figures::Measure,
    progress::PATIENCE,
    server,
    system::System,
};

const SCRIPT: &str = include_str!("extruct_peer.py");

/// The two, and the Python that runs them.
#[derive(Debug)]
pub(crate) struct Extruct {
    /// The `python3` program.
    pub(crate) python: PathBuf,
    /// The folder in which pip installed them.
    pub(crate) modules: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    result: Figures,
}

#[async_trait]
impl System for Extruct {
    fn name(&self) -> &'static str {
        "extruct"
    }

    fn only(&self) -> Option<Measure> {
        Some(Measure::Extract)
    }

    async fn extract(&self, pages: &Pages) -> anyhow::Result<Option<Figures>> {
        let modules = self.modules.canonicalize().with_context(|| format!("no folder {}", self.modules.display()))?;
        let task = json!({ "large": pages.large, "known": pages.known, "time_s": pages.time.as_secs_f64() });
        let mut command = tokio::process::Command::from(server::mortal(&self.python));
        command.args(["-c", SCRIPT, &task.to_string()]).env("PYTHONPATH", modules);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output).await.context("extruct takes too long")??;
        let errors = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "extruct failed with {}:\n{errors}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().context("extruct said nothing")?;
        Ok(Some(serde_json::from_str::<Answer>(line)?.result))
    }

    async fn push(&self, _: &str, _: usize, _: Duration) -> anyhow::Result<f64> {
        bail!("it has no queue")
    }

    async fn fill(&self, _: &str, _: usize) -> anyhow::Result<f64> {
        bail!("it has no queue")
    }

    async fn drain(&self, _: &str, _: usize, _: bool) -> anyhow::Result<f64> {
        bail!("it has no queue")
    }

    async fn start(&self, _: &str, _: u32, _: usize) -> anyhow::Result<Option<Vec<f64>>> {
        bail!("it has no queue")
    }

    fn hanging_worker(&self, _: &str) -> anyhow::Result<Option<Command>> {
        Ok(None)
    }
}
