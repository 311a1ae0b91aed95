//! Whether the job of a schedule may be enqueued. Who decides that is told from outside.

use std::fmt::Debug;

use futures::future::BoxFuture;
use queue::{NewJob, Taken};

/// What is decided about a job.
#[derive(Debug)]
pub enum Admitted {
    /// It may be enqueued; what was counted is given back if it is not.
    Yes(Option<Taken>),
    /// It may not, and why.
    No(String),
}

/// Decides whether jobs of schedules may be enqueued.
pub trait Admission: Debug + Send + Sync {
    /// Decides about one job, and counts it.
    fn admit<'a>(&'a self, job: &'a NewJob) -> BoxFuture<'a, Result<Admitted, queue::Error>>;
}
