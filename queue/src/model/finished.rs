//! A job that came to an end.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{error::Error, history::History, reports::Reports, state::State};

/// A job that came to an end, as it is kept for its retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    #[serde(rename = "q")]
    pub(crate) record: ByteBuf,
    #[serde(rename = "s")]
    pub(crate) state: State,
    #[serde(rename = "f")]
    pub(crate) finished_ms: u64,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_ms: Option<u64>,
    /// Who ran it last.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<String>,
    /// Absent when its only attempt succeeded.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<History>,
    /// See [`super::outcome::Success`].
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) success: Option<ByteBuf>,
    /// What the handler reported, when there is no history that has it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reports: Option<Reports>,
    /// When its result was replaced by a better one.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_ms: Option<u64>,
}

impl Finished {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|e| Error::Invalid(format!("finished job: {e}")))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let finished: Self = rmp_serde::from_slice(bytes).map_err(|e| Error::Corrupt(format!("finished job: {e}")))?;
        Ok(Self { history: finished.history.map(History::with_counted_snoozes), ..finished })
    }
}
