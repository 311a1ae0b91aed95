//! What is pushed when a job was cancelled.

use std::{fmt, sync::Arc};

use crate::model::{new_job::NewJob, view::JobView};

type Says = dyn Fn(&JobView) -> Option<NewJob> + Send + Sync;

/// What is pushed when a job was cancelled, by the job.
#[derive(Clone, Default)]
pub(crate) struct FollowUp(Option<Arc<Says>>);

impl FollowUp {
    pub(super) fn new(says: impl Fn(&JobView) -> Option<NewJob> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(says)))
    }

    pub(super) fn of(&self, cancelled: &JobView) -> Option<NewJob> {
        self.0.as_ref().and_then(|says| says(cancelled))
    }
}

impl fmt::Debug for FollowUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "FollowUp" } else { "Nothing" })
    }
}
