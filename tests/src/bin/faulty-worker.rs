//! `faulty-worker`: the worker as it is, with one kind more. Its handler fails as no real one does when asked to.

use std::process::ExitCode;

use jobs::{Context, Done, Handler, JobError, Registry};
use queue::Job;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use worker::Runners;

/// A job that says how it shall go.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Faulty {
    /// What the handler panics with; absent: it succeeds.
    panic: Option<String>,
}

/// That it went well.
#[derive(Debug, Serialize, ToSchema)]
struct NoFault {
    attempt: u32,
}

impl Job for Faulty {
    const KIND: &'static str = "faulty";
}

impl Handler for Faulty {
    type Output = NoFault;
    const COLLECTION: &'static str = "faults";

    async fn run(self, context: &Context) -> Result<Done<NoFault>, JobError> {
        match self.panic {
            Some(message) => panic!("{message}"),
            None => Ok(Done { result: NoFault { attempt: context.attempt }, provider: None, degraded_reason: None }),
        }
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    Ok(worker::process(Runners::all().add::<Faulty>()).await?)
}
