//! What handlers have reported of a job: how far it is, and log lines.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::error::Error;

/// All that handlers have reported of a job, over all its attempts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reports {
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) point: Option<Point>,
    #[serde(rename = "l", default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) lines: VecDeque<Line>,
}

/// When a report was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// See [`super::history::History::steps`].
    #[serde(rename = "i")]
    pub(crate) step: u32,
    /// Counts the reports of the attempt, of both kinds, from 1.
    #[serde(rename = "s")]
    pub(crate) number: u32,
    /// The number of the attempt.
    #[serde(rename = "n")]
    pub(crate) attempt: u32,
    #[serde(rename = "a")]
    pub(crate) at_ms: u64,
}

/// How far the job is; each replaces the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    #[serde(rename = "t")]
    pub(crate) stamp: Stamp,
    #[serde(rename = "p")]
    pub(crate) percent: u8,
    #[serde(rename = "m")]
    pub(crate) message: String,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(rename = "t")]
    pub(crate) stamp: Stamp,
    #[serde(rename = "m")]
    pub(crate) text: String,
}

impl Reports {
    /// The stored reports; those that cannot be read count as none, because the job matters more.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|e| Error::Invalid(format!("reports of a job: {e}")))
    }
}
