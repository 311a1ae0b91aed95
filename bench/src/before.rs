//! Another release of ours, of which only the HTTP API is measured.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::bail;
use async_trait::async_trait;

use crate::{figures::Measure, system::System};

/// A producer that was built before.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) producer: PathBuf,
}

#[async_trait]
impl System for Before {
    fn name(&self) -> &'static str {
        "before"
    }

    fn api(&self) -> Option<Option<&Path>> {
        Some(Some(&self.producer))
    }

    fn only(&self) -> Option<Measure> {
        Some(Measure::Http)
    }

    async fn push(&self, _: &str, _: usize, _: Duration) -> anyhow::Result<f64> {
        bail!("only its API is measured")
    }

    async fn fill(&self, _: &str, _: usize) -> anyhow::Result<f64> {
        bail!("only its API is measured")
    }

    async fn drain(&self, _: &str, _: usize, _: bool) -> anyhow::Result<f64> {
        bail!("only its API is measured")
    }

    async fn start(&self, _: &str, _: u32, _: usize) -> anyhow::Result<Option<Vec<f64>>> {
        bail!("only its API is measured")
    }

    fn hanging_worker(&self, _: &str) -> anyhow::Result<Option<Command>> {
        Ok(None)
    }
}
