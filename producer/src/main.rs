//! `producer`: the HTTP API that takes jobs.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Parser;
use producer::Config;

/// Small pieces of memory are taken and given back all the time; this allocator is faster at it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    if config.healthcheck {
        return Ok(process::healthcheck(config.http_addr, "/api/health/live", |status| status == 200).await);
    }
    let unfinished = anyhow!("a second signal came before all requests were finished");
    process::run(unfinished, |stop| producer::run(config, stop)).await
}
