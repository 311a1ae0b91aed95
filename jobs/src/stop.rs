//! Ends what cancelled jobs have begun at outside services, where it goes on without them. No handler runs for a job that is put off, so a
//! task does it.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use queue::{JobId, Reporter, State};
use services::{Config, Name};

use crate::{
    handler::{Context, Handler, JobError, Registry},
    kinds,
};

/// When a job is looked at again that has not ended yet.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

type Stop = for<'a> fn(&'a Context) -> BoxFuture<'a, Result<bool, JobError>>;

/// By kind, with its service.
#[derive(Default)]
struct Stops(Vec<(&'static str, Option<Name>, Stop)>);

impl Registry for Stops {
    fn add<J: Handler>(mut self) -> Self {
        if J::RUNS_ELSEWHERE {
            self.0.push((J::KIND, J::SERVICE, |context| J::stop_elsewhere(context).boxed()));
        }
        self
    }
}

/// The kinds that may have begun something where it goes on without them, because their service is configured.
pub(crate) fn run_elsewhere(services: &Config) -> Vec<&'static str> {
    let is_configured = |service: &Option<Name>| service.is_some_and(|service| services.is_configured(service));
    let stops = kinds::of_services(Stops::default()).0.into_iter();
    stops.filter(|(_, service, _)| is_configured(service)).map(|(kind, ..)| kind).collect()
}

/// Ends what this job has begun, if it was cancelled; returns how many things were ended. One that was made ready again meanwhile keeps
/// what it has.
///
/// # Errors
/// [`JobError::Snooze`] while the job still runs, and what its service answers.
pub(crate) async fn stop_elsewhere(job_id: JobId, context: &Context) -> Result<u64, JobError> {
    let Some(client) = &context.client else { return Ok(0) };
    let unavailable = |error: queue::Error| {
        let message = error.to_string();
        JobError::Snooze { code: "away", message, after: AGAIN_AFTER }
    };
    let Some(job) = client.find(job_id).await.map_err(unavailable)? else { return Ok(0) };
    match job.state {
        State::Cancelled => {}
        State::Running => {
            let message = format!("job {job_id} has not ended yet");
            return Err(JobError::Snooze { code: "still_running", message, after: AGAIN_AFTER });
        }
        _ => return Ok(0),
    }
    let stops = kinds::of_services(Stops::default()).0;
    let Some((_, _, stop)) = stops.into_iter().find(|(kind, ..)| *kind == job.kind) else { return Ok(0) };
    let context = Context {
        job_id,
        tenant: job.tenant,
        allow_fallback: false,
        so_far: None,
        progress: Reporter::nobody(),
        ..context.clone()
    };
    Ok(u64::from(stop(&context).await?))
}
