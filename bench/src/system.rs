//! What is measured of every system, so that all are measured alike.

use std::{path::Path, process::Command, time::Duration};

use async_trait::async_trait;

use crate::{
    extract::{self, Pages},
    figures::Measure,
    whole_way::{Figures, Place, Work},
};

/// A job system under test. Each call opens its own connections to `url`, so that nothing is left of the one before.
#[async_trait]
pub(crate) trait System: Sync {
    /// Its name in every report.
    fn name(&self) -> &'static str;

    /// The most jobs that it is given at once, of those that others get: slow systems would take minutes.
    fn most_jobs(&self) -> usize {
        usize::MAX
    }

    /// Whether it has a way to push in bulk; without, [`Self::fill`] pushes one by one and is not measured.
    fn has_bulk(&self) -> bool {
        true
    }

    /// Whether it can keep results.
    fn keeps_results(&self) -> bool {
        true
    }

    /// Its HTTP API, if it has one that is like ours: that program, or this one when none is named.
    fn api(&self) -> Option<Option<&Path>> {
        None
    }

    /// The one thing that is measured of it, where it is no job system that can do the rest.
    fn only(&self) -> Option<Measure> {
        None
    }

    /// Jobs a second when `clients` push one job after another for `time`.
    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64>;

    /// Pushes `jobs` in bulk; jobs a second.
    async fn fill(&self, url: &str, jobs: usize) -> anyhow::Result<f64>;

    /// Runs the first `jobs` of those that wait, and keeps their results for a day when `kept`; jobs a second.
    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64>;

    /// How long each of `jobs`, pushed evenly at `per_second`, waited for its start, in ms; `None`: it has no worker that waits.
    async fn start(&self, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Option<Vec<f64>>>;

    /// Real jobs with what they write to MongoDB; `None`: it has no such thing.
    async fn whole_way(&self, _: &mut Place<'_>, _: &Work, _: usize) -> anyhow::Result<Option<Figures>> {
        Ok(None)
    }

    /// Prices read from pages; `None`: it reads none.
    async fn extract(&self, _: &Pages) -> anyhow::Result<Option<extract::Figures>> {
        Ok(None)
    }

    /// A worker process whose handlers never end. It writes `ready` when it takes jobs, and `started` for each that begins.
    fn hanging_worker(&self, url: &str) -> anyhow::Result<Option<Command>>;
}
