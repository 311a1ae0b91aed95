//! What handlers report while they run: how far they are, and log lines.
//!
//! A report changes only memory. The jobs that have something new are written together, every quarter of a second, by one
//! background task a replica, and the last report goes with the job's settlement. So a job that reports nothing pays nothing, and
//! one that ends sooner makes no call of its own.

use std::fmt;

use super::claimed::Claimed;
use crate::model::reports::{Line, Point, Reports, Stamp};

/// Only the last so many log lines of a job are kept.
const LINES_KEPT: usize = 100;
/// The longest log line and the longest message, in characters; what is longer is cut.
const LINE_KEPT: usize = 500;
const MESSAGE_KEPT: usize = 200;

/// What a handler reports its progress with. Calls return at once and never fail; nothing is written when the job's lease is lost.
/// Clone it freely.
#[derive(Clone, Default)]
pub struct Reporter(Option<Claimed>);

impl Claimed {
    /// What the handler reports its progress with.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        Reporter(Some(self.clone()))
    }
}

impl Reporter {
    /// Reports to nobody: for a handler that is run without a queue.
    #[must_use]
    pub fn nobody() -> Self {
        Self(None)
    }

    /// Tells how far the job is: 0 to 100 percent (more counts as 100), and what it is doing, in at most 200 characters.
    pub fn set(&self, percent: u8, message: impl Into<String>) {
        self.report(|reports, stamp| {
            let message = cut(message.into(), MESSAGE_KEPT);
            reports.point = Some(Point { stamp, percent: percent.min(100), message });
        });
    }

    /// Adds a log line of at most 500 characters. The last 100 lines of a job are kept.
    pub fn log(&self, text: impl Into<String>) {
        self.report(|reports, stamp| {
            reports.lines.push_back(Line { stamp, text: cut(text.into(), LINE_KEPT) });
            if reports.lines.len() > LINES_KEPT {
                reports.lines.pop_front();
            }
        });
    }

    /// Whether anything was reported of the job, in this attempt or before.
    #[must_use]
    pub fn has_reported(&self) -> bool {
        let Some(job) = &self.0 else { return false };
        job.reporting().reports.is_some() || job.history().reports.is_some()
    }

    fn report(&self, change: impl FnOnce(&mut Reports, Stamp)) {
        let Some(job) = &self.0 else { return };
        let mut reporting = job.reporting();
        if reporting.closed {
            return;
        }
        reporting.number += 1;
        let stamp = Stamp {
            step: job.history().steps,
            number: reporting.number,
            attempt: job.attempt(),
            at_ms: job.desk().clock.now_ms(),
        };
        let before = || Box::new(job.history().reports.clone().unwrap_or_default());
        change(reporting.reports.get_or_insert_with(before), stamp);
        if !reporting.waits {
            reporting.waits = true;
            job.put_on_desk();
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reporter").field(&self.0.as_ref().map(Claimed::id)).finish()
    }
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}
