//! A job that came to an end.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_bytes::{ByteBuf, Bytes};

use super::{error::Error, history::History, reports::Reports, state::State};

/// A job that came to an end, as it is kept for its retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished<'a> {
    #[serde(rename = "q")]
    pub(crate) record: Cow<'a, Bytes>,
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

/// What the common job takes beside its record and its result: names, state, times and who ran it.
const BESIDE: usize = 100;

impl Finished<'_> {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let success = self.success.as_ref().map_or(0, |success| success.len());
        let mut bytes = Vec::with_capacity(self.record.len() + success + BESIDE);
        rmp_serde::encode::write_named(&mut bytes, self).map_err(|e| Error::Invalid(format!("finished job: {e}")))?;
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Finished<'static>, Error> {
        let finished: Finished<'static> =
            rmp_serde::from_slice(bytes).map_err(|e| Error::Corrupt(format!("finished job: {e}")))?;
        Ok(Finished { history: finished.history.map(History::with_counted_snoozes), ..finished })
    }
}
