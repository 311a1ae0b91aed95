//! Takes running jobs out of their claims.

use std::sync::Arc;

use fleet::Connection;

use super::{call, minute, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention},
};

/// The most dead jobs a queue keeps.
const MOST_DEAD: u32 = 10_000;

/// Where a released job waits next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Retrying {
        due_ms: u64,
    },
    Scheduled {
        due_ms: u64,
    },
    Dead,
    /// To the front of its list.
    Ready,
    Suspect,
    /// A newer release wrote it.
    Held,
    /// To its end; the history is its finished record then.
    Cancelled,
    /// Nowhere: its record is not there.
    Gone,
}

/// A running job that goes back.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) id: JobId,
    pub(crate) claim: Arc<str>,
    pub(crate) to: To,
    /// `None` leaves what is stored.
    pub(crate) history: Option<Vec<u8>>,
}

/// A job that someone cancelled while it ran, and that was not released.
#[derive(Debug)]
pub(crate) struct CancelledRun {
    pub(crate) position: usize,
    pub(crate) record: Vec<u8>,
    pub(crate) history: Option<Vec<u8>>,
}

/// What became of released jobs.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Positions of those refused because their lease is lost.
    pub(crate) refused: Vec<usize>,
    /// Those that still run: someone cancelled them, and they are to end.
    pub(crate) cancelled: Vec<CancelledRun>,
}

/// Running jobs that go back: up to [`super::MOST`].
#[derive(Debug)]
pub(crate) struct Releases<'a> {
    pub(crate) now_ms: u64,
    pub(crate) retention: Retention,
    pub(crate) jobs: &'a [Release],
    /// Whether history is kept of those that end.
    pub(crate) keeps_history: bool,
}

impl Releases<'_> {
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<Released, Error> {
        let mut call = call!(
            release,
            &partition.base,
            now_ms = self.now_ms,
            minute = minute(self.now_ms),
            most_dead = MOST_DEAD,
            retention_ms = self.retention.ms,
            keeps_history = u8::from(self.keeps_history),
        );
        for job in self.jobs {
            let (to, due_ms) = match job.to {
                To::Retrying { due_ms } => ("retrying", due_ms),
                To::Scheduled { due_ms } => ("scheduled", due_ms),
                To::Dead => ("dead", 0),
                To::Ready => ("ready", 0),
                To::Suspect => ("suspect", 0),
                To::Held => ("held", 0),
                To::Cancelled => ("cancelled", 0),
                To::Gone => ("gone", 0),
            };
            call.arg(&job.id.as_bytes()[..])
                .arg(&*job.claim)
                .arg(to)
                .arg(due_ms)
                .arg(job.history.as_deref().unwrap_or_default());
        }
        type Reply = (Vec<usize>, Vec<usize>, Vec<Vec<u8>>, Vec<Option<Vec<u8>>>);
        let (refused, cancelled, records, histories): Reply = run(&call, connection).await?;
        let cancelled = cancelled.into_iter().zip(records).zip(histories);
        Ok(Released {
            refused: refused.into_iter().map(|position| position - 1).collect(),
            cancelled: cancelled
                .map(|((position, record), history)| CancelledRun { position: position - 1, record, history })
                .collect(),
        })
    }
}
