//! `producer`: the HTTP API that takes jobs.

use std::{io::IsTerminal, process::ExitCode};

use anyhow::{Context, anyhow};
use clap::Parser;
use producer::{Config, Signals};
use tracing_subscriber::EnvFilter;

/// Small pieces of memory are taken and given back all the time; this allocator is faster at it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    if config.healthcheck {
        return Ok(producer::healthcheck(config.http_addr).await);
    }
    start_logging();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a TLS provider is already installed"))?;
    let signals = Signals::listen().context("cannot listen for signals")?;
    tokio::select! {
        result = producer::run(config, signals.first()) => result?,
        () = signals.second() => return Err(anyhow!("a second signal came before all requests were finished")),
    }
    Ok(ExitCode::SUCCESS)
}

fn start_logging() {
    let wanted = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = wanted.and_then(|filter| EnvFilter::try_new(filter).ok()).unwrap_or_else(|| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    if std::io::stdout().is_terminal() {
        logs.init();
    } else {
        logs.json().flatten_event(true).init();
    }
}
