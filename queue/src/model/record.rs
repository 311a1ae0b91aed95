//! The record of a job: `version u8 · priority u8 · length of the options u16 LE · CRC-32 of the rest u32 LE · options · payload`.
//!
//! The options are a MessagePack map of what differs from the kind's defaults (none: no byte), the payload is JSON as it
//! came. Scripts read the priority, where a job becomes ready again, and `unhold.lua` the version; nothing else.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    error::Error,
    json::Json,
    new_job::{DEFAULT_TENANT, NewJob},
    state::Priority,
};

/// The envelope version that this release writes, and the newest that it reads.
pub const ENVELOPE_VERSION: u8 = 1;
const HEADER: usize = 8;

/// What differs from the kind's defaults. The names are short because every waiting job carries them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_at_ms: Option<u64>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at_ms: Option<u64>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_attempts: Option<u32>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_s: Option<u64>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow_fallback: Option<bool>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Map<String, Value>>,
    /// The metadata's text instead, where it has numbers that the field above cannot hold as they were given.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(crate) exact_metadata: Option<String>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique_key: Option<String>,
}

impl Options {
    pub(crate) fn take_metadata(&mut self) -> Json {
        let exact = self.exact_metadata.as_deref().and_then(|text| Json::read(text.as_bytes()).ok());
        exact.unwrap_or_else(|| Value::Object(self.metadata.take().unwrap_or_default()).into())
    }
}

/// The record of a job, as every waiting job has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) priority: Priority,
    pub(crate) options: Options,
    pub(crate) payload: Vec<u8>,
}

impl Options {
    pub(crate) fn of(job: &NewJob, now_ms: u64) -> Self {
        Self {
            tenant: indexed(&job.tenant).map(str::to_owned),
            run_at_ms: job.run_at_ms.filter(|at| *at > now_ms),
            expires_at_ms: job.expires_at_ms,
            max_attempts: job.max_attempts,
            timeout_s: job.timeout_s,
            allow_fallback: job.allow_fallback,
            exact_metadata: job.metadata.exact().map(str::to_owned),
            metadata: match job.metadata.exact() {
                Some(_) => None,
                None => job.metadata.as_object().filter(|metadata| !metadata.is_empty()).cloned(),
            },
            traceparent: job.traceparent.clone(),
            unique_key: job.unique.as_ref().map(|unique| unique.key.clone()),
        }
    }
}

impl Record {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (priority, options, payload_at) = Self::decode_head(bytes)?;
        Ok(Self { priority, options: options.unwrap_or_default(), payload: bytes[payload_at..].to_vec() })
    }

    /// What stands before the payload, if the whole record is in order: no options are the common case. Besides, where the payload begins.
    pub(crate) fn decode_head(bytes: &[u8]) -> Result<(Priority, Option<Options>, usize), Error> {
        let broken = |what: &str| Error::Corrupt(format!("{what}, in a record of {} bytes", bytes.len()));
        let header = bytes.get(..HEADER).ok_or_else(|| broken("too short"))?;
        if header[0] != ENVELOPE_VERSION {
            return Err(broken(&format!("envelope version {} is not {ENVELOPE_VERSION}", header[0])));
        }
        let priority = Priority::from_byte(header[1]).ok_or_else(|| broken("unknown priority"))?;
        let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let sum = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let rest = &bytes[HEADER..];
        if crc32fast::hash(rest) != sum {
            return Err(broken("checksum does not match"));
        }
        let options = match rest.get(..length).ok_or_else(|| broken("options cut off"))? {
            [] => None,
            options => Some(rmp_serde::from_slice(options).map_err(|e| broken(&e.to_string()))?),
        };
        Ok((priority, options, HEADER + length))
    }

    /// Whether a newer release wrote it.
    pub(crate) fn is_newer(bytes: &[u8]) -> bool {
        bytes.len() >= HEADER && bytes[0] > ENVELOPE_VERSION
    }

    pub(crate) fn tenant(&self) -> &str {
        self.options.tenant.as_deref().unwrap_or(DEFAULT_TENANT)
    }
}

/// The bytes of a record of these parts.
pub(crate) fn encode(priority: Priority, options: &Options, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let options = if *options == Options::default() {
        Vec::new()
    } else {
        rmp_serde::to_vec_named(options).map_err(|e| Error::Invalid(format!("options: {e}")))?
    };
    let length = u16::try_from(options.len())
        .map_err(|_| Error::Invalid(format!("options and metadata take {} bytes, at most 65535", options.len())))?;
    let mut bytes = Vec::with_capacity(HEADER + options.len() + payload.len());
    bytes.extend([ENVELOPE_VERSION, priority as u8]);
    bytes.extend(length.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(options);
    bytes.extend(payload);
    let sum = crc32fast::hash(&bytes[HEADER..]);
    bytes[4..HEADER].copy_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// The tenant in whose index a job is.
pub(crate) fn indexed(tenant: &str) -> Option<&str> {
    (tenant != DEFAULT_TENANT).then_some(tenant)
}

/// The tenant of a record in whose index its job is. Of a record that cannot be read there is none.
pub(crate) fn tenant_of(record: &[u8]) -> Option<String> {
    let record = Record::decode(record).ok()?;
    indexed(record.tenant()).map(str::to_owned)
}

#[cfg(test)]
impl Record {
    pub(crate) fn new(job: NewJob, now_ms: u64) -> Self {
        Self { priority: job.priority, options: Options::of(&job, now_ms), payload: job.payload }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        encode(self.priority, &self.options, &self.payload)
    }
}
