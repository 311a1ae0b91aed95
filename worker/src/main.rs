//! `worker`: runs jobs and upkeep.

use std::process::ExitCode;

use worker::Runners;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    worker::process(Runners::all()).await
}
