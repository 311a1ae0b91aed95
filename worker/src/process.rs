//! The worker's process: command line, log, signals.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{Config, Runners, healthcheck, run};

/// A whole worker process for these kinds: reads the command line and the environment, and runs until SIGINT or SIGTERM; a second
/// signal ends it at once. Call it once, inside a tokio runtime.
///
/// # Errors
/// As [`run`]; besides when a second signal came before all jobs were finished or handed back.
pub async fn process(runners: Runners) -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    if config.healthcheck {
        return Ok(healthcheck(config.admin_addr).await);
    }
    ::process::start();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is already installed"))?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let shutdown = CancellationToken::new();
    let run = run(config, runners, shutdown.clone());
    tokio::pin!(run);
    loop {
        tokio::select! {
            result = &mut run => return result.map(|()| ExitCode::SUCCESS),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if shutdown.is_cancelled() {
            return Err(anyhow!("a second signal came before all jobs were finished or handed back"))
                .context("ended at once; what still ran starts again when its lease ends");
        }
        shutdown.cancel();
    }
}
