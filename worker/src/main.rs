//! `worker`: runs jobs and upkeep.

use std::process::ExitCode;

use worker::Runners;

/// Small pieces of memory are taken and given back all the time; this allocator is faster at it than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    worker::process(Runners::all()).await
}
