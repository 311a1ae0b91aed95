//! What the tests of every kind need.

use std::collections::BTreeSet;

use fleet::Fleet;
use providers::Providers;
use services::Config;

use crate::{
    check::{Checks, PayloadError},
    handler::{Context, Handler},
};

pub(crate) const JOB_ID: &str = "0199a1b2-0000-7000-8000-000000000000";

/// All services mocked.
pub(crate) fn mocks() -> Providers {
    Providers::from_config(&Config::mock(), &Fleet::alone()).unwrap()
}

/// The first attempt of a job of kind `J`, with its defaults.
pub(crate) fn context<J: Handler>(providers: Providers) -> Context {
    Context::first_attempt::<J>(JOB_ID.parse().unwrap(), providers)
}

/// A payload as it comes out of the queue.
pub(crate) fn stored<J: Handler>(payload: serde_json::Value) -> J {
    let job: J = serde_json::from_value(payload).unwrap();
    serde_json::from_slice(&serde_json::to_vec(&job).unwrap()).unwrap()
}

/// The pointers of what [`queue::Job::check`] complains about.
pub(crate) fn complaints<J: Handler>(payload: serde_json::Value) -> Vec<String> {
    stored::<J>(payload).check().into_iter().map(|error| error.pointer).collect()
}

/// The pointers of what the API refuses in a payload, sorted.
pub(crate) fn refused<J: Handler>(payload: &serde_json::Value) -> Vec<String> {
    let Err(PayloadError::Invalid(errors)) = Checks::all().check(J::KIND, payload) else {
        panic!("{payload} was accepted")
    };
    let pointers: BTreeSet<String> = errors.into_iter().map(|error| error.pointer).collect();
    pointers.into_iter().collect()
}
