//! `producer`: the HTTP API that takes jobs.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Parser;
use producer::{Config, Signals};

/// Small pieces of memory are taken and given back all the time; this allocator is faster at it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    if config.healthcheck {
        return Ok(producer::healthcheck(config.http_addr).await);
    }
    process::start();
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
